/** A real process of the telephone, driven as a person or a script would: lines in, JSON lines out. */
import { type ChildProcess, spawn } from "node:child_process";
import { EventEmitter, once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

/** One line of output; what it holds depends on the program. */
export type Line = Record<string, unknown>;

/** A program that ended, or did not say in time what was waited for. */
export class ProgramError extends Error {
  override readonly name = "ProgramError";
}

export interface ProgramOptions {
  /** Ctrl-C in this terminal is not for it: whoever started it lets it end in order. */
  ownSession?: boolean;
  /** Told each line as it comes; nothing is kept then for `lines` and `next`. */
  onLine?: (line: Line) => void;
  /** Told all it says, on either stream, a line at a time. */
  onText?: (text: string) => void;
  onExit?: (signal: NodeJS.Signals | null) => void;
  /** Flags for Node, before the script. */
  nodeFlags?: readonly string[];
  env?: NodeJS.ProcessEnv;
}

const STOP_MS = 8_000;
const MOST_ERROR_LINES = 20;

export class Program {
  readonly what: string;
  readonly #child: ChildProcess;
  readonly #lines: Line[] = [];
  readonly #said = new EventEmitter();
  readonly #complaints: string[] = [];
  readonly #onLine: ((line: Line) => void) | undefined;
  #exited = false;
  /** Lines before this one have been waited for. */
  #read = 0;

  /** @param script relative to the repository's root */
  constructor(what: string, script: string, flags: readonly string[], options: ProgramOptions = {}) {
    this.what = what;
    this.#onLine = options.onLine;
    const path = fileURLToPath(new URL(`../${script}`, import.meta.url));
    this.#child = spawn(process.execPath, ["--disable-sigusr1", ...(options.nodeFlags ?? []), path, ...flags], {
      // The channel is never spoken on: its end tells the program that this process is gone, however it went.
      stdio: ["pipe", "pipe", "pipe", "ipc"],
      env: options.env ?? process.env,
      detached: options.ownSession === true,
    });
    createInterface({ input: this.#child.stdout! }).on("line", (text) => {
      options.onText?.(text);
      this.#take(text);
    });
    createInterface({ input: this.#child.stderr! }).on("line", (text) => {
      options.onText?.(text);
      this.#complaints.push(text);
      if (this.#complaints.length > MOST_ERROR_LINES) this.#complaints.shift();
      this.#said.emit("line");
    });
    this.#child.stdin!.on("error", () => {});
    // Whatever ends this process, nothing of it stays behind.
    const endWithUs = (): void => void this.#child.kill("SIGTERM");
    process.once("exit", endWithUs);
    this.#child.on("exit", (_code, signal) => {
      process.off("exit", endWithUs);
      this.#exited = true;
      options.onExit?.(signal);
      this.#said.emit("line");
    });
  }

  /** Everything said so far, oldest first. */
  get lines(): readonly Line[] {
    return this.#lines;
  }

  /** The last lines of standard error, oldest first. */
  get complaints(): readonly string[] {
    return this.#complaints;
  }

  get pid(): number {
    return this.#child.pid!;
  }

  get running(): boolean {
    return !this.#exited;
  }

  send(text: string): void {
    this.#child.stdin!.write(`${text}\n`);
  }

  /** The next line that fits, behind the last one waited for. @throws {ProgramError} */
  async next(what: string, fits: (line: Line) => boolean, withinMs = 15_000): Promise<Line> {
    const untilMs = performance.now() + withinMs;
    for (;;) {
      for (let at = this.#read; at < this.#lines.length; at++) {
        const line = this.#lines[at]!;
        if (!fits(line)) continue;
        this.#read = at + 1;
        return line;
      }
      await this.#more(what, untilMs);
    }
  }

  /** The first line of standard error that fits. @throws {ProgramError} */
  async complaint(what: string, form: RegExp, withinMs = 30_000): Promise<RegExpExecArray> {
    const untilMs = performance.now() + withinMs;
    for (;;) {
      for (const text of this.#complaints) {
        const found = form.exec(text);
        if (found) return found;
      }
      await this.#more(what, untilMs);
    }
  }

  /** Lets the program end by itself, then makes it. Only this process is touched. */
  async end(ask: () => void): Promise<void> {
    if (this.#exited) return;
    const exited = once(this.#child, "exit");
    ask();
    const timer = setTimeout(() => this.#child.kill("SIGKILL"), STOP_MS);
    await exited;
    clearTimeout(timer);
  }

  /** Nothing more to say: programs that read their input end in order. */
  endInput(): void {
    this.#child.stdin!.end();
  }

  /** As a power cut does. */
  kill(): void {
    this.#child.kill("SIGKILL");
  }

  terminate(): void {
    this.#child.kill("SIGTERM");
  }

  #take(text: string): void {
    let line: Line;
    try {
      line = JSON.parse(text) as Line;
    } catch {
      return; // not a line for programs
    }
    if (this.#onLine) {
      this.#onLine(line);
      return;
    }
    this.#lines.push(line);
    this.#said.emit("line");
  }

  async #more(what: string, untilMs: number): Promise<void> {
    const leftMs = untilMs - performance.now();
    if (this.#exited || leftMs <= 0) {
      const why = this.#exited ? "it has ended" : "time is over";
      throw new ProgramError(`${this.what}: waited for ${what}, ${why}\n${this.#complaints.join("\n")}`);
    }
    const timer = setTimeout(() => this.#said.emit("line"), leftMs);
    await once(this.#said, "line");
    clearTimeout(timer);
  }
}
