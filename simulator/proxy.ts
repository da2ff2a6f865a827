/**
 * The wire between one handset and the server, in our hands: it can be cut, stalled, lost and made whole again without
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

/** Up: from the handset to the server. */
export type Way = "up" | "down";

interface Line {
  readonly up: Socket;
  readonly down: Socket;
  /** What nothing comes through any more, not even that an end has closed. */
  readonly lost: Set<Way>;
}

export class LineProxy {
  readonly port: number;
  readonly #serverPort: number;
  readonly #listener: Server;
  readonly #voice: UdpSocket;
  readonly #lines = new Set<Line>();
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
    for (const { up, down } of this.#lines) for (const end of [up, down]) end.resetAndDestroy();
  }

  /** In order, as by somebody in between who has had enough of this line (FIN); new ones come about. */
  finish(): void {
    for (const { up, down } of this.#lines) for (const end of [up, down]) end.end();
  }

  /** As when somebody in between forgets a line: it stays open and swallows what it is given; new ones come about. */
  lose(...ways: readonly Way[]): void {
    for (const line of this.#lines) {
      for (const way of ways) {
        line.lost.add(way);
        line[way].unpipe().resume();
      }
    }
  }

  /** As in a dead spot: nothing breaks, nothing passes. */
  stall(): void {
    this.#state = "stalled";
    for (const { up, down } of this.#lines) for (const end of [up, down]) end.unpipe().pause();
  }

  restore(): void {
    const stalled = this.#state === "stalled";
    this.#state = "open";
    if (!stalled) return;
    for (const line of this.#lines) {
      this.#carry(line, "up");
      this.#carry(line, "down");
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
    // What is read at one end goes the way that is named after it.
    const line: Line = { up: handset, down: server, lost: new Set() };
    this.#lines.add(line);
    for (const [way, end, other] of [
      ["up", handset, server],
      ["down", server, handset],
    ] as const) {
      const gone = (): void => void (line.lost.has(way) || other.destroy());
      // One end gone, the other goes: whatever the reason was.
      end.on("error", gone);
      end.on("close", () => {
        gone();
        if (handset.destroyed && server.destroyed) this.#lines.delete(line);
      });
      if (this.#state === "open") this.#carry(line, way);
      else end.pause();
    }
  }

  #carry(line: Line, way: Way): void {
    if (line.lost.has(way)) line[way].resume();
    else line[way].pipe(line[way === "up" ? "down" : "up"]);
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
