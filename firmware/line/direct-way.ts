/**
 * The way straight to the other handset, for two who both allow it (design 6; ladder in protocol/media/README.md). A
 * handset that does not allow it has no such way: it names no address and sends to none. This one shares the relay way's
 * socket and leaves the relay only for what is proven.
 *
 *     searching   to the relay, and a copy to where the other may be, one address after the other; 5 s at a time
 *                 a packet opens from one of these hosts: the copies go there
 *                 ten have opened: "your direct packets reach me", by INFO without candidates
 *     direct      said here and said there: nothing goes to the relay any more
 *
 * A second in which nothing opens directly leads back to the start. Voice is the clock: a packet to send comes every
 * 20 ms, muted or not. However many addresses the other names, one stream leaves for all of them, and it ends 5 s after
 * the other last asked for it: naming somebody's address does not bury him under packets.
 */
import { networkInterfaces } from "node:os";
import { type Address, hostOf, parseAddress } from "@feldfon/protocol/media/address";
import type { Guest, RelayWay } from "./voice-path.ts";

/** Of each handset. */
export const MOST_CANDIDATES = 8;
/** So many have to open from one address: one could be a chance, or somebody who throws a packet in from elsewhere. */
export const PROOF_PACKETS = 10;
/** Nothing opened directly for so long: the way is cut. */
export const SILENT_MS = 1_000;
/** Copies without a confirmation end after this time. */
export const SEARCH_MS = 5_000;
/** Least time between two offers of own candidates; doubles up to the most while no direct way is found. */
export const AGAIN_MS = 2_000;
const SELDOM_MS = 64_000;
/** How long the first offer waits for STUN. */
const STUN_MS = 1_000;

export interface DirectWayOptions {
  way: Pick<RelayWay, "relay" | "port" | "send" | "sendTo">;
  /** Gives a packet to the voice. @returns whether it opened */
  open(packet: Buffer): boolean;
  /** INFO to the other handset. @returns false when the line is away */
  tell(candidates: readonly Address[]): boolean;
  /** Monotonic. */
  nowMs?: () => number;
  /** Addresses of this machine's interfaces. */
  hosts?: () => string[];
}

export class DirectWay implements Guest {
  readonly #options: Required<DirectWayOptions>;
  #mapped: Address | undefined;
  /** What the other named, as far as it can be used. */
  #named: readonly Address[] = [];
  #namedHosts: ReadonlySet<string> = new Set();
  /** Whose turn it is among the named. */
  #turn = 0;
  #searchUntilMs = 0;
  /** The other's packets open: since when the last one, from where how many, and where this handset's go therefore. */
  #heard: { atMs: number; to: Address; packetsFrom: Map<string, number> } | undefined;
  /** I said that its packets reach me. */
  #said = false;
  /** It said that mine reach it. */
  #confirmed = false;
  #toldAtMs = Number.NEGATIVE_INFINITY;
  /** Time of the next offer; undefined before the first packet. */
  #tellAtMs: number | undefined;
  #pauseMs = AGAIN_MS;

  constructor(options: DirectWayOptions) {
    this.#options = { nowMs: () => performance.now(), hosts: ownHosts, ...options };
  }

  get proven(): boolean {
    return this.#said && this.#confirmed;
  }

  send(packet: Buffer): void {
    const { way, nowMs } = this.#options;
    const now = nowMs();
    if (this.#heard && now - this.#heard.atMs >= SILENT_MS) {
      // On that word the other may have left the relay: it has to hear of this now.
      if (this.#said) this.#offerSoon();
      this.#startOver(now);
    }
    if (this.proven && this.#heard) return way.sendTo(this.#heard.to, packet);
    this.#offer(now);
    // The copy first: the other end judges a way by what opens there, and of two copies only the first one does.
    const to = now < this.#searchUntilMs ? (this.#heard?.to ?? this.#nextNamed()) : undefined;
    if (to) way.sendTo(to, packet);
    way.send(packet);
  }

  mapped(address: Address): void {
    if (this.#mapped && same(this.#mapped, address)) return;
    this.#mapped = address;
    this.#offerSoon();
  }

  /** INFO of the other handset, opened. */
  told(candidates: readonly Address[]): void {
    if (candidates.length === 0) {
      this.#confirmed = true;
      return;
    }
    const now = this.#options.nowMs();
    this.#named = candidates.filter((address) => this.#usable(address)).slice(0, MOST_CANDIDATES);
    this.#namedHosts = new Set(this.#named.map(hostOf));
    this.#startOver(now);
    // Both search now: another offer would only begin it anew. The first one of this handset is still owed.
    if (Number.isFinite(this.#toldAtMs)) this.#tellAtMs = Math.max(this.#tellAtMs ?? 0, now + AGAIN_MS);
  }

  /**
   * Only hosts that the other named, under its seal, are listened to: nobody else gets this handset to open packets, or
   * to send its voice round by him. Ports may be others than the named ones, a NAT chooses them by destination.
   */
  receive(datagram: Buffer, source: Address): boolean {
    const { open, tell, nowMs } = this.#options;
    if (!this.#namedHosts.has(hostOf(source))) return false;
    if (!open(datagram)) return true;
    this.#heard ??= { atMs: 0, to: source, packetsFrom: new Map() };
    this.#heard.atMs = nowMs();
    // With two networks between them the other may go on sending through one what it hears through the other.
    if (this.#said) return true;
    this.#heard.to = source;
    const from = `${hostOf(source)} ${source.port}`;
    const packets = (this.#heard.packetsFrom.get(from) ?? 0) + 1;
    this.#heard.packetsFrom.set(from, packets);
    if (packets >= PROOF_PACKETS) this.#said = tell([]);
    return true;
  }

  #offerSoon(): void {
    this.#tellAtMs = this.#toldAtMs + AGAIN_MS;
    this.#pauseMs = AGAIN_MS;
  }

  #offer(now: number): void {
    this.#tellAtMs ??= this.#mapped ? now : now + STUN_MS;
    if (now < this.#tellAtMs) return;
    this.#tellAtMs = now + this.#pauseMs;
    const own = this.#own();
    // None would say something else.
    if (own.length === 0 || !this.#options.tell(own)) return;
    this.#toldAtMs = now;
    this.#pauseMs = Math.min(2 * this.#pauseMs, SELDOM_MS);
    this.#startOver(now);
  }

  #startOver(now: number): void {
    this.#heard = undefined;
    this.#said = false;
    this.#confirmed = false;
    this.#searchUntilMs = now + SEARCH_MS;
  }

  /** The one the server sees first: behind a NAT the others are of use to neighbours only. */
  #own(): Address[] {
    const { way, hosts } = this.#options;
    const port = way.port;
    if (port === undefined) return [];
    const local = hosts().map((host) => parseAddress(host, port));
    const all = this.#mapped ? [this.#mapped, ...local] : local;
    return all
      .filter((address, at) => this.#usable(address) && all.findIndex((other) => same(other, address)) === at)
      .slice(0, MOST_CANDIDATES);
  }

  #nextNamed(): Address | undefined {
    return this.#named[this.#turn++ % this.#named.length];
  }

  /** One receiver, of the socket's family; this machine only where the server is on it too: a laptop, a test. */
  #usable(address: Address): boolean {
    const { relay } = this.#options.way;
    if (address.family !== relay.family || same(address, relay)) return false;
    return isUnicast(address) || (isLoopback(address) && isLoopback(relay));
  }
}

function same(a: Address, b: Address): boolean {
  return a.port === b.port && a.bytes.equals(b.bytes);
}

function isLoopback({ family, bytes }: Address): boolean {
  return family === 4 ? bytes[0] === 127 : hostOf({ family, bytes, port: 1 }) === "::1";
}

/**
 * IPv4 without 0/8, 127/8, multicast, reserved and broadcast (RFC 6890 §2.2.2); IPv6 global and unique local addresses
 * (RFC 4291 §2.5.4, RFC 4193), since link-local ones mean nothing without their link.
 */
function isUnicast({ family, bytes }: Address): boolean {
  const first = bytes[0]!;
  if (family === 4) return first > 0 && first < 224 && first !== 127;
  return (first & 0xe0) === 0x20 || (first & 0xfe) === 0xfc;
}

function ownHosts(): string[] {
  return Object.values(networkInterfaces()).flatMap((addresses) => addresses!.map(({ address }) => address));
}
