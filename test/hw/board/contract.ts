import assert from "node:assert/strict";
import type { Board } from "@feldfon/hw/board/port";
import { DeviceError } from "@feldfon/protocol/errors";

/** Every board passes this; its devices have contracts of their own. */
export function boardContract(name: string, open: () => Promise<Board>): void {
  describe(`board: ${name}`, () => {
    it("has its name, keys, number pad, battery, and a display of 240 rows", async () => {
      const board = await open();
      assert.equal(board.name, name);
      for (const device of [board.buttons, board.numpad, board.battery]) assert.equal(typeof device.close, "function");
      assert.ok([240, 320].includes(board.display.width));
      assert.equal(board.display.height, 240);
      board.close();
    });

    it("closes every device, and twice is harmless", async () => {
      const board = await open();
      board.close();
      board.close();
      const picture = new Uint16Array(board.display.width * board.display.height);
      assert.throws(() => board.display.show(picture), DeviceError);
    });
  });
}
