import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { openStore } from "@feldfon/server/store";
import { MemoryDisk, MemoryStore } from "@feldfon/server/store-fake";
import type { LogRecord, Store, StoredBatch, StoreError } from "@feldfon/server/store-port";
import { handsetKey } from "./handsets.ts";

const uid = (n: number) => handsetKey(n).uid;
const joins = (n: number): LogRecord => ({ kind: "join", uid: uid(n), name: `handset ${n}`, spki: handsetKey(n).spki });
const leaves = (n: number): LogRecord => ({ kind: "leave", uid: uid(n) });
const releases = (n: number): LogRecord => ({ kind: "release", uid: uid(n) });

function batch(epoch: number, ...records: LogRecord[]): StoredBatch {
  const head = {
    epoch,
    hash: Buffer.alloc(32, epoch + 1),
    bytes: Buffer.alloc(184, epoch),
    signature: Buffer.alloc(512, epoch),
  };
  return { records, head };
}

async function places(store: Store): Promise<(number | undefined)[]> {
  const { handsets } = await store.load();
  return handsets
    .filter(({ place }) => place !== undefined)
    .map((one) => [1, 2, 3, 4, 5].find((n) => uid(n) === one.uid));
}

const refusedWith = (code: string) => (error: StoreError) => {
  assert.equal(error.name, "StoreError");
  assert.equal(error.code, code, error.message);
  return true;
};

/** The same promises, whether there is a disk or not. */
interface Ground {
  open(): Promise<Store>;
  /** Opens with room for about two handsets more. */
  openNearlyFull(): Promise<Store>;
  clear(): void;
}

const grounds: Record<string, () => Ground> = {
  "in memory": () => {
    const disk = new MemoryDisk();
    return {
      open: async () => new MemoryStore(disk),
      openNearlyFull: async () => {
        disk.capacity = 2;
        return new MemoryStore(disk);
      },
      clear: () => {},
    };
  },
  "on disk": () => {
    const folder = mkdtempSync(join(tmpdir(), "feldfon-store-"));
    const path = join(folder, "deeper", "directory.db");
    return {
      open: () => openStore(path),
      openNearlyFull: () => openStore(path, { maxPages: 11 }),
      clear: () => rmSync(folder, { recursive: true }),
    };
  },
};

for (const [where, makeGround] of Object.entries(grounds)) {
  describe(`Store ${where}`, () => {
    let ground: Ground;
    let store: Store;
    beforeEach(async () => {
      ground = makeGround();
      store = await ground.open();
    });
    afterEach(async () => {
      await store.close();
      ground.clear();
    });
    const reopen = async () => {
      await store.close();
      store = await ground.open();
    };

    it("is empty at the very first start", async () => {
      assert.deepEqual(await store.load(), { head: undefined, hashes: Buffer.alloc(0), handsets: [] });
      assert.equal(await store.newest(), undefined);
    });

    it("keeps heads, names, keys and places over a restart", async () => {
      await store.commit(batch(0));
      await store.commit(batch(1, joins(1), joins(2)));
      await reopen();
      const state = await store.load();
      assert.deepEqual(state.head, { bytes: Buffer.alloc(184, 1), signature: Buffer.alloc(512, 1) });
      assert.deepEqual(state.hashes, Buffer.concat([Buffer.alloc(32, 1), Buffer.alloc(32, 2)]));
      assert.deepEqual(
        state.handsets.map(({ uid, name, spki }) => ({ uid, name, spki })),
        [1, 2].map((n) => ({ uid: uid(n), name: `handset ${n}`, spki: handsetKey(n).spki })),
      );
      assert.deepEqual(await store.newest(), { epoch: 1, hash: Buffer.alloc(32, 2) });
    });

    it("keeps the order of the places, and the names of those who left", async () => {
      await store.commit(batch(0, joins(3), joins(1), joins(2)));
      await store.commit(batch(1, leaves(1), joins(4)));
      await store.commit(batch(2, joins(1), leaves(3)));
      await reopen();
      assert.deepEqual(await places(store), [2, 4, 1]);
      const { handsets } = await store.load();
      assert.equal(handsets.length, 4);
      assert.equal(handsets.at(-1)!.name, "handset 3");
    });

    it("forgets a handset that is released, with no new epoch", async () => {
      await store.commit(batch(0, joins(1)));
      await store.commit(batch(1, leaves(1)));
      await store.commit({ records: [releases(1)] });
      assert.deepEqual((await store.load()).handsets, []);
      assert.equal((await store.newest())!.epoch, 1);
    });

    it("takes no epoch twice and leaves none out", async () => {
      await store.commit(batch(0));
      for (const epoch of [0, 2]) {
        await assert.rejects(store.commit(batch(epoch, joins(1))), refusedWith("conflict"));
      }
      assert.deepEqual((await store.load()).handsets, [], "nothing of a refused batch stays");
      await store.commit(batch(1, joins(1)));
    });

    it("keeps all of a batch or nothing when there is no room, and goes on afterwards", async () => {
      await store.commit(batch(0));
      await store.close();
      store = await ground.openNearlyFull();
      await store.commit(batch(1, joins(1), joins(2)));
      const many = Array.from({ length: 40 }, (_, at) => joins(at + 10));
      await assert.rejects(store.commit(batch(2, ...many, leaves(1))), refusedWith("full"));
      assert.deepEqual(await places(store), [1, 2]);
      assert.equal((await store.newest())!.epoch, 1);
      await store.commit(batch(2, leaves(1)));
      await reopen();
      assert.deepEqual(await places(store), [2]);
      assert.equal((await store.newest())!.epoch, 2);
    });

    it("does nothing once it is closed", async () => {
      await store.close();
      await assert.rejects(store.load(), refusedWith("failed"));
      await assert.rejects(store.commit(batch(0)), refusedWith("failed"));
      await store.close();
    });
  });
}

describe("Store on disk: a file that cannot be used", () => {
  let folder: string;
  let path: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "feldfon-store-"));
    path = join(folder, "directory.db");
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  async function filled(): Promise<void> {
    const store = await openStore(path);
    await store.commit(batch(0, ...Array.from({ length: 30 }, (_, at) => joins(at))));
    await store.commit(batch(1, joins(40)));
    await store.close();
  }

  function edit(sql: string): void {
    const db = new DatabaseSync(path);
    db.exec(sql);
    db.close();
  }

  const cases: [what: string, code: string, hurt: () => void][] = [
    ["is no database", "broken", () => writeFileSync(path, "a shopping list".repeat(1_000))],
    ["was cut in the middle", "broken", () => writeFileSync(path, readFileSync(path).subarray(0, 8_192))],
    ["has a page of noise", "broken", () => writeFileSync(path, readFileSync(path).fill(0x5a, 8_192, 16_384))],
    ["is another program's", "broken", () => edit("PRAGMA application_id = 17")],
    ["was made by a later version", "version", () => edit("PRAGMA user_version = 99")],
  ];
  for (const [what, code, hurt] of cases) {
    it(`says ${code} when it ${what}, names the file, and leaves it as it is`, async () => {
      await filled();
      hurt();
      const before = readFileSync(path);
      await assert.rejects(openStore(path), (error: StoreError) => {
        assert.ok(error.message.includes(path), error.message);
        return refusedWith(code)(error);
      });
      assert.deepEqual(readFileSync(path), before);
    });
  }

  for (const [what, sql] of [
    ["an epoch is missing", "DELETE FROM head WHERE epoch = 0"],
    ["a hash is too short", "UPDATE head SET hash = x'00' WHERE epoch = 1"],
    ["the newest head is missing", "DELETE FROM newest"],
  ] as const) {
    it(`does not load when ${what}`, async () => {
      await filled();
      edit(sql);
      const store = await openStore(path);
      await assert.rejects(store.load(), refusedWith("broken"));
      await store.close();
    });
  }

  it("says where it cannot write", async () => {
    writeFileSync(join(folder, "a file"), "");
    await assert.rejects(openStore(join(folder, "a file", "directory.db")), refusedWith("unreachable"));
    await assert.rejects(openStore(folder), refusedWith("unreachable"));
  });

  it("is not shared: a second server on it is refused, the first goes on", async () => {
    const store = await openStore(path);
    await assert.rejects(openStore(path), refusedWith("in-use"));
    await store.commit(batch(0, joins(1)));
    await store.close();
    await (await openStore(path)).close();
  });

  it("has every acknowledged batch after kill -9", async () => {
    const program = `
      const { openStore } = await import(process.argv[1]);
      const store = await openStore(process.argv[2]);
      for (let epoch = 0; ; epoch++) {
        const uid = epoch.toString(16).padStart(64, "0");
        await store.commit({
          records: [{ kind: "join", uid, name: uid.slice(-8), spki: Buffer.alloc(550) }],
          head: { epoch, hash: Buffer.alloc(32, epoch), bytes: Buffer.alloc(184), signature: Buffer.alloc(512) },
        });
        process.stdout.write(epoch + "\\n");
      }`;
    const child: ChildProcess = spawn(
      process.execPath,
      ["--input-type=module", "-e", program, import.meta.resolve("@feldfon/server/store"), path],
      { stdio: ["ignore", "pipe", "inherit"] },
    );
    let told = "";
    child.stdout!.on("data", (chunk: Buffer) => {
      told += chunk;
      if (told.split("\n").length > 20) child.kill("SIGKILL");
    });
    const [, signal] = await once(child, "close");
    assert.equal(signal, "SIGKILL");
    const acknowledged = Number(told.trimEnd().split("\n").at(-1));
    assert.ok(existsSync(`${path}-wal`), "it was really cut off");
    const store = await openStore(path);
    const { hashes, handsets } = await store.load();
    await store.close();
    assert.ok(hashes.length / 32 > acknowledged);
    assert.equal(handsets.length, hashes.length / 32, "head and rows come together or not at all");
  });
});
