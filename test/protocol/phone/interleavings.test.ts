/**
 * Three handsets press what they like, lines break and come back, time passes, and messages, RSA results and presses
 * come in any order that is possible. Whatever happens: nobody is at fault, nobody is left in a call alone, nothing is
 * left over, and in the end everybody can call everybody.
 */
import assert from "node:assert/strict";
import { ProtocolError } from "@feldfon/protocol/errors";
import fc from "fast-check";
import { type Letter, Scene } from "./scene.ts";
import { later, type StageHandset, settle } from "./stage.ts";

/** More of them find more: FELDFON_RUNS=10000 takes some minutes. */
const RUNS = Number(process.env.FELDFON_RUNS ?? 40);

const LETTERS = ["a", "b", "c"] as const;
/** How often each is pressed; the rarer, the more of a call is seen before it. */
const PRESSES = {
  dial: 6,
  accept: 9,
  "hang up": 3,
  connect: 4,
  update: 1,
  "tell way": 1,
  "no voice": 0.3,
  leave: 0.3,
};
type Press = keyof typeof PRESSES;

type Step =
  | { step: "something arrives"; pick: number }
  | { step: "press"; who: Letter; what: Press; whom: Letter }
  | { step: "break"; who: Letter; noticed: "both" | "handset" | "server" }
  | { step: "time passes"; ms: number }
  | { step: "the directory changes" };

const letter = fc.constantFrom(...LETTERS);
const steps = fc.array(
  fc.oneof(
    { weight: 70, arbitrary: fc.record({ step: fc.constant("something arrives" as const), pick: fc.nat(20) }) },
    {
      weight: 22,
      arbitrary: fc.record({
        step: fc.constant("press" as const),
        who: letter,
        what: fc.oneof(
          ...Object.entries(PRESSES).map(([what, often]) => ({
            weight: often * 10,
            arbitrary: fc.constant(what as Press),
          })),
        ),
        whom: letter,
      }),
    },
    {
      weight: 1,
      arbitrary: fc.record({
        step: fc.constant("break" as const),
        who: letter,
        noticed: fc.constantFrom("both" as const, "handset" as const, "server" as const),
      }),
    },
    {
      weight: 2,
      arbitrary: fc.record({
        step: fc.constant("time passes" as const),
        ms: fc.constantFrom(100, 500, 2_000, 5_000, 20_000),
      }),
    },
    { weight: 1, arbitrary: fc.record({ step: fc.constant("the directory changes" as const) }) },
  ),
  { minLength: 50, maxLength: 300, size: "max" },
) satisfies fc.Arbitrary<Step[]>;

class Household {
  readonly scene: Scene;
  /** Deliveries and presses under way, which wait for RSA. */
  readonly #underWay: Promise<unknown>[] = [];

  constructor(scene: Scene) {
    this.scene = scene;
  }

  async take(step: Step): Promise<void> {
    const { server, all } = this.scene;
    switch (step.step) {
      case "something arrives":
        this.#arrive(step.pick);
        break;
      case "press":
        this.#press(this.scene[step.who], step.what, this.scene[step.whom]);
        break;
      case "break": {
        const handset = this.scene[step.who];
        if (handset.line && !handset.line.channel.closed) handset.cut(step.noticed);
        break;
      }
      case "time passes":
        server.clock.nowMs += step.ms;
        for (const handset of all) handset.tick();
        server.tick();
        break;
      case "the directory changes":
        this.#begin(() => server.commit(() => []));
        break;
    }
    await server.jobs.computed();
  }

  /** One of all the frames and results that may come next. */
  #arrive(pick: number): void {
    const { server, all } = this.scene;
    const next = all.flatMap(({ wire }) =>
      (["handset", "server"] as const)
        .filter((end) => wire.ready(end))
        .map((end) => () => this.#begin(() => wire.deliver(end))),
    );
    next.push(...server.jobs.withheld.map((_, index) => () => server.jobs.letOut(index)));
    next[pick % next.length]?.();
  }

  #press(handset: StageHandset, what: Press, whom: StageHandset): void {
    const { calls, line, here } = handset;
    const presses = {
      dial: () => calls.dial(whom.uid),
      accept: () => calls.accept(),
      "hang up": () => calls.hangUp(),
      update: () => here && line!.update(),
      "tell way": () => calls.current && calls.tellWay(calls.current.id, []),
      "no voice": () => calls.current && calls.noVoice(calls.current.id),
      leave: () => {
        calls.hangUp();
        if (here) line!.leave();
      },
      connect: () => connect(handset),
    };
    this.#begin(presses[what]);
  }

  /** What a person is told is no matter; anything else is our own mistake. */
  #begin(action: () => unknown): void {
    const done = (async () => action())().catch((error: unknown) => {
      if (!(error instanceof ProtocolError)) throw error;
    });
    this.#underWay.push(done);
  }

  /** Everything arrives, everybody is connected, and whoever waited for something has waited long enough. */
  async comeToRest(): Promise<void> {
    const { server, all } = this.scene;
    server.jobs.holding = false;
    while (server.jobs.withheld.length > 0) server.jobs.letOut(0);
    await settle(...all);
    await Promise.all(this.#underWay);
    for (const handset of all) {
      if (handset.serverLine?.channel.closed) handset.cut(); // it had not noticed
      connect(handset);
    }
    await settle(...all);
    await later(6_000, ...all);
    await later(6_000, ...all);
  }
}

function connect(handset: StageHandset): void {
  if (handset.line && !handset.line.channel.closed) return;
  if (handset.resumable) handset.resume();
  else handset.openAt("joining");
  handset.line!.start();
}

function assertAgreement(scene: Scene): void {
  const { server, all } = scene;
  const calls = new Map<string, StageHandset[]>();
  for (const handset of all) {
    const call = handset.calls.current;
    if (call) calls.set(call.id, [...(calls.get(call.id) ?? []), handset]);
  }
  for (const [, ends] of calls) assert.equal(ends.length, 2, "whoever is in a call is in it with another");
  assert.equal(server.broker.running, calls.size, "the server runs the calls that handsets are in");
  assert.equal(server.relays.filter(({ open }) => open).length, calls.size, "and relays these");
  const sas = new Map<string, string>();
  for (const event of all.flatMap(({ events }) => events)) {
    if (event.event !== "agreed") continue;
    const agreed = `${event.sas} ${event.keys.th.toString("hex")}`;
    assert.equal(sas.get(event.callId) ?? agreed, agreed, "both ends agree on the same keys");
    sas.set(event.callId, agreed);
  }
}

describe("telephone: presses, messages and losses in any order", function () {
  this.timeout(Math.max(20_000, RUNS * 2_000));

  let scene: Scene | undefined;

  async function play(script: Step[]): Promise<void> {
    scene ??= await Scene.connected("a", "b", "c");
    const { all, server } = scene;
    const household = new Household(scene);
    server.jobs.holding = true;
    for (const step of script) await household.take(step);
    await household.comeToRest();
    for (const { faults, name, here } of all) {
      assert.deepEqual(faults, [], `${name}'s line was whole or lost`);
      assert.ok(here, `${name} is connected`);
    }
    assertAgreement(scene);

    for (const { calls } of all) calls.hangUp();
    await settle(...all);
    await later(6_000, ...all);
    scene.assertQuiet();
    for (const { events } of all) events.length = 0;
  }

  it("never put anybody at fault, leave anybody in a call alone, or leave anything over", async () => {
    const property = fc.asyncProperty(steps, async (script) => {
      try {
        await play(script);
      } catch (error) {
        scene = undefined; // what is left of it would fail the next one too
        throw error;
      }
    });
    await fc.assert(property, { numRuns: RUNS });
    for (const [one, two] of [
      ["a", "b"],
      ["b", "c"],
      ["c", "a"],
    ] as const) {
      await scene!.assertCallable(one, two);
    }
  });
});
