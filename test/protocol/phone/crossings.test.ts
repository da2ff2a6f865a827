/**
 * What may cross, and what may break off: the legitimate crossings of design 4, lost lines, late messages and liars,
 * each seen from both handsets and the server. The moves are sentences, see scene.ts.
 */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { concat } from "@feldfon/protocol/bytes";
import { verifyEvidence } from "@feldfon/protocol/directory/evidence";
import { PublicKey } from "@feldfon/protocol/identity";
import { encodeParts, inviteBefore } from "@feldfon/protocol/phone/call-bytes";
import type { CallKind } from "@feldfon/protocol/phone/orders";
import { testKeyPair } from "../../keys.ts";
import { ending, type Letter, Scene } from "./scene.ts";
import { type End, later, otherEnd, type StageHandset, settle, slots } from "./stage.ts";
import { sayInCall } from "./wrong-messages.ts";

const RING = ["a dials b", "a>", ">a", ">b", "b>", ">a"];
const TALK = [...RING, "b accepts", "b>", ">a", "a>", ">b"];

let scene: Scene;
let a: StageHandset;
let b: StageHandset;

async function connectAll(...letters: Letter[]): Promise<void> {
  scene = await Scene.connected(...letters);
  ({ a, b } = scene);
}

describe("telephone: messages of a call that cross", () => {
  beforeEach(() => connectAll("a", "b", "c"));

  const crossings: { title: string; moves: string[]; a: string; b: string }[] = [
    {
      title: "BYE and BYE: the keys are gone on both sides",
      moves: [...TALK, "a hangs up", "b hangs up"],
      a: "hung-up-here, both",
      b: "hung-up-here, both",
    },
    {
      title: "a BYE and a way that is told",
      moves: [...TALK, "b tells its way", "a hangs up"],
      a: "hung-up-here, both",
      b: "hung-up-there, both",
    },
    {
      title: "a CANCEL and the 200 it finds at the server: the server says BYE to b",
      moves: [...RING, "b accepts", "b>", "a hangs up"],
      a: "cancelled, none",
      b: "hung-up-there, none",
    },
    {
      title: "a CANCEL and the 200 behind it: a says BYE and reveals nothing",
      moves: [...RING, "b accepts", "a hangs up", "a>"],
      a: "cancelled, none",
      b: "hung-up-there, none",
    },
    {
      title: "a CANCEL and a 180",
      moves: ["a dials b", "a>", ">b", "a hangs up"],
      a: "cancelled, none",
      b: "missed, none",
    },
    {
      title: "a CANCEL that leaves before the 100 comes",
      moves: ["a dials b", "a hangs up"],
      a: "cancelled, none",
      b: "missed, none",
    },
    {
      title: "a CANCEL and a refusal, the refusal first",
      moves: [...RING, "b hangs up", "b>", "a hangs up"],
      a: "declined, none",
      b: "declined-here, none",
    },
    {
      title: "a CANCEL and a refusal, the CANCEL first",
      moves: [...RING, "a hangs up", "b hangs up", "a>"],
      a: "declined, none",
      b: "declined-here, none",
    },
    {
      title: "a CANCEL, a 200 and a BYE, when b answers and hangs up at once",
      moves: [...RING, "b accepts", "b hangs up", "b>", "b>", "a hangs up"],
      a: "cancelled, none",
      b: "hung-up-here, none",
    },
    {
      title: "a CANCEL, a 200 and a BYE, when the CANCEL is ahead",
      moves: [...RING, "b accepts", "b hangs up", "a hangs up", "a>", ">b"],
      a: "cancelled, none",
      b: "hung-up-here, none",
    },
    {
      title: "an ACK and a BYE: b hung up before it heard a's keys",
      moves: [...RING, "b accepts", "b>", ">a", "b hangs up"],
      a: "hung-up-there, here",
      b: "hung-up-here, none",
    },
  ];
  for (const crossing of crossings) {
    it(`are at peace: ${crossing.title}`, async () => {
      await scene.play(...crossing.moves, "settle");
      assert.deepEqual([ending(a), ending(b)], [crossing.a, crossing.b]);
      assert.equal(a.last("agreed") !== undefined, crossing.a.endsWith("both") || crossing.a.endsWith("here"));
      scene.assertQuiet();
      await scene.assertCallable();
    });
  }

  it("end a ringing call once, when both hang up at the same moment, whoever is heard first", async () => {
    for (const first of ["a>", "b>"]) {
      await scene.play(...RING, "a hangs up", "b hangs up", first, "settle");
      assert.deepEqual([ending(a), ending(b)], ["declined, none", "declined-here, none"]);
      for (const handset of [a, b]) assert.equal(handset.events.filter(({ event }) => event === "ended").length, 1);
      for (const handset of [a, b]) handset.events.length = 0;
      scene.assertQuiet();
    }
  });

  for (const winner of ["a", "b"] as const) {
    const loser = winner === "a" ? "b" : "a";
    for (const [when, moves] of [
      ["before the server has heard the other's", [`>${loser}`, `${loser}>`, `>${loser}`]],
      ["after the server has heard the other's", [`${loser}>`, `>${loser}`, `>${loser}`]],
    ] as const) {
      it(`let ${winner} ring when both call and it is heard first, and its INVITE arrives ${when}`, async () => {
        await scene.play("a dials b", "b dials a", `${winner}>`, ...moves, "settle");
        assert.equal(ending(scene[loser]), "busy, none");
        assert.equal(scene[loser].last("incoming")?.peer, scene[winner].uid);
        assert.equal(scene[winner].last("rings")?.peer, scene[loser].uid);
        assert.equal(scene.server.broker.running, 1);
        await scene.play(`${loser} accepts`, "settle");
        assert.deepEqual(a.last("agreed")?.sas, b.last("agreed")?.sas);
        await scene.play(`${loser} hangs up`, "settle");
        scene.assertQuiet();
      });
    }
  }

  it("leave nothing behind when both call and the winner gives up while its INVITE waits at the loser", async () => {
    await scene.play("a dials b", "b dials a", "a>", ">b", "a hangs up", "a>", ">b", "settle");
    assert.deepEqual([ending(a), ending(b)], ["cancelled, none", "busy, none"]);
    assert.equal(b.last("incoming"), undefined);
    scene.assertQuiet();
    await scene.assertCallable();
  });
});

describe("telephone: messages of a call that come late", () => {
  const KINDS: CallKind[] = [
    "a:ack",
    "a:cancel",
    "a:bye",
    "s:bye",
    "a:way",
    "b:ringing",
    "b:answer",
    "refused",
    "a:gone",
  ];
  const REQUESTS = ["a:cancel", "a:bye", "s:bye", "a:way"];
  beforeEach(() => connectAll("a", "b"));

  async function sayLate(kind: CallKind, callId: string, from: End): Promise<{ status: number; bytes: number }[]> {
    const spoken = a.wire.spoken.length;
    await sayInCall(kind, { callId, a, b }, a, from);
    await settle(a, b);
    return a.wire.spoken
      .slice(spoken)
      .filter((said) => said.from === otherEnd(from))
      .map(({ message }) => ({ status: message.type === "response" ? message.status : 0, bytes: message.body.length }));
  }

  for (const from of ["handset", "server"] as const) {
    it(`are absorbed and counted for 30 s, and get 481 after it, when the ${from} says them`, async () => {
      await scene.play(...TALK, "a hangs up", "settle");
      const { callId } = a.last("agreed")!;
      const absorbed = () => (from === "handset" ? scene.server.broker.absorbed : a.calls.absorbed);
      a.events.length = b.events.length = 0;
      const count = absorbed();
      for (const kind of KINDS) {
        const answers = REQUESTS.includes(kind) ? [{ status: 200, bytes: 0 }] : [];
        assert.deepEqual(await sayLate(kind, callId, from), answers, kind);
      }
      assert.equal(absorbed() - count, KINDS.length);
      await later(16_000, a, b);
      await later(16_000, a, b);
      for (const kind of KINDS) {
        const answers = REQUESTS.includes(kind) ? [{ status: 481, bytes: 0 }] : [];
        assert.deepEqual(await sayLate(kind, callId, from), answers, kind);
      }
      assert.deepEqual([...a.events, ...b.events], []);
      scene.assertQuiet();
    });

    it(`begin no call again: an INVITE with a used call_id gets 481 when the ${from} says it`, async () => {
      const handset = from === "handset" ? a : b;
      await scene.play(...RING, "b hangs up", "settle");
      const { callId } = a.last("ended")!;
      handset.events.length = 0;
      const spoken = handset.wire.spoken.length;
      await sayInCall("a:invite", { callId, a, b }, handset, from);
      await settle(a, b);
      const answer = handset.wire.spoken.slice(spoken).find((said) => said.from === otherEnd(from))!.message;
      assert.equal(answer.type === "response" && answer.status, 481);
      assert.equal(scene.server.broker.running, 0);
      assert.deepEqual(handset.events, []);
    });
  }
});

describe("telephone: the phonebook's conversations among calls", () => {
  beforeEach(() => connectAll("a", "b", "c"));
  const allHold = () => {
    for (const { follower } of scene.all) assert.deepEqual(follower.head?.hash, scene.server.head().hash);
  };

  it("take a delta during an update, and the update's own behind it", async () => {
    await scene.play("a updates", "a>", ">a", "the directory changes", "settle");
    assert.equal(a.last("updated")?.serverRoot, a.last("updated")?.newRoot);
    allHold();
    scene.assertQuiet();
  });

  it("take a delta in every place of a call, and the call goes its way", async () => {
    for (let moves = 1; moves < TALK.length; moves++) {
      await scene.play(...TALK.slice(0, moves), "the directory changes", "settle");
      if (!a.last("agreed")) await scene.play("b accepts", "settle");
      assert.deepEqual(a.last("agreed")?.sas, b.last("agreed")?.sas, `after ${TALK[moves - 1]}`);
      await scene.play("a hangs up", "settle");
      assert.equal(ending(b), "hung-up-there, both");
      a.events.length = 0;
      allHold();
      scene.assertQuiet();
    }
  });

  it("update during a call", async () => {
    await scene.play(...TALK, "a updates", "b updates", "settle");
    assert.ok(a.last("updated") && b.last("updated"));
    assert.equal(a.calls.current?.talking, true);
    await scene.play("b hangs up", "settle");
    assert.equal(ending(a), "hung-up-there, both");
    scene.assertQuiet();
  });

  it("let it ring while b is being shown the whole phonebook again", async () => {
    await scene.play("the server forgets changes", "b is cut", "the directory changes", "b resumes", "b starts", "b>");
    await scene.play(">b", ">b", "b>", "b>", ">b", "a dials b", "a>", ">b", ">b", "settle");
    assert.equal(b.last("incoming")?.peer, a.uid);
    await scene.play("b accepts", "settle", "a hangs up", "settle");
    assert.equal(ending(b), "hung-up-there, both");
    allHold();
    scene.assertQuiet();
  });

  it("let a delta's 200 fall behind a leave", async () => {
    await scene.play("the directory changes", "a leaves", ">a", "settle");
    assert.equal(a.last("left")?.by, "handset");
    assert.equal(a.wire.fault, undefined);
    assert.equal(scene.server.directory.find(a.uid), -1);
  });

  for (const first of ["a>", ">a"]) {
    it(`part in peace when both leave at once and ${first === "a>" ? "the server" : "a"} hears it first`, async () => {
      await scene.play("the server sends away a", "a leaves", first, "settle");
      assert.equal(a.last("left")?.by, "server");
      assert.equal(a.wire.fault, undefined);
      assert.equal(scene.server.directory.find(a.uid), -1);
      assert.deepEqual(slots(a)[0], 0);
    });
  }

  it("call by uid: ids close up in the middle of a call, and it is the same two who speak and speak again", async () => {
    await connectAll("c", "a", "b");
    assert.deepEqual([a.follower.ownId, b.follower.ownId], [1, 2]);
    await scene.play(...TALK, "c leaves", "settle");
    assert.deepEqual([a.follower.ownId, b.follower.ownId], [0, 1]);
    await scene.play("b hangs up", "settle");
    assert.equal(ending(a), "hung-up-there, both");
    scene.idle();
    await scene.assertCallable();
  });

  it("ring somebody else's handset never, when ids close up between INVITE and 200", async () => {
    await connectAll("c", "a", "b");
    await scene.play(...RING.slice(0, 3), "c leaves", "c>", ">b", "settle", "b accepts", "settle");
    assert.equal(a.last("agreed")?.peer, b.uid);
    assert.deepEqual(a.last("agreed")?.sas, b.last("agreed")?.sas);
  });
});

describe("telephone: heads of a call", () => {
  beforeEach(() => connectAll("a", "b", "c"));

  for (const [holder, other] of [
    ["a", "b"],
    ["b", "a"],
  ] as const) {
    for (const epochs of [1, 3]) {
      it(`are linked by a path when ${holder} is ${epochs} ahead of ${other}`, async () => {
        const changes = Array.from({ length: epochs }, () => "the directory changes");
        await scene.play("the server keeps quiet", ...changes, `${holder} updates`, "settle");
        assert.equal(scene[holder].follower.head!.head.epoch - scene[other].follower.head!.head.epoch, epochs);
        await scene.assertCallable();
        const asked = scene[holder].passed.filter(({ kind }) => kind === "MESSAGE path");
        assert.ok(asked.length > 0, "whoever holds the newer head asks");
        assert.ok(!scene[other].passed.some(({ kind }) => kind === "MESSAGE path"));
      });
    }
  }

  it("stay apart when the path does not come in 3 s: no call, and nobody is accused", async () => {
    await scene.play("the server keeps quiet", "the directory changes", "b updates", "settle");
    await scene.play("a dials b", "a>", ">a", ">b", "2 s", "b>");
    assert.equal(b.calls.current?.place, "trying");
    await scene.play("1 s", "settle");
    assert.deepEqual([ending(a), ending(b)], ["declined, none", "heads-apart, none"]);
    assert.equal(b.last("incoming"), undefined);
    scene.assertQuiet();
  });

  it("stay apart at the caller too, which then sends no ACK", async () => {
    await scene.play("the server keeps quiet", "the directory changes", "a updates", "settle");
    await scene.play(...RING, "b accepts", "b>", ">a", "3 s", "settle");
    assert.deepEqual([ending(a), ending(b)], ["heads-apart, none", "hung-up-there, none"]);
    assert.ok(!a.passed.some(({ kind }) => kind === "ACK"));
    scene.assertQuiet();
  });

  it("stay apart when the server has no path", async () => {
    await scene.play("the server keeps quiet", "the directory changes", "b updates", "settle");
    scene.server.logPath = () => undefined;
    await scene.play("a dials b", "settle");
    assert.equal(ending(b), "heads-apart, none");
    assert.equal(b.last("evidence"), undefined);
  });

  /** The server tells a and b two stories. */
  async function fork(...epochsOfB: string[]): Promise<void> {
    await scene.play("the server keeps quiet", "the directory changes", "a updates", "settle");
    scene.server.takeBack();
    scene.server.clock.nowMs += 1;
    await scene.play(...epochsOfB, "b updates", "settle");
  }

  it("convict the server when one epoch has two, and there is no call", async () => {
    await fork("the directory changes");
    await scene.play("a dials b", "settle");
    assert.equal(ending(b), "two-directories, none");
    assert.equal(verifyEvidence(b.last("evidence")!.bytes).verdict, "two-heads");
    assert.equal(b.last("incoming"), undefined);
    scene.assertQuiet();
  });

  it("convict the server when the next one continues another", async () => {
    await fork("the directory changes", "the directory changes");
    await scene.play("a dials b", "settle");
    assert.equal(ending(b), "two-directories, none");
    assert.equal(verifyEvidence(b.last("evidence")!.bytes).verdict, "broken-chain");
  });

  it("show a lie by the path when the log holds another head at that epoch", async () => {
    await fork("the directory changes", "the directory changes", "the directory changes");
    for (const [caller, callee, moves] of [
      ["a", "b", []],
      ["b", "a", ["a accepts", "settle"]],
    ] as const) {
      await scene.play(`${caller} dials ${callee}`, "settle", ...moves);
      assert.equal(ending(b), "two-directories, none", `${caller} calls`);
      assert.equal(verifyEvidence(b.last("evidence")!.bytes).verdict, "unlinked");
      assert.equal(a.last("agreed") ?? b.last("agreed"), undefined);
      b.events.length = 0;
      scene.assertQuiet();
    }
  });
});

describe("telephone: whom one cannot call", () => {
  beforeEach(() => connectAll("a", "b", "c"));
  const dial = (uid: string) => a.calls.dial(uid as typeof a.uid);

  it("is oneself: neither the handset nor the server does it", async () => {
    await assert.rejects(dial(a.uid), { code: "self" });
    const callId = randomBytes(16);
    const head = a.follower.head!;
    const { bytes, signature: headSignature } = head;
    const before = inviteBefore({
      callId,
      caller: a.uid,
      callee: a.uid,
      head: bytes,
      headSignature,
      commit: randomBytes(32),
    });
    const body = encodeParts(concat(before, randomBytes(512)));
    let status: number | undefined;
    a.line!.request("INVITE", { uri: a.uid, callId: callId.toString("hex"), body }, (answer) => {
      status = answer.status;
    });
    await settle(a);
    assert.equal(status, 482);
    scene.assertQuiet();
  });

  it("is somebody who is not in the phonebook, or not known to the server", async () => {
    const stranger = new PublicKey((await testKeyPair(a.vault, 9)).spki);
    await assert.rejects(dial(stranger.uid), { code: "unknown-contact" });
    scene.server.names.delete(b.uid);
    await scene.play("a dials b", "settle");
    assert.equal(ending(a), "unknown, none");
    scene.assertQuiet();
  });

  it("is somebody whose line is lost", async () => {
    await scene.play("b is cut", "a dials b", "settle");
    assert.equal(ending(a), "offline, none");
    await scene.play("b resumes", "b starts", "settle");
    scene.assertQuiet();
    await scene.assertCallable();
  });

  it("is somebody who speaks with another, and their call goes on", async () => {
    await scene.play("b dials c", "settle", "c accepts", "settle", "a dials b", "settle");
    assert.equal(ending(a), "busy, none");
    await scene.play("a dials c", "settle");
    assert.equal(ending(a), "busy, none");
    assert.equal(b.calls.current?.talking, true);
    await scene.play("c hangs up", "settle");
    assert.equal(ending(b), "hung-up-there, both");
    scene.assertQuiet();
  });

  it("is somebody while one is in a call oneself", async () => {
    await scene.play(...TALK);
    await assert.rejects(dial(scene.c.uid), { code: "busy" });
    await scene.play("a hangs up", "settle");
    scene.assertQuiet();
  });

  it("is anybody while the line is away", async () => {
    await scene.play("a is cut");
    await assert.rejects(dial(b.uid), { code: "not-connected" });
  });
});

describe("telephone: time limits of a call", () => {
  beforeEach(() => connectAll("a", "b", "c"));

  it("let it ring for 60 s and no longer", async () => {
    await scene.play(...RING, "20 s", "settle", "20 s", "settle", "19 s", "settle");
    assert.equal(a.calls.current?.place, "ringing");
    await scene.play("1 s", "settle");
    assert.deepEqual([ending(a), ending(b)], ["silent, none", "missed, none"]);
    assert.deepEqual(scene.server.callsOver.at(-1)?.status, 408);
    scene.assertQuiet();
    await scene.assertCallable();
  });

  it("wait 5 s for the ACK behind b's 200, and accuse nobody", async () => {
    await scene.play(...RING, "b accepts", "b>", ">a", "4 s");
    assert.equal(b.calls.current?.place, "answered");
    await scene.play("1 s");
    assert.equal(b.calls.current?.place, "b-leaving");
    await scene.play("settle");
    assert.deepEqual([ending(a), ending(b)], ["hung-up-there, here", "unavailable, none"]);
    scene.assertQuiet();
  });

  it("wait 10 s for the ACK at the server, when b does not speak up either", async () => {
    await scene.play(...RING, "b accepts", "b>");
    a.wire.held.add("handset");
    b.wire.held.add("server");
    await scene.play("9 s");
    assert.equal(scene.server.broker.running, 1);
    await scene.play("1 s");
    assert.equal(scene.server.broker.running, 0);
    a.wire.held.clear();
    b.wire.held.clear();
    await scene.play("settle");
    scene.assertQuiet();
  });

  it("wait 2 s for the other's word that its keys are gone, then it is here only", async () => {
    await scene.play(...TALK, "a hangs up", "1 s");
    assert.equal(a.calls.current?.place, "a-leaving");
    await scene.play("1 s");
    assert.equal(ending(a), "hung-up-here, here");
    await scene.play("settle");
    assert.equal(ending(b), "hung-up-there, both");
    scene.assertQuiet();
    await scene.assertCallable();
  });

  it("wait 2 s for the end of a call that is given up", async () => {
    await scene.play(...RING, "a hangs up", "2 s");
    assert.equal(ending(a), "cancelled, none");
    await scene.play("settle");
    assert.equal(ending(b), "missed, none");
    scene.assertQuiet();
  });

  it("wait 5 s at the server for a BYE's 200, and then both may call others", async () => {
    await scene.play(...TALK, "a hangs up", "a>");
    b.wire.held.add("server").add("handset");
    await scene.play("5 s", "settle");
    assert.equal(scene.server.broker.running, 0);
    b.wire.held.clear();
    await scene.assertCallable("a", "c");
  });

  it("wait 5 s at the server for a's 200 even when an ACK crossed b's BYE", async () => {
    await scene.play(...RING, "b accepts", "b>", ">a", "b hangs up", "b>", "a>");
    a.wire.held.add("server");
    await scene.play("5 s", "settle");
    assert.equal(scene.server.broker.running, 0);
    await scene.assertCallable("b", "c");
  });

  it("end a call in which no voice comes", async () => {
    await scene.play(...TALK);
    a.calls.noVoice(a.calls.current!.id);
    await settle(...scene.all);
    assert.deepEqual([ending(a), ending(b)], ["no-voice, both", "hung-up-there, both"]);
    scene.assertQuiet();
  });
});
