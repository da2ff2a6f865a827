/** Shows whoever has never seen a handset what to press next, from what the displays show. Pure. */

export interface Seen {
  /** As the handset calls it. @see Screen in the firmware */
  screen: string;
  speaking: boolean;
  /** In a call: it asks whether the five numbers are the same. */
  asks: boolean;
}

type Press = "connect" | "call" | "hang-up" | "voice" | undefined;

const NOT_CONNECTED = ["", "off", "refused"];
/** On the way there by itself. */
const WAITING = ["starting", "making-key", "connecting", "lost"];

/**
 * @param seen handsets as they stand on the page
 * @returns which of the five things to do it is (5: all done), and the key to press on each handset
 */
export function nextPress(seen: readonly Seen[]): { step: number; presses: Press[] } {
  const on = (...screens: string[]): boolean => seen.some(({ screen }) => screens.includes(screen));
  const press = (of: (one: Seen) => Press): Press[] => seen.map(of);
  const first = (screen: string, key: Press): Press[] => {
    const at = seen.findIndex((one) => one.screen === screen);
    return seen.map((_, index) => (index === at ? key : undefined));
  };
  if (on("ended")) return { step: 5, presses: [] };
  if (on("in-call")) {
    const spoke = seen.some(({ speaking }) => speaking);
    if (seen.some(({ asks }) => asks)) return { step: 3, presses: press(({ asks }) => (asks ? "call" : undefined)) };
    return { step: spoke ? 4 : 3, presses: spoke ? first("in-call", "hang-up") : first("in-call", "voice") };
  }
  if (on("incoming")) return { step: 2, presses: first("incoming", "call") };
  if (on("dialling", "ringing-out", "answering")) return { step: 2, presses: [] };
  if (seen.filter(({ screen }) => ![...NOT_CONNECTED, ...WAITING].includes(screen)).length < 2) {
    return { step: 0, presses: press(({ screen }) => (NOT_CONNECTED.includes(screen) ? "connect" : undefined)) };
  }
  if (on("dial")) return { step: 1, presses: first("dial", "call") };
  if (on("phonebook")) return { step: 1, presses: first("phonebook", "call") };
  return { step: 1, presses: first("verified", "call") };
}
