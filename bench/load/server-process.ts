/** A server in a process of its own, with a folder that goes with it; it may be killed and started again. */
import { type ChildProcess, execFileSync, fork } from "node:child_process";
import { once } from "node:events";
import { cp, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { openStore } from "@feldfon/server/store";
import type { StoredState } from "@feldfon/server/store-port";
import type { ServerPlace } from "./handset.ts";
import type { ServerAnswers, ServerQuestion } from "./server.ts";

/** As its command sets it before it starts Node. */
export function serverEnvironment(): NodeJS.ProcessEnv {
  const file = path.join(import.meta.dirname, "..", "..", "server", "environment.sh");
  const all = execFileSync("/bin/sh", ["-c", '. "$0"; exec env -0', file], { encoding: "utf8" });
  const pairs = all.matchAll(/([^=\0]+)=([^\0]*)\0/g);
  return Object.fromEntries([...pairs].map(([, name, value]) => [name!, value]));
}

export class ServerProcess {
  readonly #folder: string;
  #child: ChildProcess | undefined;
  #place: ServerPlace | undefined;
  #asking: Promise<unknown> = Promise.resolve();

  private constructor(folder: string) {
    this.#folder = folder;
  }

  /**
   * @param rows that are in the directory already and belong to nobody
   * @param within folder that its own is made in
   */
  static async start({ rows = 0, within = tmpdir() }: { rows?: number; within?: string } = {}): Promise<ServerProcess> {
    const server = new ServerProcess(await mkdtemp(path.join(within, "feldfon-load-")));
    const nobody = { FELDFON_LOAD_ROWS: String(rows) };
    await server.#run(rows > 0 ? ["--grace-ms", "3600000"] : [], nobody);
    return server;
  }

  get place(): ServerPlace {
    return this.#place!;
  }

  get pid(): number {
    return this.#child!.pid!;
  }

  /** One question at a time. @throws {Error} when the server has ended by itself */
  ask<Question extends ServerQuestion>(question: Question): Promise<ServerAnswers[Question]> {
    const answer = this.#asking.then(async () => {
      const child = this.#child!;
      child.send(question);
      return (await answerOf(child)) as ServerAnswers[Question];
    });
    this.#asking = answer.catch(() => {});
    return answer;
  }

  /** @returns CPU microseconds, user and system, that the server spends meanwhile */
  async cpuUs(act: () => Promise<unknown>): Promise<number> {
    const before = await this.ask("cpu");
    await act();
    return (await this.ask("cpu")).us - before.us;
  }

  /** kill -9. Nothing may be asked until it runs again. */
  async kill(): Promise<void> {
    const over = once(this.#child!, "exit");
    this.#child!.kill("SIGKILL");
    await over;
  }

  /** What a server that is killed has left on its disk, read from a copy. */
  async stored(): Promise<StoredState> {
    const copy = await mkdtemp(path.join(tmpdir(), "feldfon-load-"));
    try {
      await cp(this.#folder, copy, { recursive: true });
      const store = await openStore(path.join(copy, "directory.sqlite"));
      try {
        return await store.load();
      } finally {
        await store.close();
      }
    } finally {
      await rm(copy, { recursive: true });
    }
  }

  /** On the same disk and port. @param full the store takes no more pages than it has, as if the disk were full */
  async restart({ full = false } = {}): Promise<void> {
    const port = String(this.place.port);
    await this.#run(["--port", port, "--udp-port", port], full ? { FELDFON_LOAD_MAX_PAGES: "1" } : {});
  }

  /** Also when it is killed. */
  async stop(): Promise<void> {
    const child = this.#child!;
    if (child.exitCode === null && child.signalCode === null) {
      const over = once(child, "exit");
      child.disconnect();
      await over;
    }
    await rm(this.#folder, { recursive: true });
  }

  async #run(flags: readonly string[] = [], env: NodeJS.ProcessEnv = {}): Promise<void> {
    const child = fork(path.join(import.meta.dirname, "server.ts"), [this.#folder, ...flags], {
      // FELDFON_SERVER_NODE: flags of its Node, such as --cpu-prof.
      execArgv: ["--expose-gc", ...(process.env.FELDFON_SERVER_NODE?.split(" ") ?? [])],
      env: { ...serverEnvironment(), ...env },
      stdio: ["ignore", "ignore", "inherit", "ipc"],
    });
    this.#child = child;
    this.#place = (await answerOf(child)) as ServerPlace;
  }
}

async function answerOf(child: ChildProcess): Promise<unknown> {
  const over = new AbortController();
  const { signal } = over;
  try {
    const ended = once(child, "exit", { signal }).then(([code, by]) => {
      throw new Error(`the server has ended by itself: ${by ?? code}`);
    });
    const [answer] = await Promise.race([once(child, "message", { signal }), ended]);
    return answer;
  } finally {
    over.abort();
  }
}
