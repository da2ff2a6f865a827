import assert from "node:assert/strict";
import type { Battery, Charge } from "@feldfon/hw/battery/port";

export interface BatteryBench {
  battery: Battery;
  /** Brings the gauge to this charge, or away; returns when the device has had its time to report it. */
  set(charge: Charge | undefined): Promise<void>;
}

/** Every implementation of Battery passes this. */
export function batteryContract(name: string, open: () => Promise<BatteryBench>): void {
  describe(`battery: ${name}`, () => {
    let bench: BatteryBench;
    let heard: (Charge | undefined)[];

    beforeEach(async () => {
      bench = await open();
      await bench.set({ percent: 80, charging: false });
      heard = [];
      bench.battery.onChange((charge) => heard.push(charge));
    });

    afterEach(() => bench.battery.close());

    it("says what the gauge said last", () => {
      assert.deepEqual(bench.battery.charge, { percent: 80, charging: false });
    });

    it("tells a change, of the charge as of the plug", async () => {
      await bench.set({ percent: 79, charging: false });
      await bench.set({ percent: 79, charging: true });
      assert.deepEqual(heard, [
        { percent: 79, charging: false },
        { percent: 79, charging: true },
      ]);
    });

    it("says nothing when nothing changed", async () => {
      await bench.set({ percent: 80, charging: false });
      assert.deepEqual(heard, []);
    });

    it("tells when the gauge does not answer any more", async () => {
      await bench.set(undefined);
      assert.deepEqual([bench.battery.charge, heard], [undefined, [undefined]]);
    });

    it("is silent after it was closed", async () => {
      bench.battery.close();
      await bench.set({ percent: 5, charging: false });
      assert.deepEqual(heard, []);
    });
  });
}
