/**
 * The page of a household: one WebSocket for what happens and what is asked for, and one for each handset, passed on to
 * the handset's own page. A slow browser slows its own handset socket down, and there nothing is kept that can be left.
 */
import { type LocalPage, openLocalPage, textOf } from "@feldfon/hw/board/local-page";
import { WebSocket } from "ws";
import type { Household } from "./household.ts";
import { parseOrder, type ToBrowser } from "./page/messages.ts";

const MOST_WAITING_BYTES = 256 * 1024;
const LOOK_AGAIN_MS = 20;
/** What a page says before its handset's socket is open: that it listens. */
const MOST_EARLY = 20;

/** @param port the first one tried; the next nine, then any */
export function openHouseholdPage(household: Household, port: number): Promise<LocalPage> {
  return openLocalPage({
    ports: port === 0 ? [0] : [...Array.from({ length: 10 }, (_, at) => port + at), 0],
    folders: new Map([
      ["/", new URL("./page/", import.meta.url)],
      ["/handset/", new URL("../hw/board/page/", import.meta.url)],
    ]),
    onVisitor: (browser, path) => {
      const [, name] = /^\/handset\/([a-z]+)$/.exec(path) ?? [];
      if (name) join(browser, household.pageOf(name));
      else if (path === "/household") show(browser, household);
      else browser.close();
    },
  });
}

function show(browser: WebSocket, household: Household): void {
  const say = (message: ToBrowser): void => {
    // It can open the page again; what it has missed comes then.
    if (browser.bufferedAmount > 16 * MOST_WAITING_BYTES) browser.terminate();
    else browser.send(JSON.stringify(message));
  };
  const shown = (): void => {
    say({ say: "household", server: household.server, handsets: household.handsets, mayAdd: household.mayAdd });
  };
  const leave = [household.onChange(shown), household.onLadder((items) => say({ say: "ladder", items }))];
  browser.on("close", () => {
    for (const left of leave) left();
  });
  browser.on("message", (data, isBinary) => {
    const order = isBinary ? undefined : parseOrder(textOf(data));
    if (!order) return;
    household.obey(order).catch((error: Error) => {
      process.stderr.write(`feldfon-simulator: ${error.message}\n`);
    });
  });
  shown();
  say({ say: "ladder", items: household.ladder });
}

/** Both ways, message by message, until either end goes. */
function join(browser: WebSocket, page: URL | undefined): void {
  if (!page) return browser.close();
  const handset = new WebSocket(`ws://${page.host}/line`, { origin: page.origin, perMessageDeflate: false });
  const early: [data: Buffer, binary: boolean][] = [];
  handset.on("open", () => {
    handset.send(JSON.stringify({ do: "enter", token: page.hash.slice(1) }));
    for (const [data, binary] of early.splice(0)) handset.send(data, { binary });
  });
  browser.on("message", (data, binary) => {
    if (handset.readyState === WebSocket.OPEN && handset.bufferedAmount < MOST_WAITING_BYTES)
      handset.send(data, { binary });
    else if (handset.readyState === WebSocket.CONNECTING && early.length < MOST_EARLY)
      early.push([data as Buffer, binary]);
  });
  handset.on("message", (data, binary) => {
    browser.send(data, { binary });
    if (browser.bufferedAmount > MOST_WAITING_BYTES) wait();
  });
  const wait = (): void => {
    handset.pause();
    setTimeout(() => {
      if (browser.bufferedAmount > MOST_WAITING_BYTES && browser.readyState === WebSocket.OPEN) wait();
      else handset.resume();
    }, LOOK_AGAIN_MS);
  };
  handset.on("error", () => browser.close());
  handset.on("close", () => browser.close());
  browser.on("close", () => handset.close());
}
