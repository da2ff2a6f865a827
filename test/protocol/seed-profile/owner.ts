/** An owner of a key of the test pool, with the private half in hand: the seed profile knows no vault. */
import { createPrivateKey, createPublicKey, type KeyObject } from "node:crypto";
import { readFile } from "node:fs/promises";
import { type PublicKey, readPublicKey } from "@feldfon/protocol/identity";
import { keyPath } from "../../keys.ts";

export async function ownerOf(n: number): Promise<{ key: PublicKey; privateKey: KeyObject }> {
  const privateKey = createPrivateKey(await readFile(await keyPath(n), "utf8"));
  const pem = createPublicKey(privateKey).export({ type: "spki", format: "pem" }) as string;
  return { key: readPublicKey(pem), privateKey };
}
