/**
 * Gathers what is dear by the piece and cheap by the dozen: signatures, transactions (performance.md 2.2, 3).
 *
 *     items   a        b c   d                e
 *     runs    [a]......[b c d]................[e]       a dot is a part of the window; no item comes before its run ends
 *
 * At once when idle; otherwise one run after the other, and never two beginnings within one window. Behind a run with
 * many items the window is wider: who comes in a storm waits longer, and shares more.
 */
import type { Clock, Timer } from "./clock.ts";

export interface BatchWindowOptions<Item> {
  clock: Clock;
  windowMs: number;
  /** Items of one run; the rest waits for the next. */
  mostItems?: number;
  /** Settles every item itself: a rejection here is a mistake of ours and surfaces. */
  run(items: Item[]): Promise<void>;
}

/** Behind a run of so many the window is as it was told, behind one of twice as many twice as wide: 240 a second with 50 ms. */
const STORM_ITEMS = 12;
const WIDEST = 4;

export class BatchWindow<Item> {
  readonly #options: BatchWindowOptions<Item>;
  #items: Item[] = [];
  #window: Timer | undefined;
  #running = false;
  #waking = false;
  #draining = false;
  #idle: (() => void)[] = [];

  constructor(options: BatchWindowOptions<Item>) {
    this.#options = options;
  }

  /** Items that wait for their run. */
  get waiting(): number {
    return this.#items.length;
  }

  add(item: Item): void {
    this.#items.push(item);
    this.#wake();
  }

  /** Runs everything that waits without looking at the window. Resolves when nothing waits or runs. */
  drain(): Promise<void> {
    if (!this.#running && this.#items.length === 0) return Promise.resolve();
    this.#draining = true;
    this.#wake();
    return new Promise((resolve) => this.#idle.push(resolve));
  }

  /** One microtask later, so that whatever is added in one go shares a run. */
  #wake(): void {
    if (this.#waking) return;
    this.#waking = true;
    queueMicrotask(() => {
      this.#waking = false;
      if (this.#items.length === 0 || this.#running) return;
      if (this.#window !== undefined && !this.#draining) return;
      this.#start();
    });
  }

  async #start(): Promise<void> {
    const { clock, mostItems = Number.POSITIVE_INFINITY, run } = this.#options;
    this.#running = true;
    const items = this.#items.splice(0, mostItems);
    clock.clearTimeout(this.#window);
    // A timer and no arithmetic on now(): a clock that is set back must not stretch the window.
    this.#window = clock.setTimeout(() => {
      this.#window = undefined;
      this.#wake();
    }, this.#windowBehind(items.length));
    try {
      await run(items);
    } finally {
      this.#running = false;
      if (this.#items.length > 0) this.#wake();
      else this.#rest();
    }
  }

  #windowBehind(items: number): number {
    return this.#options.windowMs * Math.min(Math.max(items / STORM_ITEMS, 1), WIDEST);
  }

  #rest(): void {
    if (this.#draining) {
      this.#options.clock.clearTimeout(this.#window);
      this.#window = undefined;
    }
    this.#draining = false;
    for (const resolve of this.#idle.splice(0)) resolve();
  }
}
