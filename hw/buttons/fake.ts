import { Debounce, QUIET_MS } from "./debounce.ts";
import { BUTTONS, type Button, type Buttons } from "./port.ts";

/** Four keys one can press from a test or a terminal. Their contacts have a clock of their own and bounce on request. */
export class FakeButtons implements Buttons {
  readonly #listeners: ((button: Button) => void)[] = [];
  readonly #contacts = new Map(BUTTONS.map((button) => [button, new Debounce()]));
  #nowMs = 0;
  #open = true;

  onPress(listener: (button: Button) => void): void {
    this.#listeners.push(listener);
  }

  close(): void {
    this.#open = false;
  }

  /** Down and up again, as clean as a contact can be. */
  press(button: Button): void {
    this.#edge(button, true, 0);
    this.#edge(button, false, 3 * QUIET_MS);
    this.#nowMs += 3 * QUIET_MS;
  }

  /** Down and up again with a worn contact: it breaks `bounces` times on either way, 2 ms each. */
  pressBouncing(button: Button, bounces: number): void {
    this.#edge(button, true, 0);
    this.#bounce(button, bounces, false);
    this.#edge(button, false, 3 * QUIET_MS);
    this.#bounce(button, bounces, true);
    this.#nowMs += 3 * QUIET_MS;
  }

  #bounce(button: Button, bounces: number, closed: boolean): void {
    for (let i = 0; i < bounces; i++) {
      this.#edge(button, closed, 2);
      this.#edge(button, !closed, 2);
    }
  }

  #edge(button: Button, closed: boolean, afterMs: number): void {
    this.#nowMs += afterMs;
    if (!this.#contacts.get(button)!.edge(closed, this.#nowMs) || !this.#open) return;
    for (const listener of this.#listeners) listener(button);
  }
}
