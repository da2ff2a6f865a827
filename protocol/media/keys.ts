/**
 * What the two speakers compare by voice (wire.md 1, SAS). The keys themselves are made in protocol/phone/call.ts and
 * never leave the vault; these five numbers are public once both displays show them.
 */
import { HASH_BYTES } from "../crypto/transcript.ts";
import { ProtocolError } from "../errors.ts";

/** Five numbers 0..63, the most significant first; each is also one of 64 pictograms. */
export type Sas = readonly [number, number, number, number, number];

/** @param t T("sas", call_id, uid_A, uid_B, hh_A, hh_B, XA, n_A, XB | ek, n_B), of which the first 30 bits count */
export function sas(t: Uint8Array): Sas {
  if (t.length !== HASH_BYTES)
    throw new ProtocolError("malformed", `SAS of ${t.length} bytes, a hash has ${HASH_BYTES}`);
  const bits = ((t[0]! << 24) | (t[1]! << 16) | (t[2]! << 8) | t[3]!) >>> 2;
  return [bits >>> 24, (bits >>> 18) & 63, (bits >>> 12) & 63, (bits >>> 6) & 63, bits & 63];
}
