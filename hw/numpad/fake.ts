import type { Numpad, NumpadKey } from "./port.ts";

/** A number pad one can press from a test or a terminal. */
export class FakeNumpad implements Numpad {
  readonly #listeners: ((key: NumpadKey) => void)[] = [];
  #open = true;

  onKey(listener: (key: NumpadKey) => void): void {
    this.#listeners.push(listener);
  }

  close(): void {
    this.#open = false;
  }

  press(key: NumpadKey): void {
    if (!this.#open) return;
    for (const listener of this.#listeners) listener(key);
  }
}
