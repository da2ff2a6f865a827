/** A handset of the bench `call`: the product's line and calls over a socket. Where voice would be, nothing is. */
import assert from "node:assert/strict";
import { EventEmitter, once } from "node:events";
import { Uplink } from "@feldfon/firmware/line/uplink";
import { Follower } from "@feldfon/protocol/directory/follower";
import { PublicKey, type Uid } from "@feldfon/protocol/identity";
import type { PhoneEvent } from "@feldfon/protocol/phone/events";
import { HandsetCalls } from "@feldfon/protocol/phone/handset-calls";
import { HandsetLine } from "@feldfon/protocol/phone/handset-line";
import type { Passed } from "@feldfon/protocol/phone/line";
import type { Vault } from "@feldfon/protocol/vault";
import { poolKey } from "./key-pool.ts";

type Heard<Name extends PhoneEvent["event"]> = Promise<[Extract<PhoneEvent, { event: Name }>]>;

export class Handset {
  readonly uid: Uid;
  /** Every message of this handset, while somebody listens. */
  onPassed: (message: Passed) => void = () => {};
  readonly #told = new EventEmitter();
  readonly #uplink: Uplink;
  #follower: Follower | undefined;
  #calls: HandsetCalls | undefined;

  /** @param n number of its key in the pool */
  static async connect(vault: Vault, n: number, port: number, serverUid: Uid): Promise<Handset> {
    const keyPair = await vault.loadKeyPair(await poolKey(n));
    const key = new PublicKey(keyPair.spki);
    const own = { uid: key.uid, name: `Handset ${n}`, key };
    const handset: Handset = new Handset(
      own.uid,
      new Uplink({
        vault,
        keyPair,
        own: own.uid,
        serverUid,
        host: "127.0.0.1",
        port,
        now: Date.now,
        random: Math.random,
        begin: (line) => {
          const follower = new Follower({ serverKey: line.serverKey, own });
          const tell = (event: PhoneEvent): unknown => handset.#told.emit(event.event, event);
          const around = { vault, keyPair, follower, tell, now: Date.now };
          const calls = new HandsetCalls({ ...around, own: own.uid, serverKey: line.serverKey });
          handset.#follower = follower;
          handset.#calls = calls;
          return new HandsetLine({ ...line, ...around, own, calls, enrolmentCode: "" });
        },
        connecting: () => {},
        exchanged: () => {},
        down: (code) => assert.fail(`the line of handset ${n} is over: ${code}`),
        passed: (message) => handset.onPassed(message),
        tick: () => handset.#calls?.tick(Date.now()),
      }),
    );
    const connected = handset.#heard("connected");
    handset.#uplink.start();
    await connected;
    return handset;
  }

  private constructor(uid: Uid, uplink: Uplink) {
    this.uid = uid;
    this.#uplink = uplink;
  }

  /** Resolves once the phonebook has this row. */
  async knows(uid: Uid): Promise<void> {
    while (!this.#follower?.rowOf(uid)) await this.#heard("directory");
  }

  /** Calls, is answered at once, hangs up at once. @returns ms from dialling to agreed keys */
  async call(other: Handset): Promise<number> {
    const incoming = other.#heard("incoming");
    const agreed = [this.#heard("agreed"), other.#heard("agreed")] as const;
    const ended = [this.#heard("ended"), other.#heard("ended")] as const;
    const beganMs = performance.now();
    await this.#calls!.dial(other.uid);
    await incoming;
    void other.#calls!.accept();
    await Promise.all(agreed);
    const setUpMs = performance.now() - beganMs;
    this.#calls!.hangUp();
    for (const [{ erased }] of await Promise.all(ended)) assert.equal(erased, "both");
    return setUpMs;
  }

  close(): void {
    this.#uplink.stop();
  }

  #heard<Name extends PhoneEvent["event"]>(name: Name): Heard<Name> {
    return once(this.#told, name) as Heard<Name>;
  }
}
