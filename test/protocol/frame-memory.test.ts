import assert from "node:assert/strict";
import { giveBack, takeFrame } from "@feldfon/protocol/frame-memory";
import fc from "fast-check";

const KiB = 1024;

describe("frame memory", () => {
  it("is used again by the next frame of about the same size", () => {
    const first = takeFrame(40 * KiB);
    giveBack(first);
    const second = takeFrame(60 * KiB);
    assert.equal(second.buffer, first.buffer);
    assert.deepEqual([first.length, second.length], [40 * KiB, 60 * KiB]);
    const third = takeFrame(60 * KiB);
    assert.notEqual(third.buffer, second.buffer);
    giveBack(second);
    giveBack(third);
  });

  it("is not kept of short frames, of very long ones, and of buffers from elsewhere", () => {
    for (const frame of [takeFrame(100), takeFrame(2 * KiB * KiB), Buffer.alloc(40 * KiB), Buffer.alloc(0)]) {
      giveBack(frame);
      const next = takeFrame(Math.max(frame.length, 8 * KiB));
      assert.notEqual(next.buffer, frame.buffer);
    }
  });

  it("belongs to one frame at a time, whatever is taken and given back", () => {
    const size = fc.oneof(fc.nat(300 * KiB), fc.constantFrom(8 * KiB, 16 * KiB, 64 * KiB, 1024 * KiB, 1024 * KiB + 1));
    const step = fc.oneof(fc.record({ take: size }), fc.record({ back: fc.nat() }));
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const out: { frame: Buffer; mark: number }[] = [];
        for (const [index, each] of steps.entries()) {
          const mark = index % 251;
          if ("take" in each) out.push({ frame: takeFrame(each.take).fill(mark), mark });
          else if (out.length > 0) giveBack(out.splice(each.back % out.length, 1)[0]!.frame);
          for (const { frame, mark } of out) {
            assert.equal(frame[0] ?? mark, mark);
            assert.equal(frame.at(-1) ?? mark, mark);
          }
        }
        for (const { frame } of out) giveBack(frame);
      }),
      { numRuns: 100 },
    );
  });
});
