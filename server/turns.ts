/**
 * A few after the other in each turn of the loop: a batch that is on disk answers all its joiners at once, and showing
 * one of them a thousand rows takes a part of a millisecond; voice and calls come in between. Alone the next would find
 * nothing of what it needs in the processor's caches.
 *
 * With a window, whoever comes alone has a turn at once, and who comes soon behind waits for others (performance.md
 * 2.2):
 *
 *     comes   a        b c   d                e
 *     turns   [a]......[b c d]................[e]       a dot is a part of the window
 */
import { type Clock, systemClock, type Timer } from "./clock.ts";

const A_TURN = 4;

export interface TurnsOptions {
  clock?: Clock;
  /** From one beginning to the next, at least. */
  windowMs?: number;
}

export class Turns {
  readonly #clock: Clock;
  readonly #windowMs: number;
  readonly #waiting: (() => void)[] = [];
  #turning = false;
  #window: Timer | undefined;

  constructor({ clock = systemClock, windowMs = 0 }: TurnsOptions = {}) {
    this.#clock = clock;
    this.#windowMs = windowMs;
  }

  /** Resolves when it is the caller's turn, in the order of the calls. */
  next(): Promise<void> {
    return new Promise((resolve) => {
      this.#waiting.push(resolve);
      this.#mayBegin();
    });
  }

  #mayBegin(): void {
    if (this.#turning || this.#window || this.#waiting.length === 0) return;
    this.#turning = true;
    setImmediate(() => this.#turn());
    if (this.#windowMs === 0) return;
    this.#window = this.#clock.setTimeout(() => {
      this.#window = undefined;
      this.#mayBegin();
    }, this.#windowMs);
  }

  #turn(): void {
    for (const resolve of this.#waiting.splice(0, A_TURN)) resolve();
    if (this.#waiting.length > 0) setImmediate(() => this.#turn());
    else this.#turning = false;
  }
}
