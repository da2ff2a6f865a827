import assert from "node:assert/strict";
import { generateKeyPairSync, type KeyObject } from "node:crypto";
import type { PublicKey } from "@feldfon/protocol/identity";
import {
  describeKey,
  extractPublicKey,
  isValidPublicKey,
  testKeyPair,
  validateKeyPair,
} from "@feldfon/protocol/seed-profile/keys";
import { buildSipMessage } from "@feldfon/protocol/seed-profile/sip";
import { ownerOf } from "./owner.ts";

describe("the seed's checks of a key", () => {
  let alice: { key: PublicKey; privateKey: KeyObject };
  let bob: { key: PublicKey; privateKey: KeyObject };

  before(async function () {
    this.timeout(60_000);
    [alice, bob] = await Promise.all([ownerOf(0), ownerOf(1)]);
  });

  it("tell a pair from two halves by encrypting on trial", () => {
    assert.equal(validateKeyPair(alice.privateKey, alice.key), true);
    assert.equal(validateKeyPair(bob.privateKey, alice.key), false);
    const ec = generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey;
    assert.equal(validateKeyPair(ec, alice.key), false);
    testKeyPair(alice.privateKey, alice.key);
    assert.throws(() => testKeyPair(alice.privateKey, bob.key), { name: "ProtocolError", code: "key-bad" });
  });

  it("read a public key instead of looking for MII", () => {
    assert.equal(isValidPublicKey(alice.key.pem), true);
    const wrong = [
      "",
      `-----BEGIN PUBLIC KEY-----\nMII${"A".repeat(200)}==\n-----END PUBLIC KEY-----`,
      alice.key.pem.replace("MII", "MIJ"),
      alice.privateKey.export({ type: "pkcs8", format: "pem" }) as string,
      generateKeyPairSync("rsa", { modulusLength: 2048 }).publicKey.export({ type: "spki", format: "pem" }) as string,
    ];
    for (const text of wrong) assert.equal(isValidPublicKey(text), false);
  });

  it("find the whole key in a message, in a header's place or in the body", () => {
    const sender = { name: "alice", ip: "127.0.0.1" };
    assert.equal(extractPublicKey(buildSipMessage("REGISTER", "server", alice.key.pem, sender))?.uid, alice.key.uid);
    assert.equal(extractPublicKey(Buffer.from(`SERVER_PUBLIC_KEY: ${bob.key.pem}\r\nCLIENT_ID: 0`))?.uid, bob.key.uid);
    assert.equal(extractPublicKey(Buffer.from("no key here")), undefined);
    assert.equal(extractPublicKey(Buffer.from(alice.key.pem.replace("MII", "MIJ"))), undefined);
    assert.equal(extractPublicKey(Buffer.alloc(0)), undefined);
  });

  it("print length and ends of a public key and nothing else", () => {
    const { pem } = alice.key;
    const lines = describeKey("client", alice.key).split("\n");
    assert.deepEqual(lines, [
      `client: ${pem.length} bytes`,
      `first ${Buffer.from(pem.slice(0, 32)).toString("hex")} ${pem.slice(0, 32).replace("\n", ".")}`,
      `last ${Buffer.from(pem.slice(-32)).toString("hex")} ${pem.slice(-32).replaceAll("\n", ".")}`,
    ]);
  });
});
