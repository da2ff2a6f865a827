import assert from "node:assert/strict";
import { appendFileSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { traceLine } from "@feldfon/protocol/trace";
import { TraceTail } from "@feldfon/simulator/trace-tail";

describe("simulator trace", () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "feldfon-trace-"));
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  const record = (kind: string) => ({ time: 1, place: "server", kind, size: 10, from: "server", to: "aaaaaaaa" });

  it("is read as it grows, from where the last look ended, half a line later", () => {
    const path = join(folder, "server.trace");
    writeFileSync(path, traceLine(record("of an earlier run")));
    const tail = new TraceTail(path);
    assert.deepEqual(tail.read(), [], "not there yet");
    const line = traceLine(record("BYE"));
    appendFileSync(path, `${traceLine(record("INVITE"))}${line.slice(0, 20)}`);
    assert.deepEqual(tail.read(), [record("INVITE")]);
    appendFileSync(path, line.slice(20));
    assert.deepEqual(tail.read(), [record("BYE")]);
    assert.deepEqual(tail.read(), []);
  });

  it("takes six fields of a record and nothing else, and no line that is none", () => {
    const path = join(folder, "server.trace");
    const tail = new TraceTail(path);
    const more = JSON.stringify({ ...record("ACK"), body: "hidden" });
    writeFileSync(path, `${more}\n{"time":1}\nnot JSON\nnull\n[]\n`);
    assert.deepEqual(tail.read(), [record("ACK")]);
  });
});
