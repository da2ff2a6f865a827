/**
 * Handsets that have proven who they are and lie all the same: their signatures hold, what they sign is no key, no call
 * of theirs, or nothing at all. It costs them their call or their own line, and nobody else anything.
 */
import assert from "node:assert/strict";
import { constants, randomBytes, sign as signSync } from "node:crypto";
import { readFileSync } from "node:fs";
import { concat, lp } from "@feldfon/protocol/bytes";
import { labelled, transcript } from "@feldfon/protocol/crypto/transcript";
import type { Uid } from "@feldfon/protocol/identity";
import {
  commitment,
  confirmationBefore,
  decodeParts,
  encodeFarewell,
  encodeParts,
  inviteBefore,
} from "@feldfon/protocol/phone/call-bytes";
import type { SipMessage, SipRequest, SipResponse } from "@feldfon/protocol/sip";
import { keyPath } from "../../keys.ts";
import { ending, Scene } from "./scene.ts";
import { type StageHandset, settle } from "./stage.ts";

let scene: Scene;
let a: StageHandset;
let b: StageHandset;
const pem: Record<"a" | "b", string> = { a: "", b: "" };

before(async () => {
  for (const [index, who] of (["a", "b"] as const).entries()) pem[who] = readFileSync(await keyPath(index + 1), "utf8");
});

beforeEach(async () => {
  scene = await Scene.connected("a", "b", "c");
  ({ a, b } = scene);
});

/** SIGN_X as the vault makes it, at once. */
function sign(who: "a" | "b", word: string, t: Buffer): Buffer {
  const key = { key: pem[who], padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: 32 };
  return signSync("sha256", labelled(word, t), key);
}

const isAnswer = (message: SipMessage, method: string): message is SipResponse =>
  message.type === "response" && message.status === 200 && message.cseq.method === method;

describe("telephone: a callee that lies", () => {
  /** b signs another R than its own. */
  function answerWith(change: (before: Buffer) => Buffer): void {
    b.wire.edit = ({ from, message }) => {
      if (from !== "handset" || !isAnswer(message, "INVITE")) return message;
      const invite = a.wire.spoken.findLast(
        (said) => said.message.type === "request" && said.message.method === "INVITE",
      );
      const answer = decodeParts(message.body).endToEnd;
      const before = change(Buffer.from(answer.subarray(0, -512)));
      const t = transcript("answer", decodeParts(invite!.message.body).endToEnd, before);
      return { ...message, body: encodeParts(concat(before, sign("b", "answer", t))) };
    };
  }

  const lies: Record<string, (before: Buffer) => Buffer> = {
    "a point of small order": (before) => before.fill(0, 16, 48),
    "an encapsulation key that is none": (before) => before.fill(0xff, 48, 48 + 1184),
    "a head that nobody signed": (before) => before.fill(7, 48 + 1184 + 32 + 20, 48 + 1184 + 32 + 60),
    "the call_id of another call": (before) => before.fill(7, 0, 16),
  };
  for (const [lie, change] of Object.entries(lies)) {
    it(`gets no ACK and leaves nothing in a's vault when it signs ${lie}`, async () => {
      answerWith(change);
      await scene.play("a dials b", "settle", "b accepts", "settle");
      assert.deepEqual([ending(a), ending(b)], ["not-authentic, none", "hung-up-there, none"]);
      assert.ok(!a.passed.some(({ kind }) => kind === "ACK"));
      b.wire.edit = ({ message }) => message;
      scene.assertQuiet();
      await scene.assertCallable();
    });
  }

  for (const [what, body, code] of [
    ["half a body", Buffer.of(0, 0, 0), "malformed"],
    ["a hop", encodeParts(randomBytes(16), randomBytes(520)), "bad-sip"],
  ] as const) {
    for (const method of ["BYE", "INVITE"]) {
      it(`loses its own line, not a's, when its 200 to ${method} brings ${what}`, async () => {
        b.wire.edit = ({ from, message }) =>
          from === "handset" && isAnswer(message, method) ? { ...message, body } : message;
        await scene.play("a dials b", "settle", "b accepts", "settle");
        if (method === "BYE") await scene.play("a hangs up", "settle");
        assert.equal(b.wire.fault?.at, "server");
        assert.equal((b.wire.fault.error as { code?: string }).code, code);
        assert.equal(a.wire.fault, undefined);
        assert.equal(a.here, true);
        await scene.play("2 s", "settle");
        assert.equal(a.calls.current?.id, undefined);
        assert.equal(scene.server.broker.running, 0);
        b.wire.edit = ({ message }) => message;
        await scene.play("b opens", "b starts", "settle");
        await scene.assertCallable();
      });
    }
  }
});

describe("telephone: a caller that lies", () => {
  interface Told {
    status: number;
    request: SipRequest;
  }

  const callId = randomBytes(16);
  const nonce = randomBytes(32);

  /** I, truly signed, with any caller and half. */
  function invite(half: Buffer, caller: Uid, callee = b.uid): Buffer {
    const head = a.follower.head!;
    const before = inviteBefore({
      callId,
      caller,
      callee,
      head: head.bytes,
      headSignature: head.signature,
      commit: commitment(callId, caller, callee, head.hash, half, nonce),
    });
    return concat(before, sign("a", "invite", transcript("invite", before)));
  }

  async function call(endToEnd: Buffer): Promise<Told[]> {
    const told: Told[] = [];
    const body = encodeParts(endToEnd);
    const request = a.line!.request("INVITE", { uri: b.uid, callId: callId.toString("hex"), body }, ({ status }) => {
      told.push({ status, request });
    });
    await settle(...scene.all);
    return told;
  }

  async function acknowledge(told: Told[], half: Buffer, i: Buffer): Promise<void> {
    await b.calls.accept();
    await settle(...scene.all);
    assert.deepEqual(
      told.map(({ status }) => status),
      [100, 180, 200],
    );
    const said = b.wire.spoken.findLast(({ from, message }) => from === "handset" && isAnswer(message, "INVITE"))!;
    const k = confirmationBefore(callId, half, nonce, randomBytes(1088));
    const signature = sign("a", "ack", transcript("call", i, decodeParts(said.message.body).endToEnd, k));
    a.line!.follow(told[0]!.request, "ACK", encodeParts(concat(k, signature, randomBytes(32))));
    await settle(...scene.all);
  }

  for (const [lie, half] of [
    ["a point of small order", Buffer.alloc(32)],
    ["keys it does not have", randomBytes(32)],
  ] as const) {
    it(`is not spoken to, and leaves nothing in b's vault, when it commits to ${lie}`, async () => {
      const i = invite(half, a.uid);
      await acknowledge(await call(i), half, i);
      assert.equal(b.last("agreed"), undefined);
      assert.equal(ending(b), "not-authentic, none");
      scene.assertQuiet();
    });
  }

  it("is not spoken to when it opens another commitment than its INVITE's", async () => {
    const i = invite(randomBytes(32), a.uid);
    await acknowledge(await call(i), randomBytes(32), i);
    assert.equal(ending(b), "not-authentic, none");
    scene.assertQuiet();
  });

  it("does not ring in another's name, nor at another than it says", async () => {
    for (const i of [invite(randomBytes(32), scene.c.uid), invite(randomBytes(32), a.uid, scene.c.uid)]) {
      const told = await call(i);
      assert.deepEqual(
        told.map(({ status }) => status),
        [603],
      );
      assert.deepEqual(
        b.events.filter(({ event }) => event === "incoming"),
        [],
      );
    }
    scene.assertQuiet();
  });

  for (const method of ["INVITE", "ACK", "BYE", "INFO"] as const) {
    it(`loses its own line, not b's, when its ${method} brings a hop or half a body`, async () => {
      for (const [body, code] of [
        [encodeParts(randomBytes(16), randomBytes(520)), "bad-sip"],
        [lp(randomBytes(16)), "malformed"],
      ] as const) {
        await scene.play("a dials b", "settle", "b accepts", "settle");
        const current = a.calls.current!.id;
        const asked = a.wire.spoken.findLast(
          (said) => said.message.type === "request" && said.message.method === "INVITE",
        );
        if (method === "ACK") a.line!.follow(asked!.message as SipRequest, "ACK", body);
        else a.line!.request(method, { uri: b.uid, callId: current, body }, () => {});
        await settle(...scene.all);
        assert.equal(a.wire.fault?.at, "server");
        assert.equal((a.wire.fault.error as { code?: string }).code, code);
        assert.equal(b.wire.fault, undefined);
        assert.equal(ending(b), "hung-up-there, here");
        await scene.play("a opens", "a starts", "settle");
        scene.assertQuiet();
      }
    });
  }

  it("proves nothing with a goodbye that is not of this call", async () => {
    await scene.play("a dials b", "settle", "b accepts", "settle");
    const body = encodeParts(encodeFarewell(randomBytes(16), randomBytes(32)));
    a.line!.request("BYE", { uri: b.uid, callId: a.calls.current!.id, body }, () => {});
    await settle(...scene.all);
    assert.equal(ending(b), "not-authentic, here");
    assert.equal(b.wire.fault, undefined);
  });
});
