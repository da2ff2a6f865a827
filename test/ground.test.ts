/** The ground people stand on: what they type first works, and says what to do when it cannot. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import {
  accessSync,
  chmodSync,
  constants,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import os from "node:os";
import path from "node:path";
import { stolenPercentBetween } from "../bench/stolen.ts";

const ROOT = path.join(import.meta.dirname, "..");
const COMMANDS = readdirSync(path.join(ROOT, "bin")).filter((name) => name !== "feldfon-node");

function read(file: string): string {
  return readFileSync(path.join(ROOT, file), "utf8");
}

interface PackageJson {
  name: string;
  version: string;
  license: string;
  type: string;
  engines: { node: string };
  exports: Record<string, string>;
  workspaces: string[];
  scripts: Record<string, string>;
  dependencies?: Record<string, string>;
  devDependencies?: Record<string, string>;
  optionalDependencies?: Record<string, string>;
}

function packageJson(folder = "."): PackageJson {
  return JSON.parse(read(path.join(folder, "package.json"))) as PackageJson;
}

function run(command: string, args: readonly string[], options: { cwd?: string; env?: NodeJS.ProcessEnv } = {}) {
  const { status, stdout, stderr } = spawnSync(command, args, {
    cwd: ROOT,
    encoding: "utf8",
    timeout: 15_000,
    stdio: ["ignore", "pipe", "pipe"],
    ...options,
  });
  return { status, stdout, stderr };
}

describe("Ground", () => {
  let folder: string;

  beforeEach(() => {
    folder = mkdtempSync(path.join(os.tmpdir(), "feldfon-ground-"));
  });

  afterEach(() => {
    rmSync(folder, { recursive: true, force: true });
  });

  /** A folder for the front of the PATH with commands that are not what they seem. */
  function disguise(commands: Record<string, string>): string {
    const bin = path.join(folder, "disguised");
    mkdirSync(bin);
    for (const [name, script] of Object.entries(commands)) {
      writeFileSync(path.join(bin, name), `#!/bin/sh\n${script}\n`);
      chmodSync(path.join(bin, name), 0o755);
    }
    return `${bin}:${process.env.PATH}`;
  }

  describe("make", () => {
    const targets = [...read("Makefile").matchAll(/^([a-z0-9-]+):[^#\n]*## /gm)].map(([, target]) => target!);

    it("alone lists every target with one line", () => {
      const { status, stdout } = run("make", ["--no-print-directory"]);
      assert.equal(status, 0);
      const lines = stdout.trimEnd().split("\n");
      assert.equal(lines.length, targets.length);
      for (const target of targets) {
        assert.match(stdout, new RegExp(`^  make ${target} +\\S.{8,}$`, "m"));
      }
    });

    for (const target of ["run", "test", "demo", "bench", "check", "build", "install", "clean"]) {
      it(`has the target ${target}`, () => assert.ok(targets.includes(target)));
    }

    for (const target of ["run", "test", "demo", "check", "build", "bench", "run-server", "run-handset"]) {
      it(`${target} sees to toolchain and packages first`, () => {
        const { status, stdout } = run("make", ["--dry-run", "--no-print-directory", target]);
        assert.equal(status, 0);
        const steps = ["bin/toolchain", "npm ci"].map((step) => stdout.indexOf(step));
        assert.ok(steps[0]! >= 0 && steps[0]! < steps[1]!, stdout);
      });
    }

    it("test and demo see to system packages too", () => {
      for (const target of ["test", "demo"]) {
        assert.match(run("make", ["--dry-run", target]).stdout, new RegExp(`bin/system-packages ${target}`));
      }
    });
  });

  describe("commands", () => {
    for (const command of COMMANDS) {
      it(`${command} explains itself with --help`, () => {
        const { status, stdout, stderr } = run(path.join(ROOT, "bin", command), ["--help"]);
        assert.equal(status, 0, stderr);
        assert.match(stdout, /usage|feldfon/i);
      });
    }

    it("are executable and plain sh", () => {
      for (const command of [...COMMANDS, "feldfon-node"]) {
        const file = path.join(ROOT, "bin", command);
        accessSync(file, constants.X_OK);
        assert.match(readFileSync(file, "utf8"), /^#!\/bin\/sh\n/);
        assert.equal(run("sh", ["-n", file]).stderr, "");
      }
    });

    it("find their tree through a link from anywhere", () => {
      const link = path.join(folder, "feldfon");
      symlinkSync(path.join(ROOT, "bin/feldfon-node"), link);
      const { stdout } = run(link, ["-p", "process.versions.node.split('.')[0] >= 24"], { cwd: folder });
      assert.equal(stdout.trim(), "true");
    });

    it("refuse an option nobody knows", () => {
      for (const command of ["feldfon", "feldfon-server", "feldfon-handset"]) {
        const { status, stderr } = run(path.join(ROOT, "bin", command), ["--no-such-option"]);
        assert.notEqual(status, 0, command);
        assert.notEqual(stderr, "", command);
      }
    });

    it("of the telephone run without an inspector", () => {
      for (const command of ["feldfon", "feldfon-server", "feldfon-handset", "feldfon-simulator"]) {
        assert.match(read(`bin/${command}`), /--disable-sigusr1/, command);
      }
    });
  });

  describe("toolchain", () => {
    it("is at once content with what is there", function () {
      if (!existsSync(path.join(ROOT, ".toolchain/stamp"))) this.skip();
      assert.deepEqual(run(path.join(ROOT, "bin/toolchain"), []), { status: 0, stdout: "", stderr: "" });
    });

    it("takes the system's Node when that is 24 or newer", function () {
      const prefix = path.dirname(path.dirname(process.execPath));
      if (!existsSync(path.join(prefix, "include/node/common.gypi"))) this.skip();
      cpSync(path.join(ROOT, "bin"), path.join(folder, "bin"), { recursive: true });
      const PATH = disguise({
        node: `exec '${process.execPath}' "$@"`,
        npm: "echo 11.19.1",
        npx: "exit 1",
      });
      const first = run(path.join(folder, "bin/toolchain"), [], { env: { ...process.env, PATH } });
      assert.equal(first.status, 0, first.stderr);
      assert.match(first.stdout, /of this system/);
      const { stdout } = run(path.join(folder, "bin/feldfon-node"), ["-p", "process.execPath"]);
      assert.equal(stdout.trim(), process.execPath);
      assert.equal(run(path.join(folder, "bin/toolchain"), [], { env: { ...process.env, PATH } }).stdout, "");
    });

    it("says what to install where there is no Node, or one too old to fetch another", () => {
      cpSync(path.join(ROOT, "bin"), path.join(folder, "bin"), { recursive: true });
      const PATH = disguise({
        node: 'case "$1" in -p) case "$2" in *execPath*) echo "$0" ;; *) echo 16 ;; esac ;; esac',
      });
      const old = run(path.join(folder, "bin/toolchain"), [], { env: { ...process.env, PATH } });
      assert.equal(old.status, 1);
      assert.match(old.stderr, /Node 16 is too old/);
      rmSync(path.join(folder, "disguised"), { recursive: true });
      const none = run(path.join(folder, "bin/toolchain"), [], {
        env: { ...process.env, PATH: disguise({ node: "exit 127" }) },
      });
      assert.equal(none.status, 1);
      assert.match(none.stderr, /apt-get install nodejs npm/);
    });
  });

  describe("system packages", () => {
    it("are listed in one place, each with its targets and its purpose", () => {
      const lines = read("system-packages.txt")
        .split("\n")
        .filter((line) => line !== "" && !line.startsWith("#"));
      assert.ok(lines.length > 0);
      const target = "(test|demo|vault|leakscan|fuzz|arm64)";
      const form = new RegExp(`^[a-z0-9.+|-]+ +${target}(,${target})* +\\S.{10,}$`);
      for (const line of lines) assert.match(line, form);
    });

    it("that are missing are named with the command to install them, when nobody may install", () => {
      const PATH = disguise({ "dpkg-query": "exit 1", id: "echo 1000", sudo: "exit 1" });
      const { status, stderr } = run(path.join(ROOT, "bin/system-packages"), ["test"], {
        env: { ...process.env, PATH },
      });
      assert.equal(status, 1);
      assert.match(stderr, /apt-get install --no-install-recommends python3 python3-cryptography gcc/);
      assert.match(stderr, /libsrtp2-dev/);
    });

    it("that are there cost no look at the package index", () => {
      const PATH = disguise({ "dpkg-query": "printf installed", "apt-get": "echo called; exit 1" });
      const env = { ...process.env, PATH };
      assert.deepEqual(run(path.join(ROOT, "bin/system-packages"), ["test"], { env }), {
        status: 0,
        stdout: "",
        stderr: "",
      });
    });

    it("are content with the second choice where the first is missing", () => {
      const PATH = disguise({
        "dpkg-query": 'case "$4" in alsa-utils) exit 1 ;; *) printf installed ;; esac',
        "apt-get": "echo called; exit 1",
      });
      const env = { ...process.env, PATH };
      assert.equal(run(path.join(ROOT, "bin/system-packages"), ["demo"], { env }).status, 0);
    });
  });

  describe("workspaces", () => {
    const root = packageJson();

    for (const workspace of root.workspaces) {
      it(`${workspace} matches the others`, () => {
        const own = packageJson(workspace);
        assert.equal(own.version, root.version);
        assert.equal(own.license, root.license);
        assert.equal(own.type, "module");
        assert.deepEqual(own.engines, root.engines);
        assert.equal(own.exports["./*"], "./*.ts");
        const references = JSON.parse(read("tsconfig.json")).references as { path: string }[];
        assert.ok(
          references.some((reference) => reference.path === workspace),
          "tsconfig.json does not know it",
        );
        const compiled = JSON.parse(read(`${workspace}/tsconfig.json`)).compilerOptions as { outDir: string };
        assert.equal(path.join(workspace, compiled.outDir), path.join("dist", workspace));
      });
    }

    it("use each other and the outside in exact versions", () => {
      for (const workspace of [".", ...root.workspaces]) {
        const { dependencies, devDependencies, optionalDependencies } = packageJson(workspace);
        for (const [name, version] of Object.entries({
          ...dependencies,
          ...devDependencies,
          ...optionalDependencies,
        })) {
          assert.match(version, /^\d+\.\d+\.\d+$/, `${workspace}: ${name}`);
          if (name.startsWith("@feldfon/")) assert.equal(version, root.version, `${workspace}: ${name}`);
        }
      }
    });

    it("are what the lock file says, so that npm ci passes in a fresh clone", () => {
      const locked = JSON.parse(read("package-lock.json")).packages as Record<string, Partial<PackageJson>>;
      for (const workspace of [".", ...root.workspaces]) {
        const { version, dependencies, devDependencies, optionalDependencies } = packageJson(workspace);
        const entry = locked[workspace === "." ? "" : workspace];
        assert.deepEqual(
          [entry?.version, entry?.dependencies, entry?.devDependencies, entry?.optionalDependencies],
          [version, dependencies, devDependencies, optionalDependencies],
          workspace,
        );
      }
    });

    it("leave out the devices where the server is installed alone", () => {
      const seen = new Set<string>();
      const visit = (name: string): void => {
        if (seen.has(name)) return;
        seen.add(name);
        const folder = root.workspaces.find((workspace) => packageJson(workspace).name === name);
        if (folder) Object.keys(packageJson(folder).dependencies ?? {}).forEach(visit);
      };
      visit("@feldfon/server");
      assert.ok(!seen.has("@feldfon/hw") && !seen.has("@feldfon/voice") && !seen.has("@feldfon/firmware"));
    });

    it("have scripts that never run another Node than ours", () => {
      for (const [name, script] of Object.entries(root.scripts)) {
        for (const part of script.split("&&")) assert.match(part.trim(), /^bin\/feldfon-(node |simulator$)/, name);
      }
    });
  });

  describe("bench", () => {
    const bench = (args: readonly string[], file = path.join(ROOT, "bench/main.ts")) =>
      run(process.execPath, [file, ...args]);

    /** bench/main.ts beside a bench of our own making. */
    function withBench(figures: object[]): string {
      for (const file of ["main.ts", "stolen.ts"]) cpSync(path.join(ROOT, "bench", file), path.join(folder, file));
      writeFileSync(path.join(folder, "package.json"), '{"type":"module"}');
      writeFileSync(
        path.join(folder, "walk.ts"),
        `/** How far one walks. Really. */\nexport async function run() {\n  return { name: "walk", figures: ${JSON.stringify(figures)} };\n}\n`,
      );
      return path.join(folder, "main.ts");
    }

    it("lists what there is", () => {
      assert.equal(bench(["--list"]).status, 0);
      assert.match(bench(["--list"], withBench([])).stdout, /^walk +How far one walks$/m);
    });

    it("refuses a name it does not have, and an option it does not know", () => {
      assert.equal(bench(["no-such-bench"]).status, 2);
      assert.equal(bench(["../main"]).status, 2);
      assert.equal(bench(["--jsn"]).status, 2);
      assert.equal(bench([]).status, 2);
    });

    it("prints a table, and with --json one object with the machine", () => {
      const file = withBench([{ name: "steps", value: 12345.6, unit: "steps", wanted: ">= 1", ok: true }]);
      const table = bench(["walk"], file);
      assert.equal(table.status, 0, table.stderr);
      assert.match(table.stdout, /^steps +12,346 +steps +>= 1 +ok$/m);
      const { name, figures, machine } = JSON.parse(bench(["walk", "--json"], file).stdout);
      assert.equal(name, "walk");
      assert.equal(figures[0].value, 12345.6);
      assert.equal(machine.node, process.versions.node);
      const stolen = /([\d.]+) % of its CPU time went to the host's other guests$/m.exec(table.stdout)?.[1];
      for (const percent of [Number(stolen), machine.stolenPercent]) assert.ok(percent >= 0 && percent <= 100);
    });

    it("tells what the host's other guests took of the time that was wanted, waiting apart", () => {
      //               user nice system idle iowait irq softirq steal guest
      const before = "cpu  100 20 30 4000 500 6 7 80 9 0\ncpu0 1 1 1 1 1 1 1 1 1 1\n";
      const after = "cpu  130 30 40 9000 900 9 14 100 19 0\ncpu0 9 9 9 9 9 9 9 9 9 9\n";
      assert.equal(stolenPercentBetween(before, after), 25);
      assert.equal(stolenPercentBetween(before, before), 0);
    });

    it("ends with 1 when a figure is not what is wanted", () => {
      assert.equal(bench(["walk"], withBench([{ name: "steps", value: 0, unit: "", wanted: 1, ok: false }])).status, 1);
      assert.equal(bench(["walk"], withBench([{ name: "steps", value: 0, unit: "", wanted: 1 }])).status, 1);
      assert.equal(bench(["walk"], withBench([{ name: "steps", value: 0, unit: "" }])).status, 0);
    });
  });

  describe("documents", () => {
    const documents = ["README.md", "ARCHITECTURE.md", "SECURITY.md", "CHANGELOG.md", "test/acceptance.md"];

    it("link to what exists", () => {
      for (const document of documents) {
        for (const [, target] of read(document).matchAll(/\]\((?!https?:|#)([^)#]+)[^)]*\)/g)) {
          assert.ok(existsSync(path.join(ROOT, path.dirname(document), target!)), `${document} links to ${target}`);
        }
      }
    });

    it("name targets of make that exist", () => {
      const makefile = read("Makefile");
      for (const document of documents) {
        for (const [, target] of read(document).matchAll(/(?:`|^ {4}|^)make ([a-z0-9-]+)/gm)) {
          assert.match(makefile, new RegExp(`^${target}:`, "m"), `${document}: make ${target}`);
        }
      }
    });

    it("name files that exist", () => {
      for (const document of documents) {
        for (const [, file] of read(document).matchAll(
          /`((?:protocol|hw|firmware|server|simulator|bench|test|bin|systemd)\/[\w./-]+)`/g,
        )) {
          assert.ok(existsSync(path.join(ROOT, file!)), `${document}: ${file}`);
        }
      }
    });

    it("come with the licence that package.json names", () => {
      assert.equal(packageJson().license, "Apache-2.0");
      assert.match(read("LICENSE"), /Apache License\s+Version 2\.0, January 2004/);
    });
  });

  describe("units", () => {
    for (const [unit, command] of [
      ["feldfon-server.service", "feldfon-server"],
      ["feldfon-handset.service", "feldfon-handset"],
    ] as const) {
      it(`${unit} starts ${command} with options it has`, () => {
        const start = /^ExecStart=\/opt\/feldfon\/bin\/(\S+) (.*)$/m.exec(read(`systemd/${unit}`));
        assert.equal(start?.[1], command);
        const help = run(path.join(ROOT, "bin", command), ["--help"]).stdout;
        for (const [option] of start![2]!.matchAll(/--[a-z-]+/g)) assert.ok(help.includes(option), option);
      });

      it(`${unit} lets its vault have the memory and the call it asks for, and nobody a core`, () => {
        const text = read(`systemd/${unit}`);
        // Twice what the server's vault takes (server/main.ts).
        assert.ok(Number(/^LimitMEMLOCK=(\d+)M$/m.exec(text)![1]) >= 64);
        assert.match(text, /^SystemCallFilter=.*\bmemfd_secret\b/m);
        assert.match(text, /^LimitCORE=0$/m);
        assert.match(text, /^NoNewPrivileges=yes$/m);
      });
    }
  });
});
