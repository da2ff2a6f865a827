/**
 * Where a datagram comes from or goes to: the four or sixteen bytes that STUN and candidates carry, and the text that
 * sockets speak.
 */
import { ProtocolError } from "../errors.ts";

export interface Address {
  readonly family: 4 | 6;
  /** 4 or 16 bytes, network order. */
  readonly bytes: Buffer;
  /** 1..65535 */
  readonly port: number;
}

export function addressBytes(family: 4 | 6): number {
  return family === 4 ? 4 : 16;
}

/**
 * Reads an address as a socket names it: `192.0.2.1`, `2001:db8::1`. A zone (`%eth0`) means nothing elsewhere and is
 * cut off; an IPv4 address in IPv6 dress (`::ffff:192.0.2.1`) is the IPv4 address.
 *
 * @throws {ProtocolError} `bad-address`
 */
export function parseAddress(text: string, port: number): Address {
  if (!Number.isInteger(port) || port < 1 || port > 65535) throw new ProtocolError("bad-address", `port ${port} came`);
  const host = text.replace(/%.*$/s, "");
  const bytes = parseIpv4(host) ?? parseIpv6(host);
  if (!bytes) throw new ProtocolError("bad-address", "neither an IPv4 nor an IPv6 address came");
  const mapped = bytes.length === 16 && bytes.subarray(0, 12).equals(MAPPED);
  if (mapped) return { family: 4, bytes: bytes.subarray(12), port };
  return { family: bytes.length === 4 ? 4 : 6, bytes, port };
}

/** The host part as sockets want it; IPv6 in the one form of RFC 5952 §4. */
export function hostOf({ family, bytes }: Address): string {
  if (family === 4) return bytes.join(".");
  const groups = Array.from({ length: 8 }, (_, at) => bytes.readUInt16BE(2 * at).toString(16));
  const zeros = longestZeroRun(groups);
  if (!zeros) return groups.join(":");
  return `${groups.slice(0, zeros.from).join(":")}::${groups.slice(zeros.from + zeros.length).join(":")}`;
}

const MAPPED = Buffer.from("00000000000000000000ffff", "hex"); // RFC 4291 §2.5.5.2

function parseIpv4(text: string): Buffer | undefined {
  const parts = text.split(".");
  const lawful = parts.length === 4 && parts.every((part) => /^(0|[1-9]\d{0,2})$/.test(part) && Number(part) <= 255);
  return lawful ? Buffer.from(parts.map(Number)) : undefined;
}

function parseIpv6(text: string): Buffer | undefined {
  const halves = withoutDots(text).split("::");
  const [head, tail] = halves.map((half) => (half === "" ? [] : half.split(":")));
  const groups = [...(head ?? []), ...(tail ?? [])];
  if (halves.length > 2 || !groups.every((group) => /^[0-9a-f]{1,4}$/i.test(group))) return undefined;
  const missing = 8 - groups.length;
  // "::" stands for at least one group; without it nothing may be missing.
  if (tail ? missing < 1 : missing !== 0) return undefined;
  const whole = [...head!, ...Array(missing).fill("0"), ...(tail ?? [])];
  return Buffer.from(whole.map((group) => group.padStart(4, "0")).join(""), "hex");
}

/** The last 32 bits may be written as an IPv4 address (RFC 4291 §2.2). */
function withoutDots(text: string): string {
  const dotted = /^(.*:)([\d.]+)$/s.exec(text);
  const last = dotted && parseIpv4(dotted[2]!)?.toString("hex");
  return last ? `${dotted[1]}${last.slice(0, 4)}:${last.slice(4)}` : text;
}

function longestZeroRun(groups: string[]): { from: number; length: number } | undefined {
  let longest: { from: number; length: number } | undefined;
  for (let from = 0; from < groups.length; from++) {
    let length = 0;
    while (groups[from + length] === "0") length++;
    if (length >= 2 && length > (longest?.length ?? 0)) longest = { from, length };
  }
  return longest;
}
