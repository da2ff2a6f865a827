/** A board's sound for tests: says what it is told, keeps what it hears; its speaker stands before its microphone. */
import { FRAME_SAMPLES, type Sound, type VoiceFrame } from "./sound.ts";

export interface Echo {
  /** How much of what is played comes back, 0..1. */
  gain: number;
  /** Frames of 20 ms until it does. */
  delayFrames: number;
}

export class FakeSound implements Sound {
  readonly #echo: Echo | undefined;
  readonly #toSay: number[] = [];
  readonly #played: VoiceFrame[] = [];
  /** Frames the engine has taken from the microphone. */
  framesTaken = 0;
  closed = false;

  constructor(echo?: Echo) {
    this.#echo = echo;
  }

  /** Queues samples for the microphone, behind what is queued already. */
  say(samples: Int16Array): void {
    for (const sample of samples) this.#toSay.push(sample);
  }

  /** Everything the speaker has played so far. */
  get heard(): Int16Array {
    return Int16Array.from(this.#played.flatMap((frame) => [...frame]));
  }

  listen(): VoiceFrame {
    const said = this.#toSay.splice(0, FRAME_SAMPLES);
    const echo = this.#echo && this.#played[this.framesTaken - this.#echo.delayFrames];
    this.framesTaken++;
    return new Int16Array(FRAME_SAMPLES).map((_, at) => {
      const sample = (said[at] ?? 0) + (echo ? this.#echo!.gain * echo[at]! : 0);
      return Math.max(-32768, Math.min(32767, Math.round(sample)));
    });
  }

  play(frame: VoiceFrame): void {
    this.#played.push(frame.slice());
  }

  async close(): Promise<void> {
    this.closed = true;
  }
}
