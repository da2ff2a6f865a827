/** How the server's process holds memory: Node's and V8's own measures are made for other programs. */
import { setFlagsFromString } from "node:v8";

/** Room for the keys of 2,048 busy lines at once; where less may be locked, lines take turns at unpacked keys. */
export const ARENA_BYTES = 32 * 2 ** 20;
/** Node's own 64 KiB are held as a whole by the least piece that somebody keeps. */
const POOL_BYTES = 8 * 1024;
/**
 * How far the heap may grow above what lives before all of it is collected, with so many lines. A server's heap is small
 * (16 MB for a hundred handsets) and V8's own measure collected it every 90 calls, which cost a sixth of each. With more
 * lines it may grow by as many bytes, not by as many per cent: garbage holds memory that never goes back.
 */
const HEAP_GROWING_PERCENT = 400;
const HEAP_GROWING_LINES = 100;
const LEAST_HEAP_GROWING_PERCENT = 20;

export class ProcessMemory {
  #heapGrowingPercent = 0;

  constructor() {
    Buffer.poolSize = POOL_BYTES;
    this.fit(0);
  }

  /** @param lines that are here now */
  fit(lines: number): void {
    const share = (HEAP_GROWING_PERCENT * HEAP_GROWING_LINES) / Math.max(lines, HEAP_GROWING_LINES);
    const percent = Math.max(LEAST_HEAP_GROWING_PERCENT, Math.round(share));
    if (percent === this.#heapGrowingPercent) return;
    this.#heapGrowingPercent = percent;
    setFlagsFromString(`--heap-growing-percent=${percent}`);
  }
}
