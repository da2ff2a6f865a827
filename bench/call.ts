/**
 * Server CPU of a brokered call with hang-up, beside the same frames and two OAEP encryptions without supervisor and parser.
 *
 *     this process: handsets in pairs, no voice             INVITE, 100, INVITE, 180, 200, ACK, BYE, 200
 *       |-- call-server.ts    the product                   call-handset.ts: the product's line and calls
 *       '-- call-peer.ts      the literal way               call-peer-handset.ts: bytes of the same length, at the same pace
 *
 * CPU is user and system time of the server process alone, median of rounds. Rounds alternate, so that a busy machine
 * troubles both.
 */
import assert from "node:assert/strict";
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import path from "node:path";
import type { Uid } from "@feldfon/protocol/identity";
import type { Passed } from "@feldfon/protocol/phone/line";
import type { Vault } from "@feldfon/protocol/vault";
import { openVault } from "@feldfon/vault";
import { Handset } from "./call-handset.ts";
import { PeerHandset } from "./call-peer-handset.ts";
import type { StepBytes } from "./call-peer-line.ts";
import type { Figure } from "./main.ts";

const PAIRS = 4;
const WARM_UP_CALLS = 400;
const ROUND_CALLS = 80;
const ROUNDS = 9;
const LATENCY_CALLS = 20;
const WANTED_RATIO = 1.5;

/** Makes one call with hang-up. */
type Caller = () => Promise<unknown>;

export async function run(): Promise<{ name: "call"; figures: Figure[] }> {
  const vault = openVault();
  const server = await ServerProcess.start("call-server.ts");
  const handsets = await connectHandsets(vault, server);
  const [a, b] = handsets as [Handset, Handset];
  const stepBytes = await recordCall(a, b);
  const peer = await ServerProcess.start("call-peer.ts", stepBytes);
  const ends = await Promise.all(
    numbers.map((n) => PeerHandset.connect({ vault, n, port: peer.told.port, stepBytes })),
  );
  const callers = pairsOf(handsets).map(
    ([from, to]) =>
      () =>
        from.call(to),
  );
  const peerCallers = pairsOf(ends).map(
    ([from, to]) =>
      () =>
        from.call(to),
  );

  await makeCalls(callers, WARM_UP_CALLS);
  await makeCalls(peerCallers, WARM_UP_CALLS);
  const us = { server: [] as number[], peer: [] as number[], handsets: [] as number[] };
  for (let round = 0; round < ROUNDS; round++) {
    const before = process.cpuUsage();
    us.server.push(await server.cpuPerCallUs(callers));
    us.handsets.push(total(process.cpuUsage(before)) / ROUND_CALLS);
    us.peer.push(await peer.cpuPerCallUs(peerCallers));
  }
  const setUpMs: number[] = [];
  for (let call = 0; call < LATENCY_CALLS; call++) setUpMs.push(await a.call(b));

  for (const end of [...handsets, ...ends]) end.close();
  await Promise.all([server.stop(), peer.stop()]);
  vault.wipeAll();
  const ratio = median(us.server) / median(us.peer);
  return {
    name: "call",
    figures: [
      { name: "server, one call with hang-up", value: round(median(us.server)), unit: "us CPU" },
      { name: "the same frames and two OAEP, nothing else", value: round(median(us.peer)), unit: "us CPU" },
      {
        name: "server / the literal way",
        value: round(ratio),
        unit: "ratio",
        wanted: WANTED_RATIO,
        ok: ratio <= WANTED_RATIO,
      },
      { name: "both handsets, five private operations", value: round(median(us.handsets) / 1000), unit: "ms CPU" },
      { name: "from dialling to agreed keys, one call at a time", value: round(median(setUpMs)), unit: "ms" },
    ],
  };
}

/** Of the keys in the pool; 0 is the server's. */
const numbers = Array.from({ length: 2 * PAIRS }, (_, index) => index + 1);

/** One after the other, since a joiner comes later when others join with it; all know all when this resolves. */
async function connectHandsets(vault: Vault, { told }: ServerProcess): Promise<Handset[]> {
  const handsets: Handset[] = [];
  for (const n of numbers) handsets.push(await Handset.connect(vault, n, told.port, told.uid!));
  const last = handsets.at(-1)!.uid;
  await Promise.all(handsets.map((handset) => handset.knows(last)));
  return handsets;
}

function pairsOf<End>(ends: readonly End[]): [End, End][] {
  return Array.from({ length: PAIRS }, (_, pair) => [ends[2 * pair]!, ends[2 * pair + 1]!]);
}

/** Every pair calls again as soon as it has hung up. */
async function makeCalls(callers: readonly Caller[], calls: number): Promise<void> {
  let left = calls;
  await Promise.all(
    callers.map(async (call) => {
      while (left-- > 0) await call();
    }),
  );
}

/** How long the messages of a call are on their way to the server and from it, padded as the channel pads them. */
async function recordCall(a: Handset, b: Handset): Promise<StepBytes> {
  const bytes = new Map<string, number>();
  const record =
    (who: string) =>
    ({ direction, kind, size }: Passed): unknown =>
      bytes.set(`${who} ${direction} ${kind}`, paddedBytes(size));
  a.onPassed = record("a");
  b.onPassed = record("b");
  await a.call(b);
  a.onPassed = b.onPassed = () => {};
  const passedOn = (from: "a" | "b", kind: string): { in: number; out: number } => ({
    in: bytes.get(`${from} sent ${kind}`)!,
    out: bytes.get(`${from === "a" ? "b" : "a"} received ${kind}`)!,
  });
  const stepBytes = {
    invite: passedOn("a", "INVITE"),
    trying: { in: 0, out: bytes.get("a received 100 INVITE")! },
    ringing: passedOn("b", "180 INVITE"),
    answer: passedOn("b", "200 INVITE"),
    ack: passedOn("a", "ACK"),
    bye: passedOn("a", "BYE"),
    gone: passedOn("b", "200 BYE"),
  };
  assert.ok(
    Object.values(stepBytes).every(({ in: sent, out }) => sent >= 0 && out > 0),
    "the call had other messages",
  );
  return stepBytes;
}

/** u32 length | message | zeros to a multiple of 256 (wire.md 1, CHANNEL). */
function paddedBytes(clearBytes: number): number {
  return Math.ceil((4 + clearBytes) / 256) * 256;
}

/** A server in a process of its own; its log goes where it costs least. */
class ServerProcess {
  readonly told: { port: number; uid?: Uid };
  readonly #process: ChildProcess;

  private constructor(process: ChildProcess, told: { port: number; uid?: Uid }) {
    this.#process = process;
    this.told = told;
  }

  static async start(file: string, first?: object): Promise<ServerProcess> {
    const child = fork(path.join(import.meta.dirname, file), { stdio: ["ignore", "ignore", "inherit", "ipc"] });
    if (first) child.send(first);
    const [told] = (await once(child, "message")) as [{ port: number; uid?: Uid }];
    return new ServerProcess(child, told);
  }

  async cpuPerCallUs(callers: readonly Caller[]): Promise<number> {
    const before = await this.#cpuUs();
    await makeCalls(callers, ROUND_CALLS);
    return ((await this.#cpuUs()) - before) / ROUND_CALLS;
  }

  async stop(): Promise<void> {
    const over = once(this.#process, "exit");
    this.#process.disconnect();
    await over;
  }

  async #cpuUs(): Promise<number> {
    this.#process.send({ ask: "cpu" });
    const [{ cpu }] = (await once(this.#process, "message")) as [{ cpu: NodeJS.CpuUsage }];
    return total(cpu);
  }
}

function total({ user, system }: NodeJS.CpuUsage): number {
  return user + system;
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1]!;
}

/** Three digits that count. */
function round(value: number): number {
  return Number(value.toPrecision(3));
}
