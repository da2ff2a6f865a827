/**
 * One change of the phonebook until every client has it, beside the seed's literal way, at 100, 1,000 and 10,000 rows.
 *
 *     ours       a handset joins, or leaves: all it takes, and one delta sealed for each until all have read it
 *     literal    the whole book for each client: JSON, CBC, hex, JSON, SIP (load/literal-peer.ts)
 *
 * The literal way has no answers. Ours has one of each client, that its delta was taken: the clients keep it back until
 * all have theirs, and what it costs to hear them is counted by itself. A figure is stated without them and with them.
 * One change is the mean of a join and a leave; each is stated.
 *
 * CPU is that of the server process alone, bytes are those its clients read. From 1,000 rows up the literal way has 60
 * clients and is scaled. At 10,000 rows ours has 1,000 lines, the rest of the rows belong to nobody, and is scaled too.
 */
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { connect } from "node:net";
import path from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { NodeVault } from "@feldfon/vault";
import { makeCrowd, offered } from "./load/crowd.ts";
import { median, round, stated } from "./load/figures.ts";
import { ServerProcess } from "./load/server-process.ts";
import type { Figure } from "./main.ts";

const SIZES = [100, 1_000, 10_000];
const JUDGED = 1_000;
const MOST_LINES = 1_000;
const MOST_LITERAL = 60;
const CHANGES = 7;
const LITERAL_CHANGES = 3;
const SETTLE_MS = 1_000;
const OFFERED_PER_S = 150;
const WANTED_CPU = 250;
const WANTED_BYTES = 1_000;

interface Cost {
  us: number;
  bytes: number;
}

/** One change, until all have it; and their answers. */
interface Told extends Cost {
  answersUs: number;
}

interface OwnCost extends Told {
  joinUs: number;
  leaveUs: number;
}

export async function run(): Promise<{ name: "phonebook"; figures: Figure[] }> {
  const figures: Figure[] = [];
  for (const rows of SIZES) {
    const ours = await delta(rows);
    const literal = await book(rows);
    const times = {
      cpu: literal.us / ours.us,
      answered: literal.us / (ours.us + ours.answersUs),
      bytes: literal.bytes / ours.bytes,
    };
    const judged = rows === JUDGED;
    figures.push(
      stated(`${rows} rows: ours`, ours.us / 1_000, "ms CPU"),
      stated(`${rows} rows: ours, a join`, ours.joinUs / 1_000, "ms CPU"),
      stated(`${rows} rows: ours, a leave`, ours.leaveUs / 1_000, "ms CPU"),
      stated(`${rows} rows: ours, hearing the answers`, ours.answersUs / 1_000, "ms CPU"),
      stated(`${rows} rows: literal`, literal.us / 1_000, "ms CPU"),
      atLeast(`${rows} rows: literal / ours, CPU`, times.cpu, judged ? WANTED_CPU : undefined),
      atLeast(`${rows} rows: literal / ours with answers, CPU`, times.answered, undefined),
      atLeast(`${rows} rows: literal / ours, bytes`, times.bytes, judged ? WANTED_BYTES : undefined),
    );
  }
  return { name: "phonebook", figures };
}

/** Median of several changes. */
async function delta(rows: number): Promise<OwnCost> {
  const lines = Math.min(rows, MOST_LINES);
  // Thousands of handsets in one process have more key pairs than the native vault takes.
  const vault = new NodeVault();
  const server = await ServerProcess.start({ rows: rows - lines });
  const [joiner, ...crowd] = await makeCrowd(vault, server.place, { from: 1, count: lines + 1 });
  await offered(crowd, OFFERED_PER_S, (handset) => handset.join());
  const scaled = (value: number) => (value * rows) / lines;
  const tell = async (change: () => Promise<void>): Promise<Told> => {
    await pause(SETTLE_MS);
    const before = crowd.map(({ bytesRead }) => bytesRead);
    const told = Promise.all(crowd.map((handset) => once(handset.told, "directory")));
    for (const handset of crowd) handset.stall(true);
    const us = await server.cpuUs(async () => {
      await change();
      while (crowd.some(({ bytesRead }, n) => bytesRead === before[n])) await pause(5);
    });
    const answersUs = await server.cpuUs(async () => {
      for (const handset of crowd) handset.stall(false);
      await told;
      await pause(50); // The last answers.
    });
    const bytes = crowd.reduce((sum, { bytesRead }, n) => sum + bytesRead - before[n]!, 0);
    return { us: scaled(us), answersUs: scaled(answersUs), bytes: scaled(bytes) };
  };
  const joins: Told[] = [];
  const leaves: Told[] = [];
  for (let change = 0; change <= CHANGES; change++) {
    const joined = await tell(() => joiner!.join());
    const left = await tell(() => joiner!.leave());
    if (change === 0) continue; // Warm-up.
    joins.push(joined);
    leaves.push(left);
  }
  for (const handset of crowd) handset.close();
  await server.stop();
  vault.wipeAll();
  const middle = (of: readonly Told[], kind: keyof Told) => median(of.map((told) => told[kind]));
  const mean = (kind: keyof Told) => (middle(joins, kind) + middle(leaves, kind)) / 2;
  return {
    us: mean("us"),
    answersUs: mean("answersUs"),
    bytes: mean("bytes"),
    joinUs: middle(joins, "us"),
    leaveUs: middle(leaves, "us"),
  };
}

async function book(rows: number): Promise<Cost> {
  const clients = rows >= JUDGED ? Math.min(rows, MOST_LITERAL) : rows;
  const peer = fork(path.join(import.meta.dirname, "load", "literal-peer.ts"), [clients, rows].map(String), {
    stdio: ["ignore", "ignore", "inherit", "ipc"],
  });
  const { port } = await said<{ port: number }>(peer);
  const all = said(peer);
  const sinks = Array.from({ length: clients }, () => connect({ host: "127.0.0.1", port }).resume());
  await all;
  const costs: Cost[] = [];
  for (let change = 0; change < LITERAL_CHANGES; change++) {
    const told = said<Cost>(peer);
    peer.send("change");
    const { us, bytes } = await told;
    costs.push({ us: (us * rows) / clients, bytes: (bytes * rows) / clients });
  }
  const over = once(peer, "exit");
  peer.disconnect();
  await over;
  for (const sink of sinks) sink.destroy();
  return { us: median(costs.map(({ us }) => us)), bytes: costs[0]!.bytes };
}

async function said<Word>(child: ChildProcess): Promise<Word> {
  const [word] = (await once(child, "message")) as [Word];
  return word;
}

function atLeast(name: string, value: number, wanted: number | undefined): Figure {
  const figure = { name, value: round(value), unit: "times" };
  return wanted === undefined ? figure : { ...figure, wanted: `>= ${wanted}`, ok: value >= wanted };
}
