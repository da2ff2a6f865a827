/**
 * The first voice engine: TypeScript, PCM on the wire, one packet every 20 ms.
 *
 *     microphone -> 320 samples -> s16 big-endian -> seal -> onPacket
 *     speaker    <- volume <- + <- 320 samples <- jitter buffer <- open <- receive
 *                             '--- tone
 *
 * Clear voice passes through the JavaScript heap here; keys do not. The native engine ends the former as well.
 */
import type { SrtpReceiver, SrtpSender } from "@feldfon/protocol/vault";
import { JitterBuffer } from "./jitter-buffer.ts";
import { Pace } from "./pace.ts";
import type { Tone, VoicePort, VoiceSession, VoiceStatistics } from "./port.ts";
import { FRAME_SAMPLES, SAMPLE_RATE_HZ, type Sound, type VoiceFrame } from "./sound.ts";
import { toneLengthSamples, toneSamples } from "./tones.ts";

const PAYLOAD_BYTES = FRAME_SAMPLES * 2;
const SILENCE: VoiceFrame = new Int16Array(FRAME_SAMPLES);

/** What one call needs, and what goes with it. */
interface Talk {
  session: VoiceSession;
  sender: SrtpSender;
  receiver: SrtpReceiver;
  jitterBuffer: JitterBuffer;
  microphoneOpen: boolean;
  samplesSent: number;
}

export class VoiceEngine implements VoicePort {
  readonly #sound: Sound;
  readonly #pace = new Pace(() => this.#tick());
  #talk: Talk | undefined;
  #counts = new Counts();
  #muted = false;
  #gain = 1;
  #tone: PlayingTone = { tone: "none", samples: 0 };
  /** A tone cut off in the middle of a note is faded out over one frame: no click. */
  #fading: PlayingTone | undefined;

  constructor(sound: Sound) {
    this.#sound = sound;
  }

  start(session: VoiceSession): void {
    if (this.#talk) throw new Error("a call's voice is running already");
    const { vault } = session;
    let sender: SrtpSender | undefined;
    try {
      sender = vault.srtpSender(session.send, session.sendProfile);
      const receiver = vault.srtpReceiver(session.receive, session.receiveProfile);
      const jitterBuffer = new JitterBuffer();
      const microphoneOpen = session.microphone === "open";
      this.#talk = { session, sender, receiver, jitterBuffer, microphoneOpen, samplesSent: 0 };
    } catch (error) {
      sender?.close();
      vault.wipe(session.send, session.receive);
      throw error;
    }
    this.#counts = new Counts();
    this.#muted = false;
    this.#pace.start();
  }

  openMicrophone(): void {
    if (this.#talk) this.#talk.microphoneOpen = true;
  }

  receive(packet: Uint8Array): boolean {
    const talk = this.#talk;
    if (!talk) return false;
    const opened = talk.receiver.open(packet);
    if (typeof opened === "string") {
      this.#counts.refused[opened]++;
      return false;
    }
    if (opened.payload.length !== PAYLOAD_BYTES) {
      this.#counts.refused.malformed++;
      return false;
    }
    this.#counts.sizes.add(packet.length);
    talk.jitterBuffer.put(opened.index, decode(opened.payload));
    if (++this.#counts.received === 1) talk.session.onFirstVoice();
    return true;
  }

  mute(on: boolean): void {
    this.#muted = on;
  }

  volume(percent: number): void {
    // Squared: steps of loudness that feel alike.
    this.#gain = (Math.max(0, Math.min(100, percent)) / 100) ** 2;
  }

  tone(tone: Tone): void {
    if (tone === this.#tone.tone && tone !== "none") return;
    this.#fading = this.#tone;
    this.#tone = { tone, samples: 0 };
    this.#pace.start();
  }

  statistics(): VoiceStatistics {
    const { sent, received, refused, sizes } = this.#counts;
    const { lost, late } = this.#talk?.jitterBuffer ?? this.#counts;
    return {
      sent,
      received,
      lost,
      late,
      forged: refused.forged,
      replayed: refused.replayed + refused["too-old"],
      malformed: refused.malformed,
      packetSizes: [...sizes].sort((a, b) => a - b),
    };
  }

  stop(): void {
    const talk = this.#talk;
    if (!talk) return;
    this.#talk = undefined;
    this.#counts.lost = talk.jitterBuffer.lost;
    this.#counts.late = talk.jitterBuffer.late;
    talk.sender.close();
    talk.receiver.close();
  }

  close(): Promise<void> {
    this.stop();
    this.#pace.stop();
    return this.#sound.close();
  }

  /** Every 20 ms while there is a call or a tone. */
  #tick(): void {
    this.#sound.play(this.#toPlay());
    const talk = this.#talk;
    if (talk?.microphoneOpen) this.#say(talk);
    if (!this.#talk && this.#tone.tone === "none" && !this.#fading) this.#pace.stop();
  }

  #say(talk: Talk): void {
    // Taken while muted too: what is said then is not said later.
    const heard = this.#sound.listen();
    const packet = talk.sender.seal(encode(this.#muted ? SILENCE : heard), talk.samplesSent);
    talk.samplesSent += FRAME_SAMPLES;
    this.#counts.sent++;
    this.#counts.sizes.add(packet.length);
    talk.session.onPacket(packet);
  }

  #toPlay(): VoiceFrame {
    const voice = this.#talk?.jitterBuffer.take() ?? SILENCE;
    const tone = this.#nextTone();
    return voice.map((sample, at) => {
      const mixed = Math.round((sample + (tone?.[at] ?? 0)) * this.#gain);
      return Math.max(-32768, Math.min(32767, mixed));
    });
  }

  #nextTone(): VoiceFrame | undefined {
    const fading = this.#fading;
    this.#fading = undefined;
    if (this.#tone.tone === "none" && !fading) return undefined;
    const frame = toneSamples(this.#tone.tone, SAMPLE_RATE_HZ, this.#tone.samples, FRAME_SAMPLES);
    this.#tone.samples += FRAME_SAMPLES;
    if (this.#tone.samples >= toneLengthSamples(this.#tone.tone, SAMPLE_RATE_HZ)) {
      this.#tone = { tone: "none", samples: 0 };
    }
    if (!fading) return frame;
    const end = toneSamples(fading.tone, SAMPLE_RATE_HZ, fading.samples, FRAME_SAMPLES);
    return frame.map((sample, at) => sample + end[at]! * fadeOut(at / FRAME_SAMPLES));
  }
}

interface PlayingTone {
  tone: Tone;
  /** Played so far. */
  samples: number;
}

/** One call's figures; the jitter buffer's own are taken over at its end. */
class Counts {
  sent = 0;
  received = 0;
  lost = 0;
  late = 0;
  readonly refused = { malformed: 0, replayed: 0, "too-old": 0, forged: 0 };
  readonly sizes = new Set<number>();
}

/** @param part 0..1 of the frame */
function fadeOut(part: number): number {
  return (1 + Math.cos(Math.PI * part)) / 2;
}

/** s16 big-endian (wire.md 3, Voice). */
function encode(frame: VoiceFrame): Buffer {
  const payload = Buffer.allocUnsafe(PAYLOAD_BYTES);
  frame.forEach((sample, at) => {
    payload.writeInt16BE(sample, 2 * at);
  });
  return payload;
}

function decode(payload: Buffer): VoiceFrame {
  const frame = new Int16Array(FRAME_SAMPLES);
  for (let at = 0; at < FRAME_SAMPLES; at++) frame[at] = payload.readInt16BE(2 * at);
  return frame;
}
