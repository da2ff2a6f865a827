/**
 * The wire between one handset and the server, in our hands: it can be cut, stalled and made whole again without
 * touching either. A handset reaches line (TCP) and voice (UDP) under one number, so the wire carries both.
 *
 *     handset -- TCP, UDP --> proxy's port ==== open | stalled | cut ==== server's port
 */
import { createSocket, type Socket as UdpSocket } from "node:dgram";
import { once } from "node:events";
import { connect, createServer, type Server, type Socket } from "node:net";
import type { WireState } from "./page/messages.ts";

const HOST = "127.0.0.1";
const MOST_TRIES = 20;
/** A handset opens a voice socket a call; older ones are over. */
const MOST_VOICES = 4;

export class LineProxy {
  readonly port: number;
  readonly #serverPort: number;
  readonly #listener: Server;
  readonly #voice: UdpSocket;
  /** Both ends of each line. */
  readonly #lines = new Set<readonly [handset: Socket, server: Socket]>();
  /** By the handset's own voice port, oldest first. */
  readonly #voices = new Map<number, UdpSocket>();
  #state: WireState = "open";

  private constructor(listener: Server, voice: UdpSocket, serverPort: number) {
    this.port = (listener.address() as { port: number }).port;
    this.#listener = listener;
    this.#voice = voice;
    this.#serverPort = serverPort;
    listener.on("connection", (socket) => this.#connect(socket));
    voice.on(
      "message",
      (packet, { port }) => this.#state === "open" && this.#voiceOf(port).send(packet, serverPort, HOST),
    );
    voice.on("error", () => {});
  }

  /** @throws {Error} when no number of this machine is free for both */
  static async open(serverPort: number): Promise<LineProxy> {
    for (let tries = 1; ; tries++) {
      const listener = createServer({ noDelay: true });
      listener.listen(0, HOST);
      await once(listener, "listening");
      const voice = createSocket("udp4");
      try {
        voice.bind((listener.address() as { port: number }).port, HOST);
        await once(voice, "listening");
        return new LineProxy(listener, voice, serverPort);
      } catch (error) {
        listener.close();
        if (tries === MOST_TRIES) throw error;
      }
    }
  }

  get state(): WireState {
    return this.#state;
  }

  /** As if the cable were pulled: lines break at once, new ones do not come about. */
  cut(): void {
    this.#state = "cut";
    for (const line of this.#lines) for (const end of line) end.resetAndDestroy();
  }

  /** As in a dead spot: nothing breaks, nothing passes. */
  stall(): void {
    this.#state = "stalled";
    for (const line of this.#lines) for (const end of line) end.unpipe().pause();
  }

  restore(): void {
    const stalled = this.#state === "stalled";
    this.#state = "open";
    if (!stalled) return;
    for (const [handset, server] of this.#lines) {
      handset.pipe(server);
      server.pipe(handset);
    }
  }

  close(): void {
    this.cut();
    this.#listener.close();
    this.#voice.close();
    for (const voice of this.#voices.values()) voice.close();
    this.#voices.clear();
  }

  #connect(handset: Socket): void {
    if (this.#state === "cut") {
      handset.resetAndDestroy();
      return;
    }
    const server = connect({ host: HOST, port: this.#serverPort, noDelay: true });
    const line = [handset, server] as const;
    this.#lines.add(line);
    for (const [end, other] of [line, [server, handset] as const]) {
      // One end gone, the other goes: whatever the reason was.
      end.on("error", () => other.destroy());
      end.on("close", () => {
        other.destroy();
        this.#lines.delete(line);
      });
      if (this.#state === "open") end.pipe(other);
      else end.pause();
    }
  }

  #voiceOf(port: number): UdpSocket {
    const known = this.#voices.get(port);
    if (known) return known;
    const voice = createSocket("udp4");
    voice.on("message", (packet, from) => {
      if (this.#state === "open" && from.port === this.#serverPort) this.#voice.send(packet, port, HOST);
    });
    // What cannot be sent is lost, as on any wire.
    voice.on("error", () => {});
    this.#voices.set(port, voice);
    const [oldest] = this.#voices.keys();
    if (this.#voices.size > MOST_VOICES) {
      this.#voices.get(oldest!)!.close();
      this.#voices.delete(oldest!);
    }
    return voice;
  }
}
