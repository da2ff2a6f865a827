/**
 * A server and handsets as processes of this machine, each with a folder of its own, and what may happen to them:
 * added, removed, killed, started again, their wires cut. Tells the page what it sees from outside; nothing of this
 * reaches into a process.
 *
 *     DATA/server/    DATA/anna/ berta/ ..    DATA/*.trace
 */
import { EventEmitter } from "node:events";
import { mkdirSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import type { Language } from "@feldfon/hw/board/page/texts";
import { connectSteps } from "@feldfon/protocol/phone/orders";
import { SHORT_UID_DIGITS } from "@feldfon/protocol/trace";
import { Ladder } from "./ladder.ts";
import type { HandsetShown, LadderItem, Note, Order, ServerShown } from "./page/messages.ts";
import { type Line, Program } from "./program.ts";
import { LineProxy } from "./proxy.ts";
import { TraceTail } from "./trace-tail.ts";

const NAMES = ["anna", "berta", "carl", "dora", "emil", "frida"] as const;
export const MOST_HANDSETS = NAMES.length;
const LOOK_MS = 100;
const STATE_MS = 1_500;
const HOST = "127.0.0.1";
const START_MS = 120_000;

export interface HouseholdOptions {
  folder: string;
  /** Of the server; the next free one when it is taken. */
  port: number;
  handsets: number;
  /** Of the handsets' displays. */
  language: Language;
}

interface Handset {
  name: string;
  language: Language;
  /** Nothing while it is off. */
  program: Program | undefined;
  proxy: LineProxy;
  trace: TraceTail;
  /** As traces show it, once the handset has said it. */
  shortUid: string | undefined;
  /** From the beginning of the last connect to its last step. */
  stepsMs: number;
  /** Its own page, with its token. */
  page: URL | undefined;
}

export class Household {
  readonly #options: HouseholdOptions;
  readonly #port: number;
  readonly #told = new EventEmitter<{ change: []; ladder: [LadderItem[]] }>();
  readonly #handsets = new Map<string, Handset>();
  /** Names whose handset is starting or leaving. */
  readonly #busy = new Set<string>();
  readonly #serverTrace: TraceTail;
  readonly #ladder: Ladder;
  readonly #timers: NodeJS.Timeout[] = [];
  #server: Program | undefined;
  #fingerprint = "";
  #healthPort: string | undefined;
  #state: Line = {};
  #closing = false;

  private constructor(options: HouseholdOptions, port: number) {
    this.#options = options;
    this.#port = port;
    this.#serverTrace = new TraceTail(join(options.folder, "server.trace"));
    const named = (digits: string) => [...this.#handsets.values()].find(({ shortUid }) => shortUid === digits)?.name;
    this.#ladder = new Ladder(named);
    this.#timers.push(setInterval(() => this.#look(), LOOK_MS));
    this.#timers.push(setInterval(() => void this.#askState(), STATE_MS));
  }

  /** @throws {ProgramError} when the server or a handset does not start; everything else is ended then */
  static async open(options: HouseholdOptions): Promise<Household> {
    mkdirSync(options.folder, { recursive: true, mode: 0o700 });
    const household = new Household(options, await freePort(options.port));
    try {
      await household.startServer();
      await Promise.all(NAMES.slice(0, options.handsets).map((name) => household.#start(name)));
      return household;
    } catch (error) {
      await household.close();
      throw error;
    }
  }

  get server(): ServerShown {
    const { epoch, rows, seedRoot, protection } = this.#state;
    return {
      running: this.#server !== undefined,
      port: this.#port,
      fingerprint: this.#fingerprint,
      epoch: typeof epoch === "number" ? epoch : undefined,
      rows: typeof rows === "number" ? rows : undefined,
      seedRoot: typeof seedRoot === "string" ? seedRoot : undefined,
      protection: typeof protection === "string" ? protection : undefined,
    };
  }

  get handsets(): HandsetShown[] {
    return [...this.#handsets.values()].map(({ name, language, program, proxy, page }) => ({
      name,
      language,
      power: !program ? "off" : page ? "on" : "starting",
      wire: proxy.state,
    }));
  }

  get mayAdd(): boolean {
    return this.#freeName() !== undefined;
  }

  get ladder(): LadderItem[] {
    return this.#ladder.items;
  }

  /** A handset's own page, when it has opened. */
  pageOf(name: string): URL | undefined {
    return this.#handsets.get(name)?.page;
  }

  onChange(listener: () => void): () => void {
    this.#told.on("change", listener);
    return () => this.#told.off("change", listener);
  }

  onLadder(listener: (items: LadderItem[]) => void): () => void {
    this.#told.on("ladder", listener);
    return () => this.#told.off("ladder", listener);
  }

  /** What a person at the page asked for; what cannot be done now is not done. */
  async obey(order: Order): Promise<void> {
    if (this.#closing) return;
    const handset = "handset" in order ? this.#handsets.get(order.handset) : undefined;
    switch (order.do) {
      case "add": {
        const name = this.#freeName();
        if (name) await this.#start(name);
        return;
      }
      case "remove":
        if (handset) await this.#remove(handset);
        return;
      case "kill":
        handset?.program?.kill();
        return;
      case "start":
        if (handset) await this.#switchOn(handset);
        return;
      case "speak":
        if (handset) await this.#speak(handset, order.language);
        return;
      case "kill-server":
        this.#server?.kill();
        return;
      case "start-server":
        await this.startServer();
        return;
      case "cut":
      case "stall":
      case "restore":
        if (!handset) return;
        handset.proxy[order.do]();
        this.#note(handset.name, order.do === "cut" ? "cut" : order.do === "stall" ? "stalled" : "restored");
        this.#told.emit("change");
        return;
      default:
        order satisfies never;
    }
  }

  /** On its old number and with its old key, so that handsets find it again. */
  async startServer(): Promise<void> {
    if (this.#server) return;
    const flags = ["--data", join(this.#options.folder, "server"), "--host", HOST, "--port", `${this.#port}`];
    flags.push("--udp-port", `${this.#port}`, "--health-port", "0", "--trace", this.#serverTrace.path);
    const server = new Program("server", "server/main.ts", flags, {
      ownSession: true,
      onLine: (line) => {
        this.#healthPort = /^health on 127\.0\.0\.1:(\d+)/.exec(String(line.what))?.[1] ?? this.#healthPort;
      },
      onExit: (signal) => {
        this.#server = undefined;
        this.#state = {};
        this.#note("server", signal === "SIGKILL" ? "killed" : "stopped");
        this.#told.emit("change");
      },
    });
    this.#server = server;
    const [, fingerprint] = await server.complaint("its port", /port \d+, fingerprint ([0-9a-f]{64})/, START_MS);
    this.#fingerprint = fingerprint!;
    this.#note("server", "started");
    await this.#askState();
    this.#told.emit("change");
  }

  async close(): Promise<void> {
    this.#closing = true;
    await Promise.all([...this.#handsets.values()].map((handset) => this.#remove(handset)));
    const server = this.#server;
    await server?.end(() => server.terminate());
    for (const timer of this.#timers) clearInterval(timer);
  }

  async #start(name: string): Promise<void> {
    if (this.#handsets.has(name) || this.#busy.has(name)) return;
    this.#busy.add(name);
    try {
      const { folder, language } = this.#options;
      const handset: Handset = {
        name,
        language,
        program: undefined,
        proxy: await LineProxy.open(this.#port),
        trace: new TraceTail(join(folder, `${name}.trace`)),
        shortUid: undefined,
        stepsMs: 0,
        page: undefined,
      };
      this.#handsets.set(name, handset);
      await this.#switchOn(handset).catch((error) => {
        handset.proxy.close();
        this.#handsets.delete(name);
        throw error;
      });
    } finally {
      this.#busy.delete(name);
      this.#told.emit("change");
    }
  }

  /** With the key and the name it has. @throws {ProgramError} when it does not start */
  async #switchOn(handset: Handset): Promise<void> {
    if (handset.program || this.#closing) return;
    const { name, language, proxy, trace } = handset;
    const flags = [
      ...["--board", "laptop", "--json", "--language", language, "--name", name],
      ...["--data", join(this.#options.folder, name), "--trace", trace.path],
      ...["--server", `${HOST}:${proxy.port}`, "--server-key", this.#fingerprint, "--no-pin"],
    ];
    const program = new Program(name, "firmware/main.ts", flags, {
      ownSession: true,
      onLine: (line) => this.#heard(handset, line),
      onExit: (signal) => {
        handset.program = undefined;
        handset.page = undefined;
        this.#note(name, signal === "SIGKILL" ? "killed" : "stopped");
        this.#told.emit("change");
      },
    });
    handset.program = program;
    this.#told.emit("change");
    try {
      const [, uid] = await program.complaint("its key", /fingerprint ([0-9a-f]{64})/, START_MS);
      handset.shortUid = uid!.slice(0, SHORT_UID_DIGITS);
      this.#note(name, "started");
    } catch (error) {
      program.terminate();
      throw error;
    }
  }

  /** A setting like any other: it takes leave, and comes back with it. */
  async #speak(handset: Handset, language: Language): Promise<void> {
    const { name, program } = handset;
    if (this.#busy.has(name) || handset.language === language) return;
    this.#busy.add(name);
    try {
      handset.language = language;
      await program?.end(() => program.endInput());
      if (program) await this.#switchOn(handset);
    } finally {
      this.#busy.delete(name);
      this.#told.emit("change");
    }
  }

  /** In order: it takes leave of the server, its folder stays. */
  async #remove(handset: Handset): Promise<void> {
    const { name, program, proxy } = handset;
    // At the end nobody is waited for who is just coming up.
    if (this.#busy.has(name) && !this.#closing) return;
    this.#busy.add(name);
    await program?.end(() => program.endInput());
    proxy.close();
    this.#handsets.delete(name);
    this.#busy.delete(name);
    this.#told.emit("change");
  }

  #freeName(): string | undefined {
    return NAMES.find((name) => !this.#handsets.has(name) && !this.#busy.has(name));
  }

  /** A line of a handset's own word: what the page may know of it is named here, field by field. */
  #heard(handset: Handset, line: Line): void {
    if (line.type === "page" && typeof line.address === "string") {
      handset.page = new URL(line.address);
      this.#told.emit("change");
    }
    if (line.type !== "event") return;
    const at = handset.name;
    switch (line.event) {
      case "step": {
        const step = connectSteps.find((known) => known.step === line.step)?.step;
        if (!step) break;
        // The handset counts from the first byte; told is how long each step took.
        const ms = Number(line.ms);
        const tookMs = Math.max(0, ms - (step === "1" ? 0 : handset.stepsMs));
        handset.stepsMs = ms;
        this.#ladder.add({ item: "step", id: this.#ladder.nextId(), time: Date.now(), at, step, ms: tookMs });
        break;
      }
      case "connected":
        this.#note(at, line.resumed === true ? "resumed" : "connected");
        void this.#askState();
        break;
      case "disconnected":
        if (line.code === "left") this.#note(at, "left");
        else this.#note(at, "disconnected", { code: String(line.code) });
        break;
      case "rings":
        this.#note(at, "rings");
        break;
      case "in-call":
        this.#note(at, "in-call", {
          numbers: (line.sas as number[]).map((one) => String(one).padStart(2, "0")).join(" "),
        });
        break;
      case "voice": {
        const facts = { sent: Number(line.sent), received: Number(line.received), lost: Number(line.lost) };
        const bytes = (line.packetSizes as number[]).join(", ");
        this.#note(at, "voice", { ...facts, bytes }, `voice ${at} ${String(line.callId)}`);
        break;
      }
      case "ended":
        this.#note(at, "ended", { erased: String(line.erased) });
        break;
      case "updated":
        this.#note(at, "updated", { same: line.same === true ? 1 : 0 });
        break;
      case "evidence":
        this.#note(at, "evidence");
        break;
    }
  }

  #note(
    at: string,
    note: Note,
    facts: Readonly<Record<string, string | number>> = {},
    id = this.#ladder.nextId(),
  ): void {
    this.#ladder.add({ item: "note", id, time: Date.now(), at, note, facts });
  }

  #look(): void {
    for (const trace of [this.#serverTrace, ...[...this.#handsets.values()].map((handset) => handset.trace)]) {
      for (const record of trace.read()) this.#ladder.record(record);
    }
    const items = this.#ladder.take(Date.now());
    if (items.length > 0) this.#told.emit("ladder", items);
  }

  async #askState(): Promise<void> {
    if (!this.#server || this.#healthPort === undefined) return;
    try {
      const before = JSON.stringify(this.#state);
      const answer = await fetch(`http://${HOST}:${this.#healthPort}/state`, { signal: AbortSignal.timeout(STATE_MS) });
      const state = (await answer.json()) as Line;
      if (!this.#server) return;
      this.#state = state;
      if (JSON.stringify(state) !== before) this.#told.emit("change");
    } catch {
      // It is on its way up or down; the process itself says which.
    }
  }
}

async function freePort(first: number): Promise<number> {
  for (let port = first; port < first + 100; port++) {
    const probe = createServer();
    const free = await new Promise<boolean>((resolve) => {
      probe.once("error", () => resolve(false));
      probe.listen(port, HOST, () => resolve(true));
    });
    if (!free) continue;
    const found = (probe.address() as { port: number }).port;
    await new Promise((resolve) => probe.close(resolve));
    return found;
  }
  throw new Error(`no port from ${first} to ${first + 99} is free`);
}
