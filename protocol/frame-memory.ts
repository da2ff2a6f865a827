/**
 * Memory of long frames, used again and again: a directory goes to everyone in frames of the same size, and memory that
 * is fresh for each of them costs a page fault every 4 KiB.
 *
 *     takeFrame --> sealed in its place, sent --> giveBack --> takeFrame ..      who never gives back leaves it to the collector
 */

/** A shorter one comes from Node's own pool. */
const SHORTEST_BYTES = 8 * 1024;
const LONGEST_BYTES = 1024 * 1024;
/** Of all that waits to be taken again. */
const KEPT_BYTES = 16 * 1024 * 1024;

/** By length: a power of two. */
const kept = new Map<number, Buffer[]>();
let keptBytes = 0;

/** @returns `bytes` bytes that hold anything */
export function takeFrame(bytes: number): Buffer {
  if (bytes < SHORTEST_BYTES || bytes > LONGEST_BYTES) return Buffer.allocUnsafe(bytes);
  const length = 2 ** Math.ceil(Math.log2(bytes));
  const memory = kept.get(length)?.pop();
  if (memory) keptBytes -= length;
  return (memory ?? Buffer.allocUnsafeSlow(length)).subarray(0, bytes);
}

/** Once, by whoever read it last. Memory of another shape is left to the collector. */
export function giveBack(frame: Buffer): void {
  const { buffer, byteOffset, length: bytes } = frame;
  const length = buffer.byteLength;
  const taken =
    byteOffset === 0 && bytes >= SHORTEST_BYTES && bytes > length / 2 && Number.isInteger(Math.log2(length));
  if (!taken || length > LONGEST_BYTES || keptBytes + length > KEPT_BYTES) return;
  const memory = Buffer.from(buffer);
  const same = kept.get(length);
  if (same) same.push(memory);
  else kept.set(length, [memory]);
  keptBytes += length;
}
