/** What the benches of the crowd say about their samples. */
import type { Figure } from "../main.ts";

export function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1]!;
}

/** Three digits that count. */
export function round(value: number): number {
  return Number(value.toPrecision(3));
}

export function stated(name: string, value: number, unit: string): Figure {
  return { name, value: round(value), unit };
}

export function atMost(name: string, value: number, wanted: number, unit = "ratio"): Figure {
  return { name, value: round(value), unit, wanted: round(wanted), ok: value <= wanted };
}

export function exactly(name: string, value: number, wanted: number, unit: string): Figure {
  return { name, value, unit, wanted, ok: value === wanted };
}
