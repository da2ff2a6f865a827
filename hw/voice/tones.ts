/**
 * What a handset sounds like when nobody speaks, as a pure function of time.
 *
 *     amplitude        .-------.           raised cosine of 8 ms at both edges, each note from phase 0: no clicks
 *               ------'         '------
 *                on           off          counted in samples, not in timers
 *
 * German tones: 425 Hz (ITU-T E.180; research/screen.md 5). At the ear, so quieter than a voice; the ring is not.
 */
import type { Tone } from "./port.ts";

interface Note {
  hz: number;
  onMs: number;
  offMs: number;
}

interface Score {
  notes: readonly Note[];
  /** How often the notes are played. */
  rounds: number;
  /** Largest sample, of 32,767. */
  peak: number;
  /** Strength of the fundamental and its harmonics, adding up to 1. */
  partials: readonly number[];
  /** Loudness of the first rounds, then full. */
  rise: readonly number[];
}

const EDGE_MS = 8;
const EAR_PEAK = 4059; // -18 dBFS
const SOFT_PEAK = 2283; // -23 dBFS
const RING_PEAK = 16_422; // -6 dBFS
const PURE = [1];
const FOREVER = Number.POSITIVE_INFINITY;

const scores: Readonly<Record<Exclude<Tone, "none">, Score>> = {
  // On the way, before the other end rings: no ringback yet.
  pips: { notes: [{ hz: 425, onMs: 60, offMs: 940 }], rounds: FOREVER, peak: SOFT_PEAK, partials: PURE, rise: [] },
  ringback: {
    notes: [{ hz: 425, onMs: 1000, offMs: 4000 }],
    rounds: FOREVER,
    peak: EAR_PEAK,
    partials: PURE,
    rise: [],
  },
  busy: { notes: [{ hz: 425, onMs: 480, offMs: 480 }], rounds: FOREVER, peak: EAR_PEAK, partials: PURE, rise: [] },
  // Every way is taken: twice as fast as busy.
  congestion: {
    notes: [{ hz: 425, onMs: 240, offMs: 240 }],
    rounds: FOREVER,
    peak: EAR_PEAK,
    partials: PURE,
    rise: [],
  },
  // ITU-T E.180's special information tone: nobody has this number.
  unobtainable: { notes: rests([950, 1400, 1800], 330, 0, 1000), rounds: 2, peak: EAR_PEAK, partials: PURE, rise: [] },
  // Short and long, down: a person said no.
  declined: {
    notes: [...steps([520], 180, 60), { hz: 390, onMs: 360, offMs: 500 }],
    rounds: 2,
    peak: EAR_PEAK,
    partials: PURE,
    rise: [],
  },
  // The ringing sinks: nobody came.
  silent: {
    notes: [...steps([425], 800, 100), { hz: 340, onMs: 500, offMs: 100 }],
    rounds: 1,
    peak: EAR_PEAK,
    partials: PURE,
    rise: [],
  },
  // Three knocks at a door with nobody behind it.
  offline: { notes: rests([330, 330, 330], 100, 100, 700), rounds: 2, peak: EAR_PEAK, partials: PURE, rise: [] },
  // There and back again.
  self: { notes: steps([520, 660, 520], 120, 40), rounds: 1, peak: EAR_PEAK, partials: PURE, rise: [] },
  // Long, and lower: it broke off.
  lost: { notes: steps([400, 300], 600, 120), rounds: 1, peak: EAR_PEAK, partials: PURE, rise: [] },
  // Falling: the other side has hung up.
  ended: { notes: steps([660, 520, 400], 160, 20), rounds: 1, peak: EAR_PEAK, partials: PURE, rise: [] },
  // Three low ones: stop and read the screen.
  alarm: { notes: steps([300, 300, 300], 300, 150), rounds: 1, peak: EAR_PEAK, partials: [0.7, 0.3], rise: [] },
  // A key that does nothing now.
  click: { notes: [{ hz: 1000, onMs: 20, offMs: 20 }], rounds: 1, peak: SOFT_PEAK, partials: PURE, rise: [] },
  // Low, twice: what was typed did not do.
  refused: { notes: steps([260, 260], 150, 90), rounds: 1, peak: EAR_PEAK, partials: PURE, rise: [] },
  // Two notes in turn, with harmonics for small speakers and old ears; louder with each ring.
  ring: {
    notes: [...steps([784, 988, 784, 988, 784, 988, 784], 125, 0), { hz: 988, onMs: 125, offMs: 3000 }],
    rounds: FOREVER,
    peak: RING_PEAK,
    partials: [0.6, 0.25, 0.15],
    rise: [0.25, 0.5],
  },
};

/**
 * @param first samples since the tone began
 * @param n samples wanted
 */
export function toneSamples(tone: Tone, sampleRateHz: number, first: number, n: number): Int16Array {
  const samples = new Int16Array(n);
  if (tone === "none") return samples;
  const score = scores[tone];
  const notes = inSamples(score.notes, sampleRateHz);
  const roundSamples = notes.reduce((sum, { on, off }) => sum + on + off, 0);
  for (let at = 0; at < n; at++) {
    const round = Math.floor((first + at) / roundSamples);
    if (round >= score.rounds) break;
    const gain = score.peak * (score.rise[round] ?? 1);
    samples[at] = Math.round(gain * amplitude(notes, (first + at) % roundSamples, score.partials, sampleRateHz));
  }
  return samples;
}

/** Samples until a tone ends by itself, Infinity if it does not. */
export function toneLengthSamples(tone: Tone, sampleRateHz: number): number {
  if (tone === "none") return 0;
  const { notes, rounds } = scores[tone];
  return rounds * inSamples(notes, sampleRateHz).reduce((sum, { on, off }) => sum + on + off, 0);
}

interface SampledNote {
  hz: number;
  on: number;
  off: number;
}

function inSamples(notes: readonly Note[], sampleRateHz: number): SampledNote[] {
  const samples = (ms: number) => Math.round((ms * sampleRateHz) / 1000);
  return notes.map(({ hz, onMs, offMs }) => ({ hz, on: samples(onMs), off: samples(offMs) }));
}

/** -1..1 at one moment of a round. */
function amplitude(notes: SampledNote[], moment: number, partials: readonly number[], sampleRateHz: number): number {
  let at = moment;
  for (const { hz, on, off } of notes) {
    if (at < on) {
      const edge = Math.min(1, Math.min(at, on - 1 - at) / ((EDGE_MS * sampleRateHz) / 1000));
      const phase = (2 * Math.PI * hz * at) / sampleRateHz;
      const wave = partials.reduce((sum, strength, harmonic) => sum + strength * Math.sin((harmonic + 1) * phase), 0);
      return (wave * (1 - Math.cos(Math.PI * edge))) / 2;
    }
    at -= on + off;
    if (at < 0) return 0;
  }
  return 0;
}

function steps(hz: readonly number[], onMs: number, offMs: number): Note[] {
  return hz.map((each) => ({ hz: each, onMs, offMs }));
}

/** The same, with another pause behind the last. */
function rests(hz: readonly number[], onMs: number, offMs: number, lastMs: number): Note[] {
  return steps(hz, onMs, offMs).map((note, i) => (i === hz.length - 1 ? { ...note, offMs: lastMs } : note));
}
