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

  it("refuse what is neither on nor off", () => {
    for (const word of ["", "yes", "ON", "1"]) {
      assert.throws(() => direct("--direct", word), { code: "settings-bad", message: /--direct/ });
    }
    assert.throws(() => direct("--direct"), { code: "settings-bad" });
  });
});
