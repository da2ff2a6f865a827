/**
 * Microphone and speaker of handsets on this page, through WebAudio. The browser lets a page sound only after a person
 * touched it, and asks for the microphone only when its key is pressed.
 *
 *     microphone or tone -> capture -> frames of 20 ms -> handset
 *     handset -> frames -> playback -> meter -> volume -> ear
 */

/** The browser keeps one clock for all handsets of a page. */
export class PageSound {
  #context: Promise<AudioContext> | undefined;

  /** Within a press: the first call of a page makes its sound. */
  open(): Promise<AudioContext> {
    this.#context ??= this.#open();
    return this.#context;
  }

  async #open(): Promise<AudioContext> {
    const context = new AudioContext({ latencyHint: "interactive" });
    await context.audioWorklet.addModule("/handset/worklets.ts");
    await context.resume();
    return context;
  }
}

/** What is heard or said right now. */
export interface Reading {
  /** Full scale is 0. */
  levelDb: number;
  /** The strongest tone, 0 in silence. */
  pitchHz: number;
}

const SILENT_DB = -60;
const TONE_GAIN = 0.4;

export class HandsetSound {
  readonly #context: AudioContext;
  readonly #capture: AudioWorkletNode;
  readonly #playback: AudioWorkletNode;
  readonly #said: AnalyserNode;
  readonly #heard: AnalyserNode;
  readonly #volume: GainNode;
  #microphone: { stream: MediaStream; node: AudioNode } | undefined;
  #tone: { oscillator: OscillatorNode; gain: GainNode } | undefined;

  /** @param onFrame 20 ms of what is said */
  constructor(context: AudioContext, onFrame: (frame: Int16Array) => void) {
    this.#context = context;
    this.#capture = new AudioWorkletNode(context, "feldfon-capture", { numberOfOutputs: 1, channelCount: 1 });
    this.#playback = new AudioWorkletNode(context, "feldfon-playback", { numberOfInputs: 0, outputChannelCount: [1] });
    this.#said = meter(context);
    this.#heard = meter(context);
    this.#volume = new GainNode(context);
    this.#said.connect(this.#capture);
    // Its output is silence; a browser runs only what leads to the ear.
    this.#capture.connect(context.destination);
    this.#playback.connect(this.#heard).connect(this.#volume).connect(context.destination);
    this.#capture.port.onmessage = ({ data }) => {
      if (this.speaking) onFrame(data as Int16Array);
    };
  }

  get speaking(): boolean {
    return this.#microphone !== undefined || this.#tone !== undefined;
  }

  play(frame: Int16Array): void {
    this.#playback.port.postMessage(frame, [frame.buffer]);
  }

  /** @param loudness 0..1 */
  volume(loudness: number): void {
    this.#volume.gain.setTargetAtTime(loudness ** 2, this.#context.currentTime, 0.02);
  }

  /** @throws {DOMException} when the person, or the machine, has no microphone for us */
  async openMicrophone(): Promise<void> {
    if (this.#microphone) return;
    const stream = await navigator.mediaDevices.getUserMedia({
      audio: { channelCount: 1, echoCancellation: true, noiseSuppression: true },
    });
    const node = new MediaStreamAudioSourceNode(this.#context, { mediaStream: stream });
    node.connect(this.#said);
    this.#microphone = { stream, node };
  }

  shutMicrophone(): void {
    this.#microphone?.node.disconnect();
    for (const track of this.#microphone?.stream.getTracks() ?? []) track.stop();
    this.#microphone = undefined;
  }

  /** Says a tone instead of a person; 0 ends it. */
  tone(frequencyHz: number): void {
    const { currentTime } = this.#context;
    if (this.#tone) {
      const { oscillator, gain } = this.#tone;
      gain.gain.setTargetAtTime(0, currentTime, 0.01);
      oscillator.stop(currentTime + 0.1);
      this.#tone = undefined;
    }
    if (frequencyHz === 0) return;
    const oscillator = new OscillatorNode(this.#context, { frequency: frequencyHz });
    const gain = new GainNode(this.#context, { gain: 0 });
    gain.gain.setTargetAtTime(TONE_GAIN, currentTime, 0.01);
    oscillator.connect(gain).connect(this.#said);
    oscillator.start();
    this.#tone = { oscillator, gain };
  }

  readSaid(): Reading {
    return read(this.#said);
  }

  readHeard(): Reading {
    return read(this.#heard);
  }

  close(): void {
    this.shutMicrophone();
    this.tone(0);
    for (const node of [this.#capture, this.#playback, this.#said, this.#heard, this.#volume]) node.disconnect();
  }
}

function meter(context: AudioContext): AnalyserNode {
  return new AnalyserNode(context, { fftSize: 4096, smoothingTimeConstant: 0 });
}

/** Level of the last 85 ms, and the strongest tone in them: between bins, by the parabola through three of them. */
function read(analyser: AnalyserNode): Reading {
  const samples = new Float32Array(analyser.fftSize);
  analyser.getFloatTimeDomainData(samples);
  let power = 0;
  for (const sample of samples) power += sample * sample;
  const levelDb = 10 * Math.log10(power / samples.length + 1e-9);
  if (levelDb < SILENT_DB) return { levelDb, pitchHz: 0 };
  const bins = new Float32Array(analyser.frequencyBinCount);
  analyser.getFloatFrequencyData(bins);
  let peak = 1;
  for (let at = 2; at < bins.length - 1; at++) if (bins[at]! > bins[peak]!) peak = at;
  const [left, top, right] = [bins[peak - 1]!, bins[peak]!, bins[peak + 1]!];
  const shift = (left - right) / (2 * (left - 2 * top + right)) || 0;
  return { levelDb, pitchHz: ((peak + shift) * analyser.context.sampleRate) / analyser.fftSize };
}
