/** States of the handset as people meet them, made by the machine itself from events, for the tests around it. */
import { hash } from "node:crypto";
import type {
  AboutShown,
  CallEnd,
  ChangesShown,
  ContactShown,
  DirectoryShown,
  PinPurpose,
} from "@feldfon/firmware/handset/link";
import { begin, type Event, next, type State } from "@feldfon/firmware/handset/machine";
import type { Uid } from "@feldfon/protocol/identity";

export const LONGEST_NAME = "W".repeat(32);
export const ROOT = "1a2b3c4d5e6f708192a3b4c5d6e7f8091a2b3c4d5e6f708192a3b4c5d6e7f809";
export const OTHER_ROOT = "ffeeddccbbaa99887766554433221100ffeeddccbbaa99887766554433221100";
export const CALL_ID = "00112233445566778899aabbccddeeff";
export const SAS = [7, 42, 63, 0, 19];
export const NO_CHANGES: ChangesShown = { joined: [], left: [], renamed: [], newKey: [] };

export const ENDS: readonly CallEnd[] = [
  "hung-up-here",
  "hung-up-there",
  "cancelled",
  "missed",
  "busy",
  "declined",
  "declined-here",
  "silent",
  "offline",
  "unknown",
  "self",
  "unavailable",
  "no-voice",
  "line-lost",
  "not-authentic",
  "heads-apart",
  "two-directories",
];

export function voiceEvent(received: number, lost: number): Event {
  const sent = received + lost;
  return { event: "voice", callId: CALL_ID, sent, received, lost, packetSizes: [668], serverLine: true };
}

/** Somebody with the same name keeps the same key. */
export function contact(id: number, name: string, own = false): ContactShown {
  return { id, uid: hash("sha256", name, "hex") as Uid, name, own };
}

/** The first one is this handset's own. */
export function directory(names: readonly string[] = ["Anna", "Ben", "Chen"], epoch = 7): DirectoryShown {
  const contacts = names.map((name, id) => contact(id, name, id === 0));
  return { epoch, timeMs: 0, seedRoot: ROOT, directoryRoot: OTHER_ROOT, contacts };
}

export const ABOUT: AboutShown = {
  uid: hash("sha256", "Anna", "hex") as Uid,
  protection: "memfd_secret",
  library: "OpenSSL 3.5.7 9 Jun 2026",
  arena: { bytes: 4_194_304, usedBytes: 413_000 },
  randomness: "kernel+hwrng",
  coreDumps: false,
  inspector: false,
  version: "0.1.0",
  pin: true,
  deviceSecret: "tpm",
};
const { arena: _, deviceSecret: __, ...WITHOUT_ARENA } = ABOUT;
/** Where the addon was not built. */
export const ABOUT_DEGRADED: AboutShown = {
  ...WITHOUT_ARENA,
  protection: "degraded",
  randomness: "kernel",
  coreDumps: true,
  pin: false,
};

export function press(button: "connect" | "call" | "hang-up" | "update"): Event {
  return { event: "press", button };
}

export function keys(digits: string): Event[] {
  return [...digits].map((key) => ({ event: "key", key }) as Event);
}

export function after(state: State, ...events: readonly Event[]): State {
  return events.reduce((known, event) => next(known, event)[0], state);
}

export const starting = begin({ server: "127.0.0.1:5060", ownName: "Anna" });
/** Without a PIN, as the simulator's are. */
export const off = after(starting, { event: "unlocked", pin: false });
export const connected: Event = { event: "connected", resumed: false, directory: directory(), protection: "degraded" };
export const verified = after(off, press("connect"), { event: "connecting", resuming: false }, connected);
export const phonebook = after(verified, press("call"));
export const dialling = after(phonebook, press("call"));
export const peer = contact(1, "Ben");
export const diallingKnown = after(dialling, { event: "dialling", callId: CALL_ID, peer });
export const ringingOut = after(diallingKnown, { event: "rings", callId: CALL_ID });
export const incoming = after(phonebook, { event: "incoming", callId: CALL_ID, peer });
export const answering = after(incoming, press("call"));
export const inCall = after(answering, { event: "in-call", callId: CALL_ID, peer, sas: SAS });
/** The numbers were compared, the voice is there. */
export const talk = after(inCall, voiceEvent(500, 0), press("call"));
export const hangingUp = after(inCall, press("hang-up"));

export function ended(why: CallEnd, erased: "both" | "here" | "none" = "both", from = inCall): State {
  return after(from, { event: "ended", callId: CALL_ID, why, erased, durationMs: 83_000 });
}

export function lost(code: string, retryInMs?: number, from = verified): State {
  return after(from, { event: "disconnected", code, ...(retryInMs === undefined ? {} : { retryInMs }) });
}

/** What the line asks for, as it does by itself. */
export function wanted(purpose: PinPurpose, more: Partial<Extract<Event, { event: "pin-wanted" }>> = {}): Event {
  const tries = purpose === "unlock" || purpose === "old" ? { left: 10, waitS: 0 } : {};
  return { event: "pin-wanted", purpose, changing: false, ...tries, ...more };
}

/** As Anna's handset, with a PIN. */
export const openWithPin = after(starting, wanted("unlock"), { event: "unlocked", pin: true });
export const pin = after(starting, wanted("unlock"));

const manyNames = Array.from({ length: 12 }, (_, i) => `Handset ${i}`);

/** Every screen at least once, but for the ends of calls. */
export const named = {
  starting,
  "start-failed": after(starting, { event: "line-broken", code: "bad-key" }),
  "making-key": after(starting, { event: "making-key" }, { event: "tick", elapsedMs: 7_000 }),
  "pin-choose": after(starting, wanted("choose")),
  "pin-choose-short": after(starting, wanted("choose", { refused: "short" })),
  "pin-repeat": after(starting, wanted("repeat"), ...keys("12345678")),
  "pin-duress": after(starting, wanted("duress")),
  "pin-duress-same": after(starting, wanted("duress", { refused: "same-pin" })),
  "pin-repeat-duress": after(starting, wanted("repeat-duress"), ...keys("1")),
  pin,
  "pin-typed": after(pin, ...keys("123456")),
  "pin-twelve": after(pin, ...keys("1234567890123")),
  "pin-tried": after(pin, ...keys("123456"), press("call")),
  "pin-wrong": after(pin, wanted("unlock", { left: 9, refused: "wrong" })),
  "pin-waits": after(pin, wanted("unlock", { left: 6, waitS: 300, refused: "wrong" })),
  "pin-waits-again": after(pin, wanted("unlock", { left: 1, waitS: 3_600 })),
  "pin-device-gone": after(pin, wanted("unlock", { refused: "other-device" })),
  "pin-numpad-gone": after(pin, { event: "device-failed", device: "numpad", code: "EIO" }),
  "pin-missed": after(
    openWithPin,
    connected,
    { event: "incoming", callId: CALL_ID, peer },
    { event: "ended", callId: CALL_ID, why: "missed", erased: "none", durationMs: 0 },
    { event: "incoming", callId: CALL_ID, peer },
    { event: "disconnected", code: "left" },
    { event: "ended", callId: CALL_ID, why: "missed", erased: "none", durationMs: 0 },
    { event: "idle" },
    wanted("unlock"),
  ),
  "pin-old": after(openWithPin, ...keys("#"), press("update"), wanted("old", { changing: true })),
  "pin-duress-again": after(openWithPin, ...keys("#"), press("update"), wanted("duress", { changing: true })),
  locking: after(openWithPin, press("hang-up")),
  "off-with-pin": openWithPin,
  off,
  about: after(openWithPin, ...keys("#"), { event: "about", about: ABOUT }),
  "about-degraded": after(off, ...keys("#"), { event: "about", about: ABOUT_DEGRADED }),
  connecting: after(
    off,
    press("connect"),
    { event: "step", step: "1", ms: 31 },
    { event: "step", step: "1.1", ms: 12 },
    { event: "step", step: "2", ms: 4 },
  ),
  resuming: after(lost("closed", 4000), { event: "connecting", resuming: true }),
  verified,
  lost: lost("closed", 4000),
  refused: lost("name-taken", undefined, after(off, press("connect"), { event: "step", step: "1", ms: 31 })),
  "refused-unknown": lost("a-code-nobody-knows", undefined, after(off, press("connect"))),
  leaving: after(verified, press("hang-up"), press("call")),
  "leave?": after(verified, press("hang-up")),
  "alarm-server-key": lost("wrong-server-key", undefined, after(off, press("connect"))),
  "alarm-root": lost("wrong-root", undefined, after(off, press("connect"))),
  "alarm-restored": lost("epoch-back", undefined, after(off, press("connect"))),
  "alarm-two-directories": after(verified, { event: "evidence", file: "/data/evidence-0007.ffe" }),
  "off-blocked": after(
    verified,
    { event: "evidence", file: "/data/evidence-0007.ffe" },
    { event: "disconnected", code: "left" },
    press("hang-up"),
  ),
  phonebook,
  "phonebook-long": after(
    phonebook,
    { event: "directory", directory: directory(manyNames), changes: NO_CHANGES },
    ...keys("8888888"),
  ),
  "phonebook-alone": after(off, press("connect"), { ...connected, directory: directory(["Anna"]) }, press("call")),
  "phonebook-changed": after(phonebook, {
    event: "directory",
    directory: directory(["Anna", "Chen", "Dora"], 8),
    changes: { ...NO_CHANGES, joined: ["Dora"], left: ["Ben"] },
  }),
  "dial-empty": after(phonebook, ...keys("#")),
  dial: after(verified, ...keys("2")),
  "dial-nobody": after(verified, ...keys("77")),
  "dial-changed": after(verified, ...keys("2"), {
    event: "directory",
    directory: directory(["Anna", "Ben", "Dora"], 8),
    changes: { ...NO_CHANGES, joined: ["Dora"], left: ["Chen"] },
  }),
  dialling,
  "ringing-out": ringingOut,
  incoming,
  "incoming-silenced": after(incoming, ...keys("*")),
  answering,
  "in-call": inCall,
  "in-call-talk": after(talk, { event: "tick", elapsedMs: 754_000 }),
  "in-call-later": after(inCall, press("connect"), voiceEvent(3000, 400)),
  "in-call-muted": after(talk, ...keys("5*"), voiceEvent(3580, 20), { event: "tick", elapsedMs: 72_000 }),
  "in-call-server-lost": after(talk, { event: "disconnected", code: "closed", retryInMs: 1000 }),
  "in-call-distrust": after(talk, { event: "evidence", file: "/data/evidence-0007.ffe" }),
  "hanging-up": hangingUp,
  "sas-differs": after(inCall, press("update"), {
    event: "ended",
    callId: CALL_ID,
    why: "hung-up-here",
    erased: "both",
    durationMs: 9_000,
  }),
  "ended-unknown-number": after(verified, ...keys("77"), press("call")),
  missed: ended("missed", "none", incoming),
  "missed-twice": after(
    after(
      verified,
      press("update"),
      ...[1, 2].flatMap((): Event[] => [
        { event: "incoming", callId: CALL_ID, peer },
        { event: "ended", callId: CALL_ID, why: "missed", erased: "none", durationMs: 0 },
      ]),
    ),
  ),
  updating: after(phonebook, press("update"), { event: "updating", step: "1.1" }),
  "updated-same": after(phonebook, press("update"), {
    event: "updated",
    oldRoot: ROOT,
    newRoot: ROOT,
    same: true,
    changes: NO_CHANGES,
  }),
  "updated-other": after(phonebook, press("update"), {
    event: "updated",
    oldRoot: ROOT,
    newRoot: OTHER_ROOT,
    same: true,
    changes: { joined: ["Dora", "Emil"], left: ["Ben"], renamed: [], newKey: ["Chen"] },
  }),
  "updated-differs": after(phonebook, press("update"), {
    event: "updated",
    oldRoot: ROOT,
    newRoot: OTHER_ROOT,
    same: false,
    changes: NO_CHANGES,
  }),
  "update-failed": after(phonebook, press("update"), { event: "update-failed", code: "timeout" }),
  changes: after(phonebook, {
    event: "directory",
    directory: directory(),
    changes: { joined: [], left: [], renamed: [{ from: "Ben", to: "Benjamin" }], newKey: ["Chen"] },
  }),
  "device-failed": after(phonebook, { event: "device-failed", device: "sound", code: "ENOENT" }),
  "battery-low": after(phonebook, { event: "battery", charge: { percent: 9, charging: false } }),
  battery: after(inCall, { event: "battery", charge: { percent: 87, charging: false } }),
  quitting: after(phonebook, { event: "quit" }),
  gone: after(phonebook, { event: "quit" }, { event: "gone" }),
} satisfies Record<string, State>;

/** Screens of a handset that is open. */
export function isOpen({ lock }: State): boolean {
  return lock.at === "open";
}

/** Every screen, every end of a call, by a name of its own. */
export const samples: Readonly<Record<string, State>> = {
  ...named,
  ...Object.fromEntries(
    ENDS.filter((why) => why !== "missed" && why !== "two-directories").map((why) => [
      `ended-${why}`,
      ended(why, why.startsWith("hung") ? "both" : why.startsWith("no") || why === "line-lost" ? "here" : "none"),
    ]),
  ),
};
