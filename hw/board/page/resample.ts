/**
 * From one sample rate to another, as the samples come: each output sample is a weighted mean of the input around its
 * moment, the weights a low-pass under half of the lower rate (windowed sinc, Hann).
 *
 *     input    | | | | | | | | |          kept: what a later output sample may still need
 *     weights      . - ^ - .
 *     output   |     |     |
 */

/** Zero crossings of the sinc on each side, at the lower rate. */
const CROSSINGS = 12;
/** End of the pass band, as a part of half of the lower rate. */
const PASS = 0.92;
/** Weights between two input samples; the nearest one is taken. */
const PHASES = 256;

export class StreamResampler {
  /** Input samples per output sample. */
  readonly #step: number;
  readonly #reach: number;
  readonly #weights: Float32Array;
  #kept: Float32Array;
  /** Moment of the next output sample, in input samples of `#kept`. */
  #moment: number;

  constructor(fromHz: number, toHz: number) {
    const cutoff = Math.min(1, toHz / fromHz) * PASS;
    this.#step = fromHz / toHz;
    this.#reach = Math.ceil(CROSSINGS / cutoff);
    this.#weights = Float32Array.from({ length: this.#reach * PHASES + 1 }, (_, at) => {
      const distance = at / PHASES;
      const turn = Math.PI * cutoff * distance;
      const sinc = distance === 0 ? 1 : Math.sin(turn) / turn;
      return cutoff * sinc * (0.5 + 0.5 * Math.cos((Math.PI * distance) / this.#reach));
    });
    // Silence before the first sample, so that it has a left side.
    this.#kept = new Float32Array(this.#reach);
    this.#moment = this.#reach;
  }

  /** Takes the next samples in. @returns what can be said with them; the newest few wait for their right side */
  push(samples: Float32Array): Float32Array {
    const input = new Float32Array(this.#kept.length + samples.length);
    input.set(this.#kept);
    input.set(samples, this.#kept.length);
    const last = input.length - this.#reach;
    const count = Math.max(0, Math.ceil((last - this.#moment) / this.#step));
    const output = new Float32Array(count);
    for (let at = 0; at < count; at++) output[at] = this.#sample(input, this.#moment + at * this.#step);
    this.#moment += count * this.#step;
    const used = Math.max(0, Math.floor(this.#moment) - this.#reach);
    this.#kept = input.slice(used);
    this.#moment -= used;
    return output;
  }

  #sample(input: Float32Array, moment: number): number {
    const first = Math.ceil(moment - this.#reach);
    const end = Math.min(input.length - 1, Math.floor(moment + this.#reach));
    let sum = 0;
    for (let at = Math.max(0, first); at <= end; at++) {
      sum += input[at]! * this.#weights[Math.round(Math.abs(at - moment) * PHASES)]!;
    }
    return sum;
  }
}
