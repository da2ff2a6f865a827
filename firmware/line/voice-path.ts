/**
 * The way of voice packets between this handset's engine and the other one's (design 6; ladder in
 * protocol/media/README.md).
 *
 *     voice engine --packet--> way --relay id | packet--> relay ~~~ other handset
 *     voice engine <--packet-- way <--own id | packet--- relay ~~~
 *                  direct way <--datagrams of others---'            same socket, direct-way.ts
 */
import { createSocket, type RemoteInfo, type Socket } from "node:dgram";
import { once } from "node:events";
import { DeviceError } from "@feldfon/protocol/errors";
import { type Address, hostOf, parseAddress } from "@feldfon/protocol/media/address";
import { boundHolds, encodeBind, encodeData, parseRelayDatagram } from "@feldfon/protocol/media/relay";
import { encodeBindingRequest, newTransaction, type StunMessage } from "@feldfon/protocol/media/stun";
import type { Slot, Vault } from "@feldfon/protocol/vault";

/** How packets get there when the relay takes them. @see DirectWay for handsets that know each other's address */
export interface Way {
  /** Resolves when packets can be sent and received. @throws {DeviceError} `no-socket` */
  open(): Promise<void>;
  /** Like every datagram: it arrives or it does not. Before the way is there a second of voice is held back for it. */
  send(packet: Uint8Array): void;
  /** The line came back, perhaps under another address: make sure of the way now. */
  renew(): void;
  /** Wipes its keys. Closing twice is harmless. */
  close(): void;
}

/** Who shares the relay way's socket: the direct way. */
export interface Guest {
  /** This handset's address as the server sees it; again when it changed. */
  mapped(address: Address): void;
  /** A datagram from elsewhere than the relay. @returns false when its source is nobody we know */
  receive(datagram: Buffer, source: Address): boolean;
}

export interface RelayWayOptions {
  vault: Vault;
  /** The server's address as the line has it, and its UDP port. */
  host: string;
  port: number;
  /** This handset's, from the call's hop. */
  relayId: Uint8Array;
  /** bk; the way takes it over and wipes it. */
  key: Slot<"mac">;
  /** One packet of the other end, still sealed and unchecked. */
  onPacket(packet: Buffer): void;
  /** The socket failed while open; the way is closed then. */
  onError(error: DeviceError): void;
}

export interface RelayWayStatistics {
  /** The relay has answered a BIND: it knows where to send. */
  bound: boolean;
  sent: number;
  received: number;
  /** Not from the server, not for this relay id, or of no known form. */
  strange: number;
  /** The system would not send it: no network at the moment. */
  unsendable: number;
}

const UNANSWERED_MS = 500;
const KEEP_MS = 15_000;
/** No packet for so long, after there were some: a NAT on the way may have moved this handset. */
const SILENT_MS = 1000;
/** One second of voice: what was said before the relay knew where it comes from. */
const HELD_PACKETS = 50;

export class RelayWay implements Way {
  readonly #options: RelayWayOptions;
  readonly #relayId: Buffer;
  readonly #relay: Address;
  readonly #relayHost: string;
  #socket: Socket | undefined;
  #guest: Guest | undefined;
  /** STUN request that waits for its answer. */
  #asked: Buffer | undefined;
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  /** Counter of the next BIND. */
  #counter = 0;
  /** Counter of the last BIND that was answered. */
  #answered = -1;
  #bindAtMs = 0;
  #heardAtMs = Number.POSITIVE_INFINITY;
  /** Packets from before the first BOUND; the relay would drop them. */
  #held: Uint8Array[] = [];
  readonly #counts = { sent: 0, received: 0, strange: 0, unsendable: 0 };

  /** @throws {ProtocolError} `bad-address` unless host is an IP address */
  constructor(options: RelayWayOptions) {
    this.#options = options;
    this.#relayId = Buffer.from(options.relayId);
    this.#relay = parseAddress(options.host, options.port);
    this.#relayHost = hostOf(this.#relay);
  }

  async open(): Promise<void> {
    const socket = createSocket(this.#relay.family === 4 ? "udp4" : "udp6");
    this.#socket = socket;
    try {
      socket.bind();
      // Somebody may hang up before the system has given the port; then it never listens.
      await Promise.race([once(socket, "listening"), once(socket, "close")]);
    } catch (cause) {
      this.close();
      throw new DeviceError("no-socket", "no voice: the system gives no UDP socket", { cause });
    }
    if (this.#closed) return;
    socket.on("message", (datagram, source) => this.#receive(datagram, source));
    socket.on("error", (cause) => {
      this.close();
      this.#options.onError(new DeviceError("no-socket", "no voice: the UDP socket failed", { cause }));
    });
    this.#bind();
    this.#timer = setInterval(() => this.#keep(), UNANSWERED_MS);
  }

  send(packet: Uint8Array): void {
    if (this.#closed) return;
    if (this.#answered >= 0) return this.#sendNow(packet);
    this.#held.push(packet);
    if (this.#held.length > HELD_PACKETS) this.#held.shift();
  }

  renew(): void {
    if (this.#timer) this.#bind();
  }

  /** From now on the server is asked, with each BIND, which address this handset has, and other sources are heard. */
  share(guest: Guest): void {
    this.#guest = guest;
  }

  /** The relay's own address: which family the socket speaks, and whether the server is on this machine. */
  get relay(): Address {
    return this.#relay;
  }

  /** Own UDP port; undefined before the way is open and when it is closed. */
  get port(): number | undefined {
    return this.#timer && this.#socket?.address().port;
  }

  /** One datagram past the relay. */
  sendTo(to: Address, datagram: Uint8Array): void {
    if (this.#timer) this.#transmit(datagram, to.port, hostOf(to));
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    clearInterval(this.#timer);
    this.#timer = undefined;
    this.#held = [];
    this.#socket?.close();
    this.#options.vault.wipe(this.#options.key);
  }

  get statistics(): RelayWayStatistics {
    return { ...this.#counts, bound: this.#answered >= 0 };
  }

  #bind(): void {
    const { vault, key } = this.#options;
    this.#bindAtMs = performance.now();
    this.#transmit(encodeBind(vault, key, this.#relayId, this.#counter++));
    this.#ask();
  }

  /** A datagram and no BIND: nobody holds a key for it, so nothing but an offer to the other handset hangs on the answer. */
  #ask(): void {
    if (!this.#guest) return;
    this.#asked ??= newTransaction();
    this.#transmit(encodeBindingRequest(this.#asked));
  }

  #keep(): void {
    const nowMs = performance.now();
    const unanswered = this.#answered < this.#counter - 1;
    if (unanswered || nowMs - this.#bindAtMs >= KEEP_MS || nowMs - this.#heardAtMs >= SILENT_MS) this.#bind();
    else if (this.#asked) this.#ask();
  }

  #receive(datagram: Buffer, source: RemoteInfo): void {
    if (this.#closed) return;
    if (!this.#isRelay(source)) return this.#receiveElsewhere(datagram, source);
    const parsed = parseRelayDatagram(datagram);
    if (parsed?.kind === "stun") return this.#receiveStun(parsed.message);
    if (!parsed?.relayId.equals(this.#relayId)) {
      this.#counts.strange++;
      return;
    }
    if (parsed.kind === "data") {
      this.#counts.received++;
      this.#heardAtMs = performance.now();
      this.#options.onPacket(parsed.packet);
      return;
    }
    const awaited = parsed.counter > this.#answered && parsed.counter < this.#counter;
    if (!awaited || !boundHolds(this.#options.vault, this.#options.key, parsed)) {
      this.#counts.strange++;
      return;
    }
    this.#answered = parsed.counter;
    for (const packet of this.#held.splice(0)) this.#sendNow(packet);
  }

  #receiveElsewhere(datagram: Buffer, source: RemoteInfo): void {
    // Port 0 is nobody's, yet anybody can write it on a datagram.
    if (source.port === 0 || !this.#guest?.receive(datagram, parseAddress(source.address, source.port))) {
      this.#counts.strange++;
      return;
    }
    this.#heardAtMs = performance.now();
  }

  #receiveStun(message: StunMessage): void {
    const awaited = message.type === "success" && message.unknownRequired.length === 0;
    if (!awaited || !this.#asked?.equals(message.transaction)) {
      this.#counts.strange++;
      return;
    }
    this.#asked = undefined;
    this.#guest?.mapped(message.mapped);
  }

  #sendNow(packet: Uint8Array): void {
    this.#counts.sent++;
    this.#transmit(encodeData(this.#relayId, packet));
  }

  #isRelay(source: RemoteInfo): boolean {
    return source.port === this.#relay.port && hostOf(parseAddress(source.address, source.port)) === this.#relayHost;
  }

  #transmit(datagram: Uint8Array, port = this.#relay.port, host = this.#options.host): void {
    this.#socket!.send(datagram, port, host, (error) => {
      if (error) this.#counts.unsendable++;
    });
  }
}
