/**
 * From one sample rate to another by a windowed sinc: each output sample is a weighted mean of the input around its
 * moment; the weights are a low-pass under half of the lower rate, so nothing folds back (Kaiser window, 80 dB).
 *
 *     input   | | | | | | | | | |         48 kHz
 *     weights     . - ' ^ ' - .
 *     output  |     |     |     |         16 kHz
 */

/** Zero crossings of the sinc on each side, at the lower rate. */
const CROSSINGS = 32;
/** Middle of the transition, as a part of the lower rate; 0.455 leaves 0..6.5 kHz untouched at 16 kHz. */
const CUTOFF = 0.455;
const KAISER_BETA = 9;

export class Resampler {
  readonly #input: Float32Array;
  /** Reduced: `#up` output samples for `#down` input samples. */
  readonly #up: number;
  readonly #down: number;
  /** Input samples on each side of the moment. */
  readonly #reach: number;
  /** Weights by phase, made when first needed: the moments between two input samples repeat. */
  readonly #weights = new Map<number, Float64Array>();

  /** Samples there are after resampling. */
  readonly length: number;

  /** @param input one channel, full scale 32,768 */
  constructor(input: Float32Array, fromHz: number, toHz: number) {
    const divisor = greatestCommonDivisor(fromHz, toHz);
    this.#input = input;
    this.#up = toHz / divisor;
    this.#down = fromHz / divisor;
    this.#reach = Math.ceil(CROSSINGS * Math.max(1, this.#down / this.#up));
    this.length = Math.ceil((input.length * this.#up) / this.#down);
  }

  /** @returns samples first .. first + n - 1, silence behind the end; any part at any time */
  read(first: number, n: number): Int16Array {
    const samples = new Int16Array(n);
    for (let at = 0; at < n && first + at < this.length; at++) {
      samples[at] = Math.max(-32768, Math.min(32767, Math.round(this.#sample(first + at))));
    }
    return samples;
  }

  #sample(index: number): number {
    const moment = index * this.#down;
    const before = Math.floor(moment / this.#up);
    if (this.#up === this.#down) return this.#input[before]!;
    const weights = this.#weightsOf(moment % this.#up);
    let sum = 0;
    for (let tap = 0; tap < weights.length; tap++) {
      sum += weights[tap]! * (this.#input[before - this.#reach + 1 + tap] ?? 0);
    }
    return sum;
  }

  #weightsOf(phase: number): Float64Array {
    const known = this.#weights.get(phase);
    if (known) return known;
    const cutoff = CUTOFF * Math.min(1, this.#up / this.#down);
    const weights = Float64Array.from({ length: 2 * this.#reach }, (_, tap) => {
      const distance = tap - this.#reach + 1 - phase / this.#up;
      return sinc(2 * cutoff * distance) * kaiser(distance / this.#reach);
    });
    const sum = weights.reduce((total, weight) => total + weight, 0);
    const scaled = weights.map((weight) => weight / sum); // a constant stays that constant
    this.#weights.set(phase, scaled);
    return scaled;
  }
}

function sinc(x: number): number {
  return x === 0 ? 1 : Math.sin(Math.PI * x) / (Math.PI * x);
}

/** @param x -1..1, 0 outside */
function kaiser(x: number): number {
  return Math.abs(x) >= 1 ? 0 : besselI0(KAISER_BETA * Math.sqrt(1 - x * x)); // scaled with the weights
}

/** Modified Bessel function of the first kind, order 0, by its series. */
function besselI0(x: number): number {
  let sum = 1;
  for (let term = 1, k = 1; term > 1e-9 * sum; k++) {
    term *= (x / (2 * k)) ** 2;
    sum += term;
  }
  return sum;
}

function greatestCommonDivisor(a: number, b: number): number {
  return b === 0 ? a : greatestCommonDivisor(b, a % b);
}
