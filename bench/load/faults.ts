/**
 * Pulls plugs at random moments and asks an oracle afterwards, which knows what was acknowledged (oracle.ts).
 *
 *     go --a newcomer joins--> fault --> hold (nobody begins anything) --until all is well--> go --> ..
 *
 * A server process; processes of many handsets without screen and voice (handsets.ts), which call, leave and join again
 * all the time; and handset processes as people have them, behind wires that can be lost (handset-process.ts).
 */
import { mkdtemp, rm } from "node:fs/promises";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import type { Way } from "@feldfon/simulator/proxy";
import { Chance } from "./chance.ts";
import { HandsetGroup } from "./handset-group.ts";
import { HandsetProcess, handsetName } from "./handset-process.ts";
import { type HandsetState, Oracle } from "./oracle.ts";
import { ServerProcess } from "./server-process.ts";
import { SmallDisk } from "./small-disk.ts";

/** kill -9, each of them. */
export const KILLS = ["server killed", "handset killed", "handsets killed", "all killed"] as const;
export const OTHER_FAULTS = [
  "server restarted",
  "server stalled",
  "server frozen",
  "handset stalled",
  "handset frozen",
  "handsets stalled",
  "handset away",
  "line reset",
  "line closed",
  "line silent",
  "wire held",
  "lines cut",
  "slow readers",
  "half-open flood",
  "disk full",
] as const;
export const FAULTS = [...KILLS, ...OTHER_FAULTS];
export type Fault = (typeof FAULTS)[number];

export interface Suffered {
  /** From the end of each fault until all was well, in ms. */
  recoveries: { fault: Fault; ms: number }[];
  /** Until a handset knew that its line was dead, which nobody had told it, in ms. */
  noticedMs: number[];
  /** Joins that were answered 200. */
  acknowledged: number;
  /** Epochs that somebody has seen. */
  epochs: number;
  /** Calls that went on at the moments of comparison. */
  callsCompared: number;
  callsAgreed: number;
  /** Batches that a full disk did not take. */
  batchesRefused: number;
  wrong: string[];
}

export interface Sufferers {
  seed: number;
  groups?: number;
  handsetsEach?: number;
  phones?: number;
  /** Tells what happens, as it happens. */
  say?: (sentence: string) => void;
}

/** Everyone is connected again in this time. */
export const RECOVERY_MS = 10_000;
/** A line that nobody says is dead: a delta 20 s later puts off the PING, and the server waits 30 s for its answer. */
export const NOTICE_MS = 51_000;
/** Grace and ticket, and a tick. */
const AWAY_MS = 31_500;
/** As when a lid is closed: longer than grace, ticket and everybody's patience with an answer. */
const FROZEN_MS = 40_000;
const STALL_MS = { least: 1_000, most: 8_000 };
const DOWN_MS = { least: 0, most: 1_500 };
const FLOOD_MS = 2_000;
/** Bounded, from two addresses, of which each may have 16 lines half open. */
const FLOOD_LINES = 64;
/** So many join for the first time, one before each fault. */
const MOST_NEWCOMERS = 40;
/** More than a page of the store takes: a store that may not grow refuses one of them for certain. */
const PAGEFUL = 8;
/** Both directions, j, and the ticket's two. */
const SLOTS_A_LINE = 5;

export async function suffer(faults: readonly Fault[], sufferers: Sufferers): Promise<Suffered> {
  const house = await House.open(sufferers);
  try {
    return await house.suffer(faults);
  } finally {
    await house.close();
  }
}

class House {
  readonly #chance: Chance;
  readonly #say: (sentence: string) => void;
  readonly #oracle = new Oracle();
  readonly #wrong: string[] = [];
  readonly #folder: string;
  readonly #disk: SmallDisk | undefined;
  readonly #server: ServerProcess;
  readonly #groups: HandsetGroup[] = [];
  readonly #phones: HandsetProcess[] = [];
  #nextKey = 1;
  #newcomers = 0;
  #batchesRefused = 0;
  readonly #noticedMs: number[] = [];

  static async open(sufferers: Sufferers): Promise<House> {
    const folder = await mkdtemp(path.join(tmpdir(), "feldfon-faults-"));
    const disk = SmallDisk.mount();
    const house = new House(sufferers, folder, disk, await ServerProcess.start(disk ? { within: disk.folder } : {}));
    try {
      await house.#fill(sufferers);
      return house;
    } catch (error) {
      await house.close();
      throw error;
    }
  }

  private constructor(sufferers: Sufferers, folder: string, disk: SmallDisk | undefined, server: ServerProcess) {
    this.#chance = new Chance(sufferers.seed);
    this.#say = sufferers.say ?? (() => {});
    this.#folder = folder;
    this.#disk = disk;
    this.#server = server;
  }

  async #fill({ seed, groups = 4, handsetsEach = 3, phones = 4 }: Sufferers): Promise<void> {
    const { place: server } = this.#server;
    const around = { server, folder: this.#folder, hear: this.#oracle.hear.bind(this.#oracle) };
    // In the order of their keys, so that the seed picks the same ones again.
    const phonesStarting = Array.from({ length: phones }, (_, index) => {
      const chance = new Chance(seed + 1_000 + index);
      return HandsetProcess.start({ ...around, n: this.#nextKey++, name: handsetName(index), chance });
    });
    const groupsStarting = Array.from({ length: groups }, () => {
      const numbers = Array.from({ length: handsetsEach }, () => this.#nextKey++);
      return HandsetGroup.start({ ...around, numbers, seed });
    });
    this.#phones.push(...(await Promise.all(phonesStarting)));
    this.#groups.push(...(await Promise.all(groupsStarting)));
  }

  async suffer(faults: readonly Fault[]): Promise<Suffered> {
    const beganMs = Date.now();
    const recoveries: Suffered["recoveries"] = [];
    let callsCompared = 0;
    await this.#untilWell("the beginning", 2 * RECOVERY_MS);
    for (const [index, fault] of faults.entries()) {
      await this.#hold(false);
      await pause(this.#chance.between(300, 1_800));
      await this.#newcomer();
      const when = `${index + 1}/${faults.length} at ${((Date.now() - beganMs) / 1_000).toFixed(1)} s`;
      const what = await this.#inflict(fault);
      const { ms, calls } = await this.#untilWell(`${when}, ${what}`, RECOVERY_MS);
      recoveries.push({ fault, ms });
      callsCompared += calls;
      this.#say(`${when}: ${what}; all is well after ${(ms / 1_000).toFixed(1)} s, ${calls} calls go on`);
    }
    const states = await this.#end();
    return {
      recoveries,
      noticedMs: this.#noticedMs,
      acknowledged: this.#oracle.acknowledged,
      epochs: this.#oracle.epochs,
      callsCompared,
      callsAgreed: states.flatMap(({ calls }) => calls).filter(({ agreed }) => agreed).length / 2,
      batchesRefused: this.#batchesRefused,
      wrong: [...this.#oracle.wrong, ...this.#wrong],
    };
  }

  async close(): Promise<void> {
    await Promise.allSettled([...this.#phones, ...this.#groups].map((one) => one.stop()));
    await this.#server.stop();
    this.#disk?.unmount();
    await rm(this.#folder, { recursive: true });
  }

  /** @returns what was done, in words, once it is over */
  async #inflict(fault: Fault): Promise<string> {
    const chance = this.#chance;
    const group = chance.of(this.#groups);
    const phone = chance.of(this.#phones);
    const downMs = chance.between(DOWN_MS.least, DOWN_MS.most);
    const stallMs = chance.between(STALL_MS.least, STALL_MS.most);
    const killed = `killed for ${seconds(downMs)}`;
    // Somewhere in the newcomer's connect.
    await pause(chance.between(0, 150));
    switch (fault) {
      case "server killed":
        await this.#killServer();
        await pause(downMs);
        await this.#server.restart();
        return `server ${killed}`;
      case "handset killed":
        await phone.kill();
        await pause(downMs);
        await phone.restart();
        return `${phone.name} ${killed}`;
      case "handsets killed":
        await group.kill();
        await pause(downMs);
        await group.restart();
        return `${group.size} handsets ${killed}`;
      case "all killed":
        await Promise.all([group.kill(), phone.kill(), this.#server.kill()]);
        await this.#checkDisk();
        await pause(downMs);
        await Promise.all([this.#server.restart(), phone.restart(), group.restart()]);
        return `server, ${phone.name} and ${group.size} handsets ${killed}`;
      case "handset away":
        return await this.#sendAway(phone);
      case "server restarted":
        await this.#server.ask("close");
        await this.#killServer();
        await pause(downMs);
        await this.#server.restart();
        return `server stopped in order for ${seconds(downMs)}`;
      case "server stalled":
        return `server ${await stalled(this.#server.pid, stallMs)}`;
      case "server frozen":
        return `server ${await stalled(this.#server.pid, FROZEN_MS)}`;
      case "handset frozen":
        // Its place may go meanwhile.
        this.#oracle.hear({ what: "leaving", uid: phone.uid });
        return `${phone.name} ${await stalled(phone.pid, FROZEN_MS)}`;
      case "handset stalled":
        return `${phone.name} ${await stalled(phone.pid, stallMs)}`;
      case "handsets stalled":
        return `${group.size} handsets ${await stalled(group.pid, stallMs)}`;
      case "line reset":
        phone.wire.cut();
        await pause(downMs);
        phone.wire.restore();
        return `line of ${phone.name} reset for ${seconds(downMs)}`;
      case "line closed":
        phone.wire.finish();
        return `line of ${phone.name} closed`;
      case "line silent": {
        const ways = chance.of<readonly Way[]>([["up"], ["down"], ["up", "down"]]);
        return `line of ${phone.name} silent ${ways.join(" and ")}, noticed after ${await this.#silence(phone, ways)}`;
      }
      case "wire held":
        phone.wire.stall();
        await pause(stallMs);
        phone.wire.restore();
        return `wire of ${phone.name} held for ${seconds(stallMs)}`;
      case "lines cut":
        await group.ask("cut");
        return `lines of ${group.size} handsets cut`;
      case "slow readers":
        await group.ask("stall");
        return `${group.size} handsets read nothing`;
      case "half-open flood":
        await this.#flood();
        return `${FLOOD_LINES} lines half open`;
      case "disk full":
        return await this.#fillDisk(chance.next() < 0.5, stallMs);
    }
  }

  /** @returns how long it took to be noticed, while life goes on */
  async #silence(phone: HandsetProcess, ways: readonly Way[]): Promise<string> {
    const before = phone.linesLost;
    const beganMs = Date.now();
    phone.wire.lose(...ways);
    while (phone.linesLost === before && Date.now() - beganMs < NOTICE_MS) await pause(50);
    if (phone.linesLost === before) this.#wrong.push(`${phone.name} takes a dead line for a living one`);
    this.#noticedMs.push(Date.now() - beganMs);
    return seconds(Date.now() - beganMs);
  }

  /** Longer than anybody waits for it: its place goes, and whoever it was in a call with knows. Then it is back. */
  async #sendAway(phone: HandsetProcess): Promise<string> {
    const { uid, name } = phone;
    await phone.kill();
    this.#oracle.hear({ what: "leaving", uid });
    await pause(AWAY_MS);
    await this.#untilWell(`${name} away`, RECOVERY_MS, phone);
    await phone.restart();
    return `${name} away for ${seconds(AWAY_MS)}`;
  }

  /** While handsets come and go; with `power` the server is killed as well and has to start on the full disk. */
  async #fillDisk(power: boolean, stallMs: number): Promise<string> {
    this.#disk?.fill();
    if (power || !this.#disk) {
      await this.#killServer();
      await this.#server.restart({ full: !this.#disk });
    }
    for (let more = this.#disk ? 1 : PAGEFUL; more > 0; more--) await this.#newcomer();
    await pause(stallMs);
    this.#batchesRefused += (await this.#server.ask("state")).batchesFailed;
    this.#disk?.makeRoom();
    if (!this.#disk) {
      await this.#killServer();
      await this.#server.restart();
    }
    return `disk full for ${seconds(stallMs)}${power ? ", server killed on it" : ""}`;
  }

  /** Lines that never prove themselves: half of them silent, half of them talking nonsense. */
  async #flood(): Promise<void> {
    const sockets: Socket[] = [];
    for (let line = 0; line < FLOOD_LINES; line++) {
      const localAddress = `127.0.200.${1 + (line % 2)}`;
      const socket = connect({ host: "127.0.0.1", port: this.#server.place.port, localAddress });
      socket.on("error", () => {});
      if (this.#chance.next() < 0.5) socket.write(Buffer.from([0, 0, 0, 4, 1, 2, 3, 4]));
      sockets.push(socket);
    }
    await pause(FLOOD_MS);
    for (const socket of sockets) socket.destroy();
  }

  async #killServer(): Promise<void> {
    await this.#server.kill();
    await this.#checkDisk();
  }

  async #checkDisk(): Promise<void> {
    // What the handsets had been told before is heard first.
    await this.#states();
    this.#wrong.push(...this.#oracle.onDisk(await this.#server.stored()));
  }

  async #newcomer(): Promise<void> {
    if (this.#newcomers === MOST_NEWCOMERS) return;
    await this.#groups[this.#newcomers++ % this.#groups.length]!.add(this.#nextKey++);
  }

  async #hold(on: boolean): Promise<void> {
    for (const phone of this.#phones) phone.hold(on);
    await Promise.all(this.#groups.map((group) => group.ask(on ? "hold" : "go")));
  }

  /** Compares again and again. What is still wrong at the end of that time is wrong. */
  async #untilWell(after: string, withinMs: number, but?: HandsetProcess): Promise<{ ms: number; calls: number }> {
    const beganMs = Date.now();
    await this.#hold(true);
    for (; ; await pause(100)) {
      const states = (await this.#states()).filter(({ uid }) => uid !== but?.uid);
      const server = await this.#server.ask("state");
      const wrong = this.#oracle.apart(states, server);
      const ms = Date.now() - beganMs;
      if (wrong.length > 0 && ms <= withinMs) continue;
      this.#wrong.push(...wrong.map((what) => `after ${after}: ${what}`));
      return { ms, calls: server.calls };
    }
  }

  async #states(): Promise<HandsetState[]> {
    const running = this.#groups.filter((group) => group.running);
    const groups = await Promise.all(running.map((group) => group.ask("state")));
    return [...groups.flat(), ...this.#phones.map(({ state }) => state)];
  }

  /** All calls are ended by a person, all lines are left alone; then nobody holds a key too many. */
  async #end(): Promise<HandsetState[]> {
    await this.#hold(true);
    const untilMs = Date.now() + AWAY_MS + RECOVERY_MS;
    for (; ; await pause(200)) {
      for (const phone of this.#phones) phone.hangUp();
      await Promise.all(this.#groups.map((group) => group.ask("hang up")));
      const states = await this.#states();
      const server = await this.#server.ask("state");
      const wrong = this.#oracle.apart(states, server);
      if (server.calls > 0) wrong.push(`${server.calls} calls cannot be ended`);
      if (server.slots !== SLOTS_A_LINE * states.length) {
        wrong.push(
          `the server holds ${server.slots} slots, ${SLOTS_A_LINE} for each of ${states.length} lines expected`,
        );
      }
      if (wrong.length > 0 && Date.now() < untilMs) continue;
      this.#wrong.push(...wrong.map((what) => `at the end: ${what}`));
      await this.#killServer();
      return states;
    }
  }
}

async function stalled(pid: number, ms: number): Promise<string> {
  process.kill(pid, "SIGSTOP");
  await pause(ms);
  process.kill(pid, "SIGCONT");
  return `stalled for ${seconds(ms)}`;
}

function seconds(ms: number): string {
  return `${(ms / 1_000).toFixed(1)} s`;
}
