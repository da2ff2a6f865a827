/**
 * One handset on a page: a thing one presses. It draws what the handset shows and passes on what is pressed and said;
 * what happens is decided in the handset.
 */
import { element, icon } from "./dom.ts";
import { HandsetSound, type PageSound, type Reading } from "./sound.ts";
import { HANDSET_TEXTS, type HandsetTexts, LANGUAGES, type Language } from "./texts.ts";
import { type CaptionMessage, type FromPage, HEAD_BYTES, PICTURE, SOUND, SOUND_BYTES, type ToPage } from "./wire.ts";

export type ButtonName = "connect" | "call" | "hang-up" | "update";

const BUTTONS: readonly ButtonName[] = ["connect", "call", "hang-up", "update"];
const PAD = ["1", "2", "3", "4", "5", "6", "7", "8", "9", "*", "0", "#"] as const;
const LETTERS: Readonly<Record<string, string>> = {
  "2": "abc",
  "3": "def",
  "4": "ghi",
  "5": "jkl",
  "6": "mno",
  "7": "pqrs",
  "8": "tuv",
  "9": "wxyz",
};
const TONES_HZ = [440, 660, 880, 1000] as const;

const ICONS: Readonly<Record<ButtonName | "microphone" | "voice" | "volume", string>> = {
  connect: "M9 7V3H7v4H5v5a5 5 0 0 0 4 4.9V21h2v-4.1a5 5 0 0 0 4-4.9V7h-2V3h-2v4zm9 1 3 3-3 3v-2h-2v-2h2z",
  call: "M6.6 3 9 3.6l1 4.6-2.2 1.7a13 13 0 0 0 6.3 6.3l1.7-2.2 4.6 1 .6 2.4V21A18 18 0 0 1 3 3z",
  "hang-up":
    "M12 8.5c-4 0-7.600 1.200-10 3.300v3.700l4.500.7 1-3.600a14 14 0 0 1 9 0l1 3.600 4.500-.7v-3.700c-2.400-2.100-6-3.300-10-3.300z",
  update: "M12 4a8 8 0 0 1 7.400 5H21l-3.500 4L14 9h3.200A6 6 0 1 0 18 12h2a8 8 0 1 1-8-8z",
  microphone:
    "M12 3a3 3 0 0 1 3 3v5a3 3 0 0 1-6 0V6a3 3 0 0 1 3-3zm-6 8h2a4 4 0 0 0 8 0h2a6 6 0 0 1-5 5.900V21h-2v-4.100A6 6 0 0 1 6 11z",
  voice: "M4 9h4l5-4v14l-5-4H4zm11.500 0a4 4 0 0 1 0 6zm1.500-4a8 8 0 0 1 0 14l-1-1.800a6 6 0 0 0 0-10.400z",
  volume: "M4 9h4l5-4v14l-5-4H4zm11.500 0a4 4 0 0 1 0 6z",
};

/** Keys of a keyboard, as the help line names them. */
const KEYBOARD: Readonly<Record<string, ButtonName>> = {
  n: "connect",
  c: "call",
  Enter: "call",
  h: "hang-up",
  Escape: "hang-up",
  u: "update",
};

const METER_MS = 100;
/** Full bar at 0 dB, none at this. */
const QUIETEST_DB = -50;
const RETRY_MS = 1_000;

/** Whether there is a handset behind this one, and whether it has come up. */
export type Power = "starting" | "on" | "off";

export interface HandsetOptions {
  name: string;
  /** Of its WebSocket on this page's address. */
  path: string;
  token: string;
  /** Of what is written on it, until its display has spoken; then the display's. */
  language: Language;
  sound: PageSound;
  /** Its tone until somebody chooses another; handsets of a page differ. */
  toneHz?: number;
  /** A microphone is opened here: every other one of the page has to be shut, or they would hear each other. */
  onMicrophone?: (handset: HandsetOnPage) => void;
  /** Told when something else is shown, or said. */
  onScreen?: () => void;
}

export class HandsetOnPage {
  readonly root: HTMLElement;
  readonly name: string;
  readonly #options: HandsetOptions;
  #texts: HandsetTexts;
  readonly #canvas: HTMLCanvasElement;
  readonly #spoken: HTMLElement;
  readonly #led: HTMLElement;
  readonly #note: HTMLElement;
  readonly #keys = new Map<string, HTMLButtonElement>();
  readonly #microphone: HTMLButtonElement;
  readonly #speakForMe: HTMLButtonElement;
  readonly #tone: HTMLSelectElement;
  readonly #volume: HTMLInputElement;
  readonly #meters: { said: HTMLElement; heard: HTMLElement };
  readonly #metering: number;
  #socket: WebSocket | undefined;
  #sound: HandsetSound | undefined;
  #opening: Promise<HandsetSound> | undefined;
  #retry = 0;
  #closed = false;
  #power: Power = "starting";

  constructor(options: HandsetOptions) {
    this.name = options.name;
    this.#options = options;
    this.#texts = HANDSET_TEXTS[options.language];
    this.#canvas = element("canvas", { width: 320, height: 240, class: "display", role: "img" });
    this.#spoken = element("div", { class: "spoken", "aria-live": "polite", "aria-atomic": "true" });
    this.#led = element("span", { class: "led", role: "img", "data-colour": "off", "data-rhythm": "steady" });
    this.#note = element("p", { class: "note", role: "status" });
    this.#microphone = this.#switch("microphone", () => void this.toggleMicrophone());
    this.#speakForMe = this.#switch("voice", () => void this.toggleTone());
    const tones = TONES_HZ.map((hz) => element("option", { value: hz }, `${hz} Hz`));
    this.#tone = element("select", { class: "tone" }, ...tones);
    this.#tone.value = String(options.toneHz ?? TONES_HZ[0]);
    this.#tone.addEventListener(
      "change",
      () => this.#sound && this.#speaksTone() && this.#sound.tone(Number(this.#tone.value)),
    );
    this.#volume = element("input", { type: "range", min: 0, max: 100, value: 70 });
    this.#volume.addEventListener("input", () => this.#sound?.volume(Number(this.#volume.value) / 100));
    this.#meters = { said: meter(), heard: meter() };
    this.root = this.#build();
    this.#write(options.language);
    this.root.addEventListener("pointerdown", () => void this.#withSound());
    this.#metering = window.setInterval(() => this.#showMeters(), METER_MS);
    this.#dark();
  }

  /** Which screen is shown, as the handset calls it; "" while there is none. */
  get screen(): string {
    return this.root.dataset.screen ?? "";
  }

  /** What the screen states, for programs. */
  get facts(): Readonly<Record<string, unknown>> {
    return JSON.parse(this.root.dataset.facts ?? "{}") as Record<string, unknown>;
  }

  get speaking(): boolean {
    return this.#sound?.speaking ?? false;
  }

  /** Whoever put it on the page says when there is somebody to connect to. */
  power(power: Power): void {
    if (power === this.#power) return;
    this.#power = power;
    if (power === "on") this.#connect();
    else this.#dark();
  }

  /** Marks the key to press next; none without. */
  suggest(key: ButtonName | "voice" | undefined): void {
    for (const [id, button] of this.#keys) button.classList.toggle("next", id === key);
    this.#speakForMe.classList.toggle("next", key === "voice");
  }

  /** A key of the keyboard, when this handset is the one that is meant. @returns whether it was one of ours */
  type(key: string): boolean {
    const button = KEYBOARD[key];
    if (button) this.press(button);
    else if ((PAD as readonly string[]).includes(key)) this.key(key);
    else if (key === "m") void this.toggleMicrophone();
    else if (key === "t") void this.toggleTone();
    else return false;
    void this.#withSound();
    return true;
  }

  press(button: ButtonName): void {
    this.#send({ do: "press", button });
    this.#flash(button);
  }

  key(key: string): void {
    this.#send({ do: "key", key });
    this.#flash(key);
  }

  async toggleMicrophone(): Promise<void> {
    if (this.#microphone.ariaPressed === "true") return this.shutMicrophone();
    const sound = await this.#withSound();
    this.#options.onMicrophone?.(this);
    try {
      await sound.openMicrophone();
      this.#speakTone(false);
      this.#microphone.ariaPressed = "true";
      this.#note.textContent = "";
    } catch {
      this.#note.textContent = this.#texts.noMicrophone;
    }
    this.#send({ do: "speak", on: sound.speaking });
  }

  shutMicrophone(): void {
    this.#sound?.shutMicrophone();
    this.#microphone.ariaPressed = "false";
    if (this.#sound) this.#send({ do: "speak", on: this.#sound.speaking });
  }

  /** Says a tone in place of a person, so that two handsets of one page can be tried without a howl. */
  async toggleTone(): Promise<void> {
    await this.#withSound();
    this.#speakTone(!this.#speaksTone());
  }

  close(): void {
    this.#closed = true;
    window.clearInterval(this.#metering);
    window.clearTimeout(this.#retry);
    letGo(this.#socket);
    this.#sound?.close();
    this.root.remove();
  }

  #speaksTone(): boolean {
    return this.#speakForMe.ariaPressed === "true";
  }

  #speakTone(on: boolean): void {
    const sound = this.#sound!;
    this.#speakForMe.ariaPressed = String(on);
    if (on) this.shutMicrophone();
    sound.tone(on ? Number(this.#tone.value) : 0);
    this.#send({ do: "speak", on: sound.speaking });
    this.#options.onScreen?.();
  }

  /* ---- what it looks like ---- */

  #build(): HTMLElement {
    const { name } = this.#options;
    const keys = BUTTONS.map((button) =>
      this.#button(button, `key ${button}`, () => this.press(button), icon(ICONS[button]), element("span")),
    );
    const pad = PAD.map((key) =>
      this.#button(key, "digit", () => this.key(key), element("b", {}, key), element("small", {}, LETTERS[key] ?? "")),
    );
    return element(
      "section",
      { class: "handset", "data-handset": name, "data-screen": "" },
      element(
        "header",
        {},
        this.#led,
        element("h2", { lang: "" }, name),
        element("span", { class: "ear", "aria-hidden": "true" }),
      ),
      element("div", { class: "glass" }, this.#canvas, this.#spoken, this.#note),
      element("div", { class: "keys", role: "group" }, ...keys),
      element(
        "div",
        { class: "lower" },
        element("div", { class: "pad", role: "group" }, ...pad),
        element(
          "div",
          { class: "voice" },
          this.#microphone,
          this.#meters.said,
          element("div", { class: "say" }, this.#speakForMe, this.#tone),
          this.#meters.heard,
          element("label", { class: "volume" }, icon(ICONS.volume), this.#volume),
        ),
      ),
      element("div", { class: "mouth", "aria-hidden": "true" }),
    );
  }

  /** Everything that is written on it, in the language its display speaks. */
  #write(language: Language): void {
    const texts = HANDSET_TEXTS[language];
    const { root, name } = this;
    this.#texts = texts;
    root.lang = language;
    root.ariaLabel = `${texts.handset} ${name}`;
    for (const [id, button] of this.#keys) {
      const label = BUTTONS.find((known) => known === id);
      button.ariaLabel = label ? texts.keys[label] : ({ "*": texts.star, "#": texts.hash }[id] ?? id);
      if (label) button.lastElementChild!.textContent = texts.keys[label];
    }
    this.#canvas.ariaLabel = texts.display;
    root.querySelector(".keys")!.ariaLabel = texts.keysOf;
    root.querySelector(".pad")!.ariaLabel = texts.pad;
    this.#microphone.lastElementChild!.textContent = texts.microphone;
    this.#speakForMe.lastElementChild!.textContent = texts.speakForMe;
    this.#tone.ariaLabel = texts.tone;
    this.#volume.ariaLabel = texts.volume;
    this.#meters.said.ariaLabel = texts.said;
    this.#meters.heard.ariaLabel = texts.heard;
    for (const one of Object.values(this.#meters)) show(one, undefined, texts.silence);
    this.#writeLight();
    if (root.classList.contains("off")) this.#writeDark();
  }

  #writeLight(): void {
    const { colour = "off", rhythm = "steady" } = this.#led.dataset;
    const { light, colours, rhythms } = this.#texts;
    const how = colour === "off" ? "" : `, ${rhythms[rhythm] ?? rhythm}`;
    this.#led.ariaLabel = `${light}: ${colours[colour] ?? colour}${how}`;
  }

  #button(id: string, look: string, press: () => void, ...content: Node[]): HTMLButtonElement {
    const made = element("button", { type: "button", class: look, "data-key": id }, ...content);
    made.addEventListener("click", press);
    this.#keys.set(id, made);
    return made;
  }

  #switch(look: "microphone" | "voice", press: () => void): HTMLButtonElement {
    const made = element(
      "button",
      { type: "button", class: "switch", "aria-pressed": "false", "data-switch": look },
      icon(ICONS[look]),
      element("span"),
    );
    made.addEventListener("click", press);
    return made;
  }

  /** A key pressed by keyboard goes down on the page too. */
  #flash(key: string): void {
    const button = this.#keys.get(key);
    button?.classList.add("down");
    window.setTimeout(() => button?.classList.remove("down"), 120);
  }

  /* ---- what it is told ---- */

  #connect(): void {
    window.clearTimeout(this.#retry);
    if (this.#closed || this.#power !== "on") return;
    const socket = new WebSocket(`ws://${location.host}${this.#options.path}`);
    socket.binaryType = "arraybuffer";
    socket.onopen = () => {
      this.#send({ do: "enter", token: this.#options.token });
      this.#send({ do: "listen", on: this.#sound !== undefined });
      if (this.#sound?.speaking) this.#send({ do: "speak", on: true });
    };
    socket.onmessage = ({ data }) => {
      if (typeof data === "string") this.#told(JSON.parse(data) as ToPage);
      else this.#shown(data as ArrayBuffer);
    };
    socket.onclose = () => {
      if (this.#closed || socket !== this.#socket) return;
      this.#dark();
      this.#retry = window.setTimeout(() => this.#connect(), RETRY_MS);
    };
    letGo(this.#socket);
    this.#socket = socket;
  }

  /** Nothing of it is to be seen: it is off, or not there yet. */
  #dark(): void {
    this.root.classList.add("off");
    this.root.dataset.screen = "";
    this.root.dataset.facts = "{}";
    this.#spoken.replaceChildren();
    this.#paper.clearRect(0, 0, this.#canvas.width, this.#canvas.height);
    this.#led.dataset.colour = "off";
    this.#writeLight();
    this.#writeDark();
    this.#options.onScreen?.();
  }

  /** Asked for in one way only: a browser takes the first for all. */
  get #paper(): CanvasRenderingContext2D {
    return this.#canvas.getContext("2d", { willReadFrequently: true })!;
  }

  #writeDark(): void {
    this.#note.textContent = this.#power === "starting" ? this.#texts.starting : this.#texts.gone;
  }

  #send(message: FromPage): void {
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify(message));
  }

  #told(message: ToPage): void {
    switch (message.say) {
      case "hello":
        this.#canvas.width = message.width;
        this.#canvas.height = message.height;
        break;
      case "caption":
        this.root.classList.remove("off");
        this.#note.textContent = "";
        this.#speak(message.caption);
        break;
      case "light": {
        const { colour, rhythm } = message.light;
        this.#led.dataset.colour = colour;
        this.#led.dataset.rhythm = rhythm;
        this.#writeLight();
        break;
      }
      default:
        message satisfies never;
    }
  }

  /** The screen in words, for ears; a clock that only runs on is no news. */
  #speak({ name, lines, language, facts, ticking }: CaptionMessage): void {
    const written = LANGUAGES.find((known) => known === language);
    if (written && written !== this.root.lang) this.#write(written);
    this.root.dataset.screen = name;
    this.root.dataset.facts = JSON.stringify(facts);
    if (ticking) return;
    this.#spoken.replaceChildren(...lines.map((line) => element("p", {}, line)));
    this.#options.onScreen?.();
  }

  #shown(message: ArrayBuffer): void {
    const head = new DataView(message);
    if (head.getUint8(0) === SOUND) {
      this.#sound?.play(new Int16Array(message.slice(HEAD_BYTES)));
      return;
    }
    if (head.getUint8(0) !== PICTURE) return;
    const pixels = new Uint16Array(message, HEAD_BYTES);
    const image = new ImageData(this.#canvas.width, pixels.length / this.#canvas.width);
    const colours = new Uint32Array(image.data.buffer);
    for (let at = 0; at < pixels.length; at++) colours[at] = colourOf(pixels[at]!);
    this.#paper.putImageData(image, 0, head.getUint16(2, true));
  }

  /* ---- sound ---- */

  /** After a press: from now on this handset is heard. */
  #withSound(): Promise<HandsetSound> {
    this.#opening ??= this.#options.sound.open().then((context) => {
      this.#sound = new HandsetSound(context, (frame) => this.#say(frame));
      this.#sound.volume(Number(this.#volume.value) / 100);
      this.#send({ do: "listen", on: true });
      return this.#sound;
    });
    return this.#opening;
  }

  #say(frame: Int16Array): void {
    const socket = this.#socket;
    if (socket?.readyState !== WebSocket.OPEN || socket.bufferedAmount > 10 * SOUND_BYTES) return;
    const message = new Uint8Array(SOUND_BYTES);
    message[0] = SOUND;
    message.set(new Uint8Array(frame.buffer), HEAD_BYTES);
    socket.send(message);
  }

  #showMeters(): void {
    if (!this.#sound) return;
    const { said, heard } = this.#meters;
    const saidLevel = show(said, this.#sound.speaking ? this.#sound.readSaid() : undefined, this.#texts.silence);
    const heardLevel = show(heard, this.#sound.readHeard(), this.#texts.silence);
    // Ear and mouth of the handset glow with it.
    this.root.style.setProperty("--said", saidLevel.toFixed(2));
    this.root.style.setProperty("--heard", heardLevel.toFixed(2));
  }
}

/** RGB565 as a little-endian RGBA word; the low bits repeat the high ones, so that white is white. */
function colourOf(pixel: number): number {
  const [red, green, blue] = [pixel >> 11, (pixel >> 5) & 63, pixel & 31];
  const wide = [(red << 3) | (red >> 2), (green << 2) | (green >> 4), (blue << 3) | (blue >> 2)] as const;
  return (0xff000000 | (wide[2] << 16) | (wide[1] << 8) | wide[0]) >>> 0;
}

function meter(): HTMLElement {
  const attributes = {
    class: "meter",
    role: "meter",
    "aria-valuemin": QUIETEST_DB,
    "aria-valuemax": 0,
    "aria-valuenow": QUIETEST_DB,
  };
  return element("div", attributes, element("span", { class: "bar" }), element("span", { class: "reading" }));
}

/** @returns how much of the bar is full, 0..1 */
function show(meter: HTMLElement, reading: Reading | undefined, silence: string): number {
  const level = Math.max(QUIETEST_DB, reading?.levelDb ?? QUIETEST_DB);
  const pitch = reading ? Math.round(reading.pitchHz) : 0;
  const [bar, words] = meter.children as unknown as [HTMLElement, HTMLElement];
  const full = 1 - level / QUIETEST_DB;
  bar.style.setProperty("--level", `${Math.round(full * 100)}%`);
  const text = pitch === 0 ? silence : `${pitch} Hz, ${Math.round(level)} dB`;
  words.textContent = pitch === 0 ? meter.ariaLabel : `${meter.ariaLabel} ${pitch} Hz`;
  meter.ariaValueNow = String(Math.round(level));
  meter.ariaValueText = text;
  meter.dataset.pitchHz = String(pitch);
  return full;
}

/** A browser complains of a socket that is closed before it is open. */
function letGo(socket: WebSocket | undefined): void {
  if (socket?.readyState === WebSocket.CONNECTING) socket.onopen = () => socket.close();
  else socket?.close();
}
