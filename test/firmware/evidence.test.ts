/** `feldfon verify-evidence FILE`, as somebody without handset and server runs it. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";

const ROOT = path.join(import.meta.dirname, "../..");
const vectors = JSON.parse(readFileSync(path.join(ROOT, "test/vectors/directory.json"), "utf8"));

describe("feldfon verify-evidence", () => {
  const folder = mkdtempSync(path.join(tmpdir(), "feldfon-evidence-"));
  after(() => rmSync(folder, { recursive: true }));

  const judge = (...args: string[]) => {
    const { status, stdout, stderr } = spawnSync(path.join(ROOT, "bin/feldfon"), args, { encoding: "utf8" });
    return { status, stdout, stderr };
  };
  const file = (name: string, bytes: Buffer): string => {
    const at = path.join(folder, name);
    writeFileSync(at, bytes);
    return at;
  };

  it("ends with 0 and says which lie the server signed", () => {
    const { status, stdout } = judge("verify-evidence", file("two", Buffer.from(vectors.evidence, "base64")));
    assert.equal(status, 0);
    assert.match(stdout, /two different directories for one epoch/);
  });

  it("ends with 1 for a path that proves nothing by itself", () => {
    const { status, stdout } = judge("verify-evidence", file("path", Buffer.from(vectors.evidenceOfPath, "base64")));
    assert.equal(status, 1);
    assert.match(stdout, /proves no lie/);
  });

  it("ends with 2 for a file that is altered, no evidence or not there, and for other commands", () => {
    const altered = Buffer.from(vectors.evidence, "base64");
    altered[900]! ^= 1;
    assert.equal(judge("verify-evidence", file("altered", altered)).status, 2);
    assert.equal(judge("verify-evidence", file("none", Buffer.from("no evidence"))).status, 2);
    assert.equal(judge("verify-evidence", path.join(folder, "missing")).status, 2);
    assert.equal(judge("verify").status, 2);
    assert.equal(judge().status, 2);
  });
});
