import type { Frame } from "@feldfon/hw/display/port";
import type { Screen } from "../screens.ts";
import { Canvas } from "./canvas.ts";
import { layoutOf } from "./layout.ts";

/** A screen as pixels; the same screen is the same pixels, always and everywhere. */
export function drawScreen(screen: Screen, width: number, height: number): Frame {
  const canvas = new Canvas(width, height);
  const { ground, pieces } = layoutOf(screen, width, height);
  canvas.fill(0, 0, width, height, ground);
  for (const piece of pieces) {
    if (piece.piece === "fill") canvas.fill(piece.x, piece.y, piece.width, piece.height, piece.colour);
    else if (piece.piece === "shape") canvas.shape(piece.x, piece.y, piece.shape, piece.scale, piece.colour);
    else canvas.text(piece.x, piece.baseline, piece.text, piece.sizePx, piece.colour);
  }
  return canvas.frame;
}
