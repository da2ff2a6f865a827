/** The fuzz targets in short (`make fuzz` is the long form): every kept input, and random ones, under sanitizers. */
import assert from "node:assert/strict";
import { execFile, spawnSync } from "node:child_process";
import { randomInt } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { build, builtLibcrypto, corpusOf, environment, targets } from "./targets.ts";

const SANITIZED = "-fsanitize=address,undefined";
/** On stacks of its own, which AddressSanitizer does not follow onto. */
const SHIPPED = "-O2 -D_FORTIFY_SOURCE=2 -fstack-protector-strong";
const SECONDS = 2;

describe("the vault's core under any sequence of calls", function () {
  this.timeout(120_000);
  let folder: string;

  before(function () {
    if (!process.env.CI && (!builtLibcrypto() || spawnSync("gcc", ["--version"]).status !== 0)) {
      console.log("    gcc or the vault's libcrypto is missing: hw/vault/libcrypto/build makes it");
      this.skip();
    }
    folder = mkdtempSync(join(tmpdir(), "feldfon-fuzz-"));
  });

  after(() => {
    if (folder) rmSync(folder, { recursive: true });
  });

  for (const [target, flags] of [
    ...targets.map((target) => [target, SANITIZED] as const),
    ["vault", SHIPPED] as const,
  ]) {
    it(`answers as its model has it: ${target}, ${flags === SHIPPED ? "as shipped" : "sanitized"}`, async () => {
      const program = await build(target, { compiler: "gcc", flags, folder, driver: true });
      await expectSuccess(program, corpusOf(target));
      await expectSuccess(program, String(SECONDS), String(randomInt(2 ** 31)));
    });
  }

  /** What the program has said comes with the failure, its arguments too: a seed makes a failure come again. */
  async function expectSuccess(program: string, ...args: string[]): Promise<void> {
    const options = { cwd: folder, env: await environment() };
    const failure = await new Promise<string>((resolve) => {
      execFile(program, args, options, (error, _, stderr) => resolve(error ? `${error.message}\n${stderr}` : ""));
    });
    assert.equal(failure, "", args.join(" "));
  }
});
