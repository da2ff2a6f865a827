/** Wycheproof's files, run through the port; each test counts what it ran, so that nothing drops out silently. */
import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { readFileSync } from "node:fs";
import { VaultError } from "@feldfon/protocol/errors";
import { PublicKey } from "@feldfon/protocol/identity";
import type { Slot } from "@feldfon/protocol/vault";
import type { TestingVault } from "@feldfon/vault/testing";
import { refuses } from "./contract.ts";

interface Group<Case> {
  tests: (Case & { tcId: number; result: "valid" | "invalid" | "acceptable" })[];
}

const TEXT = Buffer.from("compared without a look inside");
const NOTHING = Buffer.alloc(0);

export function wycheproof(name: string, make: () => TestingVault): void {
  describe(`${name}, against Wycheproof`, () => {
    let vault: TestingVault;

    beforeEach(() => {
      vault = make();
    });

    afterEach(() => vault.wipeAll());

    it("computes HMAC-SHA-256 and tells changed tags", () => {
      type Case = { key: string; msg: string; tag: string };
      const counts = run<Case, Group<Case> & { tagSize: number }>("hmac_sha256_test.json", (test, group) => {
        const slot = vault.import("mac", hex(test.key));
        const tag = vault.mac(slot, hex(test.msg)).subarray(0, group.tagSize / 8);
        assert.equal(tag.equals(hex(test.tag)), test.result === "valid");
        assert.equal(vault.macMatches(slot, hex(test.msg), hex(test.tag)), test.result === "valid");
      });
      assert.deepEqual(counts, { valid: 66, invalid: 108 });
    });

    it("derives by HKDF-SHA-256 and refuses what is too long", () => {
      type Case = { ikm: string; salt: string; info: string; size: number; okm: string };
      const counts = run<Case>("hkdf_sha256_test.json", (test) => {
        const material = [vault.import("derive", hex(test.ikm))];
        const derive = () => vault.derive("mac", test.size, material, hex(test.salt), hex(test.info));
        if (test.result === "invalid") assert.throws(derive, refuses("wrong-length"));
        else assert.deepEqual(vault.mac(derive(), TEXT), macUnder(hex(test.okm)));
      });
      assert.deepEqual(counts, { valid: 83, invalid: 3 });
    });

    it("agrees by X25519 and refuses every point that leads to zero", () => {
      type Case = { public: string; private: string; shared: string };
      let zeros = 0;
      const counts = run<Case>("x25519_test.json", (test) => {
        const own = vault.importEphemeral("x25519", hex(test.private));
        if (hex(test.shared).every((byte) => byte === 0)) {
          assert.throws(() => vault.agree(own, hex(test.public)), refuses("bad-point"));
          zeros++;
          return;
        }
        const derived = [vault.agree(own, hex(test.public)), vault.import("derive", hex(test.shared))].map((slot) =>
          vault.derive("mac", 32, [slot], NOTHING, NOTHING),
        );
        assert.deepEqual(vault.mac(derived[0]!, TEXT), vault.mac(derived[1]!, TEXT));
      });
      assert.deepEqual(counts, { valid: 264, acceptable: 254 });
      assert.equal(zeros, 31);
    });

    it("opens OAEP where it should, before it looks for the prefix, and lets none of it through the port", async () => {
      type Case = { msg: string; ct: string; label: string };
      type KeyGroup = Group<Case> & { privateKeyPkcs8: string };
      const counts = await runAsync<Case, KeyGroup>(
        "rsa_oaep_4096_sha256_mgf1sha256_test.json",
        async (test, group) => {
          const pair = await vault.importKeyPair(hex(group.privateKeyPkcs8));
          const opened: Slot<"mac"> | undefined = await vault.openOaep(pair, hex(test.label), hex(test.ct));
          assert.equal(opened !== undefined, test.result === "valid");
          if (opened) assert.deepEqual(vault.mac(opened, TEXT), macUnder(hex(test.msg)));
          // None of the messages begins with +++secret+++, so the port answers good and bad alike.
          await assert.rejects(vault.unwrap(pair, hex(test.label), hex(test.ct)), (error) => {
            assert(error instanceof VaultError);
            assert.deepEqual([error.code, error.cause], ["unwrap", undefined]);
            return true;
          });
        },
      );
      assert.deepEqual(counts, { valid: 18, invalid: 19 });
    });

    it("verifies RSA-PSS with a salt of 32 bytes, and so does PublicKey", () => {
      type Case = { msg: string; sig: string };
      const keys = new Set<string>();
      let shorn = 0;
      const counts = run<Case, Group<Case> & { publicKeyDer: string }>(
        "rsa_pss_4096_sha256_mgf1_32_test.json",
        (test, group) => {
          const key = new PublicKey(hex(group.publicKeyDer));
          keys.add(key.uid);
          assert.equal(key.verifies(hex(test.msg), hex(test.sig)), test.result === "valid");
          assert.equal(vault.verifies(key.spki, hex(test.msg), hex(test.sig)), test.result === "valid");
          if (test.result !== "valid" || !test.sig.startsWith("00")) return;
          shorn++;
          // The same number in 511 bytes is no signature (RFC 8017 §8.1.2, step 1).
          assert.equal(key.verifies(hex(test.msg), hex(test.sig).subarray(1)), false);
          assert.equal(vault.verifies(key.spki, hex(test.msg), hex(test.sig).subarray(1)), false);
        },
      );
      assert.equal(shorn, 1);
      assert.deepEqual(counts, { valid: 63, invalid: 45 });
      assert.equal(keys.size, 1, "every group's key is RSA-4096 with e = 65537");
    });
  });
}

type Counts = Record<string, number>;
type Numbered<Case> = Group<Case>["tests"][number];

function run<Case, KeyGroup extends Group<Case> = Group<Case>>(
  file: string,
  check: (test: Numbered<Case>, group: KeyGroup) => void,
): Counts {
  const counts: Counts = {};
  for (const [test, group] of casesOf<Case, KeyGroup>(file)) {
    try {
      check(test, group);
    } catch (cause) {
      throw new Error(`${file}, tcId ${test.tcId}: ${(cause as Error).message}`, { cause });
    }
    counts[test.result] = (counts[test.result] ?? 0) + 1;
  }
  return counts;
}

async function runAsync<Case, KeyGroup extends Group<Case>>(
  file: string,
  check: (test: Numbered<Case>, group: KeyGroup) => Promise<void>,
): Promise<Counts> {
  const counts: Counts = {};
  for (const [test, group] of casesOf<Case, KeyGroup>(file)) {
    await check(test, group).catch((cause) => {
      throw new Error(`${file}, tcId ${test.tcId}: ${cause.message}`, { cause });
    });
    counts[test.result] = (counts[test.result] ?? 0) + 1;
  }
  return counts;
}

function* casesOf<Case, KeyGroup extends Group<Case>>(file: string): Generator<[Numbered<Case>, KeyGroup]> {
  const path = new URL(`../../vectors/wycheproof/${file}`, import.meta.url);
  const { testGroups, numberOfTests } = JSON.parse(readFileSync(path, "utf8"));
  let tests = 0;
  for (const group of testGroups as KeyGroup[]) {
    for (const test of group.tests) {
      tests++;
      yield [test, group];
    }
  }
  assert.equal(tests, numberOfTests);
}

function macUnder(key: Uint8Array): Buffer {
  return createHmac("sha256", key).update(TEXT).digest();
}

function hex(text: string): Buffer {
  return Buffer.from(text, "hex");
}
