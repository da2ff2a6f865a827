/**
 * The log: one JSON object a line. Peers appear by the first digits of their uid; keys, contents and names not at all.
 * Two nets hold that: fields have types that leave no room for more, and whatever slips through is redacted.
 */

import type { Uid } from "@feldfon/protocol/identity";
import { shortParty } from "@feldfon/protocol/trace";
import { type DestinationStream, type Level, pino } from "pino";

export interface LogFields {
  /** Shown by its first digits. */
  peer?: Uid | "server" | undefined;
  /** Reason in one word, as in errors. */
  code?: string;
  /** Its code and sentence are shown; its stack too when it is a mistake of ours. */
  err?: unknown;
  count?: number;
  epoch?: number;
  /** call_id of a call that is over. */
  call?: string;
  bytes?: number;
  ms?: number;
  port?: number;
  /** Which part speaks, or in which state it is. */
  what?: string;
}

export interface Log {
  info(event: string, fields?: LogFields): void;
  warn(event: string, fields?: LogFields): void;
  error(event: string, fields?: LogFields): void;
}

/** Never meant for the log, whoever passes them. */
const SILENT = ["name", "key", "spki", "secret", "digits", "body", "text", "enrolmentCode", "address"];
const GATHERED_BYTES = 4_096;
const GATHERED_MS = 100;
/** A uid or another hash in full. */
const HEX = /\b[0-9a-f]{64}\b/g;

/** @param destination standard output when missing */
export function openLog({
  level = "info",
  destination,
}: {
  level?: Level | "silent";
  destination?: DestinationStream;
} = {}): Log {
  const logger = pino(
    {
      level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }), log: redacted },
    },
    destination ?? standardOutput(),
  );
  const write =
    (at: Level) =>
    (event: string, fields: LogFields = {}) =>
      logger[at](fields, event);
  return { info: write("info"), warn: write("warn"), error: write("error") };
}

/**
 * Lines gather for a moment, so that a call does not wait for each of them; what is left goes out when the process ends.
 * Not pino's own gathering: at the end that tries for ever to write to a reader who is gone.
 */
function standardOutput(): DestinationStream {
  let gathered = "";
  let timer: NodeJS.Timeout | undefined;
  const flush = (): void => {
    clearTimeout(timer);
    timer = undefined;
    if (gathered !== "") process.stdout.write(gathered);
    gathered = "";
  };
  // Nobody reads any more: a server without a log goes on.
  process.stdout.on("error", () => {});
  process.once("exit", flush);
  return {
    write(line) {
      gathered += line;
      if (gathered.length >= GATHERED_BYTES) flush();
      else timer ??= setTimeout(flush, GATHERED_MS);
    },
  };
}

function redacted(fields: object): Record<string, unknown> {
  const safe: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(fields)) {
    if (value !== undefined) safe[key] = SILENT.includes(key) ? "[redacted]" : shown(value);
  }
  return safe;
}

function shown(value: unknown): unknown {
  if (typeof value === "string") return short(value);
  if (typeof value === "number" || typeof value === "boolean") return value;
  if (value instanceof Error) return shownError(value);
  return "[redacted]";
}

function shownError(error: Error): Record<string, unknown> {
  const { code } = error as { code?: unknown };
  // Ours have a code and a sentence without contents; anything else is a mistake, and its place is what helps.
  if (typeof code === "string")
    return { code, sentence: short(error.message), ...(error.cause ? { cause: shown(error.cause) } : {}) };
  return { sentence: short(error.message), stack: short(error.stack ?? "") };
}

function short(text: string): string {
  return text.replace(HEX, (uid) => shortParty(uid as Uid));
}
