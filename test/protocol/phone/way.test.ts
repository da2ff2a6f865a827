/** INFO: where a handset can be reached directly, from one end of a call to the other (wire.md 1, INFO). */
import assert from "node:assert/strict";
import { createDecipheriv } from "node:crypto";
import { type Address, parseAddress } from "@feldfon/protocol/media/address";
import { decodeParts, encodeParts } from "@feldfon/protocol/phone/call-bytes";
import fc from "fast-check";
import { connectedPair, type StageHandset, type StageServer, settle } from "./stage.ts";

const HERE: Address[] = [parseAddress("198.51.100.7", 40_000), parseAddress("2001:db8::7", 40_001)];

describe("telephone: the way between two handsets", () => {
  let server: StageServer;
  let a: StageHandset;
  let b: StageHandset;
  let callId: string;
  /** End-to-end parts of the INFOs on their way to B. */
  let passed: Buffer[];
  /** What the server makes of one. */
  let meddle: (endToEnd: Buffer) => Buffer;

  beforeEach(async () => {
    ({ server, a, b } = await connectedPair());
    await a.calls.dial(b.uid);
    await settle(a, b);
    await b.calls.accept();
    await settle(a, b);
    callId = a.last("agreed")!.callId;
    passed = [];
    meddle = (endToEnd) => endToEnd;
    const line = server.lines.get(b.uid)!;
    const request = line.request.bind(line);
    line.request = (method, parts, listener) => {
      if (method !== "INFO") return request(method, parts, listener);
      const { endToEnd } = decodeParts(parts.body as Buffer);
      passed.push(endToEnd);
      return request(method, { ...parts, body: encodeParts(meddle(endToEnd)) }, listener);
    };
  });

  const told = (handset: StageHandset) =>
    handset.events.filter((event) => event.event === "way-told").map((event) => event.candidates);

  async function tell(candidates: readonly Address[]): Promise<void> {
    assert.equal(a.calls.tellWay(callId, candidates), true);
    await settle(a, b);
  }

  it("brings addresses to the other end, and nothing of them is in clear for the server", async () => {
    await tell(HERE);
    await tell([]);
    assert.deepEqual(told(b), [HERE, []]);
    assert.equal(b.calls.tellWay(callId, HERE.slice(0, 1)), true);
    await settle(a, b);
    assert.deepEqual(told(a), [HERE.slice(0, 1)]);
    // u64 c | u8 n, addresses and ports | tag
    assert.deepEqual(
      passed.map((info) => info.length),
      [8 + 1 + 7 + 19 + 16, 8 + 1 + 16],
    );
    assert.deepEqual(
      passed.map((info) => info.readBigUInt64BE()),
      [0n, 1n],
    );
    for (const { bytes } of HERE) assert.ok(!passed[0]!.includes(bytes));
    // key 32 | iv 12; the first counter is 0, so the nonce is the iv; AAD call_id | c
    const way = a.vault.reveal(a.last("agreed")!.keys.way.send);
    const opening = createDecipheriv("aes-256-gcm", way.subarray(0, 32), way.subarray(32));
    opening.setAAD(Buffer.concat([Buffer.from(callId, "hex"), Buffer.alloc(8)])).setAuthTag(passed[0]!.subarray(-16));
    const clear = Buffer.concat([opening.update(passed[0]!.subarray(8, -16)), opening.final()]);
    assert.equal(clear.toString("hex"), "0204c63364079c400620010db80000000000000000000000079c41");
    assert.equal(a.wire.fault ?? b.wire.fault, undefined);
  });

  it("lets go of what comes again or with a lower counter, and the call goes on", async () => {
    await tell(HERE);
    await tell([]);
    for (const old of [passed[0]!, passed[1]!]) {
      meddle = () => old;
      await tell(HERE);
    }
    assert.deepEqual(told(b), [HERE, []]);
    assert.equal(b.calls.infosDropped, 2);
    meddle = (info) => info;
    await tell(HERE);
    assert.deepEqual(told(b), [HERE, [], HERE]);
    assert.ok(a.calls.current?.talking && b.calls.current?.talking);
  });

  it("lets go of what does not open, whichever bit was flipped, and the next good one still counts", async () => {
    await fc.assert(
      fc.asyncProperty(fc.nat(8 + 1 + 7 + 19 + 16 - 1), fc.nat(7), async (byte, bit) => {
        const [before, dropped] = [told(b).length, b.calls.infosDropped];
        meddle = (info) => {
          const altered = Buffer.from(info);
          altered[byte]! ^= 1 << bit;
          return altered;
        };
        await tell(HERE);
        assert.equal(told(b).length, before);
        assert.equal(b.calls.infosDropped, dropped + 1);
        meddle = (info) => info;
        await tell([]);
        assert.equal(told(b).length, before + 1);
      }),
      { numRuns: 12 },
    );
  });

  const others: Record<string, (info: Buffer) => Buffer> = {
    "an empty INFO": () => Buffer.alloc(0),
    "half an INFO": (info) => info.subarray(0, 20),
    "a counter beyond all numbers": (info) => Buffer.concat([Buffer.alloc(8, 0xff), info.subarray(8)]),
  };
  for (const [what, other] of Object.entries(others)) {
    it(`lets go of ${what}`, async () => {
      meddle = other;
      await tell(HERE);
      assert.deepEqual(told(b), []);
      assert.equal(b.calls.infosDropped, 1);
      assert.ok(b.calls.current?.talking);
      assert.equal(b.wire.fault, undefined);
    });
  }

  it("lets go of a handset's own INFO thrown back at it", async () => {
    const line = server.lines.get(a.uid)!;
    const request = line.request.bind(line);
    let own: Buffer | undefined;
    line.request = (method, parts, listener) => {
      if (method === "INFO") own = decodeParts(parts.body as Buffer).endToEnd;
      return request(method, parts, listener);
    };
    b.calls.tellWay(callId, HERE);
    await settle(a, b);
    meddle = () => own!;
    await tell(HERE);
    assert.deepEqual(told(b), []);
    assert.equal(b.calls.infosDropped, 1);
  });

  it("says nothing without a line, for another call, before its keys and after its end", async () => {
    assert.equal(a.calls.tellWay("00".repeat(16), HERE), false);
    a.cut();
    assert.equal(a.calls.tellWay(callId, HERE), false);
    b.calls.hangUp();
    await settle(a, b);
    assert.equal(b.calls.tellWay(callId, HERE), false);
    assert.deepEqual(passed, []);
  });

  it("takes nothing any more once it has said goodbye, and answers all the same", async () => {
    a.calls.tellWay(callId, HERE);
    b.calls.hangUp();
    await settle(a, b);
    assert.deepEqual(told(b), []);
    assert.equal(b.calls.infosDropped, 0);
    assert.equal(b.last("ended")?.erased, "both");
    assert.equal(a.last("ended")?.erased, "both");
    assert.equal(a.wire.fault ?? b.wire.fault, undefined);
  });
});
