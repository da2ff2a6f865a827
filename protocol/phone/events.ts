/** What the telephone tells the handset around it. The conversations decide, the firmware shows. */
import type { Change } from "../directory/follower.ts";
import type { Uid } from "../identity.ts";
import type { Address } from "../media/address.ts";
import type { Slot } from "../vault.ts";
import type { CallKeys, Party } from "./call-keys.ts";
import type { ConnectStep, UpdateStep } from "./orders.ts";

/** Why a call is over; an expected outcome, never an exception. */
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
  | "unavailable"
  | "no-voice"
  | "line-lost"
  | "not-authentic"
  | "heads-apart"
  | "two-directories";

/** Where the keys of a call are gone for certain: "none" when there never were any. */
export type Erased = "both" | "here" | "none";

export type PhoneEvent =
  | { event: "step"; step: ConnectStep }
  | { event: "connected"; change: Change | undefined }
  | { event: "directory"; change: Change }
  | { event: "updating"; step: UpdateStep }
  /** `serverRoot` is what the server recomputed at the proof: additional information, nothing depends on it. */
  | { event: "updated"; oldRoot: string; newRoot: string; serverRoot: string; change: Change | undefined }
  | { event: "update-failed"; code: string }
  | { event: "left"; by: "handset" | "server" }
  | { event: "dialling"; callId: string; peer: Uid }
  | { event: "rings"; callId: string; peer: Uid }
  | { event: "incoming"; callId: string; peer: Uid }
  /** The relay id came with its key: the way can be opened while it rings. The key is the listener's until `ended`. */
  | { event: "relay"; callId: string; id: Buffer; key: Slot<"mac"> }
  /** Keys are agreed and proven: voice may be sent. The caller is in the call once the first packet opens. */
  | {
      event: "agreed";
      callId: string;
      peer: Uid;
      own: Party;
      sas: readonly number[];
      keys: CallKeys;
    }
  /** Where the other handset can be reached directly; none: it hears what is sent to it directly. */
  | { event: "way-told"; callId: string; candidates: Address[] }
  /** Stop voice now; its keys are wiped when this returns. */
  | { event: "release"; callId: string }
  | { event: "ended"; callId: string; peer: Uid; why: CallEnd; erased: Erased }
  | { event: "evidence"; bytes: Buffer };
