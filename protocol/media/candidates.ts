/**
 * Addresses under which a handset can be reached directly, as INFO carries them, sealed (wire.md 1 INFO, 3 Call).
 *
 *     0   1                                          per candidate
 *     +---+--------+------------------+---------+
 *     | n | family | address          | port    | ..      family 4: 4 bytes, family 6: 16 bytes; port: uint16
 *     +---+--------+------------------+---------+
 */
import { ByteReader, u8, u16 } from "../bytes.ts";
import { ProtocolError } from "../errors.ts";
import { type Address, addressBytes } from "./address.ts";

/** n is one byte. */
export const MAX_CANDIDATES = 255;

/** @throws {ProtocolError} `malformed` above 255 candidates */
export function encodeCandidates(candidates: readonly Address[]): Buffer {
  if (candidates.length > MAX_CANDIDATES)
    throw new ProtocolError("malformed", `${candidates.length} candidates, at most ${MAX_CANDIDATES} fit`);
  const parts = candidates.flatMap(({ family, bytes, port }) => [u8(family), bytes, u16(port)]);
  return Buffer.concat([u8(candidates.length), ...parts]);
}

/** @throws {ProtocolError} `malformed`: another family, port 0, missing or left-over bytes */
export function parseCandidates(bytes: Uint8Array): Address[] {
  const reader = new ByteReader(bytes, "candidates");
  const candidates = Array.from({ length: reader.u8() }, () => readCandidate(reader));
  reader.end();
  return candidates;
}

function readCandidate(reader: ByteReader): Address {
  const family = reader.u8();
  if (family !== 4 && family !== 6)
    throw new ProtocolError("malformed", `a candidate of family ${family} came, 4 or 6 was expected`);
  const bytes = Buffer.from(reader.take(addressBytes(family)));
  const port = reader.u16();
  if (port === 0) throw new ProtocolError("malformed", "a candidate with port 0 came");
  return { family, bytes, port };
}
