/**
 * One after the other, each in a turn of the loop of its own: a batch that is on disk answers all its joiners at once,
 * and showing one of them a thousand rows takes a part of a millisecond; voice and calls come in between.
 */
export class Turns {
  readonly #waiting: (() => void)[] = [];

  /** Resolves when it is the caller's turn, in the order of the calls. */
  next(): Promise<void> {
    return new Promise((resolve) => {
      if (this.#waiting.push(resolve) === 1) setImmediate(() => this.#turn());
    });
  }

  #turn(): void {
    this.#waiting.shift()!();
    if (this.#waiting.length > 0) setImmediate(() => this.#turn());
  }
}
