/**
 * The telephone on a stage: any number of handsets and one server in memory, real keys, real channels, a wire on which
 * a test can lose, repeat, swap and alter what passes, and a clock it moves by hand.
 */
import { signBatch } from "@feldfon/protocol/channel/batch";
import { ChannelClient } from "@feldfon/protocol/channel/client";
import { ResumeClient, ResumeServer } from "@feldfon/protocol/channel/resume";
import { ChannelServer } from "@feldfon/protocol/channel/server";
import type { SealedChannel } from "@feldfon/protocol/channel/sealed";
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
import { PublicKey, type Uid } from "@feldfon/protocol/identity";
import { CallBroker, type BrokerHost, type RelayEnd } from "@feldfon/protocol/phone/broker";
import type { PhoneEvent } from "@feldfon/protocol/phone/events";
import { HandsetCalls } from "@feldfon/protocol/phone/handset-calls";
import { HandsetLine } from "@feldfon/protocol/phone/handset-line";
import type { Passed } from "@feldfon/protocol/phone/line";
import { type JoinRefusal, type JoinRequest, type LineHost, ServerLine } from "@feldfon/protocol/phone/server-line";
import type { KeyPair } from "@feldfon/protocol/vault";
import { type TestingVault, testingVault } from "@feldfon/vault/testing";
import { testKeyPair } from "../../keys.ts";

/** One frame body on the wire between a handset and the server. */
export interface Frame {
  from: "handset" | "server";
  body: Buffer;
}

/** What a test may do to a frame: pass it on as it is, or as other frames, or as none. */
export type Meddler = (frame: Frame) => Buffer[];

/** Both directions of one line, in order. */
export class Wire {
  readonly queue: Frame[] = [];
  readonly history: Frame[] = [];
  meddle: Meddler = ({ body }) => [body];
  /** The error that closed one end, if any. */
  fault: { at: "handset" | "server"; error: Error } | undefined;
  handset: ((body: Buffer) => Promise<void>) | undefined;
  server: ((body: Buffer) => Promise<void>) | undefined;

  push(frame: Frame): void {
    this.history.push(frame);
    for (const body of this.meddle(frame)) this.queue.push({ from: frame.from, body });
  }

  /** Delivers the oldest frame. @returns false when there is none */
  async step(): Promise<boolean> {
    const frame = this.queue.shift();
    if (!frame) return false;
    const at = frame.from === "handset" ? "server" : "handset";
    try {
      await this[at]?.(frame.body);
    } catch (error) {
      this.fault ??= { at, error: error as Error };
      this.queue.length = 0;
      this.handset = this.server = undefined;
    }
    return true;
  }
}

export class StageClock {
  nowMs = 1_000_000;
  readonly now = (): number => this.nowMs;
}

/** The server: one directory, its log, every line, the broker. */
export class StageServer implements LineHost, BrokerHost {
  readonly vault: TestingVault = testingVault();
  readonly clock: StageClock;
  readonly key: PublicKey;
  readonly keyPair: KeyPair;
  readonly directory: Directory;
  readonly log = new MerkleLog();
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

  private constructor(clock: StageClock, keyPair: KeyPair, vault: TestingVault) {
    this.clock = clock;
    this.vault = vault;
    this.keyPair = keyPair;
    this.key = new PublicKey(keyPair.spki);
    this.directory = new Directory(this.key);
    this.broker = new CallBroker(this.vault, this);
  }

  static async make(clock = new StageClock(), keyNumber = 0): Promise<StageServer> {
    const vault = testingVault();
    const server = new StageServer(clock, await testKeyPair(vault, keyNumber), vault);
    await server.commit([]);
    return server;
  }

  /** Applies changes, makes and signs the next head. */
  async commit(ops: Op[]): Promise<void> {
    for (const op of ops) this.directory.apply(op);
    const head = nextHead(this.directory, this.log, this.heads.at(-1), this.clock.nowMs);
    const signed = await signHead(this.vault, this.keyPair, head);
    this.heads.push(signed);
    this.ops.push(ops);
    this.log.append(logLeaf(signed));
    if (this.pushing) for (const line of this.lines.values()) line.offerDelta();
  }

  async join(line: ServerLine, { key, name }: JoinRequest): Promise<{ joined: true } | { refused: JoinRefusal }> {
    if (this.refusal) return { refused: this.refusal };
    const row = this.directory.rowOf(key.uid);
    const old = this.lines.get(key.uid);
    if (old && old !== line) {
      this.lines.delete(key.uid);
      this.broker.lineGone(key.uid);
      old.wipe();
    }
    this.names.set(key.uid, name);
    if (!row) await this.commit([{ op: "append", row: { uid: key.uid, name, key, flags: 0 } }]);
    return { joined: true };
  }

  async remove(uid: Uid): Promise<void> {
    const index = this.directory.find(uid);
    if (index > 0) await this.commit([{ op: "leave", index }]);
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
    return this.heads[epoch]?.hash;
  }

  delta(from: number): Buffer | undefined {
    const signed = this.head();
    if (from > signed.head.epoch) return undefined;
    const logPath = from + 1 < signed.head.epoch ? this.log.path(from, signed.head.epoch) : Buffer.alloc(0);
    return encodeDelta({ from, signed, logPath, ops: this.ops.slice(from + 1).flat() });
  }

  logPath(older: number, newer: number): Buffer | undefined {
    return older < newer && newer < this.heads.length ? this.log.path(older, newer) : undefined;
  }

  ready(line: ServerLine): void {
    this.lines.set(line.uid, line);
    this.broker.lineBack(line);
    if (this.pushing) for (const other of this.lines.values()) if (other !== line) other.offerDelta();
  }

  left(line: ServerLine): void {
    this.lines.delete(line.uid);
    this.broker.lineGone(line.uid);
    void this.remove(line.uid);
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
      this.vault.wipe(a.key, b.key);
    };
  }

  now(): number {
    return this.clock.nowMs;
  }

  callBegan(): void {}

  callOver(callId: string, status: number): void {
    this.callsOver.push({ callId, status });
  }
}

export class StageHandset {
  readonly vault: TestingVault = testingVault();
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
    const vault = testingVault();
    return new StageHandset(server, await testKeyPair(vault, keyNumber), vault, name);
  }

  get uid(): Uid {
    return this.key.uid;
  }

  /** The latest event of that name. */
  last<Name extends PhoneEvent["event"]>(name: Name): Extract<PhoneEvent, { event: Name }> | undefined {
    return this.events.findLast((event) => event.event === name) as Extract<PhoneEvent, { event: Name }> | undefined;
  }

  /** M1..M4: the channel on both ends, as the server's connection would make it. */
  async open(): Promise<void> {
    const { server } = this;
    const client = new ChannelClient({ vault: this.vault, keyPair: this.keyPair, serverUid: server.key.uid });
    const half = new ChannelServer({ vault: server.vault, serverKey: server.key });
    const { leaf } = half.hello(client.start());
    const [m3] = await signBatch(server.vault, server.keyPair, [leaf]);
    const { m4, channel } = await client.receive(half.offer(m3!));
    this.#attach(channel, half.prove(m4), client.callId, 2, false);
  }

  /** R1, R2 with the ticket both ends kept. */
  resume(): void {
    const { server } = this;
    const client = new ResumeClient({ vault: this.vault, ticket: this.ticket!, uid: this.uid });
    const r1 = client.start();
    const kept = server.tickets.get(ResumeServer.idOf(r1).toString("hex"))!;
    const half = new ResumeServer({ vault: server.vault });
    const { r2, channel, callId } = half.accept(r1, kept.ticket);
    this.#attach(client.receive(r2), channel, callId, 1, true);
  }

  /** The line is cut: no fault, no leave. Both ends keep a ticket. */
  cut(): void {
    const { server, uid } = this;
    this.wire.handset = this.wire.server = undefined;
    this.wire.queue.length = 0;
    this.calls.lineLost();
    this.ticket = this.line?.ready ? this.line.channel.keepResume() : undefined;
    const ticket = this.serverLine?.keepResume();
    if (ticket) server.tickets.set(ticket.id.toString("hex"), { ticket, client: this.key });
    if (server.lines.get(uid) === this.serverLine) server.lines.delete(uid);
    server.broker.lineLost(uid);
  }

  #attach(channel: SealedChannel, serverChannel: SealedChannel, callId: string, usedCSeq: number, resumed: boolean) {
    const { server } = this;
    const wire = new Wire();
    wire.meddle = this.wire.meddle;
    this.wire = wire;
    const { now } = server.clock;
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
        send: (body) => wire.push({ from: "handset", body }),
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
      outlet: { send: (body) => wire.push({ from: "server", body }), passed: () => {} },
    });
    wire.handset = (body) => line.receive(body);
    wire.server = (body) => serverLine.receive(body);
    this.line = line;
    this.serverLine = serverLine;
  }
}

/** Lets everything happen that is on its way, RSA included. */
export async function settle(...handsets: StageHandset[]): Promise<void> {
  for (let quiet = 0; quiet < 6; ) {
    let moved = false;
    for (const { wire } of handsets) while (await wire.step()) moved = true;
    quiet = moved ? 0 : quiet + 1;
    await new Promise((resolve) => setTimeout(resolve, quiet < 3 ? 0 : 4));
  }
}

/** Two handsets, connected. */
export async function connectedPair(): Promise<{ server: StageServer; a: StageHandset; b: StageHandset }> {
  const server = await StageServer.make();
  const a = await StageHandset.make(server, 1, "Anna");
  const b = await StageHandset.make(server, 2, "Ben");
  for (const handset of [a, b]) {
    await handset.open();
    handset.line!.start();
    await settle(a, b);
  }
  return { server, a, b };
}
