/** What a secret looks like in memory: a needle for each form in which a library or a program may keep it. */
import { createPrivateKey } from "node:crypto";

export interface Needle {
  name: string;
  bytes: Buffer;
  /** Equal bytes that make a hit. */
  leastBytes: number;
}

export interface KeyNeedles {
  /** N in hex, public: what the algebraic pass needs. */
  modulus: string;
  needles: Needle[];
}

const LEAST_BYTES = 12;
/** Half of each limb is zeros: short runs of such a needle are found everywhere. */
const LEAST_SPARSE_BYTES = 32;

/** Bits and bytes of a limb: 28 GMP-like and JavaScript, 29 and 31 BearSSL, 52 AVX-512-IFMA, 62 BearSSL's i62. */
const RADIX_FORMS = [
  [28, 4],
  [29, 4],
  [31, 4],
  [28, 8],
  [29, 8],
  [31, 8],
  [52, 8],
  [62, 8],
] as const;

const PEM_LINE = 64;

/** @param pem PKCS#8 of an RSA-4096 key. Public parts of the file are left out: those lie in memory rightly. */
export function keyNeedles(owner: string, pem: string): KeyNeedles {
  const key = createPrivateKey(pem);
  const jwk = key.export({ format: "jwk" });
  const number = (text: string | undefined): bigint => BigInt(`0x${Buffer.from(text!, "base64url").toString("hex")}`);
  const [n, p, q] = [number(jwk.n), number(jwk.p), number(jwk.q)];
  const parts: Record<string, bigint> = {
    p,
    q,
    d: number(jwk.d),
    dP: number(jwk.dp),
    dQ: number(jwk.dq),
    qInv: number(jwk.qi),
    RRp: 2n ** 4096n % p,
    RRq: 2n ** 4096n % q,
    "RRp/52": 2n ** 4160n % p, // 40 limbs of 52 bits
    "RRq/52": 2n ** 4160n % q,
  };
  const needles = Object.entries(parts).flatMap(([name, value]) => numberNeedles(`${owner}:${name}`, value));
  const der = key.export({ type: "pkcs8", format: "der" });
  const privateAt = der.indexOf(bigEndian(parts.d!));
  needles.push({ name: `${owner}:der`, bytes: der.subarray(privateAt), leastBytes: LEAST_BYTES });
  const base64At = Math.ceil(privateAt / 3) * 4;
  const base64 = der.toString("base64");
  const lines = base64.match(/.{1,64}/g)!.join("\n");
  const text = { base64: base64.slice(base64At), pem: lines.slice(base64At + Math.floor(base64At / PEM_LINE)) };
  for (const [form, part] of Object.entries(text)) {
    needles.push({ name: `${owner}:${form}`, bytes: Buffer.from(part, "latin1"), leastBytes: LEAST_BYTES });
  }
  return { modulus: n.toString(16), needles };
}

function numberNeedles(name: string, value: bigint): Needle[] {
  const big = bigEndian(value);
  const needles: Needle[] = [
    { name: `${name}.be`, bytes: big, leastBytes: LEAST_BYTES },
    { name: `${name}.le`, bytes: Buffer.from(big).reverse(), leastBytes: LEAST_BYTES },
    { name: `${name}.base64url`, bytes: Buffer.from(big.toString("base64url"), "latin1"), leastBytes: LEAST_BYTES },
  ];
  for (const [bits, bytes] of RADIX_FORMS) {
    const leastBytes = bytes === 8 && bits < 52 ? LEAST_SPARSE_BYTES : LEAST_BYTES;
    needles.push({ name: `${name}.r${bits}x${bytes}`, bytes: limbs(value, bits, bytes), leastBytes });
  }
  return [...needles, ...hexNeedles(name, big)];
}

/** @param secret as it was born, at least 16 bytes */
export function secretNeedles(name: string, secret: Buffer): Needle[] {
  const texts = { base64: secret.toString("base64"), base64url: secret.toString("base64url") };
  return [
    { name: `${name}.raw`, bytes: secret, leastBytes: LEAST_BYTES },
    ...hexNeedles(name, secret),
    ...Object.entries(texts).map(([form, text]) => ({
      name: `${name}.${form}`,
      bytes: Buffer.from(text, "latin1"),
      leastBytes: 2 * LEAST_BYTES, // 12 letters are 9 bytes
    })),
  ];
}

function hexNeedles(name: string, bytes: Buffer): Needle[] {
  const hex = bytes.toString("hex");
  return [hex, hex.toUpperCase()].map((text) => ({
    name: `${name}.hex`,
    bytes: Buffer.from(text, "latin1"),
    leastBytes: 2 * LEAST_BYTES,
  }));
}

function bigEndian(value: bigint): Buffer {
  const hex = value.toString(16);
  return Buffer.from(hex.length % 2 ? `0${hex}` : hex, "hex");
}

/** Lowest limb first, each little-endian. */
function limbs(value: bigint, bits: number, bytes: 4 | 8): Buffer {
  const mask = (1n << BigInt(bits)) - 1n;
  const made: Buffer[] = [];
  for (let rest = value; rest > 0n; rest >>= BigInt(bits)) {
    const limb = Buffer.alloc(8);
    limb.writeBigUInt64LE(rest & mask);
    made.push(limb.subarray(0, bytes));
  }
  return Buffer.concat(made);
}
