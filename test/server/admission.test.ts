import assert from "node:assert/strict";
import {
  ADMISSION_LIMITS,
  Admission,
  addressBlock,
  type Place,
  requestBucket,
  TokenBucket,
} from "@feldfon/server/admission";
import fc from "fast-check";

/** The n-th of very many different addresses. */
const address = (n: number) => `10.${(n >> 16) & 255}.${(n >> 8) & 255}.${n & 255}`;

describe("Admission: lines that are half open", () => {
  it("has 1,024 places, and 16 for one address", () => {
    assert.equal(ADMISSION_LIMITS.halfOpen, 1_024);
    assert.equal(ADMISSION_LIMITS.halfOpenPerAddress, 16);
    const admission = new Admission();
    for (let n = 0; n < 16; n++) assert.ok(admission.arrive("192.0.2.1"));
    assert.equal(admission.arrive("192.0.2.1"), undefined);
    for (let n = 16; n < 1_024; n++) assert.ok(admission.arrive(address(n)));
    assert.equal(admission.arrive("192.0.2.2"), undefined);
    assert.equal(admission.halfOpen, 1_024);
  });

  it("gives a place back when its line proves itself or goes, once", () => {
    const admission = new Admission({ halfOpen: 2, halfOpenPerAddress: 2 });
    const first = admission.arrive("192.0.2.1")!;
    const second = admission.arrive("192.0.2.1")!;
    assert.equal(admission.arrive("192.0.2.1"), undefined);
    admission.prove(first);
    admission.prove(first);
    assert.deepEqual([admission.halfOpen, admission.proven], [1, 1]);
    const third = admission.arrive("192.0.2.1")!;
    admission.leave(second);
    admission.leave(second);
    admission.prove(second); // a proof that comes too late makes no line
    assert.deepEqual([admission.halfOpen, admission.proven], [1, 1]);
    admission.leave(first);
    admission.leave(third);
    assert.deepEqual([admission.halfOpen, admission.proven], [0, 0]);
  });

  it("counts a whole /64 of IPv6 as one, and IPv4 as itself however it is written", () => {
    for (const [text, block] of [
      ["192.0.2.1", "192.0.2.1"],
      ["::ffff:192.0.2.1", "192.0.2.1"],
      ["2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"],
      ["2001:0db8:0001:0002::9", "2001:db8:1:2::/64"],
      ["2001:db8::1", "2001:db8:0:0::/64"],
      ["2001:db8:1::", "2001:db8:1:0::/64"],
      ["::1", "0:0:0:0::/64"],
      ["fe80::1%eth0", "fe80:0:0:0::/64"],
      ["64:ff9b::192.0.2.33", "64:ff9b:0:0::/64"],
      ["", ""],
    ] as const) {
      assert.equal(addressBlock(text), block, text);
    }
    const admission = new Admission({ halfOpenPerAddress: 1 });
    assert.ok(admission.arrive("2001:db8::1"));
    assert.equal(admission.arrive("2001:db8::2"), undefined);
    assert.ok(admission.arrive(undefined), "a socket that lost its address counts as one of those");
    assert.equal(admission.arrive(undefined), undefined);
  });
});

describe("Admission: under load", () => {
  const limits = { halfOpen: 100, load: 3, hellosPerS: 2, helloBurst: 2, halfOpenPerAddress: 50 };

  it("asks nobody for patience as long as there is none", () => {
    const admission = new Admission({ ...limits, load: 60 });
    for (let n = 0; n < 50; n++) {
      const place = admission.arrive("192.0.2.1")!;
      assert.equal(admission.hello(place, 0), undefined);
    }
    assert.equal(admission.buckets, 0, "nothing is remembered");
  });

  it("tells an address that asks too often when to come again, and no other", () => {
    const admission = new Admission(limits);
    const pushy = [0, 1, 2, 3].map(() => admission.arrive("192.0.2.1")!);
    const modest = admission.arrive("192.0.2.2")!;
    assert.deepEqual(
      pushy.map((place) => admission.hello(place, 0)),
      [undefined, undefined, { retryAfterS: 1 }, { retryAfterS: 1 }],
    );
    assert.equal(admission.hello(modest, 0), undefined);
    assert.equal(admission.hello(pushy[2]!, 500), undefined, "half a second later there is one token");
    assert.deepEqual(admission.hello(pushy[3]!, 500), { retryAfterS: 1 });
  });

  it("has no place for more handsets than it was told", () => {
    const admission = new Admission({ lines: 1 });
    const first = admission.arrive("192.0.2.1")!;
    const second = admission.arrive("192.0.2.2")!;
    assert.equal(admission.hello(first, 0), undefined);
    admission.prove(first);
    assert.deepEqual(admission.hello(second, 0), { retryAfterS: 30 });
    admission.leave(first);
    assert.equal(admission.hello(second, 0), undefined);
  });

  it("remembers a bounded number of addresses, and forgets those that have been quiet", () => {
    const admission = new Admission({ ...limits, load: 0 });
    for (let n = 0; n < 10_000; n++) {
      const place = admission.arrive(address(n))!;
      admission.hello(place, 0);
      admission.leave(place);
    }
    assert.equal(admission.buckets, 4_096);
    const later = admission.arrive("192.0.2.1")!;
    admission.hello(later, 60_000);
    assert.equal(admission.buckets, 1);
  });
});

describe("Token bucket", () => {
  it("lets nobody have more than its burst and its rate, whatever the clock does", () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: -5_000, max: 5_000 }), { maxLength: 100 }), (stepsMs) => {
        const bucket = new TokenBucket(2, 5);
        let nowMs = 0;
        let forwardMs = 0;
        let taken = 0;
        for (const stepMs of stepsMs) {
          nowMs += stepMs;
          forwardMs += Math.max(0, stepMs);
          const waitMs = bucket.take(nowMs);
          if (waitMs === 0) taken++;
          assert.ok(taken <= 5 + (forwardMs / 1_000) * 2 + 1e-9);
          assert.ok(waitMs >= 0 && waitMs <= 500);
        }
      }),
    );
  });

  it("has a token when it said there would be one", () => {
    const bucket = new TokenBucket(3, 1);
    assert.equal(bucket.take(0), 0);
    const waitMs = bucket.take(0);
    assert.ok(bucket.take(waitMs - 1) > 0);
    assert.equal(bucket.take(waitMs), 0);
  });

  it("lets a proven handset ask at most 120 times in any minute, and a busy one all it needs (row 003-46)", () => {
    const bucket = requestBucket();
    const grantedMs: number[] = [];
    for (let nowMs = 0; nowMs < 300_000; nowMs += 50) if (bucket.take(nowMs) === 0) grantedMs.push(nowMs);
    for (const fromMs of grantedMs) {
      const inMinute = grantedMs.filter((ms) => ms >= fromMs && ms < fromMs + 60_000).length;
      assert.ok(inMinute <= 120, `${inMinute} from ${fromMs} on`);
    }
    // Four calls of 15 signals within a minute, a ping every 20 s, an update and a snapshot.
    const busy = requestBucket();
    for (let nowMs = 0; nowMs < 60_000; nowMs += 20_000) assert.equal(busy.take(nowMs), 0);
    for (let call = 0; call < 4; call++)
      for (let signal = 0; signal < 15; signal++) assert.equal(busy.take(60_000 + call * 15_000), 0);
    for (let n = 0; n < 3; n++) assert.equal(busy.take(120_000), 0);
  });
});

describe("Admission: any crowd", () => {
  it("never holds more lines than its limits, and none when all have gone", () => {
    const step = fc.record({
      do: fc.constantFrom("arrive", "arrive", "prove", "leave"),
      who: fc.nat(7),
      pick: fc.nat(100),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
        const admission = new Admission({ halfOpen: 10, halfOpenPerAddress: 3 });
        const places: Place[] = [];
        const half = new Set<Place>();
        for (const { do: what, who, pick } of steps) {
          const place = places[pick % Math.max(1, places.length)];
          if (what === "arrive") {
            const ofWho = [...half].filter((one) => one.block === address(who)).length;
            const arrived = admission.arrive(address(who));
            assert.equal(arrived !== undefined, half.size < 10 && ofWho < 3);
            if (arrived) half.add(arrived);
            if (arrived) places.push(arrived);
          } else if (place) {
            admission[what as "prove" | "leave"](place);
            half.delete(place);
          }
          assert.equal(admission.halfOpen, half.size);
        }
        for (const place of places) admission.leave(place);
        assert.deepEqual([admission.halfOpen, admission.proven], [0, 0]);
        assert.ok(admission.arrive(address(0)));
      }),
    );
  });
});
