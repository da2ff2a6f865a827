import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { once } from "node:events";
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { FakeBoard } from "@feldfon/hw/board/fake";
import type { Board, BoardEvent, BoardOptions } from "@feldfon/hw/board/port";
import { endOfInput, parseTerminalLine, terminal } from "@feldfon/hw/board/terminal";
import { BUTTONS, type Button } from "@feldfon/hw/buttons/port";
import { boards } from "@feldfon/hw/index";
import fc from "fast-check";
import { boardContract } from "./contract.ts";

boardContract("fake", async () => new FakeBoard());
boardContract("terminal", async () => (await opened()).board);

interface Bench {
  board: Board;
  input: PassThrough;
  output: PassThrough;
  events: BoardEvent[];
  pressed: Button[];
  keys: string[];
  /** Types lines and waits until they are read. */
  type(...lines: string[]): Promise<void>;
  printed(): string;
}

async function opened(options: Partial<BoardOptions> = {}): Promise<Bench> {
  const [input, output] = [new PassThrough(), new PassThrough()];
  const board = await terminal.open({ input, output, json: false, atEnd: "quit", ...options });
  const [events, pressed, keys]: [BoardEvent[], Button[], string[]] = [[], [], []];
  board.buttons.onPress((button) => pressed.push(button));
  board.numpad.onKey((key) => keys.push(key));
  const type = async (...lines: string[]) => {
    input.write(lines.map((line) => `${line}\n`).join(""));
    await settled();
  };
  return { board, input, output, events, pressed, keys, type, printed: () => String(output.read() ?? "") };
}

async function listening(options: Partial<BoardOptions> = {}): Promise<Bench> {
  const bench = await opened(options);
  bench.board.onEvent((event) => bench.events.push(event));
  return bench;
}

/** Streams hand on what they have within a few turns of the loop. */
async function settled(): Promise<void> {
  for (let i = 0; i < 5; i++) await new Promise((resolve) => setImmediate(resolve));
}

describe("terminal board", () => {
  it("is found by its name", () => assert.equal(boards.get("terminal"), terminal));

  it("presses the four keys", async () => {
    const bench = await listening();
    await bench.type(...BUTTONS.map((button) => `press ${button}`));
    assert.deepEqual(bench.pressed, [...BUTTONS]);
    bench.board.close();
  });

  it("presses each digit of a number, and * and #", async () => {
    const bench = await listening();
    await bench.type("key 5", "key 42", "key *#", "  key 0  ");
    assert.equal(bench.keys.join(""), "542*#0");
    bench.board.close();
  });

  it("passes on what is said, recorded and quit, file names with spaces whole", async () => {
    const bench = await listening();
    await bench.type("say one two.wav", "record /tmp/out.wav", "quit");
    assert.deepEqual(bench.events, [
      { event: "say", file: "one two.wav" },
      { event: "record", file: "/tmp/out.wav" },
      { event: "quit" },
    ]);
    bench.board.close();
  });

  it("understands lines that end in CR LF", async () => {
    const bench = await listening();
    bench.input.write("press call\r\nkey 1\r\n");
    await settled();
    assert.deepEqual([bench.pressed, bench.keys], [["call"], ["1"]]);
    bench.board.close();
  });

  for (const line of [
    "dance",
    "press",
    "press me",
    "press call now",
    "key",
    "key 4a",
    "key １",
    "say",
    "constructor",
  ]) {
    it(`answers ${JSON.stringify(line)} with a hint of one line and presses nothing`, async () => {
      const bench = await listening();
      await bench.type(line);
      assert.match(bench.printed(), /^\? [^\n]+\n$/);
      assert.deepEqual([bench.pressed, bench.keys, bench.events], [[], [], []]);
      bench.board.close();
    });
  }

  it("says in one line what there is when asked for help, and nothing to an empty line", async () => {
    const bench = await listening();
    await bench.type("", "   ", "help");
    assert.match(bench.printed(), /^\? press connect\|call\|hang-up\|update.*quit\n$/);
    bench.board.close();
  });

  it("loses no line that came before somebody listened", async () => {
    const bench = await opened();
    await bench.type("press connect", "key 1");
    assert.deepEqual([bench.pressed, bench.keys], [[], []]);
    bench.board.onEvent((event) => bench.events.push(event));
    await settled();
    assert.deepEqual([bench.pressed, bench.keys], [["connect"], ["1"]]);
    bench.board.close();
  });

  it("quits when a pipe is closed, after its last line", async () => {
    const bench = await listening();
    bench.input.end("press call\npress hang-up");
    await settled();
    assert.deepEqual([bench.pressed, bench.events], [["call", "hang-up"], [{ event: "quit" }]]);
    bench.board.close();
  });

  it("stays when there was nobody to type from the start", async () => {
    const bench = await listening({ atEnd: "stay" });
    bench.input.end();
    await settled();
    assert.deepEqual(bench.events, []);
    bench.board.close();
  });

  it("leaves when nobody reads its screens any more", async () => {
    const bench = await listening();
    bench.output.destroy(Object.assign(new Error("write EPIPE"), { code: "EPIPE" }));
    await settled();
    assert.deepEqual(bench.events, [{ event: "quit" }]);
    bench.board.close();
  });

  it("prints a screen as its lines and an empty one", async () => {
    const bench = await listening();
    bench.board.captions!.show({
      name: "off",
      lines: ["== Off ==", "| text"],
      language: "en",
      facts: { a: 1 },
      ticking: false,
    });
    assert.equal(bench.printed(), "== Off ==\n| text\n\n");
    bench.board.close();
  });

  it("never lets a name steer the terminal", async () => {
    const bench = await listening();
    bench.board.captions!.show({
      name: "off",
      lines: ["\u001b[2JBen\u0007\u009b"],
      language: "en",
      facts: {},
      ticking: false,
    });
    assert.equal(bench.printed(), "\ufffd[2JBen\ufffd\ufffd\n\n");
    bench.board.close();
  });

  it("prints one object a line with json: screens, lights and hints", async () => {
    const bench = await listening({ json: true });
    bench.board.captions!.show({
      name: "in-call",
      lines: ["a\nb"],
      language: "en",
      facts: { sas: [1, 2] },
      ticking: true,
    });
    bench.board.leds!.show({ colour: "blue", rhythm: "fast" });
    await bench.type("dance");
    const objects = bench
      .printed()
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line));
    assert.deepEqual(objects.slice(0, 2), [
      { type: "screen", name: "in-call", lines: ["a\nb"], language: "en", facts: { sas: [1, 2] }, ticking: true },
      { type: "light", colour: "blue", rhythm: "fast" },
    ]);
    assert.equal(objects[2].type, "hint");
    assert.equal(objects.length, 3);
    bench.board.close();
  });

  it("does not print a screen again for a clock that runs on", async () => {
    const bench = await listening();
    bench.board.captions!.show({ name: "in-call", lines: ["0:01"], language: "en", facts: {}, ticking: true });
    assert.equal(bench.printed(), "");
    bench.board.close();
  });

  it("prints no lights without json", async () => {
    const bench = await listening();
    bench.board.leds!.show({ colour: "blue", rhythm: "fast" });
    assert.equal(bench.printed(), "");
    bench.board.close();
  });

  it("keeps the display's picture as a PNG file, or says why not", async () => {
    const folder = mkdtempSync(join(tmpdir(), "feldfon-"));
    try {
      const bench = await listening();
      await bench.type(`picture ${join(folder, "screen.png")}`, `picture ${join(folder, "none", "screen.png")}`);
      assert.equal(readFileSync(join(folder, "screen.png")).toString("latin1", 1, 4), "PNG");
      assert.match(bench.printed(), /^\? the picture was not written: ENOENT\n$/);
      bench.board.close();
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it("reads, presses and prints nothing after it was closed", async () => {
    const bench = await listening();
    bench.board.close();
    bench.board.captions!.show({ name: "off", lines: ["x"], language: "en", facts: {}, ticking: false });
    if (!bench.input.closed) await once(bench.input, "close");
    assert.deepEqual([bench.printed(), bench.pressed, bench.events], ["", [], []]);
  });

  it("takes any line without falling over", () => {
    fc.assert(
      fc.property(
        fc.uint8Array().map((bytes) => Buffer.from(bytes).toString()),
        (line) => {
          assert.ok(parseTerminalLine(line).line);
        },
      ),
    );
  });
});

describe("the end of the input", () => {
  const folder = mkdtempSync(join(tmpdir(), "feldfon-"));
  after(() => rmSync(folder, { recursive: true }));

  function meaning(path: string, isTerminal = false): string {
    const descriptor = openSync(path, "r");
    try {
      return endOfInput(descriptor, isTerminal);
    } finally {
      closeSync(descriptor);
    }
  }

  it("means nothing in a service, whose stdin is /dev/null", () => assert.equal(meaning("/dev/null"), "stay"));

  it("means quit on a terminal: Ctrl-D", () => assert.equal(meaning("/dev/null", true), "quit"));

  it("means quit after a file", () => {
    writeFileSync(join(folder, "script"), "press call\n");
    assert.equal(meaning(join(folder, "script")), "quit");
  });

  for (const [stdin, wanted] of [
    ["pipe", "quit"],
    ["ignore", "stay"],
  ] as const) {
    it(`means ${wanted} in a process whose stdin is "${stdin}"`, () => {
      const code = 'import("@feldfon/hw/board/terminal").then((b) => console.log(b.endOfInput(0, false)))';
      const child = spawnSync(process.execPath, ["-e", code], { stdio: [stdin, "pipe", "inherit"], encoding: "utf8" });
      assert.equal(child.stdout, `${wanted}\n`);
    });
  }
});
