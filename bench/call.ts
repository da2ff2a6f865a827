/**
 * Server CPU of a brokered call with hang-up, beside the same signals and two OAEP encryptions without supervisor and parser.
 *
 *     this process: handsets in pairs                         INVITE, 100, INVITE, 180, 200, ACK, BYE, 200
 *       |-- load/server.ts           the product              load/signaller.ts: every signal, no private operation
 *       |-- load/sealed-broker.ts    on the product's line    load/peer-steps.ts: frames as long as the signals'
 *       '-- load/bare-broker.ts      on node:crypto alone     the same
 *
 * CPU is user and system time of the server process alone, its threads included, median of rounds. Calls are offered at
 * one rate to all three, and rounds alternate; a ratio is of one round, so that a busy machine troubles both sides of
 * it. Real handsets, with all they compute and without voice, say how long the signals are and how long a person waits.
 */
import assert from "node:assert/strict";
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import path from "node:path";
import { PAD_BYTES } from "@feldfon/protocol/channel/sealed";
import type { Passed } from "@feldfon/protocol/phone/line";
import type { Vault } from "@feldfon/protocol/vault";
import { openVault } from "@feldfon/vault";
import { connectBare } from "./load/bare-line.ts";
import { offered } from "./load/crowd.ts";
import { atMost, median, stated } from "./load/figures.ts";
import { LoadHandset, type ServerPlace } from "./load/handset.ts";
import type { StepBytes } from "./load/peer-steps.ts";
import { connectSealed } from "./load/sealed-line.ts";
import { ServerProcess, serverEnvironment } from "./load/server-process.ts";
import { Signaller } from "./load/signaller.ts";
import type { Figure } from "./main.ts";

const PAIRS = 15;
/** Of the pool; 0 is the server's. */
const KEYS = Array.from({ length: 2 * PAIRS }, (_, index) => index + 1);
/** A busy server: several messages wait when it looks. */
const OFFERED_PER_S = 600;
const WARM_UP_CALLS = 3_000;
const ROUND_CALLS = 600;
const ROUNDS = 9;
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
  const sealed = await Peer.start("sealed-broker.ts", stepBytes);
  const bare = await Peer.start("bare-broker.ts", stepBytes);
  const contestants = [
    { of: server, pairs: inPairs(signallers), us: [] as number[] },
    {
      of: sealed,
      pairs: inPairs(await Promise.all(KEYS.map((n) => connectSealed(vault, n, sealed.place, stepBytes)))),
      us: [] as number[],
    },
    {
      of: bare,
      pairs: inPairs(await Promise.all(signallers.map(({ spki }) => connectBare(bare.place.port, spki, stepBytes)))),
      us: [] as number[],
    },
  ];

  for (const { pairs } of contestants) await makeCalls(pairs, WARM_UP_CALLS);
  for (let round = 0; round < ROUNDS; round++) {
    for (const { of, pairs, us } of contestants) {
      us.push((await of.cpuUs(() => makeCalls(pairs, ROUND_CALLS))) / ROUND_CALLS);
    }
  }
  const { setUpMs, cpuUs } = await people.callEachOther();

  for (const end of [...signallers, people]) end.close();
  await Promise.all(contestants.map(({ of }) => of.stop()));
  vault.wipeAll();
  const [ours, sealedPeer, barePeer] = contestants.map(({ us }) => us) as [number[], number[], number[]];
  const timesOf = (peer: number[]): number => median(ours.map((us, round) => us / peer[round]!));
  return {
    name: "call",
    figures: [
      stated("server, one call with hang-up", median(ours), "us CPU"),
      stated("the same signals and two OAEP, without supervisor and parser", median(sealedPeer), "us CPU"),
      atMost("server / without supervisor and parser", timesOf(sealedPeer), WANTED_RATIO),
      stated("frames of that length and two OAEP on node:crypto alone", median(barePeer), "us CPU"),
      stated("server / node:crypto alone", timesOf(barePeer), "ratio"),
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
  for (const n of KEYS) {
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

/** How long the messages of a call are on their way to the server and from it. */
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
    // A counter's digits come and go; what counts is the frame (wire.md 1, CHANNEL), of which this fills every byte.
    this.#bytes.set(`${who} ${direction} ${kind}`, Math.ceil((size + 4) / PAD_BYTES) * PAD_BYTES - 4);
  }

  #lengthOf(message: string): number {
    const bytes = this.#bytes.get(message);
    assert.ok(bytes, `no "${message}" in a call`);
    return bytes;
  }
}

class Peer {
  readonly place: ServerPlace;
  readonly #child: ChildProcess;

  static async start(file: string, stepBytes: StepBytes): Promise<Peer> {
    const child = fork(path.join(import.meta.dirname, "load", file), {
      env: serverEnvironment(),
      stdio: ["ignore", "ignore", "inherit", "ipc"],
    });
    child.send(stepBytes);
    const [place] = (await once(child, "message")) as [ServerPlace];
    return new Peer(child, place);
  }

  private constructor(child: ChildProcess, place: ServerPlace) {
    this.#child = child;
    this.place = place;
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
