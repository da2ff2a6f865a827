import assert from "node:assert/strict";
import type { Tone } from "@feldfon/voice/port";
import { toneLengthSamples, toneSamples } from "@feldfon/voice/tones";
import fc from "fast-check";
import { largest, largestStep, peakAt } from "./signals.ts";

const RATE_HZ = 16_000;
const tones: Tone[] = ["pips", "ringback", "ring", "busy", "ended", "alarm"];
const ms = (count: number) => (count * RATE_HZ) / 1000;

/** Runs of sound and of silence (at least 20 ms of it), in ms. */
function cadence(samples: Int16Array): number[] {
  const runs: number[] = [];
  const blockSamples = ms(10);
  let sounding = true;
  let run = 0;
  for (let at = 0; at < samples.length; at += blockSamples) {
    const loud = largest(samples.subarray(at, at + blockSamples)) > 50;
    if (loud !== sounding) {
      runs.push(run);
      run = 0;
      sounding = loud;
    }
    run += 10;
  }
  return [...runs, run];
}

describe("Tones", () => {
  const cadences: Partial<Record<Tone, number[]>> = {
    pips: [60, 940, 60, 940],
    ringback: [1000, 4000, 1000, 4000],
    busy: [480, 480, 480, 480],
    ring: [1000, 3000, 1000, 3000],
  };
  for (const [tone, expected] of Object.entries(cadences)) {
    it(`${tone} sounds and pauses for ${expected.slice(0, 2).join(" and ")} ms, over and over`, () => {
      const total = expected.reduce((sum, run) => sum + run, 0);
      assert.deepEqual(cadence(toneSamples(tone as Tone, RATE_HZ, 0, ms(total))), expected);
      assert.equal(toneLengthSamples(tone as Tone, RATE_HZ), Number.POSITIVE_INFINITY);
    });
  }

  for (const tone of ["pips", "ringback", "busy"] as const) {
    it(`${tone} is 425 Hz and nothing else`, () => {
      const inside = toneSamples(tone, RATE_HZ, ms(10), ms(40));
      const wanted = peakAt(425, inside, RATE_HZ);
      assert.ok(wanted > 2000 && wanted < 4100, `${wanted}`);
      for (const other of [350, 500, 850, 1275]) {
        assert.ok(peakAt(other, inside, RATE_HZ) < wanted / 8, `${other} Hz`);
      }
    });
  }

  it("ended falls, once, and then is silent for good", () => {
    const note = (n: number) => toneSamples("ended", RATE_HZ, ms(180 * n), ms(160));
    const heard = [0, 1, 2].map((n) => [660, 520, 400].find((hz) => peakAt(hz, note(n), RATE_HZ) > 3000));
    assert.deepEqual(heard, [660, 520, 400]);
    assert.equal(toneLengthSamples("ended", RATE_HZ), ms(540));
    assert.equal(largest(toneSamples("ended", RATE_HZ, ms(540), ms(5000))), 0);
  });

  it("alarm is three low notes, once", () => {
    const notes = cadence(toneSamples("alarm", RATE_HZ, 0, ms(2000)));
    assert.deepEqual(notes, [300, 150, 300, 150, 300, 800]);
    assert.ok(peakAt(300, toneSamples("alarm", RATE_HZ, 0, ms(300)), RATE_HZ) > 2000);
  });

  it("ring changes between two notes and has harmonics for small speakers", () => {
    const third = 2 * ms(4000);
    const note = (n: number) => toneSamples("ring", RATE_HZ, third + ms(125 * n), ms(125));
    for (const [n, hz] of [784, 988, 784, 988].entries()) {
      const fundamental = peakAt(hz, note(n), RATE_HZ);
      assert.ok(fundamental > 7000, `note ${n} at ${hz} Hz: ${fundamental}`);
      assert.ok(peakAt(2 * hz, note(n), RATE_HZ) > fundamental / 4, `octave of note ${n}`);
    }
  });

  it("ring grows over its first three rounds, then stays", () => {
    const rounds = [0, 1, 2, 3].map((round) => largest(toneSamples("ring", RATE_HZ, round * ms(4000), ms(1000))));
    assert.ok(Math.abs(rounds[0]! / rounds[2]! - 0.25) < 0.01);
    assert.ok(Math.abs(rounds[1]! / rounds[2]! - 0.5) < 0.01);
    assert.equal(rounds[3], rounds[2]);
  });

  for (const tone of tones) {
    it(`${tone} never clicks: no step is larger than its own waves are steep`, () => {
      const samples = toneSamples(tone, RATE_HZ, 0, ms(10_000));
      // Steepest: the fundamental with its harmonics, all rising at once.
      const [hz, steepness] = { ring: [988, 0.6 + 2 * 0.25 + 3 * 0.15], alarm: [300, 0.7 + 2 * 0.3] }[
        tone as string
      ] ?? [tone === "ended" ? 660 : 425, 1];
      const peak = { ring: 16_422, pips: 2283 }[tone as string] ?? 4059;
      const steepest = (2 * Math.PI * hz! * steepness! * peak) / RATE_HZ;
      assert.ok(largestStep(samples) <= steepest + 2, `${largestStep(samples)} of ${steepest}`);
      assert.ok(largestStep(samples) > steepest / 2);
    });
  }

  it("are the same whether they are made at once or in pieces", () => {
    fc.assert(
      fc.property(fc.constantFrom(...tones), fc.nat(100_000), fc.integer({ min: 1, max: 700 }), (tone, first, n) => {
        const whole = toneSamples(tone, RATE_HZ, first, 2 * n);
        assert.deepEqual(whole.subarray(n), toneSamples(tone, RATE_HZ, first + n, n));
      }),
      { numRuns: 50 },
    );
  });

  it("last as long at any sample rate", () => {
    assert.equal(toneLengthSamples("ended", 48_000), 3 * toneLengthSamples("ended", RATE_HZ));
    assert.ok(peakAt(425, toneSamples("busy", 48_000, 480, 1920), 48_000) > 3000);
  });

  it("none is silence that is over at once", () => {
    assert.equal(largest(toneSamples("none", RATE_HZ, 0, 1000)), 0);
    assert.equal(toneLengthSamples("none", RATE_HZ), 0);
  });
});
