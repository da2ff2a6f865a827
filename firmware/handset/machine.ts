/**
 * What the handset does, as a pure function: (state, event) -> (state, effects).
 *
 *     front --------- phonebook --- dial
 *     off --#-- about   |  |         |            incoming --answer--> answering --.
 *     connecting        |  '--call---+-> dialling --rings--> ringing-out --------- in-call
 *     verified (up)     |                    '--------- hang-up, end of the call ------'
 *     lost, refused     '-- updating                               |
 *     leaving               notice, alarm, leave?              hanging-up --> ended --> phonebook
 *
 * Three things go their own ways: the handset's own key (`Lock`, lock.ts), the line to the server (`Line`), and what the
 * person looks at (`Place`); a call goes on while the line is away. A handset that is not open shows its PIN and nothing
 * else, whatever the line says. Every key's meaning comes from `keysOf`, which also labels the keys on the screen, so a label
 * cannot lie. Tone, light and clock follow from the state (`toneOf`, `lightOf`, `clockOf`): their change is the effect,
 * so none can be forgotten. What happens while the screen is needed for something else waits in `notices`.
 */
import type { Charge } from "@feldfon/hw/battery/port";
import type { Light } from "@feldfon/hw/board/port";
import type { Button } from "@feldfon/hw/buttons/port";
import type { NumpadKey } from "@feldfon/hw/numpad/port";
import type { Uid } from "@feldfon/protocol/identity";
import type { ConnectStep, UpdateStep } from "@feldfon/protocol/phone/orders";
import type { Tone } from "@feldfon/voice/port";
import { ENDINGS } from "./endings.ts";
import { blocksForGood, faultOf, isRed } from "./faults.ts";
import type { AboutShown, CallEnd, ChangesShown, Command, ContactShown, DirectoryShown, LineEvent } from "./link.ts";
import {
  type Lock,
  type LockAction,
  lockHeard,
  lockKey,
  lockKeys,
  lockPress,
  lockTick,
  lockTicks,
  mayLeave,
} from "./lock.ts";

export interface StepDone {
  readonly step: ConnectStep;
  readonly ms: number;
}

/** The way to the server. */
export type Line =
  | { readonly at: "off" }
  | { readonly at: "connecting"; readonly resuming: boolean; readonly steps: readonly StepDone[] }
  | { readonly at: "up"; readonly resumed: boolean }
  /** Gone; the line thread tries again by itself. */
  | { readonly at: "lost"; readonly code: string; readonly retryInMs: number }
  /** Gone; a person has to decide. `after` is the last step that was done. */
  | { readonly at: "refused"; readonly code: string; readonly after: ConnectStep | undefined }
  | { readonly at: "leaving" };

/** Somebody as the screen needs them. */
export interface Peer {
  readonly uid: Uid;
  readonly name: string;
}

export interface Voice {
  readonly sent: number;
  readonly received: number;
  readonly lost: number;
}

export interface Ending {
  readonly callId: string | undefined;
  /** Nobody when a number was dialled that nobody has. */
  readonly peer: Peer | undefined;
  readonly why: CallEnd;
  readonly erased: "both" | "here" | "none";
  readonly durationMs: number;
}

/** What has happened and has not been read yet. */
export type Notice =
  | { readonly kind: "missed"; readonly peer: Peer; readonly times: number }
  | {
      readonly kind: "updated";
      readonly oldRoot: string;
      readonly newRoot: string;
      /** The server computed the same new root at the proof; additional information, as in seed 000. */
      readonly same: boolean;
      readonly changes: ChangesShown;
    }
  | { readonly kind: "changes"; readonly renamed: ChangesShown["renamed"]; readonly newKey: readonly string[] }
  | { readonly kind: "ended"; readonly ending: Ending }
  /** Something failed beside the line: a device, an update, the start, the comparison of a call's numbers. */
  | {
      readonly kind: "fault";
      readonly about: "device" | "update" | "start" | "call";
      readonly code: string;
      readonly cause: string;
    }
  | { readonly kind: "battery"; readonly percent: number };

/** What the person looks at. */
export type Place =
  /** The PIN, or what is done with the key. */
  | { readonly name: "lock" }
  /** The line itself: off, connecting, verified, lost, refused. */
  | { readonly name: "front" }
  /** Who this is and what protects it; `shown` once the line thread has told. */
  | { readonly name: "about"; readonly shown: AboutShown | undefined }
  | { readonly name: "leave?" }
  | { readonly name: "alarm"; readonly elapsedMs: number }
  | { readonly name: "phonebook" }
  | { readonly name: "dial"; readonly digits: string; readonly found: Peer | undefined; readonly askAgain: boolean }
  | { readonly name: "dialling"; readonly peer: Peer; readonly callId: string | undefined }
  | { readonly name: "ringing-out"; readonly peer: Peer; readonly callId: string }
  | { readonly name: "incoming"; readonly peer: Peer; readonly callId: string; readonly silenced: boolean }
  | { readonly name: "answering"; readonly peer: Peer; readonly callId: string }
  | {
      readonly name: "in-call";
      readonly peer: Peer;
      readonly callId: string;
      /** Five numbers 00..63, the same on both displays. */
      readonly sas: readonly number[];
      /** The five numbers to be read aloud, or the talk itself. The voice is there in both. */
      readonly view: "numbers" | "talk";
      /** A person has said that both displays show the same. */
      readonly compared: boolean;
      readonly elapsedMs: number;
      readonly voice: Voice | undefined;
      /** The count before, so that the bars show how it is now. */
      readonly before: Voice | undefined;
    }
  | { readonly name: "hanging-up"; readonly peer: Peer; readonly callId: string | undefined }
  | { readonly name: "ended"; readonly ending: Ending; readonly elapsedMs: number }
  | { readonly name: "updating"; readonly step: UpdateStep }
  | { readonly name: "notice"; readonly notice: Notice }
  | { readonly name: "quitting" }
  | { readonly name: "gone" };

/** Why the server may not be trusted. `seen`: the red screen was shown and left. */
export interface Distrust {
  readonly code: string;
  readonly evidence: string | undefined;
  readonly seen: boolean;
}

export interface State {
  readonly lock: Lock;
  readonly line: Line;
  readonly place: Place;
  readonly directory: DirectoryShown | undefined;
  /** In the phonebook. Nobody, once the selected one left or got another name: no press may reach somebody else. */
  readonly selected: Peer | undefined;
  /** The vault's, as it says itself: `memfd_secret`, `locked`, `degraded`. */
  readonly protection: string | undefined;
  /** Oldest first; alike ones are one. */
  readonly notices: readonly Notice[];
  /** Names that came and went since the phonebook was last looked at. */
  readonly joined: readonly string[];
  readonly left: readonly string[];
  readonly distrust: Distrust | undefined;
  readonly volumePercent: number;
  /** The microphone of the running call. */
  readonly muted: boolean;
  readonly charge: Charge | undefined;
  /** As shown: `127.0.0.1:5060`. */
  readonly server: string;
  readonly ownName: string;
}

export type Event =
  | LineEvent
  | { event: "press"; button: Button }
  | { event: "key"; key: NumpadKey }
  /** The clock of `clockOf`, about once a second. @param elapsedMs since the last tick */
  | { event: "tick"; elapsedMs: number }
  /** Nobody has touched a key for as long as `--idle-lock` says, while `idleOf` held. */
  | { event: "idle" }
  | { event: "battery"; charge: Charge | undefined }
  /** Something the firmware found missing or broken before there was a line. */
  | { event: "start-failed"; code: string }
  /** The line has ended before a key lay open, and hears nothing any more. */
  | { event: "line-broken"; code: string }
  | { event: "say" | "record"; file: string }
  | { event: "quit" };

export type Effect =
  | { do: "command"; command: Command }
  | { do: "light"; light: Light }
  /** Starts or stops the ticks. */
  | { do: "clock"; ticking: boolean }
  /** Begins to wait for `idle` from now, or stops. */
  | { do: "idle-clock"; running: boolean };

/** What a key would do now; its label is `texts.actions[action]`. */
export type Action =
  | LockAction
  | "lock"
  | "change-pin"
  | "connect"
  | "why"
  | "stop"
  | "root"
  | "phonebook"
  | "ask-leave"
  | "leave"
  | "stay"
  | "update"
  | "call"
  | "call-changed"
  | "cancel"
  | "answer"
  | "decline"
  | "hang-up"
  | "same"
  | "differs"
  | "later"
  | "numbers"
  | "again"
  | "back"
  | "ok";

type Step = [State, ...Command[]];

const LOW_PERCENT = 10;
const VOLUME_STEP = 20;
/** More than any id: 10,000 handsets have five digits. */
const MAX_DIGITS = 6;
/** The red screen is heard this long. */
const ALARM_MS = 3_000;
/** How a call ended is heard this long, unless its tone is over before. */
const ENDED_MS = 5_000;
export const TICK_MS = 1_000;

export interface Beginning {
  server: string;
  ownName: string;
  volumePercent?: number;
  charge?: Charge | undefined;
  /** File of evidence kept by an earlier run: this server was caught, nothing goes on until a person cleared it. */
  evidence?: string | undefined;
}

export function begin({ server, ownName, volumePercent = 60, charge, evidence }: Beginning): State {
  const [state] = settle({
    lock: { at: "starting" },
    line: { at: "off" },
    place: { name: "front" },
    directory: undefined,
    selected: undefined,
    protection: undefined,
    notices: [],
    joined: [],
    left: [],
    distrust: evidence === undefined ? undefined : { code: "two-directories", evidence, seen: false },
    volumePercent,
    muted: false,
    charge,
    server,
    ownName,
  });
  return state;
}

export function next(before: State, event: Event): [State, ...Effect[]] {
  const [stepped, ...asked] = step(before, event);
  const [state, ...asides] = settle(stepped);
  const effects: Effect[] = [...asked, ...asides].map((command) => ({ do: "command", command }));
  const [tone, light, ticking] = [toneOf(state), lightOf(state), clockOf(state)];
  if (tone !== toneOf(before)) effects.push({ do: "command", command: { do: "tone", tone } });
  const lightBefore = lightOf(before);
  if (light.colour !== lightBefore.colour || light.rhythm !== lightBefore.rhythm) effects.push({ do: "light", light });
  if (ticking !== clockOf(before)) effects.push({ do: "clock", ticking });
  const running = idleOf(state);
  if (running !== idleOf(before) || (running && isTouch(event))) effects.push({ do: "idle-clock", running });
  return [state, ...effects];
}

function step(state: State, event: Event): Step {
  switch (event.event) {
    case "press": {
      if (state.place.name === "lock") return withLock(state, lockPress(state.lock, event.button));
      const action = keysOf(state)[event.button];
      return action ? perform(state, action) : [state];
    }
    case "key":
      return key(state, event.key);
    case "idle":
      return idleOf(state) ? locking(state) : [state];
    case "tick":
      return [tick(state, event.elapsedMs)];
    case "battery":
      return [battery(state, event.charge)];
    case "start-failed":
      return [noted(state, { kind: "fault", about: "start", code: event.code, cause: "" })];
    case "line-broken": {
      const broken: State = { ...state, lock: { at: "broken", code: event.code } };
      // Nobody takes leave any more.
      return [state.place.name === "quitting" ? at(broken, { name: "gone" }) : broken];
    }
    case "say":
    case "record":
      return [state, { do: event.event, file: event.file }];
    case "quit":
      if (state.place.name === "gone" || state.place.name === "quitting") return [state];
      if (state.lock.at === "broken") return [at(state, { name: "gone" })];
      return [at(state, { name: "quitting" }), { do: "quit" }];
    default:
      return heard(state, event);
  }
}

/* ---- keys ---- */

/** What each of the four keys does now. A key that is missing does nothing. */
export function keysOf(state: State): Partial<Record<Button, Action>> {
  const { place, line } = state;
  switch (place.name) {
    case "lock":
      return lockKeys(state.lock);
    case "front":
      switch (line.at) {
        case "off":
          return { connect: state.distrust ? "why" : "connect", ...(hasPin(state) && { "hang-up": "lock" as const }) };
        case "connecting":
        case "leaving":
          return { "hang-up": "stop" };
        case "up":
          return { call: "phonebook", "hang-up": "ask-leave", update: "update" };
        case "lost":
        case "refused":
          return { connect: "connect", "hang-up": "stop" };
        default:
          return line satisfies never;
      }
    case "leave?":
      return { call: "leave", "hang-up": "stay" };
    case "phonebook":
      return { connect: "root", ...(state.selected ? { call: "call" as const } : {}), update: "update" };
    case "dial":
      return { call: place.askAgain ? "call-changed" : "call", "hang-up": "back" };
    case "dialling":
    case "ringing-out":
      return { "hang-up": "cancel" };
    case "incoming":
      return { call: "answer", "hang-up": "decline" };
    case "answering":
      return { "hang-up": "hang-up" };
    case "in-call":
      return place.view === "numbers"
        ? { connect: "later", call: "same", "hang-up": "hang-up", update: "differs" }
        : { "hang-up": "hang-up", update: "numbers" };
    case "ended":
      return endedKeys(state, place.ending);
    case "notice":
      if (place.notice.kind === "missed") return callBackKeys(state, place.notice.peer);
      if (place.notice.kind === "ended") return endedKeys(state, place.notice.ending);
      return { call: "ok", "hang-up": "ok" };
    case "alarm":
      return { "hang-up": "ok" };
    case "about":
      return { "hang-up": "back", ...(hasPin(state) && { update: "change-pin" as const }) };
    case "hanging-up":
    case "updating":
      return { "hang-up": "back" };
    case "quitting":
    case "gone":
      return {};
    default:
      return place satisfies never;
  }
}

function endedKeys(state: State, ending: Ending): Partial<Record<Button, Action>> {
  return ending.peer && ENDINGS[ending.why].again ? callBackKeys(state, ending.peer) : { call: "ok", "hang-up": "ok" };
}

/** Only whoever has the same name and key as then is called again by one press. */
function callBackKeys(state: State, peer: Peer): Partial<Record<Button, Action>> {
  return state.line.at === "up" && isListed(state.directory, peer)
    ? { call: "again", "hang-up": "ok" }
    : { call: "ok", "hang-up": "ok" };
}

function perform(state: State, action: Action): Step {
  const { place } = state;
  switch (action) {
    case "connect":
      return [{ ...state, line: { at: "connecting", resuming: false, steps: [] } }, { do: "connect" }];
    case "lock":
      return locking(state);
    case "change-pin":
      // The line asks for the old one first.
      return [{ ...state, lock: { at: "starting" } }, { do: "change-pin" }];
    case "why":
      return [at(state, { name: "alarm", elapsedMs: 0 })];
    case "stop":
      // The second press, while the line still takes its leave, does not wait for it.
      if (state.line.at === "leaving" || state.line.at === "refused") return [{ ...state, line: { at: "off" } }];
      return [{ ...state, line: { at: "leaving" } }, { do: "leave" }];
    case "root":
      return [at(state, { name: "front" })];
    case "phonebook":
    case "stay":
      return [home(state)];
    case "ask-leave":
      return [at(state, { name: "leave?" })];
    case "leave":
      return [{ ...at(state, { name: "front" }), line: { at: "leaving" } }, { do: "leave" }];
    case "update":
      return [read(at(state, { name: "updating", step: "1" })), { do: "update" }];
    case "call":
      if (place.name === "phonebook" && state.selected) return call(state, state.selected);
      if (place.name === "dial")
        return place.found ? call(state, place.found) : [unanswered(state, "unknown", undefined)];
      return [state];
    case "call-changed":
      return [place.name === "dial" ? at(state, { ...place, askAgain: false }) : state];
    case "again": {
      const peer = peerOf(place);
      return peer ? call(state, peer) : [state];
    }
    case "answer":
      if (place.name !== "incoming") return [state];
      return [at(state, { name: "answering", peer: place.peer, callId: place.callId }), { do: "answer" }];
    case "cancel":
    case "decline":
    case "hang-up": {
      const peer = peerOf(place);
      if (!peer || !("callId" in place)) return [state];
      return [at(state, { name: "hanging-up", peer, callId: place.callId }), { do: "hang-up" }];
    }
    case "same":
    case "later":
    case "numbers":
      if (place.name !== "in-call") return [state];
      return [
        at(state, {
          ...place,
          view: action === "numbers" ? "numbers" : "talk",
          compared: action === "same" || place.compared,
        }),
      ];
    case "differs": {
      if (place.name !== "in-call") return [state];
      const { peer, callId } = place;
      const told = noted(state, { kind: "fault", about: "call", code: "sas-differs", cause: "" });
      return [at(told, { name: "hanging-up", peer, callId }), { do: "hang-up" }];
    }
    case "back":
      return [home(state)];
    case "ok":
      if (place.name !== "alarm") return [home(state)];
      return [acknowledged(state)];
    case "pin-done":
    case "pin-erase":
    case "pin-leave":
    case "pin-skip":
    case "pin-keep":
      return [state]; // the keys of another place: lock.ts
    default:
      return action satisfies never;
  }
}

function key(state: State, pressed: NumpadKey): Step {
  const { place } = state;
  switch (place.name) {
    case "lock":
      return withLock(state, lockKey(state.lock, pressed));
    case "front":
      if (pressed === "#" && state.line.at === "off") {
        return [at(state, { name: "about", shown: undefined }), { do: "about" }];
      }
      return [state.line.at === "up" && isDigit(pressed) ? typed(state, pressed) : state];
    case "phonebook":
      if (pressed === "2") return [read(scrolled(state, -1))];
      if (pressed === "8") return [read(scrolled(state, 1))];
      if (pressed === "5") return state.selected ? call(state, state.selected) : [state];
      if (pressed === "#") return [typed(read(state), "")];
      return [isDigit(pressed) ? typed(read(state), pressed) : state];
    case "dial":
      if (pressed === "*") return [typed(state, place.digits.slice(0, -1))];
      if (!isDigit(pressed) || place.digits.length >= MAX_DIGITS) return [state];
      return [typed(state, place.digits + pressed)];
    case "incoming":
      return [pressed === "*" ? at(state, { ...place, silenced: true }) : state];
    case "in-call":
      if (pressed === "5")
        return [
          { ...state, muted: !state.muted },
          { do: "mute", on: !state.muted },
        ];
      if (pressed === "*") return louder(state);
      return [state];
    default:
      return [state];
  }
}

function isDigit(pressed: NumpadKey): boolean {
  return pressed !== "*" && pressed !== "#";
}

/** Up to the top, then round again from the quietest. */
function louder(state: State): Step {
  const volumePercent = state.volumePercent >= 100 ? VOLUME_STEP : Math.min(100, state.volumePercent + VOLUME_STEP);
  return [
    { ...state, volumePercent },
    { do: "volume", percent: volumePercent },
  ];
}

/** The digits are looked up as they are typed, so that the name is on the screen before anybody presses Call. */
function typed(state: State, digits: string): State {
  return at(state, { name: "dial", digits, found: byDigits(state.directory, digits), askAgain: false });
}

function scrolled(state: State, by: 1 | -1): State {
  const contacts = state.directory?.contacts ?? [];
  const index = contacts.findIndex((contact) => contact.uid === state.selected?.uid);
  const towards = index === -1 ? (by === 1 ? 0 : contacts.length - 1) : index + by;
  const contact = contacts[Math.min(contacts.length - 1, Math.max(0, towards))];
  return { ...state, selected: contact && peer(contact) };
}

function call(state: State, callee: Peer): Step {
  const own = state.directory?.contacts.find((contact) => contact.own);
  if (callee.uid === own?.uid) return [unanswered(state, "self", callee)];
  return [at(state, { name: "dialling", peer: callee, callId: undefined }), { do: "call", uid: callee.uid }];
}

/** A call that ends before anything left the handset: no keys were made. */
function unanswered(state: State, why: CallEnd, callee: Peer | undefined): State {
  return at(state, {
    name: "ended",
    ending: { callId: undefined, peer: callee, why, erased: "none", durationMs: 0 },
    elapsedMs: 0,
  });
}

/* ---- the PIN ---- */

function withLock(state: State, [lock, ...commands]: [Lock, ...Command[]]): Step {
  return [{ ...state, lock }, ...commands];
}

function hasPin({ lock }: State): boolean {
  return lock.at === "open" && lock.pin;
}

/** Names go from this thread's memory as the key goes from the vault; what nobody has read yet stays and waits. */
function locking(state: State): Step {
  const lock: Lock = { at: "working", what: "locking", elapsedMs: 0 };
  const nameless = { directory: undefined, selected: undefined, joined: [], left: [] };
  return [{ ...state, ...nameless, lock, line: { at: "off" } }, { do: "lock" }];
}

/** Nothing is left that a handset at its first start would not have. */
function wiped({ server, ownName, volumePercent, charge, place }: State): State {
  const fresh = begin({ server, ownName, volumePercent, charge });
  return place.name === "quitting" || place.name === "gone" ? at(fresh, place) : fresh;
}

/* ---- what the line tells ---- */

function heard(state: State, event: LineEvent): Step {
  const { place, line } = state;
  const step = lockHeard(event);
  if (step) return withLock(event.event === "wiped" ? wiped(state) : state, step);
  if (state.lock.at !== "open" && !HEARD_LOCKED.has(event.event)) return [state];
  switch (event.event) {
    case "connecting":
      if (line.at === "leaving") return [state];
      return [{ ...withoutLine(state), line: { at: "connecting", resuming: event.resuming, steps: [] } }];

    case "step": {
      // A late step of a line that is lost or left says nothing any more.
      if (line.at !== "connecting") return [state];
      return [{ ...state, line: { ...line, steps: [...line.steps, { step: event.step, ms: event.ms }] } }];
    }

    case "connected": {
      const known = { ...state, protection: event.protection };
      // News of a line that is taking its leave: the phonebook is right all the same.
      if (line.at === "leaving") return [withDirectory(known, event.directory)];
      return [withDirectory({ ...known, line: { at: "up", resumed: event.resumed } }, event.directory)];
    }

    case "disconnected":
      return disconnected(state, event.code, event.retryInMs);

    case "directory":
      return [withChanges(withDirectory(state, event.directory), event.changes)];

    case "updating":
      return [place.name === "updating" ? at(state, { name: "updating", step: event.step }) : state];

    case "updated": {
      const { oldRoot, newRoot, same, changes } = event;
      // Row 003-31: the phonebook is shown anew, from its top.
      const fromTop: State = { ...state, selected: undefined };
      return [updated(fromTop, { kind: "updated", oldRoot, newRoot, same, changes })];
    }

    case "update-failed":
      return [updated(state, { kind: "fault", about: "update", code: event.code, cause: "" })];

    case "dialling":
      if (!isWaitingForCall(place)) return [state];
      return [at(state, { ...place, peer: peer(event.peer), callId: event.callId })];

    case "rings":
      if (place.name !== "dialling" || place.callId !== event.callId) return [state];
      return [at(state, { name: "ringing-out", peer: place.peer, callId: event.callId })];

    case "incoming":
      return incoming(state, event.callId, peer(event.peer));

    case "in-call":
      return inCall(state, event.callId, peer(event.peer), event.sas);

    case "voice": {
      if (place.name !== "in-call" || place.callId !== event.callId) return [state];
      const voice = { sent: event.sent, received: event.received, lost: event.lost };
      return [at(state, { ...place, voice, before: place.voice })];
    }

    case "ended":
      return ended(state, event);

    case "evidence":
      return [distrust(state, "two-directories", event.file)];

    case "device-failed":
      return [noted(state, { kind: "fault", about: "device", code: event.device, cause: event.code })];

    case "about":
      return [place.name === "about" ? at(state, { name: "about", shown: event.about }) : state];

    case "gone":
      return [{ ...at(state, { name: "gone" }), line: { at: "off" } }];

    case "making-key":
    case "pin-wanted":
    case "unlocked":
    case "wiped":
      return [state]; // heard above

    default:
      return event satisfies never;
  }
}

/** What has nothing to do with people, and the end. */
const HEARD_LOCKED: ReadonlySet<LineEvent["event"]> = new Set(["device-failed", "evidence", "gone"]);

function disconnected(state: State, code: string, retryInMs: number | undefined): Step {
  const { line, place } = state;
  // A leave that was asked for is no news, whatever came of it; nor is one more word from a line that is off.
  const quiet = line.at === "leaving" || line.at === "off" || code === "left";
  const lost: State = {
    ...state,
    line: quiet
      ? { at: "off" }
      : retryInMs === undefined
        ? { at: "refused", code, after: line.at === "connecting" ? line.steps.at(-1)?.step : undefined }
        : { at: "lost", code, retryInMs },
  };
  // Before the line thread knew of this call there was no call: it will not report an end.
  if (place.name === "dialling" && place.callId === undefined) return [unanswered(lost, "line-lost", place.peer)];
  const seen = withoutLine(lost);
  return [!quiet && retryInMs === undefined && isRed(faultOf(code)) ? distrust(seen, code, undefined) : seen];
}

/** Red from now on; `settle` brings the red screen as soon as no call is in its way. */
function distrust(state: State, code: string, evidence: string | undefined): State {
  const before = state.distrust;
  const worse = before && blocksForGood(faultOf(before.code)) ? before.code : code;
  return { ...state, distrust: { code: worse, evidence: evidence ?? before?.evidence, seen: false } };
}

/** The red screen was read. Only a server that was caught stays locked out; the other faults may be tried again. */
function acknowledged(state: State): State {
  const caught = state.distrust && blocksForGood(faultOf(state.distrust.code));
  const known: State = { ...state, distrust: caught ? { ...state.distrust!, seen: true } : undefined };
  return home({ ...known, line: known.line.at === "leaving" ? known.line : { at: "off" } });
}

function withDirectory(state: State, directory: DirectoryShown): State {
  const { place } = state;
  const selected = state.selected && isListed(directory, state.selected) ? state.selected : undefined;
  const known: State = { ...state, directory, selected };
  if (place.name !== "dial") return known;
  const found = byDigits(directory, place.digits);
  const same = found?.uid === place.found?.uid && found?.name === place.found?.name;
  return same ? known : at(known, { ...place, found, askAgain: true });
}

function withChanges(state: State, { joined, left, renamed, newKey }: ChangesShown): State {
  const named: State = {
    ...state,
    joined: union(without(state.joined, left), without(joined, state.left)),
    left: union(without(state.left, joined), without(left, state.joined)),
  };
  return renamed.length + newKey.length === 0 ? named : noted(named, { kind: "changes", renamed, newKey });
}

function updated(state: State, notice: Notice): State {
  return state.place.name === "updating" ? at(read(state), { name: "notice", notice }) : noted(state, notice);
}

function incoming(state: State, callId: string, caller: Peer): Step {
  const { place } = state;
  const missed: Notice = { kind: "missed", peer: caller, times: 1 };
  switch (place.name) {
    // Through a server that is not trusted nobody is called.
    case "alarm":
      return [noted(state, missed), { do: "hang-up" }];
    // Cannot be: the line answers 486. Should it come all the same, the person hears of it afterwards.
    case "ringing-out":
    case "incoming":
    case "answering":
    case "in-call":
      return [noted(state, missed)];
    case "quitting":
    case "gone":
      return [state];
    default:
      return [at(setAside(state), { name: "incoming", peer: caller, callId, silenced: false })];
  }
}

function inCall(state: State, callId: string, other: Peer, sas: readonly number[]): Step {
  const { place } = state;
  // Hang up was pressed while the other end answered: the line has been told, its "ended" is on the way.
  if (place.name === "hanging-up" || place.name === "quitting" || place.name === "gone") return [state];
  const talking: State = {
    ...setAside(state),
    place: {
      name: "in-call",
      peer: other,
      callId,
      sas,
      view: "numbers",
      compared: false,
      elapsedMs: 0,
      voice: undefined,
      before: undefined,
    },
    muted: false,
  };
  return state.muted ? [talking, { do: "mute", on: false }] : [talking];
}

function ended(state: State, event: Extract<LineEvent, { event: "ended" }>): Step {
  const { place } = state;
  const { callId, why, erased, durationMs } = event;
  const mine = "callId" in place && (place.callId === callId || place.callId === undefined);
  const other = mine ? peerOf(place) : undefined;
  const ending: Ending = { callId, peer: other, why, erased, durationMs };
  const known = why === "two-directories" ? distrust(state, why, undefined) : state;
  if (!mine) {
    // Told before: the screen has it.
    const told = place.name === "ended" && place.ending.callId === callId;
    return [told ? known : noted(known, { kind: "ended", ending })];
  }
  // Why the numbers differed is read before how the call ended.
  if (known.notices.some(isAboutCall)) return [home(noted(known, { kind: "ended", ending }))];
  if (why === "missed" && other) return [home(noted(known, { kind: "missed", peer: other, times: 1 }))];
  return [at(known, { name: "ended", ending, elapsedMs: 0 })];
}

/* ---- time and battery ---- */

function tick(state: State, elapsedMs: number): State {
  const { place, line } = state;
  const lock = lockTick(state.lock, elapsedMs);
  const waited: State =
    line.at === "lost"
      ? { ...state, lock, line: { ...line, retryInMs: Math.max(0, line.retryInMs - elapsedMs) } }
      : { ...state, lock };
  if (place.name !== "in-call" && place.name !== "ended" && place.name !== "alarm") return waited;
  return at(waited, { ...place, elapsedMs: place.elapsedMs + elapsedMs });
}

function battery(state: State, charge: Charge | undefined): State {
  const known = { ...state, charge };
  return isLow(charge) && !isLow(state.charge) ? noted(known, { kind: "battery", percent: charge!.percent }) : known;
}

export function isLow(charge: Charge | undefined): boolean {
  return charge !== undefined && !charge.charging && charge.percent <= LOW_PERCENT;
}

/* ---- what follows from the state ---- */

export function toneOf(state: State): Tone {
  const { place } = state;
  switch (place.name) {
    case "dialling":
      return "pips";
    case "ringing-out":
      return "ringback";
    case "incoming":
      return place.silenced ? "none" : "ring";
    case "ended":
      return place.elapsedMs < ENDED_MS ? ENDINGS[place.ending.why].tone : "none";
    case "alarm":
      return place.elapsedMs < ALARM_MS ? "alarm" : "none";
    default:
      return "none";
  }
}

export function lightOf(state: State): Light {
  const { place, line } = state;
  switch (place.name) {
    case "lock":
      return lockLight(state);
    case "alarm":
      return { colour: "red", rhythm: "fast" };
    case "incoming":
      return { colour: "blue", rhythm: "fast" };
    case "in-call":
      return line.at === "up" ? { colour: "green", rhythm: "steady" } : { colour: "amber", rhythm: "slow" };
    case "notice":
      if (isAboutCall(place.notice)) return { colour: "red", rhythm: "fast" };
      return place.notice.kind === "missed"
        ? { colour: "blue", rhythm: "double" }
        : { colour: "amber", rhythm: "double" };
    case "quitting":
    case "gone":
      return { colour: "off", rhythm: "steady" };
    default:
      return lineLight(line);
  }
}

/** A handset that was wiped shines like a new one. */
function lockLight({ lock, notices }: State): Light {
  if (lock.at === "broken") return { colour: "amber", rhythm: "double" };
  if (lock.at !== "asked") return { colour: "white", rhythm: "fast" };
  if (lock.waitMs > 0 || lock.refused !== undefined) return { colour: "amber", rhythm: "slow" };
  if (missedCalls(notices) > 0) return { colour: "blue", rhythm: "double" };
  return { colour: "white", rhythm: "slow" };
}

/** How often somebody called in vain and nobody has read it yet. */
export function missedCalls(notices: readonly Notice[]): number {
  return notices.reduce((sum, notice) => sum + (notice.kind === "missed" ? notice.times : 0), 0);
}

function lineLight(line: Line): Light {
  switch (line.at) {
    case "off":
    case "leaving":
      return { colour: "white", rhythm: "slow" };
    case "connecting":
      return { colour: "white", rhythm: "fast" };
    case "up":
      return { colour: "green", rhythm: "slow" };
    case "lost":
      return { colour: "amber", rhythm: "slow" };
    case "refused":
      return { colour: "red", rhythm: "slow" };
    default:
      return line satisfies never;
  }
}

/** Whether something on the screen or in the ear changes by time alone. */
export function clockOf(state: State): boolean {
  const { place, line } = state;
  if (place.name === "lock" && lockTicks(state.lock)) return true;
  if (line.at === "lost" && line.retryInMs > 0) return true;
  if (place.name === "ended") return ENDINGS[place.ending.why].tone !== "none" && place.elapsedMs < ENDED_MS;
  return place.name === "in-call" || (place.name === "alarm" && place.elapsedMs < ALARM_MS);
}

/** Whether an open handset lies about that nobody can call: it locks itself after a while without a key. */
export function idleOf(state: State): boolean {
  const { lock, line, place } = state;
  const open = hasPin(state) || (lock.at === "asked" && mayLeave(lock) && !lock.sent);
  const away = line.at === "off" || line.at === "refused";
  return open && away && !isInCall(place) && place.name !== "quitting" && place.name !== "gone";
}

function isTouch(event: Event): boolean {
  return event.event === "press" || event.event === "key";
}

/* ---- moving ---- */

function at(state: State, place: Place): State {
  return { ...state, place };
}

/** Where the handset rests: what waits is shown first, then the phonebook, or the line while there is none. */
function home(state: State): State {
  const [notice, ...notices] = state.notices;
  if (notice) return { ...state, notices, place: { name: "notice", notice } };
  if (state.line.at !== "up") return at(state, { name: "front" });
  const first = state.directory?.contacts.find((contact) => !contact.own);
  return { ...state, place: { name: "phonebook" }, selected: state.selected ?? (first && peer(first)) };
}

/**
 * After every event: the red screen comes as soon as no call is in its way (its keys were agreed before), and the line
 * to a server that is not trusted is left. A handset at rest shows what waits; nobody is interrupted who types,
 * connects or calls.
 */
function settle(state: State): Step {
  const { place, line, lock, distrust } = state;
  if (place.name === "quitting" || place.name === "gone") return [state];
  if (lock.at !== "open") return [place.name === "lock" ? state : at(setAside(state), { name: "lock" })];
  if (place.name === "lock") return settle(home(state));
  if (distrust && !isInCall(place)) {
    const shown = distrust.seen || place.name === "alarm";
    const red = shown ? state : at(setAside(state), { name: "alarm", elapsedMs: 0 });
    const live = line.at === "connecting" || line.at === "up" || line.at === "lost";
    if (live) return [{ ...withoutLine(red), line: { at: "leaving" } }, { do: "leave" }];
    if (!shown) return [red];
  }
  const resting =
    place.name === "phonebook" || (place.name === "front" && line.at !== "connecting" && line.at !== "leaving");
  return [resting && state.notices.length > 0 ? home(state) : state];
}

/** The phonebook was looked at: who came and went is no news any more. */
function read(state: State): State {
  return state.joined.length + state.left.length === 0 ? state : { ...state, joined: [], left: [] };
}

/** A notice that is pushed off the screen has not been read to its end: it comes back first. */
function setAside(state: State): State {
  const { place, notices } = state;
  return place.name === "notice" ? { ...state, notices: queued([place.notice], ...notices) } : state;
}

function noted(state: State, notice: Notice): State {
  return { ...state, notices: queued(state.notices, notice) };
}

/** Alike notices become one, so that no caller and no loose plug can fill the memory. */
function queued(notices: readonly Notice[], ...more: readonly Notice[]): readonly Notice[] {
  const queue = [...notices];
  for (const notice of more) {
    const index = queue.findIndex((waiting) => subjectOf(waiting) === subjectOf(notice));
    if (index === -1) queue.push(notice);
    else queue[index] = joinedNotices(queue[index]!, notice);
  }
  return queue;
}

function subjectOf(notice: Notice): string {
  if (notice.kind === "missed") return `missed ${notice.peer.uid}`;
  if (notice.kind === "fault") return `fault ${notice.about} ${notice.code}`;
  return notice.kind;
}

function joinedNotices(older: Notice, newer: Notice): Notice {
  if (older.kind === "missed" && newer.kind === "missed") return { ...newer, times: older.times + newer.times };
  if (older.kind === "changes" && newer.kind === "changes") {
    const superseded = new Set(newer.renamed.map(({ from }) => from));
    const renamed = [...older.renamed.filter(({ to }) => !superseded.has(to)), ...newer.renamed];
    return { kind: "changes", renamed, newKey: union(older.newKey, newer.newKey) };
  }
  return newer;
}

/* ---- small questions ---- */

function peer(contact: ContactShown): Peer {
  return { uid: contact.uid, name: contact.name };
}

function peerOf(place: Place): Peer | undefined {
  if ("peer" in place) return place.peer;
  if (place.name === "ended") return place.ending.peer;
  if (place.name !== "notice") return undefined;
  if (place.notice.kind === "missed") return place.notice.peer;
  return place.notice.kind === "ended" ? place.notice.ending.peer : undefined;
}

/** Leading zeros do not count: "02" is 2, which lets ids be typed that begin with a key of the phonebook. */
function byDigits(directory: DirectoryShown | undefined, digits: string): Peer | undefined {
  if (digits === "") return undefined;
  const found = directory?.contacts.find((contact) => contact.id === Number(digits));
  return found && peer(found);
}

function isListed(directory: DirectoryShown | undefined, { uid, name }: Peer): boolean {
  return directory?.contacts.some((contact) => contact.uid === uid && contact.name === name) ?? false;
}

/** The numbers of a call differed: red. */
function isAboutCall(notice: Notice): boolean {
  return notice.kind === "fault" && notice.about === "call";
}

function isWaitingForCall(place: Place): place is Extract<Place, { name: "dialling" | "hanging-up" }> {
  return (place.name === "dialling" || place.name === "hanging-up") && place.callId === undefined;
}

function isInCall(place: Place): boolean {
  return "callId" in place;
}

/** Away from what cannot be done, or is not true, without the server. */
function withoutLine(state: State): State {
  const { name } = state.place;
  const needed = name === "phonebook" || name === "dial" || name === "updating" || name === "leave?";
  return needed ? at(state, { name: "front" }) : state;
}

function without(names: readonly string[], others: readonly string[]): string[] {
  return names.filter((name) => !others.includes(name));
}

function union(some: readonly string[], more: readonly string[]): string[] {
  return [...new Set([...some, ...more])];
}
