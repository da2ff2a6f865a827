/**
 * Generated from the order tables: in every place where an end waits, every message that has no row there, from the
 * right sender and from the wrong one, truly sealed, is refused in its scope, and nothing comes of it.
 *
 * The scenes are walked in the order tables' own words (scene.ts: Watch), and have to walk every row: a row that is
 * added without a scene, or a handler that does not ask its supervisor, shows here.
 */
import assert from "node:assert/strict";
import {
  connectOrder,
  deltaOrder,
  leaveOrder,
  snapshotOrder,
  syncOrder,
  updateOrder,
} from "@feldfon/protocol/phone/orders";
import type { Order } from "@feldfon/protocol/supervisor";
import { Scene, Watch } from "./scene.ts";
import { type End, otherEnd, slots } from "./stage.ts";
import { type LineKind, lineMessage } from "./wrong-messages.ts";

const ENDS = ["handset", "server"] as const;
/** Said by either end, these are one message. */
const MUTUAL = ["leave", "left", "ping", "pong"];

const LINE_ORDERS = {
  connect: connectOrder,
  sync: syncOrder,
  delta: deltaOrder,
  update: updateOrder,
  snapshot: snapshotOrder,
  leave: leaveOrder,
} as Readonly<Record<string, Order<string, string>>>;

function rowsOf(conversation: string, order: Order<string, string>): string[] {
  return Object.entries(order).flatMap(([place, row]) =>
    Object.keys(row).map((kind) => `${conversation} ${place} ${kind}`),
  );
}

const LINE_KINDS = [
  ...new Set(Object.values(LINE_ORDERS).flatMap((order) => Object.values(order).flatMap((row) => Object.keys(row)))),
  ...["c:ping", "s:ping", "c:pong", "s:pong", "c:path", "s:path", "a:invite"],
] as LineKind[];

/** The kind that an end takes this message for. */
function heardAs(kind: LineKind, end: End): string {
  const [, what] = kind.split(":") as [string, string];
  return MUTUAL.includes(what) ? `${end === "server" ? "c" : "s"}:${what}` : kind;
}

/** A conversation of the loop that has not begun: that is the loop itself, connect or sync at `ready`. */
function isLoop(conversation: string, place: string): boolean {
  const begins = conversation === "connect" || conversation === "sync";
  return !begins && place === Object.keys(LINE_ORDERS[conversation]!)[0];
}

const beginsLine = (move: string): boolean => move === "a is at the door" || move === "a is back";

function codeOf(error: Error): string | undefined {
  return (error as { code?: string }).code;
}

describe("telephone: order of a line", () => {
  /** The shortest way into the loop. */
  const BACK = ["a is back", "a starts", "a>", ">a"];
  const SCENES = {
    connect: ["a is at the door", "a starts", "a>", ">a", ">a", "a>", ">a", "a>", ">a", "a>"],
    refused: ["a is at the door", "a starts", "a>", ">a"],
    sync: BACK,
    delta: [...BACK, "the directory changes", ">a", "a>"],
    update: [...BACK, "a updates", "a>", ">a", "a>", ">a", ">a", "a>"],
    "update while a delta is on its way": [
      ...BACK,
      ...["a updates", "a>", ">a", "the directory changes", "a>", ">a", ">a", "a>", ">a", "a>"],
    ],
    "update refused": [...BACK, "a updates", "a>", ">a", "the server forgets heads", "a>", ">a"],
    snapshot: [
      ...BACK,
      ...["the server forgets changes", "the directory changes", ">a", "a>", "a>", ">a", ">a", "a>", ">a", "a>"],
    ],
    leave: [...BACK, "a leaves", "a>", ">a"],
    "sent away": [...BACK, "the server sends away a", ">a", "a>"],
    "both leave": [...BACK, "the server sends away a", "a leaves", "a>", ">a", "a>"],
  };
  type SceneName = keyof typeof SCENES;

  /** Where each end waits for the other, or for its own time; it passes all other places within one turn. */
  const WAITS: Record<string, Record<End, string[]>> = {
    connect: {
      handset: ["proven", "joining", "joined", "verified", "sealed", "ready"],
      server: ["proven", "shown", "handed", "listed", "ready"],
    },
    sync: { handset: ["resumed", "asked", "ready"], server: ["resumed", "ready"] },
    delta: { handset: ["idle"], server: ["idle", "given"] },
    update: { handset: ["idle", "asked", "proved", "shown"], server: ["idle", "challenged", "shown", "given"] },
    snapshot: { handset: ["idle", "asked", "granted", "verified"], server: ["idle", "shown", "listed"] },
    leave: { handset: ["here", "leaving"], server: ["here", "sent-away", "both"] },
  };

  /** Where one end stands in every conversation. */
  type Places = Record<string, string>;

  /** A moment of a scene: its first `moves` moves are done. */
  interface Moment {
    scene: SceneName;
    moves: number;
    resumed: boolean;
    places: Places;
  }

  let scene: Scene;
  let watch: Watch;
  /** What the scenes themselves could not do. */
  let honestlyRefused: string[] = [];
  const moments = new Map<string, Moment>();
  /** By everything that an end stands in at once: every prefix of every scene leads to one of them. */
  const prefixes = new Map<string, Moment & { end: End }>();

  before("walk every scene once", async () => {
    scene = await Scene.connected("a");
    watch = new Watch(() => scene.acting);
    for (const name of Object.keys(SCENES) as SceneName[]) await explore(name);
    honestlyRefused = [...watch.refused];
  });
  after(() => watch.end());

  /** On a new line, from its first move on. @param then after each move */
  async function play(name: SceneName, moves: number, then?: (move: string, done: number) => void): Promise<void> {
    const { server, a } = scene;
    a.cut();
    a.forget();
    a.wire.edit = ({ message }) => message;
    server.forgotten.clear();
    server.refusal = undefined;
    if (server.directory.find(a.uid) < 0) {
      await scene.play("a opens", "a starts", "settle"); // it had left
      a.cut();
      a.forget();
    } else if (!server.head().hash.equals(a.follower.head!.hash)) {
      await scene.play("a is back", "a starts", "settle"); // it had missed something
      a.cut();
      a.forget();
    }
    if (name === "refused") server.refusal = "name-taken";
    for (const [index, move] of SCENES[name].slice(0, moves).entries()) {
      if (beginsLine(move)) watch.forget();
      await scene.play(move);
      then?.(move, index + 1);
    }
  }

  async function explore(name: SceneName): Promise<void> {
    let resumed = false;
    await play(name, SCENES[name].length, (move, moves) => {
      if (beginsLine(move)) resumed = move === "a is back";
      for (const end of ENDS) {
        const channel = end === "handset" ? scene.a.line?.channel : scene.a.serverLine?.channel;
        if (!channel || channel.closed) continue;
        const moment: Moment = { scene: name, moves, resumed, places: placesOf(end) };
        const everywhere = `${end} ${resumed} ${JSON.stringify(moment.places)}`;
        if (!prefixes.has(everywhere)) prefixes.set(everywhere, { ...moment, end });
        for (const [conversation, place] of Object.entries(moment.places)) {
          if (conversation !== (resumed ? "connect" : "sync")) note(`${end} ${conversation} ${place}`, moment);
        }
      }
    });
  }

  /** The first scene that leads there, and its last move that leaves all as it is: more is on the wire then. */
  function note(where: string, moment: Moment): void {
    const known = moments.get(where);
    const goesOn = known?.scene === moment.scene && JSON.stringify(known.places) === JSON.stringify(moment.places);
    if (!known || goesOn) moments.set(where, moment);
  }

  function placesOf(end: End): Places {
    const who = end === "handset" ? "a" : "server";
    return Object.fromEntries(
      Object.entries(LINE_ORDERS).map(([conversation, order]) => {
        return [conversation, watch.place(who, conversation) ?? Object.keys(order)[0]!];
      }),
    );
  }

  /** What the tables let this end hear now. The loop's conversations are there from `ready` on. */
  function allowed(end: End, { places, resumed }: Moment): Set<string> {
    const beginning = resumed ? "sync" : "connect";
    const inLoop = places[beginning] === "ready";
    const running = inLoop ? Object.keys(LINE_ORDERS).filter((name) => name !== "connect") : [beginning];
    const kinds = running.flatMap((name) => Object.keys(LINE_ORDERS[name]![places[name]!]!));
    const loop = end === "server" ? ["c:ping", "c:path", "a:invite"] : ["s:ping", "a:invite"];
    const sender = end === "server" ? "c:" : "s:";
    return new Set([...kinds.filter((kind) => kind.startsWith(sender)), ...(inLoop ? loop : [])]);
  }

  it("walks every row of the tables", () => {
    const rows = Object.entries(LINE_ORDERS).flatMap(([conversation, order]) => rowsOf(conversation, order));
    assert.deepEqual(
      rows.filter((row) => !watch.rows.has(row)),
      [],
    );
    assert.deepEqual(honestlyRefused, [], "and needs no others");
  });

  it("waits where this test says it does, and passes all other places within one turn", () => {
    const waits = Object.entries(WAITS).flatMap(([conversation, ends]) =>
      ENDS.flatMap((end) => ends[end].map((place) => `${end} ${conversation} ${place}`)),
    );
    assert.deepEqual([...moments.keys()].toSorted(), waits.toSorted());
  });

  /**
   * Brings a line to that moment and lets the other end say something else than it would. What it has said already and
   * this end has not heard is replaced, since frames do not overtake each other.
   */
  async function hearWrong(end: End, { scene: name, moves }: Moment, kind: LineKind): Promise<void> {
    const { a } = scene;
    const from = otherEnd(end);
    const said = () => a.wire.spoken.filter((spoken) => spoken.from === from).length;
    await play(name, moves);
    const unheard = a.wire.toward[end].length;
    if (unheard === 0) return a.speak(from, lineMessage(kind, a, from));
    const replaced = said() - unheard;
    const begins = SCENES[name].slice(0, moves).findLastIndex(beginsLine) + 1;
    await play(name, moves, (_, done) => {
      if (done !== begins) return;
      a.wire.edit = ({ from: who, message }) =>
        who === from && said() === replaced ? lineMessage(kind, a, from) : message;
    });
  }

  for (const [conversation, waits] of Object.entries(WAITS)) {
    for (const end of ENDS) {
      for (const place of waits[end]) {
        if (isLoop(conversation, place)) continue;
        it(`refuses what has no row at the ${end} when ${conversation} is ${place}`, async () => {
          const moment = moments.get(`${end} ${conversation} ${place}`)!;
          for (const kind of LINE_KINDS) {
            if (allowed(end, moment).has(heardAs(kind, end))) continue;
            await hearWrong(end, moment, kind);
            await assertRefused(end, kind);
          }
        });
      }
    }
  }

  it("refuses what has no row after every prefix of every scene, whatever else is under way", async function () {
    this.timeout(120_000);
    const tried = new Set(
      [...moments].map(([where, { scene: name, moves }]) => `${where.split(" ")[0]} ${name} ${moves}`),
    );
    const others = [...prefixes.values()].filter(
      ({ end, scene: name, moves }) => !tried.has(`${end} ${name} ${moves}`),
    );
    assert.ok(others.length > 10, `${others.length} of ${prefixes.size} prefixes`);
    for (const { end, ...moment } of others) {
      for (const kind of LINE_KINDS) {
        if (allowed(end, moment).has(heardAs(kind, end))) continue;
        await hearWrong(end, moment, kind);
        // Before it has opened its secret the handset seals under keys that the server has left behind.
        const early = end === "server" && moment.places.connect === "handed";
        await assertRefused(end, kind, early ? "bad-counter" : "out-of-order");
      }
    }
  });

  async function assertRefused(end: End, kind: LineKind, code = "out-of-order"): Promise<void> {
    const { a, server } = scene;
    const granted = () => ({
      events: a.events.length,
      head: a.follower.last?.head.epoch,
      epochs: server.heads.length,
      rows: server.directory.rows.length,
      answers: a.wire.spoken.filter(({ from }) => from === end).length,
    });
    const before = granted();
    await a.wire.deliver(end);
    await server.jobs.computed();
    assert.equal(a.wire.fault?.at, end, `${kind} is a fault`);
    assert.equal(codeOf(a.wire.fault.error), code, kind);
    assert.deepEqual(granted(), before, `${kind} grants nothing`);
    a.forget();
    assert.deepEqual(slots(a), [0, 0], `${kind} leaves nothing in a vault`);
  }
});
