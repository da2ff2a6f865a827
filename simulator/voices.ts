/** Spoken words for the demo: the human voices of Debian's alsa-utils, or espeak-ng where they are missing. */
import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";

export interface Voices {
  /** WAV files that A says in its two calls, and B in its. */
  a: [string, string];
  b: [string, string];
  from: string;
}

const ALSA = "/usr/share/sounds/alsa";
const SPOKEN = ["Front_Left.wav", "Rear_Right.wav", "Side_Left.wav", "Front_Center.wav"];

/** @param folder where made files go. @throws {Error} when there is no voice on this machine */
export function findVoices(folder: string): Voices {
  const recorded = SPOKEN.map((file) => join(ALSA, file));
  if (recorded.every((file) => existsSync(file))) return fromFour(recorded, "alsa-utils, human voices");
  const words: [string, string][] = [
    ["de", "Hier ist Anna, hörst du mich?"],
    ["en-gb", "Yes, loud and clear."],
    ["de", "Noch einmal, mit neuem Schlüssel."],
    ["en-gb", "The keys are others now."],
  ];
  const made = words.map(([voice, text], at) => {
    const file = join(folder, `spoken-${at}.wav`);
    try {
      execFileSync("espeak-ng", ["-v", voice, "-w", file, "--stdin"], {
        input: text,
        stdio: ["pipe", "ignore", "ignore"],
      });
    } catch (cause) {
      throw new Error("no voices here: install alsa-utils or espeak-ng (`make demo` does)", { cause });
    }
    return file;
  });
  return fromFour(made, "espeak-ng");
}

function fromFour(files: string[], from: string): Voices {
  const [a1, b1, a2, b2] = files as [string, string, string, string];
  return { a: [a1, a2], b: [b1, b2], from };
}
