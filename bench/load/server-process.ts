/** A server in a process of its own, with a folder that goes with it; it may be killed and started again. */
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import type { ServerPlace } from "./handset.ts";
import type { ServerAnswers, ServerQuestion } from "./server.ts";

export class ServerProcess {
  readonly #folder: string;
  #child: ChildProcess | undefined;
  #place: ServerPlace | undefined;
  #asking: Promise<unknown> = Promise.resolve();

  private constructor(folder: string) {
    this.#folder = folder;
  }

  /** @param rows that are in the directory already and belong to nobody */
  static async start({ rows = 0 }: { rows?: number } = {}): Promise<ServerProcess> {
    const server = new ServerProcess(await mkdtemp(path.join(tmpdir(), "feldfon-load-")));
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

  /** One question at a time. */
  ask<Question extends ServerQuestion>(question: Question): Promise<ServerAnswers[Question]> {
    const answer = this.#asking.then(async () => {
      this.#child!.send(question);
      const [told] = await once(this.#child!, "message");
      return told as ServerAnswers[Question];
    });
    this.#asking = answer;
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

  /** On the same disk and port. @param full the disk takes no more pages than it has */
  async restart(full = false): Promise<void> {
    await this.#run(["--port", String(this.place.port)], full ? { FELDFON_LOAD_MAX_PAGES: "1" } : {});
  }

  async stop(): Promise<void> {
    const over = once(this.#child!, "exit");
    this.#child!.disconnect();
    await over;
    await rm(this.#folder, { recursive: true });
  }

  async #run(flags: readonly string[] = [], env: NodeJS.ProcessEnv = {}): Promise<void> {
    const child = fork(path.join(import.meta.dirname, "server.ts"), [this.#folder, ...flags], {
      // FELDFON_SERVER_NODE: flags of its Node, such as --cpu-prof.
      execArgv: ["--expose-gc", ...(process.env.FELDFON_SERVER_NODE?.split(" ") ?? [])],
      env: { ...process.env, ...env },
      stdio: ["ignore", "ignore", "inherit", "ipc"],
    });
    this.#child = child;
    const [place] = (await once(child, "message")) as [ServerPlace];
    this.#place = place;
  }
}
