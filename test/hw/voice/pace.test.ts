import assert from "node:assert/strict";
import { Pace } from "@feldfon/voice/pace";
import sinon from "sinon";

describe("Pace", () => {
  let clock: sinon.SinonFakeTimers;
  const ticksAtMs: number[] = [];
  beforeEach(() => {
    clock = sinon.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] });
    ticksAtMs.length = 0;
  });
  afterEach(() => clock.restore());
  const pace = () => new Pace(() => ticksAtMs.push(performance.now()));

  it("ticks every 20 ms, the first time after 20 ms", () => {
    const running = pace();
    running.start();
    clock.tick(100);
    assert.deepEqual(ticksAtMs, [20, 40, 60, 80, 100]);
    running.stop();
  });

  it("does not drift when every timer is late", () => {
    const late = sinon
      .stub(globalThis, "setTimeout")
      .callsFake(((run: () => void, ms: number) => late.wrappedMethod(run, ms + 7)) as typeof setTimeout);
    const running = pace();
    running.start();
    clock.tick(60_000);
    running.stop();
    late.restore();
    assert.ok(Math.abs(ticksAtMs.length - 3000) <= 1, `${ticksAtMs.length} ticks in a minute`);
  });

  it("makes good what a busy moment cost, one tick a turn, so that others come in between", () => {
    const running = pace();
    running.start();
    clock.tick(20);
    clock.jump(240);
    const counts = [ticksAtMs.length];
    for (let turn = 0; turn < 13; turn++) {
      clock.tick(1);
      counts.push(ticksAtMs.length);
    }
    assert.deepEqual(counts, [2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 13, 13], "one before, then the twelve of 240 ms");
    clock.tick(27);
    assert.equal(ticksAtMs.length, 15, "in time again");
    running.stop();
  });

  it("forgets what a stop of more than a second cost", () => {
    const running = pace();
    running.start();
    clock.tick(20);
    clock.jump(60_000);
    clock.tick(20);
    running.stop();
    assert.ok(ticksAtMs.length <= 4, `${ticksAtMs.length} ticks`);
  });

  it("is quiet after stop, also from within a tick, and can be started again", () => {
    const running: Pace = new Pace(() => {
      ticksAtMs.push(performance.now());
      running.stop();
    });
    running.start();
    clock.tick(200);
    assert.deepEqual(ticksAtMs, [20]);
    assert.equal(clock.countTimers(), 0);
    running.start();
    running.start();
    clock.tick(200);
    assert.deepEqual(ticksAtMs, [20, 220]);
  });

  it("keeps one beat when it is stopped and started from within a tick", () => {
    const running: Pace = new Pace(() => {
      ticksAtMs.push(performance.now());
      running.stop();
      running.start();
    });
    running.start();
    clock.tick(60);
    assert.deepEqual(ticksAtMs, [20, 40, 60]);
    assert.equal(clock.countTimers(), 1);
    running.stop();
  });
});
