/**
 * Joins a board, the machine and the line: presses become events, effects become commands and light, and the screen is
 * drawn when it changed. No sockets, no files; what happens is decided in machine.ts.
 *
 *     board --press--> event --next--> state --screenOf--> board.display, board.captions
 *     line  --event------^       '---effects--> line.send, board.leds, ticks
 */
import type { Board } from "@feldfon/hw/board/port";
import type { Frame, Rows } from "@feldfon/hw/display/port";
import { drawScreen } from "./drawing/draw.ts";
import type { Command, LineEvent } from "./link.ts";
import { type Effect, type Event, lightOf, next, type State, TICK_MS } from "./machine.ts";
import { type Screen, screenOf } from "./screens.ts";
import { captionOf } from "./screens-text.ts";
import type { Language } from "./texts.ts";

/** The line thread, from the hand's side. */
export interface LineLink {
  send(command: Command): void;
  onEvent(listener: (event: LineEvent) => void): void;
  close(): void;
}

export interface RunnerOptions {
  board: Board;
  line: LineLink;
  language: Language;
  /** @see begin in machine.ts */
  state: State;
  /** An open handset that nobody touches and nobody can call locks itself after this; 0 never. */
  idleLockMs: number;
  /** Milliseconds that never go back. */
  now?: () => number;
}

export class Runner {
  /** Settles when the line is gone and every device is closed. */
  readonly done: Promise<void>;
  readonly #board: Board;
  readonly #line: LineLink;
  readonly #language: Language;
  readonly #now: () => number;
  readonly #settle: () => void;
  /** Events that came while another one was worked on. */
  readonly #waiting: Event[] = [];
  #state: State;
  #shown: Screen | undefined;
  #picture: Frame | undefined;
  #displayFails = false;
  #working = false;
  #closed = false;
  #clock: NodeJS.Timeout | undefined;
  #tickedMs = 0;
  readonly #idleLockMs: number;
  #idle: NodeJS.Timeout | undefined;
  #listening = false;

  constructor({ board, line, language, state, idleLockMs, now = () => performance.now() }: RunnerOptions) {
    this.#board = board;
    this.#line = line;
    this.#language = language;
    this.#state = state;
    this.#idleLockMs = idleLockMs;
    this.#now = now;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.done = promise;
    this.#settle = resolve;

    line.send({ do: "volume", percent: state.volumePercent });
    board.leds?.show(lightOf(state));
    this.#show();
    line.onEvent((event) => this.take(event));
    board.battery.onChange((charge) => this.take({ event: "battery", charge }));
    this.#listen();
  }

  /** Keys count from the first moment a person is asked something; until then a script's lines wait in their pipe. */
  #listen(): void {
    const { lock } = this.#state;
    if (this.#listening || lock.at === "starting" || lock.at === "working") return;
    this.#listening = true;
    this.#board.buttons.onPress((button) => this.take({ event: "press", button }));
    this.#board.numpad.onKey((key) => this.take({ event: "key", key }));
    this.#board.onEvent((event) => this.take(event));
  }

  get state(): State {
    return this.#state;
  }

  /** One event after the other, each to its end, also when one leads to the next. */
  take(event: Event): void {
    if (this.#closed) return;
    this.#waiting.push(event);
    if (this.#working) return;
    this.#working = true;
    try {
      for (let first = this.#waiting.shift(); first !== undefined; first = this.#waiting.shift()) this.#step(first);
    } finally {
      this.#working = false;
    }
  }

  /** Closes the board and the line at once. In order, and with a leave, goes the event `quit`. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    clearInterval(this.#clock);
    clearTimeout(this.#idle);
    this.#board.close();
    this.#line.close();
    this.#settle();
  }

  #step(event: Event): void {
    const [state, ...effects] = next(this.#state, event);
    this.#state = state;
    for (const effect of effects) this.#do(effect);
    this.#show();
    this.#listen();
    if (state.place.name === "gone") this.close();
  }

  #do(effect: Effect): void {
    switch (effect.do) {
      case "command":
        this.#line.send(effect.command);
        break;
      case "light":
        this.#board.leds?.show(effect.light);
        break;
      case "clock":
        this.#tick(effect.ticking);
        break;
      case "idle-clock":
        clearTimeout(this.#idle);
        if (effect.running && this.#idleLockMs > 0) {
          this.#idle = setTimeout(() => this.take({ event: "idle" }), this.#idleLockMs);
        }
        break;
      default:
        effect satisfies never;
    }
  }

  #tick(on: boolean): void {
    clearInterval(this.#clock);
    this.#tickedMs = this.#now();
    if (!on) return;
    this.#clock = setInterval(() => {
      // Measured, not counted: a call of an hour is an hour long, however late the ticks come.
      const nowMs = this.#now();
      const elapsedMs = nowMs - this.#tickedMs;
      this.#tickedMs = nowMs;
      this.take({ event: "tick", elapsedMs });
    }, TICK_MS);
  }

  #show(): void {
    const screen = screenOf(this.#state, this.#language);
    if (this.#shown && JSON.stringify(screen) === JSON.stringify(this.#shown)) return;
    this.#board.captions?.show(captionOf(screen, this.#language, this.#shown));
    this.#shown = screen;
    if (this.#displayFails) return;
    const { display } = this.#board;
    try {
      const picture = drawScreen(screen, display.width, display.height);
      const dirty = changedRows(this.#picture, picture, display.width);
      if (dirty.from === dirty.to) return;
      display.show(picture, dirty);
      this.#picture = picture;
    } catch (error) {
      // The rest works: keys, sound, captions, and the light says that something is wrong.
      this.#displayFails = true;
      this.take({ event: "device-failed", device: "display", code: (error as { code?: string }).code ?? "display" });
    }
  }
}

/** Only what changed goes over a slow bus. */
export function changedRows(before: Frame | undefined, after: Frame, width: number): Rows {
  const rows = after.length / width;
  if (!before) return { from: 0, to: rows };
  const differs = (row: number) => {
    for (let at = row * width; at < (row + 1) * width; at++) if (before[at] !== after[at]) return true;
    return false;
  };
  let [from, to] = [0, rows];
  while (from < to && !differs(from)) from++;
  while (to > from && !differs(to - 1)) to--;
  return { from, to };
}
