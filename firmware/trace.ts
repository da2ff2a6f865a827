/** `--trace FILE` of a handset: one redacted message a line (protocol/trace.ts); tracing never holds up a call. */
import { createWriteStream } from "node:fs";
import type { Uid } from "@feldfon/protocol/identity";
import type { Passed } from "@feldfon/protocol/phone/line";
import { shortParty, traceLine } from "@feldfon/protocol/trace";

/** @param path undefined: nothing is traced. @param own whose trace it is */
export function handsetTrace(path: string | undefined, own: Uid): (message: Passed) => void {
  if (path === undefined) return () => {};
  const file = createWriteStream(path, { flags: "a", mode: 0o600 });
  let failed = false;
  file.on("error", () => {
    failed = true;
  });
  const place = shortParty(own);
  return ({ direction, kind, size }) => {
    const [from, to] = direction === "sent" ? [place, "server"] : ["server", place];
    if (!failed) file.write(traceLine({ time: Date.now(), place, kind, size, from, to }));
  };
}
