/**
 * The order of the telephone's conversations, as data. Both ends hold themselves to the same tables, and display,
 * trace, models and docs are made from them (design 4; wire.md 2).
 *
 * Kinds name the sender and the message: "c:" handset, "s:" server; in a call "a:" caller, "b:" callee, "s:" server.
 */
import type { Order } from "../supervisor.ts";

export type ConnectPlace =
  | "proven"
  | "joining"
  | "joined"
  | "shown"
  | "verified"
  | "handed"
  | "sealed"
  | "listed"
  | "ready"
  | "refused";
export type ConnectKind =
  | "c:join"
  | "s:joined"
  | "s:refused"
  | "s:head"
  | "c:head-kept"
  | "s:secret"
  | "c:stored"
  | "s:phonebook"
  | "c:phonebook-kept";

/** Source: seed 000, connect 1.1 to 6; the channel has done 1 and 1.1 (protocol/channel/orders.ts). */
export const connectOrder: Order<ConnectPlace, ConnectKind> = {
  proven: { "c:join": "joining" }, //            1.1 who I am, which head I held last
  joining: { "s:joined": "joined", "s:refused": "refused" },
  joined: { "s:head": "shown" }, //              2   head, keys, leaves
  shown: { "c:head-kept": "verified" }, //       3   both roots recomputed
  verified: { "s:secret": "handed" }, //         4   48 bytes for this handset alone
  handed: { "c:stored": "sealed" }, //           5   both ends are under it from here on
  sealed: { "s:phonebook": "listed" }, //        6   rows, each hashing to its leaf
  listed: { "c:phonebook-kept": "ready" }, //    7   now the others hear of it
  ready: {}, //                                  8   the loop: the conversations below
  refused: {},
};

/**
 * The steps as the seed counts them, in their order, and the place where each is done: the handset tells them by this
 * table, display, ladder and demo show them by it. The channel has done 1; 7 and 8 need no message of their own.
 */
export const connectSteps = [
  { step: "1", at: "proven" },
  { step: "1.1", at: "joined" },
  { step: "2", at: "shown" },
  { step: "3", at: "verified" },
  { step: "4", at: "handed" },
  { step: "5", at: "sealed" },
  { step: "6", at: "listed" },
  { step: "7", at: "ready" },
  { step: "8", at: "ready" },
] as const satisfies readonly { step: string; at: ConnectPlace }[];
export type ConnectStep = (typeof connectSteps)[number]["step"];

export type DeltaPlace = "idle" | "given";
export type DeltaKind = "s:delta" | "c:delta-kept";

/** One delta in flight for each handset; the next starts from the acknowledged epoch. Seed 000, connect 7. */
export const deltaOrder: Order<DeltaPlace, DeltaKind> = {
  idle: { "s:delta": "given" },
  given: { "c:delta-kept": "idle" },
};

export type UpdatePlace = "idle" | "asked" | "challenged" | "proved" | "shown" | "given";
export type UpdateKind = "c:update" | "s:challenge" | "c:proof" | "s:root" | "s:delta" | "c:delta-kept" | "s:refused";

/** Source: seed 000, update 1 to 3. Ordinary deltas may come in every place; after `s:root` the next one is the update's. */
export const updateOrder: Order<UpdatePlace, UpdateKind> = {
  idle: { "c:update": "asked" }, //                          1   identity challenge
  asked: { "s:challenge": "challenged" },
  challenged: { "c:proof": "proved" },
  proved: { "s:root": "shown", "s:refused": "idle" }, //     1.1 root, as additional information
  shown: { "s:delta": "given" }, //                          2   all active handsets
  given: { "c:delta-kept": "idle" }, //                      3   the display is refreshed
};

/** The steps of update, in their order, and the place from which each is under way. */
export const updateSteps = [
  { step: "1", from: "asked" },
  { step: "1.1", from: "proved" },
  { step: "2", from: "shown" },
] as const satisfies readonly { step: string; from: UpdatePlace }[];
export type UpdateStep = (typeof updateSteps)[number]["step"];

export type SnapshotPlace = "idle" | "asked" | "granted" | "shown" | "verified" | "listed";
export type SnapshotKind = "c:snapshot" | "s:granted" | "s:head" | "c:head-kept" | "s:phonebook" | "c:phonebook-kept";

/** After a gap: steps 2, 3 and 6 once more, without a new secret. */
export const snapshotOrder: Order<SnapshotPlace, SnapshotKind> = {
  idle: { "c:snapshot": "asked" },
  asked: { "s:granted": "granted" },
  granted: { "s:head": "shown" },
  shown: { "c:head-kept": "verified" },
  verified: { "s:phonebook": "listed" },
  listed: { "c:phonebook-kept": "idle" },
};

export type SyncPlace = "resumed" | "asked" | "ready";
export type SyncKind = "c:sync" | "s:synced";

/** After a resume: where I stand, then one delta from there if anything has changed. */
export const syncOrder: Order<SyncPlace, SyncKind> = {
  resumed: { "c:sync": "asked" },
  asked: { "s:synced": "ready" },
  ready: {},
};

export type LeavePlace = "here" | "leaving" | "sent-away" | "both" | "gone";
export type LeaveKind = "c:leave" | "s:left" | "s:leave" | "c:left";

/** Orderly leave of the handset, or shutdown of the server, out of the loop (step 8); both may cross. */
export const leaveOrder: Order<LeavePlace, LeaveKind> = {
  here: { "c:leave": "leaving", "s:leave": "sent-away" },
  leaving: { "s:left": "gone", "s:leave": "both" },
  "sent-away": { "c:left": "gone", "c:leave": "both" },
  both: { "s:left": "both", "c:left": "gone" }, // the handset closes behind its answer
  gone: {},
};

export type CallPlace =
  | "idle"
  | "called"
  | "inviting"
  | "trying"
  | "ringing"
  | "answered"
  | "talking"
  | "cancelling"
  | "late-answer"
  | "a-leaving"
  | "b-leaving"
  | "both-leaving"
  | "a-left"
  | "b-left"
  | "ended";
export type CallKind =
  | "a:invite"
  | "s:trying"
  | "b:ringing"
  | "b:answer"
  | "a:ack"
  | "refused"
  | "a:cancel"
  | "s:cancelled"
  | "a:bye"
  | "b:bye"
  | "s:bye"
  | "a:gone"
  | "b:gone"
  | "a:way"
  | "b:way";

/**
 * Source: seed 000, call 1 to 2.3, hang up 1; crossings of design 4. Caller and server start at `idle`, the callee at
 * `called`, since the server's 100 is for the caller alone. "refused" is any final answer of 300 and above, from the
 * callee or the server. `a:gone` and `b:gone` are the 200 of a BYE, by the one who says "my keys are gone". A handset
 * takes a BYE without MAC for `s:bye`: whoever made it, it proves no keys, and the call is over.
 */
export const callOrder: Order<CallPlace, CallKind> = {
  idle: { "a:invite": "inviting" },
  called: { "a:invite": "trying" },
  inviting: { "s:trying": "trying", refused: "ended", "a:cancel": "cancelling" },
  trying: { "b:ringing": "ringing", refused: "ended", "a:cancel": "cancelling" },
  ringing: { "b:answer": "answered", refused: "ended", "a:cancel": "cancelling" },
  // A 200 is out: the callee waits 5 s for the ACK. A CANCEL that crosses it becomes a BYE of the server.
  answered: { "a:ack": "talking", "a:bye": "a-leaving", "b:bye": "b-leaving", "s:bye": "ended", "a:cancel": "ended" },
  talking: {
    "a:way": "talking",
    "b:way": "talking",
    "a:bye": "a-leaving",
    "b:bye": "b-leaving",
    "s:bye": "ended",
  },
  // 100, 180 and 200 may cross the CANCEL; after a 200 no ACK is sent and nothing revealed.
  cancelling: {
    "s:trying": "cancelling",
    "s:cancelled": "cancelling",
    "b:ringing": "cancelling",
    "b:answer": "late-answer",
    refused: "ended",
  },
  "late-answer": { "a:bye": "a-leaving", "b:bye": "b-leaving", "s:bye": "ended" },
  "a-leaving": {
    "b:gone": "ended",
    "b:bye": "both-leaving",
    "b:way": "a-leaving",
    "s:cancelled": "a-leaving",
    "s:bye": "a-leaving",
  },
  "b-leaving": {
    "a:gone": "ended",
    "a:bye": "both-leaving",
    "a:way": "b-leaving",
    "a:ack": "b-leaving",
    "a:cancel": "b-leaving",
    "s:bye": "b-leaving",
  },
  "both-leaving": { "a:gone": "a-left", "b:gone": "b-left", "s:bye": "both-leaving" },
  "a-left": { "b:gone": "ended", "s:bye": "a-left" },
  "b-left": { "a:gone": "ended", "s:bye": "b-left" },
  ended: {},
};
