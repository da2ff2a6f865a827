import assert from "node:assert/strict";
import type { TraceRecord } from "@feldfon/protocol/trace";
import { Ladder } from "@feldfon/simulator/ladder";
import { parseOrder } from "@feldfon/simulator/page/messages";
import fc from "fast-check";

const NAMES: Readonly<Record<string, string>> = { aaaaaaaa: "anna", bbbbbbbb: "berta" };
const RIPE_MS = 10_000;

function record(place: string, kind: string, from: string, to: string, time: number, size = 100): TraceRecord {
  return { time, place, kind, size, from, to };
}

function laid(...records: TraceRecord[]): string[] {
  const ladder = new Ladder((digits) => NAMES[digits]);
  for (const one of records) ladder.record(one);
  ladder.take(RIPE_MS);
  return ladder.items.map((item) =>
    item.item === "message"
      ? `${item.from} ${item.to} ${item.kind} ${item.arrived ? "arrived" : "under way"}`
      : item.item,
  );
}

describe("simulator ladder", () => {
  const sent = record("aaaaaaaa", "INVITE", "aaaaaaaa", "server", 1);
  const came = record("server", "INVITE", "aaaaaaaa", "server", 2);

  it("shows a message once, though both ends wrote it down", () => {
    assert.deepEqual(laid(sent, came), ["anna server INVITE arrived"]);
  });

  it("shows what did not arrive as under way", () => {
    assert.deepEqual(laid(sent), ["anna server INVITE under way"]);
  });

  it("knows who sent what the server took from a stranger, whichever trace is read first", () => {
    const first = record("aaaaaaaa", "REGISTER m1", "aaaaaaaa", "server", 1);
    const stranger = { ...first, place: "server", from: "?" };
    assert.deepEqual(laid(first, { ...stranger, time: 2 }), ["anna server REGISTER m1 arrived"]);
    assert.deepEqual(laid({ ...stranger, time: 1 }, { ...first, time: 2 }), ["anna server REGISTER m1 arrived"]);
  });

  it("keeps two alike messages apart", () => {
    const again = [sent, came].map((one) => ({ ...one, time: one.time + 10 }));
    assert.deepEqual(laid(sent, came, ...again), ["anna server INVITE arrived", "anna server INVITE arrived"]);
    assert.deepEqual(laid(sent, ...again), ["anna server INVITE arrived", "anna server INVITE under way"]);
  });

  it("leaves out whom it does not know", () => {
    assert.deepEqual(laid(record("cccccccc", "INVITE", "cccccccc", "server", 1)), []);
  });

  it("lays what happened in the order of its time, however late it was read", () => {
    const ladder = new Ladder((digits) => NAMES[digits]);
    ladder.add({ item: "note", id: "n", time: 50, at: "anna", note: "connected", facts: {} });
    ladder.record(record("bbbbbbbb", "BYE", "bbbbbbbb", "server", 40));
    ladder.record(record("server", "BYE", "server", "aaaaaaaa", 60));
    assert.deepEqual(
      ladder.take(RIPE_MS).map(({ time }) => time),
      [40, 50, 60],
    );
    ladder.record(record("server", "PING", "server", "aaaaaaaa", RIPE_MS));
    assert.deepEqual(ladder.take(RIPE_MS), [], "too young: something older may still come");
  });

  it("holds a bounded past, whatever comes", () => {
    const word = fc.constantFrom("server", "aaaaaaaa", "bbbbbbbb", "?");
    const any = fc.record({
      time: fc.nat(100),
      place: word,
      kind: fc.constantFrom("A", "B"),
      size: fc.nat(2),
      from: word,
      to: word,
    });
    fc.assert(
      fc.property(fc.array(any, { minLength: 500, maxLength: 700 }), (records) => {
        const ladder = new Ladder((digits) => NAMES[digits]);
        for (const one of records) ladder.record(one);
        ladder.take(RIPE_MS);
        assert.ok(ladder.items.length <= 400);
      }),
      { numRuns: 20 },
    );
  });
});

describe("simulator page's orders", () => {
  it("are orders or nothing, whatever comes", () => {
    fc.assert(fc.property(fc.oneof(fc.string(), fc.json()), (text) => void parseOrder(text)));
    assert.deepEqual(parseOrder('{"do":"cut","handset":"anna","more":1}'), { do: "cut", handset: "anna" });
    assert.equal(parseOrder('{"do":"cut"}'), undefined);
    assert.equal(parseOrder('{"do":"constructor"}'), undefined);
  });
});
