import assert from "node:assert/strict";
import { BatchWindow } from "@feldfon/server/batch-window";
import fc from "fast-check";
import { ManualClock } from "./manual-clock.ts";

const WINDOW_MS = 50;

function world(runMs = 0, mostItems?: number) {
  const clock = new ManualClock(0);
  const runs: { atMs: number; items: number[] }[] = [];
  let running = 0;
  const window = new BatchWindow<number>({
    clock,
    windowMs: WINDOW_MS,
    ...(mostItems === undefined ? {} : { mostItems }),
    async run(items) {
      assert.equal(++running, 1, "one run at a time");
      runs.push({ atMs: clock.now(), items });
      if (runMs > 0) await new Promise<void>((resolve) => clock.setTimeout(resolve, runMs));
      running--;
    },
  });
  return { clock, runs, window };
}

describe("Batch window", () => {
  it("runs what comes at once together, and at once when idle", async () => {
    const { clock, runs, window } = world();
    for (const item of [1, 2, 3]) window.add(item);
    await clock.settle();
    assert.deepEqual(runs, [{ atMs: 0, items: [1, 2, 3] }]);
  });

  it("gathers what comes during a window and runs it at its end", async () => {
    const { clock, runs, window } = world();
    window.add(1);
    await clock.pass(10);
    window.add(2);
    await clock.pass(20);
    window.add(3);
    assert.equal(window.waiting, 2);
    await clock.pass(200);
    window.add(4);
    await clock.settle();
    assert.deepEqual(runs, [
      { atMs: 0, items: [1] },
      { atMs: 50, items: [2, 3] },
      { atMs: 230, items: [4] },
    ]);
  });

  it("waits for a run that takes longer than the window", async () => {
    const { clock, runs, window } = world(120);
    window.add(1);
    await clock.pass(10);
    window.add(2);
    await clock.pass(300);
    assert.deepEqual(
      runs.map(({ atMs }) => atMs),
      [0, 120],
    );
  });

  it("takes no more than a run may have, and the rest in the next", async () => {
    const { clock, runs, window } = world(0, 2);
    for (const item of [1, 2, 3, 4, 5]) window.add(item);
    await clock.pass(200);
    assert.deepEqual(runs, [
      { atMs: 0, items: [1, 2] },
      { atMs: 50, items: [3, 4] },
      { atMs: 100, items: [5] },
    ]);
  });

  it("widens behind many items, fourfold at most, and is as it was behind few", async () => {
    const { clock, runs, window } = world();
    const begins: number[] = [];
    for (const items of [12, 18, 24, 100, 1, 1]) {
      for (let item = 0; item < items; item++) window.add(item);
      const before = runs.length;
      while (runs.length === before) await clock.pass(1);
      begins.push(runs.at(-1)!.atMs);
    }
    assert.deepEqual(
      begins.slice(1).map((atMs, at) => atMs - begins[at]!),
      [50, 75, 100, 200, 50],
    );
  });

  it("drains at once, whatever the window, and leaves no timer behind", async () => {
    const { clock, runs, window } = world(0, 2);
    for (const item of [1, 2, 3, 4, 5]) window.add(item);
    await window.drain();
    assert.deepEqual(
      runs.map(({ items }) => items.length),
      [2, 2, 1],
    );
    assert.equal(clock.now(), 0);
    assert.equal(clock.pending, 0);
    await window.drain();
    window.add(6);
    await clock.settle();
    assert.equal(runs.at(-1)!.items[0], 6, "it goes on after a drain");
  });

  it("keeps order and window, loses nothing and takes nothing twice, whatever comes when", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 80 })), { maxLength: 80 }),
        fc.integer({ min: 0, max: 90 }),
        fc.integer({ min: 1, max: 60 }),
        async (gapsMs, runMs, mostItems) => {
          const { clock, runs, window } = world(runMs, mostItems);
          for (const [item, gapMs] of gapsMs.entries()) {
            window.add(item);
            await clock.pass(gapMs);
          }
          await clock.pass(50 * (WINDOW_MS + runMs));
          assert.deepEqual(
            runs.flatMap(({ items }) => items),
            [...gapsMs.keys()],
          );
          for (const [at, run] of runs.entries()) {
            assert.ok(run.items.length >= 1 && run.items.length <= mostItems);
            if (at === 0) continue;
            const { atMs, items } = runs[at - 1]!;
            const window = WINDOW_MS * Math.min(Math.max(items.length / 12, 1), 4);
            assert.ok(run.atMs - atMs >= Math.max(window, runMs));
          }
        },
      ),
    );
  });
});
