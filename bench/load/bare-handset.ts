/** A handset of the bench `call`'s peer: sends as many bytes as a real one at the same steps, and nothing with a meaning. */
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { BareLine, KEY_BYTES, PICK_UP_MS, STEPS, type Step, type StepBytes } from "./bare-line.ts";

export class BareHandset {
  readonly #stepBytes: StepBytes;
  readonly #socket: Socket;
  readonly #line: BareLine;
  /** Of its line at the broker. */
  readonly #number: number;
  #other: BareHandset | undefined;
  #over: (() => void) | undefined;

  static async connect(port: number, spki: Buffer, stepBytes: StepBytes): Promise<BareHandset> {
    const [seal, open] = [randomBytes(KEY_BYTES), randomBytes(KEY_BYTES)];
    const socket = connect({ host: "127.0.0.1", port, noDelay: true });
    await once(socket, "connect");
    socket.write(Buffer.concat([seal, open, spki]));
    const [number] = (await once(socket, "data")) as [Buffer];
    return new BareHandset(stepBytes, socket, new BareLine(socket, { seal, open }), number[0]!);
  }

  private constructor(stepBytes: StepBytes, socket: Socket, line: BareLine, number: number) {
    this.#stepBytes = stepBytes;
    this.#socket = socket;
    this.#line = line;
    this.#number = number;
    socket.on("data", (chunk: Buffer) => {
      for (const clear of line.read(chunk)) this.#take(STEPS[clear[0]!]!);
    });
  }

  /** Calls, is answered, the other hangs up; resolves when both know. */
  call(other: BareHandset): Promise<void> {
    this.#other = other;
    other.#other = this;
    this.#say("invite");
    return new Promise((resolve) => {
      other.#over = resolve;
    });
  }

  close(): void {
    this.#socket.destroy();
  }

  #take(step: Step): void {
    switch (step) {
      case "invite":
        this.#say("ringing");
        setTimeout(() => this.#say("answer"), PICK_UP_MS);
        return;
      case "answer":
        return this.#say("ack");
      case "ack":
        return this.#say("bye");
      case "bye":
        return this.#say("gone");
      case "gone":
        return this.#over?.();
    }
  }

  #say(step: Step): void {
    const clear = Buffer.alloc(this.#stepBytes[step].in);
    clear[0] = STEPS.indexOf(step);
    clear[1] = this.#other!.#number;
    this.#line.send(clear);
  }
}
