/**
 * A handset of the bench `call`'s peer: sends as many bytes as the real one at the same steps, and spends the same
 * private operations between them, so that the server is asked at the same pace.
 */
import { randomBytes } from "node:crypto";
import { EventEmitter, once } from "node:events";
import { connect, type Socket } from "node:net";
import type { KeyPair, Vault } from "@feldfon/protocol/vault";
import { KEY_BYTES, PeerLine, STEPS, type Step, type StepBytes, WRAP_BYTES, WRAP_LABEL } from "./call-peer-line.ts";
import { poolKey } from "./key-pool.ts";

export interface PeerHandsetOptions {
  vault: Vault;
  /** Number of its key in the pool. */
  n: number;
  port: number;
  stepBytes: StepBytes;
}

export class PeerHandset {
  readonly #vault: Vault;
  readonly #keyPair: KeyPair;
  readonly #stepBytes: StepBytes;
  readonly #socket: Socket;
  readonly #line: PeerLine;
  /** Of its line at the server. */
  readonly #number: number;
  readonly #came = new EventEmitter();

  static async connect({ vault, n, port, stepBytes }: PeerHandsetOptions): Promise<PeerHandset> {
    const keyPair = await vault.loadKeyPair(await poolKey(n));
    const [seal, open] = [randomBytes(KEY_BYTES), randomBytes(KEY_BYTES)];
    const socket = connect({ host: "127.0.0.1", port, noDelay: true });
    await once(socket, "connect");
    socket.write(Buffer.concat([seal, open, keyPair.spki]));
    const [number] = (await once(socket, "data")) as [Buffer];
    return new PeerHandset(vault, keyPair, stepBytes, socket, new PeerLine(socket, { seal, open }), number[0]!);
  }

  private constructor(
    vault: Vault,
    keyPair: KeyPair,
    stepBytes: StepBytes,
    socket: Socket,
    line: PeerLine,
    number: number,
  ) {
    this.#vault = vault;
    this.#keyPair = keyPair;
    this.#stepBytes = stepBytes;
    this.#socket = socket;
    this.#line = line;
    this.#number = number;
    socket.on("data", (chunk: Buffer) => {
      for (const clear of line.read(chunk)) this.#came.emit(STEPS[clear[0]!]!, clear);
    });
  }

  /** The steps of a call and its hang-up, in order. */
  async call(other: PeerHandset): Promise<void> {
    const [trying, invite] = [this.#hears("trying"), other.#hears("invite")];
    const [ringing, answer, ack] = [this.#hears("ringing"), this.#hears("answer"), other.#hears("ack")];
    const [bye, gone] = [other.#hears("bye"), this.#hears("gone")];
    await this.#sign();
    this.#say("invite", other);
    const opened = trying.then((clear) => this.#unwrap(clear));
    const offered = await invite;
    other.#say("ringing", this);
    await ringing;
    await other.#unwrap(offered);
    await other.#sign();
    other.#say("answer", this);
    await Promise.all([answer, opened]);
    await this.#sign();
    this.#say("ack", other);
    await ack;
    this.#say("bye", other);
    await bye;
    other.#say("gone", this);
    await gone;
  }

  close(): void {
    this.#socket.destroy();
  }

  async #hears(step: Step): Promise<Buffer> {
    const [clear] = (await once(this.#came, step)) as [Buffer];
    return clear;
  }

  #say(step: Step, to: PeerHandset): void {
    const clear = Buffer.alloc(this.#stepBytes[step].in);
    clear[0] = STEPS.indexOf(step);
    clear[1] = to.#number;
    this.#line.send(clear);
  }

  async #sign(): Promise<void> {
    await this.#vault.sign(this.#keyPair, WRAP_LABEL);
  }

  async #unwrap(clear: Buffer): Promise<void> {
    this.#vault.wipe(await this.#vault.unwrap(this.#keyPair, WRAP_LABEL, clear.subarray(-WRAP_BYTES)));
  }
}
