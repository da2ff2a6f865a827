/** What is written on a handset of a page, in the language that its display speaks: that is set on the handset. */
export const LANGUAGES = ["en", "de", "zh"] as const;
export type Language = (typeof LANGUAGES)[number];

export interface HandsetTexts {
  handset: string;
  keys: Record<"connect" | "call" | "hang-up" | "update", string>;
  keysOf: string;
  pad: string;
  star: string;
  hash: string;
  display: string;
  light: string;
  colours: Record<string, string>;
  rhythms: Record<string, string>;
  microphone: string;
  speakForMe: string;
  tone: string;
  volume: string;
  heard: string;
  said: string;
  silence: string;
  noMicrophone: string;
  starting: string;
  gone: string;
  help: readonly (readonly [keys: string, what: string])[];
}

export const HANDSET_TEXTS: Record<Language, HandsetTexts> = {
  en: {
    handset: "Handset",
    keys: { connect: "Connect", call: "Call", "hang-up": "Hang up", update: "Update" },
    keysOf: "Keys",
    pad: "Number pad",
    star: "star",
    hash: "hash",
    display: "Display",
    light: "Light",
    colours: { off: "off", white: "white", green: "green", amber: "amber", red: "red", blue: "blue" },
    rhythms: { steady: "steady", slow: "slow", fast: "fast", double: "double" },
    microphone: "Microphone",
    speakForMe: "Speak for me",
    tone: "Tone that is spoken",
    volume: "Volume",
    heard: "hears",
    said: "says",
    silence: "silence",
    noMicrophone: "No microphone here. “Speak for me” says a tone instead.",
    starting: "Starting. The first time it makes its key.",
    gone: "Switched off",
    help: [
      ["n", "Connect"],
      ["c, Enter", "Call, answer, OK"],
      ["h, Esc", "Hang up, back"],
      ["u", "Update"],
      ["0-9 * #", "number pad"],
      ["m", "microphone"],
      ["t", "speak for me"],
    ],
  },
  de: {
    handset: "Handapparat",
    keys: { connect: "Verbinden", call: "Anruf", "hang-up": "Auflegen", update: "Abgleich" },
    keysOf: "Tasten",
    pad: "Ziffernblock",
    star: "Stern",
    hash: "Raute",
    display: "Anzeige",
    light: "Licht",
    colours: { off: "aus", white: "weiß", green: "grün", amber: "gelb", red: "rot", blue: "blau" },
    rhythms: { steady: "stetig", slow: "langsam", fast: "schnell", double: "doppelt" },
    microphone: "Mikrofon",
    speakForMe: "Für mich sprechen",
    tone: "Ton, der gesprochen wird",
    volume: "Lautstärke",
    heard: "hört",
    said: "spricht",
    silence: "Stille",
    noMicrophone: "Hier ist kein Mikrofon. „Für mich sprechen“ sagt stattdessen einen Ton.",
    starting: "Startet. Beim ersten Mal entsteht sein Schlüssel.",
    gone: "Ausgeschaltet",
    help: [
      ["n", "Verbinden"],
      ["c, Enter", "Anruf, annehmen, OK"],
      ["h, Esc", "Auflegen, zurück"],
      ["u", "Abgleich"],
      ["0-9 * #", "Ziffernblock"],
      ["m", "Mikrofon"],
      ["t", "für mich sprechen"],
    ],
  },
  zh: {
    handset: "话机",
    keys: { connect: "连接", call: "呼叫", "hang-up": "挂断", update: "更新" },
    keysOf: "按键",
    pad: "数字键盘",
    star: "星号",
    hash: "井号",
    display: "显示屏",
    light: "指示灯",
    colours: { off: "灭", white: "白", green: "绿", amber: "黄", red: "红", blue: "蓝" },
    rhythms: { steady: "常亮", slow: "慢闪", fast: "快闪", double: "双闪" },
    microphone: "麦克风",
    speakForMe: "替我发声",
    tone: "发出的音调",
    volume: "音量",
    heard: "听到",
    said: "说出",
    silence: "静音",
    noMicrophone: "这里没有麦克风。可用“替我发声”发出音调。",
    starting: "正在启动。第一次会生成密钥。",
    gone: "已关机",
    help: [
      ["n", "连接"],
      ["c, Enter", "呼叫、接听、确定"],
      ["h, Esc", "挂断、返回"],
      ["u", "更新"],
      ["0-9 * #", "数字键盘"],
      ["m", "麦克风"],
      ["t", "替我发声"],
    ],
  },
};

/** The browser's first language that there is a table for. */
export function preferredLanguage(): Language {
  for (const wanted of navigator.languages) {
    const found = LANGUAGES.find((language) => wanted.toLowerCase().startsWith(language));
    if (found) return found;
  }
  return "en";
}
