/**
 * What the two threads of a handset say to each other: the hand (devices, machine, screens) sends commands, the line
 * (connection, conversations, voice) sends events, so that drawing never delays a packet (row 000-10).
 *
 *     button -> machine --command--> line thread -> conversation -> frames -> wire
 *     screen <- machine <---event--- line thread <- conversation <- frames <- wire
 */
import type { Uid } from "@feldfon/protocol/identity";
import type { ConnectStep, UpdateStep } from "@feldfon/protocol/phone/orders";
import type { Tone } from "@feldfon/voice/port";

export type Command =
  | { do: "connect" }
  /** Takes leave of the server in order: the row goes at once. */
  | { do: "leave" }
  | { do: "call"; uid: Uid }
  | { do: "answer" }
  /** Ends whatever call there is: stops dialling, declines, hangs up. */
  | { do: "hang-up" }
  | { do: "update" }
  | { do: "tone"; tone: Tone }
  | { do: "mute"; on: boolean }
  | { do: "volume"; percent: number }
  /** The `terminal` board's microphone and speaker are WAV files. */
  | { do: "say"; file: string }
  | { do: "record"; file: string }
  /** Asks for `about`. */
  | { do: "about" }
  /** Leaves, wipes the vault, ends the thread. */
  | { do: "quit" };

export interface ContactShown {
  /** Dialled digits; the server has none. Ids close up when someone leaves. */
  id: number;
  uid: Uid;
  name: string;
  own: boolean;
}

export interface DirectoryShown {
  epoch: number;
  /** Server's clock, shown and never judged. */
  timeMs: number;
  /** The seed's Merkle root, 64 hex digits, recomputed on this handset. */
  seedRoot: string;
  /** RFC 6962 root that covers the names too, 64 hex digits. */
  directoryRoot: string;
  contacts: ContactShown[];
}

export interface ChangesShown {
  joined: string[];
  left: string[];
  renamed: { from: string; to: string }[];
  newKey: string[];
}

/** What the handset knows of itself: public values only. */
export interface AboutShown {
  uid: Uid;
  /** The vault's own words: `memfd_secret`, `locked`, `degraded`. */
  protection: string;
  /** The cryptographic library and its version. */
  library: string;
  /** Locked memory of the vault; none while it is degraded. */
  arena?: { bytes: number; usedBytes: number };
  /** Whether a crash, or somebody else, may leave this process's memory in a file. */
  coreDumps: boolean;
  /** Whether Node's inspector can be opened from outside. */
  inspector: boolean;
  version: string;
}

export type CallEnd =
  | "hung-up-here"
  | "hung-up-there"
  | "cancelled"
  | "missed"
  | "busy"
  | "declined"
  | "declined-here"
  | "silent"
  | "offline"
  | "unknown"
  | "self"
  /** Server did not answer or refused for load. */
  | "unavailable"
  /** No valid packet for 30 s. */
  | "no-voice"
  | "line-lost"
  /** A signature, MAC, commitment or head did not hold. */
  | "not-authentic"
  /** The newer head's holder got no path within 3 s: no call, no accusation. */
  | "heads-apart"
  /** Two signed heads that exclude each other: evidence was kept. */
  | "two-directories";

export type LineEvent =
  | { event: "connecting"; resuming: boolean }
  | { event: "step"; step: ConnectStep; ms: number }
  | { event: "connected"; resumed: boolean; directory: DirectoryShown; protection: string }
  /** Line gone; the thread tries again by itself after `retryInMs`, or never when a person has to decide. */
  | { event: "disconnected"; code: string; retryInMs?: number }
  | { event: "directory"; directory: DirectoryShown; changes: ChangesShown }
  | { event: "updating"; step: UpdateStep }
  | { event: "updated"; oldRoot: string; newRoot: string; same: boolean; changes: ChangesShown }
  | { event: "update-failed"; code: string }
  | { event: "dialling"; callId: string; peer: ContactShown }
  | { event: "rings"; callId: string }
  | { event: "incoming"; callId: string; peer: ContactShown }
  /** Keys agreed and checked; voice may flow. @see protocol/media/keys.ts for the five numbers 00..63 */
  | { event: "in-call"; callId: string; peer: ContactShown; sas: readonly number[] }
  | {
      event: "voice";
      callId: string;
      sent: number;
      received: number;
      lost: number;
      packetSizes: number[];
      serverLine: boolean;
      /** Straight to the other handset, or over the server's relay. */
      way?: "relay" | "direct";
    }
  | { event: "ended"; callId: string; why: CallEnd; erased: "both" | "here" | "none"; durationMs: number }
  | { event: "evidence"; file: string }
  | { event: "device-failed"; device: "sound" | "display" | "buttons" | "numpad"; code: string }
  | { event: "about"; about: AboutShown }
  | { event: "gone" };
