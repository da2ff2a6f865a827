import assert from "node:assert/strict";
import { drawScreen } from "@feldfon/firmware/handset/drawing/draw";
import type { Command, LineEvent } from "@feldfon/firmware/handset/link";
import { changedRows, type LineLink, Runner } from "@feldfon/firmware/handset/runner";
import { screenOf } from "@feldfon/firmware/handset/screens";
import { FakeBoard } from "@feldfon/hw/board/fake";
import type { Display } from "@feldfon/hw/display/port";
import { DeviceError } from "@feldfon/protocol/errors";
import sinon from "sinon";
import { CALL_ID, connected, contact, off, openWithPin, peer, pin, SAS, starting } from "./samples.ts";

/** A line thread in the hand of a test; `answer` reacts to a command before `send` returns, as no thread could. */
class FakeLine implements LineLink {
  readonly sent: Command[] = [];
  closed = false;
  answer: (command: Command) => void = () => {};
  #listener: (event: LineEvent) => void = () => {};

  send(command: Command): void {
    this.sent.push(command);
    this.answer(command);
  }

  onEvent(listener: (event: LineEvent) => void): void {
    this.#listener = listener;
  }

  close(): void {
    this.closed = true;
  }

  tell(event: LineEvent): void {
    this.#listener(event);
  }
}

function bench(board = new FakeBoard(240, 240), state = off, idleLockMs = 0) {
  const line = new FakeLine();
  const runner = new Runner({
    board,
    line,
    language: "en",
    state,
    idleLockMs,
  });
  const screens = () => board.captionsShown.map(({ name }) => name);
  return { board, line, runner, screens };
}

describe("runner", () => {
  let clock: sinon.SinonFakeTimers;
  beforeEach(() => {
    clock = sinon.useFakeTimers();
  });
  afterEach(() => clock.restore());

  it("shows the first screen and sets the volume before anybody does anything", () => {
    const { board, line, screens, runner } = bench();
    assert.deepEqual(screens(), ["off"]);
    assert.deepEqual(line.sent, [{ do: "volume", percent: 60 }]);
    assert.deepEqual(board.lightsShown, [{ colour: "white", rhythm: "slow" }]);
    assert.deepEqual(board.display.picture, drawScreen(screenOf(runner.state, "en"), 240, 240));
    runner.close();
  });

  it("makes a call out of presses and line events", () => {
    const { board, line, screens, runner } = bench();
    board.buttons.press("connect");
    line.tell({ event: "connecting", resuming: false });
    line.tell(connected as LineEvent);
    board.numpad.press("1");
    board.buttons.press("call");
    line.tell({ event: "dialling", callId: CALL_ID, peer });
    line.tell({ event: "rings", callId: CALL_ID });
    line.tell({ event: "in-call", callId: CALL_ID, peer, sas: SAS });
    board.buttons.press("hang-up");
    line.tell({ event: "ended", callId: CALL_ID, why: "hung-up-here", erased: "both", durationMs: 5000 });
    const wanted = ["off", "connecting", "verified", "dial", "dialling", "ringing-out", "in-call"];
    assert.deepEqual(screens(), [...wanted, "hanging-up", "ended"]);
    assert.deepEqual(line.sent, [
      { do: "volume", percent: 60 },
      { do: "connect" },
      { do: "call", uid: contact(1, "Ben").uid },
      { do: "tone", tone: "pips" },
      { do: "tone", tone: "ringback" },
      { do: "tone", tone: "none" },
      { do: "hang-up" },
      { do: "tone", tone: "ended" },
    ]);
    runner.close();
  });

  it("draws what it says, after every event", () => {
    const { board, line, runner } = bench();
    const check = () => assert.deepEqual(board.display.picture, drawScreen(screenOf(runner.state, "en"), 240, 240));
    board.buttons.press("connect");
    check();
    line.tell(connected as LineEvent);
    check();
    for (const key of ["2", "*", "1"] as const) {
      board.numpad.press(key);
      check();
    }
    runner.close();
  });

  it("does not show a screen again that did not change", () => {
    const { board, screens, runner } = bench();
    const show = sinon.spy(board.display, "show");
    for (let i = 0; i < 5; i++) board.buttons.press("update");
    assert.deepEqual(screens(), ["off"]);
    assert.equal(show.callCount, 0);
    runner.close();
  });

  it("sends the display only the rows that changed", () => {
    const { board, line, runner } = bench();
    line.tell(connected as LineEvent);
    board.numpad.press("1");
    const show = sinon.spy(board.display, "show");
    board.numpad.press("*");
    const [, rows] = show.firstCall.args;
    assert.ok(rows && rows.from > 32 && rows.to <= 200, JSON.stringify(rows));
    runner.close();
  });

  it("ticks once a second in a call, by the clock's word, and not before or after", () => {
    const { board, line, runner, screens } = bench();
    line.tell(connected as LineEvent);
    clock.tick(5_000);
    assert.equal(clock.countTimers(), 0);
    line.tell({ event: "incoming", callId: CALL_ID, peer });
    board.buttons.press("call");
    line.tell({ event: "in-call", callId: CALL_ID, peer, sas: SAS });
    board.buttons.press("call");
    clock.tick(61_000);
    const last = board.captionsShown.at(-1)!;
    assert.ok(last.lines.some((text) => text.startsWith("| 1:01")));
    assert.equal(last.ticking, true);
    board.numpad.press("5");
    assert.equal(board.captionsShown.at(-1)!.ticking, false);
    line.tell({ event: "ended", callId: CALL_ID, why: "hung-up-there", erased: "both", durationMs: 61_000 });
    clock.tick(5_000);
    assert.equal(clock.countTimers(), 0);
    assert.deepEqual(line.sent.at(-1), { do: "tone", tone: "none" });
    assert.equal(screens().at(-1), "ended");
    runner.close();
  });

  it("finishes one event before it takes the next, also when the line answers at once", () => {
    const { board, line, screens, runner } = bench();
    line.answer = (command) => {
      if (command.do !== "connect") return;
      line.tell({ event: "step", step: "1", ms: 3 });
      line.tell(connected as LineEvent);
    };
    board.buttons.press("connect");
    assert.deepEqual(screens(), ["off", "connecting", "connecting", "verified"]);
    runner.close();
  });

  it("hands on say, record and quit of the board, and ends when the line is gone", async () => {
    const { board, line, screens, runner } = bench();
    board.emit({ event: "say", file: "a.wav" });
    board.emit({ event: "record", file: "b.wav" });
    board.emit({ event: "quit" });
    assert.deepEqual(line.sent.slice(1), [
      { do: "say", file: "a.wav" },
      { do: "record", file: "b.wav" },
      { do: "quit" },
    ]);
    assert.equal(line.closed, false);
    line.tell({ event: "gone" });
    await runner.done;
    assert.deepEqual(screens(), ["off", "quitting", "gone"]);
    assert.equal(line.closed, true);
    assert.ok(board.display.picture.every((pixel) => pixel === 0));
    assert.equal(clock.countTimers(), 0);
  });

  it("takes nothing any more once it is closed", async () => {
    const { board, line, runner, screens } = bench();
    runner.close();
    runner.close();
    await runner.done;
    line.tell(connected as LineEvent);
    board.emit({ event: "quit" });
    assert.deepEqual(screens(), ["off"]);
    assert.equal(line.sent.length, 1);
  });

  it("reads no key before a person is asked something, so that a script's lines wait in their pipe", () => {
    const board = new FakeBoard(240, 240);
    const read = sinon.spy(board, "onEvent");
    const { line, screens, runner } = bench(board, starting);
    line.tell({ event: "making-key" });
    assert.deepEqual([screens(), read.callCount], [["starting", "making-key"], 0]);
    line.tell({ event: "unlocked", pin: false });
    board.buttons.press("connect");
    line.tell({ event: "wiped" });
    line.tell({ event: "pin-wanted", purpose: "choose", changing: false });
    assert.deepEqual([screens().slice(2), read.callCount], [["off", "connecting", "starting", "pin-choose"], 1]);
    runner.close();
  });

  const MINUTES = 60_000;
  const locks = ({ sent }: FakeLine) => sent.filter((command) => command.do === "lock").length;

  it("locks itself ten minutes after the last key, while nobody can call it", () => {
    const { board, line, screens, runner } = bench(undefined, pin, 10 * MINUTES);
    line.tell({ event: "unlocked", pin: true });
    clock.tick(9 * MINUTES);
    board.buttons.press("update"); // means nothing here, but somebody is there
    clock.tick(9 * MINUTES);
    assert.equal(locks(line), 0);
    clock.tick(1 * MINUTES);
    assert.deepEqual([locks(line), screens().at(-1)], [1, "locking"]);
    line.tell({ event: "pin-wanted", purpose: "unlock", changing: false, left: 10, waitS: 0 });
    clock.tick(60 * MINUTES);
    assert.deepEqual([locks(line), clock.countTimers()], [1, 0]);
    runner.close();
  });

  it("does not lock itself while it is connected, nor ever where that was chosen", () => {
    const connectedOne = bench(undefined, openWithPin, 10 * MINUTES);
    connectedOne.board.buttons.press("connect");
    connectedOne.line.tell(connected as LineEvent);
    clock.tick(60 * MINUTES);
    assert.equal(locks(connectedOne.line), 0);
    connectedOne.line.tell({ event: "disconnected", code: "left" });
    clock.tick(10 * MINUTES);
    assert.equal(locks(connectedOne.line), 1);
    const never = bench(undefined, pin, 0);
    never.line.tell({ event: "unlocked", pin: true });
    clock.tick(24 * 60 * MINUTES);
    assert.equal(locks(never.line), 0);
    for (const { runner } of [connectedOne, never]) runner.close();
  });

  it("counts a wait for the PIN down, second by second", () => {
    const { board, line, runner } = bench(undefined, pin);
    line.tell({ event: "pin-wanted", purpose: "unlock", changing: false, left: 7, waitS: 30, refused: "wrong" });
    clock.tick(3_000);
    board.numpad.press("7");
    assert.deepEqual(line.sent.at(-1), { do: "sound", sound: "click" });
    assert.equal(board.captionsShown.at(-1)!.facts.waitS, 27);
    clock.tick(27_000);
    assert.equal(clock.countTimers(), 0);
    board.numpad.press("7");
    assert.deepEqual(line.sent.at(-1), { do: "pin-digit", digit: 7 });
    runner.close();
  });

  it("warns of a low battery", () => {
    const { board, screens, runner } = bench();
    board.battery.set({ percent: 8, charging: false });
    assert.equal(screens().at(-1), "battery");
    runner.close();
  });

  it("goes on without a display that fails, and says so", () => {
    const board = new FakeBoard(240, 240);
    let calls = 0;
    const broken: Display = {
      width: 240,
      height: 240,
      show: () => {
        calls++;
        throw new DeviceError("display", "the panel does not answer");
      },
      close: () => {},
    };
    const { line, screens, runner } = bench(Object.defineProperty(board, "display", { value: broken }));
    assert.equal(screens().at(-1), "fault");
    assert.deepEqual(board.lightsShown.at(-1), { colour: "amber", rhythm: "double" });
    board.buttons.press("call");
    board.buttons.press("connect");
    assert.deepEqual(line.sent.at(-1), { do: "connect" });
    assert.equal(calls, 1);
    runner.close();
  });
});

describe("changed rows", () => {
  const before = new Uint16Array(4 * 10);

  it("are all when there was no picture", () => {
    assert.deepEqual(changedRows(undefined, before, 4), { from: 0, to: 10 });
  });

  it("are none when nothing changed", () => {
    const { from, to } = changedRows(before, before.slice(), 4);
    assert.equal(from, to);
  });

  for (const [pixels, rows] of [
    [[0], { from: 0, to: 1 }],
    [[39], { from: 9, to: 10 }],
    [[7, 22], { from: 1, to: 6 }],
  ] as const) {
    it(`are ${rows.from} to ${rows.to} for pixels ${pixels.join(" and ")}`, () => {
      const after = before.slice();
      for (const pixel of pixels) after[pixel] = 1;
      assert.deepEqual(changedRows(before, after, 4), rows);
    });
  }
});
