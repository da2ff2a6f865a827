/**
 * Server CPU of a dropped line that comes back, beside a proven join: the same handsets, the same server, in turns.
 *
 *     join      M1..M4, join, head, secret, phonebook            row and head on disk
 *     resume    socket lost, R1, R2, sync, an empty delta        no RSA, no disk
 *
 * All cables are pulled within a second and every uplink comes back by itself. The server notices the loss, keeps the
 * ticket and takes the line back: all of that is counted. Nobody else is present, so the joins' deltas stay few.
 * The server is measured warm. What the driver leaves out: load/quick-vault.ts.
 */
import { once } from "node:events";
import { setTimeout as pause } from "node:timers/promises";
import { makeCrowd, offered } from "./load/crowd.ts";
import { atMost, median, stated } from "./load/figures.ts";
import { QuickVault } from "./load/quick-vault.ts";
import { ServerProcess } from "./load/server-process.ts";
import type { Figure } from "./main.ts";

const HANDSETS = 150;
const OFFERED_PER_S = 300;
const WARM_ROUNDS = 12;
const ROUNDS = 7;
const SETTLE_MS = 700;
const WANTED_RATIO = 0.3;

export async function run(): Promise<{ name: "resume"; figures: Figure[] }> {
  const vault = new QuickVault();
  const server = await ServerProcess.start();
  const crowd = await makeCrowd(vault, server.place, { from: 1, count: HANDSETS });
  const us = { join: [] as number[], resume: [] as number[] };
  for (let round = 0; round < WARM_ROUNDS + ROUNDS; round++) {
    const join = await server.cpuUs(async () => {
      await offered(crowd, OFFERED_PER_S, (handset) => handset.join());
      await pause(SETTLE_MS);
    });
    const resume = await server.cpuUs(async () => {
      await offered(crowd, OFFERED_PER_S, async (handset) => {
        const back = once(handset.told, "connected");
        handset.drop();
        const [{ change }] = (await back) as [{ change: unknown }];
        if (change !== undefined) throw new Error("a handset came back by a join, not by a resume");
      });
      await pause(SETTLE_MS);
    });
    await offered(crowd, 1_000, (handset) => handset.leave());
    await pause(SETTLE_MS);
    if (round < WARM_ROUNDS) continue;
    us.join.push(join / HANDSETS);
    us.resume.push(resume / HANDSETS);
  }
  await server.stop();
  vault.wipeAll();
  return {
    name: "resume",
    figures: [
      stated("proven join", median(us.join) / 1_000, "ms CPU"),
      stated("line lost and resumed", median(us.resume) / 1_000, "ms CPU"),
      atMost("resume / join", median(us.resume) / median(us.join), WANTED_RATIO),
    ],
  };
}
