/** The service alone, with lines that only count: when the others hear of a change, and in which portions. */
import assert from "node:assert/strict";
import type { Uid } from "@feldfon/protocol/identity";
import type { ServerLine } from "@feldfon/protocol/phone/server-line";
import type { Vault } from "@feldfon/protocol/vault";
import { openLog } from "@feldfon/server/log";
import { Metrics } from "@feldfon/server/metrics";
import type { DirectoryView, JoinOutcome, JoinRequest, Registry } from "@feldfon/server/registry-port";
import { FAN_OUT_MS, HOLD_BACK_MS, PhoneService } from "@feldfon/server/service";
import { ManualClock } from "./manual-clock.ts";

const turn = () => new Promise<void>((resolve) => setImmediate(resolve));

describe("the others hear of a change", () => {
  let clock: ManualClock;
  let service: PhoneService;
  let change: () => void;
  let store: PromiseWithResolvers<JoinOutcome>;
  /** By number, in the order in which deltas were offered. */
  let offered: number[];

  beforeEach(() => {
    clock = new ManualClock();
    offered = [];
    store = Promise.withResolvers();
    const registry: Partial<Registry> = {
      view: () => ({ signed: { head: { epoch: 1 } } }) as DirectoryView,
      onChange: (listener) => {
        change = () => listener(registry.view!());
        return () => {};
      },
      join: () => store.promise,
      present: () => true,
    };
    service = new PhoneService({
      vault: {} as Vault,
      registry: registry as Registry,
      relay: { open: () => () => {} },
      metrics: new Metrics(),
      log: openLog({ level: "silent" }),
      callLog: false,
      clock,
    });
  });

  afterEach(() => service.close());

  function line(n: number): ServerLine {
    const made = { uid: `${n}` as Uid, ended: false, channel: {}, offerDelta: () => offered.push(n) };
    service.attach(made as unknown as ServerLine, { beganMs: 0, replace: () => {} });
    return made as unknown as ServerLine;
  }

  function ready(...numbers: number[]): void {
    for (const n of numbers) service.ready(line(n), "connect");
  }

  it("at once when nothing happened lately, then together after the window", async () => {
    ready(1, 2);
    change();
    await turn();
    assert.deepEqual(offered, [1, 2]);
    change();
    change();
    await clock.pass(FAN_OUT_MS - 1);
    assert.deepEqual(offered, [1, 2], "the window is not over");
    await clock.pass(1);
    assert.deepEqual(offered, [1, 2, 1, 2], "two changes, one delta each");
    await clock.pass(10 * FAN_OUT_MS);
    assert.equal(offered.length, 4, "nothing has changed since");
  });

  it("with the others' next delta when they acknowledged an older head", async () => {
    ready(1, 2);
    change();
    await turn();
    service.behind();
    service.behind();
    await turn();
    assert.deepEqual(offered, [1, 2]);
    await clock.pass(FAN_OUT_MS);
    assert.deepEqual(offered, [1, 2, 1, 2]);
  });

  it("once the joiner has its phonebook", async () => {
    ready(1);
    const joiner = line(2);
    const joined = service.join(joiner, {} as JoinRequest);
    change();
    store.resolve({ view: {} as DirectoryView });
    assert.deepEqual(await joined, { joined: true });
    await clock.pass(HOLD_BACK_MS - 1);
    assert.deepEqual(offered, []);
    service.ready(joiner, "connect");
    await turn();
    assert.deepEqual(offered, [1, 2]);
  });

  it("without the joiner when that takes longer than half a second", async () => {
    ready(1);
    void service.join(line(2), {} as JoinRequest);
    change();
    await clock.pass(HOLD_BACK_MS - 1);
    assert.deepEqual(offered, []);
    await clock.pass(1);
    assert.deepEqual(offered, [1]);
  });

  it("a few in each turn of the loop, everyone once and in order", async () => {
    const all = Array.from({ length: 100 }, (_, n) => n);
    ready(...all);
    change();
    const turns: number[] = [];
    for (let heard = -1; heard < offered.length; await turn()) {
      heard = offered.length;
      turns.push(heard);
    }
    assert.deepEqual(offered, all);
    const most = Math.max(...turns.map((heard, at) => heard - (turns[at - 1] ?? 0)));
    assert.ok(most < all.length / 2, `${most} of ${all.length} in one turn`);
  });
});

describe("joiners of one batch", () => {
  it("are told one in each turn of the loop, in the order they asked", async () => {
    const store = Promise.withResolvers<JoinOutcome>();
    const registry = { onChange: () => () => {}, join: () => store.promise, absent: () => {} } as Partial<Registry>;
    const service = new PhoneService({
      vault: {} as Vault,
      registry: registry as Registry,
      relay: { open: () => () => {} },
      metrics: new Metrics(),
      log: openLog({ level: "silent" }),
      callLog: false,
      clock: new ManualClock(),
    });
    const told: string[] = [];
    for (const n of [1, 2, 3]) {
      const line = { uid: `${n}` as Uid, ended: false, channel: {} } as unknown as ServerLine;
      void service.join(line, {} as JoinRequest).then(() => told.push(`${n}`));
    }
    await turn();
    assert.equal(told.length, 0, "nobody before the batch is on disk");
    store.resolve({ view: {} as DirectoryView });
    for (let after = 0; after < 3; after++) {
      await turn();
      told.push("turn");
    }
    await turn();
    assert.deepEqual(
      told.filter((word) => word !== "turn"),
      ["1", "2", "3"],
    );
    assert.ok(told.indexOf("2") > told.indexOf("turn"), told.join(" "));
    service.close();
  });
});
