/** scan.c as a process of its own: needles go in by its standard input, findings come out as lines of JSON. */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { NativeVault } from "@feldfon/vault";
import type { Needle } from "./needles.ts";

const LIBCRYPTO = join(import.meta.dirname, "../../hw/vault/libcrypto/build");
const SOURCE = join(import.meta.dirname, "scan.c");
const FLAGS = ["-std=gnu11", "-D_GNU_SOURCE", "-O2", "-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Werror"];

/** All mappings of one name. */
export interface Place {
  name: string;
  /** In the arena of a vault without memfd_secret. */
  locked: boolean;
  bytes: number;
  unreadableBytes: number;
  hits: number;
  /** Windows that a prime of the modulus divides. */
  algebraic: number;
  found: { needle: string; count: number; longestBytes: number }[];
}

/** Why this machine cannot scan, in words; undefined when it can. */
export function whyNot(): string | undefined {
  if (process.platform !== "linux" || process.getuid?.() !== 0) return "the leak scan needs Linux and root";
  try {
    if (new NativeVault().status().protection !== "memfd_secret") return "this kernel gives no memfd_secret here";
  } catch (error) {
    return (error as Error).message;
  }
  return undefined;
}

export class Scanner {
  readonly #child: ChildProcess;
  readonly #answers: AsyncIterator<string>;
  readonly #known = new Set<string>();
  readonly #ended: Promise<unknown>;
  #complaint = "";

  private constructor(child: ChildProcess) {
    this.#child = child;
    this.#ended = once(child, "exit");
    this.#answers = createInterface({ input: child.stdout! })[Symbol.asyncIterator]();
    child.stdin!.on("error", () => {});
    child.stderr!.setEncoding("utf8").on("data", (text: string) => {
      this.#complaint += text;
    });
  }

  /** @param folder where the program is built; with the vault's own OpenSSL, built before */
  static open(folder: string): Scanner {
    const program = join(folder, "scan");
    if (!existsSync(program)) {
      const libcrypto = execFileSync(LIBCRYPTO, { encoding: "utf8" }).trim();
      const library = [`-I${libcrypto}/include`, SOURCE, `${libcrypto}/libcrypto.a`, "-pthread"];
      execFileSync(process.env.CC ?? "gcc", [...FLAGS, ...library, "-o", program], { stdio: "inherit" });
    }
    return new Scanner(spawn(program, { stdio: ["pipe", "pipe", "pipe"] }));
  }

  get needles(): number {
    return this.#known.size;
  }

  add(needles: readonly Needle[]): void {
    for (const { name, bytes, leastBytes } of needles) {
      const hex = bytes.toString("hex");
      if (this.#known.has(hex)) continue;
      this.#known.add(hex);
      this.#order(`needle ${name} ${leastBytes} ${hex}`);
    }
  }

  addModulus(name: string, hex: string): void {
    this.#order(`modulus ${name} ${hex}`);
  }

  /** @param modulus name of one that was added, for the algebraic pass */
  async scanProcess(pid: number, modulus: string): Promise<Place[]> {
    return this.#ask(`process ${pid} ${modulus}`);
  }

  async scanCore(path: string, modulus: string): Promise<Place[]> {
    return this.#ask(`core ${path} ${modulus}`);
  }

  /** @param path without blanks */
  async scanFile(path: string, modulus: string): Promise<Place> {
    const [place] = await this.#ask(`file ${path} ${modulus}`);
    return place!;
  }

  async close(): Promise<void> {
    this.#child.stdin!.end();
    await this.#ended;
  }

  async #ask(order: string): Promise<Place[]> {
    this.#order(order);
    const { value, done } = await this.#answers.next();
    if (done) throw new Error(`the scanner has ended: ${this.#complaint.trim()}`);
    return (JSON.parse(value) as { places: Place[] }).places;
  }

  #order(line: string): void {
    this.#child.stdin!.write(`${line}\n`);
  }
}
