/**
 * A clock that ticks every 20 ms by absolute time: what a late timer missed is made good at once, so nothing drifts.
 *
 *     due    20    40    60    80    100
 *     ticks  20    41            93,94 101        60 and 80 came late, one soon after the other
 *
 * One tick a turn of the event loop: between two of them packets that are waiting in the socket come in, else a busy
 * moment would empty the jitter buffer although nothing is missing.
 */
import { FRAME_MS } from "./sound.ts";

/** After a longer stop (a suspended machine) the past is past. */
const FORGOTTEN_AFTER_MS = 1000;

export class Pace {
  readonly #tick: () => void;
  #timer: NodeJS.Timeout | undefined;
  /** On the clock of performance.now(). */
  #dueMs = 0;

  constructor(tick: () => void) {
    this.#tick = tick;
  }

  get running(): boolean {
    return this.#timer !== undefined;
  }

  /** First tick one period from now. Starting twice is harmless. */
  start(): void {
    if (this.running) return;
    this.#dueMs = performance.now() + FRAME_MS;
    this.#sleep();
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #sleep(): void {
    // Rounded up: a timer that is early by a fraction would only have to be set again.
    const sleepMs = Math.max(0, Math.ceil(this.#dueMs - performance.now()));
    this.#timer = setTimeout(() => this.#wake(), sleepMs);
  }

  #wake(): void {
    const timer = this.#timer;
    const nowMs = performance.now();
    if (nowMs - this.#dueMs > FORGOTTEN_AFTER_MS) this.#dueMs = nowMs;
    if (nowMs >= this.#dueMs) {
      this.#dueMs += FRAME_MS;
      this.#tick();
    }
    // Unless the tick has stopped the clock, or stopped and started it.
    if (this.#timer === timer) this.#sleep();
  }
}
