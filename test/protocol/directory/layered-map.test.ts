import assert from "node:assert/strict";
import { LayeredMap } from "@feldfon/protocol/directory/layered-map";
import fc from "fast-check";

describe("Directory: a map in layers", () => {
  it("is a map, and so is each of its copies, whatever the others do", () => {
    const step = fc.record({
      map: fc.nat(5),
      key: fc.integer({ min: 0, max: 20 }),
      act: fc.constantFrom("set", "set", "delete", "clone"),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 120 }), (steps) => {
        const pairs = [{ layered: new LayeredMap<number, string>(), plain: new Map<number, string>() }];
        steps.forEach(({ map, key, act }, n) => {
          const { layered, plain } = pairs[map % pairs.length]!;
          if (act === "set") {
            layered.set(key, `value ${n}`);
            plain.set(key, `value ${n}`);
          } else if (act === "delete") {
            layered.delete(key);
            plain.delete(key);
          } else {
            pairs.push({ layered: layered.clone(), plain: new Map(plain) });
          }
        });
        for (const { layered, plain } of pairs) {
          for (let key = 0; key <= 20; key++) {
            assert.equal(layered.get(key), plain.get(key));
            assert.equal(layered.has(key), plain.has(key));
          }
        }
      }),
      { numRuns: 300 },
    );
  });
});
