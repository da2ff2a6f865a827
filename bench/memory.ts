/**
 * Memory of one idle joined handset at the server: the slope between 500 and 2,500 of them, after forced collections.
 *
 * What is counted is the growth of the server's PSS (Linux: its share of every page it has, smaps_rollup), all told:
 * line, keys in the vault, row, tree nodes, name, socket. Buffers of the kernel's sockets are the kernel's.
 */
import { setTimeout as pause } from "node:timers/promises";
import { openVault } from "@feldfon/vault";
import { makeCrowd, offered } from "./load/crowd.ts";
import { atMost, stated } from "./load/figures.ts";
import { ServerProcess } from "./load/server-process.ts";
import type { Figure } from "./main.ts";

const FEW = 500;
const MANY = 2_500;
const OFFERED_PER_S = 150;
/** The last delta is acknowledged, and what the joins needed is free. */
const SETTLE_MS = 3_000;
const WANTED_KIB = 28;

export async function run(): Promise<{ name: "memory"; figures: Figure[] }> {
  const vault = openVault();
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
  const slope = (kind: "pssKiB" | "rssKiB" | "heapKiB"): number => (many[kind] - few[kind]) / (MANY - FEW);
  return {
    name: "memory",
    figures: [
      stated(`PSS with ${FEW} idle handsets`, few.pssKiB / 1_024, "MiB"),
      stated(`PSS with ${MANY} idle handsets`, many.pssKiB / 1_024, "MiB"),
      atMost("PSS for each", slope("pssKiB"), WANTED_KIB, "KiB"),
      stated("RSS for each", slope("rssKiB"), "KiB"),
      stated("of it JavaScript heap and its buffers", slope("heapKiB"), "KiB"),
    ],
  };
}
