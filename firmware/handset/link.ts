/**
 * What the two threads of a handset say to each other: the hand (devices, machine, screens) sends commands, the line
 * (connection, conversations, voice) sends events, so that drawing never delays a packet (row 000-10).
 *
 *     button -> machine --command--> line thread -> conversation -> frames -> wire
 *     screen <- machine <---event--- line thread <- conversation <- frames <- wire
 */
import type { Uid } from "@feldfon/protocol/identity";
import type { ConnectStep, UpdateStep } from "@feldfon/protocol/phone/orders";
import type { DeviceSecretKind, VaultStatus } from "@feldfon/protocol/vault";
import type { Tone } from "@feldfon/voice/port";

/** What a PIN is typed for: the first two at the first start or a change, the next two for the PIN that erases. */
export type PinPurpose = "choose" | "repeat" | "duress" | "repeat-duress" | "unlock" | "old";

/** Goes from the key straight into the vault: no state, log or trace between the two holds a digit. */
export type PinCommand =
  | { do: "pin-digit"; digit: number }
  | { do: "pin-erase" }
  /** All of it was typed. What it means follows from what was asked last. */
  | { do: "pin-done" }
  /** Leaves a question that may be left: the change as it was, or no PIN that erases. */
  | { do: "pin-leave" }
  | { do: "change-pin" }
  /** Wipes every slot of the vault, the key's too. */
  | { do: "lock" };

export type Command =
  | PinCommand
  | { do: "connect" }
  /** Takes leave of the server in order: the row goes at once. */
  | { do: "leave" }
  | { do: "call"; uid: Uid }
  | { do: "answer" }
  /** Ends whatever call there is: stops dialling, declines, hangs up. */
  | { do: "hang-up" }
  | { do: "update" }
  | { do: "tone"; tone: Tone }
  /** Sounds once, where no tone is. */
  | { do: "sound"; sound: "click" | "refused" }
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
  /** What random numbers come from, in the vault's own words. */
  randomness: VaultStatus["randomness"];
  /** Whether a crash, or somebody else, may leave this process's memory in a file. */
  coreDumps: boolean;
  /** Whether Node's inspector can be opened from outside. */
  inspector: boolean;
  version: string;
  /** Whether the key file opens by a PIN only. */
  pin: boolean;
  /** What of the device seals the key file besides the PIN; `none`: a file of the same card. */
  deviceSecret?: DeviceSecretKind;
}

export type PinRefusal = "wrong" | "different" | "short" | "same-pin";

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
  /** The key pair is being made, once; it takes seconds, on a Pi tens of them. */
  | { event: "making-key" }
  /**
   * Digits are wanted; none are held now.
   *
   * @param changing a key that is open gets another PIN: all of it may be left
   * @param left tries, where a wrong one counts
   * @param waitS until digits are taken
   * @param refused why what was typed last did not do: a word of `PinRefusal`, or the code of something that failed
   */
  | { event: "pin-wanted"; purpose: PinPurpose; changing: boolean; left?: number; waitS?: number; refused?: string }
  /** The key lies open in the vault. */
  | { event: "unlocked"; pin: boolean }
  /** The key is gone for good, by the last wrong try or by the PIN that erases: a handset as at its first start. */
  | { event: "wiped" }
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
