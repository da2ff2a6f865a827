/**
 * What the native vault is put through in a process of its own, because a mistake in C ends the process: one line of
 * JSON says how it went. `node --expose-gc native-child.ts SCENE [ADDON]`
 */
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { setImmediate as turn } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";
import type { VaultError } from "@feldfon/protocol/errors";
import type { Ephemeral, KeyPair, MediaProfile, Slot } from "@feldfon/protocol/vault";
import { NativeVault, type NativeVaultOptions, openVault } from "@feldfon/vault";
import type { NativeAddon } from "@feldfon/vault/native";
import fc from "fast-check";
import { keyPath } from "../../keys.ts";

const SALT = Buffer.alloc(32, 1);
const INFO = Buffer.from("feldfon/1 test\0");
const TEXT = Buffer.from("what is said");
const MEBIBYTE = 1024 * 1024;
/** Workers, one after the other. */
const ROUNDS = Number(process.env.FELDFON_ROUNDS ?? 100);
const PROFILE: MediaProfile = { ssrc: 1, ratchet: { salt: SALT, info: INFO } };

/** Another build than the one that serves, e.g. with sanitizers. */
const addonPath: string | undefined = isMainThread ? process.argv[3] : workerData.addonPath;

function open(options: NativeVaultOptions = {}): NativeVault {
  if (addonPath === undefined) return new NativeVault(options);
  return new NativeVault(options, createRequire(import.meta.url)(addonPath) as NativeAddon);
}

const scenes: Record<string, () => Promise<object>> = {
  status: async () => openVault().status(),
  anything,
  forgotten,
  many,
  workers,
  crammed,
};

if (isMainThread) process.stdout.write(`${JSON.stringify(await scenes[process.argv[2]!]!())}\n`);
else await inWorker();

/** Every method with every kind of argument, in any order: an exception or a result, and the vault serves on. */
async function anything(): Promise<object> {
  const vault = open({ slotsMax: 2_000 });
  const stranger = open();
  const pair = await vault.loadKeyPair(await keyPath(0));
  const wiped = vault.newSecret();
  vault.wipe(wiped.wrap, wiped.derive);
  let made: unknown[] = [];
  const slots = () => {
    const { wrap, derive } = vault.newSecret();
    const uses = ["derive", "stream-seal", "stream-open", "packet-seal", "packet-open", "mac"] as const;
    made = [wrap, derive, pair, vault.makeEphemeral("x25519"), vault.makeEphemeral("ml-kem-768")];
    made.push(...uses.map((use) => vault.derive(use, 44, [derive], SALT, INFO)));
  };
  slots();

  const bytes = fc.oneof(
    fc
      .constantFrom(0, 1, 11, 12, 15, 16, 28, 32, 44, 48, 512, 550, 1_088, 1_184, 9_000, 70_000)
      .map((n) => Buffer.alloc(n, n)),
    fc.uint8Array({ maxLength: 80 }),
    fc.constantFrom(pair.spki, pair.spki.subarray(1), SALT, INFO),
  );
  const strange = fc
    .constantFrom("detached", "shared", "shrunk", "floats", "view", "buffer", "bigints", "proxy")
    .map((what) => strangeBytes(what));
  const handle = fc.oneof(
    { weight: 6, arbitrary: fc.nat(10).map((at) => made[at]) },
    {
      weight: 1,
      arbitrary: fc.constantFrom(wiped.wrap, wiped.derive, stranger.newSecret().derive, stranger.voiceTable),
    },
    { weight: 1, arbitrary: fc.nat(10).map((at) => new Proxy(made[at] as object, {})) },
    { weight: 1, arbitrary: fc.nat(10).map((at) => Object.create(made[at] as object)) },
    { weight: 1, arbitrary: fc.constantFrom({ use: "mac" }, { use: "derive" }, Object.create(null)) },
  );
  const number = fc.oneof(fc.nat(50), fc.double(), fc.constantFrom(-1, 2 ** 31, 2 ** 32, 2 ** 53, 2 ** 64, 44, 8_160));
  const word = fc.constantFrom(
    "derive",
    "mac",
    "wrap",
    "packet-seal",
    "stream-open",
    "x25519",
    "ml-kem-768",
    "\0",
    "/nowhere/x",
  );
  const other = fc.constantFrom<unknown>(
    undefined,
    null,
    true,
    5n,
    Symbol("s"),
    () => 1,
    [],
    "x".repeat(5_000),
    PROFILE,
  );
  const profile = fc.record({ ssrc: number, ratchet: fc.record({ salt: bytes, info: bytes }) });
  const list = fc.array(handle, { maxLength: 30 });
  const any = fc.oneof(handle, handle, bytes, bytes, strange, number, word, other, profile, list);
  const method = fc.constantFrom(
    ...["saveKeyPair", "loadKeyPair", "sign", "unwrap", "newSecret", "wrap", "makeEphemeral", "agree", "encapsulate"],
    ...["decapsulate", "derive", "rekey", "seal", "open", "srtpSender", "srtpReceiver", "mac", "macMatches", "wipe"],
    ...["pinPush", "pinPop", "pinDigits", "pinClear", "pinKeep", "pinMatchesKept"],
    ...["loadSealedKeyPair", "saveSealedKeyPair", "changePin", "setDuressPin"],
  );
  // The shape each method likes, so that it is not always the first argument that is refused.
  const at = (...places: number[]) => fc.constantFrom(...places).map((place) => made[place]);
  const [wrap, derive, keys, sealing, opening, mac] = [at(0), at(1, 5), at(2), at(6, 8), at(7, 9), at(10)];
  const length = fc.constantFrom(44, 32, 1, 8_160);
  const nowhere = fc.constant("/nowhere/x");
  const device = fc.constantFrom<unknown>(
    { kind: "none", file: "/nowhere/device" },
    { kind: "none", file: "/proc/self/mem" },
    { kind: "otp", command: ["/bin/echo", "0123456789abcdef"] },
    { kind: "tpm", command: [] },
    { kind: "tpm", command: [""] },
    { kind: "none", command: Array(40).fill("x") },
    { kind: "strange", file: "" },
  );
  const liked: Record<string, fc.Arbitrary<unknown>[]> = {
    sign: [keys, bytes],
    unwrap: [keys, bytes, bytes],
    wrap: [fc.constant(pair.spki), bytes, wrap],
    makeEphemeral: [fc.constantFrom("x25519", "ml-kem-768")],
    agree: [at(3), bytes],
    encapsulate: [bytes],
    decapsulate: [at(4), bytes],
    derive: [
      fc.constantFrom("mac", "derive", "packet-seal"),
      length,
      fc.array(derive, { maxLength: 20 }),
      bytes,
      bytes,
    ],
    rekey: [at(6, 7), bytes, bytes],
    seal: [sealing, fc.nat(9), bytes, bytes],
    open: [opening, fc.nat(9), bytes, bytes],
    srtpSender: [at(8), profile],
    srtpReceiver: [at(9), profile],
    mac: [mac, bytes],
    macMatches: [mac, bytes, bytes],
    wipe: [fc.nat(10).map((place) => made[place])],
    pinPush: [fc.nat(9)],
    loadSealedKeyPair: [nowhere, device],
    saveSealedKeyPair: [keys, nowhere, device],
    changePin: [keys, nowhere, device],
    setDuressPin: [nowhere, device],
  };
  const call = method.chain((name) => {
    const wild = fc.array(any, { maxLength: 6 });
    const tame = liked[name] ? fc.tuple(...liked[name]) : wild;
    const crossed = liked[name]
      ? fc.tuple(...liked[name].map((like) => fc.oneof({ weight: 5, arbitrary: like }, any)))
      : wild;
    return fc.oneof(tame, tame, crossed, wild).map((args) => [name, args as unknown[]] as const);
  });

  const ends = { answers: 0, errors: 0 };
  await fc.assert(
    fc.asyncProperty(fc.array(call, { minLength: 10, maxLength: 40 }), async (calls) => {
      for (const [name, args] of calls) {
        try {
          // biome-ignore lint/suspicious/noExplicitAny: any method with any arguments is the point
          const answer = (vault as any)[name](...args);
          useMedia(answer);
          // A save that works would leave a file; the paths above lead nowhere.
          await answer;
          ends.answers++;
        } catch (error) {
          assert(error instanceof Error, String(error));
          ends.errors++;
        }
      }
      for (const handle of made) if (handle !== pair) vault.wipe(handle as Slot);
      slots();
    }),
    { numRuns: 300, endOnFailure: true },
  );
  assert.throws(() => vault.mac(made.at(-1) as Slot<"mac">, new Uint8Array(2 ** 31)), { code: "wrong-length" });
  vault.wipeAll();
  stranger.wipeAll();
  const again = open();
  assertServes(again);
  return { ...ends, left: vault.status().slotsInUse };
}

function useMedia(answer: unknown): void {
  const media = answer as { seal?(payload: Uint8Array, timestamp: number): Buffer; open?(packet: Uint8Array): unknown };
  if (typeof media?.seal === "function") {
    media.seal(TEXT, 5);
    assert.throws(() => media.seal!(strangeBytes("detached") as Uint8Array, 5));
  }
  if (typeof media?.open === "function") {
    for (const bytes of [0, 27, 28, 29, 200]) assert.equal(typeof media.open(Buffer.alloc(bytes, 0x80)), "string");
    assert.throws(() => media.open!(strangeBytes("shared") as Uint8Array));
  }
}

/** Made anew each time: what is detached stays detached. */
function strangeBytes(what: string): unknown {
  const bytes = new Uint8Array(48);
  if (what === "detached") structuredClone(bytes, { transfer: [bytes.buffer] });
  if (what === "shared") return new Uint8Array(new SharedArrayBuffer(48));
  if (what === "shrunk") {
    const memory = new ArrayBuffer(48, { maxByteLength: 96 });
    const view = new Uint8Array(memory, 40, 8);
    memory.resize(44);
    return view;
  }
  if (what === "floats") return new Float64Array(6);
  if (what === "view") return new DataView(bytes.buffer);
  if (what === "buffer") return bytes.buffer;
  if (what === "bigints") return new BigInt64Array(4);
  return what === "proxy" ? new Proxy(bytes, {}) : bytes;
}

function assertServes(vault: NativeVault): void {
  const { wrap, derive } = vault.newSecret();
  const [sealing, opening] = [
    vault.derive("stream-seal", 44, [derive], SALT, INFO),
    vault.derive("stream-open", 44, [derive], SALT, INFO),
  ];
  assert.deepEqual(vault.open(opening, 0, INFO, vault.seal(sealing, 0, INFO, TEXT)), TEXT);
  vault.wipe(wrap, derive, sealing, opening);
}

/** Handles that nobody holds any more give their slots back when the collector comes by; one that is held stays. */
async function forgotten(): Promise<object> {
  const vault = open();
  const held = vault.newSecret();
  const pair = await vault.loadKeyPair(await keyPath(0));
  // Nobody but the sender holds its slot.
  const sender = vault.srtpSender(vault.derive("packet-seal", 44, [held.derive], SALT, INFO), PROFILE);
  const bear = () => {
    for (let at = 0; at < 500; at++) {
      if (at % 50 === 0)
        vault.srtpSender(vault.derive("packet-seal", 44, [held.derive], SALT, INFO), PROFILE).seal(TEXT, at);
      vault.derive("mac", 32, [vault.newSecret().derive], SALT, INFO);
      vault.makeEphemeral("x25519");
    }
  };
  bear();
  const born = vault.status().slotsInUse;
  // Collected while it works, a key pair would be gone: the job holds it.
  const signing = vault.sign(await vault.loadKeyPair(await keyPath(1)), TEXT);
  for (let round = 0; round < 50 && vault.status().slotsInUse > 3; round++) {
    globalThis.gc!();
    await turn();
  }
  const left = vault.status().slotsInUse;
  const signature = await signing;
  vault.derive("mac", 32, [held.derive], SALT, INFO);
  await vault.sign(pair, TEXT);
  sender.seal(TEXT, 0);
  return { born, left, signatureBytes: signature.length, held: held.wrap.use };
}

/** 10^5 handles, each wiped by hand, then again by the collector. */
async function many(): Promise<object> {
  const vault = open();
  const slots = (count: number) => {
    for (let at = 0; at < count; at += 2) {
      const { wrap, derive } = vault.newSecret();
      vault.wipe(wrap, derive, derive);
    }
  };
  slots(1_000);
  const before = vault.status().arena!.usedBytes;
  slots(100_000);
  globalThis.gc!();
  await turn();
  const { arena, slotsInUse } = vault.status();
  return { before, after: arena!.usedBytes, slotsInUse };
}

/** As many key pairs of ML-KEM as the least arena holds, twice. */
async function crammed(): Promise<object> {
  const vault = open({ arenaBytes: MEBIBYTE });
  const cram = (): { made: Ephemeral[]; code: string } => {
    const made: Ephemeral[] = [];
    for (;;) {
      try {
        made.push(vault.makeEphemeral("ml-kem-768"));
      } catch (error) {
        return { made, code: (error as VaultError).code };
      }
    }
  };
  vault.wipe(...cram().made); // what OpenSSL makes once is made
  const { made, code } = cram();
  vault.wipe(...made);
  assertServes(vault);
  const again = cram();
  vault.wipeAll();
  assertServes(vault);
  return { code, made: made.length, again: again.made.length };
}

/** A hundred Workers, each with a vault of its own, some stopped in the midst of RSA; the first vault serves on. */
async function workers(): Promise<object> {
  const vault = open();
  const { wrap, derive } = vault.newSecret();
  const used: number[] = [];
  let refused = 0;
  for (let round = 0; round < ROUNDS; round++) {
    const worker = new Worker(fileURLToPath(import.meta.url), {
      workerData: {
        slot: structuredClone(derive),
        path: await keyPath(0),
        addonPath,
        slow: round % 25 === 0,
        busy: round % 5 === 0,
      },
    });
    const answer = await new Promise<string>((resolve, reject) => {
      worker.once("message", resolve);
      worker.once("error", reject);
    });
    if (answer === "no-such-slot") refused++;
    await worker.terminate();
    used.push(vault.status().arena!.usedBytes);
  }
  assertServes(vault);
  vault.wipe(wrap, derive);
  return { refused, used, left: vault.status().slotsInUse };
}

async function inWorker(): Promise<void> {
  const { slot, path, slow, busy } = workerData as { slot: Slot<"derive">; path: string; slow: boolean; busy: boolean };
  const vault = open();
  assertServes(vault);
  const { derive } = vault.newSecret();
  const sender = vault.srtpSender(vault.derive("packet-seal", 44, [derive], SALT, INFO), PROFILE);
  const kept = [derive, sender, vault.makeEphemeral("x25519"), vault.makeEphemeral("ml-kem-768")];
  sender.seal(TEXT, 0);
  if (busy) {
    const pair: KeyPair = await vault.loadKeyPair(path);
    for (let at = 0; at < 4; at++) void vault.sign(pair, TEXT);
  }
  if (slow) void vault.makeKeyPair(); // nobody can stop it, so stopping the Worker waits for it
  try {
    vault.derive("mac", 32, [slot], SALT, INFO);
    parentPort!.postMessage("served");
  } catch (error) {
    parentPort!.postMessage((error as { code: string }).code);
  }
  assert.equal(kept.length, 4);
}
