/** How the server's process holds memory: Node's and V8's own measures are made for other programs. */
import { setFlagsFromString } from "node:v8";

/** Room for the keys of 2,048 busy lines at once; where less may be locked, lines take turns at unpacked keys. */
export const ARENA_BYTES = 32 * 2 ** 20;
/** Node's own 64 KiB are held as a whole by the least piece that somebody keeps. */
const POOL_BYTES = 8 * 1024;
/**
 * How far the heap may grow above what lives before all of it is collected: by as many bytes however many lines there
 * are. By V8's own measure, a share of what lives, a small server collected its heap every 90 calls, and one that holds
 * a thousand lines would hold their garbage too.
 */
const GARBAGE_BYTES = 64 * 2 ** 20;
/** What lives without any line, and with each. */
const LEAST_BYTES = 14 * 2 ** 20;
const LINE_BYTES = 9 * 1024;

export class ProcessMemory {
  #heapGrowingPercent = 0;

  constructor() {
    Buffer.poolSize = POOL_BYTES;
    this.fit(0);
  }

  /** @param lines that are here now */
  fit(lines: number): void {
    const percent = Math.round((100 * GARBAGE_BYTES) / (LEAST_BYTES + lines * LINE_BYTES));
    if (percent === this.#heapGrowingPercent) return;
    this.#heapGrowingPercent = percent;
    setFlagsFromString(`--heap-growing-percent=${percent}`);
  }
}
