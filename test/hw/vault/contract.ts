/**
 * What every vault has to keep, whatever it is made of. A vault brings only itself; what it should answer is worked
 * out here with node:crypto, from secrets that the test wraps for the vault's own key.
 */
import assert from "node:assert/strict";
import {
  constants,
  createCipheriv,
  createDecipheriv,
  createHmac,
  createPrivateKey,
  createPublicKey,
  decapsulate,
  diffieHellman,
  encapsulate,
  generateKeyPairSync,
  hkdfSync,
  type KeyObject,
  privateDecrypt,
  publicEncrypt,
  randomBytes,
  verify,
} from "node:crypto";
import { readFile } from "node:fs/promises";
import { inspect } from "node:util";
import { VaultError } from "@feldfon/protocol/errors";
import { PublicKey } from "@feldfon/protocol/identity";
import type { Ephemeral, KeyPair, MediaProfile, Slot, SlotUse, Vault } from "@feldfon/protocol/vault";
import fc from "fast-check";
import { keyPath, withZeroFirst } from "../../keys.ts";
import { keyFileContract } from "./key-file-contract.ts";

const PREFIX = Buffer.from("+++secret+++");
const LABEL = Buffer.from("feldfon/1 server secret\0transcript");
const SALT = Buffer.alloc(32, 0x5a);
const INFO = Buffer.from("feldfon/1 test\0");
const NOTHING = Buffer.alloc(0);
const TEXT = Buffer.from("what is said");
const PROFILE: MediaProfile = { ssrc: 1, ratchet: { salt: SALT, info: Buffer.from("feldfon/1 ratchet A\0") } };

const X25519_HEAD = Buffer.from("302a300506032b656e032100", "hex");
const ML_KEM_HEAD = Buffer.from("308204b2300b0609608648016503040402038204a100", "hex");
const ML_KEM_PRIME = 3329;
const ALL_USES: SlotUse[] = ["derive", "stream-seal", "stream-open", "packet-seal", "packet-open", "mac", "wrap"];

export function refuses(code: string): (error: unknown) => boolean {
  return (error) => {
    assert(error instanceof VaultError, `a VaultError was expected, ${String(error)} came`);
    assert.equal(error.code, code);
    return true;
  };
}

export function vaultContract(name: string, make: () => Vault): void {
  describe(`${name}, held to the vault's port`, () => {
    let vault: Vault;
    let own: { pair: KeyPair; file: KeyObject };
    let other: { pair: KeyPair; file: KeyObject };

    before(async () => {
      vault = make();
      own = await bringKey(vault, 0);
      other = await bringKey(vault, 1);
    });

    after(() => {
      assert.equal(vault.status().slotsInUse, 0, "a test kept a slot, or the vault lost count");
      vault.wipeAll();
    });

    /** A slot whose 48 bytes the test knows. */
    async function known(secret: Uint8Array = randomBytes(48)): Promise<Slot<"derive">> {
      return vault.unwrap(own.pair, LABEL, oaep(own.file, Buffer.concat([PREFIX, secret])));
    }

    async function knownSlot<Use extends Exclude<SlotUse, "wrap">>(use: Use, bytes = 44) {
      const secret = randomBytes(48);
      const material = await known(secret);
      const slot = vault.derive(use, bytes, [material], SALT, INFO);
      vault.wipe(material);
      return { slot, bytes: hkdf(secret, SALT, INFO, bytes) };
    }

    /** Two slots of 44 equal bytes, to seal and to open. */
    async function pairOf<Sealing extends "stream-seal" | "packet-seal", Opening extends "stream-open" | "packet-open">(
      seal: Sealing,
      open: Opening,
    ) {
      const secret = randomBytes(48);
      const material = await known(secret);
      const sealing = vault.derive(seal, 44, [material], SALT, INFO);
      const opening = vault.derive(open, 44, [material], SALT, INFO);
      vault.wipe(material);
      return { sealing, opening, bytes: hkdf(secret, SALT, INFO, 44) };
    }

    function slotFor(use: SlotUse): Slot {
      const { wrap, derive } = vault.newSecret();
      if (use === "wrap") {
        vault.wipe(derive);
        return wrap;
      }
      vault.wipe(wrap);
      if (use === "derive") return derive;
      const slot = vault.derive(use, 44, [derive], SALT, INFO);
      vault.wipe(derive);
      return slot;
    }

    /** The vault never says what a slot holds, but it can be asked whether it holds this. */
    function assertHolds(slot: Slot<"derive">, secret: Uint8Array): void {
      const key = vault.derive("mac", 32, [slot], SALT, INFO);
      const answer = vault.mac(key, TEXT);
      vault.wipe(key);
      assert.deepEqual(answer, hmac(hkdf(secret, SALT, INFO, 32), TEXT));
    }

    describe("slots", () => {
      /** Every operation on a slot, with the uses it is for. */
      const operations: { name: string; uses: SlotUse[]; run: (slot: never) => unknown }[] = [
        { name: "wrap", uses: ["wrap"], run: (slot) => vault.wrap(other.pair.spki, LABEL, slot) },
        { name: "derive", uses: ["derive"], run: (slot) => vault.derive("mac", 32, [slot], SALT, INFO) },
        { name: "rekey", uses: ["stream-seal", "stream-open"], run: (slot) => vault.rekey(slot, SALT, INFO) },
        { name: "seal", uses: ["stream-seal", "packet-seal"], run: (slot) => vault.seal(slot, 0, NOTHING, TEXT) },
        { name: "open", uses: ["stream-open", "packet-open"], run: (slot) => vault.open(slot, 0, NOTHING, TEXT) },
        {
          name: "sealInPlace",
          uses: ["stream-seal", "packet-seal"],
          run: (slot) => vault.sealInPlace(slot, 0, NOTHING, Buffer.alloc(TEXT.length + 16)),
        },
        {
          name: "openInPlace",
          uses: ["stream-open", "packet-open"],
          run: (slot) => vault.openInPlace(slot, 0, NOTHING, Buffer.from(TEXT)),
        },
        { name: "srtpSender", uses: ["packet-seal"], run: (slot) => vault.srtpSender(slot, PROFILE) },
        { name: "srtpReceiver", uses: ["packet-open"], run: (slot) => vault.srtpReceiver(slot, PROFILE) },
        { name: "mac", uses: ["mac"], run: (slot) => vault.mac(slot, TEXT) },
        { name: "macMatches", uses: ["mac"], run: (slot) => vault.macMatches(slot, TEXT, Buffer.alloc(32)) },
      ];

      for (const { name, uses, run } of operations) {
        it(`serves ${name} only from ${uses.join(" and ")}`, () => {
          for (const use of ALL_USES.filter((use) => !uses.includes(use))) {
            const slot = slotFor(use);
            assert.throws(() => run(slot as never), refuses("wrong-use"), use);
            vault.wipe(slot);
          }
        });

        it(`serves ${name} from nothing that is wiped, foreign or made up`, () => {
          const stranger = make();
          for (const use of uses) {
            const slot = slotFor(use);
            assert.throws(() => run(structuredClone(slot) as never), refuses("no-such-slot"));
            vault.wipe(slot);
            assert.throws(() => run(slot as never), refuses("empty-slot"));
            assert.throws(() => run({ use } as never), refuses("no-such-slot"));
          }
          const { wrap, derive } = stranger.newSecret();
          assert.throws(() => run(wrap as never), refuses("no-such-slot"));
          assert.throws(() => run(derive as never), refuses("no-such-slot"));
          stranger.wipeAll();
        });
      }

      it("tells its use and nothing else, however it is printed", async () => {
        const { slot, bytes } = await knownSlot("mac", 32);
        assert.equal(slot.use, "mac");
        const shown = [
          inspect(slot, { showHidden: true, depth: 9, showProxy: true }),
          inspect(vault, { showHidden: true, depth: 9, showProxy: true }),
          inspect(own.pair, { showHidden: true, depth: 9 }),
          JSON.stringify(slot),
          JSON.stringify(vault),
          String(slot),
        ].join("\n");
        const traces = [
          bytes.toString("hex"),
          bytes.toString("base64"),
          bytes.toString("latin1"),
          bytes.toString("hex").replace(/..(?=.)/g, "$& "),
          [...bytes].join(","),
        ];
        for (const trace of traces) assert(!shown.includes(trace.slice(0, 16)));
        vault.wipe(slot);
      });

      it("can't be given another use", () => {
        const slot = slotFor("mac");
        assert(Object.isFrozen(slot));
        assert.throws(() => Object.assign(slot, { use: "wrap" }), TypeError);
        vault.wipe(slot);
      });

      it("are counted from birth to wiping, ephemerals too", () => {
        const before = vault.status().slotsInUse;
        const { wrap, derive } = vault.newSecret();
        const ephemeral = vault.makeEphemeral("x25519");
        assert.equal(vault.status().slotsInUse, before + 3);
        vault.wipe(wrap, derive, ephemeral);
        assert.equal(vault.status().slotsInUse, before);
      });

      it("may be wiped twice, and undefined may come along", () => {
        const slot = slotFor("derive");
        vault.wipe(slot, undefined, slot);
        vault.wipe(slot);
        vault.wipe();
      });

      it("are all wiped even when a foreign handle stands among them", () => {
        const [first, last] = [slotFor("derive"), slotFor("mac")];
        assert.throws(() => vault.wipe(first, { use: "mac" } as Slot, last), refuses("no-such-slot"));
        assert.throws(() => vault.mac(last as Slot<"mac">, TEXT), refuses("empty-slot"));
      });

      it("come to an end: a full vault says so, and has room again once one is wiped", () => {
        const small = make();
        const slots: Slot[] = [];
        while (small.status().slotsInUse + 2 <= small.status().slotsMax) {
          const { wrap, derive } = small.newSecret();
          slots.push(wrap, derive);
        }
        const [first, second] = slots.splice(1, 2) as [Slot<"derive">, Slot<"wrap">];
        small.wipe(second);
        const { slotsInUse } = small.status();
        assert.throws(() => small.newSecret(), refuses("full"), "two are asked for, one is free");
        assert.equal(small.status().slotsInUse, slotsInUse);
        slots.push(small.derive("mac", 32, [first], SALT, INFO));
        assert.throws(() => small.derive("mac", 32, [first], SALT, INFO), refuses("full"));
        assert.throws(() => small.makeEphemeral("x25519"), refuses("full"));
        small.wipe(slots.pop());
        small.wipe(small.makeEphemeral("ml-kem-768"), first);
        small.wipeAll();
        assert.equal(small.status().slotsInUse, 0);
      });

      it("are gone after wipeAll, with key pairs and ephemerals", async () => {
        const short = make();
        const { pair } = await bringKey(short, 2);
        const { wrap, derive } = short.newSecret();
        const ephemeral = short.makeEphemeral("x25519");
        short.wipeAll();
        assert.equal(short.status().slotsInUse, 0);
        assert.throws(() => short.derive("mac", 32, [derive], SALT, INFO), refuses("empty-slot"));
        assert.throws(() => short.wrap(own.pair.spki, LABEL, wrap), refuses("empty-slot"));
        assert.throws(() => short.agree(ephemeral, randomBytes(32)), refuses("empty-slot"));
        await assert.rejects(short.sign(pair, TEXT), refuses("empty-slot"));
      });
    });

    describe("key pairs", () => {
      it("sign so that others can verify: RSA-PSS, SHA-256, salt of 32 bytes", async () => {
        const signature = await vault.sign(own.pair, TEXT);
        assert.equal(signature.length, 512);
        assert(new PublicKey(own.pair.spki).verifies(TEXT, signature));
        assert(!new PublicKey(other.pair.spki).verifies(TEXT, signature));
        for (let turn = 0; turn < 2; turn++) {
          assert.equal(vault.verifies(own.pair.spki, TEXT, signature), true);
          assert.equal(vault.verifies(other.pair.spki, TEXT, signature), false);
          assert.equal(vault.verifies(own.pair.spki, Buffer.concat([TEXT, TEXT]), signature), false);
        }
        for (let at = 0; at < 512; at += 73) {
          const changed = Buffer.from(signature);
          changed[at]! ^= 1;
          assert.equal(vault.verifies(own.pair.spki, TEXT, changed), false);
        }
        for (const length of [0, 511]) {
          assert.equal(vault.verifies(own.pair.spki, TEXT, signature.subarray(0, length)), false);
        }
        assert.equal(vault.verifies(own.pair.spki, TEXT, Buffer.concat([signature, Buffer.of(0)])), false);
        for (const length of [0, 549]) {
          assert.throws(() => vault.verifies(own.pair.spki.subarray(0, length), TEXT, signature), refuses("bad-key"));
        }
        const key = createPublicKey(own.file);
        const padding = constants.RSA_PKCS1_PSS_PADDING;
        for (const [saltLength, holds] of [
          [32, true],
          [20, false],
          [0, false],
        ] as const) {
          assert.equal(verify("sha256", TEXT, { key, padding, saltLength }, signature), holds);
        }
      });

      it("sign what was handed over, even if it changes afterwards", async () => {
        const message = Buffer.from(TEXT);
        const signing = vault.sign(own.pair, message);
        message.fill(0);
        assert(new PublicKey(own.pair.spki).verifies(TEXT, await signing));
      });

      it("show a canonical public key of 550 bytes", () => {
        assert.deepEqual(own.pair.spki, createPublicKey(own.file).export({ type: "spki", format: "der" }));
        assert.equal(new PublicKey(own.pair.spki).spki.length, 550);
      });

      it("serve nothing when wiped, foreign or made up", async () => {
        const { pair } = await bringKey(vault, 2);
        vault.wipe(pair);
        const stranger = make();
        const { pair: foreign } = await bringKey(stranger, 2);
        const madeUp = { spki: own.pair.spki } as KeyPair;
        for (const [bad, code] of [
          [pair, "empty-slot"],
          [foreign, "no-such-slot"],
          [madeUp, "no-such-slot"],
        ] as const) {
          await assert.rejects(vault.sign(bad, TEXT), refuses(code));
          await assert.rejects(vault.unwrap(bad, LABEL, randomBytes(512)), refuses(code));
          await assert.rejects(vault.saveKeyPair(bad, "/nowhere/key.pem"), refuses(code));
        }
        stranger.wipeAll();
      });

      it("open nothing once they are wiped, even if the opening has begun", async () => {
        const { pair } = await bringKey(vault, 2);
        const wrapped = oaep(createPublicKey({ key: pair.spki, format: "der", type: "spki" }), knownSecret());
        const opening = vault.unwrap(pair, LABEL, wrapped);
        vault.wipe(pair);
        await assert.rejects(opening, refuses("empty-slot"));
      });

      it("are not born after everything was wiped", async () => {
        const short = make();
        const loading = short.loadKeyPair(await keyPath(2));
        short.wipeAll();
        await assert.rejects(loading, refuses("empty-slot"));
      });

      keyFileContract(() => ({ vault, own, other }));
    });

    describe("wrapped secrets", () => {
      it("open with node:crypto as +++secret+++ and 48 bytes, the same that can be derived from", () => {
        const { wrap, derive } = vault.newSecret();
        const wrapped = [own, other, own].map(({ pair }) => vault.wrap(pair.spki, LABEL, wrap));
        assert.notDeepEqual(wrapped[0], wrapped[2], "OAEP is randomized");
        const clear = [own, other, own].map(({ file }, at) => oaepOpened(file, wrapped[at]!));
        assert.deepEqual(clear[0], clear[1]);
        assert.deepEqual(clear[0], clear[2]);
        assert.equal(clear[0]!.length, 60);
        assert.deepEqual(clear[0]!.subarray(0, 12), PREFIX);
        assertHolds(derive, clear[0]!.subarray(12));
        vault.wipe(wrap, derive);
      });

      it("are 48 other bytes each time", () => {
        const made = Array.from({ length: 8 }, () => vault.newSecret());
        const seen = made.map(({ wrap }) =>
          oaepOpened(own.file, vault.wrap(own.pair.spki, LABEL, wrap)).toString("hex"),
        );
        assert.equal(new Set(seen).size, made.length);
        for (const { wrap, derive } of made) vault.wipe(wrap, derive);
      });

      it("open in the vault when node:crypto wrapped them", async () => {
        const secret = randomBytes(48);
        const slot = await known(secret);
        assert.equal(slot.use, "derive");
        assertHolds(slot, secret);
        vault.wipe(slot);
      });

      it("pass from one end of a line to the other", async () => {
        const { wrap, derive } = vault.newSecret();
        const there = await vault.unwrap(other.pair, LABEL, vault.wrap(other.pair.spki, LABEL, wrap));
        const keys = [derive, there].map((slot) => vault.derive("mac", 32, [slot], SALT, INFO));
        assert.deepEqual(vault.mac(keys[0]!, TEXT), vault.mac(keys[1]!, TEXT));
        vault.wipe(wrap, derive, there, ...keys);
      });

      it("open under the empty label too", async () => {
        const { wrap, derive } = vault.newSecret();
        const there = await vault.unwrap(own.pair, NOTHING, vault.wrap(own.pair.spki, NOTHING, wrap));
        vault.wipe(wrap, derive, there);
      });

      it("fail to open in one and the same way, whatever is wrong", async () => {
        const { file } = own;
        const good = oaep(file, knownSecret());
        const flipped = Buffer.from(good);
        flipped[511]! ^= 1;
        const modulus = own.pair.spki.subarray(33, 33 + 512);
        const wrong: Record<string, Uint8Array> = {
          "another label": oaep(file, knownSecret(), { label: Buffer.from("feldfon/1 call\0transcript") }),
          "no label": oaep(file, knownSecret(), { label: NOTHING }),
          "another key": oaep(other.file, knownSecret()),
          "a flipped bit": flipped,
          "a byte less in it": oaep(file, knownSecret().subarray(0, 59)),
          "a byte more in it": oaep(file, Buffer.concat([knownSecret(), Buffer.of(0)])),
          "nothing in it": oaep(file, NOTHING),
          "another prefix, first byte": oaep(file, Buffer.concat([Buffer.from("-++secret+++"), randomBytes(48)])),
          "another prefix, last byte": oaep(file, Buffer.concat([Buffer.from("+++secret++-"), randomBytes(48)])),
          "the prefix behind": oaep(file, Buffer.concat([randomBytes(48), PREFIX])),
          "OAEP with SHA-1": oaep(file, knownSecret(), { hash: "sha1" }),
          "PKCS #1 v1.5": publicEncrypt({ key: file, padding: constants.RSA_PKCS1_PADDING }, knownSecret()),
          "a byte missing": good.subarray(1),
          "a zero missing at its front": withZeroFirst(() => oaep(file, knownSecret())).subarray(1),
          "a byte too many": Buffer.concat([Buffer.of(0), good]),
          "no bytes": NOTHING,
          zeros: Buffer.alloc(512),
          "all ones": Buffer.alloc(512, 0xff),
          "the modulus": modulus,
        };
        const failures = new Map<string, string[]>();
        for (const [what, wrapped] of Object.entries(wrong)) {
          const error = await vault.unwrap(own.pair, LABEL, wrapped).then(
            () => assert.fail(`${what} was opened`),
            (error: Error) => error,
          );
          const { name, message, code } = error as VaultError;
          const look = inspect({ name, message, code, cause: error.cause, keys: Object.keys(error) });
          failures.set(look, [...(failures.get(look) ?? []), what]);
        }
        assert.equal(failures.size, 1, inspect(failures));
        await assert.rejects(vault.unwrap(own.pair, LABEL, NOTHING), refuses("unwrap"));
        vault.wipe(await vault.unwrap(own.pair, LABEL, good));
      });

      it("come from newSecret alone: what was opened or derived is never wrapped", async () => {
        const opened = await known();
        assert.throws(() => vault.wrap(other.pair.spki, LABEL, opened as never), refuses("wrong-use"));
        assert.throws(() => vault.derive("wrap" as never, 48, [opened], SALT, INFO), refuses("wrong-use"));
        vault.wipe(opened);
      });

      it("are wrapped for RSA-4096 with e = 65537 only", () => {
        const { wrap, derive } = vault.newSecret();
        const spki = { type: "spki", format: "der" } as const;
        const { n } = createPublicKey(own.file).export({ format: "jwk" });
        const strangers = [
          createPublicKey({ key: { kty: "RSA", n: n!, e: "Aw" }, format: "jwk" }).export(spki), // e = 3
          NOTHING,
          randomBytes(550),
          own.pair.spki.subarray(1),
          generateKeyPairSync("rsa", { modulusLength: 2048 }).publicKey.export(spki),
          generateKeyPairSync("ec", { namedCurve: "P-256" }).publicKey.export(spki),
        ];
        for (const key of strangers) assert.throws(() => vault.wrap(key, LABEL, wrap), refuses("bad-key"));
        vault.wipe(wrap, derive);
      });
    });

    describe("key agreement", () => {
      it("meets node:crypto on X25519", () => {
        const ephemeral = vault.makeEphemeral("x25519");
        assert.equal(ephemeral.algorithm, "x25519");
        assert.equal(ephemeral.publicKey.length, 32);
        const peer = generateKeyPairSync("x25519");
        const shared = diffieHellman({ privateKey: peer.privateKey, publicKey: x25519Key(ephemeral.publicKey) });
        const slot = vault.agree(ephemeral, rawKey(peer.publicKey, X25519_HEAD));
        assert.equal(slot.use, "derive");
        assertHolds(slot, shared);
        vault.wipe(slot);
      });

      it("meets itself on X25519 and ML-KEM-768", () => {
        const [a, b] = [vault.makeEphemeral("x25519"), vault.makeEphemeral("x25519")];
        const kem = vault.makeEphemeral("ml-kem-768");
        const { ciphertext, secret } = vault.encapsulate(kem.publicKey);
        const [left, right] = [
          [vault.agree(a, b.publicKey), secret],
          [vault.agree(b, a.publicKey), vault.decapsulate(kem, ciphertext)],
        ];
        const keys = [left, right].map((material) => vault.derive("mac", 32, material, SALT, INFO));
        assert.deepEqual(vault.mac(keys[0]!, TEXT), vault.mac(keys[1]!, TEXT));
        vault.wipe(...left, ...right, ...keys);
      });

      it("meets node:crypto on ML-KEM-768, from both sides", () => {
        const ephemeral = vault.makeEphemeral("ml-kem-768");
        assert.equal(ephemeral.publicKey.length, 1184);
        const theirs = encapsulate(mlKemKey(ephemeral.publicKey));
        const opened = vault.decapsulate(ephemeral, theirs.ciphertext);
        assertHolds(opened, theirs.sharedKey);

        const peer = generateKeyPairSync("ml-kem-768");
        const { ciphertext, secret } = vault.encapsulate(rawKey(peer.publicKey, ML_KEM_HEAD));
        assert.equal(ciphertext.length, 1088);
        assertHolds(secret, decapsulate(peer.privateKey, ciphertext));
        vault.wipe(opened, secret);
      });

      it("uses every ephemeral once, and not for the other algorithm", () => {
        const x = vault.makeEphemeral("x25519");
        const kem = vault.makeEphemeral("ml-kem-768");
        assert.throws(() => vault.agree(kem as never, x.publicKey), refuses("wrong-use"));
        assert.throws(() => vault.decapsulate(x as never, Buffer.alloc(1088)), refuses("wrong-use"));
        const peer = rawKey(generateKeyPairSync("x25519").publicKey, X25519_HEAD);
        vault.wipe(vault.agree(x, peer), vault.decapsulate(kem, encapsulate(mlKemKey(kem.publicKey)).ciphertext));
        assert.throws(() => vault.agree(x, peer), refuses("empty-slot"));
        assert.throws(() => vault.decapsulate(kem, Buffer.alloc(1088)), refuses("empty-slot"));
        assert.throws(() => vault.agree({ ...x } as Ephemeral<"x25519">, peer), refuses("no-such-slot"));
      });

      it("refuses points that lead to zero, and other lengths than 32; the ephemeral is gone then too", () => {
        const lowOrder = [
          "0000000000000000000000000000000000000000000000000000000000000000",
          "0100000000000000000000000000000000000000000000000000000000000000",
          "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
          "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
          "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
        ].map((hex) => Buffer.from(hex, "hex"));
        for (const point of [...lowOrder, NOTHING, randomBytes(31), randomBytes(33)]) {
          const ephemeral = vault.makeEphemeral("x25519");
          assert.throws(() => vault.agree(ephemeral, point), refuses("bad-point"));
          assert.throws(() => vault.agree(ephemeral, randomBytes(32)), refuses("empty-slot"));
        }
      });

      it("refuses an encapsulation key of another length or with one coefficient above the prime", () => {
        const good = rawKey(generateKeyPairSync("ml-kem-768").publicKey, ML_KEM_HEAD);
        for (const bytes of [0, 1183, 1185, 800, 1568]) {
          const key = Buffer.alloc(bytes);
          assert.throws(() => vault.encapsulate(key), refuses("bad-encapsulation-key"));
        }
        for (let coefficient = 0; coefficient < 768; coefficient++) {
          const largest = coefficient % 2 === 0 ? ML_KEM_PRIME : 4095;
          const bad = withCoefficient(good, coefficient, largest);
          assert.throws(() => vault.encapsulate(bad), refuses("bad-encapsulation-key"), `coefficient ${coefficient}`);
        }
        for (const coefficient of [0, 1, 766, 767]) {
          const { secret } = vault.encapsulate(withCoefficient(good, coefficient, ML_KEM_PRIME - 1));
          vault.wipe(secret);
        }
      });

      it("refuses a ciphertext of another length; a changed one gives another secret and no hint", () => {
        for (const bytes of [0, 1087, 1089]) {
          const ephemeral = vault.makeEphemeral("ml-kem-768");
          assert.throws(() => vault.decapsulate(ephemeral, Buffer.alloc(bytes)), refuses("bad-ciphertext"));
          assert.throws(() => vault.decapsulate(ephemeral, Buffer.alloc(1088)), refuses("empty-slot"));
        }
        const ephemeral = vault.makeEphemeral("ml-kem-768");
        const { ciphertext, sharedKey } = encapsulate(mlKemKey(ephemeral.publicKey));
        ciphertext[500]! ^= 1;
        const slot = vault.decapsulate(ephemeral, ciphertext);
        assert.throws(() => assertHolds(slot, sharedKey), assert.AssertionError);
        vault.wipe(slot);
      });
    });

    describe("derivation", () => {
      it("is HKDF-SHA-256 over the joined slots, in their order", async () => {
        const secrets = [randomBytes(48), randomBytes(48), randomBytes(48)];
        const slots = await Promise.all(secrets.map(known));
        fc.assert(
          fc.property(
            fc.array(fc.nat(2), { minLength: 1, maxLength: 4 }),
            fc.uint8Array({ maxLength: 80 }),
            fc.uint8Array({ maxLength: 200 }),
            fc.integer({ min: 1, max: 8160 }),
            (order, salt, info, bytes) => {
              const slot = vault.derive(
                "mac",
                bytes,
                order.map((at) => slots[at]!),
                salt,
                info,
              );
              const expected = hkdf(Buffer.concat(order.map((at) => secrets[at]!)), salt, info, bytes);
              try {
                assert.deepEqual(vault.mac(slot, TEXT), hmac(expected, TEXT));
              } finally {
                vault.wipe(slot);
              }
            },
          ),
          { numRuns: 60 },
        );
        vault.wipe(...slots);
      });

      it("refuses lengths that HKDF does not have, or that the new use does not fit", async () => {
        const material = await known();
        for (const bytes of [0, -1, 8161, 1.5, Number.NaN, 2 ** 32]) {
          assert.throws(() => vault.derive("derive", bytes, [material], SALT, INFO), refuses("wrong-length"));
        }
        for (const use of ["stream-seal", "stream-open", "packet-seal", "packet-open"] as const) {
          for (const bytes of [43, 45, 32]) {
            assert.throws(() => vault.derive(use, bytes, [material], SALT, INFO), refuses("wrong-length"));
          }
        }
        vault.wipe(material);
      });

      it("does not derive from nothing", () => {
        assert.throws(() => vault.derive("mac", 32, [], SALT, INFO), refuses("wrong-use"));
      });
    });

    describe("streams and packets", () => {
      it("seal as AES-256-GCM under iv XOR counter, so that node:crypto can open", async () => {
        const { slot, bytes } = await knownSlot("packet-seal");
        for (const counter of [0, 1, 255, 256, 2 ** 32 - 1, 2 ** 32, 2 ** 52 + 3, Number.MAX_SAFE_INTEGER]) {
          const aad = randomBytes(12);
          assert.deepEqual(gcmOpened(bytes, counter, aad, vault.seal(slot, counter, aad, TEXT)), TEXT);
        }
        assert.throws(() => vault.seal(slot, 2 ** 53, NOTHING, TEXT), refuses("counter"));
        vault.wipe(slot);
      });

      it("seal in place as they seal elsewhere, and count it as one", async () => {
        const { slot, bytes } = await knownSlot("stream-seal");
        const lengths = [0, 1, 16, 255, 70_001];
        for (const [counter, length] of lengths.entries()) {
          const clear = randomBytes(length);
          const place = Buffer.concat([clear, Buffer.alloc(16)]);
          for (const wrong of [counter - 1, counter + 1]) {
            assert.throws(() => vault.sealInPlace(slot, wrong, INFO, place), refuses("counter"));
          }
          vault.sealInPlace(slot, counter, INFO, place);
          assert.deepEqual(gcmOpened(bytes, counter, INFO, place), clear);
        }
        assert.throws(() => vault.sealInPlace(slot, lengths.length, INFO, Buffer.alloc(15)), refuses("wrong-length"));
        vault.sealInPlace(slot, lengths.length, INFO, Buffer.alloc(16));
        vault.wipe(slot);
        assert.throws(() => vault.sealInPlace(slot, lengths.length + 1, INFO, Buffer.alloc(16)), refuses("empty-slot"));
      });

      it("open in place, and leave zeros of what is forged", async () => {
        const { slot, bytes } = await knownSlot("stream-open");
        for (const [counter, length] of [0, 1, 16, 255, 65_537].entries()) {
          const clear = randomBytes(length);
          const forged = gcmSealed(bytes, counter, INFO, clear);
          forged[length + 15]! ^= 1;
          assert.throws(() => vault.openInPlace(slot, counter, INFO, forged), refuses("forged"));
          assert.deepEqual(forged.subarray(0, length), Buffer.alloc(length));
          const place = gcmSealed(bytes, counter, INFO, clear);
          vault.openInPlace(slot, counter, INFO, place);
          assert.deepEqual(place.subarray(0, length), clear);
        }
        assert.throws(() => vault.openInPlace(slot, 5, INFO, Buffer.alloc(15)), refuses("forged"));
        vault.wipe(slot);
      });

      it("open what node:crypto has sealed, empty or long", async () => {
        const { slot, bytes } = await knownSlot("stream-open");
        for (const [counter, length] of [0, 1, 16, 255, 65_537].entries()) {
          const clear = randomBytes(length);
          assert.deepEqual(vault.open(slot, counter, INFO, gcmSealed(bytes, counter, INFO, clear)), clear);
        }
        vault.wipe(slot);
      });

      it("take a stream's counters as 0, 1, 2 .. and no other", async () => {
        const { sealing, opening } = await pairOf("stream-seal", "stream-open");
        for (const wrong of [1, -1, 0.5, Number.NaN]) {
          assert.throws(() => vault.seal(sealing, wrong, NOTHING, TEXT), refuses("counter"));
        }
        const frames = [0, 1, 2].map((counter) => vault.seal(sealing, counter, NOTHING, TEXT));
        for (const wrong of [0, 2, 4])
          assert.throws(() => vault.seal(sealing, wrong, NOTHING, TEXT), refuses("counter"));

        assert.throws(() => vault.open(opening, 1, NOTHING, frames[1]!), refuses("counter"));
        vault.open(opening, 0, NOTHING, frames[0]!);
        assert.throws(() => vault.open(opening, 0, NOTHING, frames[0]!), refuses("counter"));
        assert.throws(() => vault.open(opening, 2, NOTHING, frames[2]!), refuses("counter"));
        vault.open(opening, 1, NOTHING, frames[1]!);
        vault.wipe(sealing, opening);
      });

      it("let a packet's counter rise with gaps, never stand or fall", async () => {
        const { sealing, opening } = await pairOf("packet-seal", "packet-open");
        const packets = [3, 7, 8].map((counter) => vault.seal(sealing, counter, NOTHING, TEXT));
        for (const wrong of [8, 7, 0, -1, 9.5]) {
          assert.throws(() => vault.seal(sealing, wrong, NOTHING, TEXT), refuses("counter"));
        }
        vault.open(opening, 3, NOTHING, packets[0]!);
        vault.open(opening, 8, NOTHING, packets[2]!);
        assert.throws(() => vault.open(opening, 7, NOTHING, packets[1]!), refuses("counter"));
        assert.throws(() => vault.open(opening, 8, NOTHING, packets[2]!), refuses("counter"));
        vault.wipe(sealing, opening);
      });

      for (const kind of ["stream", "packet"] as const) {
        it(`refuse every flipped byte of a ${kind} without moving its counter`, async () => {
          const { sealing, opening } = await pairOf(`${kind}-seal`, `${kind}-open`);
          const aad = Buffer.from("length and counter");
          const sealed = vault.seal(sealing, 0, aad, TEXT);
          for (let at = 0; at < sealed.length; at++) {
            const flipped = Buffer.from(sealed);
            flipped[at]! ^= 0x80;
            assert.throws(() => vault.open(opening, 0, aad, flipped), refuses("forged"));
          }
          for (const bytes of [0, 1, 15, 16, sealed.length - 1]) {
            assert.throws(() => vault.open(opening, 0, aad, sealed.subarray(0, bytes)), refuses("forged"));
          }
          assert.throws(() => vault.open(opening, 0, Buffer.from("another"), sealed), refuses("forged"));
          if (kind === "packet") assert.throws(() => vault.open(opening, 5, aad, sealed), refuses("forged"));
          assert.deepEqual(vault.open(opening, 0, aad, sealed), TEXT);
          vault.wipe(sealing, opening);
        });
      }

      it("go on counting under the next key after a rekey, on both ends and in node:crypto", async () => {
        const { sealing, opening, bytes } = await pairOf("stream-seal", "stream-open");
        vault.open(opening, 0, NOTHING, vault.seal(sealing, 0, NOTHING, TEXT));
        vault.rekey(sealing, SALT, INFO);
        assert.throws(() => vault.seal(sealing, 0, NOTHING, TEXT), refuses("counter"));
        const sealed = vault.seal(sealing, 1, NOTHING, TEXT);
        assert.deepEqual(gcmOpened(hkdf(bytes, SALT, INFO, 44), 1, NOTHING, sealed), TEXT);
        assert.throws(() => vault.open(opening, 1, NOTHING, sealed), refuses("forged"));
        vault.rekey(opening, SALT, INFO);
        assert.deepEqual(vault.open(opening, 1, NOTHING, sealed), TEXT);
        vault.wipe(sealing, opening);
      });
    });

    describe("message authentication", () => {
      it("is HMAC-SHA-256", async () => {
        for (const length of [1, 32, 64, 65, 200]) {
          const { slot, bytes } = await knownSlot("mac", length);
          for (const message of [NOTHING, TEXT, randomBytes(1000)]) {
            assert.deepEqual(vault.mac(slot, message), hmac(bytes, message));
          }
          vault.wipe(slot);
        }
      });

      it("takes a tag of 16 bytes or more from the front, and no shorter, longer or changed one", async () => {
        const { slot } = await knownSlot("mac", 32);
        const tag = vault.mac(slot, TEXT);
        for (let bytes = 0; bytes <= 32; bytes++) {
          assert.equal(vault.macMatches(slot, TEXT, tag.subarray(0, bytes)), bytes >= 16, `${bytes} bytes`);
        }
        assert(!vault.macMatches(slot, TEXT, Buffer.concat([tag, Buffer.of(0)])));
        assert(!vault.macMatches(slot, NOTHING, tag));
        for (let at = 0; at < 16; at++) {
          const flipped = Buffer.from(tag.subarray(0, 16));
          flipped[at]! ^= 1;
          assert(!vault.macMatches(slot, TEXT, flipped));
        }
        vault.wipe(slot);
      });
    });

    describe("voice", () => {
      async function voice() {
        const { sealing, opening, bytes } = await pairOf("packet-seal", "packet-open");
        const sender = vault.srtpSender(sealing, PROFILE);
        return { sender, receiver: vault.srtpReceiver(opening, PROFILE), sealing, opening, bytes };
      }

      it("comes out as it went in, across three epochs, with its index and time stamp", async () => {
        const { sender, receiver } = await voice();
        for (let index = 0; index < 6_010; index++) {
          const payload = Buffer.from(`packet ${index}`);
          const packet = sender.seal(payload, index * 320);
          assert.equal(packet.length, 12 + payload.length + 16);
          assert.deepEqual(packet.subarray(0, 4), Buffer.of(0x80, 96, index >> 8, index & 0xff));
          assert.equal(packet.readUInt32BE(8), PROFILE.ssrc);
          assert(!packet.includes(payload));
          assert.deepEqual(receiver.open(packet), { index, timestamp: index * 320, payload });
        }
        sender.close();
        receiver.close();
      });

      it("lets time stamps run over 32 bits", async () => {
        const { sender, receiver } = await voice();
        const opened = receiver.open(sender.seal(TEXT, 2 ** 32 + 7));
        assert(typeof opened === "object");
        assert.equal(opened.timestamp, 7);
        sender.close();
        receiver.close();
      });

      it("is refused with a reason when replayed, too old, forged or malformed", async () => {
        const { sender, receiver } = await voice();
        const packets = Array.from({ length: 140 }, (_, at) => sender.seal(TEXT, at));
        assert.equal(typeof receiver.open(packets[130]!), "object");
        assert.equal(receiver.open(packets[130]!), "replayed");
        assert.equal(receiver.open(packets[2]!), "too-old");
        assert.equal(typeof receiver.open(packets[3]!), "object");
        const flipped = Buffer.from(packets[139]!);
        flipped[20]! ^= 1;
        assert.equal(receiver.open(flipped), "forged");
        for (const [at, value] of [
          [0, 0x90],
          [0, 0xa0],
          [0, 0x81],
          [0, 0x00],
          [1, 96 | 0x80],
          [1, 97],
          [11, 2],
          [8, 1],
        ]) {
          const strange = Buffer.from(packets[139]!);
          strange[at!] = value!;
          assert.equal(receiver.open(strange), "malformed");
        }
        for (const bytes of [0, 1, 11, 12, 27, 28]) {
          assert.equal(receiver.open(packets[139]!.subarray(0, bytes)), "malformed");
        }
        assert.equal(typeof receiver.open(packets[139]!), "object");
        sender.close();
        receiver.close();
      });

      it("takes its slots over: they serve nothing else, and are wiped when it ends", async () => {
        const { sender, receiver, sealing, opening } = await voice();
        const { slotsInUse } = vault.status();
        assert.throws(() => vault.seal(sealing, 0, NOTHING, TEXT), refuses("wrong-use"));
        assert.throws(() => vault.srtpSender(sealing, PROFILE), refuses("wrong-use"));
        assert.throws(() => vault.open(opening, 0, NOTHING, TEXT), refuses("wrong-use"));
        assert.throws(() => vault.srtpReceiver(opening, PROFILE), refuses("wrong-use"));
        const packet = sender.seal(TEXT, 0);
        for (const end of [sender, receiver, sender, receiver]) end.close();
        assert.equal(vault.status().slotsInUse, slotsInUse - 2);
        assert.throws(() => sender.seal(TEXT, 1), refuses("empty-slot"));
        assert.throws(() => receiver.open(packet), refuses("empty-slot"));
        assert.throws(() => vault.seal(sealing, 0, NOTHING, TEXT), refuses("empty-slot"));
      });

      it("ends when its slots are wiped", async () => {
        const { sender, receiver, sealing, opening } = await voice();
        const packet = sender.seal(TEXT, 0);
        vault.wipe(sealing, opening);
        assert.throws(() => sender.seal(TEXT, 1), refuses("empty-slot"));
        assert.throws(() => receiver.open(packet), refuses("empty-slot"));
        sender.close();
        receiver.close();
      });

      it("does not begin on a key that has sealed or opened by itself", async () => {
        const { sealing, opening } = await pairOf("packet-seal", "packet-open");
        vault.open(opening, 0, NOTHING, vault.seal(sealing, 0, NOTHING, TEXT));
        assert.throws(() => vault.srtpSender(sealing, PROFILE), refuses("wrong-use"));
        assert.throws(() => vault.srtpReceiver(opening, PROFILE), refuses("wrong-use"));
        vault.wipe(sealing, opening);
      });

      it("sends no empty packets", async () => {
        const { sender, receiver } = await voice();
        assert.throws(() => sender.seal(NOTHING, 0), refuses("wrong-length"));
        sender.close();
        receiver.close();
      });
    });
  });
}

async function bringKey(vault: Vault, n: number): Promise<{ pair: KeyPair; file: KeyObject }> {
  const path = await keyPath(n);
  return { pair: await vault.loadKeyPair(path), file: createPrivateKey(await readFile(path)) };
}

function knownSecret(): Buffer {
  return Buffer.concat([PREFIX, randomBytes(48)]);
}

function oaep(key: KeyObject, clear: Uint8Array, { label = LABEL, hash = "sha256" } = {}): Buffer {
  return publicEncrypt({ key, padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: hash, oaepLabel: label }, clear);
}

function oaepOpened(key: KeyObject, wrapped: Buffer): Buffer {
  const padding = constants.RSA_PKCS1_OAEP_PADDING;
  return privateDecrypt({ key, padding, oaepHash: "sha256", oaepLabel: LABEL }, wrapped);
}

function hkdf(keyMaterial: Uint8Array, salt: Uint8Array, info: Uint8Array, bytes: number): Buffer {
  return Buffer.from(hkdfSync("sha256", keyMaterial, salt, info, bytes));
}

function hmac(key: Uint8Array, message: Uint8Array): Buffer {
  return createHmac("sha256", key).update(message).digest();
}

function nonceOf(keyAndIv: Buffer, counter: number): Buffer {
  const nonce = BigInt(`0x${keyAndIv.toString("hex", 32)}`) ^ BigInt(counter);
  return Buffer.from(nonce.toString(16).padStart(24, "0"), "hex");
}

function gcmSealed(keyAndIv: Buffer, counter: number, aad: Uint8Array, clear: Uint8Array): Buffer {
  const cipher = createCipheriv("aes-256-gcm", keyAndIv.subarray(0, 32), nonceOf(keyAndIv, counter));
  cipher.setAAD(aad);
  return Buffer.concat([cipher.update(clear), cipher.final(), cipher.getAuthTag()]);
}

function gcmOpened(keyAndIv: Buffer, counter: number, aad: Uint8Array, sealed: Buffer): Buffer {
  const nonce = nonceOf(keyAndIv, counter);
  const decipher = createDecipheriv("aes-256-gcm", keyAndIv.subarray(0, 32), nonce, { authTagLength: 16 });
  decipher.setAAD(aad);
  decipher.setAuthTag(sealed.subarray(-16));
  return Buffer.concat([decipher.update(sealed.subarray(0, -16)), decipher.final()]);
}

function rawKey(key: KeyObject, head: Buffer): Buffer {
  return key.export({ type: "spki", format: "der" }).subarray(head.length);
}

function x25519Key(raw: Uint8Array): KeyObject {
  return createPublicKey({ key: Buffer.concat([X25519_HEAD, raw]), format: "der", type: "spki" });
}

function mlKemKey(raw: Uint8Array): KeyObject {
  return createPublicKey({ key: Buffer.concat([ML_KEM_HEAD, raw]), format: "der", type: "spki" });
}

/** Coefficients lie as 12 bits each, low bits first, two in three bytes (FIPS 203 §4.2.1, ByteEncode). */
function withCoefficient(encapsulationKey: Buffer, coefficient: number, value: number): Buffer {
  const key = Buffer.from(encapsulationKey);
  const at = Math.floor(coefficient / 2) * 3;
  const pair = key.readUIntLE(at, 3);
  const [low, high] = coefficient % 2 === 0 ? [value, pair >> 12] : [pair & 0xfff, value];
  key.writeUIntLE(low | (high << 12), at, 3);
  return key;
}
