/** The lock between hand and key: the whole handset of keys and screens, with the real lock, over a fake store. */
import assert from "node:assert/strict";
import type { LineEvent, PinCommand } from "@feldfon/firmware/handset/link";
import { begin } from "@feldfon/firmware/handset/machine";
import { type LineLink, Runner } from "@feldfon/firmware/handset/runner";
import { KeyLock } from "@feldfon/firmware/line/lock";
import { FakeBoard } from "@feldfon/hw/board/fake";
import type { Button } from "@feldfon/hw/buttons/port";
import { isNumpadKey } from "@feldfon/hw/numpad/port";
import { VaultError } from "@feldfon/protocol/errors";
import type { KeyPair } from "@feldfon/protocol/vault";
import fc from "fast-check";
import { FakeKeys } from "./fake-keys.ts";

const PIN = "402917";
const OTHER = "885522";
const ERASES = "1111111";

/** Everything that was asked of the lock has happened. */
const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

class Bench {
  readonly board = new FakeBoard(240, 240);
  readonly told: LineEvent[] = [];
  /** Made of each key that was handed over; ended by `closing`. */
  readonly phones: KeyPair[] = [];
  readonly keys: FakeKeys;
  readonly lock: KeyLock;
  readonly runner: Runner;
  #hear: (event: LineEvent) => void = () => {};

  private constructor(keys: FakeKeys, withPin: boolean) {
    this.keys = keys;
    this.lock = new KeyLock({
      keys,
      vault: keys,
      withPin,
      tell: (event) => {
        this.told.push(event);
        this.#hear(event);
      },
      opened: (pair) => this.phones.push(pair),
      closing: async () => void this.phones.pop(),
    });
    const line: LineLink = {
      send: (command) => void this.lock.command(command as PinCommand),
      onEvent: (listener) => {
        this.#hear = listener;
      },
      close: () => {},
    };
    this.runner = new Runner({
      board: this.board,
      line,
      language: "en",
      state: begin({ server: "127.0.0.1:5060", ownName: "Anna" }),
      idleLockMs: 0,
    });
  }

  static async open(keys: FakeKeys, withPin = keys.withPin): Promise<Bench> {
    const bench = new Bench(keys, withPin);
    await bench.lock.begin();
    return bench;
  }

  get screen(): string {
    return this.board.captionsShown.at(-1)!.name;
  }

  get facts(): Readonly<Record<string, unknown>> {
    return this.board.captionsShown.at(-1)!.facts;
  }

  /** Digits and keys in a row: "402917", "call", "#". */
  async press(...presses: string[]): Promise<string> {
    for (const one of presses) {
      if ([...one].every(isNumpadKey)) for (const key of one) this.board.numpad.press(key as never);
      else this.board.buttons.press(one as Button);
      await settled();
    }
    return this.screen;
  }

  /** @returns the screen afterwards */
  type(pin: string): Promise<string> {
    return this.press(pin, "call");
  }
}

async function withPin(): Promise<Bench> {
  return Bench.open(new FakeKeys(true, "sealed", PIN));
}

/** First start, with a PIN that erases. */
async function chosen(): Promise<Bench> {
  const bench = await Bench.open(new FakeKeys(true));
  for (const pin of [PIN, PIN, ERASES, ERASES]) await bench.type(pin);
  assert.equal(bench.screen, "off");
  return bench;
}

describe("the lock of a handset's key: first start", () => {
  it("asks for a PIN twice, makes the key, asks for one that erases twice, and opens", async () => {
    const bench = await Bench.open(new FakeKeys(true));
    const screens = [bench.screen];
    for (const pin of [PIN, PIN, ERASES, ERASES]) screens.push(await bench.type(pin));
    assert.deepEqual(screens, ["pin-choose", "pin-repeat", "pin-duress", "pin-repeat-duress", "off"]);
    assert.ok(bench.told.some(({ event }) => event === "making-key"));
    assert.equal(bench.phones.length, 1);
    assert.equal(bench.keys.held, "");
  });

  it("makes no key before the PIN stands, and hands over none before all is answered", async () => {
    const bench = await Bench.open(new FakeKeys(true));
    await bench.type(PIN);
    assert.deepEqual([bench.keys.made, bench.phones.length], [0, 0]);
    await bench.type(PIN);
    assert.deepEqual([bench.keys.made, bench.phones.length], [1, 0]);
  });

  it("does without the second PIN when a person leaves it out", async () => {
    const bench = await Bench.open(new FakeKeys(true));
    await bench.type(PIN);
    await bench.type(PIN);
    assert.equal(await bench.press("hang-up"), "off");
    assert.equal(bench.keys.held, "");
  });

  it("asks anew when the second entry was another one, and says so", async () => {
    const bench = await Bench.open(new FakeKeys(true));
    await bench.type(PIN);
    assert.equal(await bench.type(OTHER), "pin-choose");
    assert.equal(bench.facts.refused, "different");
    assert.equal(bench.keys.held, "");
  });

  it("asks anew when the PIN is short, and when the second one is the first", async () => {
    const bench = await Bench.open(new FakeKeys(true));
    assert.deepEqual([await bench.type("40291"), bench.facts.refused], ["pin-choose", "short"]);
    await bench.type(PIN);
    await bench.type(PIN);
    await bench.type(PIN);
    assert.deepEqual([await bench.type(PIN), bench.facts.refused], ["pin-duress", "same-pin"]);
    assert.equal(await bench.press("hang-up"), "off");
  });

  it("asks anew when the card is full, and says so", async () => {
    const bench = await Bench.open(new FakeKeys(true));
    await bench.type(PIN);
    bench.keys.fails = Object.assign(new VaultError("not-saved", "no room"));
    assert.deepEqual([await bench.type(PIN), bench.facts.refused], ["pin-choose", "not-saved"]);
    assert.equal(bench.phones.length, 0);
  });

  it("makes the key at once where no PIN is wanted", async () => {
    const bench = await Bench.open(new FakeKeys(false));
    assert.deepEqual([bench.screen, bench.keys.kind, bench.phones.length], ["off", "clear", 1]);
    assert.equal(await bench.press("hang-up"), "off", "there is nothing to lock");
  });

  it("gives a key without a PIN one, where one is wanted now", async () => {
    const bench = await Bench.open(new FakeKeys(true, "clear"));
    assert.equal(bench.screen, "pin-choose");
    await bench.type(PIN);
    await bench.type(PIN);
    assert.deepEqual([bench.keys.kind, bench.keys.made], ["sealed", 1], "the key it had");
    assert.ok(!bench.told.some(({ event }) => event === "making-key"));
  });
});

describe("the lock of a handset's key: opening", () => {
  it("opens by the right PIN, and by that alone hands a key over", async () => {
    const bench = await withPin();
    assert.equal(bench.screen, "pin");
    assert.equal(await bench.type(OTHER), "pin");
    assert.deepEqual([bench.facts.refused, bench.facts.left, bench.phones.length], ["wrong", 9, 0]);
    assert.equal(await bench.type(PIN), "off");
    assert.equal(bench.phones.length, 1);
  });

  it("asks a sealed key's PIN also where none is wanted for new keys", async () => {
    const bench = await Bench.open(new FakeKeys(true, "sealed", PIN), false);
    assert.equal(bench.screen, "pin");
  });

  it("does not count what is too short", async () => {
    const bench = await withPin();
    await bench.type("123");
    assert.deepEqual([bench.facts.refused, bench.facts.left], ["short", 10]);
  });

  it("lets one try three times, then wait, longer each time", async () => {
    const bench = await withPin();
    const waits = [];
    for (let wrong = 1; wrong <= 6; wrong++) {
      await bench.type(OTHER);
      waits.push(bench.facts.waitS);
      bench.keys.waitedS = 3_600;
      bench.runner.take({ event: "tick", elapsedMs: 3_600_000 });
    }
    assert.deepEqual(waits, [0, 0, 30, 300, 3_600, 3_600]);
    assert.equal(await bench.type(PIN), "off");
  });

  it("tries nothing while it has to wait, whatever the hand believes, and says how long", async () => {
    const bench = await withPin();
    for (let wrong = 1; wrong <= 3; wrong++) await bench.type(OTHER);
    bench.runner.take({ event: "tick", elapsedMs: 3_600_000 }); // a clock that ran ahead
    await bench.type(PIN);
    assert.deepEqual([bench.screen, bench.phones.length, bench.facts.left], ["pin", 0, 7]);
    assert.equal(bench.facts.waitS, 30);
    assert.equal(bench.keys.held, "");
  });

  it("erases by the tenth wrong one: a fresh handset, and the next key is another", async () => {
    const bench = await withPin();
    for (let wrong = 1; wrong <= 10; wrong++) {
      await bench.type(OTHER);
      bench.keys.waitedS = 3_600;
      bench.runner.take({ event: "tick", elapsedMs: 3_600_000 });
    }
    assert.deepEqual([bench.screen, bench.keys.kind, bench.facts.refused], ["pin-choose", "none", null]);
    assert.ok(bench.told.some(({ event }) => event === "wiped"));
    for (const pin of [OTHER, OTHER]) await bench.type(pin);
    await bench.press("hang-up");
    assert.deepEqual([bench.screen, bench.keys.made], ["off", 2]);
  });

  it("erases by the PIN that erases, and looks like the tenth wrong one and like a first start", async () => {
    const bench = await chosen();
    await bench.press("hang-up");
    assert.equal(await bench.type(ERASES), "pin-choose");
    const fresh = await Bench.open(new FakeKeys(true));
    assert.deepEqual(bench.board.captionsShown.at(-1), { ...fresh.board.captionsShown.at(-1)!, ticking: false });
    assert.deepEqual(bench.board.display.picture, fresh.board.display.picture);
    assert.equal(bench.keys.open.size, 0);
  });

  it("says that it was erased when that was cut off, before it asks for a new PIN", async () => {
    const keys = new FakeKeys(true);
    keys.wiped = true;
    const bench = await Bench.open(keys);
    assert.deepEqual(
      bench.told.map(({ event }) => event),
      ["wiped", "pin-wanted"],
    );
  });

  it("shows what failed, counts nothing and can be tried again when the device's secret is another one", async () => {
    const bench = await withPin();
    bench.keys.fails = new VaultError("other-device", "sealed elsewhere");
    await bench.type(PIN);
    assert.deepEqual([bench.screen, bench.facts.refused, bench.facts.left], ["pin", "other-device", 10]);
    assert.equal(await bench.type(PIN), "off");
  });

  it("shows what the card says when it cannot count a try", async () => {
    const bench = await withPin();
    bench.keys.fails = Object.assign(new Error("EROFS"), { code: "EROFS", syscall: "open" });
    await bench.type(PIN);
    assert.deepEqual([bench.screen, bench.facts.refused], ["pin", "EROFS"]);
  });

  it("surfaces what is our own mistake", async () => {
    const bench = await withPin();
    for (const slip of [new TypeError("a slip"), Object.assign(new TypeError("a slip"), { code: "ERR_INVALID_ARG" })]) {
      bench.keys.fails = slip;
      await bench.lock.command({ do: "pin-digit", digit: 4 });
      for (let digit = 1; digit < 6; digit++) await bench.lock.command({ do: "pin-digit", digit });
      await assert.rejects(bench.lock.command({ do: "pin-done" }), slip);
    }
  });
});

describe("the lock of a handset's key: keys in any order", () => {
  it("hand over no key before the PIN, whatever is pressed", async () => {
    // Its PIN has a 9, which nobody presses.
    const keys = fc.constantFrom(
      ..."012345678*#",
      "connect",
      "call",
      "call",
      "hang-up",
      "update",
      "012345",
      "333333+call",
    );
    let tried = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(keys, { minLength: 30, maxLength: 60 }), async (presses) => {
        const bench = await Bench.open(new FakeKeys(true, "sealed", "999999"));
        for (const one of presses) {
          await bench.press(...one.split("+"));
          assert.deepEqual([bench.phones.length, bench.keys.open.size], [0, 0]);
          assert.equal(bench.screen, "pin");
          tried += bench.facts.refused === "wrong" ? 1 : 0;
          bench.keys.waitedS = 3_600;
          bench.runner.take({ event: "tick", elapsedMs: 3_600_000 });
          bench.keys.wrong = Math.min(8, bench.keys.wrong); // what comes of the tenth has a test of its own
        }
      }),
      { numRuns: 50 },
    );
    assert.ok(tried > 20, `${tried} wrong PINs were tried`);
  });
});

describe("the lock of a handset's key: closing and changing", () => {
  it("wipes every slot by Hang up, ends the telephone first, and asks for the PIN", async () => {
    const bench = await chosen();
    assert.equal(bench.keys.open.size, 1);
    assert.equal(await bench.press("hang-up"), "pin");
    assert.deepEqual([bench.keys.open.size, bench.phones.length, bench.keys.made], [0, 0, 1]);
    assert.equal(await bench.type(PIN), "off");
  });

  it("changes the PIN: the old one first, then a new one, and one that erases", async () => {
    const bench = await chosen();
    const screens = [await bench.press("#", "update")];
    for (const pin of [PIN, OTHER, OTHER]) screens.push(await bench.type(pin));
    assert.equal(bench.board.captionsShown.at(-1)!.lines.at(-1)!.includes("[Hang up] As before"), true);
    screens.push(await bench.press("hang-up"));
    assert.deepEqual(screens, ["pin-old", "pin-choose", "pin-repeat", "pin-duress", "off"]);
    assert.deepEqual([bench.keys.open.size, bench.phones.length, bench.keys.made], [1, 1, 1], "the same key");
    await bench.press("hang-up");
    assert.equal(await bench.type(PIN), "pin");
    assert.equal(await bench.type(OTHER), "off");
  });

  it("keeps the PIN that erases as it was, when the PIN changes and nobody asks for another", async () => {
    const bench = await chosen();
    await bench.press("#", "update");
    for (const pin of [PIN, OTHER, OTHER]) await bench.type(pin);
    await bench.press("hang-up", "hang-up");
    assert.equal(await bench.type(ERASES), "pin-choose");
  });

  it("does not take the PIN that erases for a new PIN", async () => {
    const bench = await chosen();
    await bench.press("#", "update");
    for (const pin of [PIN, ERASES, ERASES]) await bench.type(pin);
    assert.deepEqual([bench.screen, bench.facts.refused], ["pin-choose", "same-pin"]);
  });

  it("can leave a change before its end, and the old PIN stays", async () => {
    for (const typed of [[], [PIN], [PIN, OTHER]]) {
      const bench = await chosen();
      await bench.press("#", "update");
      for (const pin of typed) await bench.type(pin);
      assert.equal(await bench.press("hang-up"), "off");
      assert.equal(bench.keys.held, "");
      await bench.press("hang-up");
      assert.equal(await bench.type(PIN), "off");
    }
  });

  it("counts a wrong old PIN like any other, to the last", async () => {
    const bench = await chosen();
    await bench.press("#", "update");
    for (let wrong = 1; wrong <= 10; wrong++) {
      assert.equal(bench.screen, "pin-old");
      await bench.type("999999");
      bench.keys.waitedS = 3_600;
      bench.runner.take({ event: "tick", elapsedMs: 3_600_000 });
    }
    assert.deepEqual([bench.screen, bench.phones.length, bench.keys.open.size], ["pin-choose", 0, 0]);
  });

  it("locks in the middle of a change as well", async () => {
    const bench = await chosen();
    await bench.press("#", "update", "40");
    bench.runner.take({ event: "idle" });
    await settled();
    assert.deepEqual([bench.screen, bench.keys.open.size, bench.keys.held], ["pin", 0, ""]);
  });

  it("listens to no command that its hand would not send: no change and no lock while it is locked", async () => {
    const bench = await withPin();
    for (const what of ["change-pin", "lock", "pin-leave"] as const) await bench.lock.command({ do: what });
    assert.deepEqual(
      bench.told.map(({ event }) => event),
      ["pin-wanted"],
    );
  });

  it("tells nobody a digit: events, states, screens and captions are the same for every PIN", async () => {
    const story = async (pin: string): Promise<unknown[]> => {
      const bench = await Bench.open(new FakeKeys(true));
      for (const typed of [pin, pin, ERASES, ERASES]) await bench.type(typed);
      await bench.press("hang-up");
      await bench.type(pin);
      return [bench.told, bench.runner.state, bench.board.captionsShown];
    };
    assert.deepEqual(await story("402917"), await story("885522"));
  });
});
