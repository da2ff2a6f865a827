/** How each end of a call sounds and looks, and whether one press calls again. Its words are in texts-*.ts. */
import type { Tone } from "@feldfon/voice/port";
import type { CallEnd } from "./link.ts";
import type { Sign } from "./screens.ts";

export interface EndingForm {
  /** What a person has to tell apart with the screen off differs. */
  readonly tone: Tone;
  readonly mark: "ok" | "info" | "caution" | "alarm";
  readonly sign: Sign;
  readonly again: boolean;
}

export const ENDINGS: Readonly<Record<CallEnd, EndingForm>> = {
  "hung-up-here": { tone: "ended", mark: "ok", sign: "stopping", again: true },
  "hung-up-there": { tone: "ended", mark: "ok", sign: "stopping", again: true },
  cancelled: { tone: "none", mark: "info", sign: "stopping", again: true },
  missed: { tone: "none", mark: "info", sign: "incoming", again: true },
  "declined-here": { tone: "none", mark: "info", sign: "stopping", again: true },
  busy: { tone: "busy", mark: "info", sign: "talking", again: true },
  declined: { tone: "declined", mark: "info", sign: "stopping", again: true },
  silent: { tone: "silent", mark: "info", sign: "ringing", again: true },
  offline: { tone: "offline", mark: "info", sign: "off", again: true },
  unknown: { tone: "unobtainable", mark: "info", sign: "question", again: false },
  self: { tone: "self", mark: "info", sign: "incoming", again: false },
  unavailable: { tone: "congestion", mark: "caution", sign: "off", again: true },
  "no-voice": { tone: "lost", mark: "caution", sign: "stopping", again: true },
  "line-lost": { tone: "lost", mark: "caution", sign: "off", again: true },
  "heads-apart": { tone: "lost", mark: "caution", sign: "question", again: true },
  "not-authentic": { tone: "alarm", mark: "alarm", sign: "stopping", again: false },
  "two-directories": { tone: "alarm", mark: "alarm", sign: "stopping", again: false },
};
