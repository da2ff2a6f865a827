import assert from "node:assert/strict";
import { ProtocolError, VaultError } from "@feldfon/protocol/errors";
import { type LogFields, openLog } from "@feldfon/server/log";
import { handsetKey } from "./handsets.ts";

/** What one entry becomes. */
function entry(event: string, fields: object): Record<string, unknown> {
  const lines: string[] = [];
  const log = openLog({ destination: { write: (line) => lines.push(line) } });
  log.info(event, fields as LogFields);
  assert.equal(lines.length, 1);
  return JSON.parse(lines[0]!);
}

const { uid, spki } = handsetKey(1);

describe("Log", () => {
  it("says when, how grave, what, and about whom by the first digits of the uid", () => {
    const { time, ...rest } = entry("line proven", { peer: uid, ms: 12 });
    assert.match(String(time), /^\d{4}-\d\d-\d\dT.*Z$/);
    assert.deepEqual(rest, { level: "info", peer: uid.slice(0, 8), ms: 12, msg: "line proven" });
  });

  it("keeps keys, contents and names to itself, whatever it is handed", () => {
    const text = JSON.stringify(
      entry("mistake", {
        name: "Anna Berg",
        secret: "0123456789",
        spki,
        peer: uid,
        what: `about ${uid}`,
        rows: [{ name: "Anna Berg" }],
        more: { name: "Anna Berg" },
        buffer: Buffer.from("Anna Berg"),
      }),
    );
    for (const word of ["Anna", "0123456789", uid, "130"]) assert.ok(!text.includes(word), `${word} in ${text}`);
    assert.ok(text.includes(`about ${uid.slice(0, 8)}`));
  });

  it("shows our own errors by code and sentence, with their cause", () => {
    const cause = new VaultError("full", "no slot is free");
    const { err } = entry("line closed", { err: new ProtocolError("bad-sip", `from ${uid}`, { cause }) });
    assert.deepEqual(err, {
      code: "bad-sip",
      sentence: `from ${uid.slice(0, 8)}`,
      cause: { code: "full", sentence: "no slot is free" },
    });
  });

  it("shows where a mistake of ours was made", () => {
    const { err } = entry("surprise", { err: new TypeError("x is not a function") });
    assert.match((err as { stack: string }).stack, /log\.test\.ts/);
  });

  it("is silent below its level", () => {
    const lines: string[] = [];
    const log = openLog({ level: "warn", destination: { write: (line) => lines.push(line) } });
    log.info("no");
    log.warn("yes");
    log.error("yes");
    assert.equal(lines.length, 2);
  });
});
