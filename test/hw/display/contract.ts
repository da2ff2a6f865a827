import assert from "node:assert/strict";
import type { Display, Frame } from "@feldfon/hw/display/port";
import { DeviceError } from "@feldfon/protocol/errors";

export interface DisplayBench {
  display: Display;
  /** What an eye, or a logic analyser at the bus, sees now: RGB565, row by row. */
  seen(): Frame;
}

/** Every implementation of Display passes this. */
export function displayContract(name: string, open: () => Promise<DisplayBench>): void {
  describe(`display: ${name}`, () => {
    let bench: DisplayBench;
    let picture: Frame;

    beforeEach(async () => {
      bench = await open();
      const { width, height } = bench.display;
      picture = Uint16Array.from({ length: width * height }, (_, i) => (i * 40_503) & 0xffff);
    });

    afterEach(() => bench.display.close());

    it("shows every pixel where it was drawn", () => {
      bench.display.show(picture);
      assert.deepEqual(bench.seen(), picture);
    });

    it("replaces only the rows that it was told of", () => {
      const { width } = bench.display;
      bench.display.show(picture);
      bench.display.show(new Uint16Array(picture.length).fill(0xf800), { from: 10, to: 12 });
      const wanted = picture.slice().fill(0xf800, 10 * width, 12 * width);
      assert.deepEqual(bench.seen(), wanted);
    });

    it("leaves the frame to the caller, who may draw on it again", () => {
      bench.display.show(picture);
      const kept = picture.slice();
      picture.fill(0);
      assert.deepEqual(bench.seen(), kept);
    });

    it("refuses a picture of another size", () => {
      assert.throws(() => bench.display.show(picture.subarray(1)), DeviceError);
    });

    it("leaves no picture behind when it is closed, and takes none after", () => {
      bench.display.show(picture);
      bench.display.close();
      bench.display.close();
      assert.ok(bench.seen().every((pixel) => pixel === 0));
      assert.throws(() => bench.display.show(picture), DeviceError);
    });
  });
}
