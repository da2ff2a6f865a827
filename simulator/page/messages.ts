/** What the simulator and its page say to each other: public values only, field by field. */
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

export interface HandsetShown {
  name: string;
  running: boolean;
  wire: WireState;
}

export type Note =
  | "connected"
  | "resumed"
  | "disconnected"
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

export type Order =
  | { do: "add" | "kill-server" | "start-server" }
  | { do: "remove" | "cut" | "stall" | "restore"; handset: string };

/** One text message of the page; never throws. @returns `undefined` for whatever is none */
export function parseOrder(text: string): Order | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (typeof value !== "object" || value === null) return undefined;
  const { do: what, handset } = value as Record<string, unknown>;
  if (what === "add" || what === "kill-server" || what === "start-server") return { do: what };
  if (typeof handset !== "string") return undefined;
  if (what === "remove" || what === "cut" || what === "stall" || what === "restore") return { do: what, handset };
  return undefined;
}
