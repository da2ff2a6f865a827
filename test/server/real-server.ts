/** `feldfon-server` as an operator runs it: a process of its own, on a folder that goes with the test; loopback only. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { chmod, copyFile, mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import type { Uid } from "@feldfon/protocol/identity";
import { keyPath } from "../keys.ts";

const MAIN = path.join(import.meta.dirname, "../../server/main.ts");
const FREE_PORTS = ["--host", "127.0.0.1", "--port", "0", "--udp-port", "0", "--health-port", "0"];

export interface Ended {
  code: number | null;
  signal: NodeJS.Signals | null;
}

/** Folder and processes of one test. Whatever still runs when it is over is killed. */
export class OperatorsDesk {
  readonly folder: string;
  /** For servers started from now on. */
  node: { flags: readonly string[]; env: NodeJS.ProcessEnv } = { flags: [], env: process.env };
  readonly #running = new Set<RealServer>();

  private constructor(folder: string) {
    this.folder = folder;
  }

  /** With the server's key in place: key 0 of the pool. */
  static async open(): Promise<OperatorsDesk> {
    const desk = new OperatorsDesk(await mkdtemp(path.join(os.tmpdir(), "feldfon-server-")));
    await copyFile(await keyPath(0), desk.at("server-key.pem"));
    await chmod(desk.at("server-key.pem"), 0o600);
    return desk;
  }

  at(name: string): string {
    return path.join(this.folder, name);
  }

  /** Just the command, with these arguments. */
  run(...argv: string[]): RealServer {
    const server = new RealServer(argv, this.node);
    this.#running.add(server);
    return server;
  }

  /** The server on this folder; later flags win. Resolves once it listens. */
  async serve(...flags: string[]): Promise<RealServer> {
    const server = this.run("--data", this.folder, ...FREE_PORTS, ...flags);
    await server.listening;
    return server;
  }

  /** The same, for a server that is expected to give up. @returns what it said, and how it ended */
  async fail(...flags: string[]): Promise<RealServer & { ended: Ended }> {
    const server = this.run("--data", this.folder, ...FREE_PORTS, ...flags);
    const ended = await server.end;
    return Object.assign(server, { ended });
  }

  /** Every file in the folder, by name. */
  async files(): Promise<Map<string, Buffer>> {
    const names = (await readdir(this.folder, { recursive: true, withFileTypes: true })).filter((at) => at.isFile());
    const read = names.map(
      async ({ name, parentPath }) => [name, await readFile(path.join(parentPath, name))] as const,
    );
    return new Map(await Promise.all(read));
  }

  async close(): Promise<void> {
    for (const server of this.#running) server.kill("SIGKILL");
    await Promise.all([...this.#running].map(({ end }) => end));
    await rm(this.folder, { recursive: true });
  }
}

export class RealServer {
  stdout = "";
  stderr = "";
  readonly end: Promise<Ended>;
  /** @throws {Error} with all it said, when it ends instead */
  readonly listening: Promise<void>;
  port = 0;
  uid!: Uid;
  readonly #child: ChildProcess;

  constructor(argv: readonly string[], { flags, env }: OperatorsDesk["node"]) {
    const command = ["--disable-sigusr1", ...flags, MAIN, ...argv];
    this.#child = spawn(process.execPath, command, { stdio: ["ignore", "pipe", "pipe"], env });
    this.end = once(this.#child, "close").then(([code, signal]) => ({ code, signal }) as Ended);
    this.#child.stdout!.setEncoding("utf8").on("data", (text: string) => {
      this.stdout += text;
    });
    this.listening = new Promise((resolve, reject) => {
      this.#child.stderr!.setEncoding("utf8").on("data", (text: string) => {
        this.stderr += text;
        const said = /^feldfon-server: port (\d+), fingerprint ([0-9a-f]{64})$/m.exec(this.stderr);
        if (!said) return;
        this.port = Number(said[1]);
        this.uid = said[2] as Uid;
        resolve();
      });
      void this.end.then(({ code }) => reject(new Error(`ended with ${code}: ${this.stderr}${this.stdout}`)));
    });
    // Whoever waits for the end instead is not interested in this one.
    this.listening.catch(() => {});
  }

  /** As `LoadHandset` and `Phone` want it. */
  get place(): { port: number; uid: Uid } {
    return { port: this.port, uid: this.uid };
  }

  get log(): Record<string, unknown>[] {
    return this.stdout
      .split("\n")
      .filter((line) => line !== "")
      .map((line) => JSON.parse(line) as Record<string, unknown>);
  }

  /** Port of the pages for the operator, from the log, which may be a moment behind. */
  async healthPort(): Promise<number> {
    for (;;) {
      const port = /health on 127\.0\.0\.1:(\d+)/.exec(this.stdout)?.[1];
      if (port !== undefined) return Number(port);
      await once(this.#child.stdout!, "data");
    }
  }

  kill(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }
}
