/**
 * The `terminal` board: a handset for ssh, scripts and laptops without any device. Lines in are presses, the screen
 * comes out as text whenever it changes; the firmware above is the real one.
 *
 *     press connect|call|hang-up|update      say FILE.wav        picture FILE.png
 *     key 5, key 42 (each digit), key *      record FILE.wav     help, quit
 *
 * With `json` every line out is one object: `{"type":"screen","name","facts","lines","ticking"}`, `{"type":"light",
 * "colour","rhythm"}`, `{"type":"hint","text"}`. Without it a clock that runs on is not printed again every second.
 */
import { fstatSync, writeFileSync } from "node:fs";
import { createInterface, type Interface } from "node:readline";
import type { Readable, Writable } from "node:stream";
import { FakeBattery } from "../battery/fake.ts";
import { FakeButtons } from "../buttons/fake.ts";
import { BUTTONS, type Button } from "../buttons/port.ts";
import { FakeDisplay } from "../display/fake.ts";
import { pngOf } from "../display/png.ts";
import type { Caption, Captions } from "../display/port.ts";
import { FakeNumpad } from "../numpad/fake.ts";
import { isNumpadKey, type NumpadKey } from "../numpad/port.ts";
import type { Board, BoardEvent, BoardFactory, BoardOptions, Leds } from "./port.ts";

const HELP =
  "press connect|call|hang-up|update, key 5 (or key 42), say FILE.wav, record FILE.wav, picture FILE.png, help, quit";

/** What one line asks for. */
export type TerminalLine =
  | { line: "press"; button: Button }
  | { line: "keys"; keys: NumpadKey[] }
  | { line: "say" | "record" | "picture"; file: string }
  | { line: "quit" | "help" | "empty" }
  | { line: "unknown"; hint: string };

/** One line as it was typed; never throws. File names run to the end of the line and may hold spaces. */
export function parseTerminalLine(text: string): TerminalLine {
  const [, word = "", rest = ""] = /^(\S*)\s*(.*)$/s.exec(text.trim()) ?? [];
  switch (word) {
    case "":
      return { line: "empty" };
    case "help":
    case "quit":
      return { line: word };
    case "press": {
      const button = BUTTONS.find((name) => name === rest);
      if (button) return { line: "press", button };
      return { line: "unknown", hint: `press takes one of: ${BUTTONS.join(", ")}` };
    }
    case "key": {
      const keys = [...rest].filter(isNumpadKey);
      if (keys.length > 0 && keys.length === [...rest].length) return { line: "keys", keys };
      return { line: "unknown", hint: "key takes digits, * and #, as in: key 42" };
    }
    case "say":
    case "record":
    case "picture":
      if (rest !== "") return { line: word, file: rest };
      return { line: "unknown", hint: `${word} takes a file name` };
    default:
      return { line: "unknown", hint: `no such line, there are: ${HELP}` };
  }
}

/**
 * What the end of the input means. Somebody who closes a pipe, a file that was read to its end, and Ctrl-D are done:
 * the handset quits. /dev/null (a service, a closed stdin) never had anything to say: the handset stays.
 *
 * @param descriptor usually 0
 */
export function endOfInput(descriptor: number, isTerminal: boolean): "quit" | "stay" {
  return !isTerminal && fstatSync(descriptor).isCharacterDevice() ? "stay" : "quit";
}

class TerminalBoard implements Board {
  readonly name = "terminal";
  readonly buttons = new FakeButtons();
  readonly numpad = new FakeNumpad();
  readonly display = new FakeDisplay(320, 240);
  readonly battery = new FakeBattery();
  readonly captions: Captions = { show: (caption) => this.#show(caption) };
  readonly leds: Leds = { show: (light) => this.#json && this.#print(JSON.stringify({ type: "light", ...light })) };

  readonly #input: Readable;
  readonly #output: Writable;
  readonly #json: boolean;
  readonly #atEnd: "quit" | "stay";
  readonly #listeners: ((event: BoardEvent) => void)[] = [];
  #lines: Interface | undefined;
  #open = true;

  constructor(options: BoardOptions) {
    this.#input = options.input;
    this.#output = options.output;
    this.#json = options.json;
    this.#atEnd = options.atEnd;
    // Whoever read the screens is gone: nobody sees what the handset does, so it leaves in order.
    this.#output.on("error", () => this.#emit({ event: "quit" }));
  }

  onEvent(listener: (event: BoardEvent) => void): void {
    this.#listeners.push(listener);
    // Until somebody listens the lines wait in the pipe, none is lost while the handset makes its key.
    this.#lines ??= createInterface({ input: this.#input, crlfDelay: Number.POSITIVE_INFINITY })
      .on("line", (line) => this.#take(line))
      .on("close", () => this.#atEnd === "quit" && this.#emit({ event: "quit" }));
  }

  close(): void {
    if (!this.#open) return;
    this.#open = false;
    for (const device of [this.buttons, this.numpad, this.battery, this.display]) device.close();
    this.#lines?.close();
    // A pipe that is still read would keep the process alive.
    this.#input.destroy();
  }

  #take(text: string): void {
    if (!this.#open) return;
    const order = parseTerminalLine(text);
    switch (order.line) {
      case "press":
        this.buttons.press(order.button);
        break;
      case "keys":
        for (const key of order.keys) this.numpad.press(key);
        break;
      case "say":
      case "record":
        this.#emit({ event: order.line, file: order.file });
        break;
      case "quit":
        this.#emit({ event: "quit" });
        break;
      case "picture":
        this.#keepPicture(order.file);
        break;
      case "help":
        this.#hint(HELP);
        break;
      case "unknown":
        this.#hint(order.hint);
        break;
      case "empty":
        break;
      default:
        order satisfies never;
    }
  }

  #keepPicture(file: string): void {
    try {
      writeFileSync(file, pngOf(this.display.picture, this.display.width, this.display.height));
    } catch (error) {
      this.#hint(`the picture was not written: ${(error as NodeJS.ErrnoException).code ?? "unknown cause"}`);
    }
  }

  #emit(event: BoardEvent): void {
    if (!this.#open) return;
    for (const listener of this.#listeners) listener(event);
  }

  #show(caption: Caption): void {
    if (this.#json) this.#print(JSON.stringify({ type: "screen", ...caption }));
    // A screen a second for a running clock would bury whoever types.
    else if (!caption.ticking) this.#print(`${caption.lines.map(printable).join("\n")}\n`);
  }

  #hint(text: string): void {
    this.#print(this.#json ? JSON.stringify({ type: "hint", text }) : `? ${text}`);
  }

  #print(text: string): void {
    if (this.#open && this.#output.writable) this.#output.write(`${text}\n`);
  }
}

/** What comes from others must not steer a terminal: control characters are shown, not sent. */
function printable(line: string): string {
  return line.replace(/[\u0000-\u001f\u007f-\u009f]/g, "\ufffd");
}

export const terminal: BoardFactory = {
  name: "terminal",
  open: async (options) => new TerminalBoard(options),
};
