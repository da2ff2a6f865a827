import assert from "node:assert/strict";
import type { KeyObject } from "node:crypto";
import { readFileSync } from "node:fs";
import { normalizeKey, seedRoot } from "@feldfon/protocol/directory/merkle";
import { encodeFrame } from "@feldfon/protocol/frames";
import type { PublicKey } from "@feldfon/protocol/identity";
import {
  answerPing,
  buildInvite,
  checkRegistration,
  MessageBudget,
  processJsonBody,
  readInvite,
  receiveMessage,
} from "@feldfon/protocol/seed-profile/messages";
import {
  buildPhonebookMessage,
  decryptPhonebookData,
  encryptPhonebookData,
  preparePhonebook,
} from "@feldfon/protocol/seed-profile/phonebook";
import { extractSecret, wrapSecret } from "@feldfon/protocol/seed-profile/secret";
import {
  buildSipAnswer,
  buildSipMessage,
  type Content,
  parseSipMessage,
  senderOf,
} from "@feldfon/protocol/seed-profile/sip";
import fc from "fast-check";
import { ownerOf } from "./owner.ts";

const vectors = JSON.parse(readFileSync(new URL("../../vectors/seeds.json", import.meta.url), "utf8")).secret;
const secret = extractSecret(Buffer.from(vectors.block, "hex"));
const alice = { name: "alice", ip: "127.0.0.1" };
const server = { server: "127.0.0.1" };

/** What a framed message holds once it is received. */
function contentOf(frame: Uint8Array): Content {
  const received = receiveMessage(frame);
  assert.equal(received.kind, "message");
  return (received as Extract<typeof received, { kind: "message" }>).message;
}

describe("what the seed's client makes of a message", () => {
  let keys: { key: PublicKey; privateKey: KeyObject }[];
  let encrypted: Buffer;
  let phonebookMessage: Buffer;

  before(async function () {
    this.timeout(60_000);
    keys = await Promise.all([0, 1, 2].map(ownerOf));
    const clients = [{ name: "alice", key: keys[1]!.key, online: true }];
    const phonebook = preparePhonebook(keys[0]!.key, clients, keys[1]!.key.uid, 1_700_000_000);
    encrypted = encryptPhonebookData(phonebook, keys[1]!.key, secret);
    phonebookMessage = buildPhonebookMessage({ id: 0, name: "alice" }, encrypted, "127.0.0.1", 1_700_000_000);
  });

  it("is a ping, answered by a framed pong", () => {
    const ping = buildSipMessage("MESSAGE", "alice", { PING: true }, server);
    assert.deepEqual(receiveMessage(ping), { kind: "ping" });
    assert.deepEqual(receiveMessage(encodeFrame(ping)), { kind: "ping" });
    const pong = answerPing(alice);
    assert.equal(pong.readUInt32BE(), pong.length - 4);
    assert.deepEqual(receiveMessage(pong), { kind: "pong" });
    assert.deepEqual(senderOf(parseSipMessage(pong.subarray(4)) as Content), { name: "alice", host: "127.0.0.1" });
  });

  it("is the same phonebook from SIP, from JSON alone and from raw bytes, with a frame header or without", () => {
    const json = phonebookMessage.subarray(phonebookMessage.indexOf("\r\n\r\n") + 4);
    for (const message of [phonebookMessage, json, encrypted]) {
      for (const raw of [message, encodeFrame(message)]) {
        const received = receiveMessage(raw);
        assert.ok(received.kind === "phonebook");
        assert.deepEqual(received.encrypted, encrypted);
        assert.equal(decryptPhonebookData(received.encrypted, keys[1]!.privateKey).clients[0]?.name, "alice");
      }
    }
  });

  it("is any other message as it came", () => {
    const update = buildSipMessage("MESSAGE", "server", { UPDATE: true }, alice);
    const received = receiveMessage(update);
    assert.ok(received.kind === "message" && received.message.kind === "request");
    assert.deepEqual(Object.fromEntries(received.message.data), { UPDATE: "true" });
    assert.equal(receiveMessage(buildSipAnswer(486, "alice", {}, server)).kind, "message");
  });

  it("is bad when a phonebook has no secret of 512 bytes, no whole blocks, or no strict base64", () => {
    const parts = {
      ENCRYPTED_SECRET: encrypted.subarray(0, 512).toString("base64"),
      ENCRYPTED_PHONEBOOK: encrypted.subarray(512).toString("base64"),
    };
    const wrong = [
      { ...parts, ENCRYPTED_SECRET: encrypted.subarray(0, 511).toString("base64") },
      { ...parts, ENCRYPTED_SECRET: Buffer.alloc(0).toString("base64") },
      { ENCRYPTED_PHONEBOOK: parts.ENCRYPTED_PHONEBOOK },
      { ...parts, ENCRYPTED_PHONEBOOK: encrypted.subarray(513).toString("base64") },
      { ...parts, ENCRYPTED_PHONEBOOK: "" },
      { ...parts, ENCRYPTED_PHONEBOOK: `${parts.ENCRYPTED_PHONEBOOK}!` },
      { ...parts, ENCRYPTED_PHONEBOOK: [parts.ENCRYPTED_PHONEBOOK] },
      // A clear phonebook in the encrypted one's place, as the origin sent it on a failure.
      { ...parts, ENCRYPTED_PHONEBOOK: JSON.stringify({ clients: [] }) },
    ];
    for (const data of wrong) {
      assert.equal(receiveMessage(buildSipMessage("MESSAGE", "alice", data, server, "json")).kind, "bad");
      assert.equal(receiveMessage(Buffer.from(JSON.stringify(data))).kind, "bad");
      assert.equal(
        processJsonBody(JSON.stringify(data), () => assert.fail("handed on")),
        false,
      );
    }
  });

  it("is a phonebook handed on from a JSON body, and a yes or no", () => {
    const body = phonebookMessage.subarray(phonebookMessage.indexOf("\r\n\r\n") + 4);
    const handed: Buffer[] = [];
    assert.equal(
      processJsonBody(body, (encrypted) => handed.push(encrypted)),
      true,
    );
    assert.deepEqual(handed, [encrypted]);
    for (const other of ["{}", "[]", "no json", "", '{"UPDATE":true}']) {
      assert.equal(
        processJsonBody(other, () => assert.fail("handed on")),
        false,
      );
    }
  });

  it("is never a crash", () => {
    assert.deepEqual(receiveMessage(Buffer.alloc(0)), { kind: "bad", why: "nothing came" });
    assert.equal(receiveMessage(Buffer.from("hello")).kind, "bad");
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 600 }), (raw) => {
        assert.ok(["bad", "phonebook"].includes(receiveMessage(raw).kind));
      }),
    );
    fc.assert(
      fc.property(fc.nat(), fc.integer({ min: 1, max: 255 }), (at, change) => {
        const raw = Buffer.from(phonebookMessage);
        raw[at % raw.length]! ^= change;
        receiveMessage(raw);
      }),
    );
  });

  describe("that answers a registration", () => {
    const content = (data: Record<string, unknown>) => contentOf(buildSipAnswer(200, "alice", data, server));
    let all: string[];
    let root: string;

    before(() => {
      all = keys.map(({ key }) => key.pem);
      root = seedRoot(all.map(normalizeKey))!;
    });

    const check = (first: object, second: object) =>
      checkRegistration(
        content({ SERVER_PUBLIC_KEY: all[0], CLIENT_ID: "1", ...first }),
        content({ MERKLE_ROOT: root, ALL_KEYS: all, ...second }),
        keys[2]!.key,
        keys[0]!.key.uid,
      );

    it("is the own id when root, pinned server key and own key agree", () => {
      assert.equal(check({}, {}), 1);
      assert.equal(check({}, { MERKLE_ROOT: ` ${root.toUpperCase()}\n` }), 1);
    });

    it("is refused otherwise", () => {
      const wrongRoot = { code: "wrong-root" };
      assert.throws(() => check({}, { MERKLE_ROOT: "00".repeat(32) }), wrongRoot);
      assert.throws(() => check({}, { ALL_KEYS: [all[0], all[2], all[1]] }), wrongRoot);
      assert.throws(() => check({}, { ALL_KEYS: [...all, all[2]] }), wrongRoot);
      assert.throws(() => check({}, { ALL_KEYS: [] }), wrongRoot);
      assert.throws(() => check({ SERVER_PUBLIC_KEY: all[1] }, {}), { code: "wrong-server-key" });
      assert.throws(() => check({ CLIENT_ID: "0" }, {}), { code: "not-in-list" });
      assert.throws(() => check({ CLIENT_ID: "7" }, {}), { code: "not-in-list" });
      const two = { ALL_KEYS: all.slice(0, 2), MERKLE_ROOT: seedRoot(all.slice(0, 2).map(normalizeKey)) };
      assert.throws(() => check({}, two), { code: "not-in-list" });
      const turned = {
        ALL_KEYS: [all[1], all[2], all[0]],
        MERKLE_ROOT: seedRoot([all[1]!, all[2]!, all[0]!].map(normalizeKey)),
      };
      assert.throws(() => check({}, turned), { code: "not-in-list" });
      for (const id of ["", "01", "-1", "x", 1])
        assert.throws(() => check({ CLIENT_ID: id }, {}), { code: "unreadable" });
      assert.throws(() => check({}, { ALL_KEYS: "all" }), { code: "unreadable" });
      assert.throws(() => check({}, { MERKLE_ROOT: 7 }), { code: "unreadable" });
    });
  });

  describe("that starts a call", () => {
    const caller = { name: "alice", ip: "127.0.0.1", port: 40_000 };

    it("brings the caller and the secret to the callee, and to nobody else", () => {
      const invite = contentOf(buildInvite({ name: "bob", key: keys[2]!.key }, caller, secret));
      assert.deepEqual(readInvite(invite, keys[2]!.privateKey), { caller, secret });
      assert.throws(() => readInvite(invite, keys[1]!.privateKey), { code: "unreadable" });
    });

    it("is refused without a whole secret, a name, an address or a port", () => {
      const good = {
        ENCRYPTED_SECRET: wrapSecret(secret, keys[2]!.key).toString("base64"),
        CALLER_NAME: "alice",
        CALLER_IP: "127.0.0.1",
        CALLER_PORT: 40_000,
      };
      const invite = (change: object) => contentOf(buildSipMessage("INVITE", "bob", { ...good, ...change }, alice));
      assert.deepEqual(readInvite(invite({}), keys[2]!.privateKey), { caller, secret });
      const changes = [
        { ENCRYPTED_SECRET: "" },
        { ENCRYPTED_SECRET: good.ENCRYPTED_SECRET.slice(4) },
        { ENCRYPTED_SECRET: `${good.ENCRYPTED_SECRET}!` },
        { CALLER_PORT: 0 },
        { CALLER_PORT: 65_536 },
        { CALLER_PORT: "5060x" },
        { CALLER_NAME: ["alice"] },
      ];
      for (const change of changes)
        assert.throws(() => readInvite(invite(change), keys[2]!.privateKey), { code: "unreadable" });
      for (const key of Object.keys(good)) {
        const { [key as keyof typeof good]: _, ...rest } = good;
        const content = contentOf(buildSipMessage("INVITE", "bob", rest, alice));
        assert.throws(() => readInvite(content, keys[2]!.privateKey), { code: "unreadable" }, key);
      }
    });
  });
});

describe("a peer's budget of messages", () => {
  it("is 120 in any minute, and its own", () => {
    const budget = new MessageBudget();
    for (let n = 0; n < 120; n++) assert.equal(budget.admit(n * 100), true);
    assert.equal(budget.admit(12_000), false);
    assert.equal(budget.admit(59_999), false);
    assert.equal(budget.admit(60_000), true); // the first has gone
    assert.equal(budget.admit(60_050), false);
    assert.equal(new MessageBudget().admit(60_050), true);
  });

  it("is never overdrawn, however the messages are spread", () => {
    fc.assert(
      fc.property(fc.array(fc.nat(40), { maxLength: 200 }), (pauses) => {
        const budget = new MessageBudget(5, 100);
        const admitted: number[] = [];
        let nowMs = 0;
        for (const pause of pauses) {
          nowMs += pause;
          const inWindow = admitted.filter((time) => nowMs - time < 100).length;
          assert.equal(budget.admit(nowMs), inWindow < 5);
          if (inWindow < 5) admitted.push(nowMs);
        }
      }),
    );
  });
});
