/**
 * `npm run leakscan`: does any memory but the vault's, or any file, hold a byte of a key? Root and Linux. The last line
 * says so, and so does the exit code; `--json` prints one object instead, `--stops N` fewer or more stops.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { atRest, type FileLook } from "./at-rest.ts";
import { judge, type Verdict } from "./judge.ts";
import { whyNot } from "./scanner.ts";
import { type Look, play, type Scene, type SceneResult } from "./scenes.ts";

const EXIT_LEAK = 1;
const EXIT_GROUND = 2;
const MEBIBYTE = 1024 * 1024;

const { values } = parseArgs({
  options: { json: { type: "boolean", default: false }, stops: { type: "string", default: "25" } },
});
const stops = Number(values.stops);
if (!Number.isSafeInteger(stops) || stops < 1) {
  process.stderr.write(`leakscan: --stops: "${values.stops}" is no number of stops\n`);
  process.exit(EXIT_GROUND);
}
const say = (text: string): void => void (values.json || process.stdout.write(`${text}\n`));

const reason = whyNot();
if (reason !== undefined) {
  process.stderr.write(`leakscan: ${reason}\n`);
  process.exit(EXIT_GROUND);
}

const SCENES: readonly Scene[] = [
  { name: "shipped", vault: "", watched: false, stops, cores: true },
  { name: "watched", vault: "", watched: true, stops, cores: true },
  { name: "locked", vault: "locked", watched: true, stops: 0, cores: true },
  { name: "degraded", vault: "degraded", watched: true, stops: 0, cores: true },
];

const folder = mkdtempSync(join(tmpdir(), "feldfon-leakscan-"));
try {
  const results: { scene: Scene; result: SceneResult; verdict: Verdict; seconds: number }[] = [];
  say("scene      moment             process    MiB read  closed MiB      hits  algebraic  where");
  for (const scene of SCENES) {
    const began = performance.now();
    const result = await play(scene, folder);
    const verdict = judge(scene, result);
    results.push({ scene, result, verdict, seconds: Math.round((performance.now() - began) / 1000) });
    for (const look of result.looks) say(row(look));
    say(`${verdict.holds ? "holds" : "FAILS"}: ${scene.name}: ${verdict.sentence}`);
  }
  const rest = await atRest(folder);
  for (const look of rest.files) say(fileRow(look));
  say(`${rest.holds ? "holds" : "FAILS"}: at rest: ${rest.sentence}`);
  const holds = rest.holds && results.every(({ verdict }) => verdict.holds);
  if (values.json) {
    const scenes = results.map(({ scene, result, verdict, seconds }) => ({ ...scene, ...verdict, seconds, ...result }));
    process.stdout.write(`${JSON.stringify({ holds, scenes, atRest: rest })}\n`);
  }
  say(holds ? "leakscan: nothing to steal" : "leakscan: FAILED");
  process.exitCode = holds ? 0 : EXIT_LEAK;
} finally {
  rmSync(folder, { recursive: true });
}

function fileRow({ moment, file, place }: FileLook): string {
  const columns = ["at rest".padEnd(10), moment.padEnd(18), file.padEnd(36), `${place.bytes} bytes`.padStart(16)];
  return [...columns, `${place.hits + place.algebraic} hits`.padStart(10)].join(" ");
}

function row({ scene, moment, owner, places }: Look): string {
  const sum = (count: (place: Look["places"][number]) => number): number =>
    places.reduce((total, place) => total + count(place), 0);
  const mebibytes = (bytes: number): string => (bytes / MEBIBYTE).toFixed(1);
  const where = places.filter(({ hits, algebraic }) => hits + algebraic > 0).map(({ name, hits }) => `${name} ${hits}`);
  return [
    scene.padEnd(10),
    moment.padEnd(18),
    owner.padEnd(8),
    mebibytes(sum(({ bytes }) => bytes)).padStart(10),
    mebibytes(sum(({ unreadableBytes }) => unreadableBytes)).padStart(11),
    String(sum(({ hits }) => hits)).padStart(9),
    String(sum(({ algebraic }) => algebraic)).padStart(10),
    ` ${where.join(", ") || "-"}`,
  ].join(" ");
}
