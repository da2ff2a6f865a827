import assert from "node:assert/strict";
import { CAPACITY_PACKETS, JitterBuffer } from "@feldfon/voice/jitter-buffer";
import fc from "fast-check";

/** A frame that tells its index; never quiet. */
function frame(index: number): Int16Array {
  return new Int16Array(320).fill(1000 + index);
}

function indexOf(taken: Int16Array | undefined): number | undefined {
  return taken && taken[0]! - 1000;
}

function put(buffer: JitterBuffer, ...indexes: number[]): void {
  for (const index of indexes) buffer.put(index, frame(index));
}

function take(buffer: JitterBuffer, frames: number): (number | undefined)[] {
  return Array.from({ length: frames }, () => indexOf(buffer.take()));
}

describe("Jitter buffer", () => {
  it("waits for its depth, then plays in order", () => {
    const buffer = new JitterBuffer(3);
    put(buffer, 0, 1);
    assert.deepEqual(take(buffer, 2), [undefined, undefined]);
    put(buffer, 2);
    assert.deepEqual(take(buffer, 3), [0, 1, 2]);
    assert.equal(buffer.lost, 0);
  });

  it("puts in order what comes in any order", () => {
    const buffer = new JitterBuffer(4);
    put(buffer, 3, 1, 0, 2);
    assert.deepEqual(take(buffer, 4), [0, 1, 2, 3]);
    assert.equal(buffer.late, 0);
  });

  it("plays silence for a packet that is missing while later ones are there, and counts it", () => {
    const buffer = new JitterBuffer(3);
    put(buffer, 0, 2, 3);
    assert.deepEqual(take(buffer, 4), [0, undefined, 2, 3]);
    assert.equal(buffer.lost, 1);
  });

  it("calls late, not lost, what comes after its moment", () => {
    const buffer = new JitterBuffer(3);
    put(buffer, 0, 2, 3);
    take(buffer, 2);
    assert.equal(buffer.put(1, frame(1)), false);
    assert.equal(buffer.lost, 0);
    assert.equal(buffer.late, 1);
    assert.deepEqual(take(buffer, 2), [2, 3]);
  });

  it("does not count what came before it began as lost", () => {
    const buffer = new JitterBuffer(2);
    put(buffer, 5, 6);
    take(buffer, 1);
    assert.equal(buffer.put(4, frame(4)), false);
    assert.equal(buffer.lost, 0);
    assert.equal(buffer.late, 1);
  });

  it("waits when it runs empty: nothing of what comes late is cut off", () => {
    const buffer = new JitterBuffer(2);
    put(buffer, 0, 1);
    assert.deepEqual(take(buffer, 5), [0, 1, undefined, undefined, undefined]);
    put(buffer, 2, 3, 4);
    assert.deepEqual(take(buffer, 3), [2, 3, 4]);
    assert.equal(buffer.lost, 0);
    assert.equal(buffer.late, 0);
  });

  it("is as late after a hole in the wire as before it", () => {
    const buffer = new JitterBuffer(2);
    put(buffer, 0, 1);
    take(buffer, 2);
    // 2 .. 5 never come; 6 and 7 come when their time is, while the buffer has been empty for three frames.
    assert.deepEqual(take(buffer, 3), [undefined, undefined, undefined]);
    put(buffer, 6, 7);
    assert.deepEqual(take(buffer, 3), [undefined, 6, 7]);
    assert.equal(buffer.lost, 4);
  });

  it("skips to the present when far too much comes at once, and says what it let go", () => {
    const buffer = new JitterBuffer(2);
    put(buffer, 0, 1);
    assert.deepEqual(take(buffer, 1), [0]);
    put(buffer, 1 + CAPACITY_PACKETS);
    assert.deepEqual(take(buffer, 2), [undefined, 1 + CAPACITY_PACKETS]);
    assert.equal(buffer.late, 1, "1 was there");
    assert.equal(buffer.lost, CAPACITY_PACKETS - 1, "2 .. 50 were not");
  });

  it("leaves out a quiet frame when it has been too deep for ten seconds, and no other", () => {
    const buffer = new JitterBuffer(2);
    for (let index = 0; index < 10; index++) put(buffer, index);
    let next = 10;
    const loud: (number | undefined)[] = [];
    for (let n = 0; n < 600; n++) {
      loud.push(indexOf(buffer.take()));
      put(buffer, next++);
    }
    assert.deepEqual(
      loud,
      Array.from({ length: 600 }, (_, at) => at),
      "loud ones are all played",
    );
    const fillBefore = buffer.fill;
    buffer.put(next++, new Int16Array(320));
    for (let n = 0; n < 12; n++) {
      buffer.take();
      put(buffer, next++);
    }
    assert.equal(buffer.fill, fillBefore, "one came without being taken, one was left out");
    assert.equal(buffer.lost + buffer.late, 0);
  });

  it("never holds more than a second, loses nothing silently and plays nothing twice", () => {
    const step = fc.oneof(
      { weight: 3, arbitrary: fc.constant("take" as const) },
      { weight: 3, arbitrary: fc.integer({ min: -8, max: 8 }) },
      { weight: 1, arbitrary: fc.integer({ min: 40, max: 200 }) },
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 400 }), (steps) => {
        const buffer = new JitterBuffer(3);
        const came = new Set<number>();
        const played: number[] = [];
        let around = 20;
        for (const what of steps) {
          if (what === "take") {
            const index = indexOf(buffer.take());
            if (index !== undefined) played.push(index);
            around++;
          } else {
            const index = around + what;
            if (what >= 40) around = index;
            // The receiver behind the vault gives each index once.
            if (came.has(index) || index < 0) continue;
            came.add(index);
            buffer.put(index, frame(index));
          }
          assert.ok(buffer.fill <= CAPACITY_PACKETS);
          assert.equal(came.size, played.length + buffer.fill + buffer.late, "each packet is played, held or late");
        }
        assert.deepEqual(
          played,
          [...new Set(played)].sort((a, b) => a - b),
        );
        let missing = 0;
        for (let index = played[0] ?? 0; index < (played.at(-1) ?? 0); index++) if (!came.has(index)) missing++;
        assert.ok(buffer.lost >= missing, `${buffer.lost} counted, ${missing} missing`);
      }),
      { numRuns: 300 },
    );
  });
});
