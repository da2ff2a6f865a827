import assert from "node:assert/strict";
import { BUTTONS, type Button, type Buttons } from "@feldfon/hw/buttons/port";

/** What a test bench can do to a set of keys: real ones on a simulated GPIO chip, fake ones in memory. */
export interface ButtonsBench {
  buttons: Buttons;
  /** Down and up again; returns when the device has had its time to report it. */
  press(button: Button, bounces: number): Promise<void>;
}

/** Every implementation of Buttons passes this. */
export function buttonsContract(name: string, open: () => Promise<ButtonsBench>): void {
  describe(`buttons: ${name}`, () => {
    let bench: ButtonsBench;
    let pressed: Button[];

    beforeEach(async () => {
      bench = await open();
      pressed = [];
      bench.buttons.onPress((button) => pressed.push(button));
    });

    afterEach(() => bench.buttons.close());

    it("reports every key by its name, in the order of the presses", async () => {
      for (const button of [...BUTTONS].reverse()) await bench.press(button, 0);
      assert.deepEqual(pressed, [...BUTTONS].reverse());
    });

    it("reports one press when the contact bounces", async () => {
      await bench.press("call", 5);
      assert.deepEqual(pressed, ["call"]);
    });

    it("reports the next press of the same key, bouncing or not", async () => {
      for (let i = 0; i < 3; i++) await bench.press("hang-up", i);
      assert.deepEqual(pressed, ["hang-up", "hang-up", "hang-up"]);
    });

    it("tells every listener", async () => {
      const second: Button[] = [];
      bench.buttons.onPress((button) => second.push(button));
      await bench.press("update", 0);
      assert.deepEqual([pressed, second], [["update"], ["update"]]);
    });

    it("is silent after it was closed, however often", async () => {
      bench.buttons.close();
      bench.buttons.close();
      await bench.press("connect", 0);
      assert.deepEqual(pressed, []);
    });
  });
}
