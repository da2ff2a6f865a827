/**
 * One connection, from its first byte to its last: frames, then the channel's handshake or a resume, then the line.
 *
 *     socket -> frames -> M1, M4 | R1 -> SealedChannel -> ServerLine -> service
 *
 * A fault closes this connection and no other. Before the peer has proven itself nothing is looked up, a frame has at
 * most 16 KiB and a step 5 s.
 */
import type { Socket } from "node:net";
import { ResumeServer } from "@feldfon/protocol/channel/resume";
import type { SealedChannel } from "@feldfon/protocol/channel/sealed";
import { ChannelServer } from "@feldfon/protocol/channel/server";
import { ProtocolError } from "@feldfon/protocol/errors";
import { encodeFrame, FrameReader, MAX_BODY_BYTES } from "@feldfon/protocol/frames";
import type { PublicKey } from "@feldfon/protocol/identity";
import { STEP_MS } from "@feldfon/protocol/phone/line";
import { ServerLine } from "@feldfon/protocol/phone/server-line";
import { shortParty } from "@feldfon/protocol/trace";
import type { Vault } from "@feldfon/protocol/vault";
import { type Admission, type Place, requestBucket, type TokenBucket } from "./admission.ts";
import type { Log } from "./log.ts";
import type { Metrics } from "./metrics.ts";
import { Outbox } from "./outbox.ts";
import type { Closable, PhoneService } from "./service.ts";
import type { BatchSigner } from "./signer.ts";
import type { Trace } from "./trace.ts";
import type { Turns } from "./turns.ts";

/** Stands in R1's head. */
const RESUME_LINE = "\r\nFeldfon: r1\r\n";

export interface ConnectionSurroundings {
  vault: Vault;
  serverKey: PublicKey;
  signer: BatchSigner;
  /** Of those whose line was lost and who are back. */
  returns: Turns;
  admission: Admission;
  service: PhoneService;
  metrics: Metrics;
  log: Log;
  trace: Trace;
  now(): number;
  /** Requests a proven handset may send; undefined: as many as it likes (benches). */
  requestLimit?: () => TokenBucket | undefined;
}

export class Connection implements Closable {
  readonly #around: ConnectionSurroundings;
  readonly #socket: Socket;
  readonly #outbox: Outbox;
  readonly #frames = new FrameReader();
  readonly #place: Place;
  readonly #closed: () => void;
  readonly beganMs: number;
  #channel: ChannelServer | undefined;
  #clientKey: PublicKey | undefined;
  #line: ServerLine | undefined;
  #bucket: TokenBucket | undefined;
  #stepUntilMs: number;
  #over = false;
  /** A message takes its time; what the socket brings meanwhile waits. */
  #taking = false;
  #held: Buffer | undefined;
  /** A shutdown waits for this handset no longer. */
  #onOver: (() => void) | undefined;

  /** Reads from now on. @param closed told once */
  constructor(around: ConnectionSurroundings, socket: Socket, place: Place, closed: () => void) {
    this.#around = around;
    this.#socket = socket;
    this.#place = place;
    this.#closed = closed;
    this.beganMs = around.now();
    this.#stepUntilMs = this.beganMs + STEP_MS;
    this.#outbox = new Outbox({
      wire: socket,
      onDrop: (reason) => {
        around.metrics.outboxDrops.inc({ reason });
        this.#close("lost");
      },
    });
    // Listeners and no iterator, which would cost an idle line more memory than its keys.
    const ended = () => this.#close("lost");
    socket.on("data", (chunk: Buffer) => this.#came(chunk));
    socket.on("end", ended);
    socket.on("close", ended);
    socket.on("error", (error) => this.#fault(error));
  }

  get line(): ServerLine | undefined {
    return this.#line;
  }

  /** While a message takes its time the socket is held as soon as it brings more: mostly it brings nothing. */
  #came(chunk: Buffer): void {
    if (!this.#taking) return this.#read(this.#frames.read(chunk));
    this.#held = chunk;
    this.#socket.pause();
  }

  /** One message after the other. */
  #read(bodies: Iterator<Buffer>): void {
    try {
      for (let next = bodies.next(); !next.done && !this.#over; next = bodies.next()) {
        const taking = this.#take(next.value);
        if (taking) {
          this.#taking = true;
          taking.then(() => this.#taken(bodies)).catch((error) => this.#fault(error));
          return;
        }
        if (this.#line?.ended) return void this.#finish();
      }
      const held = this.#held;
      this.#held = undefined;
      if (held) this.#read(this.#frames.read(held));
      else if (this.#socket.isPaused()) this.#socket.resume();
    } catch (error) {
      this.#fault(error);
    }
  }

  #taken(bodies: Iterator<Buffer>): void {
    this.#taking = false;
    if (this.#line?.ended) void this.#finish();
    else this.#read(bodies);
  }

  /** Once a second. */
  tick(): void {
    this.#outbox.tick();
    if (this.#over) return;
    try {
      if (this.#line) this.#line.tick();
      else if (this.#around.now() > this.#stepUntilMs) throw new ProtocolError("timeout", "a handshake step took 5 s");
    } catch (error) {
      this.#fault(error);
    }
  }

  /** Another line of the same handset took its place. */
  replace(): void {
    this.#close("fault");
  }

  /** Shutdown: tells the handset, gives it `ms` to answer. */
  async sendAway(ms: number): Promise<void> {
    if (this.#over) return;
    const line = this.#line;
    if (line) {
      const heard = Promise.withResolvers<void>();
      this.#onOver = heard.resolve;
      const timer = setTimeout(heard.resolve, ms);
      line.sendAway(heard.resolve);
      await heard.promise;
      clearTimeout(timer);
    }
    await this.#outbox.end();
    this.#close("left");
  }

  #take(body: Buffer): void | Promise<void> {
    if (this.#line) return this.#line.receive(body);
    if (this.#channel) return this.#prove(body);
    // Only which half reads it: that half judges the whole of it.
    if (body.includes(RESUME_LINE)) return this.#resume(body);
    return this.#hello(body);
  }

  /** M1, and M2 M3 back: one signature for all who wait (protocol/channel/batch.ts). */
  async #hello(body: Buffer): Promise<void> {
    const { vault, serverKey, signer, admission } = this.#around;
    const channel = new ChannelServer({ vault, serverKey });
    this.#trace("REGISTER m1", body.length, "received");
    const wait = admission.hello(this.#place, this.#around.now());
    if (wait) {
      this.#send(channel.busy(body, wait.retryAfterS), "503 m1");
      return await this.#end();
    }
    this.#channel = channel;
    try {
      const m3 = await signer.sign(() => {
        if (this.#over) return undefined;
        const { leaf, clientKey } = channel.hello(body);
        this.#clientKey = clientKey;
        return leaf;
      });
      if (!m3 || this.#over) return;
      this.#stepUntilMs = this.#around.now() + STEP_MS;
      this.#send(channel.offer(m3), "401 m1");
    } catch (error) {
      if (!(error instanceof ProtocolError) || error.code !== "key-bad") throw error;
      this.#send(channel.keyBad(), "400 m1");
      this.#around.metrics.refused.inc({ code: error.code });
      await this.#end();
    }
  }

  /** M4: from here on the peer is who it says. */
  #prove(body: Buffer): void {
    const { admission } = this.#around;
    this.#trace("REGISTER m4", body.length, "received");
    const channel = this.#channel?.prove(body);
    const callId = this.#channel?.callId;
    const client = this.#clientKey;
    if (!channel || !callId || !client) throw new ProtocolError("out-of-order", "M4 came before the 401");
    this.#channel = undefined;
    admission.prove(this.#place);
    this.#begin(channel, client, callId, 2, false);
  }

  /** R1 and R2 of all who come back together, one behind the other. */
  async #resume(body: Buffer): Promise<void> {
    const { vault, service, admission, returns } = this.#around;
    this.#trace("REGISTER r1", body.length, "received");
    const half = new ResumeServer({ vault });
    const id = ResumeServer.idOf(body);
    if (service.ticket(id)) await returns.next();
    if (this.#over) return;
    const kept = service.ticket(id);
    if (!kept) {
      this.#send(half.refusal481(body), "481 r1");
      return await this.#end();
    }
    const { r2, channel, callId } = half.accept(body, kept.ticket);
    admission.prove(this.#place);
    this.#send(r2, "200 r1");
    this.#begin(channel, kept.client, callId, 1, true);
  }

  #begin(channel: SealedChannel, client: PublicKey, callId: string, usedCSeq: number, resumed: boolean): void {
    const { vault, service, now, requestLimit = requestBucket } = this.#around;
    this.#frames.maxBodyBytes = MAX_BODY_BYTES;
    this.#bucket = requestLimit();
    this.#line = new ServerLine({
      vault,
      client,
      host: service,
      channel,
      // A copy: a piece of a text holds the whole text, here the head of M1.
      callId: Buffer.from(callId).toString("latin1"),
      usedCSeq,
      resumed,
      now,
      outlet: {
        send: (frame) => this.#sendFrame(frame),
        passed: ({ direction, kind, size }) => {
          this.#trace(kind, size, direction);
          if (direction === "received" && !/^[0-9]/.test(kind)) this.#admitRequest();
        },
      },
    });
    service.attach(this.#line, this);
  }

  /** Row 003-46: 120 requests a minute for each handset. */
  #admitRequest(): void {
    if (!this.#bucket || this.#bucket.take(this.#around.now()) === 0) return;
    throw new ProtocolError("too-many-requests", "more requests came than a handset may send");
  }

  #sendFrame(frame: Buffer): void {
    // A large directory is no slow client: what it is shown at connect has to fit twice.
    this.#outbox.limitBytes = Math.max(this.#outbox.limitBytes, 4 * frame.length);
    this.#outbox.send(frame);
  }

  #send(body: Buffer, kind: string): void {
    this.#sendFrame(encodeFrame(body));
    this.#trace(kind, body.length, "sent");
  }

  #trace(kind: string, size: number, direction: "sent" | "received"): void {
    if (!this.#around.trace.wanted) return;
    const peer = shortParty(this.#line?.uid ?? this.#clientKey?.uid);
    const [from, to] = direction === "sent" ? ["server", peer] : [peer, "server"];
    this.#around.trace.write({ time: Date.now(), place: "server", kind, size, from, to });
  }

  #fault(error: unknown): void {
    const code = error instanceof Error && "code" in error ? String(error.code) : "internal";
    // A line that broke, or a peer that fell silent, is lost; whoever broke a rule has nothing to resume.
    const lost = !(error instanceof ProtocolError) || code === "timeout";
    if (!lost || code === "internal") {
      this.#around.metrics.refused.inc({ code });
      this.#around.log.warn("line closed", { peer: this.#line?.uid, code, err: error });
    }
    this.#close(lost ? "lost" : "fault");
  }

  /** An orderly end: what was said goes out first. */
  async #finish(): Promise<void> {
    this.#socket.pause();
    await this.#outbox.end();
    this.#close("left");
  }

  /** A refusal in clear: it goes out, then the line closes. */
  async #end(): Promise<void> {
    await this.#outbox.end();
    this.#close("fault");
  }

  /** @param how of a line that has ended in order, "left", whatever becomes of its last bytes */
  #close(how: "lost" | "fault" | "left"): void {
    if (this.#over) return;
    this.#over = true;
    const leaves = this.#line?.ended ? "left" : how;
    this.#onOver?.();
    this.#outbox.discard();
    this.#socket.destroy();
    this.#channel?.wipe();
    this.#around.admission.leave(this.#place);
    if (this.#line) this.#around.service.closed(this.#line, leaves);
    this.#closed();
  }
}
