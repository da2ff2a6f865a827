/** The screen in words, line by line: for the terminal board, for tests, and for ears. */

import { BUTTONS } from "@feldfon/hw/buttons/port";
import type { Caption } from "@feldfon/hw/display/port";
import type { Block, Mark, Screen } from "./screens.ts";
import { type Language, TEXTS } from "./texts.ts";

const MARKS: Readonly<Record<Mark, string>> = { ok: "(ok)", info: "(i)", caution: "/!\\", alarm: "<X>" };
const STEPS = { done: "ok", now: "..", open: "  " } as const;

/**
 *     == In call ==                    87 %
 *     | (ok) Encrypted                          | = the handset's own words
 *       Ben                                     names never have it
 *       07 42 63 00 19
 *     [Connect] -  [Call] -  [Hang up] Hang up  [Update] -
 */
export function captionOf(screen: Screen, language: Language): Caption {
  const { keys } = TEXTS[language];
  const battery = screen.battery === "" ? "" : `  ${screen.battery}${screen.batteryLow ? " !" : ""}`;
  return {
    name: screen.name,
    lines: [
      `== ${screen.title} ==${battery}`,
      ...screen.blocks.flatMap(linesOf),
      ...(screen.pad === "" ? [] : [`  # ${screen.pad}`]),
      BUTTONS.map((button) => `[${keys[button]}] ${screen.keys[button] || "-"}`).join("  "),
    ],
    facts: screen.facts,
  };
}

function linesOf(block: Block): string[] {
  switch (block.block) {
    case "mark":
      return [`| ${MARKS[block.mark]} ${block.word}`];
    case "says":
    case "detail":
      return [`| ${block.text}`];
    case "name":
    case "digits":
      return [`  ${block.text}`];
    case "progress":
      return block.rows.map((row) => `| ${row.label.padEnd(3)} ${STEPS[row.state]} ${row.text}`);
    case "list":
      return block.rows.map((row) => {
        const note = row.note === "" ? "" : ` ${row.note}`;
        return `${row.selected ? ">" : " "} ${row.label.padStart(3)} ${row.text}${note}`;
      });
    default:
      return block satisfies never;
  }
}
