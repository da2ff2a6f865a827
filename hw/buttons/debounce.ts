/** A contact that is made or broken bounces for a few milliseconds; this long it is not believed again. */
export const QUIET_MS = 30;

/**
 * Makes presses of a contact's edges. The first closing edge after quiet is a press at once, so that nobody waits;
 * whatever follows within `QUIET_MS` of another edge is bounce.
 *
 *     contact  ____|""|_|"""""""""""|_|"|______
 *     press        ^    bounce        bounce
 */
export class Debounce {
  #lastEdgeMs = Number.NEGATIVE_INFINITY;

  /** @param nowMs a clock that never goes back @returns `true` when this edge is a press */
  edge(closed: boolean, nowMs: number): boolean {
    const quiet = nowMs - this.#lastEdgeMs >= QUIET_MS;
    this.#lastEdgeMs = nowMs;
    return quiet && closed;
  }
}
