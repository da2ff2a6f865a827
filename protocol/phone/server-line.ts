/**
 * The server's half of the telephone on one line: connect 1.1 to 8, deltas, update, snapshot, path, leave (seed 000;
 * wire.md 2). Calls go to the broker, which knows all lines.
 *
 * Before join is accepted nothing is looked up or reserved for the peer; a handset hears deltas and calls from the
 * phonebook's 200 on.
 */
import { ByteReader, equalBytes, publicBytes } from "../bytes.ts";
import type { ResumeTicket } from "../channel/ticket.ts";
import { HASH_BYTES, labelled, SIGNATURE_BYTES, transcript, wrap } from "../crypto/transcript.ts";
import type { SignedHead } from "../directory/tree-head.ts";
import { ProtocolError } from "../errors.ts";
import type { PublicKey, Uid } from "../identity.ts";
import type { SipRequest, SipResponse } from "../sip.ts";
import { Supervisor } from "../supervisor.ts";
import type { Vault } from "../vault.ts";
import { Line, type LineOptions, STEP_MS } from "./line.ts";
import {
  type ConnectKind,
  type ConnectPlace,
  connectOrder,
  deltaOrder,
  leaveOrder,
  snapshotOrder,
  syncOrder,
  updateOrder,
} from "./orders.ts";
import { type RelayKey, RelayKeys } from "./relay-key.ts";

/** Seed 003: recv_frame(sock, timeout=30). */
export const SERVER_ANSWER_MS = 30_000;
const NONCE_BYTES = 32;
/** Far above 32 characters: a name that is too long is the registry's to refuse, with a word the screen explains. */
const MAX_NAME_BYTES = 1024;
const MAX_CODE_BYTES = 256;

/** The reason words of a 403. */
export type JoinRefusal = "name-bad" | "name-taken" | "key-known" | "code-bad";

/** Told to a handset that cannot be taken in now: the ground gave way, or the server is going down. */
const UNAVAILABLE_RETRY_S = 5;

/** In pieces, so that what all handsets are shown is copied for none of them. */
type LongBody = Buffer | readonly Buffer[];

export interface JoinRequest {
  key: PublicKey;
  name: string;
  code: string;
}

/** What a line asks of the server around it: the registry, its log, and who else is here. */
export interface LineHost {
  /**
   * Accepts or refuses; a new row and its head are on disk when this resolves. An earlier line of the same key is
   * replaced then. "unavailable": not now (503).
   */
  join(
    line: ServerLine,
    request: JoinRequest,
  ): Promise<{ joined: true } | { refused: JoinRefusal } | { unavailable: true }>;
  /** Steps 2 and 6 of now, for someone whose last head is (epoch, hash). */
  snapshot(lastEpoch: number, lastHash: Uint8Array): { step2: LongBody; step6: Buffer; signed: SignedHead };
  head(): SignedHead;
  headHash(epoch: number): Buffer | undefined;
  /** From that epoch to now, encoded; undefined when a snapshot is due. */
  delta(fromEpoch: number): Buffer | undefined;
  logPath(older: number, newer: number): Buffer | undefined;
  /** The handset is in the loop: connect 7, or sync after a resume, which replaces the old line. */
  ready(line: ServerLine, by: "connect" | "sync"): void;
  /** The handset has acknowledged a head that is not the newest any more: its next delta goes out with the others'. */
  behind(): void;
  /** An orderly leave was taken: the row goes at once. */
  left(line: ServerLine): void;
  call(line: ServerLine, request: SipRequest): void;
  /** An answer that nobody waits for: a running call ends with it, of any other it is absorbed. @see CallBroker.absorbs */
  absorbs(callId: string): unknown;
}

export interface ServerLineOptions extends Omit<LineOptions, "self" | "peer" | "answerMs"> {
  vault: Vault;
  /** Proven by M4, or by the ticket that was resumed. */
  client: PublicKey;
  resumed: boolean;
  host: LineHost;
}

export class ServerLine extends Line {
  readonly client: PublicKey;
  readonly #vault: Vault;
  readonly #host: LineHost;
  readonly #relayKeys: RelayKeys;
  readonly resumed: boolean;
  readonly #connect: Supervisor<ConnectPlace, ConnectKind>;
  readonly #sync = new Supervisor("sync", syncOrder, "resumed");
  readonly #delta = new Supervisor("delta", deltaOrder, "idle");
  readonly #update = new Supervisor("update", updateOrder, "idle");
  readonly #snapshot = new Supervisor("snapshot", snapshotOrder, "idle");
  readonly #leave = new Supervisor("leave", leaveOrder, "here");
  /** What the handset has acknowledged; deltas start from there. */
  #acknowledged: { epoch: number; hash: Buffer } | undefined;
  readonly #opening: { heard(): void };
  #nonce: Buffer | undefined;
  /** An update's proof was answered: the next delta is due, with or without changes. */
  #deltaOwed = false;

  constructor(options: ServerLineOptions) {
    super({ ...options, self: "server", peer: options.client.uid, answerMs: SERVER_ANSWER_MS });
    this.client = options.client;
    this.#vault = options.vault;
    this.#host = options.host;
    this.#relayKeys = new RelayKeys(options.vault, (relayId) => this.channel.relayKey(relayId));
    this.resumed = options.resumed;
    // A resumed line has joined: it syncs, and does not join again.
    this.#connect = new Supervisor("connect", connectOrder, options.resumed ? "ready" : "proven");
    this.#opening = this.expect(options.resumed ? "sync" : "join", STEP_MS);
  }

  get uid(): Uid {
    return this.client.uid;
  }

  /** In the loop (step 8). */
  get ready(): boolean {
    return this.resumed ? this.#sync.place === "ready" : this.#connect.place === "ready";
  }

  /** The directory has changed: gives the next delta, unless one is in flight or the handset is being shown it all. */
  offerDelta(): void {
    if (this.ended || !this.ready || !this.#acknowledged) return;
    if (!this.#delta.allows("s:delta") || this.#snapshot.place !== "idle") return;
    const ofUpdate = this.#deltaOwed;
    if (!ofUpdate && this.#acknowledged.epoch === this.#host.head().head.epoch) return;
    this.#giveDelta(this.#acknowledged.epoch, ofUpdate);
  }

  /** Shutdown: tells the handset, which closes. Before the loop nothing may come in between: the line is just closed. */
  sendAway(answered: () => void): void {
    if (this.ended || !this.ready || !this.#leave.allows("s:leave")) return answered();
    this.#leave.admit("s:leave");
    this.ask("BYE", { feldfon: "leave" }, () => {
      this.#leave.admit("c:left");
      this.end();
      answered();
    });
  }

  relayKey(relayId: Uint8Array): RelayKey {
    return this.#relayKeys.keyOf(relayId);
  }

  /** The line was lost: all but the ticket is wiped. */
  keepResume(): ResumeTicket | undefined {
    if (this.channel.closed || !this.ready) {
      this.wipe();
      return undefined;
    }
    this.end();
    this.#relayKeys.deriveAll();
    return this.channel.keepResume();
  }

  /** A fault, a leave, a replacement: nothing remains. */
  wipe(): void {
    this.end();
    this.#relayKeys.giveUp();
    this.channel.wipe();
  }

  protected override get mayPing(): boolean {
    return this.ready;
  }

  protected override unexpected(callId: string): void {
    this.#host.absorbs(callId);
  }

  protected override take(request: SipRequest): void | Promise<void> {
    if (request.callId !== this.callId) return this.#takeCall(request);
    if (request.uri !== "server") throw new ProtocolError("bad-sip", "a message of the line names another end");
    const word = request.feldfon;
    if (request.method === "REGISTER" && word === "join") return this.#join(request);
    if (request.method === "BYE" && word === "leave") return this.#left(request);
    if (request.method === "MESSAGE") {
      if (word === "sync") return this.#synced(request);
      if (word === "ping" && this.ready) return this.answer(request, 200);
      if (word === "update") return this.#updateAsked(request);
      if (word === "proof") return this.#proved(request);
      if (word === "snapshot") return this.#snapshotAsked(request);
      if (word === "path" && this.ready) return this.#pathAsked(request);
    }
    throw new ProtocolError("out-of-order", `${request.method} ${word ?? ""} has no place here`);
  }

  #takeCall(request: SipRequest): void {
    if (!this.ready) throw new ProtocolError("out-of-order", "a call came before the phonebook");
    this.#host.call(this, request);
  }

  /** Connect 1.1 and 2. */
  async #join(request: SipRequest): Promise<void> {
    this.#connect.admit("c:join");
    this.#opening.heard();
    const reader = new ByteReader(request.body, "join");
    const name = readText(reader, MAX_NAME_BYTES);
    const lastEpoch = reader.u64();
    const lastHash = reader.take(HASH_BYTES);
    const code = readText(reader, MAX_CODE_BYTES);
    reader.end();
    const outcome = await this.#host.join(this, { key: this.client, name, code });
    if (this.ended) return;
    if ("unavailable" in outcome) {
      this.#connect.admit("s:refused");
      this.answer(request, 503, { retryAfterS: UNAVAILABLE_RETRY_S });
      this.end();
      return;
    }
    if ("refused" in outcome) {
      this.#connect.admit("s:refused");
      this.answer(request, 403, { feldfon: outcome.refused });
      this.end();
      return;
    }
    this.#connect.admit("s:joined");
    this.answer(request, 200);
    this.#showHead(lastEpoch, lastHash, this.#connect, (step6, hash) => this.#secret(step6, hash));
  }

  /** Connect 2 and 3: head, keys, leaves; the handset recomputes both roots and says which head it holds. */
  #showHead(
    lastEpoch: number,
    lastHash: Uint8Array,
    order: { admit(kind: "s:head" | "c:head-kept"): void },
    kept: (step6: Buffer, signed: SignedHead) => void,
  ): void {
    const { step2, step6, signed } = this.#host.snapshot(lastEpoch, lastHash);
    order.admit("s:head");
    this.#tell("head", step2, (answer) => {
      order.admit("c:head-kept");
      expectHash(answer, signed.hash, "head");
      kept(step6, signed);
    });
  }

  /** Connect 4 and 5: 48 bytes for this handset alone; the last frame under "connect". */
  #secret(step6: Buffer, signed: SignedHead): void {
    const secret = this.#vault.newSecret();
    try {
      const wrapped = wrap(this.#vault, this.client, "server secret", this.channel.th, secret.wrap);
      this.channel.join(secret.derive);
      this.#connect.admit("s:secret");
      this.#tell("secret", wrapped, (answer) => {
        this.#connect.admit("c:stored");
        if (!equalBytes(answer.body, transcript("stored", this.channel.th))) {
          throw new ProtocolError("unauthentic", "connect, step 5: not the word that the secret is stored");
        }
        this.#showRows(step6, signed, this.#connect, () => this.#host.ready(this, "connect"));
      });
      this.channel.switchSeal();
      this.channel.switchOpen();
    } finally {
      this.#vault.wipe(secret.wrap, secret.derive);
    }
  }

  /** Connect 6: the rows of the head that was shown; later changes follow as a delta. */
  #showRows(
    step6: Buffer,
    signed: SignedHead,
    order: { admit(kind: "s:phonebook" | "c:phonebook-kept"): void },
    kept: () => void,
  ): void {
    order.admit("s:phonebook");
    this.#tell("phonebook", step6, (answer) => {
      order.admit("c:phonebook-kept");
      expectHash(answer, signed.hash, "phonebook");
      this.#acknowledged = { epoch: signed.head.epoch, hash: signed.hash };
      kept();
      this.#catchUp();
    });
  }

  /** Connect 7, and update 2. */
  #giveDelta(fromEpoch: number, ofUpdate: boolean): void {
    const signed = this.#host.head();
    // Too far behind for the operations kept: a delta from my own epoch is a gap for it, and it asks for a snapshot.
    const body = this.#host.delta(fromEpoch) ?? this.#host.delta(signed.head.epoch);
    if (!body) throw new ProtocolError("unavailable", "no delta can be made");
    const held = this.#acknowledged?.hash;
    this.#delta.admit("s:delta");
    if (ofUpdate) this.#update.admit("s:delta");
    this.#deltaOwed = false;
    this.ask("MESSAGE", { uri: this.uid, feldfon: "delta", body }, (answer) => {
      this.#delta.admit("c:delta-kept");
      if (ofUpdate) this.#update.admit("c:delta-kept");
      if (equalBytes(answer.body, signed.hash)) {
        this.#acknowledged = { epoch: signed.head.epoch, hash: signed.hash };
        return this.#catchUp();
      }
      // A gap: the handset holds what it held and asks for a snapshot next.
      if (held) expectHash(answer, held, "delta");
      this.#acknowledged = undefined;
    });
  }

  /** What changed meanwhile waits for the next fan-out; only an update has its delta at once. */
  #catchUp(): void {
    if (this.#deltaOwed) this.offerDelta();
    else if (this.#acknowledged?.epoch !== this.#host.head().head.epoch) this.#host.behind();
  }

  #synced(request: SipRequest): void {
    if (!this.resumed) throw new ProtocolError("out-of-order", "sync: this line was not resumed");
    this.#sync.admit("c:sync");
    this.#opening.heard();
    const { epoch, hash } = readPosition(request, "sync");
    this.#sync.admit("s:synced");
    this.answer(request, 200);
    this.#acknowledged = { epoch, hash };
    this.#host.ready(this, "sync");
    // Who holds the newest head has said so: a delta without changes would have it said again.
    const newest = this.#host.head();
    if (epoch === newest.head.epoch && equalBytes(hash, newest.hash)) return;
    if (this.#delta.allows("s:delta")) this.#giveDelta(epoch, false);
  }

  #updateAsked(request: SipRequest): void {
    if (!this.ready) throw new ProtocolError("out-of-order", "update: before the phonebook");
    this.#update.admit("c:update");
    this.#nonce = publicBytes(NONCE_BYTES);
    this.#update.admit("s:challenge");
    this.answer(request, 200, { body: this.#nonce });
  }

  /** Update 1 and 1.1: the proof of the key, and the root recomputed as information. */
  #proved(request: SipRequest): void {
    this.#update.admit("c:proof");
    const nonce = this.#nonce ?? Buffer.alloc(0);
    this.#nonce = undefined;
    const reader = new ByteReader(request.body, "proof");
    const epoch = reader.u64();
    const hash = reader.take(HASH_BYTES);
    const signature = reader.take(SIGNATURE_BYTES);
    reader.end();
    const t = transcript("update", this.channel.th, nonce, hash);
    if (!this.#vault.verifies(this.client.spki, labelled("update", t), signature)) {
      throw new ProtocolError("unauthentic", "update, step 1: the proof does not carry the handset's signature");
    }
    const logged = this.#host.headHash(epoch);
    if (!logged || !equalBytes(logged, hash)) {
      this.#update.admit("s:refused");
      return this.answer(request, 403, { feldfon: "head-unknown" });
    }
    this.#update.admit("s:root");
    this.answer(request, 200, { body: this.#host.head().head.seedRoot });
    this.#deltaOwed = true;
    this.offerDelta();
  }

  #snapshotAsked(request: SipRequest): void {
    if (!this.ready) throw new ProtocolError("out-of-order", "snapshot: before the phonebook");
    this.#snapshot.admit("c:snapshot");
    const { epoch, hash } = readPosition(request, "snapshot");
    this.#snapshot.admit("s:granted");
    this.answer(request, 200);
    this.#showHead(epoch, hash, this.#snapshot, (step6, signed) => {
      this.#showRows(step6, signed, this.#snapshot, () => {});
    });
  }

  #pathAsked(request: SipRequest): void {
    const reader = new ByteReader(request.body, "path");
    const older = reader.u64();
    const newer = reader.u64();
    reader.end();
    const path = older < newer ? this.#host.logPath(older, newer) : undefined;
    if (path) this.answer(request, 200, { body: path });
    else this.answer(request, 404);
  }

  #left(request: SipRequest): void {
    if (!this.ready) throw new ProtocolError("out-of-order", "leave: before the phonebook");
    this.#leave.admit("c:leave");
    this.#leave.admit("s:left");
    this.answer(request, 200);
    if (this.#leave.place === "gone") this.end(); // else it crossed mine, which is answered next
    this.#host.left(this);
  }

  #tell(feldfon: string, body: LongBody, listener: (answer: SipResponse) => void): void {
    const withinMs = this.ready ? SERVER_ANSWER_MS : STEP_MS;
    this.ask(
      "MESSAGE",
      { uri: this.uid, feldfon, body },
      (answer) => {
        if (answer.status !== 200) {
          throw new ProtocolError("out-of-order", `${feldfon} was answered ${answer.status}, expected 200`);
        }
        listener(answer);
      },
      withinMs,
    );
  }
}

function readPosition(request: SipRequest, what: string): { epoch: number; hash: Buffer } {
  const reader = new ByteReader(request.body, what);
  const position = { epoch: reader.u64(), hash: reader.take(HASH_BYTES) };
  reader.end();
  return position;
}

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** @throws {ProtocolError} `malformed` when too long or not UTF-8; the name's own rules are the registry's */
function readText(reader: ByteReader, maxBytes: number): string {
  const bytes = reader.lp();
  if (bytes.length > maxBytes)
    throw new ProtocolError("malformed", `a text of ${bytes.length} bytes came, at most ${maxBytes}`);
  try {
    return utf8.decode(bytes);
  } catch (cause) {
    throw new ProtocolError("malformed", "a text came that is not UTF-8", { cause });
  }
}

function expectHash(answer: SipResponse, hash: Uint8Array, what: string): void {
  if (!equalBytes(answer.body, hash))
    throw new ProtocolError("wrong-head", `${what} was acknowledged with another head`);
}
