import assert from "node:assert/strict";
import { NUMPAD_KEYS, type Numpad, type NumpadKey } from "@feldfon/hw/numpad/port";

export interface NumpadBench {
  numpad: Numpad;
  press(key: NumpadKey): Promise<void>;
}

/** Every implementation of Numpad passes this. */
export function numpadContract(name: string, open: () => Promise<NumpadBench>): void {
  describe(`numpad: ${name}`, () => {
    let bench: NumpadBench;
    let pressed: string;

    beforeEach(async () => {
      bench = await open();
      pressed = "";
      bench.numpad.onKey((key) => {
        pressed += key;
      });
    });

    afterEach(() => bench.numpad.close());

    it("reports each of its twelve keys once, in the order of the presses", async () => {
      for (const key of NUMPAD_KEYS) await bench.press(key);
      assert.equal(pressed, "123456789*0#");
    });

    it("reports the same key again when it is pressed again", async () => {
      for (let i = 0; i < 3; i++) await bench.press("7");
      assert.equal(pressed, "777");
    });

    it("is silent after it was closed, however often", async () => {
      bench.numpad.close();
      bench.numpad.close();
      await bench.press("1");
      assert.equal(pressed, "");
    });
  });
}
