/**
 * One handset of a crowd: the product's uplink, channel, line and calls; no buttons, no screen, no voice.
 *
 *     make -> join -> call, drop, .. -> leave -> join -> .. -> close
 *
 * It answers every call at once. Everything the telephone tells is an event of `told`.
 */
import { EventEmitter, once } from "node:events";
import { connect, type Socket } from "node:net";
import { type LineBegin, Uplink } from "@feldfon/firmware/line/uplink";
import { Follower } from "@feldfon/protocol/directory/follower";
import type { SignedHead } from "@feldfon/protocol/directory/tree-head";
import { PublicKey, type Uid } from "@feldfon/protocol/identity";
import type { PhoneEvent } from "@feldfon/protocol/phone/events";
import { HandsetCalls } from "@feldfon/protocol/phone/handset-calls";
import { HandsetLine } from "@feldfon/protocol/phone/handset-line";
import type { Passed } from "@feldfon/protocol/phone/line";
import type { KeyPair, Vault } from "@feldfon/protocol/vault";
import { poolKey } from "../key-pool.ts";
import { type CallState, type HandsetState, shownHead, type Told } from "./oracle.ts";
import { QuickVault } from "./quick-vault.ts";
import { TrustingFollower } from "./trusting-follower.ts";

/** Where the server is, and which key is pinned. */
export interface ServerPlace {
  port: number;
  uid: Uid;
}

export interface HandsetOptions {
  /** A QuickVault brings its own keys. */
  vault: Vault;
  /** Of its key in the pool; 0 is the server's. */
  n: number;
  place: ServerPlace;
  /** Recomputes no root. */
  trusting?: boolean;
  /** Accepted before a restart. */
  last?: (serverKey: PublicKey) => SignedHead | undefined;
  /** Hears of every message. */
  passed?: (message: Passed) => void;
}

/** The server allows 16 half-open lines an address, so each handset comes from one of many (RFC 1122 §3.2.1.3 (g)). */
function addressOf(n: number): string {
  return `127.0.${1 + (n >> 7)}.${2 + (n & 127)}`;
}

export class LoadHandset {
  readonly n: number;
  readonly uid: Uid;
  readonly name: string;
  readonly key: PublicKey;
  /** `connected`, `down` (code), and the names of PhoneEvent. */
  readonly told = new EventEmitter({ captureRejections: false });
  readonly calls: CallState[] = [];
  /** In the loop, seen from here. */
  connected = false;
  /** A code that only a person could go on from. */
  stuck: string | undefined;
  readonly #options: HandsetOptions;
  readonly #keyPair: KeyPair;
  readonly #uplink: Uplink;
  #socket: Socket | undefined;
  #follower: Follower | undefined;
  #handsetCalls: HandsetCalls | undefined;
  /** Closed while stalled. */
  #gate: PromiseWithResolvers<void> | undefined;

  static async make(options: HandsetOptions): Promise<LoadHandset> {
    const { vault, n } = options;
    const quick = vault instanceof QuickVault;
    return new LoadHandset(options, quick ? vault.smoothKeyPair(n) : await vault.loadKeyPair(await poolKey(n)));
  }

  private constructor(options: HandsetOptions, keyPair: KeyPair) {
    this.#options = options;
    this.#keyPair = keyPair;
    this.n = options.n;
    this.key = new PublicKey(keyPair.spki);
    this.uid = this.key.uid;
    this.name = `Handset ${options.n}`;
    this.told.setMaxListeners(0);
    this.#uplink = new Uplink({
      vault: options.vault,
      keyPair,
      own: this.uid,
      serverUid: options.place.uid,
      host: "127.0.0.1",
      port: options.place.port,
      dial: () => this.#dial(),
      now: Date.now,
      random: Math.random,
      begin: (line) => this.#begin(line),
      connecting: () => {},
      exchanged: () => {},
      down: (code, retryInMs) => this.#down(code, retryInMs),
      passed: options.passed ?? (() => {}),
      tick: () => this.#tick(),
    });
  }

  /** In words, for whoever wonders why nothing happens. */
  get doing(): string {
    const call = this.#handsetCalls?.current;
    const line = this.connected ? "connected" : "not connected";
    return call ? `${line}, ${call.place} as ${call.own} in call ${call.id.slice(0, 8)}` : `${line}, in no call`;
  }

  /** Of the newest directory held. */
  get head(): SignedHead | undefined {
    return this.#follower?.head;
  }

  /** Step 8 is reached on it, or will be. */
  get line(): HandsetLine | undefined {
    return this.#uplink.line;
  }

  get follower(): Follower | undefined {
    return this.#follower;
  }

  /** Of the line that is, or was last. */
  get bytesRead(): number {
    return this.#socket?.bytesRead ?? 0;
  }

  /** As an oracle compares it. */
  get state(): HandsetState {
    const { uid, name, connected, stuck, head, follower, calls } = this;
    const rows = follower?.rows.slice(1).map((row) => row.uid) ?? [];
    return { uid, name, connected, stuck, head: head && shownHead(head.head), rows, calls };
  }

  /** What the server acknowledges to this handset, and what it accepts, as it happens. */
  overhear(hear: (told: Told) => void): void {
    this.told.on("step", ({ step }) => {
      if (step === "1.1") hear({ what: "registered", uid: this.uid });
    });
    for (const event of ["connected", "directory"]) {
      this.told.on(event, ({ change }) => {
        if (!change) return;
        const { head, hash } = change.head as SignedHead;
        hear({ what: "head", epoch: head.epoch, content: shownHead(head), hash: hash.toString("hex") });
      });
    }
  }

  get inCall(): boolean {
    return this.#handsetCalls?.current !== undefined;
  }

  /** Connects; resolves in the loop (step 8). */
  async join(): Promise<void> {
    this.stuck = undefined;
    const connected = once(this.told, "connected");
    this.#uplink.start();
    await connected;
  }

  /** Goes in order: the row goes at once. */
  async leave(): Promise<void> {
    const line = this.#uplink.line;
    if (!line?.ready) return this.close();
    const left = Promise.race([once(this.told, "left"), once(this.told, "down")]);
    this.#handsetCalls?.hangUp();
    line.leave();
    await left;
    this.close();
  }

  /** The cable is pulled; the uplink comes back by itself. */
  drop(): void {
    this.#socket?.destroy();
  }

  /** @throws {Error} when it had to join anew */
  async comeBack(): Promise<void> {
    const back = once(this.told, "connected");
    this.drop();
    const [{ change }] = (await back) as [{ change: unknown }];
    if (change !== undefined) throw new Error("a handset came back by a join, not by a resume");
  }

  /** Nothing is taken from the wire any more, as by a machine that hangs; what comes waits in the system, then there. */
  stall(on: boolean): void {
    if (on) this.#gate ??= Promise.withResolvers<void>();
    else this.#gate?.resolve();
    if (!on) this.#gate = undefined;
  }

  /** @throws {ProtocolError} `busy`, `not-connected`, `unknown-contact` */
  async dial(uid: Uid): Promise<void> {
    await this.#handsetCalls?.dial(uid);
  }

  hangUp(): void {
    this.#handsetCalls?.hangUp();
  }

  /** Closes without a word. */
  close(): void {
    this.connected = false;
    this.#uplink.stop();
    this.#handsetCalls?.endAll();
  }

  #dial(): Socket {
    const { port } = this.#options.place;
    const socket = connect({ host: "127.0.0.1", port, localAddress: addressOf(this.n), noDelay: true });
    this.#socket = socket;
    return socket;
  }

  #begin(line: LineBegin): HandsetLine {
    const { vault, trusting, last } = this.#options;
    const own = { uid: this.uid, name: this.name, key: this.key };
    const { serverKey } = line;
    this.#follower ??= new (trusting ? TrustingFollower : Follower)({ serverKey, own, last: last?.(serverKey) });
    const around = {
      vault,
      keyPair: this.#keyPair,
      follower: this.#follower,
      now: Date.now,
      tell: (event: PhoneEvent) => this.#happened(event),
    };
    this.#handsetCalls ??= new HandsetCalls({ ...around, own: this.uid, serverKey });
    if (!line.resumed) this.#handsetCalls.endAll();
    const handsetLine = new HandsetLine({ ...line, ...around, own, calls: this.#handsetCalls, enrolmentCode: "" });
    const receive = handsetLine.receive.bind(handsetLine);
    // A pause of the socket does not hold up whoever reads it by `for await`.
    handsetLine.receive = async (body) => {
      await this.#gate?.promise;
      return receive(body);
    };
    return handsetLine;
  }

  #down(code: string, retryInMs: number | undefined): void {
    this.connected = false;
    if (retryInMs === undefined) this.stuck = code;
    if (this.#uplink.resumable) this.#handsetCalls?.lineLost();
    else this.#handsetCalls?.endAll();
    this.told.emit("down", code);
  }

  #tick(): void {
    if (!this.#uplink.line && !this.#uplink.resumable) this.#handsetCalls?.endAll();
    this.#handsetCalls?.tick(Date.now());
  }

  #happened(event: PhoneEvent): void {
    const call = "callId" in event ? this.calls.findLast(({ callId }) => callId === event.callId) : undefined;
    switch (event.event) {
      case "connected":
        this.connected = true;
        this.#uplink.connected();
        break;
      case "dialling":
      case "incoming":
        this.calls.push({ callId: event.callId, peer: event.peer, agreed: false, ended: undefined });
        if (event.event === "incoming") void this.#handsetCalls?.accept();
        break;
      case "agreed":
        if (call) call.agreed = true;
        break;
      case "ended":
        if (call) call.ended = { why: event.why, erased: event.erased };
        break;
    }
    this.told.emit(event.event, event);
  }
}
