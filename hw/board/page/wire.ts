/**
 * What goes over the one WebSocket between a handset and its page. Text is JSON, one message each; binary is a picture
 * or a sound:
 *
 *     0        1       2        4
 *     +--------+-------+--------+----------------------------------------------+
 *     | 1      | 0     | row    | whole rows from `row` on, RGB565, LE         |   to the page
 *     | 2      | 0     | 0      | 20 ms: 320 samples, s16, LE, 16 kHz          |   both ways
 *     +--------+-------+--------+----------------------------------------------+
 *
 * The page speaks first, and its first message is the token.
 */
export const PICTURE = 1;
export const SOUND = 2;
export const HEAD_BYTES = 4;
export const FRAME_SAMPLES = 320;
export const FRAME_RATE_HZ = 16_000;
export const SOUND_BYTES = HEAD_BYTES + 2 * FRAME_SAMPLES;

/** Close codes of the WebSocket (RFC 6455 §7.4.2, 4000 to 4999 are free). */
export const CLOSED_TOKEN = 4401;
export const CLOSED_FULL = 4429;

export interface CaptionMessage {
  name: string;
  lines: readonly string[];
  language: string;
  facts: Readonly<Record<string, unknown>>;
  ticking: boolean;
}

export interface LightMessage {
  colour: string;
  rhythm: string;
}

export type ToPage =
  | { say: "hello"; width: number; height: number }
  | { say: "caption"; caption: CaptionMessage }
  | { say: "light"; light: LightMessage };

export type FromPage =
  | { do: "enter"; token: string }
  | { do: "press"; button: string }
  | { do: "key"; key: string }
  /** Whether this page wants to hear the speaker. */
  | { do: "listen"; on: boolean }
  /** The page that opened its microphone last has it. */
  | { do: "speak"; on: boolean };

/** One text message of a page; never throws. @returns `undefined` for whatever is none */
export function parseFromPage(text: string): FromPage | undefined {
  const { do: what, token, button, key, on } = objectIn(text) ?? {};
  if (what === "enter" && typeof token === "string") return { do: what, token };
  if (what === "press" && typeof button === "string") return { do: what, button };
  if (what === "key" && typeof key === "string") return { do: what, key };
  if ((what === "listen" || what === "speak") && typeof on === "boolean") return { do: what, on };
  return undefined;
}

/** What a text message holds; never throws. @returns `undefined` when it is no object */
export function objectIn(text: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}
