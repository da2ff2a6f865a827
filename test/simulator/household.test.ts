/** What is left behind: nothing, however the simulator goes. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { copyFileSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { keyPath } from "../keys.ts";

const MAIN = join(import.meta.dirname, "../../simulator/main.ts");

/** State and parent of every process of this machine (proc(5), stat); whoever ended meanwhile is not there. */
function processes(): { pid: number; state: string; parent: number }[] {
  return readdirSync("/proc").flatMap((entry) => {
    if (!/^\d+$/.test(entry)) return [];
    try {
      const stat = readFileSync(`/proc/${entry}/stat`, "utf8");
      const [state, parent] = stat.slice(stat.lastIndexOf(")") + 2).split(" ") as [string, string];
      return [{ pid: Number(entry), state, parent: Number(parent) }];
    } catch {
      return [];
    }
  });
}

function commandOf(pid: number): string {
  return readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ");
}

/** Ended ones that nobody has asked about yet do not run any more. */
function running(pids: readonly number[]): number[] {
  return processes()
    .filter(({ pid, state }) => pids.includes(pid) && state !== "Z" && state !== "X")
    .map(({ pid }) => pid);
}

async function allGone(pids: readonly number[]): Promise<void> {
  const untilMs = performance.now() + 15_000;
  while (running(pids).length > 0) {
    if (performance.now() > untilMs) assert.fail(`still running: ${running(pids).map(commandOf).join("; ")}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

describe("simulator's processes", function () {
  this.timeout(60_000);
  let folder: string;
  let simulator: ChildProcess;
  let started: number[];

  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), "feldfon-household-"));
    for (const [at, file] of ["server/server-key.pem", "anna/key.pem", "berta/key.pem"].entries()) {
      mkdirSync(dirname(join(folder, file)), { recursive: true, mode: 0o700 });
      copyFileSync(await keyPath(at), join(folder, file));
    }
    const port = String(41_000 + (process.pid % 9_000));
    const flags = ["run", "--data", folder, "--port", port, "--page-port", "0"];
    simulator = spawn(process.execPath, ["--disable-warning=ExperimentalWarning", MAIN, ...flags], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    for await (const line of createInterface({ input: simulator.stdout! })) if (/Ctrl-C/.test(line)) break;
    started = processes()
      .filter(({ parent }) => parent === simulator.pid)
      .map(({ pid }) => pid);
    assert.equal(started.length, 3, "a server and two handsets");
  });
  afterEach(() => {
    if (simulator.exitCode === null && simulator.signalCode === null) simulator.kill("SIGKILL");
    for (const pid of running(started ?? [])) process.kill(pid, "SIGKILL");
    rmSync(folder, { recursive: true, force: true });
  });

  it("end by themselves when the simulator is killed by kill -9", async () => {
    const exited = once(simulator, "exit");
    simulator.kill("SIGKILL");
    await exited;
    await allGone(started);
  });

  it("take their leave at Ctrl-C", async () => {
    const exited = once(simulator, "exit");
    simulator.kill("SIGINT");
    assert.deepEqual(await exited, [0, null]);
    await allGone(started);
  });
});
