import type { Battery, Charge } from "./port.ts";

/** A battery one can drain by hand; without a charge it is a handset on the mains. */
export class FakeBattery implements Battery {
  readonly #listeners: ((charge: Charge | undefined) => void)[] = [];
  #charge: Charge | undefined;
  #open = true;

  constructor(charge?: Charge) {
    this.#charge = charge;
  }

  get charge(): Charge | undefined {
    return this.#charge;
  }

  onChange(listener: (charge: Charge | undefined) => void): void {
    this.#listeners.push(listener);
  }

  close(): void {
    this.#open = false;
  }

  /** A gauge knows nothing below empty and nothing above full. */
  set(charge: Charge | undefined): void {
    const before = this.#charge;
    this.#charge = charge && { ...charge, percent: Math.min(100, Math.max(0, Math.round(charge.percent))) };
    const same = before?.percent === this.#charge?.percent && before?.charging === this.#charge?.charging;
    if (!this.#open || same) return;
    for (const listener of this.#listeners) listener(this.#charge);
  }
}
