/**
 * Both vaults beside the noble libraries, both ways: another implementation in another language, by other people, with
 * not a line of OpenSSL in it. RSA it has none; that is held to node:crypto and Wycheproof.
 */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import type { TestingVault } from "@feldfon/vault/testing";
import { gcm } from "@noble/ciphers/aes.js";
import { x25519 } from "@noble/curves/ed25519.js";
import { hkdf } from "@noble/hashes/hkdf.js";
import { hmac } from "@noble/hashes/hmac.js";
import { sha256 } from "@noble/hashes/sha2.js";
import { ml_kem768 } from "@noble/post-quantum/ml-kem.js";
import fc from "fast-check";

const bytes = (minLength: number, maxLength = minLength) => fc.uint8Array({ minLength, maxLength });
const FEW = { numRuns: 15 };
const SOME = { numRuns: 100 };

export function noble(name: string, make: () => TestingVault): void {
  describe(`${name}, beside noble`, () => {
    let vault: TestingVault;

    before(() => {
      vault = make();
    });

    after(() => {
      assert.equal(vault.status().slotsInUse, 0, "a test kept a slot");
      vault.wipeAll();
    });

    /** What the slot holds, which ends with that. */
    function taken(slot: Parameters<TestingVault["reveal"]>[0]): Uint8Array {
      const secret = Uint8Array.from(vault.reveal(slot));
      vault.wipe(slot);
      return secret;
    }

    it("agrees on the same X25519 secret, whoever's private key is whose", () => {
      fc.assert(
        fc.property(bytes(32), bytes(32), (ours, theirs) => {
          const fresh = vault.makeEphemeral("x25519");
          const publicKey = Uint8Array.from(fresh.publicKey);
          const secret = taken(vault.agree(fresh, x25519.getPublicKey(theirs)));
          assert.deepEqual(secret, x25519.getSharedSecret(theirs, publicKey));

          const brought = vault.importEphemeral("x25519", ours);
          assert.deepEqual(Uint8Array.from(brought.publicKey), x25519.getPublicKey(ours));
          const agreed = taken(vault.agree(brought, x25519.getPublicKey(theirs)));
          assert.deepEqual(agreed, x25519.getSharedSecret(ours, x25519.getPublicKey(theirs)));
        }),
        FEW,
      );
    });

    it("opens what noble encapsulates under ML-KEM-768, and the other way round", () => {
      fc.assert(
        fc.property(bytes(64), (seed) => {
          const own = vault.makeEphemeral("ml-kem-768");
          const theirs = ml_kem768.encapsulate(Uint8Array.from(own.publicKey));
          assert.deepEqual(taken(vault.decapsulate(own, theirs.cipherText)), theirs.sharedSecret);

          const { publicKey, secretKey } = ml_kem768.keygen(seed);
          const brought = vault.importEphemeral("ml-kem-768", seed);
          assert.deepEqual(Uint8Array.from(brought.publicKey), publicKey);
          vault.wipe(brought);
          const { ciphertext, secret } = vault.encapsulate(publicKey);
          assert.deepEqual(taken(secret), ml_kem768.decapsulate(Uint8Array.from(ciphertext), secretKey));
        }),
        FEW,
      );
    });

    it("gets the same from a ciphertext that is forged: FIPS 203's implicit rejection", () => {
      const seed = Uint8Array.from(randomBytes(64));
      const { publicKey, secretKey } = ml_kem768.keygen(seed);
      const { cipherText, sharedSecret } = ml_kem768.encapsulate(publicKey);
      cipherText[500]! ^= 1;
      const secret = taken(vault.decapsulate(vault.importEphemeral("ml-kem-768", seed), cipherText));
      assert.deepEqual(secret, ml_kem768.decapsulate(cipherText, secretKey));
      assert.notDeepEqual(secret, sharedSecret);
    });

    it("derives and authenticates the same (HKDF, HMAC)", () => {
      fc.assert(
        fc.property(
          bytes(1, 100),
          bytes(0, 100),
          bytes(0, 100),
          fc.integer({ min: 1, max: 300 }),
          (material, salt, info, length) => {
            const slot = vault.import("derive", material);
            const derived = vault.derive("mac", length, [slot], salt, info);
            const key = hkdf(sha256, material, salt, info, length);
            assert.deepEqual(Uint8Array.from(vault.mac(derived, info)), hmac(sha256, key, info));
            vault.wipe(slot);
            assert.deepEqual(taken(derived), key);
          },
        ),
        SOME,
      );
    });

    it("seals for noble and opens what noble has sealed (AES-256-GCM, nonce = iv XOR counter)", () => {
      const keyAndIv = Uint8Array.from(randomBytes(44));
      const sealing = vault.import("packet-seal", keyAndIv);
      const opening = vault.import("packet-open", keyAndIv);
      let counter = 0;
      fc.assert(
        fc.property(bytes(0, 300), bytes(0, 40), fc.integer({ min: 1, max: 2 ** 40 }), (clear, aad, further) => {
          counter += further;
          const cipher = gcm(keyAndIv.subarray(0, 32), nonceOf(keyAndIv.subarray(32), counter), aad);
          const sealed = cipher.encrypt(clear);
          assert.deepEqual(Uint8Array.from(vault.seal(sealing, counter, aad, clear)), sealed);
          assert.deepEqual(Uint8Array.from(vault.open(opening, counter, aad, sealed)), clear);
        }),
        SOME,
      );
      vault.wipe(sealing, opening);
    });
  });
}

function nonceOf(iv: Uint8Array, counter: number): Uint8Array {
  const nonce = Buffer.from(iv);
  const mask = Buffer.alloc(12);
  mask.writeBigUInt64BE(BigInt(counter), 4);
  return Uint8Array.from(nonce, (byte, at) => byte ^ mask[at]!);
}
