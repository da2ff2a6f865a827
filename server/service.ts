/**
 * The telephone service: what every line asks of the server around it. Registry below, broker beside, lines above.
 *
 *     connection -> ServerLine -> service -> registry, broker, relay
 *
 * A handset is here (a line in the loop), away (its place and its ticket are kept for the grace) or gone.
 */
import type { ResumeTicket } from "@feldfon/protocol/channel/ticket";
import type { SignedHead } from "@feldfon/protocol/directory/tree-head";
import { ProtocolError } from "@feldfon/protocol/errors";
import type { PublicKey, Uid } from "@feldfon/protocol/identity";
import { type BrokerHost, CallBroker, type RelayEnd } from "@feldfon/protocol/phone/broker";
import type { JoinRefusal, JoinRequest, LineHost, ServerLine } from "@feldfon/protocol/phone/server-line";
import type { SipRequest } from "@feldfon/protocol/sip";
import type { Vault } from "@feldfon/protocol/vault";
import { type Clock, systemClock, type Timer } from "./clock.ts";
import type { Log } from "./log.ts";
import type { Metrics } from "./metrics.ts";
import { type JoinOutcome, type Registry, RegistryError } from "./registry-port.ts";
import { Turns } from "./turns.ts";

/** A joiner acknowledges its phonebook within this time, or the others hear of it without (connect 7). */
export const HOLD_BACK_MS = 500;
/** Changes that follow a fan-out wait this long for each other: a delta costs by the client, hardly by the row. */
export const FAN_OUT_MS = 250;
/** Deltas sealed in one turn of the loop; others have something to say meanwhile. */
const FAN_OUT_LINES = 32;
/** How long a ticket serves (design 3). */
export const TICKET_MS = 30_000;

/** A connection, as the service closes it. */
export interface Closable {
  /** When its first byte was waited for. */
  readonly beganMs: number;
  /** Nothing is to be resumed: wipes and closes. */
  replace(): void;
}

export interface ServiceOptions {
  vault: Vault;
  registry: Registry;
  relay: { open(pair: { a: RelayEnd; b: RelayEnd }): () => void };
  metrics: Metrics;
  log: Log;
  /** Whether the end of a call is logged. */
  callLog: boolean;
  clock?: Clock;
}

interface Kept {
  ticket: ResumeTicket;
  client: PublicKey;
  /** Set when the line is lost. */
  untilMs: number | undefined;
}

export class PhoneService implements LineHost, BrokerHost {
  readonly #registry: Registry;
  readonly #relay: ServiceOptions["relay"];
  readonly #metrics: Metrics;
  readonly #log: Log;
  readonly #callLog: boolean;
  readonly #clock: Clock;
  readonly #broker: CallBroker;
  readonly #lines = new Map<Uid, { line: ServerLine; connection: Closable }>();
  readonly #connections = new Map<ServerLine, Closable>();
  /** By ticket id, hex. */
  readonly #tickets = new Map<string, Kept>();
  /** Their ids by uid: more than one when a lost line was not noticed before the next one. */
  readonly #ticketsOf = new Map<Uid, readonly string[]>();
  /** Joiners whose phonebook is not acknowledged yet: the others' delta waits for them, 500 ms at most. */
  readonly #joining = new Set<ServerLine>();
  /** Of those whose batch is on disk: each is shown the directory in a turn of its own. */
  readonly #turns = new Turns();
  /** Set while a change waits for its fan-out. */
  #holdBack: Timer | undefined;
  /** Set for a while after a fan-out. */
  #window: Timer | undefined;
  readonly #unlisten: () => void;

  constructor({ vault, registry, relay, metrics, log, callLog, clock = systemClock }: ServiceOptions) {
    this.#registry = registry;
    this.#relay = relay;
    this.#metrics = metrics;
    this.#log = log;
    this.#callLog = callLog;
    this.#clock = clock;
    this.#broker = new CallBroker(vault, this);
    this.#unlisten = registry.onChange(() => this.#changed());
  }

  get callsRunning(): number {
    return this.#broker.running;
  }

  get linesReady(): number {
    return this.#lines.size;
  }

  /** A connection has a line now. */
  attach(line: ServerLine, connection: Closable): void {
    this.#connections.set(line, connection);
  }

  async join(
    line: ServerLine,
    request: JoinRequest,
  ): Promise<{ joined: true } | { refused: JoinRefusal } | { unavailable: true }> {
    const { uid } = line;
    this.#joining.add(line);
    let outcome: JoinOutcome;
    try {
      outcome = await this.#registry.join(request);
      await this.#turns.next();
    } catch (error) {
      this.#joining.delete(line);
      if (!(error instanceof RegistryError)) throw error;
      this.#metrics.connects.inc({ outcome: error.code });
      this.#log.warn("join not possible", { peer: uid, code: error.code, err: error });
      return { unavailable: true };
    }
    if ("refused" in outcome) {
      this.#joining.delete(line);
      this.#metrics.connects.inc({ outcome: outcome.refused });
      this.#log.info("join refused", { peer: uid, code: outcome.refused });
      return outcome;
    }
    if (!line.ended) this.#replace(uid);
    else if (!this.#hasLine(uid)) this.#registry.absent(uid);
    return { joined: true };
  }

  snapshot(lastEpoch: number, lastHash: Uint8Array): { step2: readonly Buffer[]; step6: Buffer; signed: SignedHead } {
    const { step2, step6, view } = this.#registry.snapshot(lastEpoch, lastHash);
    return { step2, step6, signed: view.signed };
  }

  head(): SignedHead {
    return this.#registry.view().signed;
  }

  headHash(epoch: number): Buffer | undefined {
    return this.#registry.headHash(epoch);
  }

  delta(fromEpoch: number): Buffer | undefined {
    return this.#registry.delta(fromEpoch);
  }

  logPath(older: number, newer: number): Buffer | undefined {
    return this.#registry.logPath(older, newer);
  }

  ready(line: ServerLine, by: "connect" | "sync"): void {
    const { uid } = line;
    const connection = this.#connections.get(line);
    if (!connection) throw new ProtocolError("closed", "the line has ended");
    const before = this.#lines.get(uid);
    this.#lines.set(uid, { line, connection });
    // After a resume an old line may not have been noticed as lost yet: replaced now, its calls go on.
    if (before && before.line !== line) before.connection.replace();
    if (!this.#registry.present(uid)) {
      this.#lines.delete(uid);
      throw new ProtocolError("unknown-resume", "the handset's place is gone: it has to join again");
    }
    const { ticket } = line.channel;
    if (ticket) this.#keepTicket(ticket.id.toString("hex"), { ticket, client: line.client, untilMs: undefined });
    this.#metrics.connects.inc({ outcome: by === "sync" ? "resumed" : "joined" });
    // Who comes and who leaves is logged; whose network fails, and when, is only counted.
    if (by === "connect") {
      this.#metrics.connectSeconds.observe((this.now() - connection.beganMs) / 1_000);
      this.#log.info("handset here", { peer: uid, epoch: this.head().head.epoch });
    }
    this.#broker.lineBack(line);
    this.#joining.delete(line);
    this.#mayFanOut();
  }

  behind(): void {
    this.#changed();
  }

  left(line: ServerLine): void {
    const { uid } = line;
    this.#forgetTickets(uid);
    if (this.#lines.get(uid)?.line === line) this.#lines.delete(uid);
    this.#broker.lineGone(uid);
    this.#log.info("handset left", { peer: uid });
    void this.#registry.leave(uid);
  }

  call(line: ServerLine, request: SipRequest): void {
    this.#broker.receive(line, request);
  }

  absorbs(callId: string): boolean {
    return this.#broker.absorbs(callId);
  }

  lineOf(uid: Uid): ServerLine | undefined {
    return this.#lines.get(uid)?.line;
  }

  knows(uid: Uid): boolean {
    return this.#registry.knows(uid);
  }

  openRelay(a: RelayEnd, b: RelayEnd): () => void {
    return this.#relay.open({ a, b });
  }

  now(): number {
    return this.#clock.now();
  }

  callOver(callId: string, status: number): void {
    this.#metrics.calls.inc({ outcome: String(status) });
    if (this.#callLog) this.#log.info("call", { what: "over: keys wiped", code: String(status), call: callId });
  }

  /** What R1 asks for. Undefined: 481. */
  ticket(id: Buffer): { ticket: ResumeTicket; client: PublicKey } | undefined {
    const kept = this.#tickets.get(id.toString("hex"));
    if (!kept || kept.ticket.spent || !this.#registry.rowOf(kept.client.uid)) return undefined;
    return kept;
  }

  /** A line is over. `lost`: nobody is at fault, a ticket remains; `fault`: nothing does, but the place is kept. */
  closed(line: ServerLine, how: "lost" | "fault" | "left"): void {
    this.#connections.delete(line);
    this.#joining.delete(line);
    const { uid } = line;
    const ticket = how === "lost" ? line.keepResume() : undefined;
    const id = ticket?.id.toString("hex");
    if (!ticket) line.wipe();
    const current = this.#lines.get(uid)?.line === line;
    if (current) this.#lines.delete(uid);
    if (id && ticket && !ticket.spent) {
      this.#keepTicket(id, { ticket, client: line.client, untilMs: this.now() + TICKET_MS });
    }
    if (how === "left") return;
    // A newer line of the same handset may be on its way: then the place is that line's.
    const away = !this.#hasLine(uid);
    if (away) this.#registry.absent(uid);
    // Its ticket is spent and it never synced: the handset can only join anew, and knows of no call then.
    if (away && line.resumed && !line.ready && !this.#isResuming(uid)) return this.#broker.lineGone(uid);
    if (!current) return;
    // Without a ticket of its own it may be a newer line that has it: then the call waits for that one's sync.
    if (ticket || (how === "lost" && this.#isResuming(uid))) this.#broker.lineLost(uid);
    else this.#broker.lineGone(uid);
  }

  tickCalls(): void {
    this.#broker.tick(this.now());
  }

  tickTickets(): void {
    const nowMs = this.now();
    for (const [id, { ticket, client, untilMs }] of this.#tickets) {
      if (!ticket.spent && (untilMs === undefined || untilMs > nowMs)) continue;
      this.#dropTicket(id, client.uid);
      if (ticket.spent) continue;
      ticket.wipe();
      if (!this.#lines.has(client.uid)) this.#broker.lineGone(client.uid);
    }
  }

  close(): void {
    this.#unlisten();
    this.#clock.clearTimeout(this.#holdBack);
    this.#clock.clearTimeout(this.#window);
    for (const { ticket } of this.#tickets.values()) ticket.wipe();
    this.#tickets.clear();
    this.#ticketsOf.clear();
  }

  /** A second proven line of one key and name replaces the first: line closed, its calls end, resume key wiped. */
  #replace(uid: Uid): void {
    this.#forgetTickets(uid);
    const before = this.#lines.get(uid);
    this.#lines.delete(uid);
    // Also when its line was lost before: whoever joins anew knows nothing of an earlier call, and the other one waits.
    this.#broker.lineGone(uid);
    before?.connection.replace();
  }

  /** In the loop, or on its way there. */
  #hasLine(uid: Uid): boolean {
    if (this.#lines.has(uid)) return true;
    for (const line of this.#joining) if (line.uid === uid && !line.ended) return true;
    return false;
  }

  /** R1 held on a line of it, and sync is awaited. */
  #isResuming(uid: Uid): boolean {
    for (const line of this.#connections.keys()) {
      if (line.uid === uid && line.resumed && !line.ready && !line.ended) return true;
    }
    return false;
  }

  #forgetTickets(uid: Uid): void {
    for (const id of this.#ticketsOf.get(uid) ?? []) {
      this.#tickets.get(id)?.ticket.wipe();
      this.#tickets.delete(id);
    }
    this.#ticketsOf.delete(uid);
  }

  #keepTicket(id: string, kept: Kept): void {
    this.#tickets.set(id, kept);
    const { uid } = kept.client;
    const ids = this.#ticketsOf.get(uid) ?? [];
    if (!ids.includes(id)) this.#ticketsOf.set(uid, [...ids, id]);
  }

  #dropTicket(id: string, uid: Uid): void {
    this.#tickets.delete(id);
    const ids = this.#ticketsOf.get(uid)?.filter((other) => other !== id) ?? [];
    if (ids.length > 0) this.#ticketsOf.set(uid, ids);
    else this.#ticketsOf.delete(uid);
  }

  /** Connect 7: once the joiners have their phonebook, or after 500 ms; at once when idle. */
  #changed(): void {
    this.#holdBack ??= this.#clock.setTimeout(() => this.#fanOut(), HOLD_BACK_MS);
    this.#mayFanOut();
  }

  #mayFanOut(): void {
    if (this.#holdBack && !this.#window && this.#joining.size === 0) this.#fanOut();
  }

  #fanOut(): void {
    this.#clock.clearTimeout(this.#holdBack);
    this.#holdBack = undefined;
    this.#clock.clearTimeout(this.#window);
    this.#window = this.#clock.setTimeout(() => {
      this.#window = undefined;
      this.#mayFanOut();
    }, FAN_OUT_MS);
    this.#offer([...this.#lines.values()].map(({ line }) => line));
  }

  #offer(lines: readonly ServerLine[]): void {
    for (const line of lines.slice(0, FAN_OUT_LINES)) line.offerDelta();
    const later = lines.slice(FAN_OUT_LINES);
    if (later.length > 0) setImmediate(() => this.#offer(later));
  }
}
