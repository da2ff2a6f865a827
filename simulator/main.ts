/** `feldfon-simulator`, `make demo`: runs the demo and ends with a table, or with one JSON object. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { type DemoReport, runDemo } from "./demo.ts";

const USAGE = `feldfon-simulator: a server and two handsets on this machine call each other

  --json          the same as one object on the last line
  --trace DIR     one trace file for each process
  --help          print this, and end
`;

const { values } = parseArgs({
  options: { json: { type: "boolean" }, trace: { type: "string" }, help: { type: "boolean", short: "h" } },
});
if (values.help) {
  process.stdout.write(USAGE);
} else {
  process.exitCode = await main();
}

async function main(): Promise<number> {
  const folder = mkdtempSync(join(tmpdir(), "feldfon-demo-"));
  try {
    const say = (text: string): void => void process.stdout.write(`${text}\n`);
    const report = await runDemo({ folder, traces: values.trace, say });
    say(`\n${tableOf(report)}`);
    if (values.json) say(JSON.stringify(report));
    return report.ok ? 0 : 1;
  } catch (error) {
    process.stderr.write(`feldfon-simulator: ${error instanceof Error ? error.message : String(error)}\n`);
    return 1;
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
      [`call ${at + 1}: voice at A, B`, `${call.snrDb.a} dB, ${call.snrDb.b} dB against what was said (99 = equal)`],
      [`call ${at + 1}: numbers`, call.sas.a === call.sas.b ? call.sas.a : `${call.sas.a} AND ${call.sas.b}`],
      [`call ${at + 1}: keys erased`, call.erased.join(", ")],
    ]),
    ["vault of A, B, server", `${vault.a}, ${vault.b}, ${vault.server}`],
    ["result", ok ? "good" : "NOT GOOD"],
  ];
  const width = Math.max(...rows.map(([name]) => name.length));
  return rows.map(([name, value]) => `  ${name.padEnd(width)}  ${value}`).join("\n");
}
