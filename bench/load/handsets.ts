/**
 * Some handsets in a process that may be killed at any moment; their last heads are on disk, as a handset's is.
 *
 *     parent: hold | go | cut | stall | state          child: every handset joins, calls at random, answers
 */
import { readFileSync, renameSync, writeFileSync } from "node:fs";
import path from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { readSignedHead, type SignedHead } from "@feldfon/protocol/directory/tree-head";
import { ProtocolError } from "@feldfon/protocol/errors";
import type { PublicKey, Uid } from "@feldfon/protocol/identity";
import { openVault } from "@feldfon/vault";
import { LoadHandset } from "./handset.ts";

export type HandsetsQuestion = "hold" | "go" | "cut" | "stall" | "state";

export interface HandsetState {
  uid: Uid;
  connected: boolean;
  /** A phonebook with this row has been acknowledged since the process began. */
  acknowledged: boolean;
  stuck: string | undefined;
  root: string | undefined;
  rows: Uid[];
  /** Calls that are agreed and have not ended, as this end believes. */
  talking: { callId: string; peer: Uid }[];
}

/** How long `stall` reads nothing. */
const STALL_MS = 2_000;

const [port, uid, folder, from, count] = process.argv.slice(2) as [string, string, string, string, string];
const vault = openVault();
let calling = true;

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

const acknowledged = new Set<Uid>();
const handsets = await Promise.all(
  Array.from({ length: Number(count) }, async (_, index) => {
    const n = Number(from) + index;
    const place = { port: Number(port), uid: uid as Uid };
    const handset = await LoadHandset.make({ vault, n, place, last: (serverKey) => lastHead(n, serverKey) });
    for (const event of ["connected", "directory"]) {
      handset.told.on(event, ({ change }) => {
        acknowledged.add(handset.uid);
        if (change) saveHead(n, change.head);
      });
    }
    void handset.join();
    void talk(handset);
    return handset;
  }),
);

/** Calls somebody, talks for a while, hangs up, over and over. */
async function talk(handset: LoadHandset): Promise<never> {
  for (;;) {
    await pause(200 + Math.random() * 1_000);
    const others = handset.follower?.rows.slice(1).filter((row) => row.uid !== handset.uid) ?? [];
    const other = others[Math.floor(Math.random() * others.length)];
    if (!calling || !handset.connected || handset.inCall || !other) continue;
    try {
      await handset.dial(other.uid);
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      continue;
    }
    await pause(500 + Math.random() * 2_000);
    // While held, calls stay as they are: that is when both ends are compared.
    while (!calling) await pause(50);
    handset.hangUp();
  }
}

function states(): HandsetState[] {
  return handsets.map((handset) => ({
    uid: handset.uid,
    connected: handset.connected,
    acknowledged: acknowledged.has(handset.uid),
    stuck: handset.stuck,
    root: handset.head?.head.seedRoot.toString("hex"),
    rows: handset.follower?.rows.map((row) => row.uid) ?? [],
    talking: handset.calls
      .filter(({ agreed, ended }) => agreed && !ended)
      .map(({ callId, peer }) => ({ callId, peer })),
  }));
}

process.on("message", async (question: HandsetsQuestion) => {
  if (question === "hold") calling = false;
  if (question === "go") calling = true;
  if (question === "cut") for (const handset of handsets) handset.drop();
  if (question === "stall") {
    for (const handset of handsets) handset.stall(true);
    await pause(STALL_MS);
    for (const handset of handsets) handset.stall(false);
  }
  process.send?.(states());
});
process.on("disconnect", () => process.exit());
process.send?.(states());
