/** The vault's core, tested in C without Node: built here by gcc with the private libcrypto, plain and sanitized. */
import assert from "node:assert/strict";
import { execFile, spawnSync } from "node:child_process";
import { globSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { builtLibcrypto } from "../../../fuzz/targets.ts";
import { keyPath } from "../../../keys.ts";

const HERE = import.meta.dirname;
const CORE = join(HERE, "../../../../hw/vault/core");
const STRICT =
  "-std=gnu11 -Wall -Wextra -Wconversion -Wshadow -Werror -fvisibility=hidden -fstack-protector-strong -pthread";
const BUILDS = {
  "as it is shipped": "-O2 -D_FORTIFY_SOURCE=2",
  "under AddressSanitizer and UBSan": "-O1 -g -fsanitize=address,undefined -fno-sanitize-recover=undefined",
};

const run = promisify(execFile);

describe("the vault's core", () => {
  let folder: string;
  let libcrypto: string | undefined;

  before(function () {
    libcrypto = builtLibcrypto();
    if (!process.env.CI && (!libcrypto || spawnSync("gcc", ["--version"]).status !== 0)) {
      console.log("    gcc or the vault's libcrypto is missing: hw/vault/libcrypto/build makes it");
      this.skip();
    }
    assert(libcrypto, "the vault's libcrypto is not built: hw/vault/libcrypto/build");
    folder = mkdtempSync(join(tmpdir(), "feldfon-core-"));
  });

  after(() => {
    if (folder) rmSync(folder, { recursive: true });
  });

  for (const [how, flags] of Object.entries(BUILDS)) {
    it(`keeps its promises ${how}`, async function () {
      this.timeout(240_000);
      const program = await build(`test ${how}`, flags);
      await expectSuccess(program, await keyPath(0), await keyPath(1));
    });
  }

  async function build(name: string, flags: string): Promise<string> {
    const program = join(folder, name);
    const sources = [...globSync(join(CORE, "*.c")), ...globSync(join(HERE, "*.c"))];
    const includes = ["-I", CORE, "-isystem", join(libcrypto!, "include"), "-DVAULT_TESTING"];
    const archive = join(libcrypto!, "libcrypto.a");
    await run("gcc", [...STRICT.split(" "), ...flags.split(" "), ...includes, ...sources, archive, "-o", program]);
    return program;
  }

  /** What the program has said comes with the failure, its arguments too: a seed makes a failure come again. */
  async function expectSuccess(program: string, ...args: string[]): Promise<void> {
    // What OpenSSL makes once is never freed, and does not lie in a heap that a leak checker knows.
    const env = { ...process.env, ASAN_OPTIONS: "detect_leaks=0" };
    const { status, signal, stdout, stderr } = await new Promise<ReturnType<typeof outcome>>((resolve) => {
      execFile(program, args, { cwd: folder, env }, (error, stdout, stderr) => resolve(outcome(error, stdout, stderr)));
    });
    const said = [...stdout.split("\n").filter((line) => !line.startsWith("ok")), stderr].join("\n");
    assert.equal(status, 0, `${args.join(" ")} ended with ${signal ?? status}:\n${said}`);
  }
});

function outcome(error: { code?: unknown; signal?: unknown } | null, stdout: string, stderr: string) {
  return { status: error ? (error.code ?? 1) : 0, signal: error?.signal, stdout, stderr };
}
