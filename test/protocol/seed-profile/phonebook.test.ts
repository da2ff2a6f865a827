import assert from "node:assert/strict";
import type { KeyObject } from "node:crypto";
import { readFileSync } from "node:fs";
import { keysHaveRoot } from "@feldfon/protocol/directory/merkle";
import type { PublicKey } from "@feldfon/protocol/identity";
import { encryptCbc } from "@feldfon/protocol/seed-profile/audio";
import {
  buildPhonebookMessage,
  decryptPhonebook,
  decryptPhonebookData,
  encryptPhonebook,
  encryptPhonebookData,
  type Phonebook,
  preparePhonebook,
} from "@feldfon/protocol/seed-profile/phonebook";
import { extractSecret, wrapSecret } from "@feldfon/protocol/seed-profile/secret";
import { parseSipMessage } from "@feldfon/protocol/seed-profile/sip";
import { ownerOf } from "./owner.ts";

const vectors = JSON.parse(readFileSync(new URL("../../vectors/seeds.json", import.meta.url), "utf8"));
const unreadable = { name: "ProtocolError", code: "unreadable" };
const secret = extractSecret(Buffer.from(vectors.secret.block, "hex"));

describe("the seed's phonebook", () => {
  let server: { key: PublicKey; privateKey: KeyObject };
  let alice: { key: PublicKey; privateKey: KeyObject };
  let bob: { key: PublicKey; privateKey: KeyObject };
  let phonebook: Phonebook;

  before(async function () {
    this.timeout(60_000);
    [server, alice, bob] = await Promise.all([ownerOf(0), ownerOf(1), ownerOf(2)]);
    const clients = [
      { name: "alice", key: alice.key, online: true },
      { name: "Jürgen", key: bob.key, online: false },
    ];
    phonebook = preparePhonebook(server.key, clients, alice.key.uid, 1_700_000_000.9);
  });

  it("lists id, name and key of each client, marks the reader, and counts", () => {
    assert.deepEqual(phonebook, {
      version: "2.0",
      timestamp: 1_700_000_000,
      merkle_root: phonebook.merkle_root,
      total_clients: 2,
      connected_clients: 1,
      clients: [
        { id: "0", name: "alice", public_key: alice.key.pem, is_self: true, online: true },
        { id: "1", name: "Jürgen", public_key: bob.key.pem, is_self: false, online: false },
      ],
    });
  });

  it("carries the root over the server's key and its own rows", () => {
    const keys = phonebook.clients.map((client) => client.public_key);
    assert.equal(keysHaveRoot([server.key.pem, ...keys], phonebook.merkle_root), true);
    assert.equal(keysHaveRoot([server.key.pem, ...keys.toReversed()], phonebook.merkle_root), false);
  });

  it("closes its ids up when somebody leaves (seed 000)", async () => {
    const { before, leaves, after, nextId } = vectors.idShift;
    const named = await Promise.all(
      before.map(async (name: string, n: number) => ({ name, key: (await ownerOf(n + 1)).key, online: true })),
    );
    const idsOf = (clients: typeof named) =>
      Object.fromEntries(
        preparePhonebook(server.key, clients, alice.key.uid, 0).clients.map(({ id, name }) => [id, name]),
      );
    assert.deepEqual(idsOf(named), { ...before });
    const left = named.toSpliced(leaves, 1);
    assert.deepEqual(idsOf(left), { ...after });
    assert.equal(idsOf([...left, { ...named[leaves], name: "E" }])[nextId], "E");
  });

  it("is 512 bytes of RSA and whole AES blocks, and opens for its reader only", () => {
    const encrypted = encryptPhonebookData(phonebook, alice.key, secret);
    assert.equal((encrypted.length - 512) % 16, 0);
    assert.deepEqual(decryptPhonebookData(encrypted, alice.privateKey), phonebook);
    assert.throws(() => decryptPhonebookData(encrypted, bob.privateKey), unreadable);
    assert.ok(!encrypted.includes("alice") && !encrypted.includes("BEGIN PUBLIC KEY"));
  });

  it("is refused when it is cut, tampered with, or made with a secret cut at 11 or 13", () => {
    const encrypted = encryptPhonebookData(phonebook, alice.key, secret);
    const changed = (at: number) => {
      const copy = Buffer.from(encrypted);
      copy[at]! ^= 1;
      return copy;
    };
    const json = Buffer.from(JSON.stringify(phonebook));
    const wrongCuts = vectors.secret.wrong
      .filter(({ key }: { key: string }) => key.length === 64)
      .map(({ iv, key }: { iv: string; key: string }) =>
        Buffer.concat([
          wrapSecret(secret, alice.key),
          encryptCbc(json, { iv: Buffer.from(iv, "hex"), key: Buffer.from(key, "hex") }),
        ]),
      );
    assert.equal(wrongCuts.length, 1); // the cut at 13 leaves a key of 31 bytes, which encrypts nothing
    const wrong = [
      changed(0),
      changed(511),
      changed(512),
      changed(encrypted.length - 1),
      encrypted.subarray(0, -1),
      encrypted.subarray(0, -16),
      encrypted.subarray(0, 512),
      encrypted.subarray(0, 100),
      encrypted.subarray(4),
      json,
      Buffer.alloc(0),
      ...wrongCuts,
    ];
    for (const bytes of wrong) assert.throws(() => decryptPhonebookData(bytes, alice.privateKey), unreadable);
  });

  it("is refused in any other shape than its own", () => {
    const { clients, ...head } = phonebook;
    const [first, second] = clients as [(typeof clients)[0], (typeof clients)[0]];
    const shapes: unknown[] = [
      null,
      [],
      "text",
      {},
      { ...head },
      { ...phonebook, version: "1.0" },
      { ...phonebook, timestamp: "now" },
      { ...phonebook, merkle_root: "" },
      { ...phonebook, total_clients: 3 },
      { ...phonebook, connected_clients: 2 },
      { ...phonebook, clients: { ...clients } },
      { ...phonebook, clients: [second, first] },
      { ...phonebook, clients: [first, null] },
      { ...phonebook, clients: [first, { ...second, id: 1 }] },
      { ...phonebook, clients: [first, { ...second, name: 7 }] },
      { ...phonebook, clients: [first, { ...second, public_key: "MII" }] },
      { ...phonebook, clients: [first, { ...second, online: "no" }] },
    ];
    for (const shape of shapes) {
      const hex = encryptCbc(Buffer.from(JSON.stringify(shape)), secret).toString("hex");
      assert.throws(() => decryptPhonebook(hex, secret), unreadable, JSON.stringify(shape)?.slice(0, 80));
    }
    const notUtf8 = Buffer.from(JSON.stringify(phonebook));
    notUtf8.fill(0xff, notUtf8.indexOf("ü"), notUtf8.indexOf("ü") + 2);
    for (const bytes of [notUtf8, Buffer.from("{"), Buffer.from([0xff, 0xfe]), Buffer.alloc(0)]) {
      assert.throws(() => decryptPhonebook(encryptCbc(bytes, secret).toString("hex"), secret), unreadable);
    }
  });

  it("has a hex form under the secret both ends hold", () => {
    const hex = encryptPhonebook(phonebook, secret);
    assert.match(hex, /^([0-9a-f]{32})+$/);
    assert.deepEqual(decryptPhonebook(hex, secret), phonebook);
    for (const wrong of ["", hex.slice(1), hex.slice(0, -32), hex.toUpperCase(), `${hex}\n`, `g${hex.slice(1)}`]) {
      assert.throws(() => decryptPhonebook(wrong, secret), unreadable);
    }
  });

  it("travels in a SIP message with a compact JSON body", () => {
    const encrypted = encryptPhonebookData(phonebook, alice.key, secret);
    const message = buildPhonebookMessage({ id: 0, name: "alice" }, encrypted, "127.0.0.1", 1_700_000_000.9);
    const parsed = parseSipMessage(message);
    assert.ok(parsed.kind === "request" && parsed.recipient === "alice");
    assert.equal(parsed.headers.get("CONTENT-TYPE"), "application/json");
    assert.equal(parsed.body.toString(), JSON.stringify(JSON.parse(parsed.body.toString())));
    assert.deepEqual(Object.fromEntries(parsed.data), {
      MESSAGE_TYPE: "PHONEBOOK_UPDATE",
      ENCRYPTED_SECRET: encrypted.subarray(0, 512).toString("base64"),
      ENCRYPTED_PHONEBOOK: encrypted.subarray(512).toString("base64"),
      CLIENT_ID: "0",
      TIMESTAMP: 1_700_000_000,
    });
  });

  it("never leaves in clear: what is not encrypted is not sent", () => {
    const json = Buffer.from(JSON.stringify(phonebook));
    for (const clear of [json, json.subarray(0, 100), Buffer.alloc(512), Buffer.alloc(512 + 15), Buffer.alloc(0)]) {
      assert.throws(
        () => buildPhonebookMessage({ id: 0, name: "alice" }, clear.subarray(0, 513), "127.0.0.1", 0),
        unreadable,
      );
    }
    const broken = { iv: secret.iv, key: secret.key.subarray(1) };
    assert.throws(() => encryptPhonebookData(phonebook, alice.key, broken));
    assert.throws(() => encryptPhonebook(phonebook, broken));
  });
});
