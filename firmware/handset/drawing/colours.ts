/** The colours of the screen (RGB565) and what they lie on; every pair is at least 7:1, WCAG 2.x AAA. */
export type Colour = number;

export const BLACK: Colour = 0x0000;
export const WHITE: Colour = 0xffff;
export const SECONDARY: Colour = 0xb5b6;
export const GOOD: Colour = 0x570d;
export const CAUTION: Colour = 0xfe00;
export const ALARM: Colour = 0xfc50;
export const INFO: Colour = 0x6e7f;
export const FOCUS: Colour = 0xffe0;
export const RED: Colour = 0x7800;
export const SLATE: Colour = 0x2124;

/** Text or shape on ground, wherever drawing/layout.ts puts one on the other. */
export const PAIRS: readonly (readonly [text: Colour, ground: Colour])[] = [
  [WHITE, BLACK],
  [SECONDARY, BLACK],
  [GOOD, BLACK],
  [CAUTION, BLACK],
  [ALARM, BLACK],
  [INFO, BLACK],
  [FOCUS, BLACK],
  [WHITE, RED],
  [FOCUS, RED],
  [WHITE, SLATE],
  [BLACK, GOOD],
  [BLACK, CAUTION],
  [BLACK, ALARM],
  [BLACK, INFO],
  [BLACK, FOCUS],
  [BLACK, SECONDARY],
];

/** Contrast ratio of two colours, 1..21 (WCAG 2.1, relative luminance), on the 8-bit values the panel makes of them. */
export function contrast(one: Colour, other: Colour): number {
  const [light, dark] = [luminance(one), luminance(other)].sort((a, b) => b - a) as [number, number];
  return (light + 0.05) / (dark + 0.05);
}

function luminance(colour: Colour): number {
  const [red, green, blue] = [colour >> 11, (colour >> 5) & 63, colour & 31];
  const eightBits = [(red << 3) | (red >> 2), (green << 2) | (green >> 4), (blue << 3) | (blue >> 2)];
  const [r, g, b] = eightBits.map((value) => {
    const c = value / 255;
    return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  }) as [number, number, number];
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}
