/** How the vector files are written and read: up to 64 bytes as hex under a name that says so, longer ones as base64. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

/** This folder. */
export const VECTORS = fileURLToPath(new URL("./", import.meta.url));

/** One object of a vector file. */
export type Recorded = { [name: string]: unknown };

export function recorded(name: string, value: Uint8Array): Recorded {
  const bytes = Buffer.from(value);
  return bytes.length <= 64 ? { [`${name}Hex`]: bytes.toString("hex") } : { [name]: bytes.toString("base64") };
}

export function bytesOf(object: Recorded, name: string): Buffer {
  const hex = object[`${name}Hex`];
  if (typeof hex === "string") return Buffer.from(hex, "hex");
  const base64 = object[name];
  if (typeof base64 === "string") return Buffer.from(base64, "base64");
  throw new Error(`no ${name} was recorded`);
}

export function writeVectors(folder: string, file: string, source: string, content: Recorded): void {
  writeFileSync(join(folder, `${file}.json`), `${JSON.stringify({ source, ...content }, null, 2)}\n`);
}

// biome-ignore lint/suspicious/noExplicitAny: the files have no types, and a wrong name shows as a failing test
export function readVectors(file: string): any {
  return JSON.parse(readFileSync(join(VECTORS, `${file}.json`), "utf8"));
}
