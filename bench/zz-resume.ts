/**
 * Server CPU of a dropped line that comes back, beside a proven join: the same handsets, the same server, in turns.
 *
 *     load/remote.ts: 150 who come, drop out and go
 *     load/remote.ts: 100 who stay                    load/server.ts: the product
 *
 *     join      M1..M4, join, head, secret, phonebook             row and head on disk
 *     resume    socket lost, R1, R2, sync: nothing has changed    no RSA, no disk
 *
 * Cables are pulled one after the other and every uplink comes back by itself. The server notices the loss, keeps the
 * ticket and takes the line back: all of that is counted. Both come at the rate that is wanted of joins; at more they
 * share more: signatures, transactions, wakings, and joins share the most. That is stated.
 * The server is measured warm. What the handsets leave out: load/quick-vault.ts.
 */
import { setTimeout as pause } from "node:timers/promises";
import { atMost, median, stated } from "./load/figures.ts";
import { RemoteCrowd } from "./load/remote-crowd.ts";
import { ServerProcess } from "./load/server-process.ts";
import type { Figure } from "./main.ts";

const COMING = 150;
const STAYING = 100;
const PER_S = 100;
const MORE_PER_S = 400;
const WARM_ROUNDS = 40;
const ROUNDS = 11;
const SETTLE_MS = 700;
const WANTED_RATIO = 0.3;

export async function run(): Promise<{ name: "resume"; figures: Figure[] }> {
  const server = await ServerProcess.start();
  const coming = await RemoteCrowd.start(server.place, { from: 1, count: COMING });
  const staying = await RemoteCrowd.start(server.place, { from: 1 + COMING, count: STAYING });
  await staying.ask("join", MORE_PER_S);
  const cost = async (act: "join" | "comeBack", perS: number): Promise<number> => {
    const us = await server.cpuUs(async () => {
      await coming.ask(act, perS);
      await pause(SETTLE_MS);
    });
    return us / COMING / 1_000;
  };
  const round = async (perS: number): Promise<{ join: number; resume: number }> => {
    const join = await cost("join", perS);
    const resume = await cost("comeBack", perS);
    await coming.ask("leave", 1_000);
    await pause(SETTLE_MS);
    return { join, resume };
  };
  const figures: Figure[] = [];
  for (let warm = 0; warm < WARM_ROUNDS; warm++) await round(MORE_PER_S);
  for (const perS of [PER_S]) {
    const rounds = [];
    for (let n = 0; n < ROUNDS; n++) {
      const r = await round(perS);
      console.error(perS, r.join.toFixed(3), r.resume.toFixed(3), (r.resume / r.join).toFixed(3));
      rounds.push(r);
    }
    const join = median(rounds.map((each) => each.join));
    const resume = median(rounds.map((each) => each.resume));
    const ratio = `resume / join, ${perS}/s`;
    figures.push(stated(`proven join, ${perS}/s`, join, "ms CPU"));
    figures.push(stated(`line lost and resumed, ${perS}/s`, resume, "ms CPU"));
    figures.push(perS === PER_S ? atMost(ratio, resume / join, WANTED_RATIO) : stated(ratio, resume / join, "ratio"));
  }
  await Promise.all([coming.stop(), staying.stop()]);
  await server.stop();
  return { name: "resume", figures };
}
