import assert from "node:assert/strict";
import { RisingCounter, StreamCounter } from "@feldfon/protocol/counters";
import fc from "fast-check";

const badCounter = { name: "ProtocolError", code: "bad-counter" };
const numbers = fc.array(fc.integer({ min: -3, max: 12 }), { maxLength: 60 });

describe("a stream's counter", () => {
  it("takes 0, 1, 2 .. and nothing else", () => {
    fc.assert(
      fc.property(numbers, (numbers) => {
        const counter = new StreamCounter();
        let next = 0;
        for (const number of numbers) {
          if (number === next) {
            counter.advance(number);
            next++;
          } else {
            assert.throws(() => counter.advance(number), badCounter);
          }
          assert.equal(counter.next, next);
        }
      }),
    );
  });

  it("says which number came and which was expected", () => {
    const counter = new StreamCounter();
    counter.advance(0);
    assert.throws(() => counter.advance(0), { ...badCounter, message: "counter 0 came, 1 was expected" });
    assert.throws(() => counter.advance(Number.NaN), badCounter);
  });
});

describe("a rising counter", () => {
  it("takes a number above all earlier ones and refuses every other", () => {
    fc.assert(
      fc.property(numbers, (numbers) => {
        const counter = new RisingCounter();
        let highest = -1;
        for (const number of numbers) {
          assert.equal(counter.accept(number), number > highest);
          highest = Math.max(highest, number);
        }
      }),
    );
  });

  it("may begin behind a number that was used before", () => {
    const counter = new RisingCounter(7);
    assert.equal(counter.accept(7), false);
    assert.equal(counter.accept(8), true);
  });

  it("is not led astray by what is no number", () => {
    const counter = new RisingCounter(7);
    assert.equal(counter.accept(Number.NaN), false);
    assert.equal(counter.accept(3), false);
  });
});
