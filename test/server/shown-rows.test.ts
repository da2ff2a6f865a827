import assert from "node:assert/strict";
import { Directory, encodeStep6, encodeStep6Row, type Op } from "@feldfon/protocol/directory/phonebook";
import { ShownRows } from "@feldfon/server/shown-rows";
import { handsetKey } from "./handsets.ts";

const rowOf = (n: number) => ({
  uid: handsetKey(n).uid,
  name: `Handset ${"x".repeat(n)}`,
  key: handsetKey(n),
  flags: 0,
});
const append = (n: number): Op => ({ op: "append", row: rowOf(n) });
const leave = (index: number): Op => ({ op: "leave", index });

describe("the rows as connect shows them", () => {
  let directory: Directory;
  let shown: ShownRows;

  beforeEach(() => {
    directory = new Directory(handsetKey(0));
    shown = new ShownRows(encodeStep6Row);
    shown.update(directory, []);
  });

  function change(...ops: Op[]): void {
    for (const op of ops) directory.apply(op);
    shown.update(directory, ops);
  }

  const batches: [what: string, ops: Op[]][] = [
    ["one who comes", [append(4)]],
    ["many who come", [append(4), append(5), append(6), append(7), append(8)]],
    ["the first who leaves", [leave(1)]],
    ["the last who leaves", [leave(3)]],
    ["all who leave", [leave(1), leave(1), leave(1)]],
    ["one who comes and leaves in one batch", [append(4), leave(4)]],
    ["one who leaves and comes back in one batch", [leave(2), append(2)]],
    ["comers and leavers mixed", [append(4), leave(1), append(5), leave(3), append(6), leave(1)]],
  ];
  for (const [what, ops] of batches) {
    it(`are those of the directory after ${what}`, () => {
      change(append(1), append(2), append(3));
      change(...ops);
      assert.deepEqual(shown.bytes, encodeStep6(directory.rows));
      change(append(9));
      assert.deepEqual(shown.bytes, encodeStep6(directory.rows));
    });
  }

  it("stay as they were for one who is being shown them", () => {
    change(append(1), append(2));
    const given = [{ bytes: shown.bytes, were: Buffer.from(shown.bytes) }];
    for (const ops of [[append(3)], [leave(1), append(4)], [append(5), append(6), append(7)], [leave(2)]]) {
      change(...ops);
      given.push({ bytes: shown.bytes, were: Buffer.from(shown.bytes) });
    }
    for (const { bytes, were } of given) assert.deepEqual(bytes, were);
  });
});
