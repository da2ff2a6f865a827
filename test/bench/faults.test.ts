/** The short form of `npm run bench -- faults`: real processes, a real disk, plugs pulled at moments that a seed picks. */
import assert from "node:assert/strict";
import { type Fault, suffer } from "../../bench/load/faults.ts";

describe("a house whose plugs are pulled", function () {
  this.timeout(90_000);

  const evenings: Record<string, readonly Fault[]> = {
    "processes are killed": ["server killed", "handset killed", "all killed"],
    "lines break and the disk is full": ["line reset", "lines cut", "line closed", "disk full"],
  };
  for (const [what, faults] of Object.entries(evenings)) {
    it(`keeps every acknowledged registration, and each call has both ends or none, when ${what}`, async () => {
      const told = await suffer(faults, { seed: 20_261_120, groups: 2, handsetsEach: 2, phones: 2 });
      assert.deepEqual(told.wrong, []);
      assert.equal(told.recoveries.length, faults.length);
      assert.equal(told.batchesRefused > 0, faults.includes("disk full"));
      assert.ok(told.acknowledged >= 6 + faults.length, `${told.acknowledged} registrations`);
    });
  }
});
