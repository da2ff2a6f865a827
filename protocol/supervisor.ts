/**
 * Holds a conversation to its order (seed 000: a turned order is a risk, a supervisor has to control it).
 *
 * An order is data: for each place, which message of which sender may come and where it leads. The same tables drive
 * the code, the screen's progress lines, the trace, the models and the docs.
 */
import { ProtocolError } from "./errors.ts";

/** Who sends it, then which message: "c:" handset to server, "s:" server to handset; in a call "a:" caller, "b:" callee. */
export type Order<Place extends string, Kind extends string> = {
  readonly [P in Place]: { readonly [K in Kind]?: Place };
};

/** One run of one conversation: knows its place and admits only what the order has a row for. */
export class Supervisor<Place extends string, Kind extends string> {
  readonly conversation: string;
  readonly #order: Order<Place, Kind>;
  #place: Place;

  constructor(conversation: string, order: Order<Place, Kind>, start: Place) {
    this.conversation = conversation;
    this.#order = order;
    this.#place = start;
  }

  get place(): Place {
    return this.#place;
  }

  allows(kind: Kind): boolean {
    return this.#next(kind) !== undefined;
  }

  /** @throws {ProtocolError} `out-of-order`; the place stays what it was */
  admit(kind: Kind): void {
    const next = this.#next(kind);
    if (next === undefined) {
      const expected = Object.keys(this.#order[this.#place]).join(", ") || "nothing";
      throw new ProtocolError("out-of-order", `${this.conversation}: ${kind} in ${this.#place}, expected ${expected}`);
    }
    this.#place = next;
  }

  #next(kind: Kind): Place | undefined {
    const row = this.#order[this.#place];
    return Object.hasOwn(row, kind) ? row[kind] : undefined;
  }
}
