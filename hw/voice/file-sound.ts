/**
 * Microphone and speaker of the `terminal` board: what is said comes from WAV files, what is heard goes into one.
 *
 *     say a.wav, say b.wav  ->  | a a a a | b b b b b b | silence ..       listen(), as long as the microphone is open
 *     play()                ->  recording of everything heard from `record` to the next `record` or `stopRecording`
 */
import { readFile, stat } from "node:fs/promises";
import { DeviceError } from "@feldfon/protocol/errors";
import { Resampler } from "./resample.ts";
import { FRAME_SAMPLES, SAMPLE_RATE_HZ, type Sound, type VoiceFrame } from "./sound.ts";
import { parseWav, WavRecording } from "./wav.ts";

/** Ten minutes of 48 kHz stereo: a longer speech is a mistake. */
const MAX_FILE_BYTES = 128 * 1024 * 1024;

export class FileSound implements Sound {
  readonly #onError: (error: DeviceError) => void;
  /** Speeches not yet over, oldest first, and how far the oldest is. */
  readonly #speeches: Resampler[] = [];
  #saidSamples = 0;
  #recording: WavRecording | undefined;

  /** @param onError a recording broke off; everything else goes on */
  constructor(onError: (error: DeviceError) => void) {
    this.#onError = onError;
  }

  /** Is there anything left to say? */
  get speaking(): boolean {
    return this.#speeches.length > 0;
  }

  /**
   * Says a file as soon as the microphone is open and earlier ones are over.
   *
   * @returns its length in ms, once it is queued
   * @throws {DeviceError} `no-file`, `bad-wav`
   */
  async say(path: string): Promise<number> {
    const speech = await loadSpeech(path);
    this.#speeches.push(speech);
    return (speech.length * 1000) / SAMPLE_RATE_HZ;
  }

  /** Begins a recording, after the last one is whole. @throws {DeviceError} `record-failed` */
  async record(path: string): Promise<void> {
    await this.stopRecording();
    this.#recording = await WavRecording.create(path, SAMPLE_RATE_HZ, this.#onError);
  }

  /** Resolves when the recording is whole on disk. */
  async stopRecording(): Promise<void> {
    const recording = this.#recording;
    this.#recording = undefined;
    await recording?.close();
  }

  listen(): VoiceFrame {
    const speech = this.#speeches[0];
    if (!speech) return new Int16Array(FRAME_SAMPLES);
    const frame = speech.read(this.#saidSamples, FRAME_SAMPLES);
    this.#saidSamples += FRAME_SAMPLES;
    if (this.#saidSamples >= speech.length) {
      this.#speeches.shift();
      this.#saidSamples = 0;
    }
    return frame;
  }

  play(frame: VoiceFrame): void {
    this.#recording?.append(frame);
  }

  close(): Promise<void> {
    return this.stopRecording();
  }
}

/** A WAV file as it is said: 16 kHz, mono. @throws {DeviceError} `no-file`, `bad-wav` */
export async function readSpeech(path: string): Promise<Int16Array> {
  const speech = await loadSpeech(path);
  return speech.read(0, speech.length);
}

async function loadSpeech(path: string): Promise<Resampler> {
  const { rateHz, samples } = parseWav(await readWhole(path));
  return new Resampler(samples, rateHz, SAMPLE_RATE_HZ);
}

async function readWhole(path: string): Promise<Buffer> {
  let bytes: number;
  try {
    bytes = (await stat(path)).size;
    if (bytes <= MAX_FILE_BYTES) return await readFile(path);
  } catch (cause) {
    throw new DeviceError("no-file", "the WAV file cannot be read: is it there?", { cause });
  }
  throw new DeviceError("bad-wav", `the WAV file has ${bytes} bytes, at most ${MAX_FILE_BYTES} are read`);
}
