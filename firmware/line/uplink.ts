/**
 * The handset's line to the server: dials, resumes with a ticket or starts from M1, comes back by itself with growing,
 * jittered pauses. Reads one frame after the other; what they mean is HandsetLine's.
 *
 *     socket -> frames -> 401 | R2 -> SealedChannel -> HandsetLine
 */
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { ChannelClient, ServerBusy } from "@feldfon/protocol/channel/client";
import { ResumeClient } from "@feldfon/protocol/channel/resume";
import type { SealedChannel } from "@feldfon/protocol/channel/sealed";
import type { ResumeTicket } from "@feldfon/protocol/channel/ticket";
import { ProtocolError } from "@feldfon/protocol/errors";
import { encodeFrame, FrameReader, MAX_BODY_BYTES } from "@feldfon/protocol/frames";
import type { PublicKey, Uid } from "@feldfon/protocol/identity";
import { type HandsetLine, JoinRefused } from "@feldfon/protocol/phone/handset-line";
import { type LineOutlet, type Passed, STEP_MS } from "@feldfon/protocol/phone/line";
import type { KeyPair, Vault } from "@feldfon/protocol/vault";

const DIAL_MS = 10_000;
const TICK_MS = 250;
const FIRST_PAUSE_MS = 250;
/** So everyone is back within 10 s of the server's return, however long it was away; a server that is full says 503. */
const MAX_PAUSE_MS = 5_000;
/** A ticket serves this long after the loss (design 3). */
const TICKET_MS = 30_000;

/** A person has to decide: trying again by itself would change nothing, or hide something. */
const FINAL = new Set([
  "wrong-server-key",
  "key-bad",
  "wrong-root",
  "unauthentic",
  "broken-chain",
  "not-in-list",
  "server-not-in-list",
  "epoch-back",
  "bad-row",
  "two-heads",
]);

const STOPPED = { code: "left", error: undefined };

export interface LineBegin {
  channel: SealedChannel;
  serverKey: PublicKey;
  callId: string;
  usedCSeq: number;
  resumed: boolean;
  outlet: LineOutlet;
}

export interface UplinkOptions {
  vault: Vault;
  keyPair: KeyPair;
  own: Uid;
  /** Pinned fingerprint of the only server this handset speaks to. */
  serverUid: Uid;
  host: string;
  port: number;
  /** Opens the socket instead of host and port: for a line that somebody else may cut. */
  dial?: () => Socket;
  now(): number;
  /** 0 <= r < 1; the pauses' jitter. */
  random(): number;
  /** M2 and M3 held, or R2: makes the line that takes it from here. */
  begin(line: LineBegin): HandsetLine;
  connecting(resuming: boolean): void;
  /** Connect 1: both keys are exchanged and the server's is the pinned one. */
  exchanged(): void;
  /** The line is over. `error` holds evidence when there is some. @param retryInMs undefined: only a person goes on */
  down(code: string, retryInMs: number | undefined, error: unknown): void;
  passed(message: Passed): void;
  /** Calls' clock, four times a second while a line is wanted. */
  tick(): void;
}

export class Uplink {
  readonly #options: UplinkOptions;
  #wanted = false;
  /** Counts starts and stops: a run that was stopped, and still waits for RSA, touches nothing of the next one. */
  #turn = 0;
  #socket: Socket | undefined;
  #line: HandsetLine | undefined;
  #serverKey: PublicKey | undefined;
  #ticket: { ticket: ResumeTicket; untilMs: number } | undefined;
  #stepUntilMs = Number.POSITIVE_INFINITY;
  #timedOut: ProtocolError | undefined;
  #orderly: { code: string; error: unknown } | undefined;
  #failures = 0;
  #retry: NodeJS.Timeout | undefined;
  #ticking: NodeJS.Timeout | undefined;

  constructor(options: UplinkOptions) {
    this.#options = options;
  }

  /** The line that takes messages, from M4 on. */
  get line(): HandsetLine | undefined {
    return this.#line;
  }

  /** Address the line reached the server at: voice goes there too. */
  get serverAddress(): string | undefined {
    return this.#socket?.remoteAddress;
  }

  start(): void {
    if (this.#wanted) return;
    this.#wanted = true;
    this.#failures = 0;
    this.#ticking = setInterval(() => this.#tick(), TICK_MS);
    void this.#run(++this.#turn);
  }

  /** The loop is reached: the next loss begins with a short pause again. */
  connected(): void {
    this.#failures = 0;
  }

  /** Closes without a word; a ticket is wiped. To leave in order, let the line say so first. */
  stop(): void {
    this.#wanted = false;
    this.#turn++;
    clearTimeout(this.#retry);
    clearInterval(this.#ticking);
    this.#socket?.destroy();
    this.#line?.channel.wipe();
    this.#line = undefined;
    this.#timedOut = undefined;
    this.#stepUntilMs = Number.POSITIVE_INFINITY;
    this.#dropTicket();
  }

  /** One line from dialling to its end, then the pause before the next. */
  async #run(turn: number): Promise<void> {
    // An orderly end stays one, whatever the closing socket still says.
    this.#orderly = undefined;
    const outcome = await this.#once(turn).catch((error: unknown) => {
      return turn === this.#turn ? (this.#orderly ?? this.#ended(error)) : STOPPED;
    });
    if (turn !== this.#turn) return;
    this.#socket?.destroy();
    this.#socket = undefined;
    const retryInMs = this.#pauseMs(outcome.code, outcome.error);
    if (retryInMs === undefined) {
      this.stop();
    } else {
      this.#retry = setTimeout(() => void this.#run(turn), retryInMs);
    }
    this.#options.down(outcome.code, retryInMs, outcome.error);
  }

  async #once(turn: number): Promise<{ code: string; error: unknown }> {
    const ticket = this.#liveTicket();
    this.#options.connecting(ticket !== undefined);
    const socket = await this.#dial();
    const outlet: LineOutlet = {
      send: (frame) => socket.write(frame),
      passed: this.#options.passed,
    };
    const half = ticket ? this.#resuming(ticket, outlet) : this.#fresh(outlet);
    const frames = new FrameReader();
    this.#stepUntilMs = this.#options.now() + STEP_MS;
    for await (const chunk of socket as AsyncIterable<Buffer>) {
      for (const body of frames.read(chunk)) {
        if (turn !== this.#turn) return STOPPED;
        if (this.#line) {
          await this.#line.receive(body);
        } else {
          // M4 and join go out in one piece: the server wakes once for both.
          socket.cork();
          const line = await half(body);
          if (turn !== this.#turn) {
            line.channel.wipe();
            return STOPPED;
          }
          this.#line = line;
          this.#stepUntilMs = Number.POSITIVE_INFINITY;
          frames.maxBodyBytes = MAX_BODY_BYTES;
          this.#line.start();
          socket.uncork();
        }
        if (turn === this.#turn && this.#line?.ended) {
          this.#orderly = this.#ended(undefined);
          return this.#orderly;
        }
      }
    }
    throw this.#timedOut ?? new ProtocolError("closed", "the server closed the line");
  }

  async #dial(): Promise<Socket> {
    const { host, port, dial } = this.#options;
    const socket = dial?.() ?? connect({ host, port, noDelay: true, keepAlive: true });
    this.#socket = socket;
    // A socket may fail between two reads; the reader hears of it when it reads again.
    socket.on("error", () => {});
    const timer = setTimeout(
      () => socket.destroy(new ProtocolError("timeout", "the server was not reached in 10 s")),
      DIAL_MS,
    );
    try {
      await once(socket, "connect");
    } finally {
      clearTimeout(timer);
    }
    return socket;
  }

  /** Connect 1: M1, and M4 behind the 401. */
  #fresh(outlet: LineOutlet): (body: Buffer) => Promise<HandsetLine> {
    const { vault, keyPair, serverUid, begin, exchanged, passed } = this.#options;
    const client = new ChannelClient({ vault, keyPair, serverUid });
    const m1 = client.start();
    outlet.send(encodeFrame(m1));
    passed({ direction: "sent", kind: "REGISTER m1", size: m1.length });
    return async (body) => {
      passed({ direction: "received", kind: "401 m1", size: body.length });
      const { m4, channel, serverKey } = await client.receive(body);
      this.#serverKey = serverKey;
      exchanged();
      outlet.send(encodeFrame(m4));
      passed({ direction: "sent", kind: "REGISTER m4", size: m4.length });
      return begin({ channel, serverKey, callId: client.callId, usedCSeq: 2, resumed: false, outlet });
    };
  }

  #resuming(ticket: ResumeTicket, outlet: LineOutlet): (body: Buffer) => Promise<HandsetLine> {
    const { vault, own, begin, passed } = this.#options;
    const client = new ResumeClient({ vault, ticket, uid: own });
    const r1 = client.start();
    outlet.send(encodeFrame(r1));
    passed({ direction: "sent", kind: "REGISTER r1", size: r1.length });
    return async (body) => {
      passed({ direction: "received", kind: "200 r1", size: body.length });
      const channel = client.receive(body);
      const serverKey = this.#serverKey;
      if (!serverKey) throw new ProtocolError("unknown-resume", "a ticket without its server's key");
      return begin({ channel, serverKey, callId: client.callId, usedCSeq: 1, resumed: true, outlet });
    };
  }

  /** The line is over: keeps a ticket when it was lost, wipes all when somebody broke a rule or left. */
  #ended(error: unknown): { code: string; error: unknown } {
    const cause = this.#timedOut ?? error;
    this.#timedOut = undefined;
    const line = this.#line;
    this.#line = undefined;
    const code = line?.ended && error === undefined ? "server-left" : codeOf(cause);
    const lost = !(cause instanceof ProtocolError) || code === "timeout" || code === "closed";
    if (line && !line.channel.closed) {
      const ticket = lost && code !== "server-left" && line.ready ? line.channel.keepResume() : undefined;
      line.channel.wipe();
      this.#dropTicket();
      if (ticket) this.#ticket = { ticket, untilMs: this.#options.now() + TICKET_MS };
    }
    if (code === "unknown-resume" || !lost) this.#dropTicket();
    return { code, error: cause };
  }

  /** Doubling from 250 ms to 5 s, each between half and the whole of it. */
  #pauseMs(code: string, error: unknown): number | undefined {
    if (FINAL.has(code) || error instanceof JoinRefused) return undefined;
    if (code === "unknown-resume") return 0;
    if (error instanceof ServerBusy && error.retryAfterS !== undefined) return error.retryAfterS * 1_000;
    const pauseMs = Math.min(MAX_PAUSE_MS, FIRST_PAUSE_MS * 2 ** this.#failures++);
    return Math.round(pauseMs * (0.5 + this.#options.random() / 2));
  }

  #tick(): void {
    this.#options.tick();
    try {
      if (this.#options.now() > this.#stepUntilMs)
        throw new ProtocolError("timeout", "the server did not answer in 5 s");
      this.#line?.tick();
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      this.#stepUntilMs = Number.POSITIVE_INFINITY;
      this.#timedOut = error;
      this.#socket?.destroy();
    }
  }

  #liveTicket(): ResumeTicket | undefined {
    const kept = this.#ticket;
    if (kept && !kept.ticket.spent && kept.untilMs > this.#options.now()) return kept.ticket;
    this.#dropTicket();
    return undefined;
  }

  #dropTicket(): void {
    this.#ticket?.ticket.wipe();
    this.#ticket = undefined;
  }

  /** Whether a lost line can still be resumed: calls live on that long. */
  get resumable(): boolean {
    return this.#liveTicket() !== undefined;
  }
}

function codeOf(error: unknown): string {
  return error instanceof Error && "code" in error ? String(error.code) : "closed";
}
