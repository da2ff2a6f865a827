/**
 * Pulls plugs at random moments and asks an oracle afterwards, which knows what was acknowledged.
 *
 *     run --fault--> hold (no new calls) --until all is well, at most 10 s--> oracle --> run --fault--> ..
 *
 * All is well when every handset is connected, has the server's root and every row that was ever acknowledged, and every
 * call that one end believes in is believed in by the other.
 */
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import type { Uid } from "@feldfon/protocol/identity";
import { Chance } from "./chance.ts";
import type { HandsetState, HandsetsQuestion } from "./handsets.ts";
import { ServerProcess } from "./server-process.ts";

export const FAULTS = [
  "server killed",
  "handsets killed",
  "server stalled",
  "handsets stalled",
  "lines cut",
  "slow readers",
  "half-open flood",
  "disk full",
] as const;
export type Fault = (typeof FAULTS)[number];

export interface Suffered {
  /** From the end of each fault until all was well, in ms. */
  recoveries: { fault: Fault; ms: number }[];
  acknowledged: number;
  /** Calls that went on at the moments of comparison. */
  callsCompared: number;
  wrong: string[];
}

const PROCESSES = 4;
const HANDSETS_EACH = 3;
const RECOVERY_MS = 10_000;
const STALL_MS = 2_000;
/** Bounded, from two addresses, of which each may have 16 lines half open. */
const FLOOD_LINES = 64;

export async function suffer(faults: readonly Fault[], seed: number): Promise<Suffered> {
  const chance = new Chance(seed);
  const folder = await mkdtemp(path.join(tmpdir(), "feldfon-faults-"));
  const server = await ServerProcess.start();
  const groups = await Promise.all(
    Array.from({ length: PROCESSES }, (_, index) => Group.start(server, folder, 1 + index * HANDSETS_EACH)),
  );
  const told: Suffered = { recoveries: [], acknowledged: 0, callsCompared: 0, wrong: [] };
  const oracle = new Oracle(server, groups);
  told.wrong.push(...(await oracle.untilWell("the beginning")).wrong);
  for (const fault of faults) {
    await Promise.all(groups.map((group) => group.ask("go")));
    await pause(chance.between(300, 1_800));
    await oracle.note();
    await inflict(fault, server, chance.of(groups), chance);
    const { ms, wrong, calls } = await oracle.untilWell(fault);
    told.recoveries.push({ fault, ms });
    told.callsCompared += calls;
    told.wrong.push(...wrong);
  }
  told.acknowledged = oracle.acknowledged.size;
  await Promise.all(groups.map((group) => group.stop()));
  await server.stop();
  await rm(folder, { recursive: true });
  return told;
}

/** Returns when the fault is over. */
async function inflict(fault: Fault, server: ServerProcess, group: Group, chance: Chance): Promise<void> {
  switch (fault) {
    case "server killed":
      await server.kill();
      await pause(chance.between(0, 1_500));
      return await server.restart();
    case "handsets killed":
      await group.kill();
      await pause(chance.between(0, 1_500));
      return await group.restart();
    case "server stalled":
      return await stall(server.pid);
    case "handsets stalled":
      return await stall(group.pid);
    case "lines cut":
      await group.ask("cut");
      return;
    case "slow readers":
      await group.ask("stall");
      return;
    case "half-open flood":
      return await flood(server.place.port, chance);
    case "disk full":
      await server.kill();
      await server.restart(true);
      await pause(STALL_MS);
      await server.kill();
      return await server.restart();
  }
}

async function stall(pid: number): Promise<void> {
  process.kill(pid, "SIGSTOP");
  await pause(STALL_MS);
  process.kill(pid, "SIGCONT");
}

/** Lines that never prove themselves: half of them silent, half of them talking nonsense. */
async function flood(port: number, chance: Chance): Promise<void> {
  const sockets: Socket[] = [];
  for (let line = 0; line < FLOOD_LINES; line++) {
    const socket = connect({ host: "127.0.0.1", port, localAddress: `127.0.200.${1 + (line % 2)}` });
    socket.on("error", () => {});
    if (chance.next() < 0.5) socket.write(Buffer.from([0, 0, 0, 4, 1, 2, 3, 4]));
    sockets.push(socket);
  }
  await pause(STALL_MS);
  for (const socket of sockets) socket.destroy();
}

/** A process of handsets. */
class Group {
  readonly #server: ServerProcess;
  readonly #folder: string;
  readonly #from: number;
  #child: ChildProcess | undefined;

  static async start(server: ServerProcess, folder: string, from: number): Promise<Group> {
    const group = new Group(server, folder, from);
    await group.restart();
    return group;
  }

  private constructor(server: ServerProcess, folder: string, from: number) {
    this.#server = server;
    this.#folder = folder;
    this.#from = from;
  }

  get pid(): number {
    return this.#child!.pid!;
  }

  async restart(): Promise<void> {
    const { port, uid } = this.#server.place;
    const args = [port, uid, this.#folder, this.#from, HANDSETS_EACH].map(String);
    this.#child = fork(path.join(import.meta.dirname, "handsets.ts"), args, {
      stdio: ["ignore", "ignore", "inherit", "ipc"],
    });
    await once(this.#child, "message");
  }

  async ask(question: HandsetsQuestion): Promise<HandsetState[]> {
    this.#child!.send(question);
    const [states] = (await once(this.#child!, "message")) as [HandsetState[]];
    return states;
  }

  async kill(): Promise<void> {
    const over = once(this.#child!, "exit");
    this.#child!.kill("SIGKILL");
    await over;
  }

  async stop(): Promise<void> {
    const over = once(this.#child!, "exit");
    this.#child!.disconnect();
    await over;
  }
}

class Oracle {
  /** Everybody who was ever told that it is in the directory; nobody of them leaves. */
  readonly acknowledged = new Set<Uid>();
  readonly #server: ServerProcess;
  readonly #groups: readonly Group[];

  constructor(server: ServerProcess, groups: readonly Group[]) {
    this.#server = server;
    this.#groups = groups;
  }

  /** Writes down what has been acknowledged up to now. */
  async note(): Promise<void> {
    for (const { uid, acknowledged } of await this.#states("state")) if (acknowledged) this.acknowledged.add(uid);
  }

  /** Compares again and again. What is still wrong after 10 s is wrong. */
  async untilWell(after: string): Promise<{ ms: number; wrong: string[]; calls: number }> {
    const beganMs = Date.now();
    for (; ; await pause(100)) {
      const states = await this.#states("hold");
      const wrong = await this.#differences(states);
      const ms = Date.now() - beganMs;
      const calls = states.reduce((sum, { talking }) => sum + talking.length, 0) / 2;
      if (wrong.length === 0) return { ms, wrong, calls };
      if (ms > RECOVERY_MS) return { ms, wrong: wrong.map((what) => `after "${after}": ${what}`), calls };
    }
  }

  async #states(question: "hold" | "state"): Promise<HandsetState[]> {
    return (await Promise.all(this.#groups.map((group) => group.ask(question)))).flat();
  }

  async #differences(states: readonly HandsetState[]): Promise<string[]> {
    const wrong: string[] = [];
    const { root, rows } = await this.#server.ask("state");
    const byUid = new Map(states.map((state) => [state.uid, state]));
    if (rows < this.acknowledged.size + 1) wrong.push(`${rows - 1} rows, ${this.acknowledged.size} were acknowledged`);
    for (const { uid, connected, stuck, root: own, rows: known, talking } of states) {
      const who = uid.slice(0, 8);
      if (stuck !== undefined) wrong.push(`${who} has given up: ${stuck}`);
      if (!connected) wrong.push(`${who} is not connected`);
      if (own !== root) wrong.push(`${who} has another root than the server`);
      const missing = [...this.acknowledged].filter((other) => !known.includes(other));
      if (missing.length > 0) wrong.push(`${who} misses ${missing.length} acknowledged rows`);
      for (const { callId, peer } of talking) {
        const theirs = byUid.get(peer)?.talking.some((other) => other.callId === callId);
        if (!theirs) wrong.push(`${who} is in a call that its other end is not in`);
      }
    }
    return wrong;
  }
}
