/**
 * Delay of the server's loop at 200 joins a second with 1,000 present, each join on disk before it is answered.
 *
 * 600 more handsets join, leave and join again, so that every join is a new row, a new head and a delta for everyone.
 * The driver steps back (nice 19): on a small machine it would otherwise take the time it measures. Its handsets sign and
 * open with quick keys, read the beginning of long frames and recompute no root (load/quick-vault.ts, trusting-follower.ts):
 * the server sees and does the same.
 */
import { constants, setPriority } from "node:os";
import { setTimeout as pause } from "node:timers/promises";
import { makeCrowd, offered } from "./load/crowd.ts";
import { atMost, median, round, stated } from "./load/figures.ts";
import { QuickVault } from "./load/quick-vault.ts";
import { ServerProcess } from "./load/server-process.ts";
import type { Figure } from "./main.ts";

const PRESENT = 1_000;
const JOINERS = 600;
const JOINS_PER_S = 200;
/** The last joiners' own time is in it. */
const REACHED_PER_S = 180;
const ROUNDS = 5;
const WANTED_P99_MS = 10;

export async function run(): Promise<{ name: "delay"; figures: Figure[] }> {
  const vault = new QuickVault();
  const server = await ServerProcess.start();
  const present = await makeCrowd(vault, server.place, { from: 1, count: PRESENT });
  const joiners = await makeCrowd(vault, server.place, { from: 1 + PRESENT, count: JOINERS });
  setPriority(constants.priority.PRIORITY_LOW);
  await offered(present, JOINS_PER_S, (handset) => handset.join());

  const rounds = { p50: [] as number[], p99: [] as number[], max: [] as number[], perS: [] as number[] };
  for (let turn = 0; turn <= ROUNDS; turn++) {
    await pause(1_000);
    await server.ask("delay");
    const beganMs = performance.now();
    await offered(joiners, JOINS_PER_S, (handset) => handset.join());
    const perS = (JOINERS * 1_000) / (performance.now() - beganMs);
    const { p50, p99, max } = await server.ask("delay");
    await offered(joiners, 500, (handset) => handset.leave());
    if (turn === 0) continue; // Warm-up.
    for (const [name, value] of Object.entries({ p50, p99, max, perS })) rounds[name as "p50"].push(value);
  }
  for (const handset of [...present, ...joiners]) handset.close();
  await server.stop();
  vault.wipeAll();
  const p99 = median(rounds.p99);
  const perS = median(rounds.perS);
  return {
    name: "delay",
    figures: [
      // Where the driver cannot keep up, the delay was measured at another rate than the one it is wanted for.
      { name: "joins done", value: round(perS), unit: "1/s", wanted: `>= ${REACHED_PER_S}`, ok: perS >= REACHED_PER_S },
      stated("loop delay, median", median(rounds.p50), "ms"),
      atMost("loop delay, p99", p99, WANTED_P99_MS, "ms"),
      stated("loop delay, longest", median(rounds.max), "ms"),
    ],
  };
}
