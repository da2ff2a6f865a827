/** The short form of `npm run bench -- faults`: five plugs are pulled, and what was acknowledged is still there. */
import assert from "node:assert/strict";
import { suffer } from "../../bench/load/faults.ts";

describe("a house whose plugs are pulled", function () {
  this.timeout(90_000);

  it("keeps every acknowledged registration, is whole again within 10 s, and no call has one end only", async () => {
    const told = await suffer(
      ["server killed", "handsets killed", "lines cut", "half-open flood", "disk full"],
      20_261_120,
    );
    assert.deepEqual(told.wrong, []);
    assert.equal(told.acknowledged, 12);
    assert.equal(told.recoveries.length, 5);
  });
});
