/**
 * Memory of one idle joined handset at the server: the slope between 500 and 2,500 of them, after forced collections.
 *
 * What is counted is the growth of the server's RSS, all told: line, keys in the vault, row, tree nodes, name, socket,
 * and what the joins in between have left behind. PSS is stated beside it: its share of Node's own pages changes with
 * every other Node that starts or ends. Buffers of the kernel's sockets are the kernel's.
 */
import { setTimeout as pause } from "node:timers/promises";
import { NodeVault } from "@feldfon/vault";
import { makeCrowd, offered } from "./load/crowd.ts";
import { atMost, stated } from "./load/figures.ts";
import { ServerProcess } from "./load/server-process.ts";
import type { Figure } from "./main.ts";

const FEW = 500;
const MANY = 2_500;
const OFFERED_PER_S = 150;
/** The last delta is acknowledged, and the outboxes' timers (10 s) have ended: the lines are idle. */
const SETTLE_MS = 12_000;
const WANTED_KIB = 28;

export async function run(): Promise<{ name: "memory"; figures: Figure[] }> {
  // Thousands of handsets in one process have more key pairs than the native vault takes.
  const vault = new NodeVault();
  const server = await ServerProcess.start();
  const crowd = await makeCrowd(vault, server.place, { from: 1, count: MANY });
  const memoryOf = async (present: number) => {
    await pause(SETTLE_MS);
    const { lines } = await server.ask("state");
    if (lines !== present) throw new Error(`${lines} lines are there, ${present} were wanted`);
    return await server.ask("memory");
  };
  await offered(crowd.slice(0, FEW), OFFERED_PER_S, (handset) => handset.join());
  const few = await memoryOf(FEW);
  await offered(crowd.slice(FEW), OFFERED_PER_S, (handset) => handset.join());
  const many = await memoryOf(MANY);
  for (const handset of crowd) handset.close();
  await server.stop();
  vault.wipeAll();
  const slope = (kind: keyof typeof few): number => (many[kind] - few[kind]) / (MANY - FEW);
  return {
    name: "memory",
    figures: [
      stated(`RSS with ${FEW} idle handsets`, few.rssKiB / 1_024, "MiB"),
      stated(`RSS with ${MANY} idle handsets`, many.rssKiB / 1_024, "MiB"),
      atMost("RSS for each", slope("rssKiB"), WANTED_KIB, "KiB"),
      stated("PSS for each", slope("pssKiB"), "KiB"),
      stated("of it pages of the JavaScript heap", slope("heapPagesKiB"), "KiB"),
      stated("of these in use", slope("heapKiB"), "KiB"),
      stated("buffers outside the heap", slope("buffersKiB"), "KiB"),
    ],
  };
}
