/**
 * The telephone on a stage: any number of handsets and one server in memory, real keys, real channels, a wire on which
 * a test can hold, lose, repeat, swap and alter what passes, and a clock it moves by hand.
 *
 *     HandsetLine --seal--> spoken, edit --> meddle --> Wire.toward.server --deliver--> ServerLine, broker
 *                           (the message)    (frame)    held, or oldest first
 *
 * What follows a fault or a loss is done here as firmware and server do it: whoever found a fault keeps nothing, and for
 * whoever did not the line is lost.
 */
import { randomBytes } from "node:crypto";
import { signBatch } from "@feldfon/protocol/channel/batch";
import { ChannelClient } from "@feldfon/protocol/channel/client";
import { ResumeClient, ResumeServer } from "@feldfon/protocol/channel/resume";
import { SealedChannel, type Side } from "@feldfon/protocol/channel/sealed";
import { ChannelServer } from "@feldfon/protocol/channel/server";
import type { ResumeTicket } from "@feldfon/protocol/channel/ticket";
import { Follower } from "@feldfon/protocol/directory/follower";
import { MerkleLog } from "@feldfon/protocol/directory/log";
import {
  Directory,
  encodeDelta,
  encodeStep2,
  encodeStep6,
  type Op,
  step2Rows,
} from "@feldfon/protocol/directory/phonebook";
import { logLeaf, nextHead, type SignedHead, signHead } from "@feldfon/protocol/directory/tree-head";
import { ProtocolError } from "@feldfon/protocol/errors";
import { HEADER_BYTES } from "@feldfon/protocol/frames";
import { PublicKey, type Uid } from "@feldfon/protocol/identity";
import { type BrokerHost, CallBroker, type RelayEnd } from "@feldfon/protocol/phone/broker";
import type { PhoneEvent } from "@feldfon/protocol/phone/events";
import { HandsetCalls } from "@feldfon/protocol/phone/handset-calls";
import { HandsetLine } from "@feldfon/protocol/phone/handset-line";
import type { Passed } from "@feldfon/protocol/phone/line";
import { type JoinRefusal, type JoinRequest, type LineHost, ServerLine } from "@feldfon/protocol/phone/server-line";
import { encodeSip, hex, parseSip, type SipMessage, sipWriter } from "@feldfon/protocol/sip";
import type { KeyPair } from "@feldfon/protocol/vault";
import { type TestingVault, testingVault } from "@feldfon/vault/testing";
import { testKeyPair } from "../../keys.ts";
import { seal } from "../channel/ends.ts";

/** The two ends of a line. */
export type End = "handset" | "server";

export const otherEnd = (end: End): End => (end === "handset" ? "server" : "handset");

/** One frame body on the wire between a handset and the server. */
export interface Frame {
  from: End;
  body: Buffer;
}

/** One message as its sender meant it, before the channel sealed it. */
export interface Spoken {
  from: End;
  message: SipMessage;
}

/** What a test may do to a frame: pass it on as it is, or as other frames, or as none. */
export type Meddler = (frame: Frame) => Buffer[];

interface Receiver {
  receive(body: Buffer): Promise<void>;
  /** Told once, when this end found a fault. */
  failed(error: Error): void;
}

/** Both directions of one line, each in order. */
export class Wire {
  /** On its way to that end, oldest first. */
  readonly toward: Record<End, Buffer[]> = { handset: [], server: [] };
  readonly history: Frame[] = [];
  readonly spoken: Spoken[] = [];
  /** What is for these ends stays on the wire. */
  readonly held = new Set<End>();
  meddle: Meddler = ({ body }) => [body];
  /** A liar's chance: another message in the place of the one that is spoken, truly sealed. */
  edit: (spoken: Spoken) => SipMessage = ({ message }) => message;
  /** The error that closed one end, if any. */
  fault: { at: End; error: Error } | undefined;
  readonly #receivers: Partial<Record<End, Receiver>> = {};
  readonly #receiving = new Set<End>();

  connect(end: End, receiver: Receiver): void {
    this.#receivers[end] = receiver;
  }

  push(frame: Frame): void {
    this.history.push(frame);
    for (const body of this.meddle(frame)) this.toward[otherEnd(frame.from)].push(body);
  }

  /** Nothing passes any more. */
  cut(): void {
    for (const end of ["handset", "server"] as const) {
      this.toward[end].length = 0;
      delete this.#receivers[end];
    }
  }

  /** One end has gone; what is still on its way from it arrives. */
  close(end: End): void {
    this.toward[end].length = 0;
    delete this.#receivers[end];
  }

  /** A frame can arrive there: none before it is still being dealt with. */
  ready(end: End): boolean {
    const waiting = this.toward[end].length > 0 && this.#receivers[end] !== undefined;
    return waiting && !this.held.has(end) && !this.#receiving.has(end);
  }

  /** Delivers the oldest frame; resolves once it is dealt with. */
  async deliver(end: End): Promise<void> {
    const receiver = this.#receivers[end];
    const body = this.toward[end].shift();
    if (!receiver || !body) throw new Error(`nothing is on its way to the ${end}`);
    this.#receiving.add(end);
    try {
      await receiver.receive(body);
    } catch (error) {
      if (this.#receivers[end] !== receiver) return; // the line was cut meanwhile
      this.fault ??= { at: end, error: error as Error };
      this.cut();
      receiver.failed(error as Error);
    } finally {
      this.#receiving.delete(end);
    }
  }
}

/** RSA under way in the vaults of a stage, so that a test knows when nothing moves by itself any more. */
export class Jobs {
  readonly #computing = new Set<Promise<unknown>>();
  /** Results begun while `holding`, oldest first: each is let out by hand. */
  readonly withheld: (() => void)[] = [];
  holding = false;

  watch(vault: TestingVault): TestingVault {
    const sign = vault.sign.bind(vault);
    const unwrap = vault.unwrap.bind(vault);
    vault.sign = (...parts) => this.#job(sign(...parts));
    vault.unwrap = (...parts) => this.#job(unwrap(...parts));
    return vault;
  }

  /** Lets one result out. */
  letOut(index: number): void {
    this.withheld.splice(index, 1)[0]?.();
  }

  /** Until every job is computed and all that follows from it has run. */
  async computed(): Promise<void> {
    do {
      await Promise.allSettled(this.#computing);
      await new Promise((resolve) => setImmediate(resolve));
    } while (this.#computing.size > 0);
  }

  async #job<Result>(job: Promise<Result>): Promise<Result> {
    let release = (): void => {};
    const released = this.holding ? new Promise<void>((resolve) => (release = resolve)) : undefined;
    if (released) this.withheld.push(release);
    this.#computing.add(job);
    try {
      return await job;
    } finally {
      this.#computing.delete(job);
      await released;
    }
  }
}

export class StageClock {
  nowMs = 1_000_000;
  readonly now = (): number => this.nowMs;
}

/** The server: one directory, its log, every line, the broker. */
export class StageServer implements LineHost, BrokerHost {
  readonly vault: TestingVault;
  readonly clock: StageClock;
  readonly jobs: Jobs;
  readonly key: PublicKey;
  readonly keyPair: KeyPair;
  directory: Directory;
  log = new MerkleLog();
  readonly heads: SignedHead[] = [];
  readonly ops: Op[][] = [];
  readonly broker: CallBroker;
  readonly lines = new Map<Uid, ServerLine>();
  readonly names = new Map<Uid, string>();
  readonly tickets = new Map<string, { ticket: ResumeTicket; client: PublicKey }>();
  readonly relays: { a: RelayEnd; b: RelayEnd; open: boolean }[] = [];
  readonly callsOver: { callId: string; status: number }[] = [];
  refusal: JoinRefusal | undefined;
  /** Whether changes go out as they happen. */
  pushing = true;
  /** What is too long ago to be told: an update's proof is refused, a delta is a gap. */
  readonly forgotten = new Set<"heads" | "changes">();

  private constructor(clock: StageClock, jobs: Jobs, keyPair: KeyPair, vault: TestingVault) {
    this.clock = clock;
    this.jobs = jobs;
    this.vault = vault;
    this.keyPair = keyPair;
    this.key = new PublicKey(keyPair.spki);
    this.directory = new Directory(this.key);
    this.broker = new CallBroker(this.vault, this);
  }

  static async make(clock = new StageClock(), keyNumber = 0): Promise<StageServer> {
    const jobs = new Jobs();
    const vault = jobs.watch(testingVault());
    const server = new StageServer(clock, jobs, await testKeyPair(vault, keyNumber), vault);
    await server.commit(() => []);
    return server;
  }

  /** Makes changes, signs the next head, and shows both at once; one change after the other. */
  commit(change: () => Op[] | undefined): Promise<void> {
    this.#committed = this.#committed.then(() => this.#commit(change()));
    return this.#committed;
  }

  #committed: Promise<void> = Promise.resolve();

  async #commit(ops: Op[] | undefined): Promise<void> {
    if (!ops) return;
    const directory = this.directory.clone();
    for (const op of ops) directory.apply(op);
    const head = nextHead(directory, this.log, this.heads.at(-1), this.clock.nowMs);
    const signed = await signHead(this.vault, this.keyPair, head);
    this.directory = directory;
    this.heads.push(signed);
    this.ops.push(ops);
    this.log.append(logLeaf(signed));
    if (this.pushing) for (const line of this.lines.values()) line.offerDelta();
  }

  /** Tells another story from here on: the newest epoch never was. */
  takeBack(): void {
    this.heads.pop();
    const undone = this.ops.pop()!;
    this.directory = new Directory(this.key);
    for (const op of this.ops.flat()) this.directory.apply(op);
    this.log = new MerkleLog();
    for (const signed of this.heads) this.log.append(logLeaf(signed));
    for (const op of undone) if (op.op === "append") this.names.delete(op.row.uid);
  }

  async join(line: ServerLine, { key, name }: JoinRequest): ReturnType<LineHost["join"]> {
    if (this.refusal) return { refused: this.refusal };
    const old = this.lines.get(key.uid);
    this.forgetTickets(key.uid);
    if (old && old !== line) this.gone(old);
    this.names.set(key.uid, name);
    const row = { uid: key.uid, name, key, flags: 0 };
    await this.commit(() => (this.directory.rowOf(key.uid) ? undefined : [{ op: "append", row }]));
    return { joined: true };
  }

  remove(uid: Uid): Promise<void> {
    return this.commit(() => {
      const index = this.directory.find(uid);
      return index > 0 ? [{ op: "leave", index }] : undefined;
    });
  }

  snapshot(lastEpoch: number, lastHash: Uint8Array): { step2: Buffer; step6: Buffer; signed: SignedHead } {
    const signed = this.head();
    const known = lastHash.some((byte) => byte !== 0);
    const path = known ? this.logPath(lastEpoch, signed.head.epoch) : undefined;
    const logPath = path && lastEpoch + 1 < signed.head.epoch ? path : Buffer.alloc(0);
    const step2 = encodeStep2({ signed, rows: step2Rows(this.directory), logPath });
    return { step2, step6: encodeStep6(this.directory.rows), signed };
  }

  head(): SignedHead {
    return this.heads.at(-1)!;
  }

  headHash(epoch: number): Buffer | undefined {
    return this.forgotten.has("heads") ? undefined : this.heads[epoch]?.hash;
  }

  delta(from: number): Buffer | undefined {
    const signed = this.head();
    const tooOld = this.forgotten.has("changes") && from < signed.head.epoch;
    if (from > signed.head.epoch || tooOld) return undefined;
    const logPath = from + 1 < signed.head.epoch ? this.log.path(from, signed.head.epoch) : Buffer.alloc(0);
    return encodeDelta({ from, signed, logPath, ops: this.ops.slice(from + 1).flat() });
  }

  logPath(older: number, newer: number): Buffer | undefined {
    return older < newer && newer < this.heads.length ? this.log.path(older, newer) : undefined;
  }

  ready(line: ServerLine): void {
    const old = this.lines.get(line.uid);
    this.lines.set(line.uid, line);
    if (old && old !== line) this.gone(old);
    const { ticket } = line.channel;
    if (ticket) this.tickets.set(ticket.id.toString("hex"), { ticket, client: line.client });
    this.broker.lineBack(line);
    if (this.pushing) for (const other of this.lines.values()) if (other !== line) other.offerDelta();
  }

  behind(): void {
    if (this.pushing) for (const line of this.lines.values()) line.offerDelta();
  }

  left(line: ServerLine): void {
    this.forgetTickets(line.uid);
    if (this.lines.get(line.uid) === line) this.lines.delete(line.uid);
    this.broker.lineGone(line.uid);
    void this.remove(line.uid);
  }

  /** A line that nobody is at fault for: its ticket is kept. */
  lost(line: ServerLine): void {
    const ticket = line.keepResume();
    if (ticket) this.tickets.set(ticket.id.toString("hex"), { ticket, client: line.client });
    if (this.lines.get(line.uid) !== line) return;
    this.lines.delete(line.uid);
    if (ticket) this.broker.lineLost(line.uid);
    else this.broker.lineGone(line.uid);
  }

  /** A fault, a leave, a replacement: nothing is kept. */
  gone(line: ServerLine): void {
    line.wipe();
    if (this.lines.get(line.uid) !== line) return;
    this.lines.delete(line.uid);
    this.broker.lineGone(line.uid);
  }

  forgetTickets(uid: Uid): void {
    for (const [id, { ticket, client }] of this.tickets) {
      if (client.uid !== uid) continue;
      this.tickets.delete(id);
      ticket.wipe();
    }
  }

  /** 30 s after a loss. */
  expire(uid: Uid): void {
    this.forgetTickets(uid);
    if (!this.lines.has(uid)) this.broker.lineGone(uid);
  }

  tick(): void {
    this.broker.tick(this.now());
  }

  call: LineHost["call"] = (line, request) => this.broker.receive(line, request);

  absorbs(callId: string): boolean {
    return this.broker.absorbs(callId);
  }

  lineOf(uid: Uid): ServerLine | undefined {
    return this.lines.get(uid);
  }

  knows(uid: Uid): boolean {
    return this.names.has(uid);
  }

  openRelay(a: RelayEnd, b: RelayEnd): () => void {
    const relay = { a, b, open: true };
    this.relays.push(relay);
    return () => {
      relay.open = false;
      a.key.wipe();
      b.key.wipe();
    };
  }

  now(): number {
    return this.clock.nowMs;
  }

  callOver(callId: string, status: number): void {
    this.callsOver.push({ callId, status });
  }
}

export class StageHandset {
  readonly vault: TestingVault;
  readonly server: StageServer;
  readonly keyPair: KeyPair;
  readonly key: PublicKey;
  readonly name: string;
  readonly follower: Follower;
  readonly calls: HandsetCalls;
  readonly events: PhoneEvent[] = [];
  readonly passed: Passed[] = [];
  wire = new Wire();
  line: HandsetLine | undefined;
  serverLine: ServerLine | undefined;
  ticket: ResumeTicket | undefined;

  private constructor(server: StageServer, keyPair: KeyPair, vault: TestingVault, name: string) {
    this.server = server;
    this.keyPair = keyPair;
    this.vault = vault;
    this.key = new PublicKey(keyPair.spki);
    this.name = name;
    this.follower = new Follower({ serverKey: server.key, own: { uid: this.key.uid, name, key: this.key } });
    this.calls = new HandsetCalls({
      vault,
      keyPair,
      own: this.key.uid,
      serverKey: server.key,
      follower: this.follower,
      now: server.clock.now,
      tell: (event) => this.events.push(event),
    });
  }

  static async make(server: StageServer, keyNumber: number, name: string): Promise<StageHandset> {
    const vault = server.jobs.watch(testingVault());
    return new StageHandset(server, await testKeyPair(vault, keyNumber), vault, name);
  }

  get uid(): Uid {
    return this.key.uid;
  }

  /** In the loop. */
  get here(): boolean {
    return this.line?.ready === true && !this.line.ended && !this.line.channel.closed;
  }

  /** The latest event of that name. */
  last<Name extends PhoneEvent["event"]>(name: Name): Extract<PhoneEvent, { event: Name }> | undefined {
    return this.events.findLast((event) => event.event === name) as Extract<PhoneEvent, { event: Name }> | undefined;
  }

  /** M1..M4: the channel on both ends, as the server's connection would make it. Calls from before are over. */
  async open(): Promise<void> {
    const { server } = this;
    this.calls.endAll();
    const client = new ChannelClient({ vault: this.vault, keyPair: this.keyPair, serverUid: server.key.uid });
    const half = new ChannelServer({ vault: server.vault, serverKey: server.key });
    const { leaf } = half.hello(client.start());
    const [m3] = await signBatch(server.vault, server.keyPair, [leaf]);
    const { m4, channel } = await client.receive(half.offer(m3!));
    this.#attach(channel, half.prove(m4), client.callId, 2, false);
  }

  /** Says this on the line, truly sealed, whatever its order. */
  speak(from: End, message: SipMessage): void {
    const channel = from === "handset" ? this.line!.channel : this.serverLine!.channel;
    this.wire.push({ from, body: seal(channel, encodeSip(message)) });
  }

  /** A channel as M1..M4 or R1, R2 leave it, made of a secret that both ends are given: a line in no time. */
  openAt(place: "joining" | "resuming"): void {
    this.calls.lineLost();
    const [th, secret] = [randomBytes(32), randomBytes(32)];
    const make = place === "joining" ? SealedChannel.connected : SealedChannel.resumed;
    const channel = (side: Side, { vault }: { vault: TestingVault }, peer: Uid) =>
      make({ vault, side, peer, th, secret: vault.import("derive", secret) });
    const ends = [channel("client", this, this.server.key.uid), channel("server", this.server, this.uid)] as const;
    this.#attach(...ends, hex(16), place === "joining" ? 2 : 1, place === "resuming");
  }

  /** Whether both ends still hold the ticket of the lost line. */
  get resumable(): boolean {
    return this.#kept() !== undefined;
  }

  /** R1, R2 with the ticket both ends kept. */
  resume(): void {
    const { server } = this;
    const client = new ResumeClient({ vault: this.vault, ticket: this.ticket!, uid: this.uid });
    const r1 = client.start();
    const half = new ResumeServer({ vault: server.vault });
    const { r2, channel, callId } = half.accept(r1, this.#kept()!);
    this.#attach(client.receive(r2), channel, callId, 1, true);
  }

  /** The line is lost: no fault, no leave. Whoever notices keeps a ticket; the other end believes in the line still. */
  cut(noticed: "both" | End = "both"): void {
    this.wire.cut();
    if (noticed !== "server") this.#lost();
    if (noticed !== "handset" && this.serverLine) this.server.lost(this.serverLine);
  }

  /** Nothing of a lost line is to be resumed any more, here or there. */
  forget(): void {
    this.ticket?.wipe();
    this.ticket = undefined;
    this.server.expire(this.uid);
    this.calls.endAll();
  }

  /** Time passes: a line that waited too long for something is lost. */
  tick(): void {
    try {
      if (this.line && !this.line.channel.closed) this.line.tick();
      if (this.serverLine && !this.serverLine.channel.closed) this.serverLine.tick();
    } catch (error) {
      if (!(error instanceof ProtocolError && error.code === "timeout")) throw error;
      this.timeouts.push(error.message);
      this.cut();
    }
    this.calls.tick(this.server.now());
  }

  /** What lines were given up for. */
  readonly timeouts: string[] = [];
  /** What lines were closed for, at either end. */
  readonly faults: Error[] = [];

  #kept(): ResumeTicket | undefined {
    const id = this.ticket?.spent === false ? this.ticket.id.toString("hex") : "";
    const kept = this.server.tickets.get(id)?.ticket;
    return kept?.spent === false ? kept : undefined;
  }

  #lost(): void {
    const { line } = this;
    if (line && !line.channel.closed) {
      this.ticket = line.ready && !line.ended ? line.channel.keepResume() : undefined;
      line.channel.wipe();
    }
    if (this.ticket) this.calls.lineLost();
    else this.calls.endAll();
  }

  #gone(): void {
    this.line?.channel.wipe();
    this.ticket = undefined;
    this.calls.endAll();
  }

  #attach(channel: SealedChannel, serverChannel: SealedChannel, callId: string, usedCSeq: number, resumed: boolean) {
    const { server } = this;
    const wire = new Wire();
    wire.meddle = this.wire.meddle;
    wire.edit = this.wire.edit;
    this.wire.cut();
    // A line that never reached the loop: the server gives it up in its own time.
    const old = this.serverLine;
    if (old && !old.channel.closed && server.lines.get(this.uid) !== old) server.lost(old);
    this.wire = wire;
    this.ticket?.wipe();
    this.ticket = undefined;
    const { now } = server.clock;
    tap(channel, "handset", wire);
    tap(serverChannel, "server", wire);
    const line = new HandsetLine({
      vault: this.vault,
      keyPair: this.keyPair,
      own: { uid: this.uid, name: this.name },
      follower: this.follower,
      calls: this.calls,
      enrolmentCode: "",
      resumed,
      channel,
      callId,
      usedCSeq,
      now,
      tell: (event) => this.events.push(event),
      outlet: {
        send: (frame) => wire.push({ from: "handset", body: frame.subarray(HEADER_BYTES) }),
        passed: (message) => this.passed.push(message),
      },
    });
    const serverLine = new ServerLine({
      vault: server.vault,
      client: this.key,
      resumed,
      host: server,
      channel: serverChannel,
      callId,
      usedCSeq,
      now,
      outlet: { send: (frame) => wire.push({ from: "server", body: frame.subarray(HEADER_BYTES) }), passed: () => {} },
    });
    this.line = line;
    this.serverLine = serverLine;
    wire.connect("handset", {
      receive: async (body) => {
        await line.receive(body);
        if (!line.ended) return;
        wire.close("handset");
        this.#gone();
      },
      failed: (error) => {
        this.faults.push(error);
        this.#gone();
        server.lost(serverLine);
      },
    });
    wire.connect("server", {
      receive: async (body) => {
        await serverLine.receive(body);
        if (!serverLine.ended) return;
        wire.close("server");
        server.gone(serverLine);
      },
      failed: (error) => {
        this.faults.push(error);
        server.gone(serverLine);
        this.#lost();
      },
    });
  }
}

/** Notes what an end says before it is sealed, and lets a test say something else. */
function tap(channel: SealedChannel, from: End, wire: Wire): void {
  const sealFrame = channel.sealFrame.bind(channel);
  channel.sealFrame = (clearBytes, write) => {
    const clear = Buffer.alloc(clearBytes);
    write(clear);
    const message = wire.edit({ from, message: parseSip(clear) });
    wire.spoken.push({ from, message });
    const edited = sipWriter(message);
    return sealFrame(edited.bytes, edited.write);
  };
}

/** Lets everything happen that is on its way, RSA included. */
export async function settle(...handsets: StageHandset[]): Promise<void> {
  const { jobs } = handsets[0]!.server;
  for (let moved = true; moved; ) {
    await jobs.computed();
    moved = false;
    for (const { wire } of handsets) {
      for (const end of ["server", "handset"] as const) {
        if (!wire.ready(end)) continue;
        await wire.deliver(end);
        moved = true;
      }
    }
  }
}

/** Moves the clock, as timers would notice it, and lets happen what follows. */
export async function later(ms: number, ...handsets: StageHandset[]): Promise<void> {
  const { server } = handsets[0]!;
  server.clock.nowMs += ms;
  for (const handset of handsets) handset.tick();
  server.tick();
  await settle(...handsets);
}

/** Slots in use: each handset's, then the server's. */
export function slots(...handsets: StageHandset[]): number[] {
  return [...handsets, handsets[0]!.server].map(({ vault }) => vault.status().slotsInUse);
}

/** Handsets of these names, connected. */
export async function connected(...names: string[]): Promise<{ server: StageServer; handsets: StageHandset[] }> {
  const server = await StageServer.make();
  const handsets: StageHandset[] = [];
  for (const name of names) {
    const handset = await StageHandset.make(server, handsets.length + 1, name);
    handsets.push(handset);
    await handset.open();
    handset.line!.start();
    await settle(...handsets);
  }
  return { server, handsets };
}

/** Two handsets, connected. */
export async function connectedPair(): Promise<{ server: StageServer; a: StageHandset; b: StageHandset }> {
  const { server, handsets } = await connected("Anna", "Ben");
  return { server, a: handsets[0]!, b: handsets[1]! };
}
