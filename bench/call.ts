/**
 * Server CPU of a brokered call with hang-up, beside the same frames and two OAEP encryptions without supervisor and parser.
 *
 *     this process: handsets in pairs, real line and calls, no voice     INVITE 100 INVITE 180 200 ACK BYE 200
 *       |-- call-server.ts   the product
 *       '-- call-peer.ts     the literal way; its handsets do the same private operations, so the pace is the same
 *
 * CPU is user and system time of the server process alone. Rounds alternate, so that a busy machine troubles both.
 */
import assert from "node:assert/strict";
import { type ChildProcess, fork } from "node:child_process";
import { randomBytes } from "node:crypto";
import { EventEmitter, once } from "node:events";
import { connect, type Socket } from "node:net";
import path from "node:path";
import { Uplink } from "@feldfon/firmware/line/uplink";
import { Follower } from "@feldfon/protocol/directory/follower";
import { PublicKey, type Uid } from "@feldfon/protocol/identity";
import type { PhoneEvent } from "@feldfon/protocol/phone/events";
import { HandsetCalls } from "@feldfon/protocol/phone/handset-calls";
import { HandsetLine } from "@feldfon/protocol/phone/handset-line";
import type { Passed } from "@feldfon/protocol/phone/line";
import type { KeyPair, Vault } from "@feldfon/protocol/vault";
import { openVault } from "@feldfon/vault";
import { KEY_BYTES, PeerLine, STEPS, type Step, type StepBytes, WRAP_BYTES, WRAP_LABEL } from "./call-peer-line.ts";
import { poolKey } from "./key-pool.ts";
import type { Figure } from "./main.ts";

const PAIRS = 4;
const WARM_UP_CALLS = 400;
const ROUND_CALLS = 80;
const ROUNDS = 9;
const LATENCY_CALLS = 20;
const WANTED_RATIO = 1.5;
/** Padding of the channel (wire.md 1, CHANNEL). */
const PAD_BYTES = 256;
const LENGTH_BYTES = 4;

/** Two handsets that call each other, over and over. */
interface Pair {
  call(): Promise<void>;
}

export async function run(): Promise<{ name: "call"; figures: Figure[] }> {
  const vault = openVault();
  const ours = await Child.start("call-server.ts");
  const { port, uid } = ours.ready as { port: number; uid: Uid };
  const handsets: Handset[] = [];
  for (let n = 1; n <= 2 * PAIRS; n++) handsets.push(await Handset.connect(vault, n, port, uid));
  const last = handsets.at(-1)!;
  await Promise.all(handsets.map((handset) => handset.heard(() => handset.knows(last.uid))));
  const pairs = inPairs(handsets).map(([a, b]): Pair => ({ call: () => callAndHangUp(a, b) }));

  const [a, b] = inPairs(handsets)[0]!;
  const stepBytes = await recordStepBytes(a, b);
  const peer = await Child.start("call-peer.ts", stepBytes);
  const ends: PeerHandset[] = [];
  for (let n = 1; n <= 2 * PAIRS; n++) ends.push(await PeerHandset.connect(vault, n, peer.ready.port, stepBytes));
  const peerPairs = inPairs(ends).map(([caller, callee]): Pair => ({ call: () => caller.call(callee) }));

  await makeCalls(pairs, WARM_UP_CALLS);
  await makeCalls(peerPairs, WARM_UP_CALLS);
  const us: Record<"ours" | "peers" | "handsets", number[]> = { ours: [], peers: [], handsets: [] };
  for (let round = 0; round < ROUNDS; round++) {
    const before = process.cpuUsage();
    us.ours.push(await cpuPerCallUs(ours, pairs));
    us.handsets.push(sum(process.cpuUsage(before)) / ROUND_CALLS);
    us.peers.push(await cpuPerCallUs(peer, peerPairs));
  }
  const setUpMs: number[] = [];
  for (let call = 0; call < LATENCY_CALLS; call++) setUpMs.push(await callAndHangUp(a, b));

  for (const end of [...handsets, ...ends]) end.close();
  await Promise.all([ours.stop(), peer.stop()]);
  vault.wipeAll();
  const [oursUs, peersUs] = [median(us.ours), median(us.peers)];
  const ratio = oursUs / peersUs;
  return {
    name: "call",
    figures: [
      { name: "server, one call with hang-up", value: round(oursUs), unit: "us CPU" },
      { name: "the same frames and two OAEP, nothing else", value: round(peersUs), unit: "us CPU" },
      {
        name: "server / the literal way",
        value: round(ratio),
        unit: "ratio",
        wanted: WANTED_RATIO,
        ok: ratio <= WANTED_RATIO,
      },
      { name: "both handsets together, five private operations", value: round(median(us.handsets) / 1000), unit: "ms CPU" },
      { name: "set-up, from dialling to agreed keys, one call at a time", value: round(median(setUpMs)), unit: "ms" },
    ],
  };
}

/** A server process and its CPU. */
class Child {
  readonly ready: { port: number };
  readonly #process: ChildProcess;

  private constructor(process: ChildProcess, ready: { port: number }) {
    this.#process = process;
    this.ready = ready;
  }

  /** Its log goes where a log costs least. */
  static async start(file: string, first?: object): Promise<Child> {
    const child = fork(path.join(import.meta.dirname, file), { stdio: ["ignore", "ignore", "inherit", "ipc"] });
    child.once("exit", (code) => {
      if (code !== 0 && child.connected) process.exitCode = 1;
    });
    if (first) child.send(first);
    const [ready] = (await once(child, "message")) as [{ port: number }];
    return new Child(child, ready);
  }

  /** User and system time since its start, in microseconds. */
  async cpuUs(): Promise<number> {
    this.#process.send({ ask: "cpu" });
    const [{ cpu }] = (await once(this.#process, "message")) as [{ cpu: NodeJS.CpuUsage }];
    return sum(cpu);
  }

  async stop(): Promise<void> {
    const over = once(this.#process, "exit");
    this.#process.disconnect();
    await over;
  }
}

/** A handset with its real line and calls; where voice would be, nothing is. */
class Handset {
  readonly uid: Uid;
  readonly #told = new EventEmitter();
  readonly #events: PhoneEvent[] = [];
  readonly #uplink: Uplink;
  readonly passed: Passed[] = [];
  recording = false;
  #follower: Follower | undefined;
  #calls: HandsetCalls | undefined;
