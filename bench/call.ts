/**
 * Server CPU of a brokered call with hang-up, beside the same frames and two OAEP encryptions without supervisor and parser.
 *
 *     this process: handsets in pairs                       INVITE, 100, INVITE, 180, 200, ACK, BYE, 200
 *       |-- load/server.ts         the product              load/signaller.ts: every signal, no private operation
 *       '-- load/bare-broker.ts    the literal way          load/bare-handset.ts: frames of the same lengths
 *
 * CPU is user and system time of the server process alone, its threads included, median of rounds. Calls are offered at
 * one rate to both, and rounds alternate, so that a busy machine troubles both. Real handsets, with all they compute and
 * without voice, say how long the signals are and how long a person waits.
 */
import assert from "node:assert/strict";
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import path from "node:path";
import { PAD_BYTES } from "@feldfon/protocol/channel/sealed";
import type { Passed } from "@feldfon/protocol/phone/line";
import type { Vault } from "@feldfon/protocol/vault";
import { openVault } from "@feldfon/vault";
import { BareHandset } from "./load/bare-handset.ts";
import type { StepBytes } from "./load/bare-line.ts";
import { offered } from "./load/crowd.ts";
import { atMost, median, stated } from "./load/figures.ts";
import { LoadHandset } from "./load/handset.ts";
import { ServerProcess } from "./load/server-process.ts";
import { Signaller } from "./load/signaller.ts";
import type { Figure } from "./main.ts";

const PAIRS = 15;
const OFFERED_PER_S = 300;
const WARM_UP_CALLS = 3_000;
const ROUND_CALLS = 600;
const ROUNDS = 7;
const REAL_CALLS = 20;
const WANTED_RATIO = 1.5;

/** One call of one pair, once its last one is over. */
type Pair = () => Promise<void>;

export async function run(): Promise<{ name: "call"; figures: Figure[] }> {
  const vault = openVault();
  const server = await ServerProcess.start();
  const people = await People.join(vault, server);
  const stepBytes = await people.lengthsOfSignals();
  const signallers = await connectSignallers(vault, server, stepBytes);
  const peer = await BareBroker.start(stepBytes);
  const bare = await Promise.all(signallers.map(({ spki }) => BareHandset.connect(peer.port, spki, stepBytes)));
  const pairs = inPairs(signallers);
  const barePairs = inPairs(bare);

  await makeCalls(pairs, WARM_UP_CALLS);
  await makeCalls(barePairs, WARM_UP_CALLS);
  const us = { server: [] as number[], peer: [] as number[] };
  for (let round = 0; round < ROUNDS; round++) {
    us.server.push((await server.cpuUs(() => makeCalls(pairs, ROUND_CALLS))) / ROUND_CALLS);
    us.peer.push((await peer.cpuUs(() => makeCalls(barePairs, ROUND_CALLS))) / ROUND_CALLS);
  }
  for (const end of [...signallers, ...bare]) end.close();
  const { setUpMs, cpuUs } = await people.callEachOther();

  people.close();
  await Promise.all([server.stop(), peer.stop()]);
  vault.wipeAll();
  return {
    name: "call",
    figures: [
      stated("server, one call with hang-up", median(us.server), "us CPU"),
      stated("the same frames and two OAEP, nothing else", median(us.peer), "us CPU"),
      atMost("server / the literal way", median(us.server) / median(us.peer), WANTED_RATIO),
      stated("two real handsets, one call, five private operations", cpuUs / 1_000, "ms CPU"),
      stated("from dialling to agreed keys", setUpMs, "ms"),
    ],
  };
}

function makeCalls(pairs: readonly Pair[], calls: number): Promise<unknown> {
  const turns = Array.from({ length: calls }, (_, turn) => pairs[turn % pairs.length]!);
  return offered(turns, OFFERED_PER_S, (call) => call());
}

function inPairs<End extends { call(other: End): Promise<void> }>(ends: readonly End[]): Pair[] {
  return Array.from({ length: ends.length >> 1 }, (_, pair) => {
    const [from, to] = [ends[2 * pair]!, ends[2 * pair + 1]!];
    let last = Promise.resolve();
    return () => {
      last = last.then(() => from.call(to));
      return last;
    };
  });
}

/** All of them know all of them, and their signals are as long as those of real handsets. */
async function connectSignallers(vault: Vault, { place }: ServerProcess, real: StepBytes): Promise<Signaller[]> {
  const recorder = new Recorder();
  const signallers: Signaller[] = [];
  for (let n = 1; n <= 2 * PAIRS; n++) {
    const passed = n === 1 ? recorder.caller : n === 2 ? recorder.callee : () => {};
    signallers.push(await Signaller.connect({ vault, n, place, passed }));
  }
  const { uid } = signallers.at(-1)!;
  await Promise.all(signallers.map((signaller) => signaller.knows(uid)));
  await signallers[0]!.call(signallers[1]!);
  assert.deepEqual(recorder.stepBytes, real, "the signals are not those of real handsets");
  return signallers;
}

/** Two real handsets without voice: they compute all that handsets compute. */
class People {
  readonly #recorder = new Recorder();
  readonly #caller: LoadHandset;
  readonly #callee: LoadHandset;

  static async join(vault: Vault, { place }: ServerProcess): Promise<People> {
    const recorder = new Recorder();
    const [n, m] = [2 * PAIRS + 1, 2 * PAIRS + 2];
    const caller = await LoadHandset.make({ vault, n, place, passed: recorder.caller });
    const callee = await LoadHandset.make({ vault, n: m, place, passed: recorder.callee });
    await caller.join();
    const known = once(caller.told, "directory");
    await callee.join();
    await known;
    return new People(recorder, caller, callee);
  }

  private constructor(recorder: Recorder, caller: LoadHandset, callee: LoadHandset) {
    this.#recorder = recorder;
    this.#caller = caller;
    this.#callee = callee;
  }

  async lengthsOfSignals(): Promise<StepBytes> {
    await this.#call();
    return this.#recorder.stepBytes;
  }

  /** @returns median from dialling to agreed keys, and CPU of this process for one call */
  async callEachOther(): Promise<{ setUpMs: number; cpuUs: number }> {
    const setUpMs: number[] = [];
    const before = process.cpuUsage();
    for (let call = 0; call < REAL_CALLS; call++) setUpMs.push(await this.#call());
    const { user, system } = process.cpuUsage(before);
    return { setUpMs: median(setUpMs), cpuUs: (user + system) / REAL_CALLS };
  }

  close(): void {
    this.#caller.close();
    this.#callee.close();
  }

  async #call(): Promise<number> {
    const both = [this.#caller, this.#callee];
    const agreed = Promise.all(both.map(({ told }) => once(told, "agreed")));
    const ended = Promise.all(both.map(({ told }) => once(told, "ended")));
    const beganMs = performance.now();
    await this.#caller.dial(this.#callee.uid);
    await agreed;
    const setUpMs = performance.now() - beganMs;
    this.#callee.hangUp();
    for (const [{ erased }] of await ended) assert.equal(erased, "both");
    return setUpMs;
  }
}

/** How long the messages of a call are on their way to the server and from it, padded as the channel pads them. */
class Recorder {
  readonly #bytes = new Map<string, number>();
  readonly caller = (message: Passed): void => this.#record("caller", message);
  readonly callee = (message: Passed): void => this.#record("callee", message);

  get stepBytes(): StepBytes {
    const passedOn = (from: "caller" | "callee", kind: string): { in: number; out: number } => ({
      in: this.#lengthOf(`${from} sent ${kind}`),
      out: this.#lengthOf(`${from === "caller" ? "callee" : "caller"} received ${kind}`),
    });
    return {
      invite: passedOn("caller", "INVITE"),
      trying: { in: 0, out: this.#lengthOf("caller received 100 INVITE") },
      ringing: passedOn("callee", "180 INVITE"),
      answer: passedOn("callee", "200 INVITE"),
      ack: passedOn("caller", "ACK"),
      bye: passedOn("callee", "BYE"),
      gone: passedOn("caller", "200 BYE"),
    };
  }

  #record(who: string, { direction, kind, size }: Passed): void {
    this.#bytes.set(`${who} ${direction} ${kind}`, Math.ceil((4 + size) / PAD_BYTES) * PAD_BYTES);
  }

  #lengthOf(message: string): number {
    const bytes = this.#bytes.get(message);
    assert.ok(bytes, `no "${message}" in a call`);
    return bytes;
  }
}

class BareBroker {
  readonly port: number;
  readonly #child: ChildProcess;

  static async start(stepBytes: StepBytes): Promise<BareBroker> {
    const child = fork(path.join(import.meta.dirname, "load", "bare-broker.ts"), {
      stdio: ["ignore", "ignore", "inherit", "ipc"],
    });
    child.send(stepBytes);
    const [{ port }] = (await once(child, "message")) as [{ port: number }];
    return new BareBroker(child, port);
  }

  private constructor(child: ChildProcess, port: number) {
    this.#child = child;
    this.port = port;
  }

  /** @returns CPU microseconds, user and system, that it spends meanwhile */
  async cpuUs(act: () => Promise<unknown>): Promise<number> {
    const before = await this.#cpuUs();
    await act();
    return (await this.#cpuUs()) - before;
  }

  async stop(): Promise<void> {
    const over = once(this.#child, "exit");
    this.#child.disconnect();
    await over;
  }

  async #cpuUs(): Promise<number> {
    this.#child.send("cpu");
    const [{ us }] = (await once(this.#child, "message")) as [{ us: number }];
    return us;
  }
}
