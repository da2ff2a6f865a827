/**
 * A crowd in a process of its own, which does what its driver asks.
 *
 *     parent: port and uid of the server, first key, how many        child: an empty answer once the keys are read
 *             { act, perS }                                                  how it went
 */
import { constants, setPriority } from "node:os";
import type { Uid } from "@feldfon/protocol/identity";
import { makeCrowd, offered } from "./crowd.ts";
import { QuickVault } from "./quick-vault.ts";

export interface CrowdQuestion {
  /** `comeBack`: the cable is pulled, and the line is resumed. */
  act: "join" | "leave" | "comeBack";
  perS: number;
}

export interface CrowdAnswer {
  /** From the first that was done to the last. */
  donePerS: number;
}

const [port, uid, ...numbers] = process.argv.slice(2) as [string, string, ...string[]];
const [from, count] = numbers.map(Number) as [number, number];
setPriority(constants.priority.PRIORITY_LOW);
const crowd = await makeCrowd(new QuickVault(), { port: Number(port), uid: uid as Uid }, { from, count });

process.on("message", async ({ act, perS }: CrowdQuestion) => {
  const doneMs: number[] = [];
  await offered(crowd, perS, async (handset) => {
    await handset[act]();
    doneMs.push(performance.now());
  });
  const answer: CrowdAnswer = { donePerS: ((doneMs.length - 1) * 1_000) / (doneMs.at(-1)! - doneMs[0]!) };
  process.send?.(answer);
});
process.on("disconnect", () => process.exit());
process.send?.({});
