/**
 * Delay of the server's loop at 200 joins a second with 1,000 present, each join on disk before it is answered.
 *
 *     load/remote.ts: 600 who stay
 *     load/remote.ts: 400 who come and go     load/server.ts: the product
 *     load/remote.ts: 400 more
 *
 * One process alone is busy with 200 joins a second and the deltas of all who are there already.
 *
 * Whoever joins has left before, so every join is a new row, a new head and a delta for everyone; 600 are present at the
 * beginning of a round and 1,400 at its end.
 *
 * The handsets sign and open with quick keys, share their ephemeral ones, read the beginning of long frames and
 * recompute no root (load/quick-vault.ts, trusting-follower.ts): the server does the same.
 */
import { setTimeout as pause } from "node:timers/promises";
import { atMost, median, round, stated } from "./load/figures.ts";
import { RemoteCrowd } from "./load/remote-crowd.ts";
import { ServerProcess } from "./load/server-process.ts";
import type { Figure } from "./main.ts";

const STAYING = 600;
const COMING = 400;
const CROWDS_COMING = 2;
const JOINS_PER_S = 200;
/** From the first of a crowd that is in the loop to its last, who waits for all deltas that are on their way. */
const REACHED_PER_S = 180;
const ROUNDS = 5;
const WANTED_P99_MS = 10;

export async function run(): Promise<{ name: "delay"; figures: Figure[] }> {
  const server = await ServerProcess.start();
  const staying = await RemoteCrowd.start(server.place, { from: 1, count: STAYING });
  const coming: RemoteCrowd[] = [];
  for (let crowd = 0; crowd < CROWDS_COMING; crowd++) {
    const from = 1 + STAYING + crowd * COMING;
    coming.push(await RemoteCrowd.start(server.place, { from, count: COMING }));
  }
  const all = (act: "join" | "leave", perS: number) =>
    Promise.all(coming.map((crowd) => crowd.ask(act, perS / CROWDS_COMING)));
  await staying.ask("join", JOINS_PER_S);

  const rounds = { p50: [] as number[], p99: [] as number[], max: [] as number[], perS: [] as number[] };
  for (let turn = 0; turn <= ROUNDS; turn++) {
    await pause(1_000);
    await server.ask("delay");
    const joined = await all("join", JOINS_PER_S);
    const { p50, p99, max } = await server.ask("delay");
    await all("leave", 500);
    if (turn === 0) continue; // Warm-up.
    const perS = joined.reduce((sum, { donePerS }) => sum + donePerS, 0);
    for (const [name, value] of Object.entries({ p50, p99, max, perS })) rounds[name as "p50"].push(value);
  }
  await Promise.all([staying, ...coming].map((crowd) => crowd.stop()));
  await server.stop();
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
