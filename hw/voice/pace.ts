/**
 * A clock that ticks every 20 ms by absolute time: a late timer is made good by ticks in a row, so nothing drifts.
 *
 *     due   0    20    40    60    80    100
 *     fired 1    23    41            93  101        timer came late at 93 ..
 *     ticks x    x     x             xx  x          .. and gave two ticks
 */
import { FRAME_MS } from "./sound.ts";

/** At most so many at once, then everybody else gets a turn before the rest is made good. */
const TICKS_AT_ONCE = 5;
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
    const nowMs = performance.now();
    if (nowMs - this.#dueMs > FORGOTTEN_AFTER_MS) this.#dueMs = nowMs;
    for (let ticks = 0; this.#dueMs <= nowMs && ticks < TICKS_AT_ONCE; ticks++) {
      this.#dueMs += FRAME_MS;
      this.#tick();
      if (!this.running) return;
    }
    this.#sleep();
  }
}
