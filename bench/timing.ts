/**
 * Whether the time an operation of the vault takes tells what its answer does not: why an OAEP block is bad, or good;
 * where a tag is wrong. Measured in C, beside the operation itself (timing.c): Welch's t between classes of inputs in
 * random order.
 */
import { execFileSync } from "node:child_process";
import { constants, createPrivateKey, createPublicKey, publicEncrypt, randomBytes } from "node:crypto";
import { globSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { poolKey } from "./key-pool.ts";
import { stated } from "./load/figures.ts";
import type { Figure } from "./main.ts";

const VAULT = join(import.meta.dirname, "../hw/vault");
const FLAGS = "-std=gnu11 -O2 -D_FORTIFY_SOURCE=2 -fstack-protector-strong -Wall -Wextra -Werror -pthread";
/** Above it two classes are told apart (dudect). */
const MOST_T = 4.5;

export async function run(): Promise<{ name: "timing"; figures: Figure[] }> {
  const folder = mkdtempSync(join(tmpdir(), "feldfon-timing-"));
  try {
    const program = build(folder);
    const key = await poolKey(0);
    const said = execFileSync(program, [key, ...blocks(key)], { encoding: "utf8" });
    const figures = said.trimEnd().split("\n").flatMap(figuresOf);
    return { name: "timing", figures };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** @param folder where the program is built; with the vault's own OpenSSL, built before */
function build(folder: string): string {
  const libcrypto = execFileSync(join(VAULT, "libcrypto/build"), { encoding: "utf8" }).trim();
  const program = join(folder, "timing");
  const sources = [join(import.meta.dirname, "timing.c"), ...globSync(join(VAULT, "core/*.c"))];
  const library = [
    "-I",
    join(VAULT, "core"),
    "-isystem",
    `${libcrypto}/include`,
    ...sources,
    `${libcrypto}/libcrypto.a`,
  ];
  execFileSync(process.env.CC ?? "gcc", [...FLAGS.split(" "), ...library, "-lm", "-o", program], { stdio: "inherit" });
  return program;
}

/** In the order of timing.c: a good block, one under another label, a damaged one, one with something else inside. */
function blocks(keyFile: string): string[] {
  const key = createPublicKey(createPrivateKey(readFileSync(keyFile)));
  const wrap = (label: string, clear: Buffer): Buffer => {
    const oaep = { padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: "sha256", oaepLabel: Buffer.from(label) };
    return publicEncrypt({ key, ...oaep }, clear);
  };
  const secret = Buffer.concat([Buffer.from("+++secret+++"), randomBytes(48)]);
  const damaged = wrap("label", secret);
  damaged[511]! ^= 1;
  const made = [wrap("label", secret), wrap("lable", secret), damaged, wrap("label", randomBytes(60))];
  return made.map((block) => block.toString("hex"));
}

/** @param line operation, class, median of the first class, of this one, t */
function figuresOf(line: string): Figure[] {
  const [operation, name, first, own, t] = line.split(" ");
  const what = `${operation}, ${name}`;
  return [
    stated(`${what}: median beside the first class`, Number(own) / Number(first), "ratio"),
    {
      name: `${what}: |t|`,
      value: Math.abs(Number(t)),
      unit: "",
      wanted: `below ${MOST_T}`,
      ok: Math.abs(Number(t)) < MOST_T,
    },
  ];
}
