/** The PIN as a person meets it: what is asked, what keys do, and what a locked handset keeps to itself. */
import assert from "node:assert/strict";
import type { Command, PinPurpose } from "@feldfon/firmware/handset/link";
import { MAX_PIN_DIGITS } from "@feldfon/firmware/handset/lock";
import {
  clockOf,
  type Effect,
  type Event,
  idleOf,
  keysOf,
  lightOf,
  type Notice,
  next,
  type State,
} from "@feldfon/firmware/handset/machine";
import { screenOf } from "@feldfon/firmware/handset/screens";
import { captionOf } from "@feldfon/firmware/handset/screens-text";
import { LANGUAGES } from "@feldfon/firmware/handset/texts";
import { BUTTONS } from "@feldfon/hw/buttons/port";
import fc from "fast-check";
import {
  after,
  CALL_ID,
  connected,
  directory,
  isOpen,
  keys,
  lost,
  NO_CHANGES,
  named,
  off,
  openWithPin,
  peer,
  phonebook,
  pin,
  press,
  SAS,
  samples,
  starting,
  voiceEvent,
  wanted,
} from "./samples.ts";

const click: Command = { do: "sound", sound: "click" };
const refusedSound: Command = { do: "sound", sound: "refused" };
const tick = (elapsedMs: number): Event => ({ event: "tick", elapsedMs });

function commandsOf(effects: readonly Effect[]): Command[] {
  return effects.flatMap((effect) => (effect.do === "command" ? [effect.command] : []));
}

/** What the line is asked for, event by event. */
function asked(from: State, ...events: readonly Event[]): Command[] {
  let state = from;
  return events.flatMap((event) => {
    const [then, ...effects] = next(state, event);
    state = then;
    return commandsOf(effects);
  });
}

function nameOf(state: State): string {
  return screenOf(state, "en").name;
}

function digits(text: string): Command[] {
  return [...text].map((digit) => ({ do: "pin-digit", digit: Number(digit) }));
}

function countOf({ lock }: State): number {
  return lock.at === "asked" ? lock.count : -1;
}

describe("machine: the PIN", () => {
  it("is asked for before anything else, and its digits go on one by one", () => {
    assert.equal(nameOf(starting), "starting");
    assert.equal(nameOf(pin), "pin");
    assert.deepEqual(asked(pin, ...keys("402917"), press("call")), [...digits("402917"), { do: "pin-done" }]);
  });

  it("does not get that far when the key or the vault fails, and says so", () => {
    for (const before of [starting, after(starting, { event: "making-key" }), pin]) {
      const failed = after(before, { event: "line-broken", code: "bad-key" });
      assert.equal(nameOf(failed), "start-failed");
      assert.deepEqual(lightOf(failed), { colour: "amber", rhythm: "double" });
      assert.equal(nameOf(after(failed, press("call"), press("connect"), ...keys("12"))), "start-failed");
      assert.equal(nameOf(after(failed, { event: "quit" })), "gone");
      assert.equal(nameOf(after(before, { event: "quit" }, { event: "line-broken", code: "bad-key" })), "gone");
    }
  });

  it("is erased digit by digit by Hang up or *, and neither goes below none", () => {
    const typed = after(pin, ...keys("123"));
    assert.deepEqual(asked(typed, press("hang-up"), ...keys("*"), press("hang-up"), press("hang-up")), [
      ...Array<Command>(3).fill({ do: "pin-erase" }),
      click,
    ]);
    assert.equal(countOf(after(typed, press("hang-up"), ...keys("****"))), 0);
  });

  it("has twelve digits at most: a thirteenth clicks, and the screen says so", () => {
    const full = after(pin, ...keys("1".repeat(MAX_PIN_DIGITS)));
    assert.deepEqual(asked(full, ...keys("1")), [click]);
    const { facts, blocks } = screenOf(named["pin-twelve"], "en");
    assert.deepEqual([facts.count, facts.refused], [12, "long"]);
    assert.deepEqual(blocks[0], { block: "mark", mark: "caution", word: "12 digits at most" });
  });

  it("does not go on without a digit", () => {
    assert.deepEqual(keysOf(pin), {});
    assert.deepEqual(asked(pin, press("call"), ...keys("#")), [click, click]);
  });

  it("takes no key while it is tried", () => {
    const tried = named["pin-tried"];
    const events = [...keys("1*#"), ...BUTTONS.map((button) => press(button))];
    assert.deepEqual(asked(tried, ...events), Array(events.length).fill(click));
    assert.deepEqual(after(tried, ...events), tried);
  });

  it("says that it was wrong, how many tries are left, and begins anew", () => {
    const [state, ...effects] = next(named["pin-tried"], wanted("unlock", { left: 9, refused: "wrong" }));
    assert.deepEqual(commandsOf(effects), [refusedSound]);
    assert.equal(lightOf(state).colour, "amber");
    const { lines } = captionOf(screenOf(state, "en"), "en");
    assert.deepEqual(lines.slice(0, 5), [
      "== /!\\ PIN ==",
      "| /!\\ Wrong PIN",
      "| Type the PIN.",
      "| -  0",
      "| Tries left: 9",
    ]);
    assert.equal(lightOf(after(state, ...keys("1"))).colour, "white");
  });

  it("makes one wait, counts that down, and refuses keys with a click until it is over", () => {
    let state = after(pin, wanted("unlock", { left: 7, waitS: 30, refused: "wrong" }));
    const line = (of: State) => captionOf(screenOf(of, "en"), "en").lines[2];
    assert.deepEqual([line(state), clockOf(state)], ["| Wait 0:30", true]);
    assert.deepEqual(asked(state, ...keys("1*"), press("call"), press("hang-up")), [click, click, click, click]);
    state = after(state, tick(1_000), tick(28_500));
    assert.equal(line(state), "| Wait 0:01");
    const before = screenOf(state, "en");
    state = after(state, tick(400));
    assert.equal(captionOf(screenOf(state, "en"), "en", before).ticking, true, "no news for who reads along");
    state = after(state, tick(100));
    assert.deepEqual([screenOf(state, "en").facts.waitS, clockOf(state)], [0, false]);
    assert.deepEqual(asked(state, ...keys("7")), digits("7"));
  });

  it("opens the handset where it rests", () => {
    const open = after(named["pin-tried"], { event: "unlocked", pin: true });
    assert.equal(nameOf(open), "off");
    assert.deepEqual(asked(open, press("connect")), [{ do: "connect" }]);
  });

  it("shows at the first start what is asked, question by question", () => {
    const purposes: PinPurpose[] = ["choose", "repeat", "duress", "repeat-duress"];
    let state = starting;
    for (const purpose of purposes) {
      state = after(state, wanted(purpose));
      assert.equal(nameOf(state), `pin-${purpose}`);
      assert.deepEqual(asked(state, ...keys("123456"), press("call")), [...digits("123456"), { do: "pin-done" }]);
    }
  });

  it("shows that the key is being made, and for how long", () => {
    const lines = captionOf(screenOf(named["making-key"], "en"), "en").lines;
    assert.deepEqual(lines.slice(0, 3), ["== Making the key ==", "| Once, for this handset.", "| 7 s so far"]);
    assert.equal(clockOf(named["making-key"]), true);
  });

  it("leaves the PIN that erases out by Hang up, but not the PIN itself", () => {
    assert.deepEqual(asked(named["pin-duress"], press("hang-up")), [{ do: "pin-leave" }]);
    assert.equal(screenOf(named["pin-duress"], "en").keys["hang-up"], "Without");
    assert.deepEqual(asked(named["pin-choose"], press("hang-up")), [click]);
  });

  it("is changed from the screen about the phone, and that may be left", () => {
    const about = after(openWithPin, ...keys("#"));
    assert.deepEqual(asked(about, press("update")), [{ do: "change-pin" }]);
    const old = named["pin-old"];
    assert.equal(nameOf(old), "pin-old");
    assert.deepEqual(asked(old, press("hang-up")), [{ do: "pin-leave" }]);
    assert.equal(nameOf(after(old, press("hang-up"), { event: "unlocked", pin: true })), "off");
  });

  it("is nothing to change or to lock on a handset without one", () => {
    assert.deepEqual(asked(after(off, ...keys("#")), press("update")), []);
    assert.deepEqual(asked(off, press("hang-up")), []);
    assert.equal(idleOf(off), false);
  });

  it("says what is broken when the number pad is", () => {
    const { lines } = captionOf(screenOf(named["pin-numpad-gone"], "en"), "en");
    assert.deepEqual(lines.slice(1, 4), [
      "| /!\\ Error E-404",
      "| The number pad does not answer.",
      "| Check the cable. The four keys work.",
    ]);
  });

  it("says nothing of a call whose numbers differed", () => {
    const listened: Notice = { kind: "fault", about: "call", code: "sas-differs", cause: "" };
    const { blocks } = screenOf({ ...pin, notices: [listened] }, "en");
    assert.deepEqual(blocks, screenOf(pin, "en").blocks);
  });

  it("says where the card belongs when the device's own secret is another one", () => {
    const { lines, facts } = captionOf(screenOf(named["pin-device-gone"], "en"), "en");
    assert.deepEqual([lines[1], facts.left], ["| /!\\ Error E-606", 10]);
    assert.deepEqual(asked(named["pin-device-gone"], ...keys("1")), digits("1"), "and may be tried again");
  });
});

describe("machine: the lock", () => {
  it("closes by Hang up while the handset is not connected, and forgets the names of others", () => {
    const was = after(openWithPin, press("connect"), connected, { event: "disconnected", code: "left" });
    const [state, ...effects] = next(was, press("hang-up"));
    assert.deepEqual(commandsOf(effects), [{ do: "lock" }]);
    assert.equal(nameOf(state), "locking");
    assert.ok(!JSON.stringify(state).includes("Ben"));
  });

  it("closes by itself when nobody can call and nobody pressed a key", () => {
    const [state, ...effects] = next(openWithPin, { event: "idle" });
    assert.deepEqual([nameOf(state), commandsOf(effects)], ["locking", [{ do: "lock" }]]);
  });

  it("does not wait to close while the line is there, comes, or comes back by itself", () => {
    const up = after(openWithPin, press("connect"), connected);
    const coming = after(openWithPin, press("connect"));
    const away = after(up, { event: "disconnected", code: "closed", retryInMs: 4_000 });
    for (const state of [up, coming, away]) {
      assert.equal(idleOf(state), false);
      assert.deepEqual(asked(state, { event: "idle" }), []);
    }
    assert.equal(idleOf(lost("name-taken", undefined, coming)), true, "nobody can call it then");
  });

  it("begins to wait anew at each key", () => {
    const effectOf = (state: State, event: Event) =>
      next(state, event).filter((one) => "do" in one && one.do !== "light");
    const begins: Effect = { do: "idle-clock", running: true };
    assert.ok(
      effectOf(pin, { event: "unlocked", pin: true }).some((one) => JSON.stringify(one) === JSON.stringify(begins)),
    );
    assert.deepEqual(effectOf(openWithPin, press("update")), [begins]);
    assert.deepEqual(effectOf(openWithPin, tick(1_000)), []);
    const stops: Effect = { do: "idle-clock", running: false };
    assert.deepEqual(effectOf(openWithPin, press("connect")), [{ do: "command", command: { do: "connect" } }, stops]);
  });

  it("keeps what nobody has read yet, and shows no more of it than how many calls", () => {
    const { facts, blocks } = screenOf(named["pin-missed"], "en");
    assert.equal(facts.missed, 2);
    assert.ok(blocks.some((block) => block.block === "detail" && block.text === "Missed calls: 2"));
    assert.deepEqual(lightOf(named["pin-missed"]), { colour: "blue", rhythm: "double" });
    const open = after(named["pin-missed"], { event: "unlocked", pin: true });
    assert.deepEqual([nameOf(open), screenOf(open, "en").facts.times], ["missed", 2]);
  });

  it("lets the red screen wait behind it, not be lost", () => {
    const caught = after(pin, { event: "evidence", file: "/e" });
    assert.equal(nameOf(caught), "pin");
    assert.equal(nameOf(after(caught, { event: "unlocked", pin: true })), "alarm");
  });

  it("leaves nothing behind that a new handset would not have when the key was erased", () => {
    const fresh = after(starting, wanted("choose"));
    for (const [name, state] of Object.entries(samples)) {
      if (["quitting", "gone"].includes(name)) continue;
      const { charge } = state;
      const wiped = after(state, { event: "wiped" }, wanted("choose"));
      assert.deepEqual({ ...wiped, volumePercent: 60 }, { ...fresh, charge }, name);
    }
  });
});

describe("machine: a locked handset", () => {
  /** Everything a person can do, without which keys they are. */
  const touch = fc.oneof(
    { weight: 5, arbitrary: fc.constant({ touch: "digit" as const }) },
    { weight: 4, arbitrary: fc.constantFrom(...BUTTONS).map((button) => ({ event: press(button) })) },
    { weight: 2, arbitrary: fc.constantFrom(...keys("*#")).map((event) => ({ event })) },
    fc.nat({ max: 40_000 }).map((elapsedMs) => ({ event: tick(elapsedMs) })),
    fc
      .constantFrom<Event>({ event: "idle" }, { event: "battery", charge: { percent: 4, charging: false } })
      .map((event) => ({ event })),
  );
  const answer = fc
    .oneof(
      fc
        .constantFrom<PinPurpose>("choose", "repeat", "duress", "repeat-duress", "unlock", "old")
        .map((purpose) => wanted(purpose)),
      fc
        .constantFrom("wrong", "different", "short", "same-pin", "bad-key")
        .map((refused) => wanted("unlock", { left: 3, waitS: 30, refused })),
      fc.constantFrom<Event>({ event: "wiped" }, { event: "making-key" }),
    )
    .map((event) => ({ event }));
  /** A line that speaks of people before it was asked to. */
  const lie = fc
    .constantFrom<Event>(
      connected,
      { event: "incoming", callId: CALL_ID, peer },
      { event: "in-call", callId: CALL_ID, peer, sas: SAS },
      { event: "dialling", callId: CALL_ID, peer },
      { event: "rings", callId: CALL_ID },
      { event: "ended", callId: CALL_ID, why: "missed", erased: "none", durationMs: 0 },
      { event: "directory", directory: directory(), changes: { ...NO_CHANGES, newKey: ["Chen"] } },
      { event: "disconnected", code: "wrong-root" },
      { event: "connecting", resuming: true },
      { event: "evidence", file: "/e" },
      { event: "device-failed", device: "sound", code: "ENODEV" },
      voiceEvent(1, 0),
    )
    .map((event) => ({ event }));
  const locked = fc.constantFrom(...Object.values(samples).filter((state) => !isOpen(state)));
  const story = fc.array(fc.oneof({ weight: 6, arbitrary: touch }, { weight: 2, arbitrary: answer }, lie), {
    minLength: 10,
    maxLength: 60,
  });

  it("shows no name, no phonebook and no line, and asks the line for nothing but its PIN, whatever is pressed", () => {
    const may = new Set(["pin-digit", "pin-erase", "pin-done", "pin-leave", "lock", "sound"]);
    fc.assert(
      fc.property(locked, story, fc.infiniteStream(fc.nat({ max: 9 })), (from, events, stream) => {
        let state = from;
        for (const one of events) {
          const event = "event" in one ? one.event : keys(String(stream.next().value))[0]!;
          const [then, ...effects] = next(state, event);
          state = then;
          for (const command of commandsOf(effects)) assert.ok(may.has(command.do), command.do);
          assert.deepEqual([state.place.name, state.line.at], ["lock", "off"]);
          const shown = LANGUAGES.map((language) => JSON.stringify(screenOf(state, language))).join();
          assert.doesNotMatch(shown, /Anna|Ben|Chen|[0-9a-f]{12}/);
        }
      }),
      { numRuns: 1_000 },
    );
  });

  it("never holds a digit: other digits lead to the same states, screens and effects", () => {
    const start = fc.constantFrom(...Object.values(samples).filter((state) => !isOpen(state)));
    const typed = fc.array(fc.nat({ max: 9 }), { minLength: 60, maxLength: 60 });
    const run = (from: State, events: readonly ({ touch: "digit" } | { event: Event })[], with_: readonly number[]) => {
      let state = from;
      return events.map((one, at) => {
        const [then, ...effects] = next(state, "event" in one ? one.event : keys(String(with_[at]))[0]!);
        state = then;
        const commands = effects.map((effect) =>
          effect.do === "command" && effect.command.do === "pin-digit" ? "a digit" : effect,
        );
        return { state, commands, screen: captionOf(screenOf(state, "en"), "en") };
      });
    };
    let digitsSent = 0;
    fc.assert(
      fc.property(start, story, typed, typed, (from, events, some, others) => {
        const [one, other] = [run(from, events, some), run(from, events, others)];
        assert.deepEqual(one, other);
        digitsSent += one.filter(({ commands }) => commands.includes("a digit")).length;
      }),
      { numRuns: 500 },
    );
    assert.ok(digitsSent > 200, `${digitsSent} digits were typed`);
  });

  it("is not what an open one is: there the same keys reach the phonebook", () => {
    assert.equal(nameOf(phonebook), "phonebook");
    assert.deepEqual(asked(openWithPin, press("connect")), [{ do: "connect" }]);
  });
});
