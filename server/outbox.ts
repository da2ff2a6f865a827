/**
 * Frames on their way to one client: what one event has to say is gathered into one write, bounded in bytes and in time
 * (performance.md 1 "we must gather too"; row 003-70). A slow client costs its own line and nobody else's time.
 *
 *     send, send, send --> queue --when all is said--> pieces, corked --writev--> socket
 *                            | more than the limit           | no piece gone for 10 s
 *                            '------------> dropped <--------'
 */
import { giveBack } from "@feldfon/protocol/frame-memory";

/** What an outbox needs of a net.Socket. */
export interface Wire {
  write(piece: Uint8Array, written?: (error?: Error | null) => void): boolean;
  cork(): void;
  uncork(): void;
  end(): unknown;
  destroy(): unknown;
}

/** `outbox-full`: more waits than the limit. `no-progress`: nothing went out for 10 s. */
export type DropReason = "outbox-full" | "no-progress";

export interface OutboxOptions {
  wire: Wire;
  /** Told once; the wire is destroyed already. */
  onDrop: (reason: DropReason) => void;
  limitBytes?: number;
}

export const OUTBOX_BYTES = 4 * 1024 * 1024;
/** A tick is a second: 10 to 11 s. */
export const STALL_TICKS = 10;
/** Handed to the socket at a time; so a line that takes 12.8 kB/s still shows progress; a call takes 34. */
const PIECE_BYTES = 128 * 1024;

export class Outbox {
  /** Those with something to say, each behind the event that made them say it. */
  static #waiting: Outbox[] = [];

  readonly #wire: Wire;
  readonly #onDrop: (reason: DropReason) => void;
  /** Raised for a large directory: two snapshots have to fit. */
  limitBytes: number;

  #queue: Buffer[] = [];
  /** Bytes of the oldest frame that have gone. */
  #begun = 0;
  #queuedBytes = 0;
  #writingBytes = 0;
  /** Their last piece is on its way. */
  #going: Buffer[] = [];
  #scheduled = false;
  /** Since a piece has gone. */
  #stillTicks = 0;
  #state: "open" | "ending" | "over" = "open";
  readonly #onOver: (() => void)[] = [];

  constructor({ wire, onDrop, limitBytes = OUTBOX_BYTES }: OutboxOptions) {
    this.#wire = wire;
    this.#onDrop = onDrop;
    this.limitBytes = limitBytes;
  }

  /** Bytes that have not reached the system yet. */
  get waitingBytes(): number {
    return this.#queuedBytes + this.#writingBytes;
  }

  /** Never waits. The frame belongs to the outbox now; after `end` and after a drop it goes nowhere. */
  send(frame: Buffer): void {
    if (this.#state !== "open") return;
    this.#queue.push(frame);
    this.#queuedBytes += frame.length;
    if (this.waitingBytes > this.limitBytes) this.#drop("outbox-full");
    else this.#schedule();
  }

  /** Sends what waits, then ends the wire. Resolves when that is done, or when it cannot be done any more. */
  end(): Promise<void> {
    if (this.#state === "over") return Promise.resolve();
    this.#state = "ending";
    this.#schedule();
    return new Promise((resolve) => this.#onOver.push(resolve));
  }

  /** Once a second. A timer for each line would wake the loop for each. */
  tick(): void {
    if (this.#writingBytes > 0 && ++this.#stillTicks > STALL_TICKS) this.#drop("no-progress");
  }

  /** The line is closed: forgets everything. */
  discard(): void {
    this.#state = "over";
    this.#queue = [];
    this.#going = [];
    this.#queuedBytes = 0;
    this.#writingBytes = 0;
    for (const resolve of this.#onOver.splice(0)) resolve();
  }

  #schedule(): void {
    if (this.#scheduled || this.#writingBytes > 0) return;
    this.#scheduled = true;
    if (Outbox.#waiting.push(this) === 1) process.nextTick(Outbox.#flushAll);
  }

  static #flushAll(): void {
    const waiting = Outbox.#waiting;
    Outbox.#waiting = [];
    for (const outbox of waiting) outbox.#flush();
  }

  #flush(): void {
    this.#scheduled = false;
    if (this.#state === "over") return;
    if (this.#queue.length === 0) {
      if (this.#state === "ending") this.#finish();
      return;
    }
    const first = this.#take();
    if (this.#queue.length === 0) {
      this.#wire.write(first, this.#written);
      return;
    }
    this.#wire.cork();
    let piece = first;
    while (this.#queue.length > 0 && this.#writingBytes < PIECE_BYTES) {
      this.#wire.write(piece);
      piece = this.#take();
    }
    this.#wire.write(piece, this.#written);
    this.#wire.uncork();
  }

  /** The oldest frame, or as much of it as fits. */
  #take(): Buffer {
    const room = PIECE_BYTES - this.#writingBytes;
    const frame = this.#queue[0]!;
    const piece = frame.subarray(this.#begun, this.#begun + room);
    this.#begun += piece.length;
    if (this.#begun === frame.length) {
      this.#begun = 0;
      this.#going.push(this.#queue.shift()!);
    }
    this.#queuedBytes -= piece.length;
    this.#writingBytes += piece.length;
    return piece;
  }

  /** All that was handed over has gone. */
  readonly #written = (error?: Error | null): void => {
    if (this.#state === "over") return;
    // The wire tells its owner why.
    if (error) {
      this.discard();
      return;
    }
    this.#writingBytes = 0;
    for (const frame of this.#going) giveBack(frame);
    this.#going = [];
    this.#stillTicks = 0;
    if (this.#queue.length > 0 || this.#state === "ending") this.#flush();
  };

  #finish(): void {
    this.#wire.end();
    this.discard();
  }

  #drop(reason: DropReason): void {
    this.#wire.destroy();
    this.discard();
    this.#onDrop(reason);
  }
}
