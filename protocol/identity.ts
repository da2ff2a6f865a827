/**
 * Who somebody is: an RSA-4096 public key, and the uid made from it.
 *
 * One uid everywhere: lower-case hex SHA-256 of the key's OpenSSH line `ssh-rsa AAAA...` without comment (seed 001).
 */
import { constants, createPublicKey, hash, type KeyObject, verify } from "node:crypto";
import { concat, equalBytes, lp } from "./bytes.ts";
import { SIGNATURE_BYTES } from "./crypto/transcript.ts";
import { ProtocolError } from "./errors.ts";

declare const uidBrand: unique symbol;
/** 64 lower-case hex digits. */
export type Uid = string & { readonly [uidBrand]: true };

export const UID_BYTES = 32;
/** Canonical DER SubjectPublicKeyInfo of RSA-4096 with e = 65537 (RFC 8017 A.1, RFC 5280 §4.1.2.7). */
export const SPKI_BYTES = 550;

const SPKI_HEAD = Buffer.from("30820222300d06092a864886f70d01010105000382020f003082020a0282020100", "hex");
const SPKI_TAIL = Buffer.from("0203010001", "hex");
const MODULUS_BYTES = 512;
/** Before the modulus in OpenSSH's blob (RFC 4253 §6.6); the leading zero keeps the integer positive: mpint, RFC 4251 §5. */
const SSH_HEAD = concat(lp(Buffer.from("ssh-rsa")), lp(Buffer.of(1, 0, 1)), Buffer.of(0, 0, 2, 1, 0));
const PSS = { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: 32 };

/** @throws {ProtocolError} `bad-uid` */
export function parseUid(text: string): Uid {
  if (!/^[0-9a-f]{64}$/.test(text)) throw new ProtocolError("bad-uid", "a uid is 64 lower-case hex digits");
  return text as Uid;
}

export function uidFromBytes(bytes: Uint8Array): Uid {
  if (bytes.length !== UID_BYTES)
    throw new ProtocolError("bad-uid", `a uid of ${bytes.length} bytes came, it has ${UID_BYTES}`);
  return Buffer.from(bytes).toString("hex") as Uid;
}

export function uidBytes(uid: Uid): Buffer {
  return Buffer.from(uid, "hex");
}

/** uid of an OpenSSH key line without its comment (seed 001: user id). */
export function uidOfSshLine(line: string): Uid {
  return hash("sha256", line, "hex") as Uid;
}

/** A key object takes 4 KiB and a tenth of a verification to make; a handset verifies for its server and some others. */
const KEY_OBJECTS_KEPT = 64;
/** The one used longest ago comes first. By uid: a handset reads its server's key anew on each line. */
const keyObjects = new Map<Uid, KeyObject>();

function keyObjectOf(key: PublicKey): KeyObject {
  // PEM, and the options on the key object itself: whether something else is a key object, Node 24 learns by throwing.
  const keyObject = keyObjects.get(key.uid) ?? Object.assign(createPublicKey(key.pem), PSS);
  keyObjects.delete(key.uid);
  keyObjects.set(key.uid, keyObject);
  if (keyObjects.size > KEY_OBJECTS_KEPT) keyObjects.delete(keyObjects.keys().next().value!);
  return keyObject;
}

/** A parsed, canonical RSA-4096 public key. */
export class PublicKey {
  readonly spki: Buffer;
  readonly uid: Uid;

  /** @throws {ProtocolError} `key-bad` unless exactly 4096 bits, e = 65537 and canonical DER */
  constructor(spki: Uint8Array) {
    const modulus = spki.subarray(SPKI_HEAD.length, SPKI_HEAD.length + MODULUS_BYTES);
    const canonical =
      spki.length === SPKI_BYTES &&
      equalBytes(spki.subarray(0, SPKI_HEAD.length), SPKI_HEAD) &&
      equalBytes(spki.subarray(-SPKI_TAIL.length), SPKI_TAIL) &&
      (modulus[0]! & 0x80) !== 0 &&
      (modulus[MODULUS_BYTES - 1]! & 1) === 1;
    if (!canonical)
      throw new ProtocolError(
        "key-bad",
        `a public key of ${spki.length} bytes came, canonical RSA-4096 with e = 65537 was expected`,
      );
    // Memory of its own: a key lives long, and a piece of Node's pool would hold the whole of its slab.
    this.spki = Buffer.allocUnsafeSlow(SPKI_BYTES);
    this.spki.set(spki);
    this.uid = uidOfSshLine(sshLine(modulus));
  }

  /** RSASSA-PSS, SHA-256, MGF1-SHA-256, salt 32 (RFC 8017 §8.1.2). */
  verifies(message: Uint8Array, signature: Uint8Array): boolean {
    if (signature.length !== SIGNATURE_BYTES) return false;
    return verify("sha256", message, keyObjectOf(this), signature);
  }

  /** `ssh-rsa AAAA...` (RFC 4253 §6.6) */
  get sshLine(): string {
    return sshLine(this.spki.subarray(SPKI_HEAD.length, SPKI_HEAD.length + MODULUS_BYTES));
  }

  get pem(): string {
    const lines = this.spki.toString("base64").match(/.{1,64}/g)!;
    return `-----BEGIN PUBLIC KEY-----\n${lines.join("\n")}\n-----END PUBLIC KEY-----\n`;
  }
}

/** Reads a public key from PEM, base64 DER or an OpenSSH line. @throws {ProtocolError} `key-bad` */
export function readPublicKey(text: string): PublicKey {
  const ssh = /^ssh-rsa\s+([A-Za-z0-9+/]+={0,2})(?:\s|$)/.exec(text.trim());
  if (ssh) {
    const blob = Buffer.from(ssh[1]!, "base64");
    if (blob.length !== SSH_HEAD.length + MODULUS_BYTES || !equalBytes(blob.subarray(0, SSH_HEAD.length), SSH_HEAD)) {
      throw new ProtocolError("key-bad", "an ssh-rsa line came that is not RSA-4096 with e = 65537");
    }
    return new PublicKey(Buffer.concat([SPKI_HEAD, blob.subarray(SSH_HEAD.length), SPKI_TAIL]));
  }
  const pem = /-----BEGIN PUBLIC KEY-----([A-Za-z0-9+/=\s]+)-----END PUBLIC KEY-----/.exec(text);
  const base64 = (pem?.[1] ?? text).replace(/\s+/g, "");
  // Buffer.from skips what is not base64; a key file with such characters in it is a damaged one.
  if (!/^[A-Za-z0-9+/]+={0,2}$/.test(base64)) throw new ProtocolError("key-bad", "no PEM, base64 or ssh-rsa key came");
  return new PublicKey(Buffer.from(base64, "base64"));
}

function sshLine(modulus: Uint8Array): string {
  return `ssh-rsa ${concat(SSH_HEAD, modulus).toString("base64")}`;
}
