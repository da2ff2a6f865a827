/** A real server and real telephones on loopback, in this process: sockets, relay and voice are real, sound is not. */
import { EventEmitter, once } from "node:events";
import type { LineEvent } from "@feldfon/firmware/handset/link";
import { Telephone } from "@feldfon/firmware/line/telephone";
import { PublicKey } from "@feldfon/protocol/identity";
import { openLog } from "@feldfon/server/log";
import { FeldfonServer, type ServerParts } from "@feldfon/server/server";
import { readSettings } from "@feldfon/server/settings";
import { MemoryDisk, MemoryStore } from "@feldfon/server/store-fake";
import { NodeVault } from "@feldfon/vault";
import { VoiceEngine } from "@feldfon/voice";
import { FakeSound } from "@feldfon/voice/fake-sound";
import { testKeyPair } from "../../keys.ts";

export class Household {
  readonly disk = new MemoryDisk();
  readonly #arguments: string[];
  /** Instead of what a household usually has; before it is opened. */
  parts: Partial<ServerParts> = {};
  server!: FeldfonServer;
  serverVault!: NodeVault;
  readonly phones: Phone[] = [];

  constructor(...flags: string[]) {
    this.#arguments = ["--host", "127.0.0.1", "--port", "0", "--udp-port", "0", "--health-port", "0", ...flags];
  }

  async open(port = 0): Promise<void> {
    const vault = new NodeVault();
    this.serverVault = vault;
    const keyPair = await testKeyPair(vault, 0);
    const settings = { ...readSettings(this.#arguments, {}), port, udpPort: port };
    this.server = await FeldfonServer.open(settings, {
      vault,
      keyPair,
      store: new MemoryStore(this.disk),
      log: openLog({ level: "silent" }),
      onFault: (error) => {
        throw error;
      },
      ...this.parts,
    });
  }

  /** @param port of something between the handset and the server, else the server's own */
  async phone(keyNumber: number, name: string, direct = false, port?: number): Promise<Phone> {
    const phone = await Phone.make(this.server, keyNumber, name, direct, port);
    this.phones.push(phone);
    return phone;
  }

  async close(): Promise<void> {
    await Promise.all(this.phones.map((phone) => phone.close()));
    await this.server.close();
  }
}

export class Phone {
  readonly events: LineEvent[] = [];
  readonly sound = new FakeSound();
  readonly vault: NodeVault;
  readonly uid: PublicKey["uid"];
  telephone!: Telephone;
  readonly #told = new EventEmitter();
  readonly #voice: VoiceEngine;
  lastHead: { bytes: Buffer; signature: Buffer } | undefined;
  readonly evidence: Buffer[] = [];
  /** Kinds of the messages that left this handset. */
  readonly sent: string[] = [];
  connected!: Extract<LineEvent, { event: "connected" }>;

  private constructor(vault: NodeVault, uid: PublicKey["uid"]) {
    this.vault = vault;
    this.uid = uid;
    this.#voice = new VoiceEngine(this.sound);
  }

  static async make(
    server: FeldfonServer,
    keyNumber: number,
    name: string,
    direct = false,
    port = server.port,
  ): Promise<Phone> {
    const vault = new NodeVault();
    const keyPair = await testKeyPair(vault, keyNumber);
    const key = new PublicKey(keyPair.spki);
    const phone = new Phone(vault, key.uid);
    phone.telephone = new Telephone({
      vault,
      keyPair,
      own: { uid: key.uid, name, key },
      serverUid: server.serverKey.uid,
      host: "127.0.0.1",
      port,
      enrolmentCode: "",
      direct,
      voice: phone.#voice,
      keep: {
        lastHead: () => phone.lastHead,
        saveHead: ({ bytes, signature }) => {
          phone.lastHead = { bytes, signature };
        },
        saveEvidence: (bytes) => `evidence ${phone.evidence.push(bytes)}`,
      },
      now: Date.now,
      random: Math.random,
      tell: (event) => {
        phone.events.push(event);
        phone.#told.emit("event");
      },
      passed: ({ direction, kind }) => {
        if (direction === "sent") phone.sent.push(kind);
      },
    });
    return phone;
  }

  last<Name extends LineEvent["event"]>(name: Name): Extract<LineEvent, { event: Name }> | undefined {
    return this.events.findLast((event) => event.event === name) as Extract<LineEvent, { event: Name }> | undefined;
  }

  /** Waits for an event that has not been waited for yet. */
  async heard<Name extends LineEvent["event"]>(
    name: Name,
    holds: (event: Extract<LineEvent, { event: Name }>) => boolean = () => true,
  ): Promise<Extract<LineEvent, { event: Name }>> {
    for (;;) {
      const at = this.events.findIndex(
        (event) => event.event === name && holds(event as Extract<LineEvent, { event: Name }>),
      );
      if (at >= 0) return this.events.splice(0, at + 1).at(-1) as Extract<LineEvent, { event: Name }>;
      await once(this.#told, "event");
    }
  }

  async connect(): Promise<void> {
    this.telephone.command({ do: "connect" });
    this.connected = await this.heard("connected");
  }

  async close(): Promise<void> {
    await this.telephone.close();
    await this.#voice.close();
    this.vault.wipeAll();
  }
}
