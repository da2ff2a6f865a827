/** Breaks text into lines: Latin at spaces and behind hyphens, Chinese between any two characters (kinsoku). */
import type { SizePx } from "./atlas.ts";
import { textWidth } from "./glyphs.ts";

const HAN = /\p{Script=Han}|[\u3000-\u303f\uff00-\uffef]/u;
/** Never at the start of a line, never at its end. */
const NOT_FIRST = "，。、：；？！）》”’";
const NOT_LAST = "（《“‘";

/**
 * @param widthPx what a line may be wide; a single word that is wider is broken where it has to be
 * @returns at least one line
 */
export function wrap(text: string, sizePx: SizePx, widthPx: number): string[] {
  const lines: string[] = [];
  let line = "";
  for (const piece of piecesOf(text)) {
    if (textWidth((line + piece).trimEnd(), sizePx) <= widthPx) {
      line += piece;
      continue;
    }
    if (line.trim() !== "") lines.push(line.trimEnd());
    line = piece.trimStart();
    while (textWidth(line.trimEnd(), sizePx) > widthPx) {
      const head = fitting(line, sizePx, widthPx);
      lines.push(head);
      line = line.slice(head.length);
    }
  }
  lines.push(line.trimEnd());
  return lines;
}

/** Cut with … where it does not fit. */
export function cut(text: string, sizePx: SizePx, widthPx: number): string {
  if (textWidth(text, sizePx) <= widthPx) return text;
  return `${fitting(text, sizePx, widthPx - textWidth("…", sizePx)).trimEnd()}…`;
}

/** As many characters from the start as fit, at least one. */
function fitting(text: string, sizePx: SizePx, widthPx: number): string {
  let head = "";
  for (const character of text) {
    if (head !== "" && textWidth(head + character, sizePx) > widthPx) break;
    head += character;
  }
  return head;
}

/** The smallest pieces that stay on one line, each with the spaces behind it. */
function piecesOf(text: string): string[] {
  const pieces: string[] = [];
  let glued = false;
  for (const word of text.match(/[^\s-]*-+\s*|\S+\s*|\s+/g) ?? []) {
    glued = false;
    for (const character of word) {
      const last = pieces.at(-1);
      const sticks =
        glued &&
        last !== undefined &&
        (!(HAN.test(character) || HAN.test(last.at(-1)!)) ||
          NOT_FIRST.includes(character) ||
          NOT_LAST.includes(last.at(-1)!));
      if (sticks) pieces[pieces.length - 1] = last + character;
      else pieces.push(character);
      glued = true;
    }
  }
  return pieces;
}
