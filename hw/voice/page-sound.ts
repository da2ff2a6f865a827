/**
 * Microphone and speaker of the `laptop` board: frames cross a message port to the thread that holds the page.
 *
 *     page thread --Int16Array--> waiting, 2 frames deep --> listen()
 *                 <--Int16Array-- play()
 *     each way the taker answers with the count of frames it took: a thread that does not read loses sound, not memory
 */
import type { MessagePort } from "node:worker_threads";
import { FRAME_MS, FRAME_SAMPLES, type Sound, type VoiceFrame } from "./sound.ts";

/** A browser's frames come unevenly: the first one of a speech waits this long, so that the next ones are in time. */
const DELAY_MS = 2 * FRAME_MS;
/** Heard at most this late; older frames are let go. */
const MOST_WAITING = 5;
/** Frames under way to the page thread. */
const MOST_UNDER_WAY = 25;

export class PageSound implements Sound {
  readonly #port: MessagePort;
  readonly #waiting: VoiceFrame[] = [];
  readonly #now: () => number;
  /** When the first frame after a silence came. */
  #sinceMs = 0;
  #underWay = 0;

  /** @param now milliseconds that never go back */
  constructor(port: MessagePort, now: () => number = () => performance.now()) {
    this.#port = port;
    this.#now = now;
    port.on("message", (message: unknown) => this.#take(message));
  }

  listen(): VoiceFrame {
    const inTime = this.#now() - this.#sinceMs >= DELAY_MS;
    const frame = inTime ? this.#waiting.shift() : undefined;
    return frame ?? new Int16Array(FRAME_SAMPLES);
  }

  play(frame: VoiceFrame): void {
    if (this.#underWay >= MOST_UNDER_WAY) return;
    this.#underWay++;
    const copy = frame.slice();
    this.#port.postMessage(copy, [copy.buffer]);
  }

  async close(): Promise<void> {
    this.#port.close();
  }

  #take(message: unknown): void {
    if (typeof message === "number") {
      this.#underWay -= message;
    } else if (message instanceof Int16Array && message.length === FRAME_SAMPLES) {
      this.#port.postMessage(1);
      if (this.#waiting.length === 0) this.#sinceMs = this.#now();
      this.#waiting.push(message);
      if (this.#waiting.length > MOST_WAITING) this.#waiting.shift();
    }
  }
}
