/**
 * `feldfon-simulator`, `make demo`: runs the demo and ends with a table, or with one JSON object.
 * `feldfon-simulator run`, `make run`: a server, handsets and the page that shows them, until Ctrl-C.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { LANGUAGES, type Language } from "@feldfon/hw/board/page/texts";
import { type DemoReport, runDemo } from "./demo.ts";
import { Household, MOST_HANDSETS } from "./household.ts";
import { openHouseholdPage } from "./page-server.ts";

const USAGE = `feldfon-simulator: a server and two handsets on this machine call each other
feldfon-simulator run: a server, handsets, and a page in the browser to press them

  --json             demo: the same as one object on the last line
  --trace DIR        demo: one trace file for each process
  --data DIR         run: folder of keys, settings and traces [simulator-data]
  --port PORT        run: of the server, or the next free one [5060]
  --page-port PORT   run: of the page, or the next free one; 0 = any [8080]
  --handsets COUNT   run: how many there are at first [2]
  --language LANG    run: of the handsets' displays, de, en or zh [en]
  --help             print this, and end
`;

const EXIT_USAGE = 2;
const text = { type: "string" } as const;
const flag = { type: "boolean" } as const;

process.exitCode = await main();

async function main(): Promise<number> {
  let parsed: ReturnType<typeof parseFlags>;
  try {
    parsed = parseFlags();
  } catch (error) {
    process.stderr.write(`feldfon-simulator: ${(error as Error).message} (--help lists what there is)\n`);
    return EXIT_USAGE;
  }
  const { values, positionals } = parsed;
  if (values.help) {
    process.stdout.write(USAGE);
    return 0;
  }
  try {
    if (positionals.length === 0) return await demo(values);
    if (positionals.join() === "run") return await run(values);
    process.stderr.write(`feldfon-simulator: no such command: ${positionals.join(" ")}\n`);
    return EXIT_USAGE;
  } catch (error) {
    process.stderr.write(`feldfon-simulator: ${error instanceof Error ? error.message : String(error)}\n`);
    return 1;
  }
}

type Values = ReturnType<typeof parseFlags>["values"];

function parseFlags() {
  return parseArgs({
    allowPositionals: true,
    options: {
      json: flag,
      trace: text,
      data: text,
      port: text,
      "page-port": text,
      handsets: text,
      language: text,
      help: { ...flag, short: "h" },
    },
  });
}

async function run(values: Values): Promise<number> {
  const folder = resolve(values.data ?? "simulator-data");
  const port = whole("--port", values.port ?? "5060");
  const pagePort = whole("--page-port", values["page-port"] ?? "8080");
  const handsets = whole("--handsets", values.handsets ?? "2");
  const language = languageIn(values.language ?? "en");
  if (handsets > MOST_HANDSETS) throw new Error(`--handsets: at most ${MOST_HANDSETS}`);
  process.stdout.write("Starting a server and handsets (the first time each makes its key, which takes a moment) ..\n");
  const household = await Household.open({ folder, port, handsets, language });
  const page = await openHouseholdPage(household, pagePort);
  // Before the page's address is out: whoever reads it may press Ctrl-C at once.
  const asked = new Promise<void>((resolve) => {
    for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.once(signal, () => resolve());
  });
  const taken = port === 0 || household.server.port === port ? "" : ` (${port} is taken)`;
  process.stdout.write(`
  Open this in a browser of this machine:

    ${page.address}

  Server  127.0.0.1:${household.server.port}${taken}, fingerprint ${household.server.fingerprint}
  Data    ${folder}

  Ctrl-C ends all of it.
`);
  await asked;
  process.stdout.write("\nThe handsets take their leave ..\n");
  page.close();
  await household.close();
  return 0;
}

/** @throws {Error} with the flag's name */
function languageIn(value: string): Language {
  const known = LANGUAGES.find((language) => language === value);
  if (!known) throw new Error(`--language: "${value}" is none of ${LANGUAGES.join(", ")}`);
  return known;
}

/** @throws {Error} with the flag's name */
function whole(name: string, value: string): number {
  if (!/^\d{1,5}$/.test(value) || Number(value) > 65_535) throw new Error(`${name}: not a number from 0 to 65535`);
  return Number(value);
}

async function demo(values: Values): Promise<number> {
  const folder = mkdtempSync(join(tmpdir(), "feldfon-demo-"));
  try {
    const say = (text: string): void => void process.stdout.write(`${text}\n`);
    const report = await runDemo({ folder, traces: values.trace, say });
    say(`\n${tableOf(report)}`);
    if (values.json) say(JSON.stringify(report));
    return report.ok ? 0 : 1;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function tableOf({ ok, steps, calls, vault }: DemoReport): string {
  const rows: [string, string][] = [
    ...steps.map(({ step, ms }): [string, string] => [/^\d/.test(step) ? `connect ${step}` : step, `${ms} ms`]),
    ...calls.flatMap((call, at): [string, string][] => [
      [`call ${at + 1}: set up`, `${call.setupMs} ms`],
      [`call ${at + 1}: packets`, `${call.packets} of ${call.packetSizes.join(" and ")} bytes, ${call.lost} lost`],
      [
        `call ${at + 1}: voice at A, B`,
        `${call.snrDb.a} dB, ${call.snrDb.b} dB against what was said, median of quarter seconds (99 = equal)`,
      ],
      [`call ${at + 1}: numbers`, call.sas.a === call.sas.b ? call.sas.a : `${call.sas.a} AND ${call.sas.b}`],
      [`call ${at + 1}: keys erased`, call.erased.join(", ")],
    ]),
    ["vault of A, B, server", `${vault.a}, ${vault.b}, ${vault.server}`],
    ["result", ok ? "good" : "NOT GOOD"],
  ];
  const width = Math.max(...rows.map(([name]) => name.length));
  return rows.map(([name, value]) => `  ${name.padEnd(width)}  ${value}`).join("\n");
}
