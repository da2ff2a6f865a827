import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { shortParty, traceLine } from "@feldfon/protocol/trace";
import { openTrace } from "@feldfon/server/trace";
import { handsetKey } from "./handsets.ts";

const record = {
  time: 1_800_000_000_000,
  place: "server",
  kind: "phone s:delta",
  size: 1_234,
  from: "server",
  to: "0123abcd",
};

describe("Trace", () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "feldfon-trace-"));
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  it("is one JSON object a line, always with the same six keys, whatever it is given", () => {
    const line =
      '{"time":1800000000000,"place":"server","kind":"phone s:delta","size":1234,"from":"server","to":"0123abcd"}\n';
    assert.equal(traceLine(record), line);
    assert.equal(traceLine({ body: "secret", ...record } as typeof record), line);
  });

  it("names peers by the first digits of their uid", () => {
    const { uid } = handsetKey(1);
    assert.equal(shortParty(uid), uid.slice(0, 8));
    assert.equal(shortParty("server"), "server");
    assert.equal(shortParty(undefined), "?");
  });

  it("is appended to, and nobody else may read it", async () => {
    const path = join(folder, "trace.jsonl");
    for (const size of [1, 2]) {
      const trace = openTrace(path);
      trace.write({ ...record, size });
      trace.write({ ...record, size: size * 10 });
      await trace.close();
    }
    const lines = readFileSync(path, "utf8").trimEnd().split("\n");
    assert.deepEqual(
      lines.map((line) => JSON.parse(line).size),
      [1, 10, 2, 20],
    );
    assert.equal(statSync(path).mode & 0o777, 0o600);
  });

  it("costs nothing when nobody asked for it", async () => {
    const trace = openTrace(undefined);
    trace.write(record);
    await trace.close();
  });

  it("does not trouble the process when its file cannot be written", async () => {
    const told = await new Promise<Error>((resolve) => {
      const trace = openTrace(join(folder, "no", "such", "folder"), resolve);
      trace.write(record);
    });
    assert.equal((told as NodeJS.ErrnoException).code, "ENOENT");
    const trace = openTrace(folder, () => {});
    trace.write(record);
    await trace.close();
    trace.write(record);
    await trace.close();
  });
});
