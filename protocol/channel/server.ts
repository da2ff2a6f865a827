/**
 * The server's half of the handshake: bytes in, bytes out (seed 002, channel; steps of README.md).
 *
 *     hello(M1)     M2 and the leaf that waits for a signature      or keyBad(): 400 in clear
 *     offer(M3)     the 401's whole frame body
 *     prove(M4)     the channel
 *     busy(M1)      503 in clear, instead of hello
 *
 * Before `prove` nothing is known about the client but what it says; nothing is to be looked up or reserved for it.
 *
 * All throw ProtocolError: `hello` `key-bad`, `bad-point`, `bad-encapsulation-key`, `malformed`, `bad-sip`; `prove`
 * `unauthentic`, `bad-sip`; each `out-of-order`. After a throw nothing secret is left behind and the line is to be
 * closed: behind a `key-bad` with `keyBad()`, behind all others without a byte.
 */
import { ByteReader, lp, publicBytes } from "../bytes.ts";
import { labelled, transcript } from "../crypto/transcript.ts";
import { ProtocolError } from "../errors.ts";
import { PublicKey } from "../identity.ts";
import type { SipRequest } from "../sip.ts";
import { Supervisor } from "../supervisor.ts";
import type { Vault } from "../vault.ts";
import {
  answerOffer,
  ENCAPSULATION_KEY_BYTES,
  NONCE_BYTES,
  type SharedSecrets,
  secretOf,
  VERSION_AND_SUITE,
  X25519_BYTES,
} from "./agreement.ts";
import { batchLeaf, M3_BYTES } from "./batch.ts";
import { clearAnswer, type Random, readRequest } from "./heads.ts";
import { channelOrder } from "./orders.ts";
import { SealedChannel } from "./sealed.ts";

/** What stands between M1 and M4. */
interface HalfOpen {
  /** The 401, with room for M3. */
  answer: Buffer;
  /** T("m2", M1, M2). */
  t2: Buffer;
  /** T("m4", t2, M3), what M4 signs. */
  t4?: Buffer;
  clientKey: PublicKey;
  secrets: SharedSecrets;
}

/** One handshake of one line: the client's key is only its address until M4 proves it. */
export class ChannelServer {
  readonly #vault: Vault;
  readonly #serverKey: PublicKey;
  readonly #random: Random | undefined;
  readonly #supervisor = new Supervisor("channel", channelOrder, "new");
  #request: SipRequest | undefined;
  #halfOpen: HalfOpen | undefined;

  constructor(options: { vault: Vault; serverKey: PublicKey; random?: Random }) {
    this.#vault = options.vault;
    this.#serverKey = options.serverKey;
    this.#random = options.random;
  }

  /** The line's Call-ID, 32 hex, from M1 on. */
  get callId(): string | undefined {
    return this.#request?.callId;
  }

  /**
   * Steps 3 and 4, up to the signature.
   *
   * @param body M1, a whole frame body
   * @returns M2 (the 401 without M3, its head final); the leaf for `signBatch`; the key the client shows, unproven
   */
  hello(body: Buffer): { m2: Buffer; leaf: Buffer; clientKey: PublicKey } {
    const request = this.#admit("c:m1", body);
    this.#request = request;
    const { x25519, encapsulationKey, clientKey } = readM1(request.body);
    if (request.from.party !== clientKey.uid) {
      throw new ProtocolError("bad-sip", "M1 comes from another uid than that of its key");
    }
    // 3. (x_k, y) = d_B * Q_A, before the signature: a bad Q_A costs no private operation.
    const { bytes, secrets } = answerOffer(this.#vault, x25519, encapsulationKey);
    const nonce = (this.#random ?? publicBytes)(NONCE_BYTES);
    // 4. The head is final before it is signed, so Content-Length counts M3 already.
    const room = Buffer.alloc(M3_BYTES);
    const m2Body = Buffer.concat([VERSION_AND_SUITE, nonce, bytes, lp(this.#serverKey.spki), room]);
    const answer = clearAnswer(request, 401, m2Body, { random: this.#random });
    const m2 = answer.subarray(0, -M3_BYTES);
    const t2 = transcript("m2", body, m2);
    this.#halfOpen = { answer, t2, clientKey, secrets };
    return { m2, leaf: batchLeaf(t2), clientKey };
  }

  /** Step 4. @param m3 from `signBatch`, for this line's leaf @returns the 401, a whole frame body */
  offer(m3: Buffer): Buffer {
    const halfOpen = this.#met(); // The line may have ended while M3 was being signed.
    this.#supervisor.admit("s:m2");
    halfOpen.t4 = transcript("m4", halfOpen.t2, m3);
    const { answer } = halfOpen;
    answer.set(m3, answer.length - M3_BYTES);
    return answer;
  }

  /** 400, after `hello` threw `key-bad`. @returns a whole frame body in clear */
  keyBad(): Buffer {
    this.#supervisor.admit("s:refused");
    return clearAnswer(this.#request!, 400, Buffer.alloc(0), { random: this.#random });
  }

  /** 503 instead of `hello`, before anything was computed. @returns a whole frame body in clear */
  busy(body: Buffer, retryAfterS: number): Buffer {
    this.#request = this.#admit("c:m1", body);
    this.#supervisor.admit("s:refused");
    return clearAnswer(this.#request, 503, Buffer.alloc(0), { random: this.#random, retryAfterS });
  }

  /**
   * Steps 8 and 9.
   *
   * @param body M4, a whole frame body
   * @returns the channel with the client whose key M1 showed, now proven. M4 has no answer
   */
  prove(body: Buffer): SealedChannel {
    try {
      const request = this.#admit("c:m4", body);
      const { t4, clientKey, secrets } = this.#met();
      if (request.callId !== this.callId || request.from.party !== clientKey.uid) {
        throw new ProtocolError("bad-sip", "M4 comes from another uid or line than M1");
      }
      // 8. The server verifies the signature in M4 with Pk_C.
      if (!this.#vault.verifies(clientKey.spki, labelled("m4", t4!), request.body)) {
        throw new ProtocolError("unauthentic", "M4 does not carry the client's signature");
      }
      // 9. Sk_ch, of both secrets and everything that was said.
      const th = transcript("channel", t4!, body);
      const secret = secretOf(this.#vault, "channel", th, secrets);
      return SealedChannel.connected({ vault: this.#vault, side: "server", peer: clientKey.uid, th, secret });
    } finally {
      this.wipe();
    }
  }

  /** The line has ended: forgets what `hello` had agreed. A channel that `prove` gave out lives on. */
  wipe(): void {
    if (this.#halfOpen) this.#vault.wipe(...this.#halfOpen.secrets);
    this.#halfOpen = undefined;
  }

  /** What M1 brought and M2 answered. @throws {ProtocolError} `closed` after `wipe` */
  #met(): HalfOpen {
    if (!this.#halfOpen) throw new ProtocolError("closed", "the line ended before its handshake did");
    return this.#halfOpen;
  }

  /** A message that may not come now ends the handshake with its secrets. */
  #admit(expected: "c:m1" | "c:m4", body: Buffer): SipRequest {
    try {
      const { kind, message } = readRequest(body);
      if (kind !== expected) throw new ProtocolError("out-of-order", `channel: ${kind} came, expected ${expected}`);
      this.#supervisor.admit(kind);
      return message;
    } catch (error) {
      this.wipe();
      throw error;
    }
  }
}

/** @throws {ProtocolError} `malformed`; `key-bad`, when all but the key is in form */
function readM1(body: Buffer) {
  const reader = new ByteReader(body, "M1");
  reader.expect(VERSION_AND_SUITE);
  reader.take(NONCE_BYTES);
  const x25519 = reader.take(X25519_BYTES);
  const encapsulationKey = reader.take(ENCAPSULATION_KEY_BYTES);
  const spki = reader.lp();
  reader.end();
  return { x25519, encapsulationKey, clientKey: new PublicKey(spki) };
}
