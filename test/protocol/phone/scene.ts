/**
 * The stage, directed in short sentences, so that a test shows an interleaving the way it happens:
 *
 *     "a dials b"   somebody presses something, or the server does
 *     "a>"   ">b"   the oldest message from a arrives at the server; the oldest for b arrives there
 *     "5 s"         time passes
 *
 * After each sentence all has happened that needs no other message: RSA is done, the ends wait.
 */
import assert from "node:assert/strict";
import { Supervisor } from "@feldfon/protocol/supervisor";
import { type End, StageHandset, StageServer, slots } from "./stage.ts";

const NAMES = { a: "Anna", b: "Ben", c: "Cleo" } as const;

/** A handset by its letter. */
export type Letter = keyof typeof NAMES;
const LETTERS = ["a", "b", "c"] as const;

export class Scene {
  readonly server: StageServer;
  readonly a: StageHandset;
  readonly b: StageHandset;
  readonly c: StageHandset;
  /** Whose turn it is. */
  acting: Letter | "server" = "server";
  /** Slots in use while nobody calls: each handset's, then the server's. */
  #idleSlots: number[] = [];

  private constructor(server: StageServer, [a, b, c]: readonly StageHandset[]) {
    this.server = server;
    this.a = a!;
    this.b = b!;
    this.c = c!;
  }

  /** Three handsets and a server that have not met yet. */
  static async make(): Promise<Scene> {
    const server = await StageServer.make();
    const handsets = [];
    for (const name of Object.values(NAMES)) {
      handsets.push(await StageHandset.make(server, handsets.length + 1, name));
    }
    return new Scene(server, handsets);
  }

  /** These are connected. */
  static async connected(...letters: Letter[]): Promise<Scene> {
    const scene = await Scene.make();
    for (const letter of letters) await scene.play(`${letter} opens`, `${letter} starts`, "settle");
    scene.idle();
    return scene;
  }

  /** All is as it should be: what is in the vaults now is there when nobody calls. */
  idle(): void {
    this.#idleSlots = slots(...this.all);
  }

  get all(): StageHandset[] {
    return [this.a, this.b, this.c];
  }

  async play(...moves: string[]): Promise<void> {
    for (const move of moves) await this.#move(move);
  }

  /** Nobody is in a call, nothing of one is left over, no line has suffered. */
  assertQuiet(when = "now"): void {
    const { server, all } = this;
    for (const { wire, calls, name } of all) {
      assert.equal(wire.fault, undefined, `${name}'s line is whole ${when}`);
      assert.equal(calls.current?.id, undefined, `${name} is in no call ${when}`);
    }
    assert.equal(server.broker.running, 0, `no call runs ${when}`);
    assert.ok(!server.relays.some(({ open }) => open), `every relay is closed ${when}`);
    assert.deepEqual(slots(...all), this.#idleSlots, `no slot is left over ${when}`);
  }

  /** A call in either direction is agreed, and its keys are gone on both sides after it. */
  async assertCallable(a: Letter = "a", b: Letter = "b"): Promise<void> {
    for (const [caller, callee] of [
      [a, b],
      [b, a],
    ] as const) {
      await this.play(`${caller} dials ${callee}`, "settle", `${callee} accepts`, "settle");
      const [atCaller, atCallee] = [this[caller].last("agreed"), this[callee].last("agreed")];
      assert.ok(atCaller && atCallee, "a call is agreed");
      assert.deepEqual(atCaller.sas, atCallee.sas);
      assert.deepEqual(atCaller.keys.th, atCallee.keys.th);
      await this.play(`${caller} hangs up`, "settle");
      assert.equal(ending(this[caller]), "hung-up-here, both");
      assert.equal(ending(this[callee]), "hung-up-there, both");
    }
    this.assertQuiet();
  }

  async #move(move: string): Promise<void> {
    const arrival = /^([abc])>$|^>([abc])$/.exec(move);
    const seconds = /^(\d+) s$/.exec(move);
    const press = /^([abc]) ([a-z ]+?)(?: ([abc]))?$/.exec(move);
    const order = /^the (.+?)(?: ([abc]))?$/.exec(move);
    if (move === "settle") await this.#settle();
    else if (arrival) await this.#arrive((arrival[1] ?? arrival[2]) as Letter, arrival[1] ? "server" : "handset");
    else if (seconds) await this.#pass(Number(seconds[1]) * 1_000);
    else if (press) await this.#press(press[1] as Letter, press[2]!, press[3] as Letter | undefined);
    else if (order) await this.#serve(order[1]!, order[2] as Letter | undefined);
    else throw new Error(`no such move: ${move}`);
    await this.server.jobs.computed();
  }

  async #settle(): Promise<void> {
    for (let moved = true; moved; ) {
      await this.server.jobs.computed();
      moved = false;
      for (const letter of LETTERS) {
        for (const end of ["server", "handset"] as const) {
          if (!this[letter].wire.ready(end)) continue;
          await this.#arrive(letter, end);
          moved = true;
        }
      }
    }
  }

  async #arrive(letter: Letter, end: End): Promise<void> {
    this.acting = end === "server" ? "server" : letter;
    await this[letter].wire.deliver(end);
  }

  async #pass(ms: number): Promise<void> {
    const { server } = this;
    server.clock.nowMs += ms;
    for (const letter of LETTERS) {
      this.acting = letter;
      this[letter].tick();
      await server.jobs.computed();
    }
    this.acting = "server";
    server.tick();
  }

  async #press(letter: Letter, what: string, whom: Letter | undefined): Promise<void> {
    this.acting = letter;
    const handset = this[letter];
    const { calls } = handset;
    // A call is dialled and accepted while RSA works: what comes of it is an event.
    const presses: Record<string, () => unknown> = {
      opens: () => handset.open(),
      "is at the door": () => handset.openAt("joining"),
      "is back": () => handset.openAt("resuming"),
      starts: () => handset.line!.start(),
      updates: () => handset.line!.update(),
      leaves: () => handset.line!.leave(),
      "is cut": () => handset.cut(),
      "is cut and the server has not noticed": () => handset.cut("handset"),
      "is cut and has not noticed": () => handset.cut("server"),
      "is forgotten": () => handset.forget(),
      resumes: () => handset.resume(),
      dials: () => void calls.dial(this[whom!].uid),
      accepts: () => void calls.accept(),
      "hangs up": () => calls.hangUp(),
      "tells its way": () => calls.tellWay(calls.current!.id, []),
    };
    const pressed = presses[what];
    if (!pressed) throw new Error(`no such move: ${letter} ${what}`);
    await pressed();
  }

  async #serve(what: string, whom: Letter | undefined): Promise<void> {
    this.acting = "server";
    const { server } = this;
    const orders: Record<string, () => unknown> = {
      "directory changes": () => server.commit(() => []),
      "server sends away": () => this[whom!].serverLine!.sendAway(() => {}),
      "server keeps quiet": () => {
        server.pushing = false;
      },
      "server forgets heads": () => server.forgotten.add("heads"),
      "server forgets changes": () => server.forgotten.add("changes"),
    };
    const served = orders[what];
    if (!served) throw new Error(`no such move: the ${what}`);
    await served();
  }
}

/** Why the last call ended there, and where its keys are known to be gone. */
export function ending(handset: StageHandset): string | undefined {
  const ended = handset.last("ended");
  return ended && `${ended.why}, ${ended.erased}`;
}

/** Sees every supervisor of the telephone at work: which rows are walked, and who stands where. */
export class Watch {
  /** "conversation place kind" */
  readonly rows = new Set<string>();
  /** The same, of what had no row. */
  readonly refused = new Set<string>();
  readonly #acting: () => string;
  readonly #latest = new Map<string, Supervisor<string, string>>();
  readonly #admit = Supervisor.prototype.admit;

  /** @param acting whose turn it is when something is admitted */
  constructor(acting: () => string) {
    this.#acting = acting;
    const watch = this;
    const admit = this.#admit;
    Supervisor.prototype.admit = function (this: Supervisor<string, string>, kind: string) {
      const { conversation, place } = this;
      watch.#latest.set(`${watch.#acting()} ${conversation}`, this);
      const row = `${conversation} ${place} ${kind}`;
      const known = this.allows(kind);
      (known ? watch.rows : watch.refused).add(row);
      admit.call(this, kind);
    };
  }

  /** Where somebody stands in a conversation. */
  place(who: string, conversation: string): string | undefined {
    return this.#latest.get(`${who} ${conversation}`)?.place;
  }

  /** A new line begins: its conversations have not. */
  forget(): void {
    this.#latest.clear();
  }

  end(): void {
    Supervisor.prototype.admit = this.#admit;
  }
}
