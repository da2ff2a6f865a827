import assert from "node:assert/strict";
import { FakeNumpad } from "@feldfon/hw/numpad/fake";
import { isNumpadKey } from "@feldfon/hw/numpad/port";
import { numpadContract } from "./contract.ts";

numpadContract("fake", async () => {
  const numpad = new FakeNumpad();
  return { numpad, press: async (key) => numpad.press(key) };
});

describe("numpad keys", () => {
  for (const text of ["", "10", "a", "+", "１", "constructor"]) {
    it(`does not take ${JSON.stringify(text)} for a key`, () => assert.equal(isNumpadKey(text), false));
  }
});
