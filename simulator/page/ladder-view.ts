/**
 * The ladder: the server in the middle, handsets left and right, newest at the bottom.
 *
 *      anna        server       berta
 *        |  INVITE    |            |
 *        |----------->|  INVITE    |
 *        |            |----------->|
 */
import { element } from "@feldfon/hw/board/page/dom";
import type { Language } from "@feldfon/hw/board/page/texts";
import type { HandsetShown, LadderItem, MessageItem, NoteItem, StepItem } from "./messages.ts";
import { PROVED } from "./steps.ts";
import { filled, type PageTexts } from "./texts.ts";

const MOST_ROWS = 400;
/** A message that has not arrived by then is lost, or waits in a dead spot. */
const LOST_MS = 2_500;
/** Nearer to the end than this, the view follows. */
const AT_END_PX = 60;

export class LadderView {
  readonly #texts: PageTexts;
  readonly #language: Language;
  readonly #items = new Map<string, LadderItem>();
  readonly #rows = new Map<string, HTMLElement>();
  readonly #waiting: LadderItem[] = [];
  readonly #list: HTMLElement;
  readonly #heads: HTMLElement;
  readonly #filter: HTMLSelectElement;
  readonly #pause: HTMLButtonElement;
  readonly #empty: HTMLElement;
  #columns: string[] = ["server"];

  constructor(root: HTMLElement, texts: PageTexts, language: Language) {
    this.#texts = texts;
    this.#language = language;
    this.#list = element("ol", { class: "rows", tabindex: 0, "aria-label": texts.ladder });
    this.#heads = element("div", { class: "heads", "aria-hidden": "true" });
    this.#filter = element("select", { "aria-label": texts.show, id: "filter" });
    this.#filter.addEventListener("change", () => this.#redraw());
    this.#pause = element(
      "button",
      { type: "button", class: "quiet", "aria-pressed": "false", id: "pause" },
      texts.pause,
    );
    this.#pause.addEventListener("click", () => this.#turn());
    this.#empty = element("p", { class: "empty" }, texts.empty);
    const title = element("div", {}, element("h2", {}, texts.ladder), element("p", {}, texts.ladderHint));
    root.ariaLabel = texts.ladder;
    root.replaceChildren(
      element("header", {}, title, element("div", { class: "tools" }, this.#filter, this.#pause)),
      this.#heads,
      element("div", { class: "scroll" }, this.#list, this.#empty),
    );
  }

  /** Who is there; columns are made of it. */
  parties(handsets: readonly HandsetShown[]): void {
    const names = handsets.map(({ name }) => name);
    const left = names.filter((_, at) => at % 2 === 0).reverse();
    const columns = [...left, "server", ...names.filter((_, at) => at % 2 === 1)];
    if (columns.join() === this.#columns.join()) return;
    this.#columns = columns;
    const chosen = this.#filter.value;
    const options = names.map((name) => element("option", { value: name }, name));
    this.#filter.replaceChildren(element("option", { value: "" }, this.#texts.all), ...options);
    this.#filter.value = names.includes(chosen) ? chosen : "";
    this.#redraw();
  }

  add(items: readonly LadderItem[]): void {
    if (this.#pause.ariaPressed === "true") {
      this.#waiting.push(...items);
      this.#waiting.splice(0, this.#waiting.length - MOST_ROWS);
      return;
    }
    const scroll = this.#list.parentElement!;
    const follows = scroll.scrollHeight - scroll.scrollTop - scroll.clientHeight < AT_END_PX;
    for (const item of items) {
      this.#items.set(item.id, item);
      this.#draw(item);
    }
    for (const id of this.#items.keys()) {
      if (this.#items.size <= MOST_ROWS) break;
      this.#items.delete(id);
      this.#rows.get(id)?.remove();
      this.#rows.delete(id);
    }
    this.#empty.hidden = this.#items.size > 0;
    if (follows) scroll.scrollTop = scroll.scrollHeight;
  }

  #turn(): void {
    const paused = this.#pause.ariaPressed !== "true";
    this.#pause.ariaPressed = String(paused);
    this.#pause.textContent = paused ? this.#texts.goOn : this.#texts.pause;
    if (!paused) this.add(this.#waiting.splice(0));
  }

  #redraw(): void {
    const columns = this.#shown();
    this.#heads.replaceChildren(
      ...columns.map((name) => element("span", {}, name === "server" ? this.#texts.server : name)),
    );
    for (const surface of [this.#heads, this.#list]) surface.style.setProperty("--columns", String(columns.length));
    this.#list.replaceChildren();
    this.#rows.clear();
    for (const item of this.#items.values()) this.#draw(item);
    const scroll = this.#list.parentElement!;
    scroll.scrollTop = scroll.scrollHeight;
  }

  #shown(): string[] {
    const only = this.#filter.value;
    return only === "" ? this.#columns : this.#columns.filter((name) => name === only || name === "server");
  }

  #draw(item: LadderItem): void {
    const columns = this.#shown();
    const made = this.#row(item, columns);
    if (!made) return;
    const before = this.#rows.get(item.id);
    if (before) before.replaceWith(made);
    else this.#list.append(made);
    this.#rows.set(item.id, made);
  }

  /** Nothing for somebody who is not shown. */
  #row(item: LadderItem, columns: readonly string[]): HTMLElement | undefined {
    if (item.item === "message") return this.#message(item, columns);
    if (!columns.includes(item.at)) return undefined;
    return item.item === "step" ? this.#step(item, columns) : this.#note(item, columns);
  }

  #message(item: MessageItem, columns: readonly string[]): HTMLElement | undefined {
    const { time, from, to, kind, size, arrived } = item;
    const [start, end] = [columns.indexOf(from), columns.indexOf(to)];
    if (start === -1 || end === -1) return undefined;
    const texts = this.#texts;
    const [left, right] = [Math.min(start, end), Math.max(start, end)];
    const look = `arrow ${end > start ? "to-right" : "to-left"}${arrived ? "" : " under-way"}`;
    const label = element("span", { class: "kind" }, kind);
    const arrow = element(
      "span",
      { class: look },
      label,
      element("small", {}, `${size.toLocaleString(this.#language)} B`),
    );
    if (!arrived) {
      // Whether it will have arrived by then: an arrived one is drawn anew.
      setTimeout(() => arrow.classList.add("lost"), Math.max(0, time + LOST_MS - Date.now()));
    }
    place(arrow, (left + 0.5) / columns.length, (right - left) / columns.length);
    const row = element("li", { class: "message", "data-kind": kind }, arrow);
    row.ariaLabel = `${from} → ${to}: ${kind}, ${size} ${texts.bytes}, ${arrived ? texts.arrived : texts.lost}`;
    return row;
  }

  #step({ at, step, ms }: StepItem, columns: readonly string[]): HTMLElement {
    const badge = element("b", { title: `${this.#texts.step} ${step}` }, step);
    const text = element(
      "span",
      { class: "text" },
      badge,
      ...(step === "4" ? [element("i", { class: "redacted", "aria-hidden": "true" })] : []),
      `${PROVED[this.#language][step]} `,
      element("small", {}, `${ms} ms`),
    );
    return this.#aside("step", at, columns, text);
  }

  #note({ at, note, facts }: NoteItem, columns: readonly string[]): HTMLElement {
    const { notes, erased, same } = this.#texts;
    const words = { ...facts };
    if (typeof facts.erased === "string") words.erased = erased[facts.erased] ?? facts.erased;
    if (typeof facts.same === "number") words.same = same[facts.same === 1 ? 1 : 0];
    const text = element("span", { class: "text" }, filled(notes[note], words));
    return this.#aside(`note ${note}`, at, columns, text);
  }

  /** Beside the column of the one it is about, towards the middle of the ladder. */
  #aside(look: string, at: string, columns: readonly string[], text: HTMLElement): HTMLElement {
    const index = columns.indexOf(at);
    const middle = (index + 0.5) / columns.length;
    const onRight = middle > 0.5;
    text.classList.add(middle === 0.5 ? "centred" : onRight ? "on-right" : "on-left");
    text.style.setProperty("--at", `${(onRight ? 1 - middle : middle) * 100}%`);
    const row = element("li", { class: look }, text);
    row.ariaLabel = `${at}: ${text.textContent}`;
    return row;
  }
}

function place(arrow: HTMLElement, left: number, width: number): void {
  arrow.style.setProperty("--left", `${left * 100}%`);
  arrow.style.setProperty("--width", `${width * 100}%`);
}
