import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { transcript } from "@feldfon/protocol/crypto/transcript";
import {
  type Binding,
  bindHolds,
  boundHolds,
  encodeBind,
  encodeBound,
  encodeData,
  newRelayId,
  parseRelayDatagram,
} from "@feldfon/protocol/media/relay";
import { encodeBindingRequest, newTransaction } from "@feldfon/protocol/media/stun";
import { testingVault } from "@feldfon/vault/testing";
import fc from "fast-check";

const vault = testingVault();
const key = vault.import("mac", Buffer.alloc(32, 7));
const relayId = Buffer.from("0102030405060708", "hex");

function parsedBinding(datagram: Uint8Array): Binding {
  const parsed = parseRelayDatagram(datagram);
  assert.ok(parsed?.kind === "binding");
  return parsed;
}

describe("Relay: BIND and BOUND", () => {
  it("are relay id, 00, counter and the first half of a MAC under their own label", () => {
    const counter = Buffer.from("0000000000000009", "hex");
    const half = (word: string): Buffer =>
      createHmac("sha256", Buffer.alloc(32, 7))
        .update(`feldfon/1 ${word}\0`)
        .update(transcript(word, relayId, counter))
        .digest()
        .subarray(0, 16);
    const head = Buffer.concat([relayId, Buffer.of(0), counter]);
    assert.deepEqual(encodeBind(vault, key, relayId, 9), Buffer.concat([head, half("bind")]));
    assert.deepEqual(encodeBound(vault, key, relayId, 9), Buffer.concat([head, half("bound")]));
  });

  it("are these bytes (recomputed with Python: hashlib, hmac)", () => {
    assert.equal(
      encodeBind(vault, key, relayId, 9).toString("hex"),
      "01020304050607080000000000000000095c26dc367d1f997dd973f607d627f5d5",
    );
  });

  it("hold when nothing was changed, and only under their own label", () => {
    const bind = parsedBinding(encodeBind(vault, key, relayId, 9));
    assert.equal(bind.counter, 9);
    assert.ok(bindHolds(vault, key, bind));
    assert.ok(!boundHolds(vault, key, bind), "a BIND thrown back is no BOUND");
    const bound = parsedBinding(encodeBound(vault, key, relayId, 9));
    assert.ok(boundHolds(vault, key, bound));
    assert.ok(!bindHolds(vault, key, bound));
  });

  it("hold no more when any byte was changed", () => {
    const bind = encodeBind(vault, key, relayId, 9);
    for (let at = 0; at < bind.length; at++) {
      const changed = Buffer.from(bind);
      changed[at]! ^= 1;
      const parsed = parseRelayDatagram(changed);
      assert.ok(parsed?.kind !== "binding" || !bindHolds(vault, key, parsed), `byte ${at}`);
    }
  });

  it("do not hold under another key", () => {
    const other = vault.import("mac", Buffer.alloc(32, 8));
    assert.ok(!bindHolds(vault, other, parsedBinding(encodeBind(vault, key, relayId, 9))));
  });

  it("are refused with a counter that no number holds", () => {
    const bind = encodeBind(vault, key, relayId, 9);
    bind[9] = 0xff;
    assert.equal(parseRelayDatagram(bind), undefined);
  });
});

describe("Relay: datagrams", () => {
  const packet = Buffer.concat([Buffer.of(0x80), Buffer.alloc(667, 1)]);

  it("gives data back as it was wrapped", () => {
    assert.deepEqual(parseRelayDatagram(encodeData(relayId, packet)), { kind: "data", relayId, packet });
  });

  it("takes 36 to 1,500 bytes", () => {
    const data = (bytes: number) => encodeData(relayId, Buffer.concat([Buffer.of(0x80), Buffer.alloc(bytes - 9)]));
    assert.equal(parseRelayDatagram(data(35)), undefined);
    assert.equal(parseRelayDatagram(data(36))?.kind, "data");
    assert.equal(parseRelayDatagram(data(1500))?.kind, "data");
    assert.equal(parseRelayDatagram(data(1501)), undefined);
  });

  it("knows STUN by its cookie", () => {
    assert.equal(parseRelayDatagram(encodeBindingRequest(newTransaction()))?.kind, "stun");
  });

  it("never hands out a relay id that looks like STUN", () => {
    const drawn = [Buffer.from("000100002112a442", "hex"), relayId];
    assert.deepEqual(
      newRelayId(() => drawn.shift()!),
      relayId,
    );
  });

  it("draws another relay id each time", () => assert.notDeepEqual(newRelayId(), newRelayId()));

  it("reads anything without throwing, and what it reads is what came", () => {
    const formed = fc
      .tuple(fc.uint8Array({ minLength: 8, maxLength: 8 }), fc.constantFrom(0, 0x80), fc.uint8Array({ maxLength: 60 }))
      .map(([id, form, rest]) => Buffer.concat([id, Buffer.of(form), rest]));
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array({ maxLength: 80 }), formed), (bytes) => {
        const parsed = parseRelayDatagram(bytes);
        if (parsed?.kind === "data") assert.deepEqual(encodeData(parsed.relayId, parsed.packet), Buffer.from(bytes));
        if (parsed?.kind === "binding") {
          assert.equal(bytes.length, 33);
          assert.ok(!bindHolds(vault, key, parsed));
        }
      }),
      { numRuns: 1000 },
    );
  });
});
