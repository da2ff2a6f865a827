/**
 * What the vault's operations cost in locked memory beside node:crypto: packets, RSA, key agreement.
 *
 * CPU time of the process, pool threads included; each figure is the median of several samples taken in turn. The peer
 * of a sealed packet is node:crypto used as its documentation shows it (crypto, "CCM mode"; GCM is the same): key and
 * nonce as bytes, one cipher a packet. Two other peers are stated beside it: the same at its barest, with a KeyObject
 * that is kept, and our own vault on node:crypto, which looks up a handle and checks a counter as the native one does.
 */
import assert from "node:assert/strict";
import { type CipherKey, createCipheriv, createSecretKey, randomBytes } from "node:crypto";
import type { MediaProfile, Vault } from "@feldfon/protocol/vault";
import { NativeVault, NodeVault } from "@feldfon/vault";
import { poolKey } from "./key-pool.ts";
import { median, round, stated } from "./load/figures.ts";
import type { Figure } from "./main.ts";

const SAMPLES = 7;
const PACKETS = 50_000;
/** Of who is fast enough for it: in some 20 ms the collector's and compiler's threads would be most of the figure. */
const MANY_PACKETS = 500_000;
const AGREEMENTS = 100;
const PRIVATE_OPERATIONS = 8;
const GENERATIONS = 9; // luck decides how long one takes
const SEALS_WANTED = 10;

const PAYLOAD = randomBytes(160);
const AAD = randomBytes(12);
const SALT = randomBytes(32);
const INFO = Buffer.from("feldfon/1 bench\0");
const PROFILE: MediaProfile = { ssrc: 1, ratchet: { salt: SALT, info: INFO } };

type Times = Map<string, number[]>;

export async function run(): Promise<{ name: "vault"; figures: Figure[] }> {
  const [native, degraded] = [new NativeVault(), new NodeVault()];
  const times: Times = new Map();
  const both = [["native", native] as const, ["degraded", degraded] as const];
  // Once to warm up, then in turn, so that a busy neighbour meets them all.
  for (let sample = -1; sample < SAMPLES; sample++) {
    const kept: Times = sample < 0 ? new Map() : times;
    note(kept, "documented", nodeSeals(randomBytes(32)));
    note(kept, "barest", nodeSeals(createSecretKey(randomBytes(32))));
    for (const [name, vault] of both) {
      packets(kept, name, vault);
      await agreements(kept, name, vault);
    }
  }
  for (let made = 0; made < GENERATIONS; made++) {
    for (const [name, vault] of both) {
      note(times, `${name} generation`, await cpuUsOf(1, async () => vault.wipe(await vault.makeKeyPair())));
    }
  }
  const us = (name: string) => median(times.get(name)!);
  const { protection, library } = native.status();
  process.stderr.write(`native: ${library}, ${protection}; degraded: OpenSSL ${process.versions.openssl}\n`);
  return {
    name: "vault",
    figures: [
      stated("seals of 160 bytes, native", 1e6 / us("native seal"), "per CPU-second"),
      stated("voice packets of 160 bytes sealed, native", 1e6 / us("native voice sealed"), "per CPU-second"),
      stated("seals of 160 bytes, node:crypto as documented", 1e6 / us("documented"), "per CPU-second"),
      stated("seals of 160 bytes, node:crypto with a kept KeyObject", 1e6 / us("barest"), "per CPU-second"),
      stated("seals of 160 bytes, vault on node:crypto", 1e6 / us("degraded seal"), "per CPU-second"),
      atLeast("seal, native / node:crypto as documented", us("documented") / us("native seal")),
      atLeast("voice, native / node:crypto as documented", us("documented") / us("native voice sealed")),
      stated("seal, native / node:crypto with a kept KeyObject", us("barest") / us("native seal"), "ratio"),
      stated("voice, native / node:crypto with a kept KeyObject", us("barest") / us("native voice sealed"), "ratio"),
      stated("seal, native / vault on node:crypto", us("degraded seal") / us("native seal"), "ratio"),
      ...["open", "voice sealed", "voice opened", "HKDF", "HMAC", "X25519, both steps", "ML-KEM-768, all steps"].map(
        (what) => beside(what, us(`native ${what}`), us(`degraded ${what}`), "us CPU"),
      ),
      ...["generation", "wrap", "sign", "unwrap"].map((what) =>
        beside(`RSA-4096 ${what}`, us(`native ${what}`) / 1000, us(`degraded ${what}`) / 1000, "ms CPU"),
      ),
    ].flat(),
  };
}

function atLeast(name: string, ratio: number): Figure {
  return { name, value: round(ratio), unit: "ratio", wanted: SEALS_WANTED, ok: ratio >= SEALS_WANTED };
}

function beside(what: string, native: number, degraded: number, unit: string): Figure[] {
  return [stated(`${what}, native`, native, unit), stated(`${what}, degraded`, degraded, unit)];
}

function packets(times: Times, name: string, vault: Vault): void {
  const { wrap, derive } = vault.newSecret();
  const slot = <Use extends "packet-seal" | "packet-open">(use: Use) => vault.derive(use, 44, [derive], SALT, INFO);
  const [sealing, again, opening] = [slot("packet-seal"), slot("packet-seal"), slot("packet-open")];
  const [sender, second] = [slot("packet-seal"), slot("packet-seal")].map((key) => vault.srtpSender(key, PROFILE));
  const receiver = vault.srtpReceiver(slot("packet-open"), PROFILE);
  const key = vault.derive("mac", 32, [derive], SALT, INFO);
  const count = vault instanceof NativeVault ? MANY_PACKETS : PACKETS;
  const took = (what: string, us: number) => note(times, `${name} ${what}`, us);

  took(
    "seal",
    cpuUs(count, (n) => vault.seal(sealing, n, AAD, PAYLOAD)),
  );
  took(
    "voice sealed",
    cpuUs(count, (n) => sender!.seal(PAYLOAD, n * 960)),
  );
  const sealed = Array.from({ length: PACKETS }, (_, n) => vault.seal(again, n, AAD, PAYLOAD));
  took(
    "open",
    cpuUs(PACKETS, (n) => vault.open(opening, n, AAD, sealed[n]!)),
  );
  const spoken = Array.from({ length: PACKETS }, (_, n) => second!.seal(PAYLOAD, n * 960));
  took(
    "voice opened",
    cpuUs(PACKETS, (n) => receiver.open(spoken[n]!)),
  );
  took(
    "HMAC",
    cpuUs(PACKETS / 10, () => vault.mac(key, PAYLOAD)),
  );
  took(
    "HKDF",
    cpuUs(PACKETS / 10, () => vault.wipe(vault.derive("mac", 32, [derive], SALT, INFO))),
  );
  for (const end of [sender!, second!, receiver]) end.close();
  vault.wipe(wrap, derive, sealing, again, opening, key);
}

async function agreements(times: Times, name: string, vault: Vault): Promise<void> {
  const peer = vault.makeEphemeral("x25519");
  const x25519 = () => vault.wipe(vault.agree(vault.makeEphemeral("x25519"), peer.publicKey));
  const mlKem = () => {
    const own = vault.makeEphemeral("ml-kem-768");
    const { ciphertext, secret } = vault.encapsulate(own.publicKey);
    vault.wipe(secret, vault.decapsulate(own, ciphertext));
  };
  note(times, `${name} X25519, both steps`, cpuUs(AGREEMENTS, x25519));
  note(times, `${name} ML-KEM-768, all steps`, cpuUs(AGREEMENTS, mlKem));

  const pair = await vault.loadKeyPair(await poolKey(0));
  const { wrap, derive } = vault.newSecret();
  let wrapped: Buffer = Buffer.alloc(0);
  note(
    times,
    `${name} wrap`,
    cpuUs(PRIVATE_OPERATIONS * 4, () => {
      wrapped = vault.wrap(pair.spki, INFO, wrap);
    }),
  );
  note(times, `${name} sign`, await cpuUsOf(PRIVATE_OPERATIONS, () => vault.sign(pair, PAYLOAD)));
  note(
    times,
    `${name} unwrap`,
    await cpuUsOf(PRIVATE_OPERATIONS, async () => vault.wipe(await vault.unwrap(pair, INFO, wrapped))),
  );
  vault.wipe(pair, wrap, derive, peer);
}

/** @returns CPU microseconds of one packet */
function nodeSeals(key: CipherKey): number {
  const nonce = randomBytes(12);
  let bytes = 0;
  const us = cpuUs(PACKETS, (n) => {
    nonce.writeUInt32BE(n, 8);
    const cipher = createCipheriv("aes-256-gcm", key, nonce, { authTagLength: 16 });
    cipher.setAAD(AAD);
    const ciphertext = cipher.update(PAYLOAD);
    cipher.final();
    bytes += ciphertext.length + cipher.getAuthTag().length;
  });
  assert.equal(bytes, PACKETS * (PAYLOAD.length + 16));
  return us;
}

function note(times: Times, name: string, us: number): void {
  times.set(name, [...(times.get(name) ?? []), us]);
}

function cpuUs(runs: number, act: (run: number) => unknown): number {
  const before = process.cpuUsage();
  for (let run = 0; run < runs; run++) act(run);
  const { user, system } = process.cpuUsage(before);
  return (user + system) / runs;
}

async function cpuUsOf(runs: number, act: () => Promise<unknown>): Promise<number> {
  const before = process.cpuUsage();
  for (let run = 0; run < runs; run++) await act();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / runs;
}
