/** The page of one handset: `feldfon-handset --board laptop`. */
import { element, lettering } from "./dom.ts";
import { HandsetOnPage } from "./handset.ts";
import { onKeyboard } from "./keyboard.ts";
import { PageSound } from "./sound.ts";
import { HANDSET_TEXTS, preferredLanguage } from "./texts.ts";

await lettering();
const language = preferredLanguage();
const texts = HANDSET_TEXTS[language];
document.documentElement.lang = language;

const handset = new HandsetOnPage({
  name: "Feldfon",
  path: "/line",
  token: location.hash.slice(1),
  language,
  sound: new PageSound(),
});
const help = texts.help.map(([keys, what]) => element("span", {}, element("kbd", {}, keys), ` ${what}`));
document.querySelector("main")!.append(handset.root, element("p", { class: "help" }, ...help));
handset.power("on");
onKeyboard(() => handset);
