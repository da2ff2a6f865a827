/**
 * Some handsets in a process that may be killed at any moment; their last heads are on disk, as a handset's is.
 *
 *     parent: a question                 child: the states of all its handsets
 *                                               unasked, at once: what a handset was told (oracle.ts)
 *
 * They call each other at random, leave and join again. While held they answer calls and come back, and begin nothing.
 */
import { readFileSync, renameSync, writeFileSync } from "node:fs";
import path from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { readSignedHead, type SignedHead } from "@feldfon/protocol/directory/tree-head";
import { ProtocolError } from "@feldfon/protocol/errors";
import type { PublicKey, Uid } from "@feldfon/protocol/identity";
import { openVault } from "@feldfon/vault";
import { Chance } from "./chance.ts";
import { LoadHandset } from "./handset.ts";
import type { HandsetState, Told } from "./oracle.ts";

export type HandsetsQuestion = "hold" | "go" | "cut" | "stall" | "hang up" | "state" | { newcomer: number };

export type HandsetsWord = { told: Told } | { states: HandsetState[] };

/** What every handset of the crowd is called, and no other. */
const CROWD = /^Handset \d+$/;
/** How long `stall` reads nothing. */
const STALL_MS = 2_000;

const [port, uid, folder, seed, ...numbers] = process.argv.slice(2) as [string, string, string, string, ...string[]];
const vault = openVault();
let held = false;

const say = (word: HandsetsWord): void => void process.send?.(word);
const headFile = (n: number): string => path.join(folder, `head-${n}`);

function lastHead(n: number, serverKey: PublicKey): SignedHead | undefined {
  try {
    const [bytes, signature] = readFileSync(headFile(n), "latin1")
      .split("\n")
      .map((hex) => Buffer.from(hex, "hex"));
    return readSignedHead(bytes!, signature!, serverKey);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}

function saveHead(n: number, { bytes, signature }: SignedHead): void {
  writeFileSync(`${headFile(n)}.new`, `${bytes.toString("hex")}\n${signature.toString("hex")}`);
  renameSync(`${headFile(n)}.new`, headFile(n));
}

const handsets = await Promise.all(numbers.map((n) => begin(Number(n))));

async function begin(n: number): Promise<LoadHandset> {
  const place = { port: Number(port), uid: uid as Uid };
  const handset = await LoadHandset.make({ vault, n, place, last: (serverKey) => lastHead(n, serverKey) });
  for (const event of ["connected", "directory"]) {
    handset.told.on(event, ({ change }) => change && saveHead(n, change.head));
  }
  handset.overhear((told) => say({ told }));
  void handset.join();
  void live(handset, new Chance(Number(seed) + n));
  return handset;
}

async function live(handset: LoadHandset, chance: Chance): Promise<never> {
  for (;;) {
    await pause(chance.between(200, 1_200));
    if (held || !handset.connected || handset.inCall) continue;
    if (chance.next() < 0.3) await goAndCome(handset, chance);
    else await call(handset, chance);
  }
}

async function goAndCome(handset: LoadHandset, chance: Chance): Promise<void> {
  say({ told: { what: "leaving", uid: handset.uid } });
  await handset.leave();
  await pause(chance.between(0, 300));
  await handset.join();
}

/** Calls somebody, talks for a while, hangs up. */
async function call(handset: LoadHandset, chance: Chance): Promise<void> {
  const others = handset.follower?.rows.filter((row) => CROWD.test(row.name) && row.uid !== handset.uid) ?? [];
  if (others.length === 0) return;
  try {
    await handset.dial(chance.of(others).uid);
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error;
    return;
  }
  await pause(chance.between(300, 2_500));
  // While held, calls stay as they are: that is when both ends are compared.
  while (held) await pause(50);
  handset.hangUp();
}

const states = (): HandsetState[] => handsets.map(({ state }) => state);

process.on("message", async (question: HandsetsQuestion) => {
  if (question === "hold") held = true;
  if (question === "go") held = false;
  if (question === "hang up") for (const handset of handsets) handset.hangUp();
  if (question === "cut") for (const handset of handsets) handset.drop();
  if (question === "stall") {
    for (const handset of handsets) handset.stall(true);
    await pause(STALL_MS);
    for (const handset of handsets) handset.stall(false);
  }
  if (typeof question === "object") handsets.push(await begin(question.newcomer));
  say({ states: states() });
});
process.on("disconnect", () => process.exit());
say({ states: states() });
