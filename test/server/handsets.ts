/** Public keys without private ones, and a signer without RSA: enough for everything but the signatures themselves. */
import { createHash } from "node:crypto";
import { equalBytes } from "@feldfon/protocol/bytes";
import { decodeHead, encodeHead, type Head, headHash } from "@feldfon/protocol/directory/tree-head";
import { ProtocolError } from "@feldfon/protocol/errors";
import { PublicKey, SPKI_BYTES } from "@feldfon/protocol/identity";
import type { HeadSigner } from "@feldfon/server/signer";

const SPKI_HEAD = Buffer.from("30820222300d06092a864886f70d01010105000382020f003082020a0282020100", "hex");
const SPKI_TAIL = Buffer.from("0203010001", "hex");

function stretched(seed: string, bytes: number): Buffer {
  return createHash("shake256", { outputLength: bytes }).update(seed).digest();
}

const keys = new Map<number, PublicKey>();

/** Canonical RSA-4096 in form; nobody knows its factors. */
export function handsetKey(n: number): PublicKey {
  const known = keys.get(n);
  if (known) return known;
  const modulus = stretched(`handset ${n}`, SPKI_BYTES - SPKI_HEAD.length - SPKI_TAIL.length);
  modulus[0]! |= 0x80;
  modulus[modulus.length - 1]! |= 1;
  const key = new PublicKey(Buffer.concat([SPKI_HEAD, modulus, SPKI_TAIL]));
  keys.set(n, key);
  return key;
}

/** A signature that anybody could make, and that nevertheless holds for one head only. */
export class FakeSigner implements HeadSigner {
  readonly key = handsetKey(1_000_000);
  /** Heads signed so far, whether or not they ever left. */
  signed = 0;
  /** The vault gives way. */
  fault: Error | undefined;

  async sign(head: Head) {
    this.signed++;
    if (this.fault) throw this.fault;
    const bytes = encodeHead(head);
    const hash = headHash(bytes);
    return { head, bytes, hash, signature: stretched(hash.toString("hex"), 512) };
  }

  read(bytes: Buffer, signature: Buffer) {
    const hash = headHash(bytes);
    if (!equalBytes(signature, stretched(hash.toString("hex"), 512))) throw new ProtocolError("unauthentic", "no");
    return { head: decodeHead(bytes), bytes, hash, signature };
  }
}
