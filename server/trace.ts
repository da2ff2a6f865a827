/** `--trace FILE`: one redacted message a line (protocol/trace.ts). Never holds up or ends the process it watches. */
import { createWriteStream } from "node:fs";
import { type TraceRecord, traceLine } from "@feldfon/protocol/trace";

export interface Trace {
  /** Whether anybody reads it: a record that nobody wants need not be made. */
  readonly wanted: boolean;
  write(record: TraceRecord): void;
  close(): Promise<void>;
}

/** Waiting for a slow disk; beyond it lines are lost. */
const MOST_WAITING_BYTES = 4 * 1024 * 1024;

/**
 * Appends; mode 0600.
 *
 * @param path undefined: nothing is traced
 * @param onFault told once when the file cannot be written; tracing is over then
 */
export function openTrace(path: string | undefined, onFault: (error: Error) => void = () => {}): Trace {
  if (path === undefined) return { wanted: false, write: () => {}, close: async () => {} };
  const file = createWriteStream(path, { flags: "a", mode: 0o600 });
  let over = false;
  file.once("error", (error) => {
    over = true;
    onFault(error);
  });
  return {
    wanted: true,
    write(record) {
      if (!over && file.writableLength < MOST_WAITING_BYTES) file.write(traceLine(record));
    },
    close() {
      if (over) return Promise.resolve();
      over = true;
      return new Promise((resolve) => {
        file.once("error", () => resolve());
        file.end(resolve);
      });
    },
  };
}
