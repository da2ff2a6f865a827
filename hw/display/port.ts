/**
 * One picture: width x height pixels, row by row from the top left, RGB565 in the machine's byte order.
 *
 *     15    11 10      5 4     0
 *     +-------+--------+-------+
 *     | red 5 | green 6| blue 5|
 *     +-------+--------+-------+
 */
export type Frame = Uint16Array;

/** Rows `from` to `to - 1`. */
export interface Rows {
  from: number;
  to: number;
}

export interface Display {
  /** Pixels. */
  readonly width: number;
  readonly height: number;
  /**
   * Shows the picture. The frame is copied or sent before the call returns; the caller may draw on it again.
   *
   * @param dirty the only rows that differ from the picture before; without it all of them
   * @throws {DeviceError} `display` when the panel does not take it
   */
  show(frame: Frame, dirty?: Rows): void;
  /** Leaves no picture behind: a name or the five numbers must not outlive the handset. Closing twice is harmless. */
  close(): void;
}

/** The same screen in words, for boards that print or speak instead of drawing. */
export interface Caption {
  /** Which screen it is, for programs: `in-call`. */
  name: string;
  /** The screen as text, one line each. */
  lines: readonly string[];
  /** Of the lines, as BCP 47 writes it: `de`. */
  language: string;
  /** What the screen states, for programs; public values only. */
  facts: Readonly<Record<string, unknown>>;
  /** Only a clock or a count ran on since the caption before: no news to somebody who reads along. */
  ticking: boolean;
}

export interface Captions {
  show(caption: Caption): void;
}
