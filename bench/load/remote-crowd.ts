/**
 * A crowd in a process of its own (remote.ts), seen from the driver. It steps back (nice 19): on a small machine it would
 * otherwise take the time that is measured. What is not V8's heap is kept as the server's is: frames of megabytes come
 * and go.
 */
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import path from "node:path";
import type { ServerPlace } from "./handset.ts";
import type { CrowdAnswer, CrowdQuestion } from "./remote.ts";
import { serverEnvironment } from "./server-process.ts";

/**
 * Every 64 MiB of received directories V8 would collect the whole heap, several times a second; here they count as
 * everything else does, and the heap is collected when 256 MiB are full. Takes a third off a joiner.
 */
const NODE_FLAGS = [
  "--external-memory-accounted-in-global-limit",
  "--initial-old-space-size=256",
  "--max-semi-space-size=32",
];

export class RemoteCrowd {
  readonly #child: ChildProcess;
  readonly #ended: Promise<never>;

  private constructor(child: ChildProcess) {
    this.#child = child;
    this.#ended = once(child, "exit").then(([code, by]) => {
      throw new Error(`a crowd's process has ended by itself: ${by ?? code}`);
    });
    this.#ended.catch(() => {});
  }

  /** @param from number of the first handset's key */
  static async start(place: ServerPlace, { from, count }: { from: number; count: number }): Promise<RemoteCrowd> {
    const args = [place.port, place.uid, from, count].map(String);
    const child = fork(path.join(import.meta.dirname, "remote.ts"), args, {
      execArgv: NODE_FLAGS,
      env: serverEnvironment(),
      stdio: ["ignore", "ignore", "inherit", "ipc"],
    });
    const crowd = new RemoteCrowd(child);
    await crowd.#answer();
    return crowd;
  }

  /** All of them, `perS` in a second. One question at a time. */
  async ask(act: CrowdQuestion["act"], perS: number): Promise<CrowdAnswer> {
    this.#child.send({ act, perS } satisfies CrowdQuestion);
    return (await this.#answer()) as CrowdAnswer;
  }

  /** Lines that are left break. */
  async stop(): Promise<void> {
    const over = once(this.#child, "exit");
    this.#child.disconnect();
    await over;
  }

  async #answer(): Promise<unknown> {
    const [answer] = await Promise.race([once(this.#child, "message"), this.#ended]);
    return answer;
  }
}
