/** The handset's four keys: connect, call (answer, OK), hang up (back, reject), update. */
export const BUTTONS = ["connect", "call", "hang-up", "update"] as const;

export type Button = (typeof BUTTONS)[number];

/** The keys as the firmware sees them: debounced, named, without pins. */
export interface Buttons {
  /** Once for each press, as the key goes down, in the order of the presses. */
  onPress(listener: (button: Button) => void): void;
  /** Releases the lines; no press is reported any more. Closing twice is harmless. */
  close(): void;
}
