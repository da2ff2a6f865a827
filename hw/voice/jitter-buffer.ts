/**
 * Evens out the wire: packets come in bursts, late, in any order or not at all; one frame is played every 20 ms.
 *
 *     put  6 4 5 . 8            take  ->  1 2 3 [4 5 6 _ 8]          _ missing: silence, counted
 *                                               '- depth -'
 *
 * - It starts when `depth` frames are there, so the wire may be late by as many times 20 ms.
 * - Empty: silence, and it waits instead of skipping; from then on it is deeper by what it waited for.
 * - Much deeper than needed for 10 s: one quiet frame is left out, as often as it takes.
 * - Never more than `CAPACITY_PACKETS`.
 */
import type { VoiceFrame } from "./sound.ts";

/** 120 ms: processes that share two cores with others are late by this much now and then. */
const DEPTH_PACKETS = 6;
/** One second. */
export const CAPACITY_PACKETS = 50;
/** How long the buffer has to be too deep before a frame is left out. */
const DEEP_FOR_FRAMES = 500;
/** Largest sample of a frame whose absence nobody hears: -50 dBFS. */
const QUIET_PEAK = 100;

export class JitterBuffer {
  readonly #depthPackets: number;
  readonly #frames = new Map<number, VoiceFrame>();
  /** Index to be played next; undefined until started. */
  #next: number | undefined;
  /** Index the playing began with. */
  #first = 0;
  /** Frames of silence played while empty, not yet set off against lost packets. */
  #waitedFrames = 0;
  #leastFill = Number.POSITIVE_INFINITY;
  #framesSinceLeast = 0;
  #lost = 0;
  #late = 0;

  constructor(depthPackets: number = DEPTH_PACKETS) {
    this.#depthPackets = depthPackets;
  }

  /** Packets that never came, up to the one being played. */
  get lost(): number {
    return this.#lost;
  }

  /** Packets that came and could not be played any more. */
  get late(): number {
    return this.#late;
  }

  /** Frames waiting to be played. */
  get fill(): number {
    return this.#frames.size;
  }

  /**
   * @param index sender's packet index, each at most once
   * @returns false when the packet came after its moment and was let go
   */
  put(index: number, frame: VoiceFrame): boolean {
    if (this.#next !== undefined && index < this.#next) {
      this.#late++;
      if (index >= this.#first) this.#lost--; // it was counted as lost when its moment passed
      return false;
    }
    this.#frames.set(index, frame);
    const oldest = this.#next ?? Math.min(...this.#frames.keys());
    if (index - oldest >= CAPACITY_PACKETS) this.#skipTo(index - this.#depthPackets + 1, oldest);
    return true;
  }

  /** The frame whose moment is now; undefined is 20 ms of silence. */
  take(): VoiceFrame | undefined {
    if (this.#next === undefined) {
      if (this.#frames.size < this.#depthPackets) return undefined;
      this.#first = Math.min(...this.#frames.keys());
      this.#next = this.#first;
    }
    if (this.#frames.size === 0) {
      this.#waitedFrames++;
      return undefined;
    }
    // Silence for these has been played already, while waiting.
    while (this.#waitedFrames > 0 && !this.#frames.has(this.#next)) {
      this.#waitedFrames--;
      this.#lose();
    }
    this.#waitedFrames = 0;
    if (this.#leftOutOne(this.#next)) this.#next++;
    const frame = this.#frames.get(this.#next);
    if (frame) {
      this.#frames.delete(this.#next);
      this.#next++;
    } else {
      this.#lose();
    }
    return frame;
  }

  #lose(): void {
    this.#lost++;
    this.#next!++;
  }

  #skipTo(index: number, from: number): void {
    for (let skipped = from; skipped < index; skipped++) {
      if (this.#frames.delete(skipped)) this.#late++;
      else this.#lost++;
    }
    if (this.#next === undefined) this.#first = from;
    this.#next = index;
    this.#waitedFrames = 0;
  }

  #leftOutOne(index: number): boolean {
    this.#leastFill = Math.min(this.#leastFill, this.#frames.size);
    if (++this.#framesSinceLeast < DEEP_FOR_FRAMES) return false;
    if (this.#leastFill <= this.#depthPackets + 1) {
      this.#leastFill = Number.POSITIVE_INFINITY;
      this.#framesSinceLeast = 0;
      return false;
    }
    const frame = this.#frames.get(index);
    if (!frame?.every((sample) => Math.abs(sample) <= QUIET_PEAK)) return false;
    this.#frames.delete(index);
    this.#leastFill = Number.POSITIVE_INFINITY;
    this.#framesSinceLeast = 0;
    return true;
  }
}
