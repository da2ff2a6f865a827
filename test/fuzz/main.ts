/**
 * `make fuzz`: the vault's core under libFuzzer, AddressSanitizer and UBSan, `--minutes N` in all (10). What reaches
 * code that no kept input reaches is added to the corpora beside this file, which every `make test` runs through again.
 * The last line says how it went, and so does the exit code; an input that fails is printed in full.
 */
import { execFileSync, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { build, corpusOf, environment, type Target, targets } from "./targets.ts";

const EXIT_FOUND = 1;
const EXIT_GROUND = 2;
const SECONDS = 60;
/** Parts of the time: the whole vault has most to look at. */
const SHARES: Readonly<Record<Target, number>> = { vault: 0.55, "key-file": 0.15, "sealed-file": 0.15, voice: 0.15 };
const LONGEST_BYTES: Readonly<Record<Target, number>> = {
  vault: 1024,
  "key-file": 256,
  "sealed-file": 256,
  voice: 512,
};
const FLAGS = "-fsanitize=fuzzer,address,undefined -D__SANITIZE_ADDRESS__"; // clang has another name for it

const { values } = parseArgs({ options: { minutes: { type: "string", default: "10" } } });
const minutes = Number(values.minutes);
if (!(minutes > 0)) {
  process.stderr.write(`fuzz: --minutes: "${values.minutes}" is no number of minutes\n`);
  process.exit(EXIT_GROUND);
}

interface Outcome {
  inputs: number;
  perSecond: number;
  edges: number;
  edgesOfAll: number;
  failed?: string;
}

const folder = mkdtempSync(join(tmpdir(), "feldfon-fuzz-"));
try {
  const programs = new Map<Target, string>();
  for (const target of targets) {
    programs.set(target, await build(target, { compiler: "clang", flags: FLAGS, folder, driver: false }));
  }
  process.stdout.write("target       inputs  per second  edges reached  kept inputs\n");
  let found = 0;
  for (const [target, program] of programs) {
    const corpus = unpack(target);
    const outcome = await fuzz(target, program, corpus);
    const kept = outcome.failed === undefined ? await keep(target, program, corpus) : 0;
    const columns = [outcome.inputs, outcome.perSecond, `${outcome.edges} of ${outcome.edgesOfAll}`, kept];
    const widths = [9, 12, 15, 13];
    const cells = columns.map((value, column) => value.toLocaleString("en-US").padStart(widths[column]!));
    process.stdout.write(`${target.padEnd(10)}${cells.join("")}\n`);
    if (outcome.failed !== undefined) {
      found++;
      process.stdout.write(`${outcome.failed}\n`);
    }
  }
  process.stdout.write(found > 0 ? "fuzz: FOUND SOMETHING\n" : "fuzz: nothing found\n");
  process.exitCode = found > 0 ? EXIT_FOUND : 0;
} finally {
  rmSync(folder, { recursive: true });
}

/** @returns folder with one file for each line of the target's corpus */
function unpack(target: Target): string {
  const corpus = join(folder, `${target}-corpus`);
  mkdirSync(corpus);
  const lines = readFileSync(corpusOf(target), "latin1").split("\n").filter(Boolean);
  for (const [at, line] of lines.entries()) writeFileSync(join(corpus, `kept-${at}`), Buffer.from(line, "hex"));
  return corpus;
}

async function fuzz(target: Target, program: string, corpus: string): Promise<Outcome> {
  const seconds = Math.ceil(minutes * SECONDS * SHARES[target]);
  const args = [
    ...[`-max_total_time=${seconds}`, `-max_len=${LONGEST_BYTES[target]}`, "-len_control=0", "-rss_limit_mb=1024"],
    ...["-timeout=30", "-print_final_stats=1", `-artifact_prefix=${folder}/failed-`, corpus],
  ];
  const { status, stderr } = spawnSync(program, args, {
    cwd: folder, // libFuzzer ends without tidying up
    env: await environment(),
    encoding: "latin1",
    maxBuffer: 2 ** 28,
  });
  const number = (pattern: RegExp): number => Number(stderr.match(pattern)?.at(-1)?.match(/\d+$/)?.[0] ?? 0);
  const outcome: Outcome = {
    inputs: number(/number_of_executed_units: +\d+/g),
    perSecond: number(/average_exec_per_sec: +\d+/g),
    edges: number(/ cov: \d+/g),
    edgesOfAll: Number(
      /\((\d+) inline 8-bit counters/.exec(stderr)?.[1] ?? /(\d+) inline 8-bit/.exec(stderr)?.[1] ?? 0,
    ),
  };
  if (status === 0) return outcome;
  const file = readdirSync(folder).find((name) => name.startsWith("failed-"));
  const input = file ? readFileSync(join(folder, file)).toString("hex") : "none";
  return { ...outcome, failed: `${stderr.split("\n").slice(-60).join("\n")}\ninput: ${input}` };
}

/** Writes the fewest inputs that reach all edges that are reached. @returns how many */
async function keep(target: Target, program: string, corpus: string): Promise<number> {
  const least = join(folder, `${target}-least`);
  mkdirSync(least);
  const args = ["-set_cover_merge=1", "-use_counters=0", `-max_len=${LONGEST_BYTES[target]}`, least, corpus];
  execFileSync(program, args, { cwd: folder, env: await environment(), stdio: "pipe" });
  const lines = readdirSync(least).map((file) => readFileSync(join(least, file)).toString("hex"));
  lines.sort((a, b) => a.length - b.length || (a < b ? -1 : 1));
  writeFileSync(corpusOf(target), `${lines.filter(Boolean).join("\n")}\n`);
  return lines.length;
}
