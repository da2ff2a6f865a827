/** Microphone and speaker of a board, below the voice engine. */

export const SAMPLE_RATE_HZ = 16_000;
export const FRAME_MS = 20;
export const FRAME_SAMPLES = 320;

/** 20 ms of voice: 320 samples, mono, signed 16 bit, 16 kHz. */
export type VoiceFrame = Int16Array;

/**
 * Neither call waits: the engine's clock decides when 20 ms are over, a board buffers what its hardware brings earlier
 * or later.
 */
export interface Sound {
  /** The next 20 ms of the microphone, silence when there are none. The frame is the caller's. */
  listen(): VoiceFrame;
  /** The next 20 ms for the speaker. The frame stays the caller's. */
  play(frame: VoiceFrame): void;
  /** Resolves when everything played is out, or on disk. */
  close(): Promise<void>;
}
