/**
 * A few after the other in each turn of the loop: a batch that is on disk answers all its joiners at once, and showing
 * one of them a thousand rows takes a part of a millisecond; voice and calls come in between. Alone the next would find
 * nothing of what it needs in the processor's caches.
 */

const A_TURN = 4;

export class Turns {
  readonly #waiting: (() => void)[] = [];

  /** Resolves when it is the caller's turn, in the order of the calls. */
  next(): Promise<void> {
    return new Promise((resolve) => {
      if (this.#waiting.push(resolve) === 1) setImmediate(() => this.#turn());
    });
  }

  #turn(): void {
    for (const resolve of this.#waiting.splice(0, A_TURN)) resolve();
    if (this.#waiting.length > 0) setImmediate(() => this.#turn());
  }
}
