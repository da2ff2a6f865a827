/** Server and handset as processes that others want to look into (issue 4, item 6). Linux only: its /proc tells. */
import assert from "node:assert/strict";
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { copyFileSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { promisify } from "node:util";
import { keyPath } from "./keys.ts";

const ROOT = path.join(import.meta.dirname, "..");
const NATIVE = existsSync(path.join(ROOT, "hw/vault/build/vault.node"));
const REFUSED = /^feldfon-\w+: the inspector shows every key/m;
const SIGUSR1 = 10;

/** Whatever still runs after a test is killed. */
const running = new Set<ChildProcess>();
let folder: string;

interface Program {
  name: string;
  main: string;
  key: string;
  flags: readonly string[];
  /** What is typed into it, and what it says when it has heard and listens to signals. */
  hello: string;
  ready: RegExp;
}

const programs: readonly Program[] = [
  {
    name: "feldfon-server",
    main: path.join(ROOT, "server/main.ts"),
    key: "server-key.pem",
    flags: ["--host", "127.0.0.1", "--port", "0", "--udp-port", "0", "--health-port", "0"],
    hello: "",
    ready: /port \d+, fingerprint/,
  },
  {
    name: "feldfon-handset",
    main: path.join(ROOT, "firmware/main.ts"),
    key: "key.pem",
    flags: [
      "--board",
      "terminal",
      "--json",
      "--server",
      "127.0.0.1:9",
      "--server-key",
      "0".repeat(64),
      "--name",
      "anna",
      "--no-pin",
    ],
    hello: "key #\n",
    ready: /"event":"about".*\n/,
  },
];

interface Started {
  child: ChildProcess;
  pid: number;
  said: () => string;
  /** Until this is among what it said. */
  says(what: RegExp): Promise<void>;
  end: Promise<{ code: number | null; signal: NodeJS.Signals | null }>;
}

/** Root may look into everything; without its privileges it is a user like any other. */
const UNPRIVILEGED = process.getuid?.() === 0 ? ["setpriv", "--bounding-set=-all", "--inh-caps=-all"] : [];

function start(command: string, argv: readonly string[], env: NodeJS.ProcessEnv = {}): Started {
  // No limit of its own: what keeps a core away has to be the program's doing.
  const unlimited = ["-c", 'ulimit -c unlimited 2>/dev/null; exec "$@"', "sh"];
  const child = spawn("sh", [...unlimited, ...UNPRIVILEGED, command, ...argv], {
    cwd: folder,
    env: { ...process.env, ...env },
    stdio: ["pipe", "pipe", "pipe"],
  });
  running.add(child);
  let said = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8").on("data", (text: string) => {
      said += text;
      child.emit("said");
    });
  }
  const end = once(child, "close").then(([code, signal]) => {
    running.delete(child);
    child.emit("said");
    return { code, signal } as Awaited<Started["end"]>;
  });
  return {
    child,
    pid: child.pid!,
    said: () => said,
    end,
    says: async (what) => {
      while (!what.test(said)) {
        assert.equal(child.exitCode ?? child.signalCode, null, said);
        await once(child, "said");
      }
    },
  };
}

/** As `node main.ts`: without what bin/ does besides. */
async function serve({ main, key, flags, hello, ready }: Program): Promise<Started> {
  copyFileSync(await keyPath(0), path.join(folder, key));
  const started = start(process.execPath, [main, "--data", folder, ...flags]);
  started.child.stdin!.write(hello);
  await started.says(ready);
  return started;
}

/** Reads what the kernel gives only to those who may look into a process; of the same user, without any privilege. */
async function lookInto(pid: number): Promise<string> {
  const [command, ...argv] = [...UNPRIVILEGED, "cat", `/proc/${pid}/maps`];
  return (await promisify(execFile)(command!, argv)).stdout;
}

function statusOf(pid: number, field: string): string {
  return new RegExp(`^${field}:\\s+(\\S+)$`, "m").exec(readFileSync(`/proc/${pid}/status`, "latin1"))![1]!;
}

function cores(): string[] {
  return readdirSync(folder).filter((name) => name.includes("core"));
}

describe("hardening", function () {
  this.timeout(60_000);

  before(function () {
    if (process.platform !== "linux") this.skip();
  });

  beforeEach(() => {
    folder = mkdtempSync(path.join(os.tmpdir(), "feldfon-hardening-"));
  });

  afterEach(async () => {
    for (const child of running) {
      child.kill("SIGKILL");
      await once(child, "close");
    }
    rmSync(folder, { recursive: true });
  });

  for (const program of programs) {
    describe(`of ${program.name}`, () => {
      it("keeps others of the same user from looking into it", async function () {
        if (!NATIVE) this.skip();
        const open = start("sleep", ["60"]);
        const closed = await serve(program);
        assert.match(await lookInto(open.pid), /\[stack\]/);
        await assert.rejects(lookInto(closed.pid), /Permission denied/);
        assert.equal(statusOf(closed.pid, "NoNewPrivs"), "1");
      });

      it("leaves no core when it crashes", async function () {
        if (!NATIVE) this.skip();
        const open = start("sh", ["-c", "kill -SEGV $$"]);
        await open.end;
        // None: cores of this machine go elsewhere, and only the limit can be seen.
        for (const core of cores()) rmSync(path.join(folder, core));
        const closed = await serve(program);
        assert.match(readFileSync(`/proc/${closed.pid}/limits`, "latin1"), /^Max core file size +0 +0 /m);
        process.kill(closed.pid, "SIGSEGV");
        assert.equal((await closed.end).signal, "SIGSEGV");
        assert.deepEqual(cores(), []);
      });

      it("opens no inspector on SIGUSR1", async () => {
        const started = await serve(program);
        const ignored = BigInt(`0x${statusOf(started.pid, "SigIgn")}`) >> BigInt(SIGUSR1 - 1);
        if (NATIVE) assert.equal(ignored & 1n, 1n);
        process.kill(started.pid, "SIGUSR1");
        process.kill(started.pid, "SIGTERM");
        assert.deepEqual(await started.end, { code: 0, signal: null });
        assert.doesNotMatch(started.said(), /Debugger/);
      });

      for (const option of ["--inspect=0", "--inspect-port=0"]) {
        it(`refuses to start with ${option}, and makes no key`, async () => {
          const argv = [program.main, "--data", folder, ...program.flags];
          for (const refused of [
            start(process.execPath, [option, ...argv]),
            start(process.execPath, argv, { NODE_OPTIONS: `--no-warnings ${option}` }),
          ]) {
            assert.deepEqual(await refused.end, { code: 2, signal: null });
            assert.match(refused.said(), REFUSED);
          }
          assert.deepEqual(readdirSync(folder), []);
        });
      }

      it("is refused by its command before Node waits for whoever --inspect-brk is for", async () => {
        const command = path.join(ROOT, "bin", program.name);
        for (const option of ["--inspect-brk=0", "--inspect_brk=0"]) {
          const refused = start(command, ["--data", folder, ...program.flags], { NODE_OPTIONS: option });
          assert.deepEqual(await refused.end, { code: 2, signal: null });
          assert.match(refused.said(), /no inspector/);
        }
        assert.deepEqual(readdirSync(folder), []);
      });
    });
  }

  it("is seen on the handset: # tells about it", async () => {
    const handset = await serve(programs[1]!);
    const line = handset
      .said()
      .split("\n")
      .find((text) => text.includes('"event":"about"'))!;
    const { about } = JSON.parse(line);
    assert.equal(about.uid, /fingerprint (\w+)/.exec(handset.said())![1]);
    assert.equal(about.version, JSON.parse(readFileSync(path.join(ROOT, "firmware/package.json"), "utf8")).version);
    assert.equal(about.inspector, false);
    assert.match(about.randomness, /^kernel(\+hwrng)?$/);
    if (!NATIVE) return;
    assert.equal(about.coreDumps, false);
    assert.match(about.protection, /^(memfd_secret|locked)$/);
    assert.ok(about.arena.usedBytes > 0 && about.arena.usedBytes < about.arena.bytes);
  });

  it("is told to Prometheus and on /state by the server", async () => {
    const server = await serve(programs[0]!);
    await server.says(/health on 127\.0\.0\.1:\d+/);
    const place = `http://127.0.0.1:${/health on 127\.0\.0\.1:(\d+)/.exec(server.said())![1]}`;
    const metrics = await (await fetch(`${place}/metrics`)).text();
    const state = (await (await fetch(`${place}/state`)).json()) as Record<string, unknown>;
    assert.match(metrics, /^feldfon_vault_library\{library="OpenSSL [^"]+"\} 1$/m);
    if (!NATIVE) return;
    assert.match(metrics, /^feldfon_dumpable 0$/m);
    assert.match(metrics, /^feldfon_core_limit_bytes 0$/m);
    assert.match(metrics, /^feldfon_vault_arena_bytes\{kind="used"\} [1-9]/m);
    assert.deepEqual([state.dumpable, state.coreLimitBytes], [false, 0]);
  });
});
