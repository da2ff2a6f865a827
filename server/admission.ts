/**
 * Who gets in before having proven anything: limits on lines that are half open, by number and by address, and token
 * buckets once many are (design 3; threats hole 22 and 2.1 "denial of service"). Knows no sockets and no clock.
 *
 *     arrive ------------> hello ------------> prove ------------> leave
 *       '- nothing: close    '- 503, Retry-After
 */
import { isIPv6 } from "node:net";

export interface AdmissionLimits {
  /** Lines of everybody that have not proven themselves. */
  halfOpen: number;
  halfOpenPerAddress: number;
  /** Lines that have. */
  lines: number;
  /** From this many half-open lines on, each address has a bucket. */
  load: number;
  /** Proofs an address may ask for under load. */
  hellosPerS: number;
  helloBurst: number;
}

export const ADMISSION_LIMITS: AdmissionLimits = {
  halfOpen: 1_024,
  halfOpenPerAddress: 16,
  lines: 10_000,
  load: 256,
  hellosPerS: 4,
  helloBurst: 32,
};

/** Told to those who find every place taken. */
const FULL_RETRY_S = 30;
/** Addresses remembered; beyond it the one seen longest ago is forgotten. */
const MAX_BUCKETS = 4_096;

/** One line's place among the others, from its first packet to its last. */
export interface Place {
  readonly block: string;
}

export class Admission {
  readonly #limits: AdmissionLimits;
  readonly #halfOpen = new Set<Place>();
  readonly #proven = new Set<Place>();
  readonly #halfOpenOf = new Map<string, number>();
  /** The one seen longest ago comes first. */
  readonly #buckets = new Map<string, TokenBucket>();

  constructor(limits: Partial<AdmissionLimits> = {}) {
    this.#limits = { ...ADMISSION_LIMITS, ...limits };
  }

  get halfOpen(): number {
    return this.#halfOpen.size;
  }

  get proven(): number {
    return this.#proven.size;
  }

  /** Addresses with a bucket. */
  get buckets(): number {
    return this.#buckets.size;
  }

  /**
   * A line was accepted.
   *
   * @param address as the socket tells it; undefined when it is gone already
   * @returns nothing when there is no place: close the line without a byte
   */
  arrive(address: string | undefined): Place | undefined {
    const block = addressBlock(address ?? "");
    const ofBlock = this.#halfOpenOf.get(block) ?? 0;
    if (this.#halfOpen.size >= this.#limits.halfOpen || ofBlock >= this.#limits.halfOpenPerAddress) return undefined;
    const place: Place = { block };
    this.#halfOpen.add(place);
    this.#halfOpenOf.set(block, ofBlock + 1);
    return place;
  }

  /** M1 came; answering it costs a signature. @returns nothing: answer it; else when to come again (503) */
  hello(place: Place, nowMs: number): { retryAfterS: number } | undefined {
    if (this.#proven.size >= this.#limits.lines) return { retryAfterS: FULL_RETRY_S };
    if (this.#halfOpen.size < this.#limits.load) return undefined;
    const waitMs = this.#bucketOf(place.block, nowMs).take(nowMs);
    return waitMs === 0 ? undefined : { retryAfterS: Math.ceil(waitMs / 1_000) };
  }

  /** M4 (or R1) held. */
  prove(place: Place): void {
    if (this.#endHalfOpen(place)) this.#proven.add(place);
  }

  /** The line is closed. Leaving twice is harmless. */
  leave(place: Place): void {
    this.#endHalfOpen(place);
    this.#proven.delete(place);
  }

  #endHalfOpen(place: Place): boolean {
    if (!this.#halfOpen.delete(place)) return false;
    const left = this.#halfOpenOf.get(place.block)! - 1;
    if (left > 0) this.#halfOpenOf.set(place.block, left);
    else this.#halfOpenOf.delete(place.block);
    return true;
  }

  #bucketOf(block: string, nowMs: number): TokenBucket {
    const { hellosPerS, helloBurst } = this.#limits;
    const bucket = this.#buckets.get(block) ?? new TokenBucket(hellosPerS, helloBurst);
    this.#buckets.delete(block);
    this.#buckets.set(block, bucket);
    // A full bucket is as good as none.
    for (const [other, { fullAtMs }] of this.#buckets) {
      if (other === block || (this.#buckets.size <= MAX_BUCKETS && fullAtMs > nowMs)) break;
      this.#buckets.delete(other);
    }
    return bucket;
  }
}

/** Lets `burst` through at once and `perS` in the long run. */
export class TokenBucket {
  readonly #perS: number;
  readonly #burst: number;
  #tokens: number;
  #atMs: number | undefined;

  constructor(perS: number, burst: number) {
    this.#perS = perS;
    this.#burst = burst;
    this.#tokens = burst;
  }

  /** When it has forgotten everything. */
  get fullAtMs(): number {
    return (this.#atMs ?? 0) + ((this.#burst - this.#tokens) / this.#perS) * 1_000;
  }

  /** @returns 0: one token is taken; else milliseconds until there is one */
  take(nowMs: number): number {
    // A clock that is set back gives nothing and takes nothing.
    const passedMs = Math.max(0, nowMs - (this.#atMs ?? nowMs));
    this.#tokens = Math.min(this.#burst, this.#tokens + (passedMs / 1_000) * this.#perS);
    this.#atMs = nowMs;
    if (this.#tokens < 1) return Math.ceil(((1 - this.#tokens) / this.#perS) * 1_000);
    this.#tokens--;
    return 0;
  }
}

/**
 * Requests of one proven handset, never its answers: 60 at once and one a second, so that no minute sees more than 120
 * (row 003-46). A call with its signals takes about 15, PING 3 a minute.
 */
export function requestBucket(): TokenBucket {
  return new TokenBucket(1, 60);
}

/** Whom a limit counts as one: an IPv4 address, or the /64 of an IPv6 address, which one host has for itself. */
export function addressBlock(address: string): string {
  if (!address.includes(":")) return address;
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address);
  if (mapped) return mapped[1]!;
  const bare = address.split("%")[0]!;
  if (!isIPv6(bare)) return address;
  const [left = "", right] = bare.split("::");
  const groups = left === "" ? [] : left.split(":");
  const tail = right ? right.split(":") : [];
  const missing = right === undefined ? 0 : 8 - groups.length - tail.length - (bare.includes(".") ? 1 : 0);
  const all = [...groups, ...Array<string>(missing).fill("0"), ...tail];
  return `${all
    .slice(0, 4)
    .map((group) => Number.parseInt(group, 16).toString(16))
    .join(":")}::/64`;
}
