/** What Prometheus asks for. Counts and states, no peers: a label never holds what a client has chosen. */
import type { VaultStatus } from "@feldfon/protocol/vault";
import { Registry as Collection, Counter, collectDefaultMetrics, Gauge, Histogram } from "prom-client";

/** What is true at the moment of asking. */
export interface Readings {
  halfOpenLines: number;
  provenLines: number;
  /** Rows of the directory without the server's; some are in their grace. */
  handsets: number;
  epoch: number;
  calls: number;
  relays: number;
  /** Datagrams of the relay since the start, by what became of them: "passed", "stun", or why they were let go. */
  relayPackets: Readonly<Record<string, number>>;
  relayBytes: number;
  vault: VaultStatus;
}

const PROTECTIONS: readonly VaultStatus["protection"][] = ["memfd_secret", "locked", "degraded"];

/** `values` by label value; without a label there is one, under "". */
type Reading = [
  name: string,
  help: string,
  label: string | undefined,
  values: (now: Readings) => Readonly<Record<string, number>>,
];

export class Metrics {
  readonly #collection = new Collection();
  #read: (() => Readings) | undefined;

  /** Connects by what came of them: "joined", "resumed", or the reason word of a refusal. */
  readonly connects = this.#counter("connects_total", "Connects by outcome", ["outcome"]);
  readonly connectSeconds = new Histogram({
    name: "feldfon_connect_seconds",
    help: "From the first byte to the phonebook's 200",
    buckets: [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
    registers: [this.#collection],
  });
  /** Messages and lines refused, by the code of the error. */
  readonly refused = this.#counter("refused_total", "Refused messages and lines by code", ["code"]);
  readonly calls = this.#counter("calls_total", "Calls by how they ended", ["outcome"]);
  readonly outboxDrops = this.#counter("outbox_drops_total", "Lines dropped because they were too slow", ["reason"]);
  /** Batches that could not be signed or stored, by code. */
  readonly faults = this.#counter("faults_total", "Failures of store and vault by code", ["code"]);

  constructor() {
    collectDefaultMetrics({ register: this.#collection, eventLoopMonitoringPrecision: 100 });
    this.#gauge("lines", "Lines by state", "state", (now) => ({
      "half-open": now.halfOpenLines,
      proven: now.provenLines,
    }));
    this.#gauge("handsets", "Handsets in the directory", undefined, (now) => ({ "": now.handsets }));
    this.#gauge("epoch", "Newest epoch of the directory", undefined, (now) => ({ "": now.epoch }));
    this.#gauge("active_calls", "Calls now", undefined, (now) => ({ "": now.calls }));
    this.#total("relay_packets_total", "Datagrams of the relay by verdict", "verdict", (now) => now.relayPackets);
    this.#total("relay_bytes_total", "Bytes of the packets passed on", undefined, (now) => ({ "": now.relayBytes }));
    this.#gauge("active_relays", "Bound relay addresses now", undefined, (now) => ({ "": now.relays }));
    this.#gauge("vault_slots", "Slots of the vault in use", undefined, (now) => ({ "": now.vault.slotsInUse }));
    this.#gauge("vault_protection", "1 for where secrets lie", "protection", ({ vault }) =>
      Object.fromEntries(PROTECTIONS.map((protection) => [protection, protection === vault.protection ? 1 : 0])),
    );
    this.#gauge("vault_library", "1 for the vault's cryptographic library", "library", ({ vault }) => ({
      [vault.library]: 1,
    }));
    this.#gauge("vault_arena_bytes", "Locked memory of the vault", "kind", ({ vault: { arena } }) =>
      arena ? { all: arena.bytes, used: arena.usedBytes, peak: arena.peakBytes } : {},
    );
    this.#gauge("dumpable", "1 if others of this user may read the process", undefined, ({ vault: { dumpable } }) =>
      dumpable === undefined ? {} : { "": dumpable ? 1 : 0 },
    );
    this.#gauge("core_limit_bytes", "Largest core file", undefined, ({ vault: { coreLimitBytes } }) =>
      coreLimitBytes === undefined ? {} : { "": coreLimitBytes },
    );
  }

  /** Before this, gauges of the telephone are missing rather than 0. */
  watch(read: () => Readings): void {
    this.#read = read;
  }

  get contentType(): string {
    return this.#collection.contentType;
  }

  /** Prometheus text format. */
  text(): Promise<string> {
    return this.#collection.metrics();
  }

  #counter<Label extends string>(name: string, help: string, labelNames: Label[]): Counter<Label> {
    return new Counter({ name: `feldfon_${name}`, help, labelNames, registers: [this.#collection] });
  }

  /** A count that somebody else keeps. */
  #total(...[name, help, label, values]: Reading): void {
    new Counter(this.#readWhenAsked(name, help, label, values));
  }

  #gauge(...[name, help, label, values]: Reading): void {
    new Gauge(this.#readWhenAsked(name, help, label, values));
  }

  /** What counters and gauges are made of whose values are kept elsewhere; one without a value now is missing. */
  #readWhenAsked(...[name, help, label, values]: Reading) {
    const read = () => this.#read?.();
    return {
      name: `feldfon_${name}`,
      help,
      labelNames: label ? [label] : [],
      registers: [this.#collection],
      collect(this: Counter | Gauge) {
        this.reset();
        const now = read();
        const found = now ? Object.entries(values(now)) : [];
        // Without a label it would stay behind as 0.
        if (found.length === 0 && !label) this.remove();
        for (const [key, value] of found) this.inc(label ? { [label]: key } : {}, value);
      },
    };
  }
}
