/**
 * Two nodes of the browser's sound thread: `feldfon-capture` makes frames of 20 ms at 16 kHz of whatever is connected
 * to it, `feldfon-playback` plays such frames. Neither waits: playback starts 60 ms behind the first frame and says
 * silence when nothing came.
 */
import { StreamResampler } from "./resample.ts";
import { FRAME_RATE_HZ, FRAME_SAMPLES } from "./wire.ts";

declare const sampleRate: number;
declare function registerProcessor(name: string, processor: unknown): void;
declare class AudioWorkletProcessor {
  readonly port: MessagePort;
}

const AHEAD_S = 0.06;
/** Later than this is dropped down to AHEAD_S again: the two clocks differ, and a tab may have slept. */
const MOST_AHEAD_S = 0.24;

class Capture extends AudioWorkletProcessor {
  readonly #resampler = new StreamResampler(sampleRate, FRAME_RATE_HZ);
  readonly #frame = new Int16Array(FRAME_SAMPLES);
  #filled = 0;

  process([input]: Float32Array[][]): boolean {
    const samples = input?.[0];
    if (samples) for (const sample of this.#resampler.push(samples)) this.#put(sample);
    return true;
  }

  #put(sample: number): void {
    this.#frame[this.#filled++] = Math.max(-32768, Math.min(32767, Math.round(sample * 32768)));
    if (this.#filled < FRAME_SAMPLES) return;
    this.#filled = 0;
    this.port.postMessage(this.#frame.slice());
  }
}

class Playback extends AudioWorkletProcessor {
  readonly #resampler = new StreamResampler(FRAME_RATE_HZ, sampleRate);
  readonly #ring = new Float32Array(Math.ceil(sampleRate / 2));
  /** Samples put in and taken out so far. */
  #put = 0;
  #taken = 0;
  #running = false;

  constructor() {
    super();
    this.port.onmessage = ({ data }) => this.#take(data as Int16Array);
  }

  process(_inputs: Float32Array[][], [output]: Float32Array[][]): boolean {
    const samples = output?.[0];
    if (!samples || !this.#running) return true;
    if (this.#put - this.#taken < samples.length) {
      // Run dry: what is left comes with the next frames.
      this.#running = false;
      return true;
    }
    for (let at = 0; at < samples.length; at++) samples[at] = this.#ring[this.#taken++ % this.#ring.length]!;
    return true;
  }

  #take(frame: Int16Array): void {
    const samples = this.#resampler.push(Float32Array.from(frame, (sample) => sample / 32768));
    for (const sample of samples) this.#ring[this.#put++ % this.#ring.length] = sample;
    const ahead = this.#put - this.#taken;
    if (ahead > MOST_AHEAD_S * sampleRate) this.#taken = this.#put - Math.round(AHEAD_S * sampleRate);
    if (ahead >= AHEAD_S * sampleRate) this.#running = true;
  }
}

registerProcessor("feldfon-capture", Capture);
registerProcessor("feldfon-playback", Playback);
