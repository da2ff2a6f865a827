/**
 * 50 times kill -9 at random moments, of the server and of handsets; between them stalls, lost lines, a full disk.
 *
 * FELDFON_BENCH_FAULTS and FELDFON_BENCH_SEED change how many kills, and which; each other kind of fault comes once. Every
 * fault is told on standard error. What has to hold after each of them is the oracle's (load/oracle.ts).
 */
import { Chance } from "./load/chance.ts";
import { FAULTS, type Fault, KILLS, NOTICE_MS, OTHER_FAULTS, RECOVERY_MS, suffer } from "./load/faults.ts";
import { atMost, exactly, stated } from "./load/figures.ts";
import type { Figure } from "./main.ts";

const COUNT = Number(process.env.FELDFON_BENCH_FAULTS ?? 50);
const SEED = Number(process.env.FELDFON_BENCH_SEED ?? Date.now() % 1_000_000);

export async function run(): Promise<{ name: "faults"; figures: Figure[] }> {
  const say = (sentence: string): void => void process.stderr.write(`${sentence}\n`);
  say(`seed ${SEED}: FELDFON_BENCH_SEED=${SEED} FELDFON_BENCH_FAULTS=${COUNT} npm run bench -- faults`);
  const chance = new Chance(SEED);
  const faults: Fault[] = Array.from({ length: COUNT }, () => chance.of(KILLS));
  for (const fault of OTHER_FAULTS) faults.splice(Math.floor(chance.between(0, faults.length + 1)), 0, fault);
  const told = await suffer(faults, { seed: SEED, say });
  for (const sentence of told.wrong.slice(0, 20)) say(sentence);
  const longest = (...of: readonly Fault[]): number =>
    Math.max(0, ...told.recoveries.filter(({ fault }) => of.includes(fault)).map(({ ms }) => ms)) / 1_000;
  return {
    name: "faults",
    figures: [
      { name: "seed", value: SEED, unit: "" },
      { name: "faults", value: told.recoveries.length, unit: "" },
      { name: "of them kill -9", value: COUNT, unit: "" },
      stated("registrations acknowledged", told.acknowledged, ""),
      stated("epochs", told.epochs, ""),
      stated("batches that the full disk refused", told.batchesRefused, ""),
      stated("calls compared at both ends", told.callsCompared, ""),
      ...FAULTS.map((fault) => stated(`longest until all is well: ${fault}`, longest(fault), "s")),
      atMost("longest until all is well", longest(...FAULTS), RECOVERY_MS / 1_000, "s"),
      atMost("longest until a dead line is noticed", Math.max(...told.noticedMs) / 1_000, NOTICE_MS / 1_000, "s"),
      exactly("lost, confused or stuck", told.wrong.length, 0, ""),
    ],
  };
}
