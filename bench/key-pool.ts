/**
 * RSA-4096 keys for tests and benches, quickly: k primes of 2,048 bits give k(k-1)/2 distinct valid key pairs.
 *
 *     key n = prime i x prime j, i < j:    n   0    1    2    3    4    5    6  ..
 *                                          i   0    0    1    0    1    2    0
 *                                          j   1    2    2    3    3    3    4
 *
 * Weak by design: whoever knows two keys with a common prime has both. They lie outside the tree and never travel.
 */
import { createPrivateKey, type GeneratePrimeOptionsBigInt, generatePrime, randomUUID } from "node:crypto";
import { link, mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";

const PRIME_BITS = 2048;
const EXPONENT = 65537n;

const randomPrime = promisify<number, GeneratePrimeOptionsBigInt, bigint>(generatePrime);
const primes = new Map<number, Promise<bigint>>();
const keys = new Map<number, Promise<string>>();

/** Where primes and keys are kept between runs. */
export function keyPoolFolder(): string {
  return join(process.env.XDG_CACHE_HOME || join(homedir(), ".cache"), "feldfon", "keys-v1");
}

/**
 * Key pair n of the pool as a file that the vault's `loadKeyPair` reads, made at the first wish.
 *
 * @returns path of a PKCS#8 PEM file of mode 0600
 */
export function poolKey(n: number): Promise<string> {
  let key = keys.get(n);
  if (!key) {
    key = keyFile(n);
    keys.set(n, key);
  }
  return key;
}

async function keyFile(n: number): Promise<string> {
  const path = join(keyPoolFolder(), `key-${n}.pem`);
  if (await textOf(path)) return path;
  const [i, j] = primesOf(n);
  const [p, q] = await Promise.all([prime(i), prime(j)]);
  const temporary = await writeBeside(path, privateKeyPem(p, q));
  await rename(temporary, path); // two processes write the same bytes
  return path;
}

/** The pair of primes behind key n, so that a growing pool changes no key. */
export function primesOf(n: number): [i: number, j: number] {
  let j = 1;
  while ((j * (j + 1)) / 2 <= n) j++;
  return [n - (j * (j - 1)) / 2, j];
}

function prime(index: number): Promise<bigint> {
  let found = primes.get(index);
  if (!found) {
    found = primeFile(index);
    primes.set(index, found);
  }
  return found;
}

async function primeFile(index: number): Promise<bigint> {
  const path = join(keyPoolFolder(), `prime-${index}.hex`);
  const kept = await textOf(path);
  if (kept) return BigInt(`0x${kept}`);
  const temporary = await writeBeside(path, (await makePrime()).toString(16));
  try {
    await link(temporary, path); // unlike rename it leaves the prime of a faster process alone
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
  } finally {
    await rm(temporary);
  }
  return BigInt(`0x${await readFile(path, "latin1")}`);
}

/** Both top bits are set, so every product has 4,096 bits. */
async function makePrime(): Promise<bigint> {
  for (;;) {
    const candidate = await randomPrime(PRIME_BITS, { bigint: true });
    if (candidate >> BigInt(PRIME_BITS - 2) === 3n && candidate % EXPONENT !== 1n) return candidate;
  }
}

/** RFC 8017 §3.2: the second representation of an RSA private key, through JWK (RFC 7518 §6.3.2). */
function privateKeyPem(p: bigint, q: bigint): string {
  const d = inverse(EXPONENT, (p - 1n) * (q - 1n));
  const numbers = { n: p * q, e: EXPONENT, d, p, q, dp: d % (p - 1n), dq: d % (q - 1n), qi: inverse(q, p) };
  const jwk = Object.fromEntries(Object.entries(numbers).map(([name, value]) => [name, base64url(value)]));
  const key = createPrivateKey({ key: { kty: "RSA", ...jwk }, format: "jwk" });
  return key.export({ type: "pkcs8", format: "pem" }) as string;
}

/** Extended Euclid. @returns x with a * x = 1 (mod modulus) */
function inverse(a: bigint, modulus: bigint): bigint {
  let [r0, r1] = [modulus, a % modulus];
  let [x0, x1] = [0n, 1n];
  while (r1 > 0n) {
    const quotient = r0 / r1;
    [r0, r1] = [r1, r0 - quotient * r1];
    [x0, x1] = [x1, x0 - quotient * x1];
  }
  return ((x0 % modulus) + modulus) % modulus;
}

function base64url(value: bigint): string {
  const hex = value.toString(16);
  return Buffer.from(hex.length % 2 ? `0${hex}` : hex, "hex").toString("base64url");
}

async function writeBeside(path: string, text: string): Promise<string> {
  await mkdir(keyPoolFolder(), { recursive: true, mode: 0o700 });
  const temporary = `${path}.${randomUUID()}`;
  await writeFile(temporary, text, { mode: 0o600, flag: "wx" });
  return temporary;
}

async function textOf(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, "latin1");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}
