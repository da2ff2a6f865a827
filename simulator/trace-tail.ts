/** Reads a trace file as it grows. A line that is no record, or not whole yet, is not there. */
import { closeSync, openSync, readSync, rmSync } from "node:fs";
import type { TraceRecord } from "@feldfon/protocol/trace";

const MOST_BYTES = 256 * 1024;

export class TraceTail {
  readonly path: string;
  readonly #bytes = Buffer.alloc(MOST_BYTES);
  #at = 0;
  #rest = "";

  /** Whatever an earlier run has left is removed. */
  constructor(path: string) {
    this.path = path;
    rmSync(path, { force: true });
  }

  /** What came since the last time. */
  read(): TraceRecord[] {
    const lines = (this.#rest + this.#more()).split("\n");
    this.#rest = lines.pop()!;
    return lines.flatMap((line) => recordIn(line) ?? []);
  }

  #more(): string {
    let file: number;
    try {
      file = openSync(this.path, "r");
    } catch {
      return "";
    }
    try {
      const bytes = readSync(file, this.#bytes, 0, MOST_BYTES, this.#at);
      this.#at += bytes;
      return this.#bytes.toString("utf8", 0, bytes);
    } finally {
      closeSync(file);
    }
  }
}

function recordIn(line: string): TraceRecord | undefined {
  try {
    const { time, place, kind, size, from, to } = JSON.parse(line) as Record<string, unknown>;
    const words = [place, kind, from, to].every((word) => typeof word === "string");
    if (!words || typeof time !== "number" || typeof size !== "number") return undefined;
    return { time, place, kind, size, from, to } as TraceRecord;
  } catch {
    return undefined;
  }
}
