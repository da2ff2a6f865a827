/**
 * A line that is lost, in every place of connect and of a call, at either end: what the user sees, that the other side
 * is told, and that nothing is left over. Then frames that belong to another line, another direction or another time.
 */
import assert from "node:assert/strict";
import type { CallPlace } from "@feldfon/protocol/phone/orders";
import { ending, type Letter, Scene } from "./scene.ts";
import { type End, later, otherEnd, type StageHandset, slots } from "./stage.ts";

const CONNECT = ["a opens", "a starts", "a>", ">a", ">a", "a>", ">a", "a>", ">a", "a>"];
const RING = ["a dials b", "a>", ">a", ">b", "b>", ">a"];
const TALK = [...RING, "b accepts", "b>", ">a", "a>", ">b"];

describe("telephone: a line lost while it connects", () => {
  let scene: Scene;
  before(async () => {
    scene = await Scene.connected("c");
  });

  for (let moves = 1; moves <= CONNECT.length; moves++) {
    it(`leaves nothing behind ${moves} moves after the beginning, and the next one reaches its end`, async () => {
      const { a, c, server } = scene;
      await scene.play(...CONNECT.slice(0, moves), "a is cut");
      assert.equal(a.wire.fault, undefined);
      assert.equal(a.resumable, moves === CONNECT.length, "only a line in the loop can be resumed");
      a.forget();
      assert.equal(slots(a)[0], 0);
      await scene.play(...CONNECT, "settle");
      assert.equal(a.here, true);
      assert.deepEqual(a.follower.head?.hash, server.head().hash);
      assert.deepEqual(c.follower.head?.hash, server.head().hash);
      await scene.play("a leaves", "settle");
      assert.deepEqual(slots(a, c), [0, 5, 5]);
    });
  }
});

describe("telephone: a line lost in a call", () => {
  let scene: Scene;
  beforeEach(async () => {
    scene = await Scene.connected("a", "b");
  });

  const CALLS = {
    "a hangs up": [...TALK, "a hangs up", "a>", ">b", "b>"],
    "b hangs up": [...TALK, "b hangs up", "b>", ">a", "a>"],
    "both hang up": [...TALK, "a hangs up", "b hangs up", "a>", "b>", ">a", ">b", "a>", "b>"],
    "a gives up": [...RING, "a hangs up", "a>", ">b", "b>", "b>"],
    "a gives up too late": [...RING, "b accepts", "a hangs up", "b>", "a>", ">a", ">b", "a>"],
    "b declines": [...RING, "b hangs up", "b>"],
  };

  /** What the display says at once where the line is lost; a call that has keys goes on. */
  const SEEN: Partial<Record<CallPlace, string>> = {
    inviting: "line-lost, none",
    trying: "line-lost, none",
    ringing: "line-lost, none",
    answered: "line-lost, none",
    cancelling: "cancelled, none",
    "a-leaving": "hung-up-here, here",
    "b-leaving": "hung-up-here, here",
    "a-left": "hung-up-here, here",
    "b-left": "hung-up-here, here",
  };

  for (const [name, call] of Object.entries(CALLS)) {
    for (const who of ["a", "b"] as const) {
      for (const noticed of ["is cut", "is cut and the server has not noticed", "is cut and has not noticed"]) {
        it(`is survived or told: ${name}, and after every move ${who} ${noticed}`, async () => {
          for (let moves = 1; moves <= call.length; moves++) await loseAfter(call.slice(0, moves), who, noticed);
        });
      }
    }
  }

  async function loseAfter(moves: string[], who: Letter, noticed: string): Promise<void> {
    const { a, b, server } = scene;
    const [lost, other] = who === "a" ? [a, b] : [b, a];
    a.events.length = b.events.length = 0;
    await scene.play(...moves);
    const place = lost.calls.current?.place;
    const seen = place === "a-leaving" && lost.last("agreed") === undefined ? "cancelled, none" : SEEN[place ?? "idle"];
    await scene.play(`${who} ${noticed}`);
    if (lost.here) await scene.play("settle", `${who} is cut`); // and now it has noticed
    if (place === "talking") assert.equal(lost.calls.current?.talking, true);
    else if (place) assert.equal(ending(lost), seen, `${moves.at(-1)}: ${place}`);

    await scene.play("settle");
    // Whoever has a line is told: it is out of the call, or has said goodbye by itself and waits for an answer.
    const otherPlace = other.calls.current?.place;
    if (server.broker.running === 0 && otherPlace) assert.match(otherPlace, /leaving|left|cancelling/, moves.at(-1));
    await scene.play(`${who} resumes`, `${who} starts`, "settle");
    const [here, there] = [lost, other].map(({ calls }) => calls.current?.talking === true);
    assert.equal(here, there, `${moves.at(-1)}: both are in the call or neither`);
    if (here) {
      await scene.play(`${who} hangs up`, "settle");
      assert.deepEqual([ending(lost), ending(other)], ["hung-up-here, both", "hung-up-there, both"]);
    }
    await later(6_000, a, b);
    scene.assertQuiet(`after ${moves.at(-1)}`);
  }

  it("keeps the keys of a call that goes on, on both sides, across both resumes", async () => {
    const { a, b } = scene;
    await scene.play(...TALK);
    const agreed = [a.last("agreed")!, b.last("agreed")!] as const;
    const keys = () => [a.vault.reveal(agreed[0].keys.media.send), b.vault.reveal(agreed[1].keys.media.send)];
    const before = keys();
    for (const who of ["a", "b"]) await scene.play(`${who} is cut`, `${who} resumes`, `${who} starts`, "settle");
    assert.deepEqual(keys(), before);
    await scene.play("b tells its way", "settle", "a hangs up", "settle");
    assert.ok(a.last("way-told"));
    assert.deepEqual([ending(a), ending(b)], ["hung-up-here, both", "hung-up-there, both"]);
    scene.assertQuiet();
  });

  it("says a goodbye that found no line when the line is back, and the other proves its keys gone", async () => {
    const { a, b } = scene;
    await scene.play(...TALK, "a is cut", "a hangs up");
    assert.equal(ending(a), "hung-up-here, here");
    await scene.play("settle");
    assert.equal(b.calls.current?.talking, true);
    await scene.play("a resumes", "a starts", "settle");
    assert.equal(ending(b), "hung-up-there, both");
    scene.assertQuiet();
  });

  it("hears the other's goodbye, kept by the server, when the line is back", async () => {
    const { a, b } = scene;
    await scene.play(...TALK, "a is cut", "b hangs up", "settle");
    assert.equal(ending(b), "hung-up-here, here");
    assert.equal(a.calls.current?.talking, true);
    await scene.play("a resumes", "a starts", "settle");
    assert.equal(ending(a), "hung-up-there, here");
    scene.assertQuiet();
  });

  it("hears the server's goodbye again when it was lost with the line", async () => {
    const { a, b } = scene;
    await scene.play(...TALK, "b is cut", "b is forgotten", "a is cut", "a resumes", "a starts", "settle");
    assert.deepEqual([ending(a), ending(b)], ["hung-up-there, here", "line-lost, here"]);
    await scene.play("b opens", "b starts", "settle");
    scene.assertQuiet();
  });

  it("says a goodbye again that nobody answered before the line was lost", async () => {
    const { a, b } = scene;
    await scene.play(...TALK, "a hangs up", "2 s", "a is cut");
    assert.equal(ending(a), "hung-up-here, here");
    await scene.play("a resumes", "a starts", "settle");
    assert.equal(ending(b), "hung-up-there, both");
    scene.assertQuiet();
  });

  it("finds both out of the call when both hung up without a line", async () => {
    const { a, b } = scene;
    await scene.play(...TALK, "a is cut", "b is cut", "a hangs up", "b hangs up");
    await scene.play("a resumes", "a starts", "settle", "b resumes", "b starts", "settle");
    assert.deepEqual([ending(a), ending(b)], ["hung-up-here, here", "hung-up-here, here"]);
    scene.assertQuiet();
  });

  it("is over for the other side too when it does not come back in time", async () => {
    const { a, b } = scene;
    await scene.play(...TALK, "a is cut", "a is forgotten", "settle");
    assert.deepEqual([ending(a), ending(b)], ["line-lost, here", "hung-up-there, here"]);
    await scene.play("a opens", "a starts", "settle");
    scene.assertQuiet();
  });

  it("frees both when a handset begins anew instead of resuming", async () => {
    const { a, b } = scene;
    await scene.play(...TALK, "a is cut", "a opens", "a starts", "settle");
    assert.deepEqual([ending(a), ending(b)], ["line-lost, here", "hung-up-there, here"]);
    scene.assertQuiet();
    await scene.assertCallable();
  });

  it("frees both when the line is lost again in the middle of its resume", async () => {
    const { a, b } = scene;
    const resume = ["a resumes", "a starts", "a>", ">a"];
    for (let moves = 1; moves <= resume.length; moves++) {
      await scene.play(...TALK, "a is cut", ...resume.slice(0, moves), "a is cut");
      if (a.resumable) {
        await scene.play("a resumes", "a starts", "settle");
        assert.equal(a.calls.current?.talking, true);
        await scene.play("a hangs up", "settle");
        assert.equal(ending(b), "hung-up-there, both");
      } else {
        assert.equal(ending(a), "line-lost, here");
        await scene.play("a opens", "a starts", "settle");
        assert.equal(ending(b), "hung-up-there, here");
      }
      scene.assertQuiet(`after ${resume[moves - 1]}`);
    }
  });

  it("costs nobody else's line: b's answers to what a asked before it was lost find nobody", async () => {
    for (const asked of [["a tells its way"], ["a hangs up"]]) {
      await scene.play(...TALK, ...asked, "a>", ">b", "a is cut", "settle");
      assert.equal(scene.b.wire.fault, undefined);
      await scene.play("a resumes", "a starts", "settle");
      if (scene.a.calls.current) await scene.play("a hangs up", "settle");
      await later(6_000, scene.a, scene.b);
      scene.assertQuiet();
    }
    // The server had stopped waiting before the line was lost.
    await scene.play(...TALK, "a hangs up", "a>", "5 s", "a is cut", "settle");
    assert.equal(scene.b.wire.fault, undefined);
    await scene.play("a resumes", "a starts", "settle");
    scene.assertQuiet();
  });
});

describe("telephone: a line lost in the loop", () => {
  const CONVERSATIONS = {
    "a delta": ["the directory changes", ">a", "a>"],
    "an update": ["a updates", "a>", ">a", "a>", ">a", ">a", "a>"],
    "an update and a delta before its own": [
      ...["a updates", "a>", ">a", "the directory changes", "a>", ">a", ">a", "a>", ">a", "a>"],
    ],
    "a snapshot": [
      ...["the server forgets changes", "the directory changes", ">a", "a>", "a>", ">a", ">a", "a>", ">a", "a>"],
    ],
    "a sync": ["a is cut", "a resumes", "a starts", "a>", ">a"],
    "a sync and what has changed": [
      ...["a is cut", "the directory changes", "a resumes", "a starts", "a>", ">a", ">a", "a>"],
    ],
    "a leave": ["a leaves", "a>", ">a"],
    "a leave of the server's making": ["the server sends away a", ">a", "a>"],
    "both leaves": ["the server sends away a", "a leaves", "a>", ">a", "a>"],
  };
  let scene: Scene;
  before(async () => {
    scene = await Scene.connected("a", "b");
  });

  for (const [name, moves] of Object.entries(CONVERSATIONS)) {
    for (const noticed of ["is cut", "is cut and the server has not noticed", "is cut and has not noticed"]) {
      it(`costs nothing but time: ${name}, and after every move a ${noticed}`, async () => {
        for (let done = 1; done <= moves.length; done++) {
          const where = `${name}, after ${done} moves`;
          const { a, b, server } = scene;
          await scene.play(...moves.slice(0, done), `a ${noticed}`, "settle");
          if (!a.line!.channel.closed) await scene.play("a is cut", "settle"); // and now it has noticed
          assert.equal(a.wire.fault, undefined, where);
          if (a.resumable) await scene.play("a resumes", "a starts", "settle");
          if (!a.here) {
            a.forget();
            await scene.play("a opens", "a starts", "settle");
          }
          assert.equal(a.here, true, where);
          assert.equal(server.lines.size, 2, where);
          server.forgotten.clear();
          a.events.length = 0;
          await scene.play("a updates", "settle");
          const { oldRoot, newRoot, serverRoot } = a.last("updated")!;
          assert.deepEqual([oldRoot, newRoot], [serverRoot, serverRoot], where);
          for (const { follower } of [a, b]) assert.deepEqual(follower.head?.hash, server.head().hash, where);
          assert.equal(server.directory.idOf(a.uid), a.follower.ownId, where);
          scene.assertQuiet(where);
        }
        await scene.assertCallable();
      });
    }
  }
});

describe("telephone: frames of another line, direction or time", () => {
  let a: StageHandset;
  let scene: Scene;
  before(async () => {
    scene = await Scene.connected("a");
    a = scene.a;
  });

  async function freshLine(): Promise<void> {
    a.cut();
    a.forget();
    await scene.play("the directory changes"); // so that both ends say two things
    a.openAt("resuming");
    a.line!.start();
    await scene.play("settle");
    assert.equal(a.here, true);
  }

  async function assertFault(at: End, codes: string[]): Promise<void> {
    await scene.play("settle");
    assert.equal(a.wire.fault?.at, at);
    assert.ok(codes.includes((a.wire.fault.error as { code?: string }).code ?? ""), String(a.wire.fault.error));
    assert.equal(a.here, false);
  }

  for (const end of ["handset", "server"] as const) {
    it(`close the line at the ${end}: every frame of the previous connection`, async () => {
      await freshLine();
      const old = a.wire.history.filter(({ from }) => from !== end);
      assert.ok(old.length >= 2);
      for (const { body } of old) {
        await freshLine();
        a.wire.toward[end].push(body);
        await assertFault(end, ["bad-counter", "bad-tag"]);
      }
    });

    it(`close the line at the ${end}: the frame it sealed itself, sent back`, async () => {
      for (const index of [0, 1]) {
        await freshLine();
        const own = a.wire.history.filter(({ from }) => from === end)[index]!;
        a.wire.toward[end].push(own.body);
        await assertFault(end, ["bad-counter", "bad-tag"]);
      }
      await freshLine();
      // Even where the counter is the one that is expected.
      const heard = a.wire.history.filter(({ from }) => from !== end).length;
      while (a.wire.history.filter(({ from }) => from === end).length <= heard) {
        const line = end === "handset" ? a.line! : a.serverLine!;
        line.request("MESSAGE", { uri: end === "handset" ? "server" : a.uid, feldfon: "ping" }, () => {});
      }
      a.wire.toward[otherEnd(end)].length = 0;
      a.wire.toward[end].push(a.wire.history.filter(({ from }) => from === end)[heard]!.body);
      await assertFault(end, ["bad-tag"]);
    });

    it(`close the line at the ${end}: a frame that comes twice, is left out, or overtakes another`, async () => {
      for (const tamper of [
        ([one, two]: Buffer[]) => [one, one, two],
        ([, two]: Buffer[]) => [two],
        ([one, two]: Buffer[]) => [two, one],
      ]) {
        await freshLine();
        const line = end === "handset" ? a.serverLine! : a.line!;
        const uri = end === "handset" ? a.uid : "server";
        for (const _ of [1, 2]) line.request("MESSAGE", { uri, feldfon: "ping" }, () => {});
        const frames = a.wire.toward[end].splice(0) as [Buffer, Buffer];
        a.wire.toward[end].push(...(tamper(frames) as Buffer[]));
        await assertFault(end, ["bad-counter"]);
      }
    });
  }
});
