/**
 * Both ends of the recorded lines, made again by our own code: randomness, private halves and signatures come from the
 * vectors, everything else is computed anew.
 */
import assert from "node:assert/strict";
import { signBatch } from "@feldfon/protocol/channel/batch";
import { ChannelClient } from "@feldfon/protocol/channel/client";
import { ResumeClient, ResumeServer, ResumeTicket } from "@feldfon/protocol/channel/resume";
import type { SealedChannel, Side } from "@feldfon/protocol/channel/sealed";
import { ChannelServer } from "@feldfon/protocol/channel/server";
import { unwrap } from "@feldfon/protocol/crypto/transcript";
import { PublicKey } from "@feldfon/protocol/identity";
import { parseSip, type SipMessage } from "@feldfon/protocol/sip";
import type { Ephemeral, KeyPair, Slot } from "@feldfon/protocol/vault";
import { AnyTestingVault, type TestingVault } from "@feldfon/vault/testing";
import { seal } from "../protocol/channel/ends.ts";
import { bytesOf, type Recorded, readVectors } from "./files.ts";

/** What a vault would have drawn at random; each is given out once. */
export interface Drawn {
  x25519?: Buffer;
  mlkem?: Buffer;
  /** Of the encapsulation, and the secret in it. */
  ciphertext?: Buffer;
  ssMlkem?: Buffer;
  signature?: Buffer;
}

export class ReplayVault extends AnyTestingVault {
  readonly #drawn: Drawn;

  constructor(drawn: Drawn = {}) {
    super();
    this.#drawn = drawn;
  }

  override makeEphemeral<Asked extends "x25519" | "ml-kem-768">(algorithm: Asked): Ephemeral<Asked> {
    return this.importEphemeral(algorithm, this.#draw(algorithm === "x25519" ? "x25519" : "mlkem"));
  }

  override encapsulate(): { ciphertext: Buffer; secret: Slot<"derive"> } {
    return { ciphertext: this.#draw("ciphertext"), secret: this.import("derive", this.#draw("ssMlkem")) };
  }

  /** The recorded signature, which has to be one of exactly this. */
  override async sign(keyPair: KeyPair, message: Uint8Array): Promise<Buffer> {
    const signature = this.#draw("signature");
    assert.ok(new PublicKey(keyPair.spki).verifies(message, signature), "the recorded signature is of other bytes");
    return signature;
  }

  #draw(name: keyof Drawn): Buffer {
    const drawn = this.#drawn[name];
    assert.ok(drawn, `nobody recorded ${name}`);
    delete this.#drawn[name];
    return drawn;
  }
}

/** Gives recorded randomness back by its length, in the order in which it was used. */
function random(...drawn: (string | Buffer)[]): (bytes: number) => Buffer {
  const left = drawn.map((one) => (typeof one === "string" ? Buffer.from(one, "hex") : one));
  return (bytes) => {
    const at = left.findIndex(({ length }) => length === bytes);
    assert.ok(at >= 0, `nobody recorded another ${bytes} random bytes`);
    return left.splice(at, 1)[0]!;
  };
}

/** Both ends of one line. */
export interface Ends {
  th: Buffer;
  client: SealedChannel;
  server: SealedChannel;
  vaults: { client: ReplayVault; server: ReplayVault };
  record: Recorded;
}

export class Replay {
  readonly lines = new Map<string, Ends>();
  readonly keys = readVectors("keys").testKeys as { [name: string]: Recorded };

  keyOf(name: string): PublicKey {
    return new PublicKey(bytesOf(this.keys[name]!, "spki"));
  }

  keyPair(vault: TestingVault, name: string): Promise<KeyPair> {
    return vault.importKeyPair(bytesOf(this.keys[name]!, "pkcs8"));
  }

  /** M1..M4: each of them has to come out as it was recorded, byte for byte. */
  async handshake(record: Recorded): Promise<Ends> {
    const [m1, unauthorized, m4] = ["m1", "unauthorized", "m4"].map((name) => bytesOf(record, name)) as [
      Buffer,
      Buffer,
      Buffer,
    ];
    const [asked, answered, proven] = [parseSip(m1), parseSip(unauthorized), parseSip(m4)];
    const m3 = unauthorized.subarray(-1032);
    const clientVault = new ReplayVault({
      x25519: bytesOf(record, "clientX25519"),
      mlkem: bytesOf(record, "clientMlkem"),
      signature: proven.body,
    });
    const serverVault = new ReplayVault({
      x25519: bytesOf(record, "serverX25519"),
      ciphertext: answered.body.subarray(66, 66 + 1088),
      ssMlkem: bytesOf(record, "ssMlkem"),
      signature: m3.subarray(0, 512),
    });
    const serverKey = this.keyOf("server");
    const client = new ChannelClient({
      vault: clientVault,
      keyPair: await this.keyPair(clientVault, record.client as string),
      serverUid: serverKey.uid,
      random: random(asked.callId, asked.from.tag, asked.branch, proven.branch, asked.body.subarray(2, 34)),
    });
    const server = new ChannelServer({
      vault: serverVault,
      serverKey,
      random: random(answered.body.subarray(2, 34), answered.to.tag!),
    });
    assert.deepEqual(client.start(), m1, "M1");
    const { m2, leaf } = server.hello(m1);
    assert.deepEqual(m2, unauthorized.subarray(0, -1032), "M2");
    const [signed] = await signBatch(serverVault, await this.keyPair(serverVault, "server"), [leaf]);
    assert.deepEqual(signed, m3, "M3");
    const met = await client.receive(server.offer(m3));
    assert.deepEqual(met.m4, m4, "M4");
    return this.#keep(record, met.channel, server.prove(m4), { client: clientVault, server: serverVault });
  }

  /** R1, R2 upon the keys of the line before. */
  resume(record: Recorded): Ends {
    const [r1, r2] = [bytesOf(record, "r1"), bytesOf(record, "r2")];
    const [asked, answered] = [parseSip(r1), parseSip(r2)];
    const before = this.lines.get(record.before as string)!;
    const vaults = {
      client: new ReplayVault({ x25519: bytesOf(record, "clientX25519"), mlkem: bytesOf(record, "clientMlkem") }),
      server: new ReplayVault({
        x25519: bytesOf(record, "serverX25519"),
        ciphertext: answered.body.subarray(66, 66 + 1088),
        ssMlkem: bytesOf(record, "ssMlkem"),
      }),
    };
    const ticket = (side: Side) => {
      const j = vaults[side].import("derive", bytesOf(before.record, "j"));
      return new ResumeTicket(vaults[side], before[side].peer, before.th, j);
    };
    assert.deepEqual(ticket("server").id, bytesOf(before.record, "resumeId"));
    const client = new ResumeClient({
      vault: vaults.client,
      ticket: ticket("client"),
      uid: before.server.peer,
      random: random(asked.callId, asked.from.tag, asked.branch, asked.body.subarray(18, 50)),
    });
    assert.deepEqual(client.start(), r1, "R1");
    const server = new ResumeServer({
      vault: vaults.server,
      random: random(answered.body.subarray(2, 34), answered.to.tag!),
    });
    const accepted = server.accept(r1, ticket("server"));
    assert.deepEqual(accepted.r2, r2, "R2");
    return this.#keep(record, client.receive(r2), accepted.channel, vaults);
  }

  /** Seals a recorded message on its side of the line, opens it on the other, and does what step 5 asks for. */
  async pass(record: Recorded): Promise<SipMessage> {
    const [name, from] = [record.line as string, record.from as Side];
    const ends = this.lines.get(name)!;
    const to: Side = from === "client" ? "server" : "client";
    const message = bytesOf(record, "message");
    for (let skipped = (record.skipped as number) ?? 0; skipped > 0; skipped--) {
      ends[to].open(seal(ends[from], Buffer.alloc(0)));
    }
    const frame = seal(ends[from], message);
    assert.deepEqual(frame, bytesOf(record, "frame"), `${name}: frame ${record.counter} of the ${from}`);
    const secret = record.what === "secret";
    if (secret) join(ends.server, ends.vaults.server.import("derive", bytesOf(ends.record, "serverSecret")));
    assert.deepEqual(ends[to].open(frame), message);
    const sip = parseSip(message);
    if (secret) {
      const keyPair = await this.keyPair(ends.vaults.client, ends.record.client as string);
      join(ends.client, await unwrap(ends.vaults.client, keyPair, "server secret", ends.th, sip.body));
    }
    return sip;
  }

  #keep(record: Recorded, client: SealedChannel, server: SealedChannel, vaults: Ends["vaults"]): Ends {
    assert.deepEqual(client.th, bytesOf(record, "th"), "th");
    assert.deepEqual(server.th, client.th);
    const ends = { th: client.th, client, server, vaults, record };
    this.lines.set(record.line as string, ends);
    return ends;
  }
}

/** Step 5: each side changes both directions at once, the server behind its last frame, the client before its answer. */
function join(channel: SealedChannel, serverSecret: Slot<"derive">): void {
  channel.join(serverSecret);
  channel.switchSeal();
  channel.switchOpen();
}
