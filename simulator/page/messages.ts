/** What the simulator and its page say to each other: public values only, field by field. */
import { LANGUAGES, type Language } from "@feldfon/hw/board/page/texts";
import { objectIn } from "@feldfon/hw/board/page/wire";
import type { ConnectStep } from "@feldfon/protocol/phone/orders";

/** Somebody on the ladder: "server", or a handset's name. */
export type Party = string;

export type WireState = "open" | "stalled" | "cut";

export interface ServerShown {
  running: boolean;
  port: number;
  /** 64 hex digits. */
  fingerprint: string;
  /** As `/state` says, while it runs. */
  epoch: number | undefined;
  rows: number | undefined;
  seedRoot: string | undefined;
  protection: string | undefined;
}

/** Whether there is a process, and whether it has opened its page yet. */
export type Power = "starting" | "on" | "off";

export interface HandsetShown {
  name: string;
  power: Power;
  wire: WireState;
  /** Of its display. */
  language: Language;
}

export type Note =
  | "connected"
  | "resumed"
  | "disconnected"
  | "left"
  | "rings"
  | "in-call"
  | "voice"
  | "ended"
  | "updated"
  | "evidence"
  | "started"
  | "stopped"
  | "killed"
  | "cut"
  | "stalled"
  | "restored";

interface Item {
  /** An item that comes again replaces the one before. */
  id: string;
  /** Milliseconds since 1970. */
  time: number;
}

export interface MessageItem extends Item {
  item: "message";
  from: Party;
  to: Party;
  /** As in the trace: `REGISTER m1`. */
  kind: string;
  /** Bytes of the frame. */
  size: number;
  arrived: boolean;
}

export interface StepItem extends Item {
  item: "step";
  at: Party;
  step: ConnectStep;
  ms: number;
}

export interface NoteItem extends Item {
  item: "note";
  at: Party;
  note: Note;
  /** Numbers and words for the sentence of this note. */
  facts: Readonly<Record<string, string | number>>;
}

export type LadderItem = MessageItem | StepItem | NoteItem;

export type ToBrowser =
  | { say: "household"; server: ServerShown; handsets: HandsetShown[]; mayAdd: boolean }
  | { say: "ladder"; items: LadderItem[] };

const OF_ALL = ["add", "kill-server", "start-server"] as const;
const OF_ONE = ["remove", "kill", "start", "cut", "stall", "restore"] as const;

export type Order =
  | { do: (typeof OF_ALL)[number] }
  | { do: (typeof OF_ONE)[number]; handset: string }
  /** It is switched off and on for it: a language is a setting. */
  | { do: "speak"; handset: string; language: Language };

/** One text message of the page; never throws. @returns `undefined` for whatever is none */
export function parseOrder(text: string): Order | undefined {
  const { do: what, handset, language } = objectIn(text) ?? {};
  const ofAll = OF_ALL.find((known) => known === what);
  if (ofAll) return { do: ofAll };
  if (typeof handset !== "string") return undefined;
  const ofOne = OF_ONE.find((known) => known === what);
  if (ofOne) return { do: ofOne, handset };
  const known = LANGUAGES.find((one) => one === language);
  return what === "speak" && known ? { do: what, handset, language: known } : undefined;
}
