/**
 * The order of what travels in clear, before there is a channel (seed 002, channel 2 to 8; wire.md 2). Both ends hold
 * themselves to the same table. Kinds name the sender and the message: "c:" client, "s:" server.
 */
import type { Order } from "../supervisor.ts";

export type ClearKind = "c:m1" | "s:m2" | "s:refused" | "c:m4" | "c:r1" | "s:r2" | "s:unknown";

export type ChannelPlace = "new" | "asked" | "offered" | "sealed" | "refused";

/** Steps are those of README.md; M3 travels in the frame of M2. */
export const channelOrder: Order<ChannelPlace, ClearKind> = {
  new: { "c:m1": "asked" }, //                             2
  asked: { "s:m2": "offered", "s:refused": "refused" }, // 4   401 with M3, or 400, 503
  offered: { "c:m4": "sealed" }, //                        7   no answer
  sealed: {}, //                                               from here on every frame is sealed
  refused: {}, //                                              the line is closed
};

export type ResumePlace = "new" | "asked" | "sealed" | "refused";

/** One round trip without RSA, when a line was lost. */
export const resumeOrder: Order<ResumePlace, ClearKind> = {
  new: { "c:r1": "asked" },
  asked: { "s:r2": "sealed", "s:unknown": "refused" },
  sealed: {},
  refused: {}, //                                              M1 on a new line
};
