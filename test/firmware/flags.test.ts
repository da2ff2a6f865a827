import assert from "node:assert/strict";
import { readFlags, USAGE } from "@feldfon/firmware/flags";
import { firstSettings } from "@feldfon/firmware/settings";

describe("Flags of the handset", () => {
  const settings = firstSettings();
  const direct = (...argv: string[]) => readFlags(argv).apply(settings).direct;

  it("let voice go directly only when they say so, and change nothing by their silence", () => {
    assert.equal(settings.direct, false);
    assert.equal(direct(), false);
    assert.equal(direct("--direct", "on"), true);
    assert.equal(readFlags([]).apply({ ...settings, direct: true }).direct, true);
    assert.equal(readFlags(["--direct", "off"]).apply({ ...settings, direct: true }).direct, false);
    assert.match(USAGE, /--direct on\|off/);
  });

  it("want a PIN unless --no-pin says otherwise, which is kept until --pin turns it back", () => {
    const pin = (given: boolean, ...argv: string[]) => readFlags(argv).apply({ ...settings, pin: given }).pin;
    assert.equal(settings.pin, true);
    assert.deepEqual([pin(true), pin(true, "--no-pin"), pin(false), pin(false, "--pin")], [true, false, false, true]);
    assert.match(USAGE, /--no-pin/);
  });

  it("take the minutes until a handset locks itself, 0 for never, at most a day", () => {
    const minutes = (...argv: string[]) => readFlags(argv).apply(settings).idleLockMinutes;
    assert.deepEqual([minutes(), minutes("--idle-lock", "0"), minutes("--idle-lock", "1440")], [10, 0, 1_440]);
    for (const wrong of ["-1", "1.5", "ten", "", "1441"]) {
      assert.throws(() => minutes("--idle-lock", wrong), { code: "settings-bad" }, wrong);
    }
  });

  it("refuse what is neither on nor off", () => {
    for (const word of ["", "yes", "ON", "1"]) {
      assert.throws(() => direct("--direct", word), { code: "settings-bad", message: /--direct/ });
    }
    assert.throws(() => direct("--direct"), { code: "settings-bad" });
  });
});
