/**
 * Handsets that join, call, are cut, come back, leave and join again, each at its own pace; and the oracle beside them.
 *
 *     live --until the time is over--> quiet: all connected, no calls --oracle--> leave: no slot is left anywhere
 *                                                                                 kill: every epoch is on disk
 */
import { once } from "node:events";
import { setTimeout as pause } from "node:timers/promises";
import { ProtocolError } from "@feldfon/protocol/errors";
import type { Vault } from "@feldfon/protocol/vault";
import { Chance } from "./chance.ts";
import { makeCrowd, offered } from "./crowd.ts";
import type { LoadHandset } from "./handset.ts";
import { Oracle } from "./oracle.ts";
import type { ServerProcess } from "./server-process.ts";

const OFFERED_PER_S = 60;
/** Nothing that a handset does takes longer, retries included. */
const STUCK_MS = 20_000;
const QUIET_MS = 15_000;
/** Both directions, j, and the ticket's two. */
const SLOTS_A_LINE = 5;

export interface Churned {
  joins: number;
  epochs: number;
  resumes: number;
  leaves: number;
  /** Calls whose keys were agreed on both ends. */
  calls: number;
  /** Of them ended with the proof that the other side has erased its keys. */
  erasedOnBoth: number;
  /** Everything the oracle found wrong, in words; empty is good. */
  wrong: string[];
}

/**
 * @param vault of all handsets, with nothing else in it
 * @param server is killed at the end
 */
export async function churn(
  vault: Vault,
  server: ServerProcess,
  { handsets, seconds, seed }: { handsets: number; seconds: number; seed: number },
): Promise<Churned> {
  const crowd = await makeCrowd(vault, server.place, { from: 1, count: handsets, trusting: false });
  const counts = { joins: 0, resumes: 0, leaves: 0 };
  const oracle = new Oracle();
  for (const handset of crowd) {
    handset.told.on("connected", ({ change }) => counts[change === undefined ? "resumes" : "joins"]++);
    handset.overhear((told) => oracle.hear(told));
  }
  const goAndCome = async (handset: LoadHandset, awayMs: number): Promise<void> => {
    counts.leaves++;
    oracle.hear({ what: "leaving", uid: handset.uid });
    await handset.leave();
    await pause(awayMs);
    await handset.join();
  };
  const wrong: string[] = [];
  const untilMs = Date.now() + seconds * 1_000;
  await offered(crowd, OFFERED_PER_S, (handset) => handset.join());
  await Promise.all(
    crowd.map(async (handset) => {
      const chance = new Chance(seed + handset.n);
      while (Date.now() < untilMs) {
        const step = await within(STUCK_MS, live(handset, crowd, chance, goAndCome));
        if (step === "late") wrong.push(`${handset.name} is stuck, ${handset.doing}`);
        if (step === "late") return;
      }
    }),
  );

  wrong.push(...(await quiet(crowd, server, oracle)));
  wrong.push(...neverHeardOf(crowd));
  const ends = crowd.flatMap(({ calls }) => calls).filter(({ agreed }) => agreed);
  await offered(crowd, 1_000, (handset) => {
    oracle.hear({ what: "leaving", uid: handset.uid });
    return handset.leave();
  });
  await pause(1_000);
  const { slots, calls } = await server.ask("state");
  if (slots > 0 || calls > 0) wrong.push(`the empty server holds ${slots} slots and ${calls} calls`);
  const left = vault.status().slotsInUse;
  if (left > 0) wrong.push(`the handsets, all gone, hold ${left} slots`);
  await server.kill();
  wrong.push(...oracle.wrong, ...oracle.onDisk(await server.stored()));
  return {
    ...counts,
    epochs: oracle.epochs,
    calls: ends.length / 2,
    erasedOnBoth: ends.filter(({ ended }) => ended?.erased === "both").length / 2,
    wrong,
  };
}

/** One thing that a handset or its owner does. */
async function live(
  handset: LoadHandset,
  crowd: readonly LoadHandset[],
  chance: Chance,
  goAndCome: (handset: LoadHandset, awayMs: number) => Promise<void>,
): Promise<void> {
  if (!handset.connected) return await pause(50);
  const what = chance.next();
  if (what < 0.5) return await call(handset, chance.of(crowd), chance);
  if (what < 0.65) return handset.drop();
  if (what < 0.75) return await goAndCome(handset, chance.between(0, 500));
  await pause(chance.between(100, 1_000));
}

async function call(handset: LoadHandset, other: LoadHandset, chance: Chance): Promise<void> {
  const over = once(handset.told, "ended");
  over.catch(() => {});
  try {
    await handset.dial(other.uid);
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error;
    return await pause(50); // in a call already, or that row is not here
  }
  await Promise.race([over, once(handset.told, "agreed")]);
  await pause(chance.between(50, 800));
  handset.hangUp();
  while (handset.inCall) await pause(20);
}

/** Everyone comes to rest, and all have the same directory, with everyone in it. */
async function quiet(crowd: readonly LoadHandset[], server: ServerProcess, oracle: Oracle): Promise<string[]> {
  for (const untilMs = Date.now() + QUIET_MS; ; await pause(100)) {
    for (const handset of crowd) handset.hangUp();
    const state = await server.ask("state");
    const wrong = oracle.apart(
      crowd.map((handset) => handset.state),
      state,
    );
    if (state.lines !== crowd.length) wrong.push(`${state.lines} lines at the server, ${crowd.length} handsets`);
    if (state.calls > 0) wrong.push(`${state.calls} calls go on at the server`);
    if (state.slots !== SLOTS_A_LINE * crowd.length) {
      wrong.push(`${state.slots} slots at the server, ${SLOTS_A_LINE} for each of ${crowd.length} lines expected`);
    }
    for (const handset of crowd) if (handset.inCall) wrong.push(`${handset.name} is in a call`);
    if (wrong.length === 0 || Date.now() > untilMs) return wrong;
  }
}

/** Nobody's process was killed: whoever agreed to a call did so with somebody who knows of it, and both know its end. */
function neverHeardOf(crowd: readonly LoadHandset[]): string[] {
  const wrong: string[] = [];
  const byUid = new Map(crowd.map((handset) => [handset.uid, handset]));
  for (const { name, calls } of crowd) {
    for (const { callId, peer, agreed, ended } of calls) {
      const theirs = byUid.get(peer)?.calls.some((other) => other.callId === callId);
      if (!ended) wrong.push(`${name}: a call has not ended`);
      if (agreed && !theirs) wrong.push(`${name}: the other end never heard of a call that was agreed`);
    }
  }
  return wrong;
}

async function within(ms: number, act: Promise<void>): Promise<"done" | "late"> {
  const timer = new AbortController();
  const late = pause(ms, "late" as const, { signal: timer.signal }).catch(() => "done" as const);
  const outcome = await Promise.race([act.then(() => "done" as const), late]);
  timer.abort();
  return outcome;
}
