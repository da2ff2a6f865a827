/** The page of `make run`: handsets one presses, the ladder of what passes between them, and what may happen to them. */
import { element, lettering } from "@feldfon/hw/board/page/dom";
import { HandsetOnPage } from "@feldfon/hw/board/page/handset";
import { onKeyboard } from "@feldfon/hw/board/page/keyboard";
import { PageSound } from "@feldfon/hw/board/page/sound";
import { HANDSET_TEXTS, LANGUAGES, type Language, preferredLanguage } from "@feldfon/hw/board/page/texts";
import { nextPress } from "./coach.ts";
import { LadderView } from "./ladder-view.ts";
import type { HandsetShown, Order, ServerShown, ToBrowser, WireState } from "./messages.ts";
import { filled, PAGE_TEXTS } from "./texts.ts";

const LANGUAGE_NAMES: Readonly<Record<Language, string>> = { en: "English", de: "Deutsch", zh: "中文" };
const WIRES: readonly (readonly [WireState, "restore" | "stall" | "cut"])[] = [
  ["open", "restore"],
  ["stalled", "stall"],
  ["cut", "cut"],
];
const KEPT_LANGUAGE = "feldfon-language";
const TONES_HZ = [440, 660, 880, 1000];
const RETRY_MS = 1_000;
const COACHED = 5;

await lettering();
const token = location.hash.slice(1);
const kept = sessionStorage.getItem(KEPT_LANGUAGE);
const language = LANGUAGES.find((known) => known === kept) ?? preferredLanguage();
const texts = PAGE_TEXTS[language];
const handsetTexts = HANDSET_TEXTS[language];
document.documentElement.lang = language;

const part = (id: string): HTMLElement => document.querySelector<HTMLElement>(`#${id}`)!;
const sound = new PageSound();
const ladder = new LadderView(part("ladder"), texts, language);
/** A handset and what may be done to it. */
interface Place {
  handset: HandsetOnPage;
  root: HTMLElement;
  wires: Map<WireState, HTMLButtonElement>;
  language: HTMLSelectElement;
  kill: HTMLButtonElement;
  start: HTMLButtonElement;
}
/** In the order they are shown. */
const places = new Map<string, Place>();
let meant: HandsetOnPage | undefined;
let socket: WebSocket | undefined;
/** The first call of this visit is over: nobody needs to be shown what to press. */
let coached = false;

const order = (what: Order): void => {
  if (socket?.readyState === WebSocket.OPEN) socket.send(JSON.stringify(what));
};

/* ---- top: what this is, the server, what to do first ---- */

const serverState = element("span", { class: "state", role: "status" });
const serverFacts = element("span", { class: "facts" });
const kill = element("button", { type: "button", class: "quiet", id: "kill-server" }, texts.kill);
const start = element("button", { type: "button", class: "strong", id: "start-server" }, texts.start);
const add = element("button", { type: "button", class: "quiet", id: "add" }, `+ ${texts.add}`);
kill.addEventListener("click", () => order({ do: "kill-server" }));
start.addEventListener("click", () => order({ do: "start-server" }));
add.addEventListener("click", () => order({ do: "add" }));
const languages = LANGUAGES.map((known) => element("option", { value: known }, LANGUAGE_NAMES[known]));
const choice = element("select", { "aria-label": texts.language }, ...languages);
choice.value = language;
choice.addEventListener("change", () => {
  sessionStorage.setItem(KEPT_LANGUAGE, choice.value);
  location.reload();
});
const coach = element(
  "ol",
  { class: "coach" },
  ...texts.coach.map((_, at) => element("li", { "data-number": at + 1 })),
);
let keysNamed: Language | undefined;
part("top").append(
  element("div", { class: "brand" }, element("h1", {}, texts.title), element("p", {}, texts.about), choice),
  element(
    "div",
    { class: "server", role: "group", "aria-label": texts.server },
    element("b", {}, texts.server),
    serverState,
    serverFacts,
    kill,
    start,
    add,
  ),
  coach,
);
const help = [...handsetTexts.help, ["s", texts.switchTo] as const];
part("help").append(...help.map(([keys, what]) => element("span", {}, element("kbd", {}, keys), ` ${what}`)));

function showServer(server: ServerShown): void {
  const { running, port, fingerprint, epoch, rows, seedRoot, protection } = server;
  serverState.textContent = running ? texts.serverState.running : texts.serverState.down;
  serverState.classList.toggle("down", !running);
  const facts = [
    `${texts.port} ${port}`,
    ...(epoch === undefined ? [] : [`${texts.epoch} ${epoch}`]),
    ...(rows === undefined ? [] : [`${rows} ${texts.rows}`]),
    ...(seedRoot === undefined ? [] : [`${texts.root} ${grouped(seedRoot)}`]),
    ...(protection === undefined ? [] : [`${texts.vault} ${texts.protection[protection] ?? protection}`]),
  ];
  serverFacts.textContent = facts.join(" · ");
  serverFacts.title = fingerprint;
  offer(running, kill, start);
}

/** One of the two can be pressed. Whoever pressed it by keyboard stands at the other one then. */
function offer(running: boolean, kill: HTMLButtonElement, start: HTMLButtonElement): void {
  const [shown, hidden] = running ? [kill, start] : [start, kill];
  const stood = document.activeElement === hidden;
  [shown.hidden, hidden.hidden] = [false, true];
  if (stood) shown.focus();
}

function grouped(root: string): string {
  return root.slice(0, 16).replace(/(.{4})(?=.)/g, "$1 ");
}

/* ---- handsets ---- */

function showHandsets(handsets: readonly HandsetShown[]): void {
  for (const [name, { handset, root }] of places) {
    if (handsets.some((shown) => shown.name === name)) continue;
    handset.close();
    root.remove();
    places.delete(name);
    if (meant === handset) mean([...places.values()][0]?.handset);
  }
  for (const { name, language } of handsets) if (!places.has(name)) place(name, language);
  for (const { name, power, wire, language: spoken } of handsets) {
    const { handset, root, wires, language, kill, start } = places.get(name)!;
    root.dataset.wire = wire;
    root.dataset.power = power;
    for (const [state, button] of wires) button.ariaPressed = String(state === wire);
    if (document.activeElement !== language) language.value = spoken;
    offer(power !== "off", kill, start);
    handset.power(power);
  }
}

function place(name: string, spoken: Language): void {
  const handset = new HandsetOnPage({
    name,
    path: `/handset/${name}`,
    token,
    language: spoken,
    sound,
    toneHz: TONES_HZ[places.size % TONES_HZ.length]!,
    onMicrophone: (opened) => {
      for (const other of places.values()) if (other.handset !== opened) other.handset.shutMicrophone();
    },
    onScreen: showCoach,
  });
  const wires = new Map<WireState, HTMLButtonElement>();
  for (const [state, what] of WIRES) {
    const button = element("button", {
      type: "button",
      "aria-pressed": "false",
      title: texts.wireHints[state],
      "data-wire": state,
    });
    button.append(texts.wires[state]);
    button.addEventListener("click", () => order({ do: what, handset: name }));
    wires.set(state, button);
  }
  const action = (what: "kill" | "start" | "remove", text: string, look: string): HTMLButtonElement => {
    const made = element("button", { type: "button", class: look, "aria-label": `${text}: ${name}` }, text);
    made.dataset.order = what;
    made.addEventListener("click", () => order({ do: what, handset: name }));
    return made;
  };
  const kill = action("kill", texts.kill, "quiet");
  const start = action("start", texts.start, "strong");
  const spokenHere = filled(texts.displayOf, { name });
  const options = LANGUAGES.map((known) => element("option", { value: known, lang: known }, LANGUAGE_NAMES[known]));
  const languageOf = element("select", { "aria-label": spokenHere, title: spokenHere }, ...options);
  languageOf.value = spoken;
  languageOf.addEventListener("change", () => {
    order({ do: "speak", handset: name, language: languageOf.value as Language });
  });
  const group = element(
    "div",
    { class: "wires", role: "group", "aria-label": filled(texts.wireOf, { name }) },
    ...wires.values(),
  );
  const remove = action("remove", texts.remove, "quiet");
  const root = element(
    "div",
    { class: "place" },
    handset.root,
    element(
      "div",
      { class: "below", role: "group", "aria-label": filled(texts.doTo, { name }) },
      group,
      languageOf,
      kill,
      start,
      remove,
    ),
  );
  for (const touched of ["pointerdown", "focusin"]) root.addEventListener(touched, () => mean(handset));
  part("handsets").append(root);
  places.set(name, { handset, root, wires, language: languageOf, kill, start });
  if (!meant) mean(handset);
}

/** Keys of the keyboard go to this one. */
function mean(handset: HandsetOnPage | undefined): void {
  meant = handset;
  for (const { handset: other } of places.values()) other.root.classList.toggle("meant", other === handset);
}

function switchOver(): void {
  const all = [...places.values()];
  const at = all.findIndex(({ handset }) => handset === meant);
  const other = all[(at + 1) % all.length]?.handset;
  mean(other);
  other?.root.querySelector<HTMLElement>(".key")?.focus();
}

/** Keys are named as they stand on the handsets: on the first one, where they differ. */
function nameKeys(spoken: Language = language): void {
  if (spoken === keysNamed) return;
  keysNamed = spoken;
  const { "hang-up": hangUp, ...keys } = HANDSET_TEXTS[spoken].keys;
  for (const [at, line] of [...coach.children].entries()) {
    line.textContent = filled(texts.coach[at]!, { ...keys, hangUp });
  }
}

/** Whoever sees this for the first time is shown the next key, until the first call is over. */
function showCoach(): void {
  const all = [...places.values()].map(({ handset }) => handset);
  const first = nextPress(
    all.map(({ screen, speaking, facts }) => ({
      screen,
      speaking,
      asks: screen === "in-call" && facts.view === "numbers",
    })),
  );
  coached ||= first.step === COACHED;
  const { step, presses } = coached ? { step: COACHED, presses: [] } : first;
  for (const [at, handset] of all.entries()) handset.suggest(presses[at]);
  for (const [at, line] of [...coach.children].entries()) {
    line.classList.toggle("done", at < step);
    line.classList.toggle("now", at === step);
  }
}

onKeyboard(() => meant);
document.addEventListener("keydown", (event) => {
  if (event.key !== "s" || event.ctrlKey || event.altKey || event.metaKey) return;
  if (!(event.target as Element).closest("input, select, textarea")) switchOver();
});

/* ---- the simulator ---- */

function connect(): void {
  const opened = new WebSocket(`ws://${location.host}/household`);
  opened.onopen = () => {
    opened.send(JSON.stringify({ do: "enter", token }));
    part("lost").hidden = true;
  };
  opened.onmessage = ({ data }) => {
    const message = JSON.parse(data as string) as ToBrowser;
    if (message.say === "ladder") {
      ladder.add(message.items);
      return;
    }
    showServer(message.server);
    showHandsets(message.handsets);
    nameKeys(message.handsets[0]?.language);
    ladder.parties(message.handsets);
    add.disabled = !message.mayAdd;
    showCoach();
  };
  opened.onclose = () => {
    part("lost").textContent = texts.gone;
    part("lost").hidden = false;
    setTimeout(connect, RETRY_MS);
  };
  socket = opened;
}

connect();
