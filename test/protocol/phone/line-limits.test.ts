/** What a line waits for and how long, and what it never takes: numbers, names and heads of messages (wire.md 3, design 3). */
import assert from "node:assert/strict";
import { concat, lp, u64 } from "@feldfon/protocol/bytes";
import { ServerBusy } from "@feldfon/protocol/channel/client";
import { VaultError } from "@feldfon/protocol/errors";
import { parseUid } from "@feldfon/protocol/identity";
import { JoinRefused } from "@feldfon/protocol/phone/handset-line";
import type { SipMessage, SipRequest, SipResponse } from "@feldfon/protocol/sip";
import { Scene } from "./scene.ts";
import { type End, otherEnd, type StageHandset, slots } from "./stage.ts";
import { lineMessage } from "./wrong-messages.ts";

const CONNECT = ["a opens", "a starts", "a>", ">a", ">a", "a>", ">a", "a>", ">a", "a>"];
const ENDS = ["handset", "server"] as const;

let scene: Scene;
let a: StageHandset;

beforeEach(async () => {
  scene = await Scene.connected("a");
  a = scene.a;
});

const codeOf = (error: Error | undefined) => (error as { code?: string } | undefined)?.code;

/** The last byte turned: of a position, another hash. */
function flipped(body: Buffer): Buffer {
  return concat(body.subarray(0, -1), Buffer.of(body.at(-1)! ^ 1));
}

function pingsOf(end: End): number {
  return a.wire.spoken.filter(
    ({ from, message }) => from === end && message.type === "request" && message.feldfon === "ping",
  ).length;
}

describe("telephone: time limits of a line", () => {
  it("sends a PING when nothing was sent for 20 s, from both ends, and is answered", async () => {
    await scene.play("19 s", "settle");
    assert.deepEqual(ENDS.map(pingsOf), [0, 0]);
    await scene.play("1 s", "settle");
    assert.deepEqual(ENDS.map(pingsOf), [1, 1]);
    for (let minutes = 0; minutes < 3; minutes++)
      await scene.play("20 s", "settle", "20 s", "settle", "20 s", "settle");
    assert.deepEqual(ENDS.map(pingsOf), [10, 10]);
    assert.equal(a.here, true);
    assert.deepEqual(a.timeouts, []);
  });

  it("sends no PING before the loop", async () => {
    a.cut();
    a.forget();
    await scene.play(...CONNECT.slice(0, 5), "4 s");
    assert.deepEqual(ENDS.map(pingsOf), [0, 0]);
  });

  it("waits 15 s for an answer at the handset, then the line is lost and can be resumed", async () => {
    await scene.play("a updates", "14 s");
    assert.equal(a.here, true);
    await scene.play("1 s");
    assert.equal(a.here, false);
    assert.match(a.timeouts[0]!, /no answer to MESSAGE update/);
    assert.equal(a.resumable, true);
    await scene.play("a resumes", "a starts", "settle");
    assert.equal(a.here, true);
  });

  it("waits 30 s for an answer at the server", async () => {
    a.wire.held.add("handset");
    await scene.play("the directory changes", "15 s", "14 s");
    assert.equal(a.here, true);
    await scene.play("1 s");
    assert.match(a.timeouts[0]!, /no answer to MESSAGE delta/);
    assert.equal(a.resumable, true);
  });

  for (const end of ENDS) {
    const answerS = end === "handset" ? 15 : 30;
    it(`asks by PING after 20 s without a word at the ${end}, also when it has much to say, and waits ${answerS} s`, async () => {
      const line = end === "handset" ? a.line! : a.serverLine!;
      // What the other end says goes nowhere: as when somebody in between has forgotten half of the line.
      a.wire.meddle = ({ from, body }) => (from === end ? [body] : []);
      for (let said = 0; said < (20 + answerS) / 5; said++) {
        assert.equal(pingsOf(end) - said, said * 5 >= 20 ? 1 : 0);
        assert.deepEqual(a.timeouts, []);
        line.request("MESSAGE", { uri: end === "handset" ? "server" : a.uid, feldfon: "ping" }, () => {});
        await scene.play("5 s", "settle");
      }
      assert.match(a.timeouts[0]!, /no answer to MESSAGE ping/);
      assert.equal(a.resumable, true);
    });
  }

  it("is lost at once when nothing came for 60 s because it slept", async () => {
    a.wire.meddle = () => [];
    await scene.play("61 s");
    assert.equal(a.here, false);
    assert.match(a.timeouts[0]!, /nothing came for 60 s/);
  });

  for (let moves = 1; moves < CONNECT.length; moves++) {
    it(`gives up a connect that stands still for 5 s after "${CONNECT.slice(0, moves).join(" ")}"`, async () => {
      a.cut();
      a.forget();
      await scene.play(...CONNECT.slice(0, moves), "4 s");
      assert.deepEqual(a.timeouts, []);
      await scene.play("1 s");
      assert.equal(a.timeouts.length, 1);
      assert.equal(a.resumable, false);
      a.forget();
      assert.deepEqual(slots(a), [0, 0]);
    });
  }

  it("gives a resumed line 5 s at the server to say where it stands", async () => {
    await scene.play("a is cut", "a resumes", "4 s");
    assert.deepEqual(a.timeouts, []);
    await scene.play("1 s");
    assert.match(a.timeouts[0]!, /sync/);
  });

  it("begins each step's time anew", async () => {
    a.cut();
    a.forget();
    const [opens, starts, ...moves] = CONNECT;
    await scene.play(opens!, starts!);
    for (const move of moves) await scene.play("1 s", move); // 8 s in all
    assert.equal(a.here, true);
    assert.deepEqual(a.timeouts, []);
  });
});

describe("telephone: join on the wire", () => {
  async function joinAs(change: (body: Buffer) => Buffer): Promise<void> {
    a.cut();
    a.forget();
    a.wire.edit = ({ message }) =>
      message.type === "request" && message.feldfon === "join" ? { ...message, body: change(message.body) } : message;
    await scene.play("a opens", "a starts", "settle");
    a.wire.edit = ({ message }) => message;
  }
  const position = Buffer.alloc(8 + 32);

  it("carries the name as UTF-8, the last head and the enrolment code", async () => {
    let body: Buffer | undefined;
    await joinAs((bytes) => {
      body = bytes;
      return bytes;
    });
    const { epoch } = a.follower.head!.head;
    assert.deepEqual(body, concat(lp(Buffer.from("Anna")), u64(epoch), a.follower.head!.hash, lp(Buffer.alloc(0))));
  });

  for (const word of ["name-bad", "name-taken", "key-known", "code-bad"] as const) {
    it(`is refused with ${word}: the handset hears the word, the line ends, and the next one may succeed`, async () => {
      a.cut();
      a.forget();
      scene.server.refusal = word;
      await scene.play("a opens", "a starts", "settle");
      assert.ok(a.wire.fault?.error instanceof JoinRefused);
      assert.equal(codeOf(a.wire.fault.error), word);
      assert.equal(a.serverLine?.ended, true);
      assert.deepEqual(slots(a), [0, 0]);
      scene.server.refusal = undefined;
      await scene.play("a opens", "a starts", "settle");
      assert.equal(a.here, true);
    });
  }

  it("is put off with 503 when the ground gave way at the server, and the handset knows when to come back", async () => {
    a.cut();
    a.forget();
    scene.server.join = async () => ({ unavailable: true });
    await scene.play("a opens", "a starts", "settle");
    const error = a.wire.fault?.error;
    assert.ok(error instanceof ServerBusy);
    assert.equal(error.retryAfterS, 5);
    assert.equal(a.serverLine?.ended, true);
  });

  const wrong: Record<string, Buffer> = {
    "a name that is not UTF-8": concat(lp(Buffer.of(0xc3, 0x28)), position, lp(Buffer.alloc(0))),
    "a name of more than 1 KiB": concat(lp(Buffer.alloc(1025, "n")), position, lp(Buffer.alloc(0))),
    "a code of more than 256 bytes": concat(lp(Buffer.from("Anna")), position, lp(Buffer.alloc(257, "c"))),
    "an epoch above 2^53": concat(
      lp(Buffer.from("Anna")),
      Buffer.alloc(8, 0xff),
      Buffer.alloc(32),
      lp(Buffer.alloc(0)),
    ),
    "a byte too many": concat(lp(Buffer.from("Anna")), position, lp(Buffer.alloc(0)), Buffer.of(0)),
    "a byte too few": concat(lp(Buffer.from("Anna")), position, Buffer.alloc(3)),
    nothing: Buffer.alloc(0),
  };
  for (const [what, body] of Object.entries(wrong)) {
    it(`is a fault with ${what}, and nobody is looked up`, async () => {
      let asked = false;
      scene.server.join = async () => {
        asked = true;
        return { joined: true };
      };
      await joinAs(() => body);
      assert.equal(a.wire.fault?.at, "server");
      assert.equal(codeOf(a.wire.fault.error), "malformed");
      assert.equal(asked, false);
    });
  }
});

describe("telephone: a message that cannot be sealed", () => {
  for (const [what, moves] of [
    ["the phonebook", CONNECT.slice(0, 7)],
    ["a challenge", ["a updates"]],
  ] as const) {
    it(`is not sent in clear, nor at all: ${what} (row 003-68)`, async () => {
      const { server } = scene;
      if (moves[0] === "a opens") {
        a.cut();
        a.forget();
      }
      await scene.play(...moves);
      const sent = a.wire.history.length;
      server.vault.sealInPlace = () => {
        throw new VaultError("empty-slot", "the ground gives way");
      };
      await scene.play("a>");
      assert.equal(codeOf(a.wire.fault?.error), "empty-slot");
      assert.equal(a.wire.fault?.at, "server");
      assert.equal(a.wire.history.length, sent);
      assert.equal(a.wire.toward.handset.length, 0);
    });
  }
});

describe("telephone: numbers that are too large", () => {
  const HUGE = Buffer.alloc(8, 0xff);
  const FAR = u64(Number.MAX_SAFE_INTEGER);
  const hash = Buffer.alloc(32, 7);

  async function hear(end: End, change: (message: SipMessage) => SipMessage, kind: Parameters<typeof lineMessage>[0]) {
    a.speak(otherEnd(end), change(lineMessage(kind, a, otherEnd(end))));
    await scene.play("settle");
  }

  for (const [kind, body] of [
    ["c:snapshot", concat(HUGE, hash)],
    ["c:path", concat(u64(0), HUGE)],
    ["c:path", concat(HUGE, u64(0))],
  ] as const) {
    it(`close the line in ${kind}`, async () => {
      await hear("server", (message) => ({ ...message, body }), kind);
      assert.equal(a.wire.fault?.at, "server");
      assert.equal(codeOf(a.wire.fault.error), "malformed");
    });
  }

  it("get 404 when they are a path nobody has", async () => {
    for (const body of [concat(u64(0), FAR), concat(FAR, FAR), concat(u64(1), u64(0)), concat(u64(0), u64(0))]) {
      let status: number | undefined;
      a.line!.request("MESSAGE", { feldfon: "path", body }, (answer) => {
        status = answer.status;
      });
      await scene.play("settle");
      assert.equal(status, 404);
    }
    assert.equal(a.wire.fault, undefined);
  });

  for (const [what, changed, expected] of [
    ["the newest head nothing but their 200", (body: Buffer) => body, ["sync"]],
    [
      "another head of this epoch a delta, which the handset judges",
      (body: Buffer) => flipped(body),
      ["sync", "delta"],
    ],
  ] as const) {
    it(`in a sync get with ${what}`, async () => {
      const said: (string | undefined)[] = [];
      a.wire.edit = ({ from, message }) => {
        if (from === "server") said.push(message.feldfon);
        const sync = message.type === "request" && message.feldfon === "sync";
        return sync ? { ...message, body: changed(message.body) } : message;
      };
      await scene.play("a is cut", "a resumes", "a starts", "settle");
      assert.deepEqual(said, expected);
      assert.equal(a.wire.fault, undefined);
      assert.equal(a.here, true);
    });
  }

  for (const [epoch, fits] of [
    [FAR, true],
    [HUGE, false],
  ] as const) {
    it(`in a sync are ${fits ? "an epoch from nowhere: the handset is brought to the newest head" : "a fault"}`, async () => {
      a.wire.edit = ({ message }) =>
        message.type === "request" && message.feldfon === "sync" ? { ...message, body: concat(epoch, hash) } : message;
      await scene.play("a is cut", "a resumes", "a starts", "settle");
      assert.equal(codeOf(a.wire.fault?.error), fits ? undefined : "malformed");
      assert.deepEqual(a.follower.head?.hash, scene.server.head().hash);
    });
  }

  it("are no CSeq", async () => {
    const message = lineMessage("c:ping", a, "handset");
    assert.throws(() => a.speak("handset", { ...message, cseq: { number: 2 ** 31, method: "MESSAGE" } }), {
      code: "bad-sip",
    });
  });
});

describe("telephone: heads of messages that fit nowhere", () => {
  const stranger = parseUid("ab".repeat(32));

  async function assertFault(end: End, message: SipMessage, code: string): Promise<void> {
    a.speak(otherEnd(end), message);
    await scene.play("settle");
    assert.equal(a.wire.fault?.at, end);
    assert.equal(codeOf(a.wire.fault.error), code);
    a.forget();
    assert.deepEqual(slots(a), [0, 0]);
  }

  /** A PING that would be answered. */
  const ping = (end: End) => lineMessage(end === "server" ? "c:ping" : "s:ping", a, otherEnd(end)) as SipRequest;

  for (const end of ENDS) {
    it(`close the line at the ${end}: From is not the proven peer`, async () => {
      const message = ping(end);
      await assertFault(end, { ...message, from: { ...message.from, party: stranger } }, "bad-sip");
    });

    it(`close the line at the ${end}: To and Request-URI are two parties`, async () => {
      await assertFault(end, { ...ping(end), to: { party: stranger } }, "bad-sip");
    });

    it(`close the line at the ${end}: a CSeq that was there already, or a lower one`, async () => {
      const sent = a.wire.spoken.findLast(({ from, message }) => from !== end && message.type === "request")!;
      await assertFault(
        end,
        { ...ping(end), cseq: { number: sent.message.cseq.number, method: "MESSAGE" } },
        "out-of-order",
      );
    });

    for (const [what, change] of Object.entries<(answer: SipResponse) => Partial<SipResponse>>({
      "another branch": () => ({ branch: "0123456789abcdef" }),
      "another From": ({ from }) => ({ from: { ...from, party: stranger } }),
      "another tag in From": ({ from }) => ({ from: { ...from, tag: "0123456789abcdef" } }),
      "another To": ({ to }) => ({ to: { ...to, party: stranger } }),
      "a status that is not final": () => ({ status: 180 }),
    })) {
      it(`close the line at the ${end}: an answer with ${what}`, async () => {
        const line = end === "server" ? a.serverLine! : a.line!;
        const uri = end === "server" ? a.uid : "server";
        line.request("MESSAGE", { uri, feldfon: "ping" }, () => {});
        a.wire.toward[otherEnd(end)].length = 0;
        const answer = lineMessage(end === "server" ? "c:pong" : "s:pong", a, otherEnd(end)) as SipResponse;
        await assertFault(end, { ...answer, ...change(answer) }, "bad-sip");
      });
    }
  }

  it("close the line at the server: a message of the line that names another handset", async () => {
    await assertFault("server", { ...ping("server"), uri: stranger, to: { party: stranger } }, "bad-sip");
  });

  it("drop what comes behind a leave", async () => {
    await scene.play("a leaves");
    const ending = a.serverLine!;
    const [frame] = a.wire.toward.server.splice(0);
    await ending.receive(frame!);
    assert.equal(ending.ended, true);
    await ending.receive(Buffer.from("anything"));
  });
});
