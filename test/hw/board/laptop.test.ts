import assert from "node:assert/strict";
import { once } from "node:events";
import { request } from "node:http";
import { PassThrough } from "node:stream";
import { laptop } from "@feldfon/hw/board/laptop";
import { openLocalPage } from "@feldfon/hw/board/local-page";
import { FRAME_SAMPLES, PICTURE, parseFromPage, SOUND, SOUND_BYTES } from "@feldfon/hw/board/page/wire";
import type { Board, BoardEvent, BoardOptions } from "@feldfon/hw/board/port";
import { boards } from "@feldfon/hw/index";
import fc from "fast-check";
import { WebSocket } from "ws";
import { buttonsContract } from "../buttons/contract.ts";
import { displayContract } from "../display/contract.ts";
import { numpadContract } from "../numpad/contract.ts";
import { boardContract } from "./contract.ts";

interface Bench {
  board: Board;
  input: PassThrough;
  address: string;
  token: string;
}

async function opened(options: Partial<BoardOptions> = {}): Promise<Bench> {
  const [input, output] = [new PassThrough(), new PassThrough()];
  const board = await laptop.open({ input, output, json: true, atEnd: "quit", ...options });
  const [address, token] = board.address!.split("#") as [string, string];
  return { board, input, address, token };
}

/** A browser: keeps the picture it is sent, and everything said. */
class Visitor {
  readonly said: Record<string, unknown>[] = [];
  readonly sounds: Int16Array[] = [];
  readonly picture = new Uint16Array(320 * 240);
  readonly #socket: WebSocket;
  closedWith = 0;

  constructor(address: string, headers: Record<string, string> = { origin: address.slice(0, -1) }) {
    this.#socket = new WebSocket(`${address.replace("http", "ws")}line`, { headers });
    this.#socket.on("message", (data: Buffer, isBinary) => {
      if (!isBinary) this.said.push(JSON.parse(data.toString()));
      else if (data[0] === PICTURE) this.picture.set(samplesOf(data), data.readUInt16LE(2) * 320);
      else this.sounds.push(Int16Array.from(samplesOf(data), (sample) => (sample << 16) >> 16));
    });
    this.#socket.on("close", (code) => {
      this.closedWith = code;
    });
  }

  async enter(token: string): Promise<this> {
    await once(this.#socket, "open");
    this.send({ do: "enter", token });
    return this;
  }

  send(message: unknown): void {
    this.#socket.send(JSON.stringify(message));
  }

  speak(frame: Int16Array): void {
    const message = Buffer.alloc(SOUND_BYTES);
    message[0] = SOUND;
    message.set(new Uint8Array(frame.buffer), 4);
    this.#socket.send(message);
  }

  refused(): Promise<unknown> {
    return once(this.#socket, "error");
  }

  close(): void {
    this.#socket.terminate();
  }
}

function samplesOf(data: Buffer): Uint16Array {
  return new Uint16Array(new Uint8Array(data.subarray(4)).buffer);
}

async function until(what: string, holds: () => boolean): Promise<void> {
  for (const endMs = performance.now() + 5_000; !holds(); ) {
    if (performance.now() > endMs) assert.fail(`waited for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

boardContract("laptop", async () => (await opened()).board);

buttonsContract("laptop, from a browser", async () => {
  const { board, address, token } = await opened();
  const visitor = await new Visitor(address).enter(token);
  let count = 0;
  board.buttons.onPress(() => count++);
  return {
    buttons: { onPress: (listener) => board.buttons.onPress(listener), close: () => board.close() },
    press: async (button) => {
      const before = count;
      visitor.send({ do: "press", button });
      await Promise.race([until("a press", () => count > before), until("the close", () => visitor.closedWith > 0)]);
    },
  };
});

numpadContract("laptop, from a browser", async () => {
  const { board, address, token } = await opened();
  const visitor = await new Visitor(address).enter(token);
  let count = 0;
  board.numpad.onKey(() => count++);
  return {
    numpad: { onKey: (listener) => board.numpad.onKey(listener), close: () => board.close() },
    press: async (key) => {
      const before = count;
      visitor.send({ do: "key", key });
      await Promise.race([until("a key", () => count > before), until("the close", () => visitor.closedWith > 0)]);
    },
  };
});

displayContract("laptop", async () => {
  const { board } = await opened();
  const display = board.display as Board["display"] & { picture: Uint16Array };
  const { width, height } = display;
  const close = () => {
    display.close();
    board.close();
  };
  return { display: { width, height, show: (...frame) => display.show(...frame), close }, seen: () => display.picture };
});

describe("laptop board", () => {
  let bench: Bench;
  const visitors: Visitor[] = [];
  const visit = async (): Promise<Visitor> => {
    const visitor = await new Visitor(bench.address).enter(bench.token);
    visitors.push(visitor);
    await until("hello", () => visitor.said.length > 0);
    return visitor;
  };
  beforeEach(async () => {
    bench = await opened();
  });
  afterEach(() => {
    for (const visitor of visitors.splice(0)) visitor.close();
    bench.board.close();
  });

  it("is found by its name", () => assert.equal(boards.get("laptop"), laptop));

  it("shows every watcher the same picture, the late one too", async () => {
    const early = await visit();
    const picture = Uint16Array.from({ length: 320 * 240 }, (_, at) => (at * 40_503) & 0xffff);
    bench.board.display.show(picture);
    const changed = picture.slice().fill(0xf800, 320 * 10, 320 * 12);
    bench.board.display.show(changed, { from: 10, to: 12 });
    await until(
      "the picture",
      () => Buffer.compare(Buffer.from(early.picture.buffer), Buffer.from(changed.buffer)) === 0,
    );
    const late = await visit();
    await until(
      "the picture",
      () => Buffer.compare(Buffer.from(late.picture.buffer), Buffer.from(changed.buffer)) === 0,
    );
  });

  it("tells the caption and the light, to whoever comes later too", async () => {
    const caption = { name: "off", lines: ["== Off =="], language: "en", facts: {}, ticking: false };
    bench.board.captions!.show(caption);
    bench.board.leds!.show({ colour: "green", rhythm: "slow" });
    const visitor = await visit();
    await until("both", () => visitor.said.length >= 3);
    assert.deepEqual(visitor.said, [
      { say: "hello", width: 320, height: 240 },
      { say: "caption", caption },
      { say: "light", light: { colour: "green", rhythm: "slow" } },
    ]);
  });

  it("carries sound to those who listen, and from the one who opened the microphone last", async () => {
    const [one, other] = [await visit(), await visit()];
    const taken: Int16Array[] = [];
    bench.board.sound!.on("message", (message: unknown) => message instanceof Int16Array && taken.push(message));
    one.send({ do: "listen", on: true });
    one.send({ do: "speak", on: true });
    const frame = Int16Array.from({ length: FRAME_SAMPLES }, (_, at) => at * 100 - 16_000);
    one.speak(frame);
    await until("what one said", () => taken.length === 1);
    other.send({ do: "speak", on: true });
    other.speak(frame.slice().fill(7));
    await until("what the other said", () => taken.length === 2);
    one.speak(frame);
    bench.board.sound!.postMessage(frame);
    await until("the speaker", () => one.sounds.length === 1);
    assert.deepEqual([taken[0], taken[1]![0], taken.length], [frame, 7, 2]);
    assert.deepEqual([one.sounds[0], other.sounds.length], [frame, 0]);
  });

  it("lets go of sound that nobody takes", async () => {
    const visitor = await visit();
    const taken: unknown[] = [];
    bench.board.sound!.on("message", (message: unknown) => taken.push(message));
    visitor.send({ do: "speak", on: true });
    // Nobody says how many frames were taken: 25 are under way at most.
    for (let frames = 0; frames < 100; frames++) visitor.speak(new Int16Array(FRAME_SAMPLES));
    const presses: string[] = [];
    bench.board.buttons.onPress((button) => presses.push(button));
    visitor.send({ do: "press", button: "call" });
    await until("the press behind them", () => presses.length === 1);
    await new Promise((resolve) => setTimeout(resolve, 50));
    assert.equal(taken.length, 25);
  });

  it("does nothing for a message that is none", async () => {
    const visitor = await visit();
    const pressed: string[] = [];
    bench.board.buttons.onPress((button) => pressed.push(button));
    bench.board.numpad.onKey((key) => pressed.push(key));
    const odd = [{ do: "press", button: "constructor" }, { do: "key", key: "12" }, { do: "enter" }, [], "press", null];
    for (const message of odd) visitor.send(message);
    visitor.send({ do: "key", key: "5" });
    await until("the key", () => pressed.length > 0);
    assert.deepEqual(pressed, ["5"]);
  });

  it("quits when its input ends, and stays when it never had one", async () => {
    for (const atEnd of ["quit", "stay"] as const) {
      const { board, input } = await opened({ atEnd });
      const events: BoardEvent[] = [];
      board.onEvent((event) => events.push(event));
      input.end();
      await new Promise((resolve) => setTimeout(resolve, 20));
      assert.deepEqual(events, atEnd === "quit" ? [{ event: "quit" }] : []);
      board.close();
    }
  });
});

describe("laptop board: who is let in", () => {
  let bench: Bench;
  before(async () => {
    bench = await opened();
  });
  after(() => bench.board.close());

  const get = (path: string, headers: Record<string, string> = {}, method = "GET") =>
    new Promise<{ status: number; headers: Record<string, unknown>; body: string }>((resolve, reject) => {
      request(new URL(path, bench.address), { headers, method }, (response) => {
        let body = "";
        response.on("data", (chunk) => {
          body += chunk;
        });
        response.on("end", () => resolve({ status: response.statusCode!, headers: response.headers, body }));
      })
        .on("error", reject)
        .end();
    });

  it("serves its page, its script without types, and nothing else", async () => {
    const page = await get("/");
    assert.equal(page.status, 200);
    assert.match(String(page.headers["content-security-policy"]), /^default-src 'self';/);
    assert.ok(!/<script>|<style>|\son\w+=|style=|https?:/.test(page.body), "nothing inline, nothing from elsewhere");
    assert.ok(!page.body.includes(bench.token));
    const script = await get("/wire.ts");
    assert.match(String(script.headers["content-type"]), /^text\/javascript/);
    assert.ok(!script.body.includes("interface "));
    assert.equal((await get("/handset/font.woff")).headers["content-type"], "font/woff");
    for (const path of ["/tsconfig.json", "/../laptop.ts", "/%2e%2e/laptop.ts", "/none"]) {
      assert.equal((await get(path)).status, 404, path);
    }
    assert.equal((await get("/", {}, "POST")).status, 405);
  });

  it("says where it runs from when there are scripts and no page", async () => {
    const folders = new Map([["/", new URL("../", import.meta.url)]]);
    const opening = openLocalPage({ ports: [0], folders, onVisitor: () => {} });
    await assert.rejects(opening, { code: "no-page", message: /runs from the sources, never from dist/ });
  });

  it("does not answer under another name", async () => {
    for (const host of ["example.org", "127.0.0.1", "127.0.0.1:1", "example.org:80"]) {
      assert.equal((await get("/", { host })).status, 403);
    }
  });

  it("refuses the WebSocket of another site's page, and of none", async () => {
    for (const headers of [{ origin: "http://example.org" }, { origin: "null" }, {}]) {
      const [error] = (await new Visitor(bench.address, headers as Record<string, string>).refused()) as [Error];
      assert.match(error.message, /403/);
    }
  });

  it("closes a visitor without the token before anything is said", async () => {
    for (const token of ["", "x".repeat(bench.token.length), `${bench.token}x`]) {
      const visitor = await new Visitor(bench.address).enter(token);
      await until("the close", () => visitor.closedWith > 0);
      assert.deepEqual([visitor.closedWith, visitor.said], [4401, []]);
    }
  });

  it("takes a message of the page or says that it is none, whatever comes", () => {
    fc.assert(fc.property(fc.oneof(fc.string(), fc.json()), (text) => void parseFromPage(text)));
    assert.deepEqual(parseFromPage('{"do":"press","button":"call","more":1}'), { do: "press", button: "call" });
  });
});
