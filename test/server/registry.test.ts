import assert from "node:assert/strict";
import { MerkleLog, NO_HASH, rootFromPath } from "@feldfon/protocol/directory/log";
import { Directory, decodeDelta, encodeStep2, encodeStep6 } from "@feldfon/protocol/directory/phonebook";
import { logLeaf } from "@feldfon/protocol/directory/tree-head";
import { MAX_ROWS, openRegistry } from "@feldfon/server/registry";
import type { DirectoryView, JoinOutcome, Registry, RegistryError } from "@feldfon/server/registry-port";
import { MemoryDisk, MemoryStore } from "@feldfon/server/store-fake";
import { StoreError } from "@feldfon/server/store-port";
import fc from "fast-check";
import sinon from "sinon";
import { FakeSigner, handsetKey } from "./handsets.ts";
import { ManualClock } from "./manual-clock.ts";

const WINDOW_MS = 50;
const GRACE_MS = 30_000;

/** One server process after the other on one disk. */
class House {
  readonly disk = new MemoryDisk();
  readonly signer = new FakeSigner();
  readonly faults: unknown[] = [];
  clock = new ManualClock();
  registry!: Registry;
  #store: MemoryStore | undefined;

  async start(options: { enrolmentCode?: string; maxRows?: number } = {}): Promise<Registry> {
    this.clock = new ManualClock(this.clock.now());
    this.#store = new MemoryStore(this.disk);
    this.registry = await openRegistry({
      store: this.#store,
      signer: this.signer,
      clock: this.clock,
      windowMs: WINDOW_MS,
      graceMs: GRACE_MS,
      ...options,
      onFault: (error) => this.faults.push(error),
    });
    return this.registry;
  }

  /** kill -9, and up again. */
  async restart(): Promise<Registry> {
    await this.#store!.close();
    return this.start();
  }

  join(n: number, name = `handset ${n}`, code = ""): Promise<JoinOutcome> {
    return this.registry.join({ key: handsetKey(n), name, code });
  }

  /** Joins, one window each. */
  async joinAll(...numbers: number[]): Promise<void> {
    for (const n of numbers) {
      const joined = this.join(n);
      await this.clock.pass(WINDOW_MS);
      assert.ok("view" in (await joined));
    }
  }

  async pass(ms: number): Promise<void> {
    await this.clock.pass(ms);
  }

  get names(): string[] {
    return this.registry
      .view()
      .rows.slice(1)
      .map((row) => row.name);
  }

  get epoch(): number {
    return this.registry.view().signed.head.epoch;
  }
}

const uid = (n: number) => handsetKey(n).uid;

async function opened(): Promise<House> {
  const house = new House();
  await house.start();
  return house;
}

/** What anybody can check of a view: the head is that of its rows. */
function checkRoots({ signed: { head }, rows }: DirectoryView): void {
  const rebuilt = new Directory(rows[0]!.key);
  for (const row of rows.slice(1)) rebuilt.append(row);
  assert.equal(head.rows, rows.length);
  assert.deepEqual(head.seedRoot, rebuilt.seedRoot());
  assert.deepEqual(head.dirRoot, rebuilt.dirRoot());
}

describe("Registry: joining", () => {
  it("begins with the server alone, at epoch 0, on disk before anybody asks", async () => {
    const house = await opened();
    const { signed, rows } = house.registry.view();
    assert.equal(signed.head.epoch, 0);
    assert.deepEqual(signed.head.prev, NO_HASH);
    assert.deepEqual(signed.head.logRoot, NO_HASH);
    assert.deepEqual(
      rows.map(({ name, flags }) => [name, flags]),
      [["server", 1]],
    );
    assert.deepEqual(house.disk.hashes, [signed.hash]);
    checkRoots(house.registry.view());
  });

  it("gives the first free id, one epoch each, when handsets come one by one", async () => {
    const house = await opened();
    await house.joinAll(1, 2, 3);
    assert.deepEqual(house.names, ["handset 1", "handset 2", "handset 3"]);
    assert.equal(house.epoch, 3);
    checkRoots(house.registry.view());
  });

  it("answers at once when idle, without waiting for a window", async () => {
    const house = await opened();
    const joined = house.join(1);
    await house.clock.settle();
    const outcome = await joined;
    assert.ok("view" in outcome);
    assert.equal(outcome.view.signed.head.epoch, 1);
  });

  it("makes one epoch, one signature and one transaction of all joins of a window", async () => {
    const house = await opened();
    const commit = sinon.spy(MemoryStore.prototype, "commit");
    try {
      const signedBefore = house.signer.signed;
      const first = house.join(1);
      await house.clock.settle(); // idle: runs alone
      const others = Array.from({ length: 20 }, (_, at) => house.join(at + 2));
      await house.pass(WINDOW_MS - 1);
      assert.equal(house.epoch, 1, "the window is not over");
      await house.pass(1);
      const views = await Promise.all([first, ...others]);
      assert.equal(house.epoch, 2);
      assert.equal(house.names.length, 21);
      assert.equal(house.signer.signed - signedBefore, 2);
      assert.equal(commit.callCount, 2);
      for (const outcome of views.slice(1)) {
        assert.ok("view" in outcome);
        assert.equal(outcome.view, house.registry.view());
      }
    } finally {
      commit.restore();
    }
  });

  it("shows neither answer nor row nor head before the batch is on disk", async () => {
    const house = await opened();
    let stored = () => {};
    const commit = sinon.stub(MemoryStore.prototype, "commit").callsFake(
      () =>
        new Promise((resolve) => {
          stored = resolve;
        }),
    );
    const heard = sinon.spy();
    house.registry.onChange(heard);
    const answered = sinon.spy();
    try {
      const joined = house.join(1).then(answered);
      await house.pass(1_000);
      assert.equal(commit.callCount, 1);
      assert.equal(answered.callCount, 0);
      assert.equal(heard.callCount, 0);
      assert.equal(house.epoch, 0);
      assert.equal(house.registry.rowOf(uid(1)), undefined);
      assert.equal(house.registry.headHash(1), undefined);
      stored();
      await joined;
      assert.equal(heard.callCount, 1);
      assert.equal(house.epoch, 1);
    } finally {
      commit.restore();
    }
  });

  it("tells those who listen of every epoch, and stops when they do not want to hear", async () => {
    const house = await opened();
    const heard: number[] = [];
    const stop = house.registry.onChange((view) => heard.push(view.signed.head.epoch));
    await house.joinAll(1, 2);
    stop();
    await house.joinAll(3);
    assert.deepEqual(heard, [1, 2]);
  });

  it("turns newcomers away when it is full, before a snapshot outgrows a frame", async () => {
    assert.ok(MAX_ROWS * (4 + 550 + 32) + 2_000 < 10 * 1024 * 1024);
    const house = new House();
    await house.start({ maxRows: 3 });
    await house.joinAll(1, 2);
    const third = house.join(3);
    const released = house.registry.leave(uid(1));
    await assert.rejects(third, { code: "unavailable" });
    await house.pass(WINDOW_MS);
    await released;
    assert.equal(house.registry.knows(uid(3)), false);
    await house.joinAll(3);
    assert.deepEqual(house.names, ["handset 2", "handset 3"]);
  });
});

describe("Registry: names", () => {
  const refusals: [what: string, name: string, reason: string][] = [
    ["a name of one character", "x", "name-bad"],
    ["a name of 33 characters", "x".repeat(33), "name-bad"],
    ["a name with CR LF", "anna\r\nX", "name-bad"],
    ["a name that is not NFC", "Mu\u0308ller", "name-bad"],
    ["the server's name", "Server", "name-bad"],
    ["a name that looks like the server's", "sеrver", "name-bad"],
    ["a name somebody has", "Anna", "name-taken"],
    ["a name somebody has in other case", "aNNa", "name-taken"],
    ["a name that looks like somebody's", "Аnnа", "name-taken"],
  ];
  for (const [what, name, reason] of refusals) {
    it(`refuses ${what} with ${reason}, without a new epoch`, async () => {
      const house = await opened();
      await house.join(1, "Anna");
      await house.pass(WINDOW_MS);
      const refused = house.join(2, name);
      await house.pass(WINDOW_MS);
      assert.deepEqual(await refused, { refused: reason });
      assert.equal(house.epoch, 1);
    });
  }

  it("gives a name to the first of two who ask in one window", async () => {
    const house = await opened();
    const both = [house.join(1, "Anna"), house.join(2, "anna")];
    await house.pass(WINDOW_MS);
    const [first, second] = await Promise.all(both);
    assert.ok("view" in first!);
    assert.deepEqual(second, { refused: "name-taken" });
    assert.deepEqual(house.names, ["Anna"]);
  });

  it("keeps a name for its key after its handset has left, and after a restart", async () => {
    const house = await opened();
    await house.joinAll(1);
    const left = house.registry.leave(uid(1));
    await house.pass(WINDOW_MS);
    await left;
    await house.restart();
    const other = house.join(2, "handset 1");
    await house.pass(WINDOW_MS);
    assert.deepEqual(await other, { refused: "name-taken" });
    await house.joinAll(1);
    assert.deepEqual(house.names, ["handset 1"]);
  });

  it("refuses a key that is known under another name", async () => {
    const house = await opened();
    await house.joinAll(1);
    const again = house.join(1, "somebody else");
    await house.pass(WINDOW_MS);
    assert.deepEqual(await again, { refused: "key-known" });
    assert.equal(house.registry.knows(uid(1)), true);
    assert.equal(house.registry.knows(house.signer.key.uid), false, "nobody dials the server");
    const server = house.registry.join({ key: house.signer.key, name: "handset 9", code: "" });
    await house.pass(WINDOW_MS);
    assert.deepEqual(await server, { refused: "key-known" });
  });

  it("frees name and key when the operator releases them", async () => {
    const house = await opened();
    await house.joinAll(1, 2);
    const whileHere = house.registry.release("HANDSET 1");
    await house.pass(WINDOW_MS);
    assert.equal(await whileHere, "present");

    house.registry.absent(uid(1));
    const whileLost = house.registry.release("HANDSET 1");
    await house.pass(WINDOW_MS);
    assert.equal(await whileLost, "released");
    assert.deepEqual(house.names, ["handset 2"]);
    assert.equal(house.registry.knows(uid(1)), false);

    await house.restart();
    const other = house.join(3, "handset 1");
    await house.pass(WINDOW_MS);
    assert.ok("view" in (await other));
    const renamed = house.join(1, "a new name");
    await house.pass(WINDOW_MS);
    assert.ok("view" in (await renamed));
  });

  it("releases somebody absent without a new epoch, and says when nobody has the name", async () => {
    const house = await opened();
    await house.joinAll(1);
    await Promise.all([house.registry.leave(uid(1)), house.pass(WINDOW_MS)]);
    const released = house.registry.release("handset 1");
    const unknown = house.registry.release("nobody");
    const server = house.registry.release("server");
    await house.pass(WINDOW_MS);
    assert.deepEqual(await Promise.all([released, unknown, server]), ["released", "unknown", "unknown"]);
    assert.equal(house.epoch, 2);
    assert.equal(house.disk.handsets.size, 0);
  });

  it("asks newcomers for the enrolment code, and tells those without it nothing about names", async () => {
    const house = new House();
    await house.start({ enrolmentCode: "four words on paper" });
    const joins = [
      house.join(1, "handset 1", "four words on paper"),
      house.join(2, "handset 1", "guess"),
      house.join(3, "handset 3", ""),
    ];
    await house.pass(WINDOW_MS);
    const [first, ...others] = await Promise.all(joins);
    assert.ok("view" in first!);
    assert.deepEqual(others, [{ refused: "code-bad" }, { refused: "code-bad" }]);
    house.registry.leave(uid(1));
    await house.pass(WINDOW_MS);
    const known = house.join(1, "handset 1", "");
    await house.pass(WINDOW_MS);
    assert.ok("view" in (await known), "a key that is bound needs no code any more");
  });
});

describe("Registry: places", () => {
  it("closes ids up when somebody leaves in order, with one change for the others", async () => {
    const house = await opened();
    await house.joinAll(1, 2, 3);
    const before = house.epoch;
    const left = house.registry.leave(uid(2));
    await house.pass(WINDOW_MS);
    await left;
    assert.deepEqual(house.names, ["handset 1", "handset 3"]);
    const { ops } = decodeDelta(house.registry.delta(before)!);
    assert.deepEqual(ops, [{ op: "leave", index: 2 }]);
    checkRoots(house.registry.view());
  });

  it("keeps the place of a lost handset for 30 s: coming back changes no root", async () => {
    const house = await opened();
    await house.joinAll(1, 2);
    const { hash } = house.registry.view().signed;
    house.registry.absent(uid(1));
    await house.pass(GRACE_MS - 1);
    const back = await house.join(1);
    assert.ok("view" in back);
    await house.pass(2 * GRACE_MS);
    assert.deepEqual(house.names, ["handset 1", "handset 2"]);
    assert.deepEqual(house.registry.view().signed.hash, hash);
    assert.equal(back.view.signed.hash, hash);
  });

  it("lets it leave after that", async () => {
    const house = await opened();
    await house.joinAll(1, 2);
    house.registry.absent(uid(1));
    await house.pass(GRACE_MS);
    await house.pass(WINDOW_MS);
    assert.deepEqual(house.names, ["handset 2"]);
    assert.equal(house.registry.present(uid(1)), false);
  });

  it("keeps the place when a resumed line says present, up to the last moment", async () => {
    const house = await opened();
    await house.joinAll(1, 2);
    house.registry.absent(uid(1));
    const busy = house.join(3); // opens a window, so that the leave has to wait in it
    await house.pass(0);
    await busy;
    await house.pass(GRACE_MS - 10);
    const other = house.join(4);
    await house.clock.settle();
    await other;
    await house.pass(10); // the grace is over, its leave waits for the window
    assert.equal(house.registry.present(uid(1)), true);
    await house.pass(10 * WINDOW_MS);
    assert.deepEqual(house.names, ["handset 1", "handset 2", "handset 3", "handset 4"]);
  });

  it("keeps the place for a join that overtakes the leave of its own grace", async () => {
    const house = await opened();
    await house.joinAll(1, 2);
    house.registry.absent(uid(1));
    await house.pass(GRACE_MS - 10);
    const other = house.join(4);
    await house.clock.settle();
    await other;
    await house.pass(10);
    const back = house.join(1);
    await house.pass(WINDOW_MS);
    assert.ok("view" in (await back));
    assert.deepEqual(house.names, ["handset 1", "handset 2", "handset 4"]);
  });

  it("tells a line that comes back while its place is being given up", async () => {
    const house = await opened();
    await house.joinAll(1, 2);
    let stored = () => {};
    const commit = sinon.stub(MemoryStore.prototype, "commit").callsFake(
      () =>
        new Promise((resolve) => {
          stored = resolve;
        }),
    );
    try {
      house.registry.absent(uid(1));
      await house.pass(GRACE_MS + WINDOW_MS);
      assert.equal(house.registry.present(uid(1)), false, "its leave is on its way to the disk");
      assert.equal(house.registry.present(uid(2)), true);
      stored();
      await house.clock.settle();
      assert.deepEqual(house.names, ["handset 2"]);
    } finally {
      commit.restore();
    }
  });

  it("gives a new place to a handset that left in order and comes again in the same window", async () => {
    const house = await opened();
    await house.joinAll(1, 2);
    const before = house.epoch;
    const left = house.registry.leave(uid(1));
    const again = house.join(1);
    await house.pass(WINDOW_MS);
    await left;
    assert.ok("view" in (await again));
    assert.deepEqual(house.names, ["handset 2", "handset 1"]);
    assert.equal(house.epoch, before + 1);
  });

  it("removes a handset whose line was lost while its join was being stored", async () => {
    const house = await opened();
    const joined = house.join(1);
    house.registry.absent(uid(1));
    await house.pass(WINDOW_MS);
    await joined;
    assert.deepEqual(house.names, ["handset 1"]);
    await house.pass(GRACE_MS + WINDOW_MS);
    assert.deepEqual(house.names, []);
  });

  it("is not moved by leaving twice, or by somebody who was never here", async () => {
    const house = await opened();
    await house.joinAll(1);
    await Promise.all([house.registry.leave(uid(1)), house.registry.leave(uid(1)), house.pass(WINDOW_MS)]);
    const { epoch } = house;
    await Promise.all([house.registry.leave(uid(1)), house.registry.leave(uid(7)), house.pass(WINDOW_MS)]);
    await Promise.all([house.registry.leave(house.signer.key.uid), house.pass(WINDOW_MS)]);
    assert.equal(house.epoch, epoch);
    assert.equal(house.registry.view().rows[0]!.name, "server");
  });
});

describe("Registry: what clients are sent", () => {
  it("makes a delta from every epoch it remembers that leads to its own rows", async () => {
    const house = await opened();
    const copies = new Map<number, Directory>([[0, new Directory(house.signer.key)]]);
    house.registry.onChange(({ signed, rows }) => {
      const copy = new Directory(rows[0]!.key);
      for (const row of rows.slice(1)) copy.append(row);
      copies.set(signed.head.epoch, copy);
    });
    await house.joinAll(1, 2, 3);
    house.registry.leave(uid(1));
    await house.joinAll(4);
    house.registry.leave(uid(4));
    await house.joinAll(5, 1);
    const { signed, rows } = house.registry.view();
    assert.equal(copies.size, house.epoch + 1);
    for (const [from, directory] of copies) {
      const delta = decodeDelta(house.registry.delta(from)!);
      for (const op of delta.ops) directory.apply(op);
      assert.deepEqual(directory.rows, rows);
      assert.equal(delta.from, from);
      assert.deepEqual(delta.headBytes, signed.bytes);
      if (from >= house.epoch - 1) {
        assert.equal(delta.logPath.length, 0);
      } else {
        const leaf = logLeaf({ hash: house.registry.headHash(from)! });
        assert.deepEqual(rootFromPath(leaf, from, house.epoch, delta.logPath), signed.head.logRoot);
      }
      assert.equal(house.registry.delta(from), house.registry.delta(from), "encoded once for each epoch");
    }
  });

  it("has no delta from an epoch to come, or from before a restart", async () => {
    const house = await opened();
    await house.joinAll(1, 2);
    assert.equal(house.registry.delta(3), undefined);
    await house.restart();
    assert.equal(house.registry.delta(1), undefined);
    assert.equal(decodeDelta(house.registry.delta(2)!).ops.length, 0);
    await house.joinAll(3);
    assert.equal(decodeDelta(house.registry.delta(2)!).ops.length, 1);
    assert.equal(house.registry.delta(1), undefined);
  });

  it("forgets changes that are more than 1,024 epochs old", async () => {
    const house = await opened();
    for (let round = 0; round < 513; round++) {
      await house.joinAll(1);
      house.registry.leave(uid(1));
      await house.pass(WINDOW_MS);
    }
    assert.equal(house.epoch, 1_026);
    assert.equal(house.registry.delta(1), undefined);
    assert.equal(house.registry.delta(2), undefined, "512 newcomers for no row");
    assert.ok(house.registry.delta(1_026 - 128));
    const { logPath } = decodeDelta(house.registry.delta(1_000)!);
    const leaf = logLeaf({ hash: house.registry.headHash(1_000)! });
    assert.deepEqual(rootFromPath(leaf, 1_000, 1_026, logPath), house.registry.view().signed.head.logRoot);
  });

  it("sends whom a delta would cost more than a snapshot for a snapshot", async () => {
    const house = await opened();
    for (let round = 0; round < 7; round++) {
      const joins = Array.from({ length: 10 }, (_, at) => house.join(at));
      await house.pass(WINDOW_MS);
      await Promise.all(joins);
      for (let at = 0; at < 10; at++) house.registry.leave(uid(at));
      await house.pass(WINDOW_MS);
    }
    assert.equal(house.registry.delta(0), undefined, "70 newcomers for 1 row");
    assert.ok(house.registry.delta(2), "60 newcomers are few");
  });

  it("makes a snapshot whose log path fits the asker's last head", async () => {
    const house = await opened();
    await house.joinAll(1, 2, 3, 4);
    const { signed, rows } = house.registry.view();
    const directory = new Directory(house.signer.key);
    for (const row of rows.slice(1)) directory.append(row);
    const step2 = (logPath: Buffer) =>
      encodeStep2({
        signed,
        rows: rows.map((row, index) => ({ spki: row.key.spki, leaf: directory.leafAt(index)! })),
        logPath,
      });
    const nothing = Buffer.alloc(0);
    const cases: [epoch: number, hash: Buffer, path: Buffer][] = [
      [0, NO_HASH as Buffer, nothing],
      [0, house.registry.headHash(0)!, house.registry.logPath(0, 4)!],
      [2, house.registry.headHash(2)!, house.registry.logPath(2, 4)!],
      [3, house.registry.headHash(3)!, nothing],
      [4, signed.hash, nothing],
      [9, signed.hash, nothing],
    ];
    for (const [epoch, hash, path] of cases) {
      const snapshot = house.registry.snapshot(epoch, hash);
      assert.deepEqual(Buffer.concat(snapshot.step2), step2(path), `from epoch ${epoch}`);
      assert.deepEqual(snapshot.step6, encodeStep6(rows));
      assert.equal(snapshot.view, house.registry.view());
    }
  });

  it("finds the path of an older head in the log of a newer one, and no other", async () => {
    const house = await opened();
    await house.joinAll(1, 2, 3);
    const log = new MerkleLog();
    for (let epoch = 0; epoch < 3; epoch++) log.append(logLeaf({ hash: house.registry.headHash(epoch)! }));
    for (const newer of [1, 2, 3]) {
      for (let older = 0; older < newer; older++) {
        const path = house.registry.logPath(older, newer)!;
        const leaf = logLeaf({ hash: house.registry.headHash(older)! });
        assert.deepEqual(rootFromPath(leaf, older, newer, path), log.root(newer));
      }
    }
    for (const [older, newer] of [
      [1, 1],
      [2, 1],
      [0, 4],
      [-1, 2],
      [Number.NaN, 2],
    ] as const) {
      assert.equal(house.registry.logPath(older, newer), undefined, `${older} in ${newer}`);
    }
    assert.equal(house.registry.headHash(4), undefined);
  });
});

describe("Registry: when the ground gives way", () => {
  it("turns joins away with unavailable and goes on when there is room again", async () => {
    const house = await opened();
    await house.joinAll(1);
    house.disk.capacity = 1;
    const joined = house.join(2);
    joined.catch(() => {});
    await house.pass(WINDOW_MS);
    await assert.rejects(joined, (error: RegistryError) => {
      assert.equal(error.code, "unavailable");
      assert.equal((error.cause as StoreError).code, "full");
      return true;
    });
    assert.equal(house.epoch, 1);
    assert.equal(house.registry.headHash(2), undefined);
    assert.equal(house.registry.rowOf(uid(2)), undefined);
    assert.equal(house.registry.knows(uid(2)), false);
    assert.equal(house.faults.length, 1);
    house.disk.capacity = 10;
    await house.joinAll(2);
    assert.equal(house.epoch, 2);
  });

  it("does the same when the vault cannot sign", async () => {
    const house = await opened();
    house.signer.fault = new Error("no randomness");
    const joined = house.join(1);
    joined.catch(() => {});
    await house.pass(WINDOW_MS);
    await assert.rejects(joined, { code: "unavailable" });
    house.signer.fault = undefined;
    await house.joinAll(1);
    assert.equal(house.epoch, 1);
  });

  it("does not lose a leave: it is tried again until it is stored", async () => {
    const house = await opened();
    await house.joinAll(1, 2);
    house.disk.cut = "before";
    await Promise.all([house.registry.leave(uid(1)), house.pass(WINDOW_MS)]);
    assert.deepEqual(house.names, ["handset 1", "handset 2"]);
    await house.pass(1_000 + WINDOW_MS);
    assert.deepEqual(house.names, ["handset 2"]);
  });

  it("calls the repeated leave off for a handset that has joined again", async () => {
    const house = await opened();
    await house.joinAll(1, 2);
    house.disk.cut = "before";
    await Promise.all([house.registry.leave(uid(1)), house.pass(WINDOW_MS)]);
    assert.ok("view" in (await house.join(1)));
    await house.pass(GRACE_MS);
    assert.deepEqual(house.names, ["handset 1", "handset 2"]);
  });

  it("believes a batch that is on disk although its commit failed, and keeps its epoch", async () => {
    const house = await opened();
    house.disk.cut = "after";
    const lost = house.join(1);
    lost.catch(() => {});
    await house.pass(WINDOW_MS);
    await assert.rejects(lost, { code: "unavailable" });
    assert.equal(house.epoch, 0);
    const heard: number[] = [];
    house.registry.onChange((view) => heard.push(view.signed.head.epoch));
    await house.joinAll(2);
    assert.deepEqual(house.names, ["handset 1", "handset 2"]);
    assert.equal(house.epoch, 2);
    assert.deepEqual(heard, [2]);
    assert.deepEqual(house.registry.headHash(1), house.disk.hashes[1]);
    await house.pass(GRACE_MS + WINDOW_MS);
    assert.deepEqual(house.names, ["handset 2"], "nobody has a line for the first one");
  });

  it("keeps the place of a handset that was turned away, stored all the same, and came again", async () => {
    const house = await opened();
    house.disk.cut = "after";
    house.join(1).catch(() => {});
    await house.pass(WINDOW_MS);
    await house.joinAll(1);
    assert.equal(house.epoch, 1);
    await house.pass(2 * GRACE_MS);
    assert.deepEqual(house.names, ["handset 1"]);
  });

  it("stops when the stored heads are not its own", async () => {
    const house = await opened();
    house.disk.cut = "before";
    house.join(1).catch(() => {});
    await house.pass(WINDOW_MS);
    house.disk.hashes.push(Buffer.alloc(32, 7)); // somebody else writes
    const joined = house.join(2);
    joined.catch(() => {});
    await house.pass(WINDOW_MS);
    await assert.rejects(joined, (error: RegistryError) => (error.cause as StoreError).code === "conflict");
    assert.equal(house.epoch, 0);
  });

  it("finishes its batch when it closes, and takes nothing more", async () => {
    const house = await opened();
    const first = house.join(1);
    await house.clock.settle();
    const second = house.join(2); // waits for its window
    await house.registry.close();
    assert.ok("view" in (await first));
    assert.ok("view" in (await second));
    assert.equal(house.disk.hashes.length, 3);
    await assert.rejects(house.join(3), { code: "closed" });
    await assert.rejects(house.registry.release("handset 1"), { code: "closed" });
    await house.registry.leave(uid(1));
    house.registry.absent(uid(2));
    assert.equal(house.clock.pending, 0, "no timer holds the process");
    assert.equal(house.disk.hashes.length, 3);
  });
});

describe("Registry: after a restart", () => {
  it("has the same head, log and rows, and keeps every place for the grace", async () => {
    const house = await opened();
    await house.joinAll(1, 2, 3);
    const { signed } = house.registry.view();
    const path = house.registry.logPath(1, 3);
    await house.restart();
    assert.deepEqual(house.registry.view().signed, signed);
    assert.deepEqual(house.registry.logPath(1, 3), path);
    assert.deepEqual(house.names, ["handset 1", "handset 2", "handset 3"]);
    assert.ok("view" in (await house.join(2)));
    assert.equal(house.registry.present(uid(3)), true);
    await house.pass(GRACE_MS + WINDOW_MS);
    assert.deepEqual(house.names, ["handset 2", "handset 3"]);
    assert.deepEqual(house.registry.view().signed.head.prev, signed.hash);
  });

  const damage: [what: string, code: string, hurt: (disk: MemoryDisk) => void][] = [
    ["a row is missing", "broken", (disk) => disk.handsets.delete(uid(2))],
    ["two rows have changed places", "broken", (disk) => (disk.handsets.get(uid(1))!.place = 9)],
    ["a name was changed", "broken", (disk) => (disk.handsets.get(uid(1))!.name = "mallory")],
    ["a key was changed", "broken", (disk) => (disk.handsets.get(uid(1))!.spki = handsetKey(8).spki)],
    ["a key is none", "broken", (disk) => (disk.handsets.get(uid(1))!.spki = Buffer.alloc(550))],
    ["an old hash was changed", "broken", (disk) => (disk.hashes[0] = Buffer.alloc(32))],
    ["the newest hash is missing", "broken", (disk) => disk.hashes.pop()],
    ["the log is gone", "broken", (disk) => disk.hashes.splice(0)],
    ["the head is gone", "broken", (disk) => (disk.newest = undefined)],
    ["the head is damaged", "broken", (disk) => disk.newest!.bytes.writeUInt8(0, 0)],
    ["the signature is damaged", "broken", (disk) => (disk.newest = { ...disk.newest!, signature: Buffer.alloc(512) })],
    ["it belongs to another server", "other-server", (disk) => disk.newest!.bytes.fill(1, 4, 36)],
  ];
  for (const [what, code, hurt] of damage) {
    it(`does not start when ${what}`, async () => {
      const house = await opened();
      await house.joinAll(1, 2);
      hurt(house.disk);
      await assert.rejects(house.restart(), (error: StoreError) => error instanceof StoreError && error.code === code);
    });
  }
});

describe("Registry: any history", () => {
  const handset = fc.integer({ min: 0, max: 5 });
  const action = fc.oneof(
    {
      weight: 5,
      arbitrary: fc.record({
        do: fc.constant("join" as const),
        who: fc.array(handset, { minLength: 1, maxLength: 4 }),
      }),
    },
    { weight: 2, arbitrary: fc.record({ do: fc.constant("leave" as const), who: handset }) },
    { weight: 2, arbitrary: fc.record({ do: fc.constant("absent" as const), who: handset }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant("present" as const), who: handset }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant("release" as const), who: handset }) },
    {
      weight: 2,
      arbitrary: fc.record({ do: fc.constant("pass" as const), ms: fc.constantFrom(1_000, 20_000, 31_000) }),
    },
    {
      weight: 1,
      arbitrary: fc.record({
        do: fc.constant("crash" as const),
        who: handset,
        cut: fc.constantFrom("before" as const, "after" as const),
      }),
    },
  );

  /** Two handsets each want one of three names, so that names are fought for. */
  const wanted = (n: number) => `name ${n % 3}`;

  /** The registry in words: who is here, whose name is whose, whose grace ends when. */
  class Model {
    rows: number[] = [];
    readonly bound = new Map<string, number>();
    readonly graces = new Map<number, number>();
    nowMs = 0;

    join(n: number): boolean {
      const holder = this.bound.get(wanted(n));
      if (holder !== undefined && holder !== n) return false;
      this.bound.set(wanted(n), n);
      this.graces.delete(n);
      if (!this.rows.includes(n)) this.rows.push(n);
      return true;
    }

    leave(n: number): void {
      this.graces.delete(n);
      this.rows = this.rows.filter((one) => one !== n);
    }

    release(n: number): void {
      if (this.bound.get(wanted(n)) !== n || (this.rows.includes(n) && !this.graces.has(n))) return;
      this.leave(n);
      this.bound.delete(wanted(n));
    }

    restart(): void {
      this.graces.clear();
      for (const n of this.rows) this.graces.set(n, this.nowMs + GRACE_MS);
    }

    pass(ms: number): void {
      this.nowMs += ms;
      for (const [n, untilMs] of this.graces) if (untilMs <= this.nowMs) this.leave(n);
    }
  }

  it("is what a list and a notebook would say, and no epoch ever has two heads", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(action, { maxLength: 30 }), async (actions) => {
        const house = await opened();
        const model = new Model();
        const published = new Map<number, string>();
        const listen = () => {
          const publish = ({ signed }: DirectoryView) => {
            const { epoch, prev } = signed.head;
            const hash = signed.hash.toString("hex");
            assert.equal(published.get(epoch) ?? hash, hash, `epoch ${epoch} has one head`);
            const before = published.get(epoch - 1);
            if (before) assert.equal(prev.toString("hex"), before);
            published.set(epoch, hash);
          };
          publish(house.registry.view());
          house.registry.onChange(publish);
        };
        /** One window for the batch and a bit more, in both worlds. */
        const pass = async (ms: number) => {
          await house.pass(ms + 2 * WINDOW_MS);
          model.pass(ms + 2 * WINDOW_MS);
          await house.pass(0);
        };
        listen();

        for (const step of actions) {
          const rowsBefore = [...model.rows];
          const epochBefore = house.epoch;
          switch (step.do) {
            case "join": {
              const outcomes = step.who.map((n) => house.join(n, wanted(n)));
              const expected = step.who.map((n) => model.join(n));
              await pass(0);
              const joined = (await Promise.all(outcomes)).map((outcome) => "view" in outcome);
              assert.deepEqual(joined, expected);
              if (String(rowsBefore) === String(model.rows)) assert.equal(house.epoch, epochBefore);
              break;
            }
            case "leave":
              house.registry.leave(uid(step.who));
              model.leave(step.who);
              await pass(0);
              break;
            case "absent":
              house.registry.absent(uid(step.who));
              model.graces.set(step.who, model.nowMs + GRACE_MS);
              break;
            case "present":
              assert.equal(house.registry.present(uid(step.who)), model.rows.includes(step.who));
              model.graces.delete(step.who);
              break;
            case "release":
              // Whoever has the name, not necessarily `who`.
              if (model.bound.has(wanted(step.who))) model.release(model.bound.get(wanted(step.who))!);
              house.registry.release(wanted(step.who));
              await pass(0);
              break;
            case "pass":
              await pass(step.ms);
              await house.pass(2 * WINDOW_MS);
              model.pass(2 * WINDOW_MS);
              break;
            case "crash": {
              house.disk.cut = step.cut;
              house.join(step.who, wanted(step.who)).catch(() => {});
              const leaving = step.who + 1;
              house.registry.leave(uid(leaving));
              await house.clock.settle();
              const wasWritten = house.disk.cut === undefined && step.cut === "after";
              house.disk.cut = undefined;
              if (wasWritten) {
                model.join(step.who);
                model.leave(leaving);
              }
              await house.restart();
              model.restart();
              listen();
              break;
            }
          }
          const here = house.registry.view().rows.slice(1);
          assert.deepEqual(
            here.map((row) => row.uid),
            model.rows.map(uid),
          );
          for (const [name, n] of model.bound) assert.ok(house.registry.knows(uid(n)), name);
          checkRoots(house.registry.view());
        }
      }),
      { numRuns: 150 },
    );
  });
});
