/**
 * The order of a call, generated from its table: wherever a, b or the server waits, every message of a call that has no
 * row there, from the right side and from the wrong one, truly sealed, ends that call and nothing else.
 *
 * As in order.test.ts, the scenes have to walk every row.
 */
import assert from "node:assert/strict";
import { type CallKind, callOrder } from "@feldfon/protocol/phone/orders";
import fc from "fast-check";
import { Scene, Watch } from "./scene.ts";
import { later, type StageHandset, settle } from "./stage.ts";
import { sayInCall } from "./wrong-messages.ts";

type Who = "a" | "b" | "server";

const CALL_KINDS = [...new Set(Object.values(callOrder).flatMap((row) => Object.keys(row)))] as CallKind[];

/** Requests that want an answer, whatever it is. */
const ASKING: CallKind[] = ["a:invite", "a:cancel", "a:bye", "b:bye", "s:bye", "a:way", "b:way"];

/** a calls b. */
const RING = ["a dials b", "a>", ">a", ">b", "b>", ">a"];
const TALK = [...RING, "b accepts", "b>", ">a", "a>", ">b"];
/** A head that only one of the two has seen: whoever holds it asks the server how the other's is linked to it. */
const newerHead = (holder: "a" | "b") => [
  "the server keeps quiet",
  "the directory changes",
  `${holder} updates`,
  "settle",
];

const SCENES = {
  "a hangs up": [...TALK, "a hangs up", "a>", ">b", "b>", ">a"],
  "b hangs up": [...TALK, "b hangs up", "b>", ">a", "a>", ">b"],
  "both hang up, a's keys go first": [
    ...TALK,
    ...["a hangs up", "b hangs up", "a>", "b>", ">a", ">b", "a>", "b>", ">b", ">a"],
  ],
  "both hang up, b's keys go first": [
    ...TALK,
    ...["a hangs up", "b hangs up", "a>", "b>", ">a", ">b", "b>", "a>", ">b", ">a"],
  ],
  "both tell their way": [...TALK, "a tells its way", "b tells its way", "a>", "b>", ">a", ">b"],
  "b's way crosses a's goodbye": [...TALK, "b tells its way", "a hangs up", "a>", "b>", ">a"],
  "a's way crosses b's goodbye": [...TALK, "a tells its way", "b hangs up", "b>", "a>", ">b"],
  "a gives up": [...RING, "a hangs up", "a>", ">a", ">b", "b>", "b>", ">a"],
  "a gives up at once": [
    ...["a dials b", "a hangs up", "a>", "a>", ">a", ">a", ">b", "b>", ">b", ">a", "b>", "b>", ">a"],
  ],
  "a gives up before it rings": [...newerHead("b"), "a dials b", "a>", ">a", ">b", "a hangs up", "a>", ">b"],
  "a gives up, then b's answer comes": [...RING, "b accepts", "a hangs up", "a>", "b>", ">a", ">a", "a>", ">b", ">b"],
  "b answers, then a's giving up comes": [...RING, "b accepts", "b>", "a hangs up", "a>", ">a", ">a", "a>", ">b", "b>"],
  "b answers and hangs up, then a's giving up comes": [
    ...[...RING, "b accepts", "b hangs up", "b>", "b>", "a hangs up", "a>", ">a", ">a", ">a", "a>", "a>", ">b", ">b"],
  ],
  "a gives up, then b's answer and goodbye come": [
    ...[...RING, "b accepts", "b hangs up", "a hangs up", "a>", "b>", "b>", ">b", ">a", ">a", ">a", "a>", "a>", ">b"],
  ],
  "a hangs up while it compares heads": [
    ...newerHead("a"),
    ...RING,
    "b accepts",
    "b>",
    ">a",
    "a hangs up",
    "a>",
    "a>",
    ">b",
  ],
  "b hangs up before the ACK": [...RING, "b accepts", "b>", ">a", "b hangs up", "b>", "a>", ">b", ">a"],
  "the heads stay apart": [...newerHead("b"), "a dials b", "a>", ">a", ">b", "4 s", "b>", "b>", ">a"],
  "b is busy": ["b dials c", "settle", "a dials b", "a>", ">a"],
  "b declines": [...RING, "b hangs up", "b>", ">a"],
  "a is lost before the ACK": [...RING, "b accepts", "b>", "a is cut", ">b"],
  "a is gone for good": [...TALK, "a is cut", "a is forgotten", ">b"],
  "a is lost after it gave up": [...RING, "b accepts", "a hangs up", "a>", "b>", "a is cut"],
  "b is lost after a's goodbye": [...TALK, "a hangs up", "a>", "b is cut", ">a"],
  "a is lost after b's goodbye": [...TALK, "b hangs up", "b>", "a is cut", ">b"],
  "b is lost after both goodbyes": [...TALK, "a hangs up", "b hangs up", "a>", "b>", "b is cut", ">a", ">a"],
  "a is lost after both goodbyes": [...TALK, "a hangs up", "b hangs up", "a>", "b>", "a is cut", ">b", ">b"],
  "b is lost after both goodbyes and a's keys": [
    ...[...TALK, "a hangs up", "b hangs up", "a>", "b>", ">a", "a>", "b is cut", ">a"],
  ],
  "a is lost after both goodbyes and b's keys": [
    ...[...TALK, "a hangs up", "b hangs up", "a>", "b>", ">b", "b>", "a is cut", ">b"],
  ],
};
type SceneName = keyof typeof SCENES;

/** Some of what may be said after some prefix; FELDFON_ALL_PREFIXES=1 takes all of it, in half a minute. */
const ALL_PREFIXES = process.env.FELDFON_ALL_PREFIXES === "1";
const SAMPLES = 60;

/** Where each of the three waits; all other places they pass within one turn. */
const WAITS: Record<Who, string[]> = {
  a: ["inviting", "trying", "ringing", "answered", "talking", "cancelling", "a-leaving", "a-left"],
  b: ["trying", "ringing", "answered", "talking", "b-leaving", "b-left"],
  server: [
    ...["trying", "ringing", "answered", "talking", "cancelling", "late-answer"],
    ...["a-leaving", "b-leaving", "both-leaving", "a-left", "b-left"],
  ],
};

/** Who hears, and on whose line. */
const EARS = [
  ["a", "a"],
  ["b", "b"],
  ["server", "a"],
  ["server", "b"],
] as const;
interface Ear {
  who: Who;
  side: "a" | "b";
}

/** The kind that somebody takes this message for; the server knows a side by its line, a handset knows its only peer. */
function heardAs(kind: CallKind, who: Who, side: "a" | "b"): string {
  const [, what] = kind.split(":") as [string, string | undefined];
  const sender = who === "server" ? side : who === "a" ? "b" : "a";
  if (kind === "s:bye") return who === "server" ? `${sender}:bye` : kind;
  return what === "bye" || what === "gone" || what === "way" ? `${sender}:${what}` : kind;
}

/** What the table lets somebody hear from that side. */
function allowed(who: Who, side: "a" | "b", place: string, kind: string): boolean {
  // b's 200 to the server's CANCEL is nobody's row: the call waits for the 487.
  if (who === "server" && side === "b" && kind === "s:cancelled")
    return place === "cancelling" || place === "late-answer";
  const sender = kind.split(":")[0]!;
  const senders =
    who === "server" ? (side === "a" ? ["a"] : ["b", "refused"]) : who === "a" ? ["b", "s", "refused"] : ["a", "s"];
  return senders.includes(sender) && Object.hasOwn(callOrder[place as keyof typeof callOrder], kind);
}

describe("telephone: order of a call", () => {
  let scene: Scene;
  let watch: Watch;
  /** What the scenes themselves could not do. */
  let honestlyRefused: string[] = [];
  /** By who waits, whose line is free for a message, and place: the scene and its moves that lead there. */
  const moments = new Map<string, { scene: SceneName; moves: number }>();
  /** By where all three stand at once: every prefix of every scene leads to one of them. */
  const prefixes = new Map<string, Ear & { scene: SceneName; moves: number; place: string }>();

  before("walk every scene once", async () => {
    scene = await Scene.connected("a", "b", "c");
    watch = new Watch(() => scene.acting);
    for (const name of Object.keys(SCENES) as SceneName[]) {
      await play(name, SCENES[name].length, (moves) => note(name, moves));
    }
    honestlyRefused = [...watch.refused];
  });
  after(() => watch.end());

  /** From the moment on when nobody is in a call and all lines are there. */
  async function play(name: SceneName, moves: number, then?: (done: number) => void): Promise<void> {
    await calm();
    for (const [index, move] of SCENES[name].slice(0, moves).entries()) {
      await scene.play(move);
      then?.(index + 1);
    }
  }

  async function calm(): Promise<void> {
    const { server, all } = scene;
    server.pushing = true;
    for (const handset of all) {
      if (handset.calls.current) handset.calls.hangUp();
      if (handset.here) continue;
      handset.forget();
      handset.openAt("resuming");
      handset.line!.start();
    }
    for (const line of server.lines.values()) line.offerDelta();
    await settle(...all);
    await later(6_000, ...all);
    scene.assertQuiet("before the scene");
  }

  function placeOf(who: Who): string | undefined {
    if (who === "server") return scene.server.broker.running > 0 ? watch.place("server", "call") : undefined;
    const call = scene[who].calls.current;
    return call?.own === (who === "a" ? "A" : "B") ? call.place : undefined;
  }

  /** A message can be slipped in where nothing else is on its way. */
  function note(name: SceneName, moves: number): void {
    for (const [who, side] of EARS) {
      const place = placeOf(who);
      const { wire, here } = scene[side];
      const where = `${who} ${side} ${place}`;
      if (!place || !here || wire.toward[who === "server" ? "server" : "handset"].length > 0) continue;
      if (!moments.has(where)) moments.set(where, { scene: name, moves });
      // With a third handset, or with one that is away, more than this call would have to be told.
      if (name === "b is busy" || !scene.a.here || !scene.b.here) continue;
      const everywhere = `${who} ${side} ${(["a", "b", "server"] as const).map(placeOf)}`;
      if (!prefixes.has(everywhere)) prefixes.set(everywhere, { who, side, place, scene: name, moves });
    }
  }

  it("walks every row of the table", () => {
    const rows = Object.entries(callOrder).flatMap(([place, row]) =>
      Object.keys(row).map((kind) => `call ${place} ${kind}`),
    );
    assert.deepEqual(
      rows.filter((row) => !watch.rows.has(row)),
      [],
    );
    assert.deepEqual(honestlyRefused, [], "and needs no others");
  });

  it("waits where this test says it does, and passes all other places within one turn", () => {
    const waits = EARS.flatMap(([who, side]) => WAITS[who].map((place) => `${who} ${side} ${place}`));
    assert.deepEqual([...moments.keys()].toSorted(), waits.toSorted());
  });

  for (const [who, side] of EARS) {
    for (const place of WAITS[who]) {
      const where = who === "server" ? `the server, from ${side},` : who;
      it(`refuses what has no row at ${where} in ${place}`, async () => {
        const moment = moments.get(`${who} ${side} ${place}`)!;
        for (const kind of CALL_KINDS) {
          if (allowed(who, side, place, heardAs(kind, who, side))) continue;
          await play(moment.scene, moment.moves);
          assert.equal(placeOf(who), place);
          await assertRefused(who, scene[side], kind);
        }
      });
    }
  }

  it("refuses what has no row after every prefix of every scene, wherever the other two stand", async function () {
    this.timeout(600_000);
    const tried = new Set([...moments].map(([where, { scene: name, moves }]) => `${where} ${name} ${moves}`));
    const wrong = [...prefixes.values()]
      .filter(({ who, side, place, scene: name, moves }) => !tried.has(`${who} ${side} ${place} ${name} ${moves}`))
      .flatMap((prefix) => CALL_KINDS.map((kind) => ({ ...prefix, kind })))
      .filter(({ who, side, place, kind }) => !allowed(who, side, place, heardAs(kind, who, side)))
      // Where the server's CANCEL is still unanswered, its 200 is awaited in whatever place.
      .filter(({ who, side, kind }) => !(who === "server" && side === "b" && kind === "s:cancelled"));
    assert.ok(wrong.length > SAMPLES, `${wrong.length} wrong messages`);
    const chosen = ALL_PREFIXES ? wrong : fc.sample(fc.constantFrom(...wrong), { seed: 42, numRuns: SAMPLES });
    for (const { who, side, place, scene: name, moves, kind } of chosen) {
      await play(name, moves);
      assert.equal(placeOf(who), place);
      await assertRefused(who, scene[side], kind);
    }
  });

  async function assertRefused(who: Who, handset: StageHandset, kind: CallKind): Promise<void> {
    const { a, b, server, all } = scene;
    const callId = (a.calls.current ?? b.calls.current)!.id;
    const callsOver = server.callsOver.length;
    const told = handset.events.length;
    const [from, to] = who === "server" ? (["handset", "server"] as const) : (["server", "handset"] as const);
    await sayInCall(kind, { callId, a, b }, handset, from);
    const said = all.map(({ wire }) => wire.spoken.length);
    await handset.wire.deliver(to);
    await server.jobs.computed();

    for (const [index, { wire }] of all.entries()) {
      for (const { message } of wire.spoken.slice(said[index])) {
        const no = message.type === "response" ? message.status >= 300 : ["BYE", "CANCEL"].includes(message.method);
        assert.ok(no, `${kind} makes ${who} say nothing but no`);
      }
    }
    if (ASKING.includes(kind)) {
      const refusals = handset.wire.spoken.filter(
        ({ message }) => message.type === "response" && message.status === 481,
      );
      assert.ok(refusals.length > 0, `${kind} is answered`);
    }
    if (who === "server") {
      assert.equal(server.callsOver.length, callsOver + 1, `${kind} ends the call at the server`);
    } else {
      assert.equal(handset.calls.current?.id, undefined, `${kind} ends the call at ${who}`);
      const events = handset.events.slice(told).filter(({ event }) => event !== "release");
      assert.deepEqual(
        events.map((event) => (event.event === "ended" ? [event.why, event.erased === "both"] : event.event)),
        [["not-authentic", false]],
        kind,
      );
    }

    await settle(...all);
    await later(6_000, ...all);
    scene.assertQuiet(`after ${kind}`);
  }

  it("carries a call after all of that", async () => {
    await calm();
    await scene.play("a dials b", "settle", "b accepts", "settle");
    assert.deepEqual(scene.a.last("agreed")?.sas, scene.b.last("agreed")?.sas);
    await scene.play("b hangs up", "settle");
    assert.equal(scene.a.last("ended")?.erased, "both");
    scene.assertQuiet("at the end");
  });
});
