import { FakeBattery } from "../battery/fake.ts";
import { FakeButtons } from "../buttons/fake.ts";
import { FakeDisplay } from "../display/fake.ts";
import type { Caption, Captions } from "../display/port.ts";
import { FakeNumpad } from "../numpad/fake.ts";
import type { Board, BoardEvent, Leds, Light } from "./port.ts";

/** A board in the hand of a test: every key can be pressed, everything shown is kept, oldest first. */
export class FakeBoard implements Board {
  readonly name = "fake";
  readonly buttons = new FakeButtons();
  readonly numpad = new FakeNumpad();
  readonly battery = new FakeBattery();
  readonly display: FakeDisplay;
  readonly captionsShown: Caption[] = [];
  readonly lightsShown: Light[] = [];
  readonly captions: Captions = { show: (caption) => this.captionsShown.push(caption) };
  readonly leds: Leds = { show: (light) => this.lightsShown.push(light) };
  readonly #listeners: ((event: BoardEvent) => void)[] = [];

  constructor(width = 320, height = 240) {
    this.display = new FakeDisplay(width, height);
  }

  onEvent(listener: (event: BoardEvent) => void): void {
    this.#listeners.push(listener);
  }

  emit(event: BoardEvent): void {
    for (const listener of this.#listeners) listener(event);
  }

  close(): void {
    for (const device of [this.buttons, this.numpad, this.battery, this.display]) device.close();
  }
}
