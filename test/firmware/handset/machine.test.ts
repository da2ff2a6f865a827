import assert from "node:assert/strict";
import { ENDINGS } from "@feldfon/firmware/handset/endings";
import type { CallEnd, Command, ContactShown } from "@feldfon/firmware/handset/link";
import {
  type Action,
  begin,
  clockOf,
  type Effect,
  type Event,
  idleOf,
  keysOf,
  lightOf,
  next,
  type State,
  toneOf,
} from "@feldfon/firmware/handset/machine";
import { screenOf } from "@feldfon/firmware/handset/screens";
import { BUTTONS } from "@feldfon/hw/buttons/port";
import { NUMPAD_KEYS } from "@feldfon/hw/numpad/port";
import fc from "fast-check";
import {
  ABOUT,
  after,
  answering,
  CALL_ID,
  connected,
  contact,
  dialling,
  diallingKnown,
  directory,
  ENDS,
  ended,
  hangingUp,
  inCall,
  incoming,
  isOpen,
  keys,
  lost,
  NO_CHANGES,
  named,
  OTHER_ROOT,
  off,
  peer,
  phonebook,
  press,
  ROOT,
  ringingOut,
  SAS,
  samples,
  verified,
  wanted,
} from "./samples.ts";

const click: Effect = { do: "command", command: { do: "sound", sound: "click" } };
const OTHER_CALL = "ffeeddccbbaa99887766554433221100";
const noise = contact(2, "Chen");

/** What the line is asked for, tones left out: they have tests of their own. */
function commandsOf(effects: readonly Effect[]): Command[] {
  return effects.flatMap((effect) => (effect.do === "command" && effect.command.do !== "tone" ? [effect.command] : []));
}

function nameOf(state: State): string {
  return screenOf(state, "en").name;
}

type Row = [says: string, from: State, events: Event[], screen: string, ...commands: Command[]];

function table(rows: readonly Row[]): void {
  for (const [says, from, events, screen, ...commands] of rows) {
    it(says, () => {
      let state = from;
      const asked: Command[] = [];
      for (const event of events) {
        const [then, ...effects] = next(state, event);
        state = then;
        asked.push(...commandsOf(effects));
      }
      assert.deepEqual([nameOf(state), asked], [screen, commands]);
    });
  }
}

const incomingEvent: Event = { event: "incoming", callId: CALL_ID, peer };
const inCallEvent: Event = { event: "in-call", callId: CALL_ID, peer, sas: SAS };
const left: Event = { event: "disconnected", code: "left" };

function endedEvent(why: CallEnd, callId = CALL_ID): Event {
  return { event: "ended", callId, why, erased: "none", durationMs: 0 };
}

function changed(names: string[], event: Partial<typeof NO_CHANGES> = {}): Event {
  return { event: "directory", directory: directory(names, 8), changes: { ...NO_CHANGES, ...event } };
}

describe("machine: the line", () => {
  table([
    ["connects when Connect is pressed", off, [press("connect")], "connecting", { do: "connect" }],
    ["does nothing else while it is disconnected", off, [press("call"), press("hang-up"), press("update")], "off"],
    ["dials nobody while it is disconnected", off, keys("12*"), "off"],
    ["tells about itself by #, and asks the line for the rest", off, keys("#"), "about", { do: "about" }],
    [
      "tells about itself also while the server is locked out",
      named["off-blocked"],
      keys("#"),
      "about",
      { do: "about" },
    ],
    ["leaves what it told about itself by Hang up", named.about, [press("hang-up")], "off"],
    ["does nothing else while it tells about itself", named.about, [press("connect"), ...keys("12*#")], "about"],
    ["lets an answer about itself go that nobody reads any more", off, [{ event: "about", about: ABOUT }], "off"],
    ["shows the verified screen once connected", named.connecting, [connected], "verified"],
    ["stops connecting when Hang up is pressed", named.connecting, [press("hang-up")], "leaving", { do: "leave" }],
    ["is off when the line has left", named.leaving, [left], "off"],
    ["does not wait for a leave that does not come", named.leaving, [press("hang-up")], "off"],
    [
      "is not taken back by news of a line it leaves",
      named.leaving,
      [connected, { event: "step", step: "8", ms: 1 }],
      "leaving",
    ],
    ["asks before it disconnects", verified, [press("hang-up")], "leave?"],
    ["disconnects when that is answered with Call", named["leave?"], [press("call")], "leaving", { do: "leave" }],
    ["stays connected when that is answered with Hang up", named["leave?"], [press("hang-up")], "phonebook"],
    ["goes from the phonebook to the verified screen by Connect", phonebook, [press("connect")], "verified"],
    [
      "shows a lost line and when it tries again",
      verified,
      [{ event: "disconnected", code: "closed", retryInMs: 4000 }],
      "lost",
    ],
    ["tries at once when Connect is pressed", named.lost, [press("connect")], "connecting", { do: "connect" }],
    ["gives up trying when Hang up is pressed", named.lost, [press("hang-up")], "leaving", { do: "leave" }],
    [
      "shows a reconnect, and that it worked",
      named.lost,
      [{ event: "connecting", resuming: true }, { ...connected, resumed: true } as Event],
      "verified",
    ],
    [
      "leaves the phonebook when the line is lost",
      phonebook,
      [{ event: "disconnected", code: "closed", retryInMs: 1 }],
      "lost",
    ],
    [
      "says what a person has to decide after a refusal",
      named.connecting,
      [{ event: "disconnected", code: "name-taken" }],
      "refused",
    ],
    [
      "tries again after a refusal when Connect is pressed",
      named.refused,
      [press("connect")],
      "connecting",
      { do: "connect" },
    ],
    ["is off after a refusal was read", named.refused, [press("hang-up")], "off"],
  ]);

  it("counts the time until the next try down and then stands still", () => {
    const state = after(named.lost, { event: "tick", elapsedMs: 1500 });
    assert.deepEqual(state.line, { at: "lost", code: "closed", retryInMs: 2500 });
    const over = after(state, { event: "tick", elapsedMs: 9000 });
    assert.deepEqual([over.line, clockOf(over)], [{ at: "lost", code: "closed", retryInMs: 0 }, false]);
  });

  it("collects the steps of connecting in their order", () => {
    const { line } = named.connecting;
    assert.deepEqual(line.at === "connecting" && line.steps.map(({ step }) => step), ["1", "1.1", "2"]);
  });

  it("says at a refusal which step was the last", () => {
    const { line } = named.refused;
    assert.deepEqual(line, { at: "refused", code: "name-taken", after: "1" });
  });
});

describe("machine: a server that is not trusted", () => {
  for (const code of [
    "wrong-server-key",
    "wrong-root",
    "unauthentic",
    "broken-chain",
    "not-in-list",
    "server-not-in-list",
    "epoch-back",
    "bad-row",
    "two-heads",
  ]) {
    it(`shows the red screen for ${code}, and only Hang up leads on`, () => {
      const red = lost(code, undefined, named.connecting);
      assert.equal(nameOf(red), "alarm");
      assert.deepEqual(keysOf(red), { "hang-up": "ok" });
      assert.equal(nameOf(after(red, press("connect"), press("call"), press("update"), ...keys("12580*#"))), "alarm");
      assert.equal(nameOf(after(red, press("hang-up"))), "off");
    });
  }

  table([
    [
      "is not red while the line tries again by itself",
      named.connecting,
      [{ event: "disconnected", code: "unauthentic", retryInMs: 9 }],
      "lost",
    ],
    [
      "may be tried again after a wrong key was read",
      named["alarm-server-key"],
      [press("hang-up"), press("connect")],
      "connecting",
      { do: "connect" },
    ],
    ["leaves the server when it was caught", phonebook, [{ event: "evidence", file: "e" }], "alarm", { do: "leave" }],
    [
      "leaves the server when a call shows two directories",
      ringingOut,
      [endedEvent("two-directories")],
      "alarm",
      { do: "leave" },
    ],
    ["stays locked when it was caught: Connect says why", named["off-blocked"], [press("connect")], "alarm"],
    [
      "stays locked however often that is read",
      named["off-blocked"],
      [press("connect"), press("hang-up"), press("connect")],
      "alarm",
    ],
    ["leaves again should a line come up all the same", named["off-blocked"], [connected], "leaving", { do: "leave" }],
    ["does not tear a running call", inCall, [{ event: "evidence", file: "e" }], "in-call"],
    [
      "is red when that call is over",
      inCall,
      [{ event: "evidence", file: "e" }, endedEvent("hung-up-there")],
      "alarm",
      { do: "leave" },
    ],
    ["takes no call on the red screen", named["alarm-two-directories"], [incomingEvent], "alarm", { do: "hang-up" }],
    [
      "keeps the graver fault",
      named["alarm-two-directories"],
      [{ event: "disconnected", code: "wrong-root" }],
      "alarm",
    ],
  ]);

  it("begins red when evidence was kept by an earlier run", () => {
    const found = begin({ server: "s", ownName: "Anna", evidence: "/data/e" });
    assert.equal(nameOf(after(found, { event: "unlocked", pin: false })), "alarm");
  });

  it("names the file of the evidence", () => {
    const { facts } = screenOf(named["alarm-two-directories"], "en");
    assert.equal(facts.evidence, "/data/evidence-0007.ffe");
  });
});

describe("machine: phonebook and dialling", () => {
  const [ben, chen] = [contact(1, "Ben"), contact(2, "Chen")];
  const alone = after(off, press("connect"), { ...connected, directory: directory(["Anna"]) } as Event, press("call"));

  table([
    ["opens the phonebook by Call", verified, [press("call")], "phonebook"],
    [
      "stays in the phonebook when Hang up is pressed in anger",
      phonebook,
      [press("hang-up"), press("hang-up")],
      "phonebook",
    ],
    ["calls the selected one by Call", phonebook, [press("call")], "dialling", { do: "call", uid: ben.uid }],
    ["calls the selected one by 5", phonebook, keys("5"), "dialling", { do: "call", uid: ben.uid }],
    ["scrolls down by 8", phonebook, [...keys("8"), press("call")], "dialling", { do: "call", uid: chen.uid }],
    [
      "scrolls up by 2 and not past the end",
      phonebook,
      [...keys("8882"), press("call")],
      "dialling",
      { do: "call", uid: ben.uid },
    ],
    ["calls nobody where nobody is", alone, [press("call"), ...keys("5")], "phonebook"],
    [
      "dials digits from the verified screen",
      verified,
      [...keys("2"), press("call")],
      "dialling",
      { do: "call", uid: chen.uid },
    ],
    [
      "dials digits from the phonebook",
      phonebook,
      [...keys("1"), press("call")],
      "dialling",
      { do: "call", uid: ben.uid },
    ],
    [
      "dials ids that begin with a scrolling key behind 0",
      phonebook,
      [...keys("02"), press("call")],
      "dialling",
      { do: "call", uid: chen.uid },
    ],
    [
      "dials ids that begin with a scrolling key behind #",
      phonebook,
      [...keys("#2"), press("call")],
      "dialling",
      { do: "call", uid: chen.uid },
    ],
    ["removes a digit by *", verified, [...keys("21*"), press("call")], "dialling", { do: "call", uid: chen.uid }],
    ["goes back by Hang up", named.dial, [press("hang-up")], "phonebook"],
    ["says that nobody has a number, without asking anybody", verified, [...keys("77"), press("call")], "ended"],
    ["does not call itself", verified, [...keys("0"), press("call")], "ended"],
    ["does not call itself from the phonebook either", phonebook, [...keys("25")], "ended"],
    ["asks again when the number became somebody else's", named["dial-changed"], [press("call")], "dial"],
    [
      "dials after it was asked again",
      named["dial-changed"],
      [press("call"), press("call")],
      "dialling",
      { do: "call", uid: contact(2, "Dora").uid },
    ],
    ["calls nobody when the selected one left", named["phonebook-changed"], [press("call"), ...keys("5")], "phonebook"],
  ]);

  it("asks again when the same id is another name's", () => {
    const state = after(verified, ...keys("1"), changed(["Anna", "Benjamin", "Chen"]));
    assert.deepEqual(keysOf(state).call, "call-changed");
  });

  it("asks again when nobody has the number any more", () => {
    const state = after(verified, ...keys("2"), changed(["Anna", "Ben"]));
    assert.deepEqual(keysOf(state).call, "call-changed");
  });

  it("asks nothing when the change was elsewhere", () => {
    const state = after(verified, ...keys("1"), changed(["Anna", "Ben"]));
    assert.deepEqual(keysOf(state).call, "call");
  });

  it("keeps the selected one when ids close up before it", () => {
    const state = after(phonebook, ...keys("8"), changed(["Anna", "Chen"], { left: ["Ben"] }));
    assert.deepEqual(state.selected, { uid: chen.uid, name: "Chen" });
  });

  describe("after an update", () => {
    const NAMES = ["Anna", "Ben", "Chen", "Dora", "Emil", "Fatima", "Gül", "Hans"];
    const updated: Event = { event: "updated", oldRoot: ROOT, newRoot: ROOT, same: true, changes: NO_CHANGES };
    const long = after(off, press("connect"), { ...connected, directory: directory(NAMES) } as Event, press("call"));
    const below = after(long, ...keys("88888"));
    const shown = (state: State) =>
      (screenOf(state, "en").facts.contacts as { name: string }[]).map(({ name }) => name);

    for (const [what, events] of [
      ["that was watched", [press("update"), updated, press("call")]],
      ["that was left before its end", [press("update"), press("hang-up"), updated, press("call")]],
      [
        "during which somebody called",
        [press("update"), incomingEvent, updated, endedEvent("missed"), press("hang-up")],
      ],
    ] as const) {
      it(`${what} the list is at its top again, and the first one is selected`, () => {
        assert.ok(!shown(below).includes("Ben"), "scrolled away from the top");
        let state = after(below, ...events);
        for (let press_ = 0; nameOf(state) !== "phonebook"; press_++) {
          assert.ok(press_ < 5, nameOf(state));
          state = after(state, press("hang-up"));
        }
        assert.deepEqual(shown(state).slice(0, 2), ["Anna", "Ben"]);
        assert.deepEqual(state.selected, { uid: ben.uid, name: "Ben" });
      });
    }

    it("that failed the list stays where it was, as after every change that came by itself", () => {
      const failed = after(below, press("update"), { event: "update-failed", code: "timeout" }, press("call"));
      assert.deepEqual([nameOf(failed), failed.selected], ["phonebook", below.selected]);
      assert.deepEqual(after(below, changed([...NAMES, "Ida"], { joined: ["Ida"] })).selected, below.selected);
    });
  });

  it("takes six digits and no more", () => {
    const state = after(verified, ...keys("1234567"));
    assert.equal(state.place.name === "dial" && state.place.digits, "123456");
  });

  it("names who came and went until the phonebook is looked at", () => {
    const state = after(phonebook, changed(["Anna", "Chen", "Dora"], { joined: ["Dora"], left: ["Ben"] }));
    assert.deepEqual([state.joined, state.left], [["Dora"], ["Ben"]]);
    const read = after(state, ...keys("8"));
    assert.deepEqual([read.joined, read.left], [[], []]);
  });

  it("does not count somebody who came and went again", () => {
    const state = after(phonebook, changed(["Anna"], { left: ["Ben"] }), changed(["Anna", "Ben"], { joined: ["Ben"] }));
    assert.deepEqual([state.joined, state.left], [[], []]);
  });

  it("never calls anybody but the one on the screen, whatever the phonebook does in between", () => {
    const names = ["Ben", "Chen", "Dora", "Emil", "Fatima"];
    const change = fc.shuffledSubarray(names).map((others) => changed(["Anna", ...others]));
    const typing = fc.constantFrom(...keys("123458#*"), press("call"), press("hang-up"));
    fc.assert(
      fc.property(fc.array(fc.oneof(change, typing), { maxLength: 30 }), (events) => {
        let state = phonebook;
        for (const event of events) {
          const shown = JSON.stringify(screenOf(state, "en").blocks);
          const before = state;
          const [then, ...effects] = next(state, event);
          state = then;
          for (const command of commandsOf(effects)) {
            if (command.do !== "call") continue;
            const called = before.directory!.contacts.find(({ uid }) => uid === command.uid);
            assert.ok(called, "somebody was called who is not in the phonebook");
            assert.ok(shown.includes(`"${called.name}"`), "somebody was called who was not on the screen");
          }
          if (state.place.name === "dialling") state = after(state, endedEvent("busy", ""), press("hang-up"));
        }
      }),
      { numRuns: 300 },
    );
  });
});

describe("machine: calls", () => {
  table([
    ["reaches for the other end", dialling, [{ event: "dialling", callId: CALL_ID, peer }], "dialling"],
    [
      "rings at the other end only when the line says so",
      diallingKnown,
      [{ event: "rings", callId: CALL_ID }],
      "ringing-out",
    ],
    [
      "does not take another call's ring for its own",
      diallingKnown,
      [{ event: "rings", callId: OTHER_CALL }],
      "dialling",
    ],
    ["stops dialling by Hang up", dialling, [press("hang-up")], "hanging-up", { do: "hang-up" }],
    ["stops ringing by Hang up", ringingOut, [press("hang-up")], "hanging-up", { do: "hang-up" }],
    ["is in the call once the line says so", ringingOut, [inCallEvent], "in-call"],
    ["shows who calls", phonebook, [incomingEvent], "incoming"],
    ["answers by Call", incoming, [press("call")], "answering", { do: "answer" }],
    ["declines by Hang up", incoming, [press("hang-up")], "hanging-up", { do: "hang-up" }],
    ["is in the call it answered", answering, [inCallEvent], "in-call"],
    ["can hang up while it answers", answering, [press("hang-up")], "hanging-up", { do: "hang-up" }],
    ["hangs up", inCall, [press("hang-up")], "hanging-up", { do: "hang-up" }],
    ["says how the call ended", hangingUp, [endedEvent("hung-up-here")], "ended"],
    [
      "does not hang up twice, and shows the end it did not wait for",
      hangingUp,
      [press("hang-up"), endedEvent("hung-up-here")],
      "ended",
    ],
    [
      "stays hung up when the other end answers at that moment",
      after(ringingOut, press("hang-up")),
      [inCallEvent],
      "hanging-up",
    ],
    [
      "mutes and opens the microphone by 5",
      inCall,
      keys("55"),
      "in-call",
      { do: "mute", on: true },
      { do: "mute", on: false },
    ],
    [
      "begins the next call with the microphone open",
      after(inCall, ...keys("5"), endedEvent("hung-up-there"), incomingEvent, press("call")),
      [inCallEvent],
      "in-call",
      { do: "mute", on: false },
    ],
    [
      "turns the volume up by *, and round again",
      inCall,
      keys("***"),
      "in-call",
      { do: "volume", percent: 80 },
      { do: "volume", percent: 100 },
      { do: "volume", percent: 20 },
    ],
    [
      "goes on while the line to the server is away",
      inCall,
      [
        { event: "disconnected", code: "closed", retryInMs: 500 },
        { event: "connecting", resuming: true },
        { ...connected, resumed: true } as Event,
      ],
      "in-call",
    ],
    [
      "ends in the line's screen when the server did not come back",
      inCall,
      [{ event: "disconnected", code: "closed", retryInMs: 500 }, endedEvent("no-voice"), press("hang-up")],
      "lost",
    ],
    [
      "ends a call that never reached the line",
      dialling,
      [{ event: "disconnected", code: "closed", retryInMs: 500 }],
      "ended",
    ],
    ["shows a call before anything else", named["updated-same"], [incomingEvent], "incoming"],
    ["answers a call that crossed its own", dialling, [incomingEvent, press("call")], "answering", { do: "answer" }],
    ["shows voice that flows, wherever it was", phonebook, [inCallEvent], "in-call"],
    ["calls again by Call", ended("busy"), [press("call")], "dialling", { do: "call", uid: peer.uid }],
    ["goes back to the phonebook by Hang up", ended("busy"), [press("hang-up")], "phonebook"],
    [
      "does not call again who left the phonebook",
      after(ended("busy"), changed(["Anna", "Chen"])),
      [press("call")],
      "phonebook",
    ],
    [
      "does not call again whose name is now another's",
      after(ended("busy"), changed(["Anna", "Benno"])),
      [press("call")],
      "phonebook",
    ],
    ["calls back after a missed call", named.missed, [press("call")], "dialling", { do: "call", uid: peer.uid }],
    [
      "hands on what is said and recorded",
      inCall,
      [
        { event: "say", file: "a.wav" },
        { event: "record", file: "b.wav" },
      ],
      "in-call",
      { do: "say", file: "a.wav" },
      { do: "record", file: "b.wav" },
    ],
    [
      "quits in order, once",
      inCall,
      [{ event: "quit" }, { event: "quit" }, press("hang-up")],
      "quitting",
      { do: "quit" },
    ],
    ["quits also when the key is erased at that moment", named.quitting, [{ event: "wiped" }], "quitting"],
    [
      "is gone when the line is",
      named.quitting,
      [{ event: "gone" }, incomingEvent, press("connect"), { event: "quit" }],
      "gone",
    ],
  ]);

  it("shows the same five numbers that the line agreed on", () => {
    assert.deepEqual(screenOf(inCall, "en").facts.sas, SAS);
  });

  it("counts the time of the call by the clock, not by its ticks", () => {
    const state = after(inCall, { event: "tick", elapsedMs: 61_000 }, { event: "tick", elapsedMs: 4_000 });
    assert.equal(state.place.name === "in-call" && state.place.elapsedMs, 65_000);
  });

  it("takes statistics of its own call only", () => {
    const voice = { event: "voice" as const, sent: 9, received: 8, lost: 1, packetSizes: [668], serverLine: true };
    const state = after(inCall, { ...voice, callId: OTHER_CALL });
    assert.equal(state.place.name === "in-call" && state.place.voice, undefined);
    const known = after(state, { ...voice, callId: CALL_ID });
    assert.deepEqual(known.place.name === "in-call" && known.place.voice, { sent: 9, received: 8, lost: 1 });
  });

  for (const why of ENDS) {
    it(`tells a person how a call ended: ${why}`, () => {
      const state = ended(why, "here");
      const wanted = why === "two-directories" ? "alarm" : why === "missed" ? "missed" : "ended";
      assert.equal(nameOf(state), wanted);
      assert.ok(["phonebook", "leaving"].includes(nameOf(after(state, press("hang-up")))));
    });
  }
});

describe("machine: tones", () => {
  const sounding: readonly [string, State, string][] = [
    ["while it reaches for the other end", dialling, "pips"],
    ["only when it really rings there", ringingOut, "ringback"],
    ["for an incoming call", incoming, "ring"],
    ["on the red screen", named["alarm-root"], "alarm"],
    ["when the other end is busy", ended("busy"), "busy"],
    ["in a call", inCall, "none"],
    ["while it answers", answering, "none"],
  ];
  for (const [when, state, tone] of sounding) {
    it(`sounds ${tone} ${when}`, () => assert.equal(toneOf(state), tone));
  }

  it("silences the ring by * and goes on showing the call", () => {
    const [state, ...effects] = next(incoming, keys("*")[0]!);
    assert.deepEqual(effects, [{ do: "command", command: { do: "tone", tone: "none" } }]);
    assert.equal(nameOf(state), "incoming");
  });

  it("tells busy, declined, silent, offline, unknown, self and no line apart by ear", () => {
    const tones = ["busy", "declined", "silent", "offline", "unknown", "self", "unavailable"].map(
      (why) => ENDINGS[why as CallEnd].tone,
    );
    assert.equal(new Set(tones).size, tones.length);
    assert.ok(!tones.includes("none"));
  });

  for (const why of ENDS) {
    it(`falls silent by itself after ${why}`, () => {
      let state = ended(why);
      for (let seconds = 0; seconds < 10; seconds++) state = after(state, { event: "tick", elapsedMs: 1_000 });
      assert.deepEqual([toneOf(state), clockOf(state)], ["none", false]);
    });
  }

  it("is busy only for busy", () => {
    for (const why of ENDS) assert.equal(ENDINGS[why].tone === "busy", why === "busy", why);
  });
});

describe("machine: the five numbers of a call", () => {
  const shown = (state: State) => state.place.name === "in-call" && [state.place.view, state.place.compared];

  it("are shown first, and the voice is there at once", () => {
    assert.deepEqual(shown(inCall), ["numbers", false]);
    assert.deepEqual(
      next(inCall, press("call")).filter((effect) => "do" in effect && effect.do === "command"),
      [],
    );
  });

  it("count as compared by Call, and stay so when they are looked at again", () => {
    const compared = after(inCall, press("call"));
    assert.deepEqual(shown(compared), ["talk", true]);
    assert.deepEqual(shown(after(compared, press("update"))), ["numbers", true]);
    assert.deepEqual(shown(after(compared, press("update"), press("connect"))), ["talk", true]);
  });

  it("may wait: the call goes on and says that nobody compared them", () => {
    const later = after(inCall, press("connect"));
    assert.deepEqual(shown(later), ["talk", false]);
    const { tone, blocks } = screenOf(later, "en");
    assert.equal(tone, "caution");
    assert.ok(blocks.some((block) => block.block === "mark" && block.word === "Numbers not compared"));
  });

  it("that differ end the call, and what that means stays on the screen until it is read", () => {
    const [state, ...effects] = next(inCall, press("update"));
    assert.deepEqual(effects[0], { do: "command", command: { do: "hang-up" } });
    assert.equal(nameOf(state), "hanging-up");
    const told = named["sas-differs"];
    const { facts, tone } = screenOf(told, "en");
    assert.deepEqual([facts.number, facts.about, tone], [305, "call", "alarm"]);
    assert.equal(lightOf(told).colour, "red");
    // Then how the call ended, and whether its keys are gone.
    const ending = after(told, press("hang-up"));
    assert.equal(screenOf(ending, "en").facts.erased, "both");
    assert.equal(nameOf(after(ending, press("hang-up"))), "phonebook");
  });

  it("are hung up on by the key that always hangs up", () => {
    assert.deepEqual(keysOf(inCall)["hang-up"], "hang-up");
    assert.deepEqual(keysOf(after(inCall, press("call")))["hang-up"], "hang-up");
  });
});

describe("machine: nothing is lost", () => {
  /** Every screen that Hang up leads to from here. */
  function screensByHangUp(state: State): { name: string; facts: Readonly<Record<string, unknown>> }[] {
    const screens = [];
    let walked = state;
    for (let i = 0; i < 12; i++) {
      const { name, facts } = screenOf(walked, "en");
      screens.push({ name, facts });
      walked = after(walked, press("hang-up"));
    }
    return screens;
  }

  const told: readonly [
    string,
    Event,
    (screen: { name: string; facts: Readonly<Record<string, unknown>> }) => boolean,
  ][] = [
    [
      "a device that failed",
      { event: "device-failed", device: "sound", code: "ENODEV" },
      ({ facts }) => facts.code === "sound",
    ],
    ["somebody's new key", changed(["Anna", "Ben", "Chen"], { newKey: ["Chen"] }), ({ name }) => name === "changes"],
    [
      "an update that ended",
      { event: "updated", oldRoot: ROOT, newRoot: OTHER_ROOT, same: true, changes: NO_CHANGES },
      ({ name }) => name === "updated",
    ],
    ["an update that failed", { event: "update-failed", code: "timeout" }, ({ facts }) => facts.code === "timeout"],
    ["a low battery", { event: "battery", charge: { percent: 4, charging: false } }, ({ name }) => name === "battery"],
    ["evidence against the server", { event: "evidence", file: "/e" }, ({ facts }) => facts.evidence === "/e"],
    [
      "the end of a call nobody looks at",
      { event: "ended", callId: OTHER_CALL, why: "not-authentic", erased: "here", durationMs: 1 },
      ({ facts }) => facts.why === "not-authentic",
    ],
    [
      "a fault at the start",
      { event: "start-failed", code: "last-head-broken" },
      ({ facts }) => facts.code === "last-head-broken",
    ],
  ];

  for (const [what, event, isShown] of told) {
    it(`shows ${what}, whatever it was doing`, () => {
      for (const [name, state] of Object.entries(samples)) {
        if (["quitting", "gone", "battery-low"].includes(name) || !isOpen(state)) continue;
        assert.ok(screensByHangUp(after(state, event)).some(isShown), name);
      }
    });
  }

  it("shows every missed call, each caller once with the number of times", () => {
    const missedCall = (who: ContactShown, callId: string): Event[] => [
      { event: "incoming", callId, peer: who },
      { event: "ended", callId, why: "missed", erased: "none", durationMs: 0 },
    ];
    const state = after(phonebook, ...missedCall(peer, "1"), ...missedCall(noise, "2"), ...missedCall(peer, "3"));
    const missed = screensByHangUp(state).filter(({ name }) => name === "missed");
    assert.deepEqual(
      missed.map(({ facts }) => facts).sort((a, b) => Number(b.times) - Number(a.times)),
      [
        { uid: peer.uid, times: 2 },
        { uid: noise.uid, times: 1 },
      ],
    );
  });

  it("tells of a call that came into a call, though the line should have refused it", () => {
    const state = after(inCall, { event: "incoming", callId: OTHER_CALL, peer: noise }, endedEvent("hung-up-there"));
    assert.ok(screensByHangUp(state).some(({ name, facts }) => name === "missed" && facts.uid === noise.uid));
  });

  for (const [what, event] of [
    ["a call", incomingEvent],
    ["the red screen", { event: "evidence", file: "/e" }],
    ["voice", inCallEvent],
  ] as const) {
    it(`keeps a notice that ${what} pushed aside`, () => {
      const state = after(named.changes, event);
      assert.notEqual(nameOf(state), "changes");
      assert.ok(screensByHangUp(after(state, endedEvent("cancelled"))).some(({ name }) => name === "changes"));
    });
  }

  it("does not pile up alike notices", () => {
    let state = inCall;
    for (let i = 0; i < 100; i++) {
      state = after(
        state,
        { event: "device-failed", device: "sound", code: "x" },
        { event: "update-failed", code: "timeout" },
      );
      state = after(
        state,
        changed(["Anna", "Ben"], { newKey: ["Ben"], renamed: [{ from: `n${i}`, to: `n${i + 1}` }] }),
      );
    }
    assert.equal(state.notices.length, 3);
  });

  it("warns of a low battery once, and again after it was charged", () => {
    const charge = (percent: number, charging = false): Event => ({ event: "battery", charge: { percent, charging } });
    const warned = after(phonebook, charge(10), press("hang-up"), charge(9));
    assert.equal(nameOf(warned), "phonebook");
    assert.equal(nameOf(after(warned, charge(30, true), charge(8))), "battery");
  });
});

describe("machine: the four keys", () => {
  it("have on every screen the label of what they do, and do nothing without a label", () => {
    for (const [name, state] of Object.entries(samples)) {
      const { keys: labels } = screenOf(state, "en");
      for (const button of BUTTONS) {
        const [then, ...all] = next(state, press(button));
        const effects = all.filter(({ do: what }) => what !== "idle-clock");
        // On a locked handset that is an answer: the key is heard, and refused.
        const heard: Effect[] = state.place.name === "lock" ? [click] : [];
        if (labels[button] === "") assert.deepEqual([then, effects], [state, heard], `${name}: ${button}`);
        else assert.notDeepEqual([then, effects], [state, []], `${name}: ${button}`);
      }
    }
  });

  it("never mean to leave or to call where Hang up is expected to go back", () => {
    const harmless: (Action | undefined)[] = [
      "stop",
      "ask-leave",
      "stay",
      "cancel",
      "decline",
      "hang-up",
      "back",
      "ok",
      "lock",
      "pin-erase",
      "pin-leave",
      "pin-skip",
      "pin-keep",
      undefined,
    ];
    for (const state of Object.values(samples)) assert.ok(harmless.includes(keysOf(state)["hang-up"]));
  });
});

/** What the line may say of the key, in any order. */
const anyLockEvent = [
  fc
    .record({
      purpose: fc.constantFrom("choose", "repeat", "duress", "repeat-duress", "unlock", "old"),
      changing: fc.boolean(),
      left: fc.constantFrom(10, 1),
      waitS: fc.constantFrom(0, 30),
    })
    .map((asked) => ({ event: "pin-wanted", ...asked }) as Event),
  fc.constantFrom("wrong", "different", "bad-key").map((refused) => wanted("unlock", { refused })),
  fc.boolean().map((pin): Event => ({ event: "unlocked", pin })),
  fc.constantFrom<Event>({ event: "wiped" }, { event: "making-key" }, { event: "idle" }),
];

describe("machine: whatever comes", () => {
  const callIds = fc.constantFrom(CALL_ID, OTHER_CALL, "");
  const peers = fc.constantFrom(peer, noise, contact(0, "Anna", true));
  const codes = fc.constantFrom(
    "closed",
    "wrong-root",
    "two-heads",
    "name-taken",
    "left",
    "nobody-knows",
    "ECONNREFUSED",
  );
  const directories = fc
    .shuffledSubarray(["Ben", "Chen", "Dora"])
    .chain((names) => fc.constantFrom(directory(["Anna", ...names]), directory([])));
  const names = fc.array(fc.constantFrom("Ben", "Chen", "Dora"), { maxLength: 2 });
  const changes = fc.record({
    joined: names,
    left: names,
    renamed: fc.constantFrom([], [{ from: "Ben", to: "Benno" }]),
    newKey: names,
  });
  const steps = fc.constantFrom("1", "1.1", "2", "3", "8") as fc.Arbitrary<"1" | "1.1" | "2" | "3" | "8">;
  const anyEvent = fc.oneof(
    { weight: 8, arbitrary: fc.constantFrom(...BUTTONS).map((button) => press(button)) },
    { weight: 4, arbitrary: fc.constantFrom(...NUMPAD_KEYS).map((key): Event => ({ event: "key", key })) },
    { weight: 3, arbitrary: fc.nat({ max: 5_000 }).map((elapsedMs): Event => ({ event: "tick", elapsedMs })) },
    fc.boolean().map((resuming): Event => ({ event: "connecting", resuming })),
    steps.map((step): Event => ({ event: "step", step, ms: 1 })),
    {
      weight: 4,
      arbitrary: fc.record({
        event: fc.constant("connected" as const),
        resumed: fc.boolean(),
        directory: directories,
        protection: fc.constant("locked"),
      }),
    },
    fc.record({ event: fc.constant("disconnected" as const), code: codes }),
    fc.record({ event: fc.constant("disconnected" as const), code: codes, retryInMs: fc.nat({ max: 30_000 }) }),
    { weight: 2, arbitrary: fc.record({ event: fc.constant("directory" as const), directory: directories, changes }) },
    fc.constantFrom("1", "1.1", "2").map((step) => ({ event: "updating", step }) as Event),
    fc.record({
      event: fc.constant("updated" as const),
      oldRoot: fc.constant(ROOT),
      newRoot: fc.constantFrom(ROOT, OTHER_ROOT),
      same: fc.boolean(),
      changes,
    }),
    fc.record({ event: fc.constant("update-failed" as const), code: codes }),
    { weight: 2, arbitrary: fc.record({ event: fc.constant("dialling" as const), callId: callIds, peer: peers }) },
    { weight: 2, arbitrary: fc.record({ event: fc.constant("rings" as const), callId: callIds }) },
    { weight: 2, arbitrary: fc.record({ event: fc.constant("incoming" as const), callId: callIds, peer: peers }) },
    {
      weight: 2,
      arbitrary: fc.record({
        event: fc.constant("in-call" as const),
        callId: callIds,
        peer: peers,
        sas: fc.constant(SAS),
      }),
    },
    fc.record({
      event: fc.constant("voice" as const),
      callId: callIds,
      sent: fc.nat(),
      received: fc.nat(),
      lost: fc.nat(),
      packetSizes: fc.constant([668]),
      serverLine: fc.boolean(),
    }),
    {
      weight: 3,
      arbitrary: fc.record({
        event: fc.constant("ended" as const),
        callId: callIds,
        why: fc.constantFrom(...ENDS),
        erased: fc.constantFrom("both", "here", "none"),
        durationMs: fc.nat(),
      }),
    },
    fc.constant<Event>({ event: "evidence", file: "/data/e" }),
    fc
      .constantFrom("sound", "display", "buttons", "numpad")
      .map((device) => ({ event: "device-failed", device, code: "x" }) as Event),
    fc
      .option(fc.record({ percent: fc.nat({ max: 100 }), charging: fc.boolean() }), { nil: undefined })
      .map((charge): Event => ({ event: "battery", charge })),
    fc.constant<Event>({ event: "start-failed", code: "settings-broken" }),
    fc.constant<Event>({ event: "line-broken", code: "not-saved" }),
    fc.constant<Event>({ event: "say", file: "a.wav" }),
    ...anyLockEvent,
  );
  const start = fc.constantFrom(...Object.values(samples));
  const run = fc.tuple(start, fc.array(anyEvent as fc.Arbitrary<Event>, { maxLength: 40 }));

  /** The rules that hold after every event. */
  function checkState(state: State): void {
    const { place, line } = state;
    if (["phonebook", "dial", "updating", "leave?"].includes(place.name)) assert.equal(line.at, "up");
    if (!isOpen(state)) assert.ok(["lock", "quitting", "gone"].includes(place.name), place.name);
    if (
      [
        "front",
        "leave?",
        "phonebook",
        "dial",
        "in-call",
        "answering",
        "hanging-up",
        "updating",
        "notice",
        "quitting",
        "gone",
      ].includes(place.name)
    ) {
      assert.equal(toneOf(state), "none", `a tone is on in ${place.name}`);
    }
    if (state.distrust && ["phonebook", "dial", "updating"].includes(place.name))
      assert.fail("the red screen was passed");
    assert.ok(state.notices.length < 40);
  }

  it("never throws, and what sounds, shines and ticks is what the state says", () => {
    fc.assert(
      fc.property(run, ([from, events]) => {
        let state = from;
        let [tone, light, ticking, idling] = [toneOf(from), lightOf(from), clockOf(from), idleOf(from)];
        for (const event of events) {
          const [then, ...effects] = next(state, event);
          state = then;
          for (const effect of effects) {
            if (effect.do === "command" && effect.command.do === "tone") tone = effect.command.tone;
            if (effect.do === "light") light = effect.light;
            if (effect.do === "clock") ticking = effect.ticking;
            if (effect.do === "idle-clock") idling = effect.running;
          }
          checkState(state);
          const says = [toneOf(state), lightOf(state), clockOf(state), idleOf(state)];
          assert.deepEqual([tone, light, ticking, idling], says);
        }
      }),
      { numRuns: 1_000 },
    );
  });

  it("finds back to the phonebook or to disconnected by Hang up alone", () => {
    fc.assert(
      fc.property(run, ([from, events]) => {
        let state = after(from, ...events);
        if (["quitting", "gone"].includes(state.place.name) || !isOpen(state)) return;
        const home = () =>
          state.place.name === "phonebook" || (state.place.name === "front" && state.line.at === "off");
        // One press for each notice, and at most five for the rest.
        for (let presses = state.notices.length + 5; presses > 0 && !home(); presses--)
          state = after(state, press("hang-up"));
        assert.ok(home(), `stays in ${state.place.name}, line ${state.line.at}`);
        assert.equal(toneOf(state), "none");
      }),
      { numRuns: 1_000 },
    );
  });

  it("falls silent when nothing more happens, unless somebody calls or is called", () => {
    fc.assert(
      fc.property(run, ([from, events]) => {
        let state = after(from, ...events);
        for (let seconds = 0; seconds < 60; seconds++) state = after(state, { event: "tick", elapsedMs: 1_000 });
        if (!["dialling", "ringing-out", "incoming"].includes(state.place.name)) assert.equal(toneOf(state), "none");
      }),
      { numRuns: 300 },
    );
  });

  it("holds public values only: plain data without handles or bytes", () => {
    fc.assert(
      fc.property(run, ([from, events]) => {
        const walk = (value: unknown): void => {
          if (value === null || typeof value !== "object") {
            assert.ok(["string", "number", "boolean", "undefined"].includes(typeof value), typeof value);
            return;
          }
          const prototype = Object.getPrototypeOf(value);
          assert.ok(prototype === Object.prototype || prototype === Array.prototype || prototype === null);
          for (const inner of Object.values(value)) walk(inner);
        };
        walk(after(from, ...events));
      }),
      { numRuns: 100 },
    );
  });

  it("does not change the state it was given", () => {
    const freeze = (value: unknown): void => {
      if (value === null || typeof value !== "object" || Object.isFrozen(value)) return;
      Object.freeze(value);
      for (const inner of Object.values(value)) freeze(inner);
    };
    fc.assert(
      fc.property(run, ([from, events]) => {
        let state = from;
        for (const event of events) {
          freeze(state);
          state = after(state, event);
        }
      }),
      { numRuns: 100 },
    );
  });
});
