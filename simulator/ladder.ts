/**
 * Lays the traces of all processes side by side: each message once, whoever wrote it down first, and whether it
 * arrived. Sans I/O: records and events in, items out, in the order of their time.
 *
 *     handset's trace   .. sent REGISTER join ..      one item: handset -> server, arrived
 *     server's trace    .. came REGISTER join ..
 */
import type { TraceRecord } from "@feldfon/protocol/trace";
import type { LadderItem, MessageItem } from "./page/messages.ts";

/** What is written down elsewhere may come this much later. */
const SETTLE_MS = 120;
/** Kept for whoever opens the page later. */
const MOST_ITEMS = 400;
/** Messages that wait for the word of the other side. */
const MOST_OPEN = 200;

export class Ladder {
  readonly #nameOf: (shortUid: string) => string | undefined;
  readonly #records: TraceRecord[] = [];
  readonly #waiting: LadderItem[] = [];
  readonly #open: { item: MessageItem; place: string }[] = [];
  /** What the server took from somebody it did not know yet, and whose sender has not written it down yet. */
  readonly #unknown: TraceRecord[] = [];
  readonly #items = new Map<string, LadderItem>();
  #count = 0;

  /** @param nameOf a handset's name by the digits a trace shows; "server" is the server */
  constructor(nameOf: (shortUid: string) => string | undefined) {
    this.#nameOf = nameOf;
  }

  /** What there is, oldest first. */
  get items(): LadderItem[] {
    return [...this.#items.values()];
  }

  record(record: TraceRecord): void {
    this.#records.push(record);
  }

  add(item: LadderItem): void {
    this.#waiting.push(item);
  }

  nextId(): string {
    return `i${this.#count++}`;
  }

  /** New and changed items, oldest first; what is too young waits for what may still come before it. */
  take(nowMs: number): LadderItem[] {
    const isRipe = ({ time }: { time: number }) => time <= nowMs - SETTLE_MS;
    this.#records.sort((a, b) => a.time - b.time);
    const ripe = this.#records.filter(isRipe);
    this.#records.splice(0, ripe.length);
    const taken = [...ripe.flatMap((record) => this.#laid(record) ?? []), ...this.#waiting.filter(isRipe)];
    const young = this.#waiting.filter((item) => !isRipe(item));
    this.#waiting.splice(0, this.#waiting.length, ...young);
    taken.sort((a, b) => a.time - b.time);
    for (const item of taken) this.#items.set(item.id, item);
    for (const id of this.#items.keys()) {
      if (this.#items.size <= MOST_ITEMS) break;
      this.#items.delete(id);
    }
    return taken;
  }

  #laid({ time, place, kind, size, from, to }: TraceRecord): MessageItem | undefined {
    const other = this.#open.findIndex(
      (open) =>
        open.place !== place &&
        open.item.kind === kind &&
        open.item.size === size &&
        // Before anybody is proven the server does not say who.
        (from === "?" || this.#party(from) === open.item.from) &&
        (to === "?" || this.#party(to) === open.item.to),
    );
    if (other !== -1) {
      const { item } = this.#open.splice(other, 1)[0]!;
      return { ...item, arrived: true };
    }
    const [sender, taker] = [this.#party(from), this.#party(to)];
    if (from === "?" || to === "?") {
      this.#unknown.push({ time, place, kind, size, from, to });
      if (this.#unknown.length > MOST_OPEN) this.#unknown.shift();
    }
    if (!sender || !taker) return undefined;
    const id = this.nextId();
    const taken = this.#unknown.findIndex((one) => one.place !== place && one.kind === kind && one.size === size);
    if (taken !== -1) this.#unknown.splice(taken, 1);
    const item: MessageItem = {
      item: "message",
      id,
      time,
      from: sender,
      to: taker,
      kind,
      size,
      arrived: place === to || taken !== -1,
    };
    if (taken !== -1) return item;
    this.#open.push({ item, place });
    if (this.#open.length > MOST_OPEN) this.#open.shift();
    return item;
  }

  #party(digits: string): string | undefined {
    return digits === "server" ? "server" : this.#nameOf(digits);
  }
}
