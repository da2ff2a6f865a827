/** How each end of a call sounds and whether one press calls again. Its words are in texts-*.ts. */
import type { CallEnd, Tone } from "./link.ts";

export interface EndingForm {
  /** One tone a second, then silence. What a person has to tell apart with the screen off differs. */
  readonly melody: readonly Tone[];
  readonly mark: "ok" | "info" | "caution" | "alarm";
  readonly again: boolean;
}

const busy: Tone[] = ["busy", "busy", "busy", "busy", "busy", "busy"];
const falling: Tone[] = ["ended"];

export const ENDINGS: Readonly<Record<CallEnd, EndingForm>> = {
  "hung-up-here": { melody: falling, mark: "ok", again: true },
  "hung-up-there": { melody: falling, mark: "ok", again: true },
  cancelled: { melody: [], mark: "info", again: true },
  missed: { melody: [], mark: "info", again: true },
  "declined-here": { melody: [], mark: "info", again: true },
  busy: { melody: busy, mark: "info", again: true },
  declined: { melody: ["busy", "none", "busy", "none"], mark: "info", again: true },
  silent: { melody: ["ended", "none", "ended"], mark: "info", again: true },
  offline: { melody: ["pips", "pips", "pips", "ended"], mark: "info", again: true },
  unknown: { melody: ["busy", "busy", "ended"], mark: "info", again: false },
  self: { melody: ["pips", "ended"], mark: "info", again: false },
  unavailable: { melody: ["busy", "none", "ended"], mark: "caution", again: true },
  "no-voice": { melody: ["ended", "none", "pips"], mark: "caution", again: true },
  "line-lost": { melody: ["ended", "pips"], mark: "caution", again: true },
  "heads-apart": { melody: ["pips", "busy"], mark: "caution", again: true },
  "not-authentic": { melody: ["alarm", "alarm"], mark: "alarm", again: false },
  "two-directories": { melody: ["alarm", "alarm", "alarm"], mark: "alarm", again: false },
};
