import assert from "node:assert/strict";
import type { Tone } from "@feldfon/voice/port";
import { toneLengthSamples, toneSamples } from "@feldfon/voice/tones";
import fc from "fast-check";
import { largest, largestStep, peakAt } from "./signals.ts";

const RATE_HZ = 16_000;
/** Highest fundamental, and how often the notes come. */
const scores: Record<Exclude<Tone, "none">, { hz: number; endsMs: number }> = {
  pips: { hz: 425, endsMs: Number.POSITIVE_INFINITY },
  ringback: { hz: 425, endsMs: Number.POSITIVE_INFINITY },
  ring: { hz: 988, endsMs: Number.POSITIVE_INFINITY },
  busy: { hz: 425, endsMs: Number.POSITIVE_INFINITY },
  congestion: { hz: 425, endsMs: Number.POSITIVE_INFINITY },
  unobtainable: { hz: 1800, endsMs: 3980 },
  declined: { hz: 520, endsMs: 2200 },
  silent: { hz: 425, endsMs: 1500 },
  offline: { hz: 330, endsMs: 2400 },
  self: { hz: 660, endsMs: 480 },
  lost: { hz: 400, endsMs: 1440 },
  ended: { hz: 660, endsMs: 540 },
  alarm: { hz: 300, endsMs: 1350 },
  click: { hz: 1000, endsMs: 40 },
  refused: { hz: 260, endsMs: 480 },
};
const tones = Object.keys(scores) as Exclude<Tone, "none">[];
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
    congestion: [240, 240, 240, 240],
  };
  for (const [tone, expected] of Object.entries(cadences)) {
    it(`${tone} sounds and pauses for ${expected.slice(0, 2).join(" and ")} ms, over and over`, () => {
      const total = expected.reduce((sum, run) => sum + run, 0);
      assert.deepEqual(cadence(toneSamples(tone as Tone, RATE_HZ, 0, ms(total))), expected);
      assert.equal(toneLengthSamples(tone as Tone, RATE_HZ), Number.POSITIVE_INFINITY);
    });
  }

  for (const tone of ["pips", "ringback", "busy", "congestion"] as const) {
    it(`${tone} is 425 Hz and nothing else`, () => {
      const inside = toneSamples(tone, RATE_HZ, ms(10), ms(40));
      const wanted = peakAt(425, inside, RATE_HZ);
      assert.ok(wanted > 2000 && wanted < 4100, `${wanted}`);
      for (const other of [350, 500, 850, 1275]) {
        assert.ok(peakAt(other, inside, RATE_HZ) < wanted / 8, `${other} Hz`);
      }
    });
  }

  for (const [tone, { endsMs }] of Object.entries(scores)) {
    if (endsMs === Number.POSITIVE_INFINITY) continue;
    it(`${tone} is over after ${endsMs} ms and then is silent for good`, () => {
      assert.equal(toneLengthSamples(tone as Tone, RATE_HZ), ms(endsMs));
      assert.equal(largest(toneSamples(tone as Tone, RATE_HZ, ms(endsMs), ms(5000))), 0);
    });
  }

  for (const [tone, notes] of [
    [
      "unobtainable",
      [
        [0, 330, 950],
        [330, 330, 1400],
        [660, 330, 1800],
        [1990, 330, 950],
      ],
    ],
    [
      "declined",
      [
        [0, 180, 520],
        [240, 360, 390],
        [1100, 180, 520],
      ],
    ],
    [
      "silent",
      [
        [0, 800, 425],
        [900, 500, 340],
      ],
    ],
    [
      "offline",
      [
        [0, 100, 330],
        [200, 100, 330],
        [400, 100, 330],
        [1200, 100, 330],
      ],
    ],
    [
      "self",
      [
        [0, 120, 520],
        [160, 120, 660],
        [320, 120, 520],
      ],
    ],
    [
      "lost",
      [
        [0, 600, 400],
        [720, 600, 300],
      ],
    ],
  ] as const) {
    it(`${tone} plays ${notes.map(([, , hz]) => hz).join(", ")} Hz, each in its time`, () => {
      for (const [from, length, hz] of notes) {
        const note = toneSamples(tone, RATE_HZ, ms(from), ms(length));
        assert.ok(peakAt(hz, note, RATE_HZ) > 3000, `${hz} Hz at ${from} ms: ${peakAt(hz, note, RATE_HZ)}`);
      }
    });
  }

  it("of all ends of a call differ in rhythm, not in pitch alone", () => {
    const ends = [
      "busy",
      "congestion",
      "unobtainable",
      "declined",
      "silent",
      "offline",
      "self",
      "lost",
      "ended",
    ] as const;
    const rhythms = ends.map((tone) => {
      // As loud or not in each hundredth of a second.
      const samples = toneSamples(tone, RATE_HZ, 0, ms(4000));
      return Array.from({ length: 400 }, (_, i) => largest(samples.subarray(ms(10 * i), ms(10 * i + 10))) > 400);
    });
    for (const [i, one] of rhythms.entries()) {
      for (const [j, other] of rhythms.slice(i + 1).entries()) {
        const differing = one.filter((loud, at) => loud !== other[at]).length;
        assert.ok(differing >= 15, `${ends[i]} and ${ends[i + 1 + j]}: ${differing} of 400`);
      }
    }
  });

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
      const { hz } = scores[tone];
      const steepness = { ring: 0.6 + 2 * 0.25 + 3 * 0.15, alarm: 0.7 + 2 * 0.3 }[tone as string] ?? 1;
      const peak = { ring: 16_422, pips: 2283 }[tone as string] ?? 4059;
      const steepest = (2 * Math.PI * hz * steepness * peak) / RATE_HZ;
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
