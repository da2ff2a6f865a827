/** The server of a crowd: the product in a process of its own, on a real disk, told and asked by the driver. */
import { randomFillSync } from "node:crypto";
import { readFileSync } from "node:fs";
import path from "node:path";
import { monitorEventLoopDelay } from "node:perf_hooks";
import { PublicKey } from "@feldfon/protocol/identity";
import { openLog } from "@feldfon/server/log";
import { ARENA_BYTES } from "@feldfon/server/process-memory";
import { openRegistry } from "@feldfon/server/registry";
import { FeldfonServer } from "@feldfon/server/server";
import { readSettings } from "@feldfon/server/settings";
import { headSigner } from "@feldfon/server/signer";
import { openStore } from "@feldfon/server/store";
import { openVault } from "@feldfon/vault";
import { poolKey } from "../key-pool.ts";

export type ServerQuestion = "cpu" | "memory" | "delay" | "state" | "close";

export interface ServerAnswers {
  cpu: { us: number };
  /** After collections. `pssKiB` is this process's share of all pages it has. */
  memory: { pssKiB: number; rssKiB: number; heapKiB: number; heapPagesKiB: number; buffersKiB: number };
  /** Of the loop since the last question, in ms. */
  delay: { p50: number; p99: number; max: number };
  state: {
    epoch: number;
    slots: number;
    calls: number;
    root: string;
    directoryRoot: string;
    rows: number;
    halfOpen: number;
    lines: number;
    /** Batches that could not be stored, up to now. */
    batchesFailed: number;
  };
  close: Record<string, never>;
}

const [folder, ...flags] = process.argv.slice(2) as [string, ...string[]];
const maxPages = process.env.FELDFON_LOAD_MAX_PAGES;
const vault = openVault({ arenaBytes: ARENA_BYTES });
const keyPair = await vault.loadKeyPair(await poolKey(0));
const file = path.join(folder, "directory.sqlite");
await addRows(Number(process.env.FELDFON_LOAD_ROWS ?? 0));
const server = await FeldfonServer.open(
  readSettings(["--host", "127.0.0.1", "--port", "0", "--udp-port", "0", "--health-port", "0", ...flags], {}),
  {
    vault,
    keyPair,
    store: await openStore(file, maxPages ? { maxPages: Number(maxPages) } : {}),
    log: openLog(),
    requestLimit: () => undefined,
    onFault: (error) => {
      throw error;
    },
  },
);
const delay = monitorEventLoopDelay({ resolution: 1 });

const answers: { [Question in ServerQuestion]: () => Promise<ServerAnswers[Question]> } = {
  async cpu() {
    const { user, system } = process.cpuUsage();
    return { us: user + system };
  },
  async memory() {
    for (let collection = 0; collection < 4; collection++) {
      globalThis.gc?.({ type: "major", execution: "sync", flavor: "last-resort" });
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    const pssKiB = Number(/^Pss:\s+(\d+) kB$/m.exec(readFileSync("/proc/self/smaps_rollup", "latin1"))![1]);
    const { rss, heapTotal, heapUsed, external } = process.memoryUsage();
    const KiB = (bytes: number) => bytes / 1_024;
    return {
      pssKiB,
      rssKiB: KiB(rss),
      heapKiB: KiB(heapUsed),
      heapPagesKiB: KiB(heapTotal),
      buffersKiB: KiB(external),
    };
  },
  async delay() {
    delay.enable();
    // The monitor's own millisecond is no delay.
    const ms = (ns: number): number => Math.max(0, ns / 1e6 - 1);
    const told = { p50: ms(delay.percentile(50)), p99: ms(delay.percentile(99)), max: ms(delay.max) };
    delay.reset();
    return told;
  },
  async state() {
    const page = (await (await fetch(`http://127.0.0.1:${server.healthPort}/state`)).json()) as Record<string, never>;
    const metrics = await (await fetch(`http://127.0.0.1:${server.healthPort}/metrics`)).text();
    const lines = (state: string) =>
      Number(new RegExp(`^feldfon_lines\\{state="${state}"\\} (\\d+)$`, "m").exec(metrics)![1]);
    return {
      epoch: server.epoch,
      slots: vault.status().slotsInUse,
      calls: server.callsRunning,
      root: page.seedRoot!,
      directoryRoot: page.directoryRoot!,
      rows: page.rows!,
      halfOpen: lines("half-open"),
      lines: lines("proven"),
      batchesFailed: [...metrics.matchAll(/^feldfon_faults\S*\{.*\} (\d+)$/gm)].reduce(
        (sum, [, n]) => sum + Number(n),
        0,
      ),
    };
  },
  async close() {
    await server.close();
    return {};
  },
};

/** Rows of well-formed keys that are nobody's, as if their handsets were away. */
async function addRows(rows: number): Promise<void> {
  if (rows === 0) return;
  const store = await openStore(file);
  const registry = await openRegistry({ store, signer: headSigner(vault, keyPair) });
  await Promise.all(
    Array.from({ length: rows }, (_, n) => registry.join({ key: nobodysKey(), name: `Nobody ${n}`, code: "" })),
  );
  await registry.close();
  await store.close();
}

function nobodysKey(): PublicKey {
  const spki = Buffer.from(keyPair.spki);
  randomFillSync(spki, spki.length - 500, 490);
  return new PublicKey(spki);
}

process.on("message", (question: ServerQuestion) => {
  void answers[question]().then((answer) => process.send?.(answer));
});
process.on("disconnect", () => process.exit());
process.send?.({ port: server.port, uid: server.serverKey.uid });
