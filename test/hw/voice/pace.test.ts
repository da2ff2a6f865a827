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

  it("makes good what a busy moment cost, at most five ticks in a row", () => {
    const busyMs = 210;
    let most = 0;
    let running = 0;
    let count = 0;
    const counting = new Pace(() => {
      count++;
      running++;
      most = Math.max(most, running);
      if (count === 3) clock.setSystemTime(0); // keeps wall time out of it
      if (count === 3) clock.jump(busyMs);
    });
    const betweenTurns = () => {
      running = 0;
    };
    counting.start();
    for (let passed = 0; passed < 600; passed += 1) {
      betweenTurns();
      clock.tick(1);
    }
    counting.stop();
    assert.ok(Math.abs(count - Math.floor((600 + busyMs) / 20)) <= 1, `${count} ticks`);
    assert.ok(most <= 5 + 1, `${most} in a row`);
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
});
