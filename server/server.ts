/**
 * The accept loop and everything it stands on: one bad connection never stops the others (row 003-57), and shutdown
 * tells everyone, finishes the batch and closes (row 003-71).
 */
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { createServer, type Server, type Socket } from "node:net";
import { PublicKey } from "@feldfon/protocol/identity";
import type { KeyPair, Vault } from "@feldfon/protocol/vault";
import { Admission } from "./admission.ts";
import { Connection, type ConnectionSurroundings } from "./connection.ts";
import { compileEarly } from "./early-compiler.ts";
import { type Health, openHealth, type StateShown } from "./health.ts";
import type { Log } from "./log.ts";
import { Metrics } from "./metrics.ts";
import { ProcessMemory } from "./process-memory.ts";
import { openRegistry } from "./registry.ts";
import type { Registry } from "./registry-port.ts";
import { type RelayStatistics, VoiceRelay } from "./relay.ts";
import { PhoneService } from "./service.ts";
import type { Settings } from "./settings.ts";
import { BatchSigner, headSigner } from "./signer.ts";
import type { Store } from "./store-port.ts";
import { openTrace, type Trace } from "./trace.ts";
import { Turns } from "./turns.ts";

/** How often the time limits of calls are looked at. */
const CALLS_TICK_MS = 250;
/** Those of lines and tickets are 5 s and more, and each look touches every one of them. */
const LINES_TICK_MS = 1_000;
/** Whoever comes back alone waits for nobody; of many each waits at most this long (voice goes on meanwhile). */
const RETURN_WINDOW_MS = 100;
/** A handset's time to say that it heard of the shutdown. */
const SEND_AWAY_MS = 1_000;
/** Ports tried when any pair of equal TCP and UDP ports will do. */
const PORT_TRIES = 20;

export interface ServerParts {
  vault: Vault;
  keyPair: KeyPair;
  store: Store;
  log: Log;
  /** Benches let a handset send as much as it likes. */
  requestLimit?: ConnectionSurroundings["requestLimit"];
  /** The ground gave way while running: whoever started the server ends it. */
  onFault(error: Error): void;
}

/** What keeps the registry from going on; gone with the next epoch that is on disk. */
interface StoreFault {
  sentence: string | undefined;
}

/** The whole server: ports, registry, relay, every connection. */
export class FeldfonServer {
  readonly serverKey: PublicKey;
  readonly #parts: ServerParts;
  readonly #registry: Registry;
  readonly #metrics: Metrics;
  readonly #fault: StoreFault;
  readonly #admission: Admission;
  readonly #signer: BatchSigner;
  readonly #trace: Trace;
  readonly #connections = new Set<Connection>();
  #listener: Server | undefined;
  #relay: VoiceRelay | undefined;
  #service: PhoneService | undefined;
  /** What all connections stand in. */
  #around: ConnectionSurroundings | undefined;
  #health: Health | undefined;
  #ticking: NodeJS.Timeout[] = [];
  #closing = false;
  readonly #memory = new ProcessMemory();

  private constructor(settings: Settings, parts: ServerParts, registry: Registry, metrics: Metrics, fault: StoreFault) {
    this.serverKey = new PublicKey(parts.keyPair.spki);
    this.#parts = parts;
    this.#registry = registry;
    this.#metrics = metrics;
    this.#fault = fault;
    registry.onChange(() => {
      fault.sentence = undefined;
    });
    this.#admission = new Admission({ lines: settings.maxLines });
    this.#signer = new BatchSigner({ vault: parts.vault, keyPair: parts.keyPair, windowMs: settings.windowMs });
    this.#trace = openTrace(settings.trace, (error) => parts.log.error("no trace", { err: error }));
  }

  /** @throws what store, vault and system say when the ground is not there */
  static async open(settings: Settings, parts: ServerParts): Promise<FeldfonServer> {
    compileEarly();
    const metrics = new Metrics();
    const fault: StoreFault = { sentence: undefined };
    const registry = await openRegistry({
      store: parts.store,
      signer: headSigner(parts.vault, parts.keyPair),
      windowMs: settings.windowMs,
      graceMs: settings.graceMs,
      enrolmentCode: settings.enrolmentCode,
      onFault: (error) => {
        fault.sentence = "the directory cannot be stored";
        metrics.faults.inc({ code: error instanceof Error && "code" in error ? String(error.code) : "internal" });
        parts.log.error("batch failed", { err: error });
      },
    });
    const server = new FeldfonServer(settings, parts, registry, metrics, fault);
    try {
      await server.#listen(settings);
    } catch (error) {
      await server.close();
      throw error;
    }
    return server;
  }

  get port(): number {
    const address = this.#listener?.address() as AddressInfo | null | undefined;
    return address?.port ?? 0;
  }

  get healthPort(): number {
    return this.#health?.port ?? 0;
  }

  get epoch(): number {
    return this.#registry.view().signed.head.epoch;
  }

  get callsRunning(): number {
    return this.#service?.callsRunning ?? 0;
  }

  /** Stops accepting, tells all handsets, finishes the batch, closes. Closing twice is harmless. */
  async close(): Promise<void> {
    if (this.#closing) return;
    this.#closing = true;
    this.#listener?.close();
    await Promise.all([...this.#connections].map((connection) => connection.sendAway(SEND_AWAY_MS)));
    for (const timer of this.#ticking) clearInterval(timer);
    this.#service?.close();
    await this.#registry.close();
    await this.#relay?.close();
    await this.#health?.close();
    await this.#trace.close();
    await this.#parts.store.close();
  }

  async #listen(settings: Settings): Promise<void> {
    const { vault, log } = this.#parts;
    const { listener, relay } = await this.#openPorts(settings);
    this.#listener = listener;
    this.#relay = relay;
    const { callLog } = settings;
    const service = new PhoneService({ vault, registry: this.#registry, relay, metrics: this.#metrics, log, callLog });
    this.#service = service;
    const { requestLimit } = this.#parts;
    this.#around = {
      vault,
      log,
      service,
      serverKey: this.serverKey,
      signer: this.#signer,
      returns: new Turns({ windowMs: RETURN_WINDOW_MS }),
      admission: this.#admission,
      metrics: this.#metrics,
      trace: this.#trace,
      now: Date.now,
      ...(requestLimit ? { requestLimit } : {}),
    };
    this.#metrics.watch(() => ({
      halfOpenLines: this.#admission.halfOpen,
      provenLines: this.#admission.proven,
      handsets: this.#registry.view().rows.length - 1,
      epoch: this.epoch,
      calls: service.callsRunning,
      ...relayReadings(relay.statistics),
      vault: vault.status(),
    }));
    this.#health = await openHealth({
      port: settings.healthPort,
      metrics: this.#metrics,
      state: () => this.#state(),
      missing: () => this.#missing(),
    }).catch(portFault("--health-port"));
    this.#ticking = [
      setInterval(() => service.tickCalls(), CALLS_TICK_MS),
      setInterval(() => this.#tickLines(), LINES_TICK_MS),
    ];
    listener.on("connection", (socket) => this.#accept(socket));
    listener.on("error", (error) => this.#parts.onFault(error));
  }

  /** Handsets reach voice under the number they reach the line, so one number serves both. */
  async #openPorts(settings: Settings): Promise<{ listener: Server; relay: VoiceRelay }> {
    const { host, port, udpPort } = settings;
    for (let tries = 1; ; tries++) {
      const listener = createServer({ noDelay: true });
      listener.listen(port, host);
      await once(listener, "listening").catch(portFault("--port"));
      const relay = new VoiceRelay({
        vault: this.#parts.vault,
        host,
        port: port === udpPort ? (listener.address() as AddressInfo).port : udpPort,
        onError: (error) => this.#parts.onFault(error),
      });
      try {
        await relay.listen();
        return { listener, relay };
      } catch (error) {
        listener.close();
        if (port !== 0 || tries === PORT_TRIES) portFault("--udp-port")(error);
      }
    }
  }

  #missing(): string[] {
    const { sentence } = this.#fault;
    return [...(this.#closing ? ["the server is shutting down"] : []), ...(sentence === undefined ? [] : [sentence])];
  }

  #state(): StateShown {
    const { head } = this.#registry.view().signed;
    const { protection, library, randomness, arena, dumpable, coreLimitBytes } = this.#parts.vault.status();
    return {
      epoch: head.epoch,
      rows: head.rows,
      seedRoot: head.seedRoot.toString("hex"),
      directoryRoot: head.dirRoot.toString("hex"),
      protection,
      library,
      randomness,
      ...(arena && { arenaBytes: arena.bytes, arenaUsedBytes: arena.usedBytes, arenaPeakBytes: arena.peakBytes }),
      ...(dumpable !== undefined && { dumpable }),
      // JSON has no word for no limit.
      ...(coreLimitBytes !== undefined && { coreLimitBytes: Number.isFinite(coreLimitBytes) ? coreLimitBytes : null }),
    };
  }

  #accept(socket: Socket): void {
    const place = this.#closing ? undefined : this.#admission.arrive(socket.remoteAddress);
    if (!place || !this.#around) {
      socket.on("error", () => {});
      socket.destroy();
      return;
    }
    const connection = new Connection(this.#around, socket, place, () => this.#connections.delete(connection));
    this.#connections.add(connection);
  }

  #tickLines(): void {
    this.#memory.fit(this.#connections.size);
    for (const connection of this.#connections) connection.tick();
    this.#service?.tickTickets();
  }
}

/** Says which flag gives another port. What is no matter of a port stays as it is. */
function portFault(flag: string): (cause: unknown) => never {
  return (cause) => {
    const { code, port, address } = cause as { code?: string; port?: number; address?: string };
    const sentences: Record<string, string> = {
      EADDRINUSE: `port ${port} is taken by another program: choose another by ${flag}`,
      EACCES: `port ${port} is not allowed to this user: choose one above 1023 by ${flag}`,
      EADDRNOTAVAIL: `${address} is no address of this machine: choose another by --host`,
    };
    const sentence = sentences[code ?? ""];
    throw sentence === undefined ? cause : new Error(sentence, { cause });
  };
}

function relayReadings({ pairs, forwarded, forwardedBytes, stunAnswered, refused }: RelayStatistics) {
  return {
    relays: pairs,
    relayPackets: { passed: forwarded, stun: stunAnswered, ...refused },
    relayBytes: forwardedBytes,
  };
}
