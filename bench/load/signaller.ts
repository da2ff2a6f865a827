/**
 * A handset that makes calls without private operations: the product's uplink and line, every signal of a call in its
 * form and length, and nothing in the parts that only the other handset could judge. The server cannot tell the
 * difference, and hundreds of calls a second come from one process.
 */
import { randomBytes } from "node:crypto";
import { EventEmitter, once } from "node:events";
import { Uplink } from "@feldfon/firmware/line/uplink";
import { concat } from "@feldfon/protocol/bytes";
import { Follower } from "@feldfon/protocol/directory/follower";
import { PublicKey, type Uid } from "@feldfon/protocol/identity";
import type { CallLine } from "@feldfon/protocol/phone/call";
import { encodeFarewell, encodeParts, inviteBefore } from "@feldfon/protocol/phone/call-bytes";
import { HandsetLine } from "@feldfon/protocol/phone/handset-line";
import type { SipRequest, SipResponse } from "@feldfon/protocol/sip";
import { poolKey } from "../key-pool.ts";
import type { HandsetOptions } from "./handset.ts";
import { PICK_UP_MS } from "./peer-steps.ts";

/** wire.md 1, CALL. */
const SIGNATURE = Buffer.alloc(512);
const ANSWER = Buffer.alloc(2_472);
const CONFIRMATION = Buffer.alloc(1_712);
const MAC = Buffer.alloc(32);

export class Signaller {
  readonly uid: Uid;
  readonly spki: Buffer;
  readonly #told = new EventEmitter();
  readonly #uplink: Uplink;
  #follower: Follower | undefined;
  #line: CallLine | undefined;
  /** The call it is in, as who hangs up last hears of it. */
  #over: (() => void) | undefined;

  /** Resolves in the loop (step 8). */
  static async connect(options: HandsetOptions): Promise<Signaller> {
    const { vault, n, place, passed = () => {} } = options;
    const keyPair = await vault.loadKeyPair(await poolKey(n));
    const key = new PublicKey(keyPair.spki);
    const own = { uid: key.uid, name: `Signaller ${n}`, key };
    const signaller: Signaller = new Signaller(
      key,
      new Uplink({
        vault,
        keyPair,
        own: own.uid,
        serverUid: place.uid,
        host: "127.0.0.1",
        port: place.port,
        now: Date.now,
        random: Math.random,
        begin: (line) => {
          const { serverKey } = line;
          const follower = new Follower({ serverKey, own, last: undefined });
          signaller.#follower = follower;
          return new HandsetLine({
            ...line,
            vault,
            keyPair,
            own,
            follower,
            enrolmentCode: "",
            now: Date.now,
            tell: ({ event }) => signaller.#told.emit(event),
            calls: {
              lineBack: (back) => {
                signaller.#line = back;
              },
              receive: (request) => signaller.#take(request),
              unexpected: () => {},
            },
          });
        },
        connecting: () => {},
        exchanged: () => {},
        down: (code) => {
          throw new Error(`the line of signaller ${n} is over: ${code}`);
        },
        passed,
        tick: () => {},
      }),
    );
    const connected = once(signaller.#told, "connected");
    signaller.#uplink.start();
    await connected;
    return signaller;
  }

  private constructor(key: PublicKey, uplink: Uplink) {
    this.uid = key.uid;
    this.spki = key.spki;
    this.#uplink = uplink;
  }

  /** Resolves once the phonebook has this row. */
  async knows(uid: Uid): Promise<void> {
    while (!this.#follower?.rowOf(uid)) await once(this.#told, "directory");
  }

  /** Calls, is answered, the other hangs up; resolves when both know. */
  call(other: Signaller): Promise<void> {
    const callId = randomBytes(16);
    const before = inviteBefore({
      callId,
      caller: this.uid,
      callee: other.uid,
      head: this.#follower!.head!.bytes,
      headSignature: SIGNATURE,
      commit: Buffer.alloc(32),
    });
    const line = this.#line!;
    const ids = { uri: other.uid, callId: callId.toString("hex") };
    return new Promise((resolve, reject) => {
      other.#over = resolve;
      const invite = line.request("INVITE", { ...ids, body: encodeParts(concat(before, SIGNATURE)) }, ({ status }) => {
        if (status > 200) reject(new Error(`a call was answered ${status}`));
        if (status === 200) line.follow(invite, "ACK", encodeParts(CONFIRMATION));
      });
    });
  }

  close(): void {
    this.#uplink.stop();
  }

  #take(request: SipRequest): void {
    const line = this.#line!;
    const { callId } = request;
    const farewell = encodeParts(encodeFarewell(Buffer.from(callId, "hex"), MAC));
    switch (request.method) {
      case "INVITE":
        line.answer(request, 180);
        setTimeout(() => line.answer(request, 200, { body: encodeParts(ANSWER) }), PICK_UP_MS);
        return;
      case "ACK":
        line.request("BYE", { uri: request.uri, callId, body: farewell }, (answer) => this.#gone(callId, answer));
        return;
      case "BYE":
        line.answer(request, 200, { body: farewell });
        return line.forget(callId);
      default:
        throw new Error(`${request.method} came in a call`);
    }
  }

  #gone(callId: string, { status }: SipResponse): void {
    if (status !== 200) throw new Error(`a BYE was answered ${status}`);
    this.#line!.forget(callId);
    this.#over?.();
  }
}
