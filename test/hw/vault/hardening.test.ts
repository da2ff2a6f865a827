/** What the process does about itself, and what it says of the rest; the real programs are in test/hardening.test.ts. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import type { HardeningStatus } from "@feldfon/protocol/vault";
import { hardenProcess } from "@feldfon/vault";

const VAULT = join(import.meta.dirname, "../../../hw/vault/hardening.ts");
const ALL = { dumpable: false, coreLimitBytes: 0, newPrivileges: false, sigusr1Ignored: true };

/** In a process of its own, without the addon; says what came of a SIGUSR1 too. */
const WITHOUT = `
  import { url } from "node:inspector";
  const { hardenProcess } = await import(process.argv[1]);
  const status = hardenProcess(null);
  process.once("SIGUSR1", () => setImmediate(() => {
    process.stdout.write(JSON.stringify({ status, url: url() ?? null }));
    clearTimeout(waiting);
  }));
  const waiting = setTimeout(() => {}, 10_000);
  process.kill(process.pid, "SIGUSR1");
`;

async function without(...flags: string[]): Promise<{ status: HardeningStatus; url: string | null; stderr: string }> {
  const argv = [...flags, "--input-type=module", "-e", WITHOUT, VAULT];
  const { stdout, stderr } = await promisify(execFile)(process.execPath, argv);
  return { ...JSON.parse(stdout), stderr };
}

describe("hardening of the process", () => {
  it("has nothing to tell an operator when everything is done", () => {
    const { missing, ...status } = hardenProcess({ harden: () => ALL });
    assert.deepEqual(status, { dumpable: false, coreLimitBytes: 0, newPrivileges: false, inspector: false });
    assert.deepEqual(missing, []);
  });

  it("says of each thing that could not be done what it means", () => {
    const refused = [
      { dumpable: true },
      { coreLimitBytes: 2 ** 64 },
      { newPrivileges: true },
      { sigusr1Ignored: false },
    ];
    const told = refused.map((one) => hardenProcess({ harden: () => ({ ...ALL, ...one }) }));
    for (const { missing } of told) assert.equal(missing.length, 1);
    assert.equal(new Set(told.flatMap(({ missing }) => missing)).size, refused.length);
    assert.equal(told[1]!.coreLimitBytes, Number.POSITIVE_INFINITY);
    assert.equal(told[3]!.inspector, true);
  });

  it("without the addon keeps SIGUSR1 from opening an inspector, and says what else is open", async () => {
    const { status, url, stderr } = await without();
    assert.deepEqual([status.inspector, status.dumpable, url, stderr], [false, undefined, null, ""]);
    assert.ok(status.missing.includes("others of this user may read its memory"));
    assert.ok(!status.missing.includes("SIGUSR1 may open the inspector"));
  });

  it("without the addon refuses an inspector all the same", async () => {
    await assert.rejects(without("--inspect=0"), /VaultError: the inspector shows every key/);
  });
});
