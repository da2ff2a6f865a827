/** Counts messages, refuses old ones (seed 002: send and receive counters). */
import { ProtocolError } from "./errors.ts";

/** A stream's counter: exactly 0, 1, 2 .. in each direction. */
export class StreamCounter {
  #next = 0;

  /** The number the next message has to carry. */
  get next(): number {
    return this.#next;
  }

  /** Takes one number; what is not the next one is a gap or a repeat. @throws {ProtocolError} `bad-counter` */
  advance(counter: number): void {
    if (counter !== this.#next) {
      throw new ProtocolError("bad-counter", `counter ${counter} came, ${this.#next} was expected`);
    }
    this.#next++;
  }
}

/** A counter that may skip but never stands still or falls back: CSeq of requests, INFO of a call. */
export class RisingCounter {
  #last: number;

  constructor(last = -1) {
    this.#last = last;
  }

  /** @returns false when the number is not above all earlier ones */
  accept(counter: number): boolean {
    const rises = counter > this.#last; // asked this way round NaN is refused too
    if (rises) this.#last = counter;
    return rises;
  }
}
