/**
 * The peer of the bench `call` on the product's own ground: its memory, compiler, sockets, frames, channel, vault and
 * outboxes, but no SIP, no supervisor, no transactions, no broker's rules, no relay, no registry, no limits, no log.
 *
 *     driver: StepBytes -> port, uid        driver: anything -> { us }, CPU since the start
 */
import { randomBytes } from "node:crypto";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { signBatch } from "@feldfon/protocol/channel/batch";
import type { SealedChannel } from "@feldfon/protocol/channel/sealed";
import { ChannelServer } from "@feldfon/protocol/channel/server";
import { wrap } from "@feldfon/protocol/crypto/transcript";
import { encodeFrame, FrameReader, MAX_BODY_BYTES } from "@feldfon/protocol/frames";
import { PublicKey } from "@feldfon/protocol/identity";
import { CALL_ID_BYTES, wrapTranscript } from "@feldfon/protocol/phone/call-bytes";
import { compileEarly } from "@feldfon/server/early-compiler";
import { Outbox } from "@feldfon/server/outbox";
import { ARENA_BYTES, ProcessMemory } from "@feldfon/server/process-memory";
import { openVault } from "@feldfon/vault";
import { poolKey } from "../key-pool.ts";
import { type BrokerEnd, PeerBroker, type StepBytes } from "./peer-steps.ts";

new ProcessMemory();
compileEarly();
const vault = openVault({ arenaBytes: ARENA_BYTES });
const keyPair = await vault.loadKeyPair(await poolKey(0));
const serverKey = new PublicKey(keyPair.spki);

class SealedEnd implements BrokerEnd {
  readonly channel: SealedChannel;
  readonly client: PublicKey;
  readonly #outbox: Outbox;

  constructor(channel: SealedChannel, client: PublicKey, outbox: Outbox) {
    this.channel = channel;
    this.client = client;
    this.#outbox = outbox;
  }

  send(clear: Buffer): void {
    this.#outbox.send(this.channel.sealFrame(clear.length, (place) => place.set(clear)));
  }

  wrapFor(other: this): { own: Buffer; other: Buffer } {
    const secret = vault.newSecret();
    try {
      const callId = randomBytes(CALL_ID_BYTES);
      const wrapFor = ({ client }: SealedEnd): Buffer => {
        const t = wrapTranscript(callId, this.client.uid, other.client.uid, client.uid);
        return wrap(vault, client, "call", t, secret.wrap);
      };
      return { own: wrapFor(this), other: wrapFor(other) };
    } finally {
      vault.wipe(secret.wrap, secret.derive);
    }
  }
}

async function serve(socket: Socket, broker: PeerBroker<SealedEnd>): Promise<void> {
  const frames = new FrameReader();
  const outbox = new Outbox({ wire: socket, onDrop: () => {} });
  const half = new ChannelServer({ vault, serverKey });
  let client: PublicKey | undefined;
  let own: SealedEnd | undefined;
  for await (const chunk of socket as AsyncIterable<Buffer>) {
    for (const body of frames.read(chunk)) {
      if (own) {
        broker.pass(own, own.channel.open(body));
      } else if (client) {
        own = new SealedEnd(half.prove(body), client, outbox);
        frames.maxBodyBytes = MAX_BODY_BYTES;
        own.send(Buffer.of(broker.add(own)));
      } else {
        const { leaf, clientKey } = half.hello(body);
        const [m3] = await signBatch(vault, keyPair, [leaf]);
        client = clientKey;
        outbox.send(encodeFrame(half.offer(m3!)));
      }
    }
  }
}

process.once("message", (stepBytes: StepBytes) => {
  const broker = new PeerBroker<SealedEnd>(stepBytes);
  const server = createServer({ noDelay: true }, (socket) => {
    socket.on("error", () => {});
    // A socket that breaks is a driver that has gone.
    serve(socket, broker).catch(() => {});
  });
  server.listen(0, "127.0.0.1", () => {
    process.send?.({ port: (server.address() as AddressInfo).port, uid: serverKey.uid });
  });
  process.on("message", () => {
    const { user, system } = process.cpuUsage();
    process.send?.({ us: user + system });
  });
});
process.on("disconnect", () => process.exit());
