/**
 * A handset as people have it: the product's own process, with screen, buttons and voice, behind a wire in our hands.
 *
 *     start -> (calls the others, answers, hangs up) -> kill, stall, its wire lost .. -> restart -> .. -> stop
 *
 * What it believes is taken from what it prints. It presses Connect once after each start; the rest it does by itself.
 */
import { copyFile, mkdir } from "node:fs/promises";
import path from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import type { ContactShown, DirectoryShown, LineEvent } from "@feldfon/firmware/handset/link";
import { pathsIn } from "@feldfon/firmware/settings";
import { parseUid, type Uid } from "@feldfon/protocol/identity";
import { type Line, Program } from "@feldfon/simulator/program";
import { LineProxy } from "@feldfon/simulator/proxy";
import { poolKey } from "../key-pool.ts";
import type { Chance } from "./chance.ts";
import type { ServerPlace } from "./handset.ts";
import type { CallState, HandsetState, Told } from "./oracle.ts";

const START_MS = 30_000;
const PRESS_MS = 200;
/** A press that changed nothing is tried again after this time, and not before: the next screen may be on its way. */
const AGAIN_MS = 2_000;

/** From each screen one press nearer to the phonebook. A call that rings is answered, one that goes on is left alone. */
const PRESSES: Readonly<Record<string, string>> = {
  off: "connect",
  verified: "call",
  incoming: "call",
  "leave?": "hang-up",
  ended: "hang-up",
  missed: "hang-up",
  updated: "hang-up",
  changes: "hang-up",
  fault: "hang-up",
  battery: "hang-up",
};

/** Where its owner loses patience after a while. */
const GIVEN_UP: ReadonlySet<string> = new Set(["dial", "dialling", "ringing-out", "in-call"]);

const NO_SCREEN = { name: "", facts: {} };

export interface HandsetProcessOptions {
  /** Of its key in the pool. */
  n: number;
  name: string;
  server: ServerPlace;
  /** A folder of its own is made in it. */
  folder: string;
  chance: Chance;
  hear(told: Told): void;
}

export class HandsetProcess {
  readonly wire: LineProxy;
  linesLost = 0;
  readonly #options: HandsetProcessOptions;
  #program: Program | undefined;
  #uid: Uid | undefined;
  #screen: { name: string; facts: Record<string, unknown> } = NO_SCREEN;
  /** When a press for this screen was made. */
  #pressedMs = 0;
  #connected = false;
  #stuck: string | undefined;
  #directory: DirectoryShown | undefined;
  #calls: CallState[] = [];
  #held = true;
  #pressing: NodeJS.Timeout | undefined;
  /** When the running call is hung up, or the next one made. */
  #nextMs = 0;

  static async start(options: HandsetProcessOptions): Promise<HandsetProcess> {
    const handset = new HandsetProcess(options, await LineProxy.open(options.server.port));
    const data = path.join(options.folder, options.name);
    await mkdir(data, { mode: 0o700 });
    await copyFile(await poolKey(options.n), pathsIn(data).key);
    await handset.restart();
    return handset;
  }

  private constructor(options: HandsetProcessOptions, wire: LineProxy) {
    this.#options = options;
    this.wire = wire;
  }

  get pid(): number {
    return this.#program!.pid;
  }

  get uid(): Uid {
    return this.#uid!;
  }

  get name(): string {
    return this.#options.name;
  }

  get state(): HandsetState {
    const { epoch, seedRoot, directoryRoot, contacts = [] } = this.#directory ?? {};
    return {
      uid: this.uid,
      name: this.name,
      connected: this.#connected,
      stuck: this.#stuck,
      head: this.#directory && `${epoch} ${seedRoot} ${directoryRoot}`,
      rows: contacts.map((contact) => contact.uid),
      calls: this.#calls,
    };
  }

  /** While held it begins no call and ends none. */
  hold(on: boolean): void {
    this.#held = on;
  }

  hangUp(): void {
    if (this.#calls.some(({ ended }) => !ended)) this.#program!.send("press hang-up");
  }

  async restart(): Promise<void> {
    const { name, folder, server } = this.#options;
    this.#directory = undefined;
    this.#stuck = undefined;
    this.#screen = NO_SCREEN;
    this.#calls = [];
    const flags = ["--board", "terminal", "--json", "--language", "en", "--name", name, "--no-pin"];
    flags.push(
      "--data",
      path.join(folder, name),
      "--server",
      `127.0.0.1:${this.wire.port}`,
      "--server-key",
      server.uid,
    );
    const program = new Program(name, "firmware/main.ts", flags, {
      ownSession: true,
      onLine: (line) => program === this.#program && this.#heard(line),
      onExit: () => {
        if (program !== this.#program) return;
        this.#connected = false;
        this.#stuck = "its process has ended";
      },
    });
    this.#program = program;
    const [, uid] = await program.complaint("its key", /fingerprint ([0-9a-f]{64})/, START_MS);
    this.#uid = parseUid(uid!);
    this.#pressing = setInterval(() => this.#press(), PRESS_MS);
  }

  /** kill -9 */
  async kill(): Promise<void> {
    const program = this.#program!;
    this.#program = undefined;
    clearInterval(this.#pressing);
    this.#connected = false;
    await program.end(() => program.kill());
  }

  async stop(): Promise<void> {
    const program = this.#program;
    this.#program = undefined;
    clearInterval(this.#pressing);
    await program?.end(() => program.endInput());
    this.wire.close();
  }

  /** One thing that its owner does. */
  #press(): void {
    const nowMs = Date.now();
    const { name } = this.#screen;
    const press = PRESSES[name];
    if (press !== undefined) {
      if (nowMs < this.#pressedMs + AGAIN_MS) return;
      this.#pressedMs = nowMs;
      return this.#program!.send(`press ${press}`);
    }
    if (this.#held || nowMs < this.#nextMs) return;
    const { chance } = this.#options;
    this.#nextMs = nowMs + chance.between(500, 3_000);
    if (GIVEN_UP.has(name)) return this.#program!.send("press hang-up");
    const others = this.#directory?.contacts.filter((contact) => !contact.own && isOneOfUs(contact)) ?? [];
    if (name === "phonebook" && others.length > 0) void this.#dial(chance.of(others));
  }

  /** Ids close up when somebody leaves: who is found under the digits is looked at before Call is pressed. */
  async #dial({ id }: ContactShown): Promise<void> {
    const program = this.#program!;
    // The phonebook has uses of its own for some digits, not for a zero in front.
    program.send(`key 0${id}`);
    await pause(PRESS_MS / 2);
    const { name, facts } = this.#screen;
    const found = this.#directory?.contacts.find(({ uid }) => uid === facts.uid);
    if (name === "dial" && found && isOneOfUs(found)) program.send("press call");
  }

  #heard(line: Line): void {
    if (line.type === "event") this.#happened(line as unknown as LineEvent);
    if (line.type !== "screen") return;
    const { name, facts } = line as { name: string; facts: Record<string, unknown> };
    if (name !== this.#screen.name) this.#pressedMs = 0;
    this.#screen = { name, facts };
  }

  #happened(event: LineEvent): void {
    const call = "callId" in event ? this.#calls.find(({ callId }) => callId === event.callId) : undefined;
    switch (event.event) {
      case "step":
        if (event.step === "1.1") this.#options.hear({ what: "registered", uid: this.uid });
        break;
      case "connected":
      case "directory": {
        if (event.event === "connected") this.#connected = true;
        this.#directory = event.directory;
        const { epoch } = event.directory;
        this.#options.hear({ what: "head", epoch, content: this.state.head!, hash: undefined });
        break;
      }
      case "disconnected":
        this.linesLost++;
        this.#connected = false;
        if (event.retryInMs === undefined) this.#stuck = event.code;
        break;
      case "evidence":
        this.#stuck = "it holds evidence against the server";
        break;
      case "dialling":
      case "incoming":
        if (event.callId !== "") {
          this.#calls.push({ callId: event.callId, peer: event.peer.uid, agreed: false, ended: undefined });
        }
        break;
      case "in-call":
        if (call) call.agreed = true;
        break;
      case "ended":
        if (call) call.ended = { why: event.why, erased: event.erased };
        break;
    }
  }
}

/** Those without voice (handsets.ts) are not called: they would say nothing, and be hung up on. */
export function handsetName(index: number): string {
  return `Phone ${index}`;
}

function isOneOfUs({ name }: ContactShown): boolean {
  return /^Phone \d+$/.test(name);
}
