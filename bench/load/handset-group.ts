/** A process of handsets (handsets.ts), seen from the driver. */
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import path from "node:path";
import type { ServerPlace } from "./handset.ts";
import type { HandsetsQuestion, HandsetsWord } from "./handsets.ts";
import type { HandsetState, Told } from "./oracle.ts";

export interface HandsetGroupOptions {
  /** Of the handsets' keys in the pool. */
  numbers: readonly number[];
  server: ServerPlace;
  folder: string;
  seed: number;
  hear(told: Told): void;
}

export class HandsetGroup {
  readonly #options: HandsetGroupOptions;
  readonly #numbers: number[];
  #child: ChildProcess | undefined;
  #answer = Promise.withResolvers<HandsetState[]>();

  static async start(options: HandsetGroupOptions): Promise<HandsetGroup> {
    const group = new HandsetGroup(options);
    await group.restart();
    return group;
  }

  private constructor(options: HandsetGroupOptions) {
    this.#options = options;
    this.#numbers = [...options.numbers];
  }

  get pid(): number {
    return this.#child!.pid!;
  }

  get running(): boolean {
    return this.#child!.connected;
  }

  get size(): number {
    return this.#numbers.length;
  }

  async restart(): Promise<void> {
    const { server, folder, seed, hear } = this.#options;
    const args = [server.port, server.uid, folder, seed, ...this.#numbers].map(String);
    const child = fork(path.join(import.meta.dirname, "handsets.ts"), args, {
      stdio: ["ignore", "ignore", "inherit", "ipc"],
    });
    this.#child = child;
    this.#answer = Promise.withResolvers();
    child.on("message", (word: HandsetsWord) => {
      if ("told" in word) hear(word.told);
      else this.#answer.resolve(word.states);
    });
    child.on("exit", () => this.#answer.reject(new Error("a process of handsets has ended")));
    await this.#answer.promise;
  }

  /** One question at a time. @throws {Error} when the process has ended by itself */
  async ask(question: HandsetsQuestion): Promise<HandsetState[]> {
    this.#answer = Promise.withResolvers();
    this.#child!.send(question);
    return await this.#answer.promise;
  }

  /** A handset more, whose first join is on its way when this resolves. */
  async add(n: number): Promise<void> {
    this.#numbers.push(n);
    await this.ask({ newcomer: n });
  }

  /** kill -9; all that it was told is heard when this resolves. */
  async kill(): Promise<void> {
    const over = [once(this.#child!, "exit"), once(this.#child!, "disconnect")];
    this.#child!.kill("SIGKILL");
    await Promise.all(over);
  }

  async stop(): Promise<void> {
    if (!this.running) return;
    const over = once(this.#child!, "exit");
    this.#child!.disconnect();
    await over;
  }
}
