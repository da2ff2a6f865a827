import { DeviceError } from "@feldfon/protocol/errors";
import type { Display, Frame, Rows } from "./port.ts";

/** A panel that keeps what it shows. Like the real one, it keeps the old rows where no new ones were sent. */
export class FakeDisplay implements Display {
  readonly width: number;
  readonly height: number;
  /** What an eye would see now. */
  readonly picture: Frame;
  #open = true;

  constructor(width = 320, height = 240) {
    this.width = width;
    this.height = height;
    this.picture = new Uint16Array(width * height);
  }

  show(frame: Frame, dirty: Rows = { from: 0, to: this.height }): void {
    if (!this.#open) throw new DeviceError("display", "a picture came for a display that is closed");
    if (frame.length !== this.picture.length) {
      throw new DeviceError(
        "display",
        `a picture of ${frame.length} pixels came, the panel has ${this.picture.length}`,
      );
    }
    const from = dirty.from * this.width;
    this.picture.set(frame.subarray(from, dirty.to * this.width), from);
  }

  close(): void {
    this.#open = false;
    this.picture.fill(0);
  }
}
