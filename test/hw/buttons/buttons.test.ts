import assert from "node:assert/strict";
import { Debounce, QUIET_MS } from "@feldfon/hw/buttons/debounce";
import { FakeButtons } from "@feldfon/hw/buttons/fake";
import fc from "fast-check";
import { buttonsContract } from "./contract.ts";

buttonsContract("fake", async () => {
  const buttons = new FakeButtons();
  return {
    buttons,
    press: async (button, bounces) => {
      if (bounces > 0) buttons.pressBouncing(button, bounces);
      else buttons.press(button);
    },
  };
});

describe("debounce", () => {
  it("takes the first closing edge at once", () => {
    assert.equal(new Debounce().edge(true, 0), true);
  });

  it("does not take an opening edge for a press", () => {
    const contact = new Debounce();
    assert.deepEqual([contact.edge(true, 0), contact.edge(false, 200), contact.edge(true, 202)], [true, false, false]);
  });

  it("makes one press of each push, whatever the contact does for less than its quiet time", () => {
    const push = fc.record({
      bounces: fc.array(fc.integer({ min: 1, max: QUIET_MS - 1 }), { maxLength: 10 }),
      heldMs: fc.integer({ min: QUIET_MS, max: 2_000 }),
      releasedMs: fc.integer({ min: QUIET_MS, max: 2_000 }),
    });
    fc.assert(
      fc.property(fc.array(push, { maxLength: 10 }), (pushes) => {
        const contact = new Debounce();
        let nowMs = 0;
        let presses = 0;
        const edge = (closed: boolean) => {
          if (contact.edge(closed, nowMs)) presses++;
        };
        for (const { bounces, heldMs, releasedMs } of pushes) {
          for (const level of [true, false]) {
            edge(level);
            // An even number of edges leaves the contact where the push put it.
            for (const pauseMs of bounces) {
              nowMs += pauseMs;
              edge(!level);
              nowMs += 1;
              edge(level);
            }
            nowMs += level ? heldMs : releasedMs;
          }
        }
        assert.equal(presses, pushes.length);
      }),
    );
  });
});
