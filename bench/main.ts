/**
 * Runs one bench and prints its figures: npm run bench -- NAME [--json]
 *
 * A bench is a file beside this one that exports `run()`. Its peer, or the literal way of the seeds, runs in the same
 * run, so that what counts is a ratio and not the speed of one machine.
 */
import { readdirSync, readFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { procStat, stolenPercentBetween } from "./stolen.ts";

export interface Figure {
  name: string;
  value: number;
  unit: string;
  /** What is wanted of it, in words or as a bound; a figure without is only stated. */
  wanted?: string | number;
  /** Whether that holds. */
  ok?: boolean;
}

export interface Result {
  name: string;
  figures: Figure[];
}

interface Bench {
  name: string;
  /** First sentence of its docstring. */
  does: string;
}

const USAGE = `usage: npm run bench -- NAME [--json]    run one bench; exit code 1 when a figure is not what is wanted
       npm run bench -- --list           what there is
`;

function benches(): Bench[] {
  const found: Bench[] = [];
  for (const file of readdirSync(import.meta.dirname).sort()) {
    if (!file.endsWith(".ts")) continue;
    const source = readFileSync(path.join(import.meta.dirname, file), "utf8");
    if (!/^export (async )?function run\(/m.test(source)) continue;
    const doc = /^\/\*\*([\s\S]*?)\*\//.exec(source)?.[1] ?? "";
    const words = doc
      .replace(/^\s*\* ?/gm, " ")
      .trim()
      .replace(/\s+/g, " ");
    found.push({ name: file.slice(0, -".ts".length), does: /^.*?[.:](?= |$)/.exec(words)?.[0].slice(0, -1) ?? words });
  }
  return found;
}

/** What the figures were measured on, without naming it. */
function machine(): Record<string, string | number> {
  return {
    cpu: os.cpus()[0]?.model.trim() ?? "unknown",
    cores: os.availableParallelism(),
    memoryGiB: Math.round(os.totalmem() / 2 ** 30),
    kernel: os.release(),
    node: process.versions.node,
    openssl: process.versions.openssl ?? "none",
  };
}

/** Whole numbers from 1,000 up, four digits below. */
function shown(value: number): string {
  if (Math.abs(value) >= 1000) return Math.round(value).toLocaleString("en-US");
  return String(Number(value.toPrecision(4)));
}

function table(rows: readonly (readonly string[])[]): string {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  return rows
    .map((row) =>
      row
        // Numbers stand right, words left.
        .map((cell, column) => (column === 1 ? cell.padStart(widths[column]!) : cell.padEnd(widths[column]!)))
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}

function verdict({ ok }: Figure): string {
  return ok === undefined ? "" : ok ? "ok" : "NOT OK";
}

async function main(args: readonly string[]): Promise<number> {
  const names = args.filter((arg) => !arg.startsWith("-"));
  const unknown = args.find((arg) => arg.startsWith("-") && !["--json", "--list", "--help", "-h"].includes(arg));
  if (unknown !== undefined) {
    process.stderr.write(`unknown option ${unknown}\n${USAGE}`);
    return 2;
  }
  if (args.includes("--help") || args.includes("-h")) {
    process.stdout.write(USAGE);
    return 0;
  }
  if (args.includes("--list")) {
    const rows = benches().map(({ name, does }) => [name, "", does]);
    process.stdout.write(rows.length > 0 ? `${table(rows)}\n` : "no benches yet\n");
    return 0;
  }
  const [name] = names;
  if (name === undefined || names.length > 1) {
    process.stderr.write(USAGE);
    return 2;
  }
  if (!benches().some((bench) => bench.name === name)) {
    process.stderr.write(
      `there is no bench "${name}", but: ${benches()
        .map((bench) => bench.name)
        .join(", ")}\n`,
    );
    return 2;
  }

  const { run } = (await import(`./${name}.ts`)) as { run(): Promise<Result> };
  const before = procStat();
  const result = await run();
  const stolenPercent = stolenPercentBetween(before, procStat());
  // A bench that says what it wants also says whether it got it.
  const bad = result.figures.filter((figure) => figure.ok === false || (figure.wanted !== undefined && !figure.ok));
  if (args.includes("--json")) {
    process.stdout.write(`${JSON.stringify({ ...result, machine: { ...machine(), stolenPercent } })}\n`);
  } else {
    const rows = result.figures.map((figure) => [
      figure.name,
      shown(figure.value),
      figure.unit,
      String(figure.wanted ?? ""),
      verdict(figure),
    ]);
    const { cpu, cores, node, openssl } = machine();
    process.stdout.write(`${table([["figure", "value", "unit", "wanted", ""], ...rows])}\n\n`);
    process.stdout.write(`${result.name} on ${cpu}, ${cores} cores, Node ${node}, OpenSSL ${openssl}; `);
    process.stdout.write(`${stolenPercent} % of its CPU time went to the host's other guests\n`);
  }
  return bad.length > 0 ? 1 : 0;
}

process.exitCode = await main(process.argv.slice(2));
