/** The driver's end of the pipe on which watched processes tell the secrets that are born in them. */
import { execFileSync } from "node:child_process";
import { closeSync, constants, openSync } from "node:fs";
import { Socket } from "node:net";
import { join } from "node:path";

const LENGTH_BYTES = 2;
/** What is in a pipe is read within a few turns of the loop. */
const QUIET_MS = 30;

export class Births {
  readonly path: string;
  readonly #socket: Socket;
  readonly #writer: number;
  readonly #born = new Set<string>();
  #fresh: Buffer[] = [];
  #rest = Buffer.alloc(0);
  #heard = 0;

  constructor(folder: string) {
    this.path = join(folder, "births");
    execFileSync("mkfifo", ["-m", "600", this.path]);
    const reader = openSync(this.path, constants.O_RDONLY | constants.O_NONBLOCK);
    this.#writer = openSync(this.path, constants.O_WRONLY); // so that it never ends between two processes
    this.#socket = new Socket({ fd: reader, readable: true, writable: false });
    this.#socket.on("data", (bytes: Buffer) => this.#take(bytes));
  }

  /** Those told since the last time; the processes stand still meanwhile, or more will follow. */
  async take(): Promise<Buffer[]> {
    for (let before = -1; before !== this.#heard; ) {
      before = this.#heard;
      await new Promise((resolve) => setTimeout(resolve, QUIET_MS));
    }
    const fresh = this.#fresh;
    this.#fresh = [];
    return fresh;
  }

  close(): void {
    this.#socket.destroy();
    closeSync(this.#writer);
  }

  #take(bytes: Buffer): void {
    this.#heard += bytes.length;
    this.#rest = Buffer.concat([this.#rest, bytes]);
    while (this.#rest.length >= LENGTH_BYTES) {
      const end = LENGTH_BYTES + this.#rest.readUInt16LE();
      if (this.#rest.length < end) return;
      const secret = Buffer.from(this.#rest.subarray(LENGTH_BYTES, end));
      this.#rest = this.#rest.subarray(end);
      const hex = secret.toString("hex");
      if (this.#born.has(hex)) continue;
      this.#born.add(hex);
      this.#fresh.push(secret);
    }
  }
}
