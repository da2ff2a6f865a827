/**
 * What somebody may be called (wire.md 3, **Join**).
 *
 * Both ends hold names to `parseName` and to one owner for each `lowerKey`. The server alone judges look-alikes, before
 * a row is appended: a name whose `skeleton` another name has already is taken.
 */
import { ProtocolError } from "../errors.ts";
import { LOOK_ALIKES, LOOK_ALIKES_FOLDED } from "./look-alikes.ts";

/** Row 0's name; nobody else may have it. */
export const SERVER_NAME = "server";
export const MIN_NAME_CHARACTERS = 2;
export const MAX_NAME_CHARACTERS = 32;

/** Control, format (bidi marks too), line and paragraph separators, lone surrogates, private use, not assigned. */
const UNSEEN = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}\p{Co}\p{Cn}]/u;

/**
 * A name as people type it, in NFC. What comes over the wire has to be in that form already: `parseName(name) === name`.
 *
 * @throws {ProtocolError} `name-bad`
 */
export function parseName(text: string): string {
  const name = text.normalize("NFC");
  const characters = [...name].length;
  if (characters < MIN_NAME_CHARACTERS || characters > MAX_NAME_CHARACTERS) {
    throw bad(`a name of ${characters} characters came, ${MIN_NAME_CHARACTERS} to ${MAX_NAME_CHARACTERS} are allowed`);
  }
  if (UNSEEN.test(name)) throw bad("a name with characters that cannot be seen came");
  if (name.trim() !== name) throw bad("a name with a space at its end came");
  if (lowerKey(name) === SERVER_NAME) throw bad("the server's name is reserved");
  return name;
}

/** Two names with one key are one name: root-locale lower case (Unicode Default Case Conversion, SpecialCasing without locales). */
export function lowerKey(name: string): string {
  return name.toLowerCase();
}

/**
 * Two names with one skeleton look alike (after UTS #39 §4; see look-alikes.ts for the table, its source and its limits).
 * It is only compared, never shown; names are compared by `lowerKey` besides, since case changes looks (Ν is N, ν is v).
 *
 * @throws {ProtocolError} `name-bad` when nothing of the name can be seen, or when it looks like the server's
 */
export function skeleton(name: string): string {
  const looks = fold(name);
  if (looks.trim() === "") throw bad("a name of which nothing can be seen came");
  if (looks === SERVER_LOOKS) throw bad("a name that looks like the server's came");
  return looks;
}

function fold(name: string): string {
  const seen = name.replace(/[\p{Default_Ignorable_Code_Point}\u2800]/gu, "");
  // Before and after: NFKD makes other letters of some (Ϲ becomes Σ) and plain ones of others.
  const latin = replaceEach(replaceEach(seen, LOOK_ALIKES).normalize("NFKD"), LOOK_ALIKES);
  // Upper case first: full case folding, so that ß and SS meet.
  const folded = latin.toUpperCase().toLowerCase().normalize("NFKD");
  return replaceEach(folded, LOOK_ALIKES_FOLDED).replace(/\s+/g, " ");
}

function replaceEach(text: string, table: ReadonlyMap<string, string>): string {
  return [...text].map((character) => table.get(character) ?? character).join("");
}

function bad(sentence: string): ProtocolError {
  return new ProtocolError("name-bad", sentence);
}

const SERVER_LOOKS = fold(SERVER_NAME);
