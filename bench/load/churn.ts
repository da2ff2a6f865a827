/**
 * Handsets that join, call, are cut, come back, leave and join again, each at its own pace; and the oracle beside them.
 *
 *     live --until the time is over--> quiet: all connected, no calls --oracle--> close: no slot is left anywhere
 */
import { once } from "node:events";
import { setTimeout as pause } from "node:timers/promises";
import { ProtocolError } from "@feldfon/protocol/errors";
import type { Vault } from "@feldfon/protocol/vault";
import { Chance } from "./chance.ts";
import { makeCrowd, offered } from "./crowd.ts";
import type { LoadHandset } from "./handset.ts";
import type { ServerProcess } from "./server-process.ts";

const OFFERED_PER_S = 60;
/** Nothing that a handset does takes longer, retries included. */
const STUCK_MS = 20_000;
const QUIET_MS = 15_000;

export interface Churned {
  joins: number;
  resumes: number;
  leaves: number;
  /** Calls whose keys were agreed on both ends. */
  calls: number;
  /** Of them ended with the proof that the other side has erased its keys. */
  erasedOnBoth: number;
  /** Everything the oracle found wrong, in words; empty is good. */
  wrong: string[];
}

/** @param vault of all handsets, with nothing else in it */
export async function churn(
  vault: Vault,
  server: ServerProcess,
  { handsets, seconds, seed }: { handsets: number; seconds: number; seed: number },
): Promise<Churned> {
  const crowd = await makeCrowd(vault, server.place, { from: 1, count: handsets, trusting: false });
  const counts = { joins: 0, resumes: 0, leaves: 0 };
  for (const { told } of crowd) {
    told.on("connected", ({ change }) => counts[change === undefined ? "resumes" : "joins"]++);
  }
  const wrong: string[] = [];
  const untilMs = Date.now() + seconds * 1_000;
  await offered(crowd, OFFERED_PER_S, (handset) => handset.join());
  await Promise.all(
    crowd.map(async (handset) => {
      const chance = new Chance(seed + handset.n);
      while (Date.now() < untilMs) {
        const step = await within(STUCK_MS, live(handset, crowd, chance, counts));
        if (step === "late") wrong.push(`${handset.name} is stuck`);
        if (step === "late") return;
      }
    }),
  );

  wrong.push(...(await quiet(crowd, server)));
  wrong.push(...callsApart(crowd));
  const ends = crowd.flatMap(({ calls }) => calls).filter(({ agreed }) => agreed);
  await offered(crowd, 1_000, (handset) => handset.leave());
  await pause(1_000);
  const { slots, calls } = await server.ask("state");
  if (slots > 0 || calls > 0) wrong.push(`the empty server holds ${slots} slots and ${calls} calls`);
  const left = vault.status().slotsInUse;
  if (left > 0) wrong.push(`the handsets, all gone, hold ${left} slots`);
  return {
    ...counts,
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
  counts: { leaves: number },
): Promise<void> {
  if (!handset.connected) return await pause(50);
  const what = chance.next();
  if (what < 0.5) return await call(handset, chance.of(crowd), chance);
  if (what < 0.65) return handset.drop();
  if (what < 0.75) {
    counts.leaves++;
    await handset.leave();
    await pause(chance.between(0, 500));
    return await handset.join();
  }
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
async function quiet(crowd: readonly LoadHandset[], server: ServerProcess): Promise<string[]> {
  for (const untilMs = Date.now() + QUIET_MS; ; await pause(100)) {
    for (const handset of crowd) handset.hangUp();
    const wrong = await differences(crowd, server);
    if (wrong.length === 0 || Date.now() > untilMs) return wrong;
  }
}

async function differences(crowd: readonly LoadHandset[], server: ServerProcess): Promise<string[]> {
  const wrong: string[] = [];
  const { root, rows, lines, slots, calls } = await server.ask("state");
  if (rows !== crowd.length + 1) wrong.push(`${rows - 1} handsets in the directory, ${crowd.length} have joined`);
  if (lines !== crowd.length) wrong.push(`${lines} lines at the server, ${crowd.length} handsets`);
  if (calls > 0) wrong.push(`${calls} calls go on at the server`);
  // Both directions, j, and the ticket's two.
  if (slots !== 5 * crowd.length)
    wrong.push(`${slots} slots at the server, 5 for each of ${crowd.length} lines expected`);
  for (const handset of crowd) {
    const { name, connected, stuck, head, follower } = handset;
    if (stuck !== undefined) wrong.push(`${name} has given up: ${stuck}`);
    if (!connected) wrong.push(`${name} is not connected`);
    if (handset.inCall) wrong.push(`${name} is in a call`);
    if (head?.head.seedRoot.toString("hex") !== root) wrong.push(`${name} has another root than the server`);
    const missing = crowd.filter(({ uid }) => !follower?.rowOf(uid));
    if (missing.length > 0) wrong.push(`${name} misses ${missing.map((other) => other.name).join(", ")}`);
    const ids = new Set(follower?.rows.map(({ uid }) => uid));
    if (ids.size !== rows) wrong.push(`${name} has ${ids.size} ids of ${rows}`);
  }
  return wrong;
}

/** A call that one end believes in and the other does not. */
export function callsApart(crowd: readonly LoadHandset[]): string[] {
  const wrong: string[] = [];
  const byUid = new Map(crowd.map((handset) => [handset.uid, handset]));
  for (const handset of crowd) {
    for (const { callId, peer, agreed, ended } of handset.calls) {
      const theirs = byUid.get(peer)?.calls.find((other) => other.callId === callId);
      if (!ended) wrong.push(`${handset.name}: a call has not ended`);
      if (agreed && ended?.erased === "none") wrong.push(`${handset.name}: a call's keys were not erased`);
      if (agreed && !theirs) wrong.push(`${handset.name}: the other end never heard of a call that was agreed`);
      if (agreed && theirs && !theirs.ended)
        wrong.push(`${handset.name}: the other end is still in a call that is over`);
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
