/** The number pad's twelve keys, as printed on them. */
export const NUMPAD_KEYS = ["1", "2", "3", "4", "5", "6", "7", "8", "9", "*", "0", "#"] as const;

export type NumpadKey = (typeof NUMPAD_KEYS)[number];

/** The number pad as the firmware sees it: debounced, without rows and columns. */
export interface Numpad {
  /** Once for each press, as the key goes down, in the order of the presses. */
  onKey(listener: (key: NumpadKey) => void): void;
  /** No key is reported any more. Closing twice is harmless. */
  close(): void;
}

/** What comes from outside is a key or it is not. */
export function isNumpadKey(text: string): text is NumpadKey {
  return (NUMPAD_KEYS as readonly string[]).includes(text);
}
