import { setImmediate as turn } from "node:timers/promises";
import type { Clock, Timer } from "@feldfon/server/clock";

/** Time that passes when it is told to. */
export class ManualClock implements Clock {
  #nowMs: number;
  #timers: { atMs: number; run: () => void }[] = [];

  constructor(nowMs = 1_800_000_000_000) {
    this.#nowMs = nowMs;
  }

  /** Timers that have not run. */
  get pending(): number {
    return this.#timers.length;
  }

  now(): number {
    return this.#nowMs;
  }

  setTimeout(run: () => void, delayMs: number): Timer {
    const timer = { atMs: this.#nowMs + delayMs, run };
    this.#timers.push(timer);
    return timer as unknown as Timer;
  }

  clearTimeout(timer: Timer | undefined): void {
    this.#timers = this.#timers.filter((one) => one !== (timer as unknown));
  }

  /** Lets everything happen that waits for no time. */
  async settle(): Promise<void> {
    await turn();
    await turn();
  }

  async pass(ms: number): Promise<void> {
    const untilMs = this.#nowMs + ms;
    await this.settle();
    for (;;) {
      const next = this.#timers.filter(({ atMs }) => atMs <= untilMs).sort((a, b) => a.atMs - b.atMs)[0];
      if (!next) break;
      this.#timers.splice(this.#timers.indexOf(next), 1);
      this.#nowMs = Math.max(this.#nowMs, next.atMs);
      next.run();
      await this.settle();
    }
    this.#nowMs = untilMs;
  }
}
