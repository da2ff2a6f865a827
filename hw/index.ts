import { laptop } from "./board/laptop.ts";
import type { BoardFactory } from "./board/port.ts";
import { terminal } from "./board/terminal.ts";

export type { Battery, Charge } from "./battery/port.ts";
export type { Board, BoardEvent, BoardFactory, BoardOptions, Leds, Light } from "./board/port.ts";
export type { Button, Buttons } from "./buttons/port.ts";
export type { Caption, Captions, Display, Frame, Rows } from "./display/port.ts";
export type { Numpad, NumpadKey } from "./numpad/port.ts";

/** Every board the firmware can be told to use, by its name in the configuration. */
export const boards: ReadonlyMap<string, BoardFactory> = new Map(
  [terminal, laptop].map((factory) => [factory.name, factory]),
);
