/** A handset of `sealed-broker.ts`: the product's frames and channel, M1 to M4, and behind it no SIP. */
import { once } from "node:events";
import { connect } from "node:net";
import { ChannelClient } from "@feldfon/protocol/channel/client";
import type { SealedChannel } from "@feldfon/protocol/channel/sealed";
import { encodeFrame, FrameReader, MAX_BODY_BYTES } from "@feldfon/protocol/frames";
import type { Uid } from "@feldfon/protocol/identity";
import type { Vault } from "@feldfon/protocol/vault";
import { poolKey } from "../key-pool.ts";
import { PeerHandset, type StepBytes } from "./peer-steps.ts";

/** @param n number of its key in the pool */
export async function connectSealed(
  vault: Vault,
  n: number,
  { port, uid }: { port: number; uid: Uid },
  stepBytes: StepBytes,
): Promise<PeerHandset> {
  const keyPair = await vault.loadKeyPair(await poolKey(n));
  const client = new ChannelClient({ vault, keyPair, serverUid: uid });
  const socket = connect({ host: "127.0.0.1", port, noDelay: true });
  await once(socket, "connect");
  const frames = new FrameReader();
  socket.write(encodeFrame(client.start()));
  let channel: SealedChannel | undefined;
  let handset: PeerHandset | undefined;
  const take = async (body: Buffer): Promise<PeerHandset | undefined> => {
    if (!channel) {
      const proven = await client.receive(body);
      socket.write(encodeFrame(proven.m4));
      channel = proven.channel;
      frames.maxBodyBytes = MAX_BODY_BYTES;
      return;
    }
    const clear = channel.open(body);
    if (handset) return void handset.take(clear);
    // The first frame is the number of the line.
    const sealed = channel;
    handset = new PeerHandset(
      stepBytes,
      { send: (said) => socket.write(sealed.sealFrame(said.length, (place) => place.set(said))) },
      clear[0]!,
    );
    return handset;
  };
  return await new Promise((resolve, reject) => {
    socket.on("error", () => {});
    void (async () => {
      for await (const chunk of socket as AsyncIterable<Buffer>) {
        for (const body of frames.read(chunk)) {
          const ready = await take(body);
          if (ready) resolve(ready);
        }
      }
    })().catch(reject);
  });
}
