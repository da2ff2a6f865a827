/**
 * Passes voice on between the two handsets of a call, and tells whoever asks which address he has (wire.md 1, VOICE
 * Relay; ladder in protocol/media/README.md).
 *
 *     datagram -> parse -> BIND, good   its source is this end's bound address; BOUND goes there, no longer than BIND
 *                       -> data         from the bound address, to the other end's bound address, one for one
 *                       -> STUN         its source, as often as the source's bucket allows
 *                       -> the rest     counted, never answered
 */
import { hash, randomBytes } from "node:crypto";
import { createSocket, type RemoteInfo } from "node:dgram";
import { once } from "node:events";
import { isIPv6 } from "node:net";
import { RisingCounter } from "@feldfon/protocol/counters";
import { parseAddress } from "@feldfon/protocol/media/address";
import { type Binding, bindHolds, encodeBound, parseRelayDatagram } from "@feldfon/protocol/media/relay";
import { encodeBindingSuccess, type StunMessage } from "@feldfon/protocol/media/stun";
import type { RelayKey } from "@feldfon/protocol/phone/relay-key";
import type { Vault } from "@feldfon/protocol/vault";

/** One handset's place in a call. */
export interface RelayEnd {
  /** From `newRelayId()`. */
  relayId: Uint8Array;
  /** The relay takes it over and wipes it when the pair is closed. */
  key: RelayKey;
}

/** Why a datagram was let go. */
export type RelayRefusal =
  /** None of the four forms, or too long. */
  | "malformed"
  /** No call has this relay id (any more). */
  | "unknown-id"
  /** BIND whose MAC does not hold. */
  | "forged"
  /** BIND whose counter did not grow. */
  | "repeated"
  /** Data from another address than the bound one. */
  | "stranger"
  /** The other end has not bound yet. */
  | "other-end-unbound"
  /** STUN beyond the source's bucket. */
  | "too-often"
  /** The system would not send it. */
  | "unsendable";

export interface RelayStatistics {
  /** Calls whose voice may come. */
  pairs: number;
  /** Good BINDs. */
  bound: number;
  /** Packets passed on, and their bytes with relay id. */
  forwarded: number;
  forwardedBytes: number;
  stunAnswered: number;
  refused: Record<RelayRefusal, number>;
}

export interface VoiceRelayOptions {
  vault: Vault;
  /** Address of the network interface; an IPv6 one (`::`) takes IPv4 too. */
  host: string;
  /** 0: the system chooses. */
  port: number;
  /** The socket failed while running. */
  onError(error: Error): void;
}

interface End extends RelayEnd {
  otherEnd: End | undefined;
  readonly counter: RisingCounter;
  bound: { host: string; port: number } | undefined;
}

export class VoiceRelay {
  readonly #vault: Vault;
  readonly #host: string;
  readonly #port: number;
  readonly #socket;
  readonly #onError: (error: Error) => void;
  readonly #ends = new Map<string, End>();
  readonly #buckets = new SourceBuckets();
  readonly #counts: Omit<RelayStatistics, "pairs"> = {
    bound: 0,
    forwarded: 0,
    forwardedBytes: 0,
    stunAnswered: 0,
    refused: {
      malformed: 0,
      "unknown-id": 0,
      forged: 0,
      repeated: 0,
      stranger: 0,
      "other-end-unbound": 0,
      "too-often": 0,
      unsendable: 0,
    },
  };

  constructor({ vault, host, port, onError }: VoiceRelayOptions) {
    this.#vault = vault;
    this.#host = host;
    this.#port = port;
    this.#onError = onError;
    this.#socket = createSocket(isIPv6(host) ? "udp6" : "udp4");
  }

  /** @returns the port in use. @throws what the system says when the address is taken */
  async listen(): Promise<number> {
    this.#socket.bind(this.#port, this.#host);
    await once(this.#socket, "listening");
    this.#socket.on("error", this.#onError);
    this.#socket.on("message", (datagram, source) => this.#receive(datagram, source));
    return this.#socket.address().port;
  }

  /** Makes way for one call. @returns closes it: nothing passes any more, both keys are wiped; twice is harmless */
  open(pair: { a: RelayEnd; b: RelayEnd }): () => void {
    const [a, b] = [newEnd(pair.a), newEnd(pair.b)];
    const [idA, idB] = [idOf(a.relayId), idOf(b.relayId)];
    if (idA === idB || this.#ends.has(idA) || this.#ends.has(idB)) throw new Error("a relay id is in use already");
    a.otherEnd = b;
    b.otherEnd = a;
    this.#ends.set(idA, a).set(idB, b);
    return () => {
      if (this.#ends.get(idA) !== a) return;
      this.#ends.delete(idA);
      this.#ends.delete(idB);
      a.key.wipe();
      b.key.wipe();
    };
  }

  get statistics(): RelayStatistics {
    return { ...this.#counts, refused: { ...this.#counts.refused }, pairs: this.#ends.size / 2 };
  }

  /** Ends all calls' voice and wipes their keys. */
  async close(): Promise<void> {
    for (const { key } of this.#ends.values()) key.wipe();
    this.#ends.clear();
    const closed = once(this.#socket, "close");
    this.#socket.close();
    await closed;
  }

  #receive(datagram: Buffer, source: RemoteInfo): void {
    const parsed = parseRelayDatagram(datagram);
    switch (parsed?.kind) {
      case "binding":
        return this.#bind(parsed, source);
      case "data":
        return this.#passOn(datagram, parsed.relayId, source);
      case "stun":
        return this.#answerStun(parsed.message, source);
      default:
        return this.#refuse("malformed");
    }
  }

  #bind(bind: Binding, source: RemoteInfo): void {
    const end = this.#ends.get(idOf(bind.relayId));
    const key = end?.key.slot();
    if (!end || !key) return this.#refuse("unknown-id");
    if (!bindHolds(this.#vault, key, bind)) return this.#refuse("forged");
    if (!end.counter.accept(bind.counter)) return this.#refuse("repeated");
    end.bound = { host: source.address, port: source.port };
    this.#counts.bound++;
    this.#send(encodeBound(this.#vault, key, end.relayId, bind.counter), source.address, source.port);
  }

  #passOn(datagram: Buffer, relayId: Buffer, source: RemoteInfo): void {
    const end = this.#ends.get(idOf(relayId));
    if (!end) return this.#refuse("unknown-id");
    if (end.bound?.port !== source.port || end.bound.host !== source.address) return this.#refuse("stranger");
    const { relayId: otherId, bound } = end.otherEnd!;
    if (!bound) return this.#refuse("other-end-unbound");
    // The datagram is ours alone: the receiver's id is written over the sender's, and no packet is copied.
    datagram.set(otherId, 0);
    this.#counts.forwarded++;
    this.#counts.forwardedBytes += datagram.length;
    this.#send(datagram, bound.host, bound.port);
  }

  #answerStun(message: StunMessage, source: RemoteInfo): void {
    if (message.type !== "request" || message.unknownRequired.length > 0) return this.#refuse("malformed");
    if (source.port === 0) return this.#refuse("malformed");
    const address = parseAddress(source.address, source.port);
    if (!this.#buckets.take(address.bytes)) return this.#refuse("too-often");
    this.#counts.stunAnswered++;
    this.#send(encodeBindingSuccess(message.transaction, address), source.address, source.port);
  }

  #send(datagram: Buffer, host: string, port: number): void {
    this.#socket.send(datagram, port, host, (error) => {
      if (error) this.#refuse("unsendable");
    });
  }

  #refuse(why: RelayRefusal): void {
    this.#counts.refused[why]++;
  }
}

function newEnd({ relayId, key }: RelayEnd): End {
  return { relayId: Buffer.from(relayId), key, otherEnd: undefined, counter: new RisingCounter(), bound: undefined };
}

function idOf(relayId: Uint8Array): string {
  return Buffer.from(relayId).toString("hex");
}

/**
 * How many answers a source may have: a sender who writes another's address on his requests shall not be able to bury
 * him. A fixed number of buckets, so that forged addresses fill no memory; sources that share one share its answers.
 */
class SourceBuckets {
  static readonly BUCKETS = 1024;
  static readonly HOLDS = 16;
  static readonly DROPS_PER_S = 4;

  /** Nobody outside can tell which sources share a bucket. */
  readonly #secret = randomBytes(16);
  readonly #drops = new Float64Array(SourceBuckets.BUCKETS).fill(SourceBuckets.HOLDS);
  readonly #filledAtMs = new Float64Array(SourceBuckets.BUCKETS);

  /** @param address 4 or 16 bytes; of an IPv6 address the network counts, the rest is its owner's to choose */
  take(address: Buffer): boolean {
    const source = hash("sha256", Buffer.concat([this.#secret, address.subarray(0, 8)]), "buffer");
    const at = source.readUInt16BE() % SourceBuckets.BUCKETS;
    const nowMs = performance.now();
    const sinceS = (nowMs - this.#filledAtMs[at]!) / 1000;
    this.#filledAtMs[at] = nowMs;
    this.#drops[at] = Math.min(SourceBuckets.HOLDS, this.#drops[at]! + sinceS * SourceBuckets.DROPS_PER_S);
    if (this.#drops[at]! < 1) return false;
    this.#drops[at]!--;
    return true;
  }
}
