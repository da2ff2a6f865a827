import assert from "node:assert/strict";
import { Turns } from "@feldfon/server/turns";
import { ManualClock } from "./manual-clock.ts";

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

  describe("with a window", () => {
    const WINDOW_MS = 100;
    let clock: ManualClock;
    let happened: string;
    let come: (names: string) => void;

    beforeEach(() => {
      clock = new ManualClock();
      happened = "";
      const turns = new Turns({ clock, windowMs: WINDOW_MS });
      come = (names) => {
        for (const name of names) {
          void turns.next().then(() => {
            happened += name;
          });
        }
      };
    });

    it("come at once for who comes alone", async () => {
      for (const name of "abc") {
        come(name);
        await clock.settle();
        assert.ok(happened.endsWith(name));
        await clock.pass(WINDOW_MS);
      }
    });

    it("come together for those who come soon behind, at the end of the window", async () => {
      come("a");
      await clock.settle();
      come("bc");
      await clock.pass(WINDOW_MS / 2);
      come("d");
      await clock.pass(WINDOW_MS / 2 - 1);
      assert.equal(happened, "a");
      await clock.pass(1);
      assert.equal(happened, "abcd");
      come("e");
      await clock.pass(WINDOW_MS - 1);
      assert.equal(happened, "abcd", "their turn began a window of its own");
      await clock.pass(1);
      assert.equal(happened, "abcde");
    });

    it("take those along who come while they go on, and leave no timer behind", async () => {
      come("abcdefg");
      await new Promise<void>((resolve) => setImmediate(resolve));
      assert.equal(happened, "abcd");
      come("hij");
      await clock.settle();
      assert.equal(happened, "abcdefghij");
      await clock.pass(10 * WINDOW_MS);
      assert.equal(clock.pending, 0);
    });
  });
});
