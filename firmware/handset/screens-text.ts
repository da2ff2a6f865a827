/** The screen in words, line by line: for the terminal board, for tests, and for ears. */

import { BUTTONS } from "@feldfon/hw/buttons/port";
import type { Caption } from "@feldfon/hw/display/port";
import { type Block, type Mark, onlyRuns, type Screen } from "./screens.ts";
import { type Language, TEXTS } from "./texts.ts";

const MARKS: Readonly<Record<Mark, string>> = { ok: "(ok)", info: "(i)", caution: "/!\\", alarm: "<X>" };
const STEPS = { done: "ok", now: "..", open: "  " } as const;

/**
 *     == (ok) In call ==                    87 %
 *       Ben                                     names never have it
 *     | 1:12  good, -1 %                        | = the handset's own words
 *       07 boot, 42 moon, 63 wheel, 00 anchor, 19 cloud
 *     [0-9*#] 5 microphone  * volume
 *     [Connect] -  [Call] -  [Hang up] Hang up  [Update] Numbers
 *
 * @param before the screen it follows
 */
export function captionOf(screen: Screen, language: Language, before?: Screen): Caption {
  const { keys } = TEXTS[language];
  const battery = screen.battery === "" ? "" : `  ${screen.battery}${screen.batteryLow ? " !" : ""}`;
  return {
    name: screen.name,
    lines: [
      `== ${screen.tone ? `${MARKS[screen.tone]} ` : ""}${screen.title} ==${battery}`,
      ...screen.blocks.flatMap(linesOf),
      ...(screen.pad === "" ? [] : [`[0-9*#] ${screen.pad}`]),
      BUTTONS.map((button) => `[${keys[button]}] ${screen.keys[button] || "-"}`).join("  "),
    ],
    language,
    facts: screen.facts,
    ticking: before !== undefined && onlyRuns(before, screen),
  };
}

function linesOf(block: Block): string[] {
  switch (block.block) {
    case "mark":
      return [`| ${MARKS[block.mark]} ${block.word}`];
    case "sign":
    case "says":
    case "detail":
      return [`| ${block.text}`];
    case "numbers":
      return [
        `  ${block.numbers.map((number, i) => `${String(number).padStart(2, "0")} ${block.words[i]}`).join(", ")}`,
      ];
    case "voice":
      return [`| ${block.time}  ${block.word}, -${block.lostPercent} %`];
    case "name":
    case "digits":
      return [`  ${block.text}`];
    case "dots":
      return [`| ${"*".repeat(block.count) || "-"}  ${block.count}`];
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
