/** `make pictures`: the pictures of docs/pictures/, from a real household in a real browser. */
import { mkdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { type OnPage, Stage, until, type Visit } from "./stage.ts";

const FOLDER = join(import.meta.dirname, "../../docs/pictures");
const MOST_BYTES = 220_000;
/** Lights, meters and clocks come to rest. */
const REST_MS = 700;
const DESK = { width: 1200, height: 890 };
/** Connect is over in a blink: the line stalls as soon as the display shows a step done. */
const STALL_ON_THE_WAY = `{
  const handset = document.querySelector('[data-handset="anna"]');
  const stall = handset.closest(".place").querySelector("[data-wire=stalled]");
  const observer = new MutationObserver(() => {
    if ((JSON.parse(handset.dataset.facts).steps?.length ?? 0) < 1) return;
    observer.disconnect();
    stall.click();
  });
  observer.observe(handset, { attributeFilter: ["data-facts"] });
}`;

mkdirSync(FOLDER, { recursive: true });
const stage = await Stage.open();
try {
  const visit = await stage.visit(DESK);
  const [anna, berta] = [visit.handset("anna"), visit.handset("berta")];
  await Promise.all([anna.shows("off"), berta.shows("off")]);
  await take(visit, anna, "1-not-connected");
  await onTheWay(visit, anna);
  await take(visit, anna, "2-connecting");
  await visit.place("anna").locator("[data-wire=open]").click();
  await anna.shows("verified");
  await take(visit, anna, "3-verified");
  await berta.press("connect");
  await berta.shows("verified");
  await visit.page.locator("#filter").selectOption("berta");
  await ladder(visit, "ladder-connect");
  await visit.page.locator("#filter").selectOption("");
  await anna.press("call");
  await anna.shows("phonebook");
  await take(visit, anna, "4-phonebook");
  await anna.press("call");
  await berta.shows("incoming");
  await take(visit, anna, "5-it-rings");
  await take(visit, berta, "6-incoming");
  await berta.press("call");
  await Promise.all([anna.shows("in-call"), berta.shows("in-call")]);
  await take(visit, anna, "7-same-numbers");
  for (const handset of [anna, berta]) await handset.press("call");
  await anna.speakForMe();
  await new Promise((resolve) => setTimeout(resolve, 2_500));
  await take(visit, anna, "8-in-call");
  await whole(visit, "page");
  await anna.speakForMe();
  await berta.press("hang-up");
  await Promise.all([anna.shows("ended"), berta.shows("ended")]);
  await take(visit, anna, "9-keys-erased");
  await ladder(visit, "ladder-call");
  await anna.press("hang-up");
  await anna.press("update");
  await anna.shows("updated");
  await take(visit, anna, "10-updated");
  const alone = await stage.alone("dora");
  const dora = alone.handset("Feldfon");
  await dora.shows("pin-choose");
  for (const pin of ["402917", "402917"]) await dora.type(pin);
  await dora.shows("pin-duress");
  await take(alone, dora, "11-pin-that-erases");
  await dora.press("hang-up");
  await dora.shows("off");
  await dora.press("hang-up");
  await dora.shows("pin");
  for (const digit of "4029") await dora.press(digit);
  await take(alone, dora, "12-pin");
  const narrow = await stage.visit({ width: 390, height: 844, colourScheme: "dark" });
  await narrow.handset("anna").shows("updated");
  await whole(narrow, "page-narrow");
} finally {
  await stage.close();
}

/** In the middle of connect, held by a dead spot; a line that was faster than the dead spot is taken down again. */
async function onTheWay(visit: Visit, handset: OnPage): Promise<void> {
  const place = visit.place(handset.name);
  for (let tries = 0; tries < 20; tries++) {
    await visit.page.evaluate(STALL_ON_THE_WAY);
    await handset.press("connect");
    await until("the dead spot", async () => (await place.getAttribute("data-wire")) === "stalled");
    if ((await handset.screen()) === "connecting") return;
    await place.locator("[data-wire=open]").click();
    for (const key of ["hang-up", "call"]) await handset.press(key);
    await handset.shows("off");
  }
  throw new Error("every line was faster than its dead spot");
}

/** What passed, as the ladder shows it. */
async function ladder(visit: Visit, name: string): Promise<void> {
  await visit.page.setViewportSize({ width: 1_440, height: 1_200 });
  await until("every message to arrive", async () => (await visit.page.locator(".arrow.under-way").count()) === 0);
  await new Promise((resolve) => setTimeout(resolve, REST_MS));
  await kept(name, (path) => visit.page.locator("#ladder").screenshot({ path, animations: "disabled" }));
  await visit.page.setViewportSize(DESK);
}

/** One handset. */
async function take(visit: Visit, handset: OnPage, name: string): Promise<void> {
  await visit.page.mouse.move(2, 2);
  await new Promise((resolve) => setTimeout(resolve, REST_MS));
  await kept(name, (path) => handset.root.screenshot({ path, animations: "disabled" }));
}

async function whole(visit: Visit, name: string): Promise<void> {
  await visit.page.evaluate("document.activeElement.blur(); scrollTo(0, 0)");
  await kept(name, (path) => visit.page.screenshot({ path, animations: "disabled" }));
}

/** Pictures live in the repository for good: small ones only. */
async function kept(name: string, shoot: (path: string) => Promise<unknown>): Promise<void> {
  const path = join(FOLDER, `${name}.png`);
  await shoot(path);
  const { size } = statSync(path);
  process.stdout.write(`docs/pictures/${name}.png  ${size} bytes\n`);
  if (size > MOST_BYTES) throw new Error(`${name}.png has ${size} bytes, at most ${MOST_BYTES} are kept`);
}
