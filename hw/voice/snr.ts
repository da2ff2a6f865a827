/**
 * Was what was heard what was said? Both at one sample rate; said is looked for anywhere in heard.
 *
 *     said            |-------|
 *     heard   ~~~~~~~~|-------|~~~~~       delay: where they fit best, by cross-correlation
 */

export interface Comparison {
  /** Does it fit anywhere at all? Correlation of at least one half. */
  found: boolean;
  /** Place in `heard` where what was said begins; negative when the beginning is missing. */
  delaySamples: number;
  /** 10 log10(said / difference) in power, at most 99; 99 is sample for sample the same. */
  snrDb: number;
}

const FOUND_CORRELATION = 0.5;
const BEST_SNR_DB = 99;
/** Of the mean power. */
const SILENT_SHARE = 0.05;

/** A missing part counts as silence that was heard. */
export function compareVoice(said: Int16Array, heard: Int16Array): Comparison {
  const saidEnergy = energy(said);
  const { delaySamples, correlation } = bestFit(said, heard, saidEnergy);
  let difference = 0;
  said.forEach((sample, at) => {
    difference += (sample - (heard[at + delaySamples] ?? 0)) ** 2;
  });
  const snrDb = difference === 0 ? BEST_SNR_DB : Math.min(BEST_SNR_DB, 10 * Math.log10(saidEnergy / difference));
  const found = correlation >= FOUND_CORRELATION;
  return { found, delaySamples: found ? delaySamples : 0, snrDb: found ? snrDb : 0 };
}

/**
 * The same piece by piece, each wherever it fits: a machine that stands still for a moment shifts all that comes behind
 * it, and spoils one piece and no more.
 *
 * @returns the (lower) median of the SNR of the pieces in dB; pieces that are nearly silent do not count
 */
export function compareVoicePieces(said: Int16Array, heard: Int16Array, pieceSamples: number): number {
  const least = (SILENT_SHARE * energy(said) * pieceSamples) / said.length;
  const snrDb: number[] = [];
  for (let at = 0; at + pieceSamples <= said.length; at += pieceSamples) {
    const piece = said.subarray(at, at + pieceSamples);
    if (energy(piece) >= least) snrDb.push(compareVoice(piece, heard).snrDb);
  }
  return snrDb.sort((a, b) => a - b)[(snrDb.length - 1) >> 1] ?? 0;
}

function energy(samples: Int16Array): number {
  return samples.reduce((sum, sample) => sum + sample * sample, 0);
}

/** Correlation is -1..1, against the energy of the part of `heard` under `said`. */
function bestFit(
  said: Int16Array,
  heard: Int16Array,
  saidEnergy: number,
): { delaySamples: number; correlation: number } {
  const products = crossCorrelation(said, heard);
  let best = { delaySamples: 0, correlation: 0 };
  let heardEnergy = 0;
  for (let delay = 1 - said.length; delay < heard.length; delay++) {
    // The window slides by one sample: one enters, one leaves.
    heardEnergy += (heard[delay + said.length - 1] ?? 0) ** 2 - (heard[delay - 1] ?? 0) ** 2;
    const scale = Math.sqrt(saidEnergy * heardEnergy);
    const correlation = scale === 0 ? 0 : products(delay) / scale;
    if (correlation > best.correlation) best = { delaySamples: delay, correlation };
  }
  return best;
}

/** Sum of said[n] * heard[n + delay] for all delays at once, through the frequency domain. */
function crossCorrelation(said: Int16Array, heard: Int16Array): (delay: number) => number {
  let size = 1;
  while (size < said.length + heard.length) size *= 2;
  const a = { re: new Float64Array(size), im: new Float64Array(size) };
  const b = { re: new Float64Array(size), im: new Float64Array(size) };
  a.re.set(said);
  b.re.set(heard);
  transform(a);
  transform(b);
  for (let k = 0; k < size; k++) {
    // conj(a) * b; conjugated once more, so that the same transform leads back.
    const re = a.re[k]! * b.re[k]! + a.im[k]! * b.im[k]!;
    const im = a.re[k]! * b.im[k]! - a.im[k]! * b.re[k]!;
    a.re[k] = re;
    a.im[k] = -im;
  }
  transform(a);
  return (delay) => a.re[(delay + size) % size]! / size;
}

interface Complex {
  re: Float64Array;
  im: Float64Array;
}

/** Fast Fourier transform in place (Cooley and Tukey, radix 2). @param x a power of two long */
function transform({ re, im }: Complex): void {
  const size = re.length;
  for (let at = 1, mirrored = 0; at < size; at++) {
    let bit = size >> 1;
    for (; mirrored & bit; bit >>= 1) mirrored ^= bit;
    mirrored ^= bit;
    if (at < mirrored) {
      [re[at], re[mirrored]] = [re[mirrored]!, re[at]!];
      [im[at], im[mirrored]] = [im[mirrored]!, im[at]!];
    }
  }
  for (let half = 1; half < size; half *= 2) {
    for (let k = 0; k < half; k++) {
      const cos = Math.cos((-Math.PI * k) / half);
      const sin = Math.sin((-Math.PI * k) / half);
      for (let even = k; even < size; even += 2 * half) {
        const odd = even + half;
        const oddRe = re[odd]! * cos - im[odd]! * sin;
        const oddIm = re[odd]! * sin + im[odd]! * cos;
        re[odd] = re[even]! - oddRe;
        im[odd] = im[even]! - oddIm;
        re[even] = re[even]! + oddRe;
        im[even] = im[even]! + oddIm;
      }
    }
  }
}
