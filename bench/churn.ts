/**
 * 100 handsets join, call in pairs, lose their lines, come back, leave and join again, five minutes long; none is lost.
 *
 * FELDFON_BENCH_SECONDS and FELDFON_BENCH_SEED change how long, and which decisions. Every handset verifies everything
 * that the product's does. The oracle listens all the time and compares at the end, when all have come to rest, and
 * once more what the killed server has left on its disk (load/churn.ts, load/oracle.ts).
 */
import { openVault } from "@feldfon/vault";
import { churn } from "./load/churn.ts";
import { exactly, stated } from "./load/figures.ts";
import { ServerProcess } from "./load/server-process.ts";
import type { Figure } from "./main.ts";

const HANDSETS = 100;
const SECONDS = Number(process.env.FELDFON_BENCH_SECONDS ?? 300);
const SEED = Number(process.env.FELDFON_BENCH_SEED ?? Date.now() % 1_000_000);

export async function run(): Promise<{ name: "churn"; figures: Figure[] }> {
  process.stderr.write(
    `seed ${SEED}: FELDFON_BENCH_SEED=${SEED} FELDFON_BENCH_SECONDS=${SECONDS} npm run bench -- churn\n`,
  );
  const vault = openVault();
  const server = await ServerProcess.start();
  const told = await churn(vault, server, { handsets: HANDSETS, seconds: SECONDS, seed: SEED });
  await server.stop();
  for (const sentence of told.wrong.slice(0, 20)) process.stderr.write(`${sentence}\n`);
  return {
    name: "churn",
    figures: [
      { name: "seed", value: SEED, unit: "" },
      stated("time", SECONDS, "s"),
      { name: "handsets", value: HANDSETS, unit: "" },
      { name: "joins", value: told.joins, unit: "" },
      { name: "epochs", value: told.epochs, unit: "" },
      { name: "lines lost and resumed", value: told.resumes, unit: "" },
      { name: "orderly leaves", value: told.leaves, unit: "" },
      { name: "calls agreed and ended", value: told.calls, unit: "" },
      { name: "of them keys erased on both sides, proven", value: told.erasedOnBoth, unit: "" },
      exactly("lost, confused or stuck", told.wrong.length, 0, ""),
    ],
  };
}
