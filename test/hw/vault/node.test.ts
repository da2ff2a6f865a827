import assert from "node:assert/strict";
import { createPrivateKey, randomBytes } from "node:crypto";
import { readFile } from "node:fs/promises";
import type { Slot } from "@feldfon/protocol/vault";
import { NodeVault, openVault } from "@feldfon/vault";
import { eraseSlot, HandleTable, type SlotContent } from "@feldfon/vault/handles";
import { vaultTables } from "@feldfon/vault/node";
import { testingVault } from "@feldfon/vault/testing";
import { keyPath, testKeyPair } from "../../keys.ts";
import { CHEAP } from "../../pins.ts";
import { refuses, vaultContract } from "./contract.ts";
import { sealedKeyContract } from "./sealed-key-contract.ts";

const LABEL = Buffer.from("feldfon/1 call\0");
const SALT = Buffer.alloc(32, 1);
const INFO = Buffer.from("feldfon/1 test\0");

vaultContract("the vault on node:crypto", () => new NodeVault());
sealedKeyContract("the vault on node:crypto", () => new NodeVault({ pinCost: CHEAP }));

describe("the vault on node:crypto", () => {
  /** The vault and what lies in its slots, as it lies there. */
  function opened() {
    const contents: SlotContent[] = [];
    class Watched extends HandleTable<SlotContent> {
      override put<Handle extends object>(handle: Handle, content: SlotContent): Handle {
        contents.push(content);
        return super.put(handle, content);
      }
    }
    const tables = { ...vaultTables(), slots: new Watched(eraseSlot) };
    return { vault: new NodeVault({ tables }), contents };
  }

  it("says that its protection is degraded, and on which library it stands", () => {
    const { protection, library, slotsMax } = new NodeVault().status();
    assert.equal(protection, "degraded");
    assert.equal(library, `OpenSSL ${process.versions.openssl}`);
    assert.equal(slotsMax, 65_536);
  });

  it("is wiped when the process ends", () => {
    const earlier = process.listeners("exit");
    const vault = openVault();
    vault.newSecret();
    const [atExit] = process.listeners("exit").filter((listener) => !earlier.includes(listener));
    process.off("exit", atExit!);
    atExit!(0);
    assert.equal(vault.status().slotsInUse, 0);
  });

  it("leaves nothing of a secret behind when it is wiped", async () => {
    const { vault, contents } = opened();
    const pair = await testKeyPair(vault, 0);
    const { wrap, derive } = vault.newSecret();
    const there = await vault.unwrap(pair, LABEL, vault.wrap(pair.spki, LABEL, wrap));
    const kem = vault.makeEphemeral("ml-kem-768");
    const { ciphertext, secret } = vault.encapsulate(kem.publicKey);
    const shared = vault.decapsulate(kem, ciphertext);
    const agreed = vault.agree(vault.makeEphemeral("x25519"), vault.makeEphemeral("x25519").publicKey);
    const stream = vault.derive("stream-seal", 44, [derive, secret], SALT, INFO);
    vault.rekey(stream, SALT, INFO);
    const sender = vault.srtpSender(vault.derive("packet-seal", 44, [derive], SALT, INFO), {
      ssrc: 1,
      ratchet: { salt: SALT, info: INFO },
    });
    sender.seal(INFO, 0);
    assert.equal(contents.length, 8);
    assert(contents.every(({ bytes }) => bytes.some((byte) => byte !== 0)));
    vault.wipe(wrap, derive, there, secret, shared, agreed, stream);
    sender.close();
    assert(contents.every(({ bytes }) => bytes.every((byte) => byte === 0)));
  });

  it("keeps no secret in the buffer pool, where any other small buffer shows it", async () => {
    const { vault, contents } = opened();
    const pair = await testKeyPair(vault, 0);
    const { wrap, derive } = vault.newSecret();
    await vault.unwrap(pair, LABEL, vault.wrap(pair.spki, LABEL, wrap));
    const kem = vault.makeEphemeral("ml-kem-768");
    vault.decapsulate(kem, vault.encapsulate(kem.publicKey).ciphertext);
    vault.agree(vault.makeEphemeral("x25519"), vault.makeEphemeral("x25519").publicKey);
    vault.derive("stream-seal", 44, [derive], SALT, INFO);
    assert.equal(contents.length, 7);
    for (const { bytes } of contents) assert.equal(bytes.buffer.byteLength, bytes.length);
    vault.wipeAll();
  });

  it("holds as many slots as it was told", () => {
    const vault = new NodeVault({ slotsMax: 3 });
    const { wrap, derive } = vault.newSecret();
    assert.throws(() => vault.newSecret(), refuses("full"));
    vault.derive("mac", 32, [derive], SALT, INFO);
    assert.throws(() => vault.makeEphemeral("x25519"), refuses("full"));
    vault.wipe(wrap);
    vault.makeEphemeral("x25519");
    const { slotsInUse, slotsMax } = vault.status();
    assert.deepEqual({ slotsInUse, slotsMax }, { slotsInUse: 3, slotsMax: 3 });
  });

  it("answers good and bad alike when it is full", async () => {
    const vault = new NodeVault({ slotsMax: 2 });
    const pair = await testKeyPair(vault, 0);
    const good = vault.wrap(pair.spki, LABEL, vault.newSecret().wrap);
    await assert.rejects(vault.unwrap(pair, LABEL, good), refuses("full"));
    await assert.rejects(vault.unwrap(pair, LABEL, randomBytes(512)), refuses("full"));
  });
});

describe("the testing vault", () => {
  it("takes secrets in, shows them, and remembers every birth", () => {
    const vault = testingVault();
    const secret = randomBytes(48);
    const material = vault.import("derive", secret);
    const key = vault.derive("mac", 20, [material], SALT, INFO);
    assert.deepEqual(vault.reveal(material), secret);
    assert.equal(vault.reveal(key).length, 20);
    assert.deepEqual(
      vault.births.map(({ use }) => use),
      ["derive", "mac"],
    );
    vault.wipe(material);
    assert.deepEqual(vault.births[0]!.secret, secret);
    assert.throws(() => vault.reveal(material), refuses("empty-slot"));
    assert.throws(() => vault.reveal({ use: "mac" } as Slot), refuses("no-such-slot"));
  });

  it("brings the same public keys from the same private bytes", async () => {
    const vault = testingVault();
    const seed = randomBytes(64);
    for (const [algorithm, bytes] of [
      ["x25519", 32],
      ["ml-kem-768", 64],
    ] as const) {
      const [a, b] = [0, 1].map(() => vault.importEphemeral(algorithm, seed.subarray(0, bytes)));
      assert.deepEqual(a!.publicKey, b!.publicKey);
      assert.throws(() => vault.importEphemeral(algorithm, seed.subarray(0, 31)));
    }
    const key = createPrivateKey(await readFile(await keyPath(0)));
    const pair = await vault.importKeyPair(key.export({ type: "pkcs8", format: "der" }));
    assert.deepEqual(pair.spki, (await testKeyPair(vault, 0)).spki);
  });
});
