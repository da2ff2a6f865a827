/**
 * What the screen says, as a small model: derived from the state, drawn by drawing/, printed by screens-text.ts.
 *
 *     title                      battery
 *     blocks, top to bottom: marks, signs, the handset's words, names, numbers, steps, lists
 *     what the number pad does
 *     what the four keys do
 */
import { BUTTONS, type Button } from "@feldfon/hw/buttons/port";
import { connectSteps, updateSteps } from "@feldfon/protocol/phone/orders";
import { ENDINGS } from "./endings.ts";
import { FAULTS, faultOf } from "./faults.ts";
import type { AboutShown, ChangesShown } from "./link.ts";
import { type Asked, type Lock, MAX_PIN_DIGITS } from "./lock.ts";
import { type Ending, isLow, keysOf, type Line, missedCalls, type Notice, type Peer, type State } from "./machine.ts";
import { type Advice, fill, type Language, TEXTS, type Texts } from "./texts.ts";

export type Mark = "ok" | "info" | "caution" | "alarm";

/** What goes on, as a shape; its word stands beside it. */
export type Sign = "off" | "calling" | "ringing" | "incoming" | "keys" | "stopping" | "talking" | "question";

export interface Progress {
  readonly label: string;
  readonly text: string;
  readonly state: "done" | "now" | "open";
}

export interface Row {
  readonly label: string;
  /** From others. */
  readonly text: string;
  readonly note: string;
  readonly selected: boolean;
}

export type Block =
  /** Colour, shape and word. */
  | { readonly block: "mark"; readonly mark: Mark; readonly word: string; readonly large?: true }
  /** The same, for what is neither right nor wrong. */
  | { readonly block: "sign"; readonly sign: Sign; readonly mark: Mark; readonly text: string }
  /** The handset vouches for this text; on the screen it carries the bar at the left. */
  | { readonly block: "says"; readonly text: string; readonly runs?: true }
  /** `runs`: a clock or a count that changes by itself, no news to somebody who reads along. */
  | { readonly block: "detail"; readonly text: string; readonly runs?: true }
  /** What others chose: a name. It never carries the bar. `brief`: one's own, cut to one line. */
  | { readonly block: "name"; readonly text: string; readonly brief?: true }
  | { readonly block: "digits"; readonly text: string }
  /** Digits of a PIN, as dots: how many, never which. */
  | { readonly block: "dots"; readonly count: number; readonly of: number }
  /** Five numbers 00..63 with their pictograms and words; `rows` one below the other, to be read aloud. */
  | {
      readonly block: "numbers";
      readonly form: "rows" | "large" | "small";
      readonly numbers: readonly number[];
      readonly words: readonly string[];
    }
  /** How long and how well the voice comes through: 0 (not at all) to 4 bars. */
  | {
      readonly block: "voice";
      readonly time: string;
      readonly bars: number;
      readonly word: string;
      readonly lostPercent: number;
      readonly runs: true;
    }
  | { readonly block: "progress"; readonly rows: readonly Progress[] }
  | { readonly block: "list"; readonly rows: readonly Row[]; readonly dense: boolean };

export interface Screen {
  /** For programs: the place, at the front the line's: `off`, `connecting`, `verified`, `in-call`. */
  readonly name: string;
  readonly title: string;
  /** Tints the whole screen: `alarm` is the red one. */
  readonly tone: Mark | undefined;
  readonly blocks: readonly Block[];
  /** What the number pad does here; "" when it does nothing. */
  readonly pad: string;
  /** "" when the key does nothing. */
  readonly keys: Readonly<Record<Button, string>>;
  /** "87 %", "" without a battery. */
  readonly battery: string;
  readonly batteryLow: boolean;
  /** For programs: what the screen states, public values only. */
  readonly facts: Readonly<Record<string, unknown>>;
}

type Content = Pick<Screen, "name" | "title" | "blocks"> & Partial<Pick<Screen, "tone" | "pad" | "facts">>;

const MEBIBYTE = 2 ** 20;
const LIST_ROWS = 5;
/** Lines that changes may take beside a mark, and beside a mark and two roots. */
const CHANGE_LINES = 7;
const CHANGE_LINES_UPDATE = 5;

/** Whether one screen follows another by running numbers alone. */
export function onlyRuns(before: Screen, after: Screen): boolean {
  const still = ({ facts: _facts, blocks, ...rest }: Screen) =>
    JSON.stringify({ ...rest, blocks: blocks.filter((block) => !("runs" in block)) });
  return still(before) === still(after);
}

export function screenOf(state: State, language: Language): Screen {
  const texts = TEXTS[language];
  const actions = keysOf(state);
  const label = (button: Button) => (actions[button] ? texts.actions[actions[button]] : "");
  return {
    tone: undefined,
    pad: "",
    facts: {},
    ...contentOf(state, texts),
    keys: Object.fromEntries(BUTTONS.map((button) => [button, label(button)])) as Record<Button, string>,
    battery: state.charge ? `${state.charge.percent} %` : "",
    batteryLow: isLow(state.charge),
  };
}

function contentOf(state: State, texts: Texts): Content {
  const { place } = state;
  switch (place.name) {
    case "lock":
      return locked(state, state.lock, texts);
    case "front":
      return front(state, state.line, texts);
    case "about":
      return about(state, place.shown, texts);
    case "leave?":
      return { name: place.name, title: texts.leave.title, blocks: [sign("question", "caution", texts.leave.text)] };
    case "alarm":
      return alarm(state, texts);
    case "phonebook":
      return phonebook(state, texts);
    case "dial":
      return {
        name: place.name,
        title: texts.dial.title,
        blocks: [
          ...(place.askAgain ? [mark("caution", texts.dial.changed)] : []),
          digits(place.digits),
          place.digits === "" ? says(texts.dial.empty) : place.found ? name(place.found) : says(texts.dial.nobody),
        ],
        pad: texts.dial.pad,
        facts: { digits: place.digits, uid: place.found?.uid ?? null, askAgain: place.askAgain },
      };
    case "dialling":
      return call(place.name, "calling", texts.dialling, place.peer);
    case "ringing-out":
      return call(place.name, "ringing", texts.ringing, place.peer, place.callId);
    case "incoming": {
      const silenced = place.silenced ? [detail(texts.incoming.silenced)] : [];
      const content = call(place.name, "incoming", texts.incoming, place.peer, place.callId);
      return { ...content, blocks: [...content.blocks, ...silenced], pad: place.silenced ? "" : texts.incoming.pad };
    }
    case "answering":
      return call(place.name, "keys", texts.answering, place.peer, place.callId);
    case "in-call":
      return inCall(state, place, texts);
    case "hanging-up":
      return call(place.name, "stopping", texts.hangingUp, place.peer, place.callId);
    case "ended":
      return ended(place.ending, texts);
    case "updating": {
      const now = updateSteps.findIndex(({ step }) => step === place.step);
      const rows = progress(updateSteps, texts.updateSteps, now);
      return {
        name: place.name,
        title: texts.updating.title,
        blocks: [{ block: "progress", rows }],
        facts: { step: place.step },
      };
    }
    case "notice":
      return notice(place.notice, texts);
    case "quitting":
      return { name: place.name, title: texts.quitting.title, blocks: [sign("stopping", "info", texts.quitting.text)] };
    case "gone":
      return { name: place.name, title: texts.gone.title, blocks: [sign("off", "info", texts.gone.text)] };
    default:
      return place satisfies never;
  }
}

/* ---- the PIN ---- */

/** Nothing of other people: whoever finds a locked handset reads this. */
function locked(state: State, lock: Lock, texts: Texts): Content {
  const words = texts.lock;
  switch (lock.at) {
    case "asked":
      return asked(state, lock, texts);
    case "working": {
      const { title, text } = words[lock.what];
      const elapsed =
        lock.what === "making"
          ? [running(detail(fill(words.making.elapsed, { n: Math.floor(lock.elapsedMs / 1000) })))]
          : [];
      const name = lock.what === "making" ? "making-key" : "locking";
      return { name, title, blocks: [sign("keys", "info", text), ...elapsed] };
    }
    case "broken": {
      const { code } = lock;
      return {
        name: "start-failed",
        title: texts.off.title,
        tone: "caution",
        blocks: brief(code, texts),
        facts: { code },
      };
    }
    case "starting":
    case "open":
      return { name: "starting", title: words.starting.title, blocks: [sign("keys", "info", words.starting.text)] };
    default:
      return lock satisfies never;
  }
}

function asked(state: State, lock: Asked, texts: Texts): Content {
  const { purpose, count, left, waitMs, refused } = lock;
  const words = texts.lock;
  const waits = waitMs > 0;
  const missed = purpose === "unlock" ? missedCalls(state.notices) : 0;
  const wait = fill(words.wait, { time: duration(1000 * Math.ceil(waitMs / 1000)) });
  const why = refused !== undefined && isRefusal(refused) ? [mark("caution", words.refused[refused])] : [];
  const tries = left === undefined ? [] : [detail(fill(words.left, { n: left }))];
  const calls = missed === 0 ? [] : [detail(fill(words.missed, { n: missed }))];
  const failed = failedAt(state, refused);
  const field = waits ? running(says(wait)) : ({ block: "dots", count, of: MAX_PIN_DIGITS } as const);
  const hint = waits ? [] : [says(lock.sent ? words.moment : words.ask[purpose].text)];
  return {
    name: purpose === "unlock" ? "pin" : `pin-${purpose}`,
    title: words.ask[purpose].title,
    ...((why.length > 0 || failed !== undefined) && { tone: "caution" as const }),
    // What failed takes the room of what else there is to say.
    blocks: failed ? [...brief(failed, texts), field] : [...why, ...hint, field, ...tries, ...calls],
    pad: waits || lock.sent ? "" : texts.dial.pad,
    facts: { purpose, count, left: left ?? null, waitS: Math.ceil(waitMs / 1000), refused: refused ?? null, missed },
  };
}

/** The code of what keeps the key shut, or of a device that is broken: the number pad may be it. Never of a call. */
function failedAt({ notices }: State, refused: string | undefined): string | undefined {
  if (refused !== undefined && !isRefusal(refused)) return refused;
  return notices
    .filter((notice) => notice.kind === "fault")
    .find(({ about }) => about === "device" || about === "start")?.code;
}

function brief(code: string, texts: Texts): Block[] {
  const kind = faultOf(code);
  const { text, next } = texts.faults[kind];
  const what = kind === "other" ? fill(texts.code, { code: code.slice(0, 12) }) : text;
  return [mark("caution", fill(texts.error, { n: FAULTS[kind].number })), detail(what), detail(next)];
}

function isRefusal(word: string): word is keyof Texts["lock"]["refused"] {
  return Object.hasOwn(TEXTS.en.lock.refused, word);
}

/* ---- the line ---- */

function front(state: State, line: Line, texts: Texts): Content {
  switch (line.at) {
    case "off": {
      const server = detail(fill(texts.off.text, { server: shortened(state.server) }));
      const blocks = state.distrust
        ? [large("alarm", texts.off.blocked), server]
        : [sign("off", "info", texts.off.press), name({ name: state.ownName }), server];
      const facts = { blocked: state.distrust !== undefined };
      return { name: "off", title: texts.off.title, blocks, pad: texts.off.pad, facts };
    }
    case "leaving":
      return { name: "leaving", title: texts.leaving.title, blocks: [sign("stopping", "info", texts.leaving.text)] };
    case "connecting":
      return {
        name: "connecting",
        title: line.resuming ? texts.connecting.again : texts.connecting.title,
        // A resume goes through none of the eight steps: the line keeps the keys they made.
        blocks: line.resuming
          ? [sign("ringing", "info", texts.connecting.resuming)]
          : [{ block: "progress", rows: progress(connectSteps, texts.steps, line.steps.length) }],
        facts: { resuming: line.resuming, steps: line.steps },
      };
    case "up":
      return verified(state, line.resumed, texts);
    case "lost": {
      const retry = running(says(fill(texts.lost.retry, { n: Math.ceil(line.retryInMs / 1000) })));
      return fault("lost", texts.lost.title, "caution", line.code, texts, [retry]);
    }
    case "refused": {
      const after = line.after === undefined ? [] : [detail(fill(texts.afterStep, { step: line.after }))];
      const title = fill(texts.error, { n: FAULTS[faultOf(line.code)].number });
      return fault("refused", title, "caution", line.code, texts, after);
    }
    default:
      return line satisfies never;
  }
}

function about(state: State, shown: AboutShown | undefined, texts: Texts): Content {
  const words = texts.about;
  const content = { name: "about", title: words.title };
  if (!shown) return { ...content, blocks: [name({ name: state.ownName })] };
  const { arena, protection } = shown;
  const library = shown.library.split(" ").slice(0, 2).join(" ");
  const lines = [
    fill(words.key, { digits: shortRoot(shown.uid.slice(0, 12)) }),
    ...(isProtection(protection) ? [texts.verified.protection[protection]] : []),
    arena ? `${library}, ${(arena.usedBytes / MEBIBYTE).toFixed(1)}/${arena.bytes / MEBIBYTE} MiB` : library,
    words.randomness[shown.randomness],
    ...(shown.coreDumps ? [words.coreDumps] : []),
    ...(shown.inspector ? [words.inspector] : []),
    ...(shown.coreDumps || shown.inspector ? [] : [words.closed]),
    shown.pin ? fill(words.pin.set, { device: words.device[shown.deviceSecret ?? "none"] }) : words.pin.none,
    fill(words.version, { version: shown.version }),
  ];
  return {
    ...content,
    blocks: [{ ...name({ name: state.ownName }), brief: true }, ...lines.map(detail)],
    facts: { ...shown },
  };
}

function verified(state: State, resumed: boolean, texts: Texts): Content {
  const { directory, protection } = state;
  const own = directory?.contacts.find((contact) => contact.own);
  const blocks: Block[] = [];
  if (directory) {
    blocks.push(numbers("large", rootNumbers(directory.seedRoot), texts));
    blocks.push(detail(fill(texts.verified.root, { n: directory.contacts.length, epoch: directory.epoch })));
  }
  if (own) {
    const rows = [{ label: String(own.id), text: own.name, note: texts.phonebook.own, selected: false }];
    blocks.push({ block: "list", rows, dense: false });
  }
  if (protection && isProtection(protection)) blocks.push(detail(texts.verified.protection[protection]));
  return {
    name: "verified",
    title: texts.verified.title,
    tone: "ok",
    blocks,
    pad: texts.verified.pad,
    facts: {
      resumed,
      protection: protection ?? null,
      id: own?.id ?? null,
      uid: own?.uid ?? null,
      rootNumbers: directory ? rootNumbers(directory.seedRoot) : null,
      ...directoryFacts(state),
    },
  };
}

function alarm(state: State, texts: Texts): Content {
  const code = state.distrust?.code ?? "other";
  const title = fill(texts.error, { n: FAULTS[faultOf(code)].number });
  const file = state.distrust?.evidence;
  const evidence = file === undefined ? [] : [detail(fill(texts.evidence, { file: baseName(file) }))];
  const content = fault("alarm", title, "alarm", code, texts, evidence);
  return { ...content, facts: { ...content.facts, evidence: file ?? null } };
}

/** Shape, word, what it is, what to do; for a code nobody knows, the code. */
function fault(screen: string, title: string, tone: Mark, code: string, texts: Texts, more: readonly Block[]): Content {
  const kind = faultOf(code);
  const word = tone === "alarm" ? texts.danger : texts.caution;
  const unknown = kind === "other" ? [detail(fill(texts.code, { code: code.slice(0, 24) }))] : [];
  return {
    name: screen,
    title,
    tone,
    blocks: [large(tone, word), ...advice(texts.faults[kind]), ...unknown, ...more],
    facts: { code, fault: kind, number: FAULTS[kind].number },
  };
}

/* ---- the phonebook ---- */

function phonebook(state: State, texts: Texts): Content {
  const contacts = state.directory?.contacts ?? [];
  const index = contacts.findIndex((contact) => contact.uid === state.selected?.uid);
  const from = Math.max(0, Math.min(contacts.length - LIST_ROWS, index - Math.floor(LIST_ROWS / 2)));
  const rows = contacts.slice(from, from + LIST_ROWS).map((contact) => ({
    label: String(contact.id),
    text: contact.name,
    note: contact.own ? texts.phonebook.own : "",
    selected: contact.uid === state.selected?.uid,
  }));
  const blocks: Block[] = [{ block: "list", rows, dense: false }];
  if (contacts.every((contact) => contact.own)) blocks.push(says(texts.phonebook.empty));
  if (state.joined.length + state.left.length > 0) blocks.push(cameAndWent(state, texts));
  const place = contacts.length > LIST_ROWS && index >= 0 ? ` ${index + 1}/${contacts.length}` : "";
  return {
    name: "phonebook",
    title: `${texts.phonebook.title}${place}`,
    blocks,
    pad: texts.phonebook.pad,
    facts: {
      ...directoryFacts(state),
      contacts: rows.map(({ label, text }) => ({ id: Number(label), name: text })),
      selected: state.selected?.uid ?? null,
      joined: state.joined,
      left: state.left,
    },
  };
}

function directoryFacts({ directory }: State): Record<string, unknown> {
  return {
    epoch: directory?.epoch ?? null,
    members: directory?.contacts.length ?? 0,
    seedRoot: directory?.seedRoot ?? null,
    directoryRoot: directory?.directoryRoot ?? null,
  };
}

function cameAndWent({ joined, left }: State, texts: Texts): Block {
  return detail(fill(texts.phonebook.cameAndWent, { joined: joined.length, left: left.length }));
}

/* ---- calls ---- */

function call(
  screen: string,
  shape: Sign,
  words: { title: string; text: string },
  peer: Peer,
  callId?: string,
): Content {
  return {
    name: screen,
    title: words.title,
    blocks: [sign(shape, shape === "incoming" ? "ok" : "info", words.text), name(peer)],
    facts: { uid: peer.uid, callId: callId ?? null },
  };
}

function inCall(state: State, place: Extract<State["place"], { name: "in-call" }>, texts: Texts): Content {
  const { sas, peer, voice, callId, view, compared } = place;
  const words = texts.inCall;
  const facts = {
    uid: peer.uid,
    callId,
    sas,
    view,
    compared,
    muted: state.muted,
    volumePercent: state.volumePercent,
    voice: voice ?? null,
    line: state.line.at,
  };
  if (view === "numbers") {
    return {
      name: place.name,
      title: words.compare,
      tone: "caution",
      blocks: [numbers("rows", sas, texts)],
      pad: state.line.at === "up" ? words.aloud : texts.lost.title,
      facts,
    };
  }
  const note = state.distrust
    ? mark("alarm", words.distrust)
    : state.line.at !== "up"
      ? mark("caution", words.lineLost)
      : compared
        ? detail(fill(words.volume, { n: state.volumePercent }))
        : mark("caution", words.notCompared);
  return {
    name: place.name,
    title: state.muted ? words.muted : words.title,
    tone: state.distrust || state.muted || !compared || state.line.at !== "up" ? "caution" : "ok",
    blocks: [name(peer), heard(place, texts), numbers("small", sas, texts), note],
    pad: words.pad,
    facts,
  };
}

/** Packets lost in a hundred since the count before, and how many bars that leaves. */
const BARS: readonly (readonly [lostPercent: number, bars: 1 | 2 | 3 | 4])[] = [
  [2, 4],
  [5, 3],
  [15, 2],
  [100, 1],
];

function heard({ voice, before, elapsedMs }: Extract<State["place"], { name: "in-call" }>, texts: Texts): Block {
  const lost = (voice?.lost ?? 0) - (before?.lost ?? 0);
  const wanted = (voice?.received ?? 0) - (before?.received ?? 0) + lost;
  const lostPercent = wanted <= 0 ? 0 : Math.round((100 * Math.max(0, lost)) / wanted);
  const bars = wanted <= 0 ? 0 : BARS.find(([most]) => lostPercent <= most)![1];
  return { block: "voice", time: duration(elapsedMs), bars, word: texts.inCall.quality[bars], lostPercent, runs: true };
}

function ended(ending: Ending, texts: Texts): Content {
  const { why, erased, peer, durationMs, callId } = ending;
  const words = texts.ends[why];
  const form = ENDINGS[why];
  const blocks: Block[] = [];
  if (form.mark === "alarm") blocks.push(large("alarm", words.text));
  else if (erased !== "none") {
    blocks.push(large(erased === "both" ? "ok" : "caution", texts.erased[erased]), says(words.text));
  } else blocks.push(sign(form.sign, form.mark, words.text));
  if (peer) blocks.push(name(peer));
  if (words.next !== "") blocks.push(detail(words.next));
  else if (erased !== "none") blocks.push(detail(fill(texts.ended.lasted, { time: duration(durationMs) })));
  if (erased === "none" || form.mark === "alarm") blocks.push(detail(texts.erased[erased]));
  return {
    name: "ended",
    title: words.title,
    tone: erased === "here" && form.mark === "ok" ? "caution" : form.mark,
    blocks,
    facts: { why, erased, durationMs, callId: callId ?? null, uid: peer?.uid ?? null },
  };
}

/* ---- notices ---- */

function notice(shown: Notice, texts: Texts): Content {
  switch (shown.kind) {
    case "ended":
      return ended(shown.ending, texts);
    case "missed": {
      const times = shown.times > 1 ? [detail(fill(texts.missed.times, { n: shown.times }))] : [];
      return {
        name: "missed",
        title: texts.missed.title,
        tone: "info",
        blocks: [sign("incoming", "info", texts.missed.text), name(shown.peer), ...times],
        facts: { uid: shown.peer.uid, times: shown.times },
      };
    }
    case "updated": {
      const { oldRoot, newRoot, same } = shown;
      const words = texts.updated;
      const shape = !same ? "caution" : oldRoot === newRoot ? "ok" : "info";
      const word = !same ? words.differs : oldRoot === newRoot ? words.same : words.other;
      return {
        name: "updated",
        title: words.title,
        tone: shape,
        blocks: [
          mark(shape, word),
          detail(fill(words.old, { root: shortRoot(oldRoot) })),
          detail(fill(words.now, { root: shortRoot(newRoot) })),
          ...changes(shown.changes, CHANGE_LINES_UPDATE, texts),
        ],
        facts: { oldRoot, newRoot, same, changes: shown.changes },
      };
    }
    case "changes": {
      const changed = { joined: [], left: [], renamed: [...shown.renamed], newKey: [...shown.newKey] };
      return {
        name: "changes",
        title: texts.changes.title,
        tone: "caution",
        blocks: [mark("caution", texts.caution), ...changes(changed, CHANGE_LINES, texts)],
        facts: { renamed: shown.renamed, newKey: shown.newKey },
      };
    }
    case "fault": {
      const kind = faultOf(shown.code);
      const title = fill(texts.error, { n: FAULTS[kind].number });
      // A call is over when this is shown: red, and no alarm that closes the line.
      const tone = shown.about === "call" ? "alarm" : "caution";
      const content = fault("fault", title, tone, shown.code, texts, []);
      return { ...content, facts: { ...content.facts, about: shown.about, cause: shown.cause } };
    }
    case "battery":
      return {
        name: "battery",
        title: texts.battery.title,
        tone: "caution",
        blocks: [large("caution", fill(texts.battery.text, { n: shown.percent })), detail(texts.battery.next)],
        facts: { percent: shown.percent },
      };
    default:
      return shown satisfies never;
  }
}

/** The gravest first; what does not fit is counted, never left out unsaid. */
function changes(changed: ChangesShown, lines: number, texts: Texts): Block[] {
  const words = texts.changes;
  const groups: [heading: string, rows: Row[][]][] = [
    [words.newKey, changed.newKey.map((who) => [row("!", who)])],
    [words.renamed, changed.renamed.map(({ from, to }) => [row("-", from), row("+", to)])],
    [words.joined, changed.joined.map((who) => [row("+", who)])],
    [words.left, changed.left.map((who) => [row("-", who)])],
  ];
  const wanted = groups.reduce((sum, [, rows]) => sum + rows.flat().length + Math.min(1, rows.length), 0);
  // The last line is for the count.
  let room = wanted <= lines ? lines : lines - 1;
  let hidden = 0;
  const blocks: Block[] = [];
  for (const [heading, rows] of groups) {
    const shown: Row[] = [];
    for (const one of rows) {
      const needed = one.length + (shown.length === 0 ? 1 : 0);
      if (needed > room) hidden++;
      else {
        room -= needed;
        shown.push(...one);
      }
    }
    if (shown.length > 0) blocks.push(detail(heading), { block: "list", rows: shown, dense: true });
  }
  if (hidden > 0) blocks.push(detail(fill(words.more, { n: hidden })));
  return blocks;
}

/* ---- small pieces ---- */

function mark(shape: Mark, word: string): Block {
  return { block: "mark", mark: shape, word };
}

function large(shape: Mark, word: string): Block {
  return { block: "mark", mark: shape, word, large: true };
}

function sign(shape: Sign, colour: Mark, text: string): Block {
  return { block: "sign", sign: shape, mark: colour, text };
}

function numbers(form: "rows" | "large" | "small", five: readonly number[], texts: Texts): Block {
  return { block: "numbers", form, numbers: five, words: five.map((number) => texts.pictograms[number]!) };
}

type Words = Extract<Block, { block: "says" | "detail" }>;

function says(text: string): Words {
  return { block: "says", text };
}

function detail(text: string): Words {
  return { block: "detail", text };
}

function running(words: Words): Words {
  return { ...words, runs: true };
}

/** Somebody who left the phonebook in the meantime is still told apart by the key. */
function name(peer: Pick<Peer, "name"> & Partial<Peer>): Extract<Block, { block: "name" }> {
  return { block: "name", text: peer.name || (peer.uid?.slice(0, 12) ?? "") };
}

function digits(text: string): Block {
  return { block: "digits", text };
}

function advice({ text, next }: Advice): Block[] {
  return next === "" ? [says(text)] : [says(text), detail(next)];
}

function row(label: string, text: string): Row {
  return { label, text, note: "", selected: false };
}

/** @param done how many steps are behind; the next one is on its way */
function progress<Step extends string>(
  steps: readonly { readonly step: Step }[],
  words: Readonly<Record<Step, string>>,
  done: number,
): Progress[] {
  return steps.map(({ step }, at) => ({
    label: step,
    text: words[step],
    state: at < done ? "done" : at === done ? "now" : "open",
  }));
}

/** The first 30 bits of a root as five numbers 00..63: pictograms that two displays can be compared by. */
export function rootNumbers(root: string): number[] {
  const bits = Number.parseInt(root.slice(0, 8), 16) >>> 2;
  return [24, 18, 12, 6, 0].map((shift) => (bits >>> shift) & 63);
}

/** The first 64 bits of a root in four groups, enough to compare two displays by eye. */
export function shortRoot(root: string): string {
  return (root.slice(0, 16).match(/.{4}/g) ?? []).join(" ");
}

function isProtection(word: string): word is keyof Texts["verified"]["protection"] {
  return Object.hasOwn(TEXTS.en.verified.protection, word);
}

/** 0:07, 12:34, 1:02:03 */
export function duration(ms: number): string {
  const seconds = Math.floor(ms / 1000);
  const [hours, minutes, rest] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60];
  const tail = String(rest).padStart(2, "0");
  return hours > 0 ? `${hours}:${String(minutes).padStart(2, "0")}:${tail}` : `${minutes}:${tail}`;
}

/** The middle of a long address tells least. */
function shortened(address: string): string {
  return address.length <= 40 ? address : `${address.slice(0, 18)}...${address.slice(-18)}`;
}

function baseName(path: string): string {
  return path.slice(path.lastIndexOf("/") + 1);
}
