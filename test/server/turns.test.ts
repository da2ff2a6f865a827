import assert from "node:assert/strict";
import { Turns } from "@feldfon/server/turns";

describe("turns", () => {
  it("come four to a turn of the loop, in the order they were asked for", async () => {
    const turns = new Turns();
    const happened: string[] = [];
    const nine = [..."abcdefghi"].map((name) => turns.next().then(() => happened.push(name)));
    for (let turn = 0; turn < 3; turn++) {
      await new Promise<void>((resolve) => setImmediate(resolve));
      happened.push(`turn ${turn}`);
    }
    await Promise.all(nine);
    assert.deepEqual(happened, ["a", "b", "c", "d", "turn 0", "e", "f", "g", "h", "turn 1", "i", "turn 2"]);
  });

  it("do not come at once, even for one who waits alone", async () => {
    const turns = new Turns();
    let mine = false;
    const next = turns.next().then(() => {
      mine = true;
    });
    await Promise.resolve();
    assert.equal(mine, false);
    await next;
    await turns.next();
  });
});
