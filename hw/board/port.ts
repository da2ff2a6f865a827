/**
 * A board is what the firmware finds soldered together: keys, number pad, display, battery, lights. Which one it is,
 * is chosen in the configuration by name and opened in main.ts.
 */
import type { Readable, Writable } from "node:stream";
import type { MessagePort } from "node:worker_threads";
import type { Battery } from "../battery/port.ts";
import type { Buttons } from "../buttons/port.ts";
import type { Captions, Display } from "../display/port.ts";
import type { Numpad } from "../numpad/port.ts";

/** States differ in rhythm, not only in colour. */
export interface Light {
  colour: "off" | "white" | "green" | "amber" | "red" | "blue";
  rhythm: "steady" | "slow" | "fast" | "double";
}

export interface Leds {
  show(light: Light): void;
}

/** What a board without soldered keys can ask for besides presses. */
export type BoardEvent = { event: "say"; file: string } | { event: "record"; file: string } | { event: "quit" };

export interface Board {
  readonly name: string;
  readonly buttons: Buttons;
  readonly numpad: Numpad;
  readonly display: Display;
  readonly battery: Battery;
  /** On boards that show the screen in words too. */
  readonly captions?: Captions;
  readonly leds?: Leds;
  /** On boards whose microphone and speaker are where the display is: the line thread speaks to them over this port. */
  readonly sound?: MessagePort;
  /** Where this board's page is, on boards that are one. */
  readonly address?: string;
  /** Attached last: a board that reads its presses from a stream starts to read with the first listener. */
  onEvent(listener: (event: BoardEvent) => void): void;
  /** Closes every device of the board. Closing twice is harmless. */
  close(): void;
}

export interface BoardOptions {
  /** Where boards without keys read, usually the process's own streams; soldered boards leave them alone. */
  input: Readable;
  output: Writable;
  /** One JSON object a line instead of text. */
  json: boolean;
  /** What the end of `input` means. @see endOfInput in terminal.ts */
  atEnd: "quit" | "stay";
  /** Where boards that are a page show it, on 127.0.0.1; any free port without. */
  pagePort?: number;
}

export interface BoardFactory {
  /** As written in the configuration: `--board terminal`. */
  readonly name: string;
  /** @throws {DeviceError} when a device is missing without which the board is none */
  open(options: BoardOptions): Promise<Board>;
}
