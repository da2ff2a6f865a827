/** `make pictures`: the pictures of docs/pictures/, from a real household in a real browser. */
import { mkdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { type OnPage, Stage, type Visit } from "./stage.ts";

const FOLDER = join(import.meta.dirname, "../../docs/pictures");
const MOST_BYTES = 200_000;
/** Lights, meters and clocks come to rest. */
const REST_MS = 700;

mkdirSync(FOLDER, { recursive: true });
const stage = await Stage.open();
try {
  const visit = await stage.visit({ width: 1200, height: 844 });
  const [anna, berta] = [visit.handset("anna"), visit.handset("berta")];
  await Promise.all([anna.shows("off"), berta.shows("off")]);
  await take(visit, anna, "1-not-connected");
  await anna.press("connect");
  await anna.shows("verified");
  await berta.press("connect");
  await berta.shows("verified");
  await take(visit, anna, "2-verified");
  await anna.press("call");
  await anna.shows("phonebook");
  await take(visit, anna, "3-phonebook");
  await anna.press("call");
  await berta.shows("incoming");
  await take(visit, anna, "4-calling");
  await take(visit, berta, "5-incoming");
  await berta.press("call");
  await Promise.all([anna.shows("in-call"), berta.shows("in-call")]);
  await take(visit, anna, "6-same-numbers");
  for (const handset of [anna, berta]) await handset.press("call");
  await anna.speakForMe();
  await new Promise((resolve) => setTimeout(resolve, 2_500));
  await take(visit, anna, "7-in-call");
  await whole(visit, "page");
  await anna.speakForMe();
  await berta.press("hang-up");
  await Promise.all([anna.shows("ended"), berta.shows("ended")]);
  await take(visit, anna, "8-keys-erased");
} finally {
  await stage.close();
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
