/** Many handsets of one process, in the keys' order; joins are offered at a rate, as people would come. */
import { setTimeout as pause } from "node:timers/promises";
import type { Vault } from "@feldfon/protocol/vault";
import { LoadHandset, type ServerPlace } from "./handset.ts";

/** Keys read at a time. */
const MAKERS = 16;
/** Joins on their way at a time: as many as the server takes from unproven strangers without asking them to wait. */
const MOST_JOINING = 200;

/** @param from number of the first handset's key; 0 is the server's */
export async function makeCrowd(
  vault: Vault,
  place: ServerPlace,
  { from, count, trusting = true }: { from: number; count: number; trusting?: boolean },
): Promise<LoadHandset[]> {
  const crowd: LoadHandset[] = [];
  for (let at = 0; at < count; at += MAKERS) {
    const numbers = Array.from({ length: Math.min(MAKERS, count - at) }, (_, index) => from + at + index);
    crowd.push(...(await Promise.all(numbers.map((n) => LoadHandset.make({ vault, n, place, trusting })))));
  }
  return crowd;
}

/**
 * Each does `act` when its turn comes, `perS` in a second; a late one is not waited for by the next.
 *
 * @returns joins a second that really were offered
 */
export async function offered<One>(
  crowd: readonly One[],
  perS: number,
  act: (one: One) => Promise<void>,
): Promise<number> {
  const beganMs = performance.now();
  const running = new Set<Promise<void>>();
  let lastMs = beganMs;
  for (const [index, each] of crowd.entries()) {
    const dueMs = beganMs + (index * 1_000) / perS;
    const waitMs = dueMs - performance.now();
    if (waitMs > 1) await pause(waitMs);
    while (running.size >= MOST_JOINING) await Promise.race(running);
    lastMs = performance.now();
    const one: Promise<void> = act(each).finally(() => running.delete(one));
    running.add(one);
  }
  await Promise.all(running);
  return ((crowd.length - 1) * 1_000) / (lastMs - beganMs);
}
