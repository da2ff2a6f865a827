/**
 * The rows as connect shows them (steps 2 and 6), kept as bytes from epoch to epoch: an append writes one row, a leave
 * closes the others up. What was given out stays as it was.
 *
 *     | row 0 | row 1 | row 2 | room      |        an earlier epoch's bytes end sooner, or lie in another buffer
 */
import type { Directory, Op, Row } from "@feldfon/protocol/directory/phonebook";

export class ShownRows {
  readonly #encode: (row: Row, leaf: Buffer) => Buffer;
  #buffer = Buffer.alloc(0);
  /** Where each row ends. */
  #ends: number[] = [];

  constructor(encode: (row: Row, leaf: Buffer) => Buffer) {
    this.#encode = encode;
  }

  /** Of the newest epoch; nobody writes to it. */
  get bytes(): Buffer {
    return this.#buffer.subarray(0, this.#used);
  }

  /** @param ops that have led to this directory from the one before */
  update(directory: Directory, ops: readonly Op[]): void {
    if (ops.some(({ op }) => op === "leave")) this.#closeUp(ops);
    for (let index = this.#ends.length; index < directory.rows.length; index++) {
      this.#append(this.#encode(directory.rows[index]!, directory.leafAt(index)!));
    }
  }

  get #used(): number {
    return this.#ends.at(-1) ?? 0;
  }

  #append(row: Buffer): void {
    const used = this.#used;
    if (used + row.length > this.#buffer.length) {
      const roomier = Buffer.allocUnsafeSlow(2 * (used + row.length));
      this.#buffer.copy(roomier, 0, 0, used);
      this.#buffer = roomier;
    }
    row.copy(this.#buffer, used);
    this.#ends.push(used + row.length);
  }

  /** Those who have come since are behind all who stay, and are written next. */
  #closeUp(ops: readonly Op[]): void {
    const rows: (Buffer | undefined)[] = this.#ends.map((end, index) =>
      this.#buffer.subarray(this.#ends[index - 1] ?? 0, end),
    );
    for (const op of ops) {
      if (op.op === "leave") rows.splice(op.index, 1);
      else rows.push(undefined);
    }
    const kept = rows.filter((row) => row !== undefined);
    this.#buffer = Buffer.concat(kept);
    this.#ends = [];
    for (const { length } of kept) this.#ends.push(this.#used + length);
  }
}
