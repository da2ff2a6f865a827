import assert from "node:assert/strict";
import { ProtocolError } from "@feldfon/protocol/errors";
import { type Order, Supervisor } from "@feldfon/protocol/supervisor";
import fc from "fast-check";

type Place = "idle" | "asked" | "open" | "gone";
type Kind = "c:ask" | "s:answer" | "c:bye" | "s:bye";

const order: Order<Place, Kind> = {
  idle: { "c:ask": "asked", "c:bye": "gone" },
  asked: { "s:answer": "open", "c:bye": "gone", "s:bye": "gone" },
  open: { "c:ask": "asked", "s:answer": "open", "s:bye": "gone" },
  gone: {},
};
const kinds: readonly Kind[] = ["c:ask", "s:answer", "c:bye", "s:bye"];

/** What a supervisor has to be: a place, looked up anew for each message in any order table. */
class Model {
  place: number;
  readonly rows: readonly (readonly (number | undefined)[])[];

  constructor(rows: readonly (readonly (number | undefined)[])[]) {
    this.rows = rows;
    this.place = 0;
  }
}

class Admit implements fc.Command<Model, Supervisor<string, string>> {
  readonly kind: number;

  constructor(kind: number) {
    this.kind = kind;
  }

  check(): boolean {
    return true;
  }

  run(model: Model, supervisor: Supervisor<string, string>): void {
    const next = model.rows[model.place]![this.kind];
    const kind = `c:${this.kind}`;
    assert.equal(supervisor.allows(kind), next !== undefined);
    if (next === undefined) {
      assert.throws(() => supervisor.admit(kind), { code: "out-of-order" });
    } else {
      supervisor.admit(kind);
      model.place = next;
    }
    assert.equal(supervisor.place, `p${model.place}`);
  }

  toString(): string {
    return `c:${this.kind}`;
  }
}

describe("a supervisor", () => {
  it("lets a conversation go its way", () => {
    const supervisor = new Supervisor("test", order, "idle");
    for (const kind of ["c:ask", "s:answer", "c:ask", "s:answer", "s:answer", "s:bye"] as const) supervisor.admit(kind);
    assert.equal(supervisor.place, "gone");
  });

  it("refuses after every way of the table each message that has no row, and stays where it is", () => {
    const ways: Kind[][] = [[]];
    let refusals = 0;
    for (const way of ways) {
      for (const kind of kinds) {
        const supervisor = new Supervisor("test", order, "idle");
        for (const step of way) supervisor.admit(step);
        const { place } = supervisor;
        if (supervisor.allows(kind)) {
          supervisor.admit(kind);
          assert.equal(supervisor.place, order[place][kind]);
          if (way.length < 4) ways.push([...way, kind]);
        } else {
          assert.throws(() => supervisor.admit(kind), { name: "ProtocolError", code: "out-of-order" });
          assert.equal(supervisor.place, place);
          refusals++;
        }
      }
    }
    assert.ok(refusals > 30, `${refusals} refusals`);
  });

  it("follows any order table through any messages", () => {
    const tables = fc.integer({ min: 1, max: 5 }).chain((places) => {
      const next = fc.option(fc.nat(places - 1), { nil: undefined });
      const row = fc.array(next, { minLength: 4, maxLength: 4 });
      return fc.array(row, { minLength: places, maxLength: places });
    });
    const admits = fc.commands([fc.nat(3).map((kind) => new Admit(kind))], { maxCommands: 60 });
    fc.assert(
      fc.property(tables, admits, (rows, admits) => {
        const table = Object.fromEntries(
          rows.map((row, place) => [
            `p${place}`,
            Object.fromEntries(row.flatMap((next, kind) => (next === undefined ? [] : [[`c:${kind}`, `p${next}`]]))),
          ]),
        );
        fc.modelRun(() => ({ model: new Model(rows), real: new Supervisor("test", table, "p0") }), admits);
      }),
    );
  });

  it("says what came, where, and what was expected", () => {
    const supervisor = new Supervisor("connect", order, "asked");
    assert.throws(() => supervisor.admit("c:ask"), {
      message: "connect: c:ask in asked, expected s:answer, c:bye, s:bye",
    });
    assert.throws(() => new Supervisor("connect", order, "gone").admit("c:ask"), {
      message: "connect: c:ask in gone, expected nothing",
    });
  });

  it("knows no message by the name of something every object has", () => {
    const supervisor = new Supervisor("test", order, "idle");
    for (const name of ["constructor", "__proto__", "toString", "hasOwnProperty"]) {
      assert.equal(supervisor.allows(name as Kind), false);
      assert.throws(
        () => supervisor.admit(name as Kind),
        (error) => error instanceof ProtocolError && error.code === "out-of-order",
      );
    }
  });

  it("leaves the table to others: two conversations do not disturb each other", () => {
    const one = new Supervisor("one", order, "idle");
    const other = new Supervisor("other", order, "idle");
    one.admit("c:ask");
    assert.equal(one.place, "asked");
    assert.equal(other.place, "idle");
  });
});
