import assert from "node:assert/strict";
import { FakeBattery } from "@feldfon/hw/battery/fake";
import { batteryContract } from "./contract.ts";

batteryContract("fake", async () => {
  const battery = new FakeBattery();
  return { battery, set: async (charge) => battery.set(charge) };
});

describe("a fake battery", () => {
  it("is neither emptier than empty nor fuller than full", () => {
    const battery = new FakeBattery();
    const heard = [-3, 120, 49.6].map((percent) => {
      battery.set({ percent, charging: false });
      return battery.charge?.percent;
    });
    assert.deepEqual(heard, [0, 100, 50]);
  });

  it("is a handset on the mains without a charge", () => assert.equal(new FakeBattery().charge, undefined));
});
