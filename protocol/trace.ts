/**
 * One line of `--trace FILE`: that a message passed, and nothing of what it says. The same form for every process, so
 * that page and tools can lay server and handsets side by side.
 */
import type { Uid } from "./identity.ts";

/** Digits of a uid that logs and traces show. */
export const SHORT_UID_DIGITS = 8;

export interface TraceRecord {
  /** Milliseconds since 1970. */
  time: number;
  /** Which process wrote it: "server", or a handset's short uid. */
  place: string;
  /** Conversation and message, e.g. "phone s:delta". */
  kind: string;
  /** Bytes of the frame or packet. */
  size: number;
  /** "server", a short uid, or "?" before anybody is proven. */
  from: string;
  to: string;
}

/** Somebody, as logs and traces name them. */
export function shortParty(party: Uid | "server" | undefined): string {
  if (party === undefined) return "?";
  return party === "server" ? party : party.slice(0, SHORT_UID_DIGITS);
}

/** One line of JSON with its end; keys in one order, nothing else than the six of them. */
export function traceLine({ time, place, kind, size, from, to }: TraceRecord): string {
  return `${JSON.stringify({ time, place, kind, size, from, to })}\n`;
}
