/**
 * The client's half of the handshake: bytes in, bytes out (seed 002, channel; steps of README.md).
 *
 *     start()            M1                       REGISTER in clear
 *     receive(401)       M4 and the channel       or the server's refusal
 *
 * `receive` throws ProtocolError, and nothing secret is left behind:
 *     `server-busy` (ServerBusy, with `retryAfterS`), `key-bad`     the server refused; unsigned, a hint only
 *     `wrong-server-key`                                            not the pinned key; no secret was made
 *     `unauthentic`                                                 M3 does not hold; no secret was made
 *     `bad-point`, `bad-ciphertext`, `malformed`, `bad-sip`, `out-of-order`
 *     `closed`                                                      wiped, perhaps while M4 was being signed
 */
import { ByteReader, lp, publicBytes } from "../bytes.ts";
import { sign, transcript } from "../crypto/transcript.ts";
import { ProtocolError } from "../errors.ts";
import { PublicKey, type Uid } from "../identity.ts";
import { hex, type SipResponse } from "../sip.ts";
import { Supervisor } from "../supervisor.ts";
import type { KeyPair, Vault } from "../vault.ts";
import {
  AgreementOffer,
  CIPHERTEXT_BYTES,
  NONCE_BYTES,
  secretOf,
  VERSION_AND_SUITE,
  X25519_BYTES,
} from "./agreement.ts";
import { batchLeaf, checkM3, M3_BYTES } from "./batch.ts";
import { type ClientHead, clearRequest, type Random, readAnswer } from "./heads.ts";
import { channelOrder } from "./orders.ts";
import { SealedChannel } from "./sealed.ts";

/** 503: the server has no room now. Nobody signed it, so it decides no more than when to come back. */
export class ServerBusy extends ProtocolError {
  readonly retryAfterS: number | undefined;

  constructor(retryAfterS: number | undefined) {
    super("server-busy", "the server is busy and asks to come back later");
    this.retryAfterS = retryAfterS;
  }
}

/** One handshake of one line: knows the server by its pinned key, proves itself by M4. */
export class ChannelClient {
  /** The line's Call-ID, 32 hex. */
  readonly callId: string;
  readonly #vault: Vault;
  readonly #keyPair: KeyPair;
  readonly #serverUid: Uid;
  readonly #random: Random | undefined;
  readonly #head: ClientHead;
  readonly #supervisor = new Supervisor("channel", channelOrder, "new");
  #offer: AgreementOffer | undefined;
  #m1: Buffer | undefined;

  /** @param serverUid of the pinned server key, the only one this client speaks to */
  constructor(options: { vault: Vault; keyPair: KeyPair; serverUid: Uid; random?: Random }) {
    this.#vault = options.vault;
    this.#keyPair = options.keyPair;
    this.#serverUid = options.serverUid;
    this.#random = options.random;
    this.callId = hex(16, this.#random);
    this.#head = { uid: new PublicKey(this.#keyPair.spki).uid, callId: this.callId, tag: hex(8, this.#random) };
  }

  /** Steps 1 and 2. @returns M1, a whole frame body */
  start(): Buffer {
    this.#supervisor.admit("c:m1");
    this.#offer = new AgreementOffer(this.#vault);
    const nonce = (this.#random ?? publicBytes)(NONCE_BYTES);
    const body = Buffer.concat([VERSION_AND_SUITE, nonce, this.#offer.bytes, lp(this.#keyPair.spki)]);
    this.#m1 = clearRequest("c:m1", this.#head, body, this.#random);
    return this.#m1;
  }

  /**
   * Steps 5 to 7 and 9.
   *
   * @param body the server's answer to M1, a whole frame body
   * @returns M4, a whole frame body; the channel; the server's key, which is the pinned one
   */
  async receive(body: Buffer): Promise<{ m4: Buffer; channel: SealedChannel; serverKey: PublicKey }> {
    try {
      const { kind, message } = readAnswer(body, this.#head);
      this.#supervisor.admit(kind);
      if (kind === "s:refused") throw refusal(message);

      const m1 = this.#m1!;
      const m2 = body.subarray(0, -M3_BYTES);
      const m3 = body.subarray(-M3_BYTES);
      const { serverKey, x25519, ciphertext } = this.#read(message.body);
      // 6. The pinned key first, then its signature: until both hold, no secret exists.
      const t2 = transcript("m2", m1, m2);
      if (!checkM3(m3, batchLeaf(t2), serverKey)) {
        throw new ProtocolError("unauthentic", "M3 does not carry the server's signature");
      }
      // 7. M4 = Sig(Sk_C, H(M1|M2|M3))
      const t4 = transcript("m4", t2, m3);
      const signature = await sign(this.#vault, this.#keyPair, "m4", t4);
      const offer = this.#offered(); // The line may have ended while M4 was being signed.
      const m4 = clearRequest("c:m4", this.#head, signature, this.#random);
      this.#supervisor.admit("c:m4");
      // 5, 9. Last, since M4 is part of what names the channel, and so that no secret waits for the signature.
      const th = transcript("channel", t4, m4);
      const secret = secretOf(this.#vault, "channel", th, offer.accept(x25519, ciphertext));
      const channel = SealedChannel.connected({
        vault: this.#vault,
        side: "client",
        peer: serverKey.uid,
        th,
        secret,
      });
      return { m4, channel, serverKey };
    } finally {
      this.wipe();
    }
  }

  /** The line has ended: forgets what M1 had offered. A channel that `receive` gave out lives on. */
  wipe(): void {
    this.#offer?.wipe();
    this.#offer = undefined;
  }

  /** @throws {ProtocolError} `closed` after `wipe` */
  #offered(): AgreementOffer {
    if (!this.#offer) throw new ProtocolError("closed", "the line ended before its handshake did");
    return this.#offer;
  }

  #read(body: Buffer) {
    const reader = new ByteReader(body, "M2");
    reader.expect(VERSION_AND_SUITE);
    reader.take(NONCE_BYTES);
    const x25519 = reader.take(X25519_BYTES);
    const ciphertext = reader.take(CIPHERTEXT_BYTES);
    const serverKey = this.#pinned(reader.lp());
    reader.take(M3_BYTES);
    reader.end();
    return { serverKey, x25519, ciphertext };
  }

  #pinned(spki: Buffer): PublicKey {
    let cause: unknown;
    try {
      const key = new PublicKey(spki);
      if (key.uid === this.#serverUid) return key;
    } catch (error) {
      cause = error; // No key of ours at all; `key-bad` would say that the server refused mine.
    }
    throw new ProtocolError("wrong-server-key", "the server showed another key than the pinned one", { cause });
  }
}

function refusal(answer: SipResponse): ProtocolError {
  if (answer.status === 503) return new ServerBusy(answer.retryAfterS);
  return new ProtocolError("key-bad", "the server refused this handset's key: it wants RSA-4096 with e = 65537");
}
