/**
 * 50 plugs pulled at random moments: kill -9 of server and handsets, stalls, cuts, slow readers, floods, a full disk.
 *
 * FELDFON_BENCH_FAULTS and FELDFON_BENCH_SEED change how many, and which. Each kind has its turn. What has to hold after
 * each of them within 10 s is the oracle's (load/faults.ts).
 */
import { Chance } from "./load/chance.ts";
import { FAULTS, type Fault, suffer } from "./load/faults.ts";
import { atMost, exactly, stated } from "./load/figures.ts";
import type { Figure } from "./main.ts";

const COUNT = Number(process.env.FELDFON_BENCH_FAULTS ?? 50);
const SEED = Number(process.env.FELDFON_BENCH_SEED ?? Date.now() % 1_000_000);
const RECOVERY_MS = 10_000;

export async function run(): Promise<{ name: "faults"; figures: Figure[] }> {
  process.stderr.write(`seed ${SEED}\n`);
  const chance = new Chance(SEED);
  // The kills are what the promise is about, so they come twice as often.
  const kinds: Fault[] = [...FAULTS, "server killed", "handsets killed"];
  const faults = Array.from({ length: COUNT }, () => chance.of(kinds));
  const { recoveries, acknowledged, callsCompared, wrong } = await suffer(faults, SEED);
  for (const sentence of wrong.slice(0, 20)) process.stderr.write(`${sentence}\n`);
  const longest = (fault?: Fault): number =>
    Math.max(0, ...recoveries.filter((one) => !fault || one.fault === fault).map(({ ms }) => ms)) / 1_000;
  return {
    name: "faults",
    figures: [
      { name: "seed", value: SEED, unit: "" },
      { name: "faults", value: recoveries.length, unit: "" },
      { name: "registrations acknowledged", value: acknowledged, unit: "" },
      stated("calls compared at both ends", callsCompared, ""),
      ...FAULTS.map((fault) => stated(`longest until all is well: ${fault}`, longest(fault), "s")),
      atMost("longest until all is well", longest(), RECOVERY_MS / 1_000, "s"),
      exactly("lost, confused or stuck", wrong.length, 0, ""),
    ],
  };
}
