/**
 * The root over all keys at 10,000 handsets: what one join and one leave cost beside a rebuild from the keys.
 *
 * CPU time of this process; each figure is the median of several samples, and the rebuild runs between them.
 */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { SeedTree, seedRoot } from "@feldfon/protocol/directory/merkle";
import { Directory, keyText, type Row } from "@feldfon/protocol/directory/phonebook";
import { PublicKey } from "@feldfon/protocol/identity";
import type { Figure } from "./main.ts";

const KEYS = 10_000;
const SAMPLES = 9;
const APPENDS = 200;
const REMOVALS = 10;
const BATCHES = 5;

/** Measures everything; the incremental roots are compared with a rebuild on the way. */
export async function run(): Promise<{ name: "merkle"; figures: Figure[] }> {
  const [server, ...members] = Array.from({ length: KEYS + APPENDS }, anyKey) as [PublicKey, ...PublicKey[]];
  const texts = [server, ...members].map(keyText);
  const [keys, newcomers] = [texts.slice(0, KEYS), texts.slice(KEYS)];
  const tree = SeedTree.of(keys);
  tree.root();
  const rows: Row[] = members.map((key, n) => ({ uid: key.uid, name: `Handset ${n}`, key, flags: 0 }));
  const directory = new Directory(server);
  for (const row of rows.slice(0, KEYS - 1)) directory.append(row);
  assert.equal(directory.seedRoot().toString("hex"), tree.root());
  directory.dirRoot();

  const times = { rebuild: [], append: [], removal: [], batch: [], join: [], clone: [] } as Record<string, number[]>;
  for (let sample = 0; sample < SAMPLES; sample++) {
    times.rebuild!.push(cpuUs(1, () => seedRoot(keys)));

    const grown = tree.clone();
    times.append!.push(cpuUs(APPENDS, (n) => rootAfter(grown, () => grown.append(newcomers[n]!))));

    const shrunk = tree.clone();
    times.removal!.push(cpuUs(REMOVALS, () => rootAfter(shrunk, () => shrunk.removeAt(anyIndex(shrunk.size)))));

    const mixed = tree.clone();
    times.batch!.push(
      cpuUs(BATCHES, (batch) =>
        rootAfter(mixed, () => {
          for (let n = 0; n < 10; n++) mixed.removeAt(anyIndex(mixed.size));
          for (const key of newcomers.slice(batch * 10, batch * 10 + 10)) mixed.append(key);
        }),
      ),
    );

    const joined = directory.clone();
    times.join!.push(
      cpuUs(APPENDS, (n) => {
        joined.append(rows[KEYS - 1 + n]!);
        return [joined.seedRoot(), joined.dirRoot()];
      }),
    );
    times.clone!.push(cpuUs(5, () => directory.clone()));

    if (sample === 0) {
      assert.equal(grown.root(), seedRoot(texts));
      assert.equal(joined.seedRoot().toString("hex"), seedRoot(texts));
    }
  }

  const us = Object.fromEntries(Object.entries(times).map(([name, values]) => [name, median(values)]));
  const rebuild = us.rebuild!;
  return {
    name: "merkle",
    figures: [
      { name: `rebuild from ${KEYS} keys`, value: round(rebuild / 1000), unit: "ms CPU" },
      { name: "append, then the root", value: round(us.append!), unit: "us CPU" },
      bound("append / rebuild", us.append! / rebuild, 1 / 300),
      { name: "removal anywhere, ids close up, then the root", value: round(us.removal! / 1000), unit: "ms CPU" },
      bound("removal / rebuild", us.removal! / rebuild, 1),
      { name: "10 out and 10 in, then the root", value: round(us.batch! / 1000), unit: "ms CPU" },
      bound("10 out and 10 in / rebuild", us.batch! / rebuild, 1.2),
      { name: "join: row, both trees, both roots", value: round(us.join!), unit: "us CPU" },
      { name: `copy of a phonebook of ${KEYS} rows, before a delta`, value: round(us.clone! / 1000), unit: "ms CPU" },
    ],
  };
}

/** A key that is well-formed and nobody's: only its bytes are hashed here. */
function anyKey(): PublicKey {
  const modulus = randomBytes(512);
  modulus[0]! |= 0x80;
  modulus[511]! |= 1;
  const head = Buffer.from("30820222300d06092a864886f70d01010105000382020f003082020a0282020100", "hex");
  return new PublicKey(Buffer.concat([head, modulus, Buffer.from("0203010001", "hex")]));
}

function rootAfter(tree: SeedTree, change: () => void): string | undefined {
  change();
  return tree.root();
}

function anyIndex(size: number): number {
  return Math.floor(Math.random() * size);
}

/** @returns CPU microseconds of one run, user and system */
function cpuUs(runs: number, act: (run: number) => unknown): number {
  const before = process.cpuUsage();
  for (let run = 0; run < runs; run++) act(run);
  const { user, system } = process.cpuUsage(before);
  return (user + system) / runs;
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1]!;
}

function bound(name: string, value: number, wanted: number): Figure {
  return { name, value: round(value), unit: "ratio", wanted: round(wanted), ok: value <= wanted };
}

/** Three digits that count. */
function round(value: number): number {
  return Number(value.toPrecision(3));
}
