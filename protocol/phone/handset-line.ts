/**
 * The handset's half of the telephone on one line: connect 1.1 to 8, update, deltas, snapshot, path, leave (seed 000;
 * wire.md 2). Calls are in handset-calls.ts, since they outlive lines.
 *
 * What the server says is believed only through the follower: roots, rows, signature and chain have to hold.
 */
import { concat, lp, u64 } from "../bytes.ts";
import { ServerBusy } from "../channel/client.ts";
import { HASH_BYTES, sign, transcript, unwrap, WRAP_BYTES } from "../crypto/transcript.ts";
import type { Change, Follower } from "../directory/follower.ts";
import { ProtocolError } from "../errors.ts";
import type { Uid } from "../identity.ts";
import type { SipRequest, SipResponse } from "../sip.ts";
import { Supervisor } from "../supervisor.ts";
import type { KeyPair, Slot, Vault } from "../vault.ts";
import type { CallLine } from "./call.ts";
import type { PhoneEvent } from "./events.ts";
import type { HandsetCalls } from "./handset-calls.ts";
import { Line, type LineOptions, STEP_MS } from "./line.ts";
import {
  type ConnectKind,
  type ConnectPlace,
  connectOrder,
  connectSteps,
  deltaOrder,
  leaveOrder,
  snapshotOrder,
  syncOrder,
  updateOrder,
  updateSteps,
} from "./orders.ts";

/** Seed 003: recv_frame(sock, timeout=15). */
export const CLIENT_ANSWER_MS = 15_000;
const NONCE_BYTES = 32;

/** The 403 of a join, with the reason word the screen explains. */
export class JoinRefused extends ProtocolError {
  constructor(word: string) {
    super(word, `the server refused to let this handset join: ${word}`);
  }
}

export interface HandsetLineOptions extends Omit<LineOptions, "self" | "peer" | "answerMs"> {
  vault: Vault;
  keyPair: KeyPair;
  own: { uid: Uid; name: string };
  follower: Follower;
  calls: Pick<HandsetCalls, "lineBack" | "receive" | "unexpected">;
  /** Enrolment code; empty when the server asks for none. */
  enrolmentCode: string;
  /** After R2: the loop goes on with sync instead of join. */
  resumed: boolean;
  tell(event: PhoneEvent): void;
}

export class HandsetLine extends Line implements CallLine {
  readonly #options: HandsetLineOptions;
  readonly #connect: Supervisor<ConnectPlace, ConnectKind>;
  readonly #sync = new Supervisor("sync", syncOrder, "resumed");
  readonly #delta = new Supervisor("delta", deltaOrder, "idle");
  readonly #update = new Supervisor("update", updateOrder, "idle");
  readonly #snapshot = new Supervisor("snapshot", snapshotOrder, "idle");
  readonly #leave = new Supervisor("leave", leaveOrder, "here");
  /** What the server said at the update's proof, until the delta that follows it. */
  #updateProof: { oldRoot: string; serverRoot: string } | undefined;
  #nextStep: { heard(): void } | undefined;
  readonly #pathsAwaited = new Set<{ untilMs: number; settle: (path: Buffer | undefined) => void }>();

  constructor(options: HandsetLineOptions) {
    super({ ...options, self: options.own.uid, peer: "server", answerMs: CLIENT_ANSWER_MS });
    this.#options = options;
    // A resumed line has joined: it syncs, and nothing of connect may come on it.
    this.#connect = new Supervisor("connect", connectOrder, options.resumed ? "ready" : "proven");
  }

  /** Connect's loop is reached (step 8): PING, calls, updates. */
  get ready(): boolean {
    return this.#options.resumed ? this.#sync.place === "ready" : this.#connect.place === "ready";
  }

  /** Connect 1.1, behind M4; or sync, behind R2. */
  start(): void {
    const { follower, own, enrolmentCode } = this.#options;
    const head = follower.last;
    const lastHash = head?.hash ?? Buffer.alloc(HASH_BYTES);
    if (this.#options.resumed) {
      this.#sync.admit("c:sync");
      this.ask("MESSAGE", { feldfon: "sync", body: concat(u64(head?.head.epoch ?? 0), lastHash) }, (answer) => {
        expectStatus(answer, 200, "sync");
        this.#sync.admit("s:synced");
        this.#options.calls.lineBack(this);
        this.#options.tell({ event: "connected", change: undefined });
      });
      return;
    }
    this.#connect.admit("c:join");
    const body = concat(
      lp(Buffer.from(own.name)),
      u64(head?.head.epoch ?? 0),
      lastHash,
      lp(Buffer.from(enrolmentCode)),
    );
    this.ask("REGISTER", { feldfon: "join", body }, (answer) => this.#joined(answer), STEP_MS);
  }

  /** Source: seed 000, update 1. @throws {ProtocolError} `not-connected`, `busy` */
  update(): void {
    if (!this.ready) throw new ProtocolError("not-connected", "an update needs a line that is connected");
    if (!this.#update.allows("c:update")) throw new ProtocolError("busy", "an update is going on");
    this.#update.admit("c:update");
    this.#tellUpdating();
    this.ask("MESSAGE", { feldfon: "update" }, (answer) => this.#challenged(answer));
  }

  /** Leaves the loop in order: the row goes at once and no resume key remains. Before the loop there is nothing to leave. */
  leave(): void {
    if (this.ended || !this.ready || !this.#leave.allows("c:leave")) return;
    this.#leave.admit("c:leave");
    this.ask("BYE", { feldfon: "leave" }, () => {
      this.#leave.admit("s:left");
      this.end();
      this.#options.tell({ event: "left", by: "handset" });
    });
  }

  path(olderEpoch: number, newerEpoch: number, withinMs: number): Promise<Buffer | undefined> {
    return new Promise((resolve) => {
      const awaited = { untilMs: this.now() + withinMs, settle: resolve };
      this.#pathsAwaited.add(awaited);
      this.ask("MESSAGE", { feldfon: "path", body: concat(u64(olderEpoch), u64(newerEpoch)) }, (answer) => {
        this.#pathsAwaited.delete(awaited);
        resolve(answer.status === 200 ? answer.body : undefined);
      });
    });
  }

  relayKey(relayId: Uint8Array): Slot<"mac"> {
    return this.channel.relayKey(relayId);
  }

  override tick(): void {
    const nowMs = this.now();
    for (const awaited of this.#pathsAwaited) {
      if (awaited.untilMs > nowMs) continue;
      this.#pathsAwaited.delete(awaited);
      awaited.settle(undefined);
    }
    super.tick();
  }

  protected override get mayPing(): boolean {
    return this.ready;
  }

  protected override unexpected(callId: string): void {
    this.#options.calls.unexpected(callId);
  }

  protected override take(request: SipRequest): void | Promise<void> {
    if (request.callId !== this.callId) return this.#takeCall(request);
    const word = request.feldfon;
    if (request.method === "BYE" && word === "leave") return this.#sentAway(request);
    if (request.method === "MESSAGE") {
      if (word === "head") return this.#headCame(request);
      if (word === "secret") return this.#secretCame(request);
      if (word === "phonebook") return this.#phonebookCame(request);
      if (word === "delta") return this.#deltaCame(request);
      if (word === "ping" && this.ready) return this.answer(request, 200);
    }
    throw new ProtocolError("out-of-order", `${request.method} ${word ?? ""} has no place here`);
  }

  #takeCall(request: SipRequest): void {
    if (!this.ready) throw new ProtocolError("out-of-order", "a call came before the phonebook");
    this.#options.calls.receive(request);
  }

  #joined(answer: SipResponse): void {
    if (answer.status === 503) {
      this.#connect.admit("s:refused");
      throw new ServerBusy(answer.retryAfterS);
    }
    if (answer.status !== 200) {
      expectStatus(answer, 403, "join");
      this.#connect.admit("s:refused");
      throw new JoinRefused(answer.feldfon ?? "refused");
    }
    this.#connect.admit("s:joined");
    this.#step("head");
  }

  /** Connect 2 and 3; the same again in a snapshot. */
  #headCame(request: SipRequest): void {
    const { follower } = this.#options;
    const order = this.ready ? this.#snapshot : this.#connect;
    order.admit("s:head");
    if (!this.ready) this.#step("secret");
    const { signed } = follower.offer(request.body);
    order.admit("c:head-kept");
    this.answer(request, 200, { body: signed.hash });
    if (!this.ready) this.#tellSteps();
  }

  /** Connect 4 and 5: from the answer on everything is under the server's secret. */
  async #secretCame(request: SipRequest): Promise<void> {
    const { vault, keyPair } = this.#options;
    this.#connect.admit("s:secret");
    if (request.body.length !== WRAP_BYTES) throw new ProtocolError("malformed", "connect, step 4: not 512 bytes");
    const serverSecret = await unwrap(vault, keyPair, "server secret", this.channel.th, request.body);
    this.#step("phonebook");
    this.channel.join(serverSecret);
    this.channel.switchSeal();
    this.channel.switchOpen();
    this.#connect.admit("c:stored");
    this.answer(request, 200, { body: transcript("stored", this.channel.th) });
    this.#tellSteps();
  }

  /** Connect 6 and 7; the same again in a snapshot. */
  #phonebookCame(request: SipRequest): void {
    const { follower, tell, calls } = this.#options;
    const again = this.ready;
    const order = again ? this.#snapshot : this.#connect;
    order.admit("s:phonebook");
    const change = follower.complete(request.body);
    if (!again) this.#tellSteps();
    order.admit("c:phonebook-kept");
    this.answer(request, 200, { body: headHashOf(follower) });
    if (again) {
      tell({ event: "directory", change });
      return this.#updated(change);
    }
    this.#nextStep?.heard();
    this.#tellSteps();
    calls.lineBack(this);
    tell({ event: "connected", change });
  }

  #deltaCame(request: SipRequest): void {
    const { follower, tell } = this.#options;
    if (!this.ready) throw new ProtocolError("out-of-order", "a delta came before the phonebook");
    this.#delta.admit("s:delta");
    const ofUpdate = this.#update.place === "shown";
    if (ofUpdate) this.#update.admit("s:delta");
    // While the directory is shown anew a delta is not taken; the server goes on from the snapshot.
    const outcome = this.#snapshot.place === "idle" ? follower.applyDelta(request.body) : undefined;
    this.#delta.admit("c:delta-kept");
    if (ofUpdate) this.#update.admit("c:delta-kept");
    this.answer(request, 200, { body: headHashOf(follower) });
    if (!outcome) return;
    if ("gap" in outcome) return this.#askSnapshot();
    tell({ event: "directory", change: outcome });
    if (ofUpdate) this.#updated(outcome);
  }

  /** A delta from an epoch I do not hold: steps 2 and 6 again. */
  #askSnapshot(): void {
    if (!this.#snapshot.allows("c:snapshot")) return;
    this.#snapshot.admit("c:snapshot");
    const head = this.#options.follower.last;
    const body = concat(u64(head?.head.epoch ?? 0), head?.hash ?? Buffer.alloc(HASH_BYTES));
    this.ask("MESSAGE", { feldfon: "snapshot", body }, (answer) => {
      expectStatus(answer, 200, "snapshot");
      this.#snapshot.admit("s:granted");
    });
  }

  /** Update 1: a fresh challenge, answered by a signature; nothing is ever decrypted and returned. */
  async #challenged(answer: SipResponse): Promise<void> {
    const { vault, keyPair, follower } = this.#options;
    expectStatus(answer, 200, "update");
    if (answer.body.length !== NONCE_BYTES)
      throw new ProtocolError("malformed", "update, step 1: a nonce has 32 bytes");
    this.#update.admit("s:challenge");
    const head = follower.head;
    if (!head) throw new ProtocolError("out-of-order", "update: there is no head yet");
    const t = transcript("update", this.channel.th, answer.body, head.hash);
    const signature = await sign(vault, keyPair, "update", t);
    this.#update.admit("c:proof");
    this.#tellUpdating();
    const body = concat(u64(head.head.epoch), head.hash, signature);
    const oldRoot = head.head.seedRoot.toString("hex");
    this.ask("MESSAGE", { feldfon: "proof", body }, (reply) => this.#rootShown(reply, oldRoot));
  }

  /** Update 1.1: the server's root, shown as additional information; it goes on whatever that says. */
  #rootShown(answer: SipResponse, oldRoot: string): void {
    if (answer.status !== 200) {
      expectStatus(answer, 403, "proof");
      this.#update.admit("s:refused");
      return this.#options.tell({ event: "update-failed", code: answer.feldfon ?? "refused" });
    }
    if (answer.body.length !== HASH_BYTES)
      throw new ProtocolError("malformed", "update, step 1.1: a root has 32 bytes");
    this.#update.admit("s:root");
    this.#updateProof = { oldRoot, serverRoot: answer.body.toString("hex") };
    this.#tellUpdating();
  }

  /** Update 2 and 3. */
  #updated(change: Change | undefined): void {
    const proof = this.#updateProof;
    const head = this.#options.follower.head;
    if (!proof || !head) return;
    this.#updateProof = undefined;
    const newRoot = head.head.seedRoot.toString("hex");
    this.#options.tell({ event: "updated", ...proof, newRoot, change });
  }

  #sentAway(request: SipRequest): void {
    if (!this.ready) throw new ProtocolError("out-of-order", "leave: before the phonebook");
    this.#leave.admit("s:leave");
    this.#leave.admit("c:left");
    this.answer(request, 200);
    this.end();
    this.#options.tell({ event: "left", by: "server" });
  }

  /** A step is done, and the next one has its time. */
  #step(next: string): void {
    this.#nextStep?.heard();
    this.#nextStep = this.expect(`connect: ${next}`, STEP_MS);
    this.#tellSteps();
  }

  #tellUpdating(): void {
    const step = updateSteps.find(({ from }) => from === this.#update.place)?.step;
    if (step) this.#options.tell({ event: "updating", step });
  }

  /** Those that are done where the conversation stands now. */
  #tellSteps(): void {
    for (const { step, at } of connectSteps) {
      if (at === this.#connect.place) this.#options.tell({ event: "step", step });
    }
  }
}

function headHashOf(follower: Follower): Buffer {
  return follower.head?.hash ?? Buffer.alloc(HASH_BYTES);
}

function expectStatus(answer: SipResponse, status: number, what: string): void {
  if (answer.status === status) return;
  throw new ProtocolError("out-of-order", `${what} was answered ${answer.status}, expected ${status}`);
}
