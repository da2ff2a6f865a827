/**
 * The `laptop` board: a handset in the browser of this machine. Display, keys, number pad, light, microphone and
 * speaker are the page's; the firmware above them is the real one.
 */
import { once } from "node:events";
import { MessageChannel, type MessagePort, Worker } from "node:worker_threads";
import { DeviceError } from "@feldfon/protocol/errors";
import { FakeBattery } from "../battery/fake.ts";
import { FakeButtons } from "../buttons/fake.ts";
import { BUTTONS } from "../buttons/port.ts";
import { FakeDisplay } from "../display/fake.ts";
import type { Captions, Frame, Rows } from "../display/port.ts";
import { FakeNumpad } from "../numpad/fake.ts";
import { isNumpadKey } from "../numpad/port.ts";
import type { FromPageThread, PageThreadSetup, ToPageThread } from "./page-thread-messages.ts";
import type { Board, BoardEvent, BoardFactory, BoardOptions, Leds } from "./port.ts";

const WIDTH = 320;
const HEIGHT = 240;

/** What it shows is shown by the page too, the rows that changed. */
class PageDisplay extends FakeDisplay {
  readonly #send: (message: ToPageThread) => void;

  constructor(send: (message: ToPageThread) => void) {
    super(WIDTH, HEIGHT);
    this.#send = send;
  }

  override show(frame: Frame, dirty: Rows = { from: 0, to: HEIGHT }): void {
    super.show(frame, dirty);
    this.#send({ do: "rows", from: dirty.from, pixels: frame.slice(dirty.from * WIDTH, dirty.to * WIDTH) });
  }
}

class LaptopBoard implements Board {
  readonly name = "laptop";
  readonly buttons = new FakeButtons();
  readonly numpad = new FakeNumpad();
  readonly battery = new FakeBattery();
  readonly display: PageDisplay;
  readonly captions: Captions;
  readonly leds: Leds;
  readonly sound: MessagePort;
  readonly address: string;
  readonly #thread: Worker;
  readonly #input: BoardOptions["input"];
  readonly #atEnd: BoardOptions["atEnd"];
  readonly #listeners: ((event: BoardEvent) => void)[] = [];
  #open = true;

  constructor(thread: Worker, sound: MessagePort, address: string, { input, atEnd }: BoardOptions) {
    const send = (message: ToPageThread): void => thread.postMessage(message);
    this.#thread = thread;
    this.#input = input;
    this.#atEnd = atEnd;
    this.sound = sound;
    this.address = address;
    this.display = new PageDisplay(send);
    this.captions = { show: (caption) => send({ do: "caption", caption }) };
    this.leds = { show: (light) => send({ do: "light", light }) };
    thread.on("message", (message: FromPageThread) => this.#take(message));
  }

  onEvent(listener: (event: BoardEvent) => void): void {
    this.#listeners.push(listener);
    // The thread is the keys and the display: without it nobody holds this handset any more.
    this.#thread.once("error", () => listener({ event: "quit" }));
    if (this.#atEnd === "quit" && this.#listeners.length === 1) {
      this.#input.on("end", () => this.#emit({ event: "quit" })).resume();
    }
  }

  close(): void {
    if (!this.#open) return;
    this.#open = false;
    for (const device of [this.buttons, this.numpad, this.battery, this.display]) device.close();
    this.#thread.postMessage({ do: "close" } satisfies ToPageThread);
    this.#input.destroy();
  }

  /** What a browser wrote is a key of this handset or nothing. */
  #take(message: FromPageThread): void {
    if (message.tell === "press") {
      const button = BUTTONS.find((name) => name === message.button);
      if (button) this.buttons.press(button);
    } else if (message.tell === "key" && isNumpadKey(message.key)) {
      this.numpad.press(message.key);
    }
  }

  #emit(event: BoardEvent): void {
    if (!this.#open) return;
    for (const listener of this.#listeners) listener(event);
  }
}

export const laptop: BoardFactory = {
  name: "laptop",
  open: async (options) => {
    const { port1, port2 } = new MessageChannel();
    const setup: PageThreadSetup = { width: WIDTH, height: HEIGHT, port: options.pagePort ?? 0, sound: port2 };
    const extension = import.meta.url.slice(import.meta.url.lastIndexOf("."));
    const thread = new Worker(new URL(`./page-thread${extension}`, import.meta.url), {
      workerData: setup,
      transferList: [port2],
      // Node's own word on stripping types is nothing the person at the handset can act on.
      execArgv: [...process.execArgv, "--disable-warning=ExperimentalWarning"],
    });
    let address: string;
    try {
      const [opened] = (await once(thread, "message")) as [FromPageThread & { tell: "opened" }];
      address = opened.address;
    } catch (cause) {
      throw new DeviceError("no-page", `the page did not open: ${(cause as Error).message}`, { cause });
    }
    const line = options.json ? JSON.stringify({ type: "page", address }) : `This handset's page: ${address}`;
    options.output.write(`${line}\n`);
    return new LaptopBoard(thread, port1, address, options);
  },
};
