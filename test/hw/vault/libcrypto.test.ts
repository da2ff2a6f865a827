/** hw/vault/libcrypto/build where there is nothing to build with, and whom it asks; what it builds, it checks itself. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import os from "node:os";
import path from "node:path";

const ROOT = path.resolve(import.meta.dirname, "../../..");
const BUILD = path.join(ROOT, "hw/vault/libcrypto/build");

describe("the build of the vault's OpenSSL", () => {
  let folder: string;

  beforeEach(() => {
    folder = mkdtempSync(path.join(os.tmpdir(), "feldfon-libcrypto-"));
  });

  afterEach(() => {
    rmSync(folder, { recursive: true, force: true });
  });

  /** Runs a command with an empty cache, and with some commands that are not what they seem. */
  function run(command: string, args: readonly string[], disguised: Record<string, string>) {
    const bin = path.join(folder, "bin");
    mkdirSync(bin);
    for (const [name, script] of Object.entries(disguised)) {
      writeFileSync(path.join(bin, name), `#!/bin/sh\n${script}\n`);
      chmodSync(path.join(bin, name), 0o755);
    }
    const { CC: _, MAKEFLAGS: __, ...inherited } = process.env;
    const env = { ...inherited, PATH: `${bin}:${process.env.PATH}`, FELDFON_CACHE: path.join(folder, "cache") };
    return spawnSync(command, args, { encoding: "utf8", env });
  }

  const COMPILER = 'case "$*" in *-dumpmachine*) echo x86_64-linux-gnu ;; *) cat >/dev/null ;; esac';

  it("explains itself with --help", () => {
    const { status, stdout } = run(BUILD, ["--help"], {});
    assert.equal(status, 0);
    assert.match(stdout, /^usage: .*\n/);
  });

  it("says what to install where there is no compiler", () => {
    const { status, stdout, stderr } = run(BUILD, [], { gcc: "exit 1" });
    assert.equal(status, 3);
    assert.equal(stdout, "");
    assert.match(stderr, /^libcrypto: cannot be built here: .*sudo apt-get install .*gcc.*\n$/);
  });

  it("asks the system's own archive, for signed sources of one release, and leaves nothing behind when it is silent", () => {
    const asked = path.join(folder, "asked");
    const { status, stdout, stderr } = run(BUILD, [], {
      gcc: COMPILER,
      "dpkg-source": "exit 1",
      "apt-cache": "exit 100",
      "apt-get": `
        case "$*" in *--print-uris*)
          echo "'http://archive.invalid/debian/dists/bookworm/InRelease' a 0"
          echo "'http://archive.invalid/debian/dists/bookworm-updates/InRelease' b 0"
          echo "'http://security.invalid/debian-security/dists/bookworm-security/InRelease' c 0"
          echo "'http://foreign.invalid/dists/nodistro/InRelease' d 0"
          exit ;;
        esac
        echo "$*" >${asked}.options
        for option; do case $option in Dir::Etc::SourceList=*) cp "\${option#*=}" ${asked} ;; esac; done
        exit 100`,
    });
    assert.equal(status, 3, stderr);
    assert.equal(stdout, "");
    const lines = readFileSync(asked, "utf8").trimEnd().split("\n");
    assert.deepEqual(
      lines.map((line) => line.replace(/debian-archive-keyring\.(pgp|gpg)/, "debian-archive-keyring")),
      [
        "deb-src [signed-by=/usr/share/keyrings/debian-archive-keyring] http://archive.invalid/debian trixie main",
        "deb-src [signed-by=/usr/share/keyrings/debian-archive-keyring] http://security.invalid/debian-security trixie-security main",
      ],
    );
    const options = readFileSync(`${asked}.options`, "utf8");
    assert.match(options, /Acquire::AllowInsecureRepositories=false/);
    assert.match(options, /APT::Get::AllowUnauthenticated=false/);
    assert.deepEqual(readdirSync(path.join(folder, "cache/libcrypto")), ["lock"]);
  });

  it("may fail without make run failing: it says that the vault is degraded, unless one was built before", () => {
    const before = existsSync(path.join(ROOT, "hw/vault/build/vault.node"));
    const nothing = { "dpkg-query": "exit 1", id: "echo 1000", sudo: "exit 1", gcc: "exit 1" };
    const { status, stderr } = run("make", ["-C", ROOT, "vault"], nothing);
    assert.equal(status, 0, stderr);
    assert.equal(/ordinary memory \(degraded\)/.test(stderr), !before);
  });

  it("stands before everything that runs", () => {
    for (const target of ["run", "run-terminal", "run-server", "run-handset", "demo", "test"]) {
      assert.match(run("make", ["-C", ROOT, "--dry-run", target], {}).stdout, /hw\/vault\/libcrypto\/build/, target);
      rmSync(path.join(folder, "bin"), { recursive: true });
    }
  });
});
