import assert from "node:assert/strict";
import { nextPress } from "@feldfon/simulator/page/coach";

const seen = (...screens: string[]) => screens.map((screen) => ({ screen, speaking: false, asks: false }));

describe("simulator page's first steps", () => {
  const story: readonly (readonly [shown: string[], step: number, presses: (string | undefined)[]])[] = [
    [["", ""], 0, ["connect", "connect"]],
    [["making-key", "starting"], 0, [undefined, undefined]],
    [["off", "off"], 0, ["connect", "connect"]],
    [["connecting", "off"], 0, [undefined, "connect"]],
    [["verified", "off"], 0, [undefined, "connect"]],
    [["verified", "verified"], 1, ["call", undefined]],
    [["phonebook", "verified"], 1, ["call", undefined]],
    [["dial", "verified"], 1, ["call", undefined]],
    [["dialling", "verified"], 2, []],
    [["ringing-out", "incoming"], 2, [undefined, "call"]],
    [["in-call", "in-call"], 3, ["voice", undefined]],
    [["ended", "ended"], 5, []],
  ];
  for (const [shown, step, presses] of story) {
    it(`leads on from ${shown.map((screen) => screen || "nothing").join(" and ")}`, () => {
      assert.deepEqual(nextPress(seen(...shown)), { step, presses });
    });
  }

  it("has both compare the numbers first, and one hang up after somebody spoke", () => {
    const [anna, berta] = seen("in-call", "in-call");
    const asked = [
      { ...anna!, asks: true },
      { ...berta!, asks: false },
    ];
    assert.deepEqual(nextPress(asked), { step: 3, presses: ["call", undefined] });
    const spoke = [anna!, { ...berta!, speaking: true }];
    assert.deepEqual(nextPress(spoke), { step: 4, presses: ["hang-up", undefined] });
  });
});
