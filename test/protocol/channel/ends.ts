/** Both ends of a channel in memory, each with a vault of its own, so that nothing passes between them but bytes. */
import assert from "node:assert/strict";
import { signBatch } from "@feldfon/protocol/channel/batch";
import { ChannelClient } from "@feldfon/protocol/channel/client";
import { SealedChannel } from "@feldfon/protocol/channel/sealed";
import { ChannelServer } from "@feldfon/protocol/channel/server";
import { transcript } from "@feldfon/protocol/crypto/transcript";
import { ProtocolError } from "@feldfon/protocol/errors";
import { HEADER_BYTES } from "@feldfon/protocol/frames";
import { PublicKey, type Uid } from "@feldfon/protocol/identity";
import { encodeSip, parseSip, type SipMessage } from "@feldfon/protocol/sip";
import type { KeyPair, Vault } from "@feldfon/protocol/vault";
import { type TestingVault, testingVault } from "@feldfon/vault/testing";
import { testKeyPair } from "../../keys.ts";

export interface End {
  vault: TestingVault;
  keyPair: KeyPair;
  key: PublicKey;
}

export interface Ends {
  client: End;
  server: End;
}

export async function end(keyNumber: number, slotsMax?: number): Promise<End> {
  const vault = testingVault(slotsMax === undefined ? {} : { slotsMax });
  const keyPair = await testKeyPair(vault, keyNumber);
  return { vault, keyPair, key: new PublicKey(keyPair.spki) };
}

/** A message that was written already, sealed. @returns the frame's body */
export function seal(channel: SealedChannel, clear: Uint8Array): Buffer {
  return channel.sealFrame(clear.length, (place) => place.set(clear)).subarray(HEADER_BYTES);
}

export async function bothEnds(): Promise<Ends> {
  return { client: await end(0), server: await end(1) };
}

export function newClient(
  { client, server }: Ends,
  options: { serverUid?: Uid; vault?: Vault; random?: typeof sevens } = {},
): ChannelClient {
  return new ChannelClient({ vault: client.vault, keyPair: client.keyPair, serverUid: server.key.uid, ...options });
}

export function newServer({ server }: Ends, options: { vault?: Vault; random?: typeof sevens } = {}): ChannelServer {
  return new ChannelServer({ vault: server.vault, serverKey: server.key, ...options });
}

/** No randomness at all, for conversations that are to begin alike. */
export function sevens(bytes: number): Buffer {
  return Buffer.alloc(bytes, 7);
}

/**
 * The same vault, but it agrees on keys once and gives out the same halves and secrets ever after. With `sevens`, the
 * messages made with it are the same as well, so one answer, dearly signed, can be changed and tried a thousand times.
 */
export function repeating(vault: TestingVault): { vault: Vault; wipe(): void } {
  const made = new Map<string, unknown>();
  const kept = new Set<unknown>();
  const once = <Result extends object>(what: string, make: () => Result, ...handles: (keyof Result)[]): Result => {
    if (!made.has(what)) {
      const result = make();
      made.set(what, result);
      for (const handle of handles.length > 0 ? handles.map((name) => result[name]) : [result]) kept.add(handle);
    }
    return made.get(what) as Result;
  };
  const repeated: Partial<Vault> = {
    makeEphemeral: (algorithm) => once(`own ${algorithm}`, () => vault.makeEphemeral(algorithm)),
    agree: (own, peer) => once("agree", () => vault.agree(own, peer)),
    encapsulate: (key) => once("encapsulate", () => vault.encapsulate(key), "secret"),
    wipe: (...handles) => vault.wipe(...handles.filter((handle) => !kept.has(handle))),
  };
  const get = (_: unknown, name: keyof Vault) => repeated[name] ?? vault[name].bind(vault);
  return {
    vault: new Proxy(vault as Vault, { get } as ProxyHandler<Vault>),
    wipe: () => vault.wipe(...([...kept] as Parameters<Vault["wipe"]>)),
  };
}

/** M3 for one leaf. */
export async function signOne({ vault, keyPair }: End, leaf: Buffer): Promise<Buffer> {
  return (await signBatch(vault, keyPair, [leaf]))[0]!;
}

export interface Handshake {
  m1: Buffer;
  answer: Buffer;
  m4: Buffer;
  client: SealedChannel;
  server: SealedChannel;
}

export async function handshake(ends: Ends): Promise<Handshake> {
  const [client, server] = [newClient(ends), newServer(ends)];
  const m1 = client.start();
  const answer = server.offer(await signOne(ends.server, server.hello(m1).leaf));
  const { m4, channel } = await client.receive(answer);
  return { m1, answer, m4, client: channel, server: server.prove(m4) };
}

let pairs = 0;

/** Two channels as a handshake leaves them, without its signatures; each pair has its own th and secret (ch or j). */
export function sealedPair({ client, server }: Ends, keys: "connected" | "resumed" = "connected") {
  const th = transcript("channel", Buffer.from(`test ${pairs++}`));
  const secret = Buffer.alloc(32, pairs);
  const half = ({ vault }: End, side: "client" | "server", peer: Uid) =>
    SealedChannel[keys]({ vault, side, peer, th, secret: vault.import("derive", secret) });
  return { client: half(client, "client", server.key.uid), server: half(server, "server", client.key.uid), secret };
}

/** Slots and ephemerals that are alive. */
export function alive(...ends: End[]): number {
  return ends.reduce((slots, { vault }) => slots + vault.status().slotsInUse, 0);
}

/** Reads a message, changes it, and writes it with a Content-Length that is right. */
export function rewrite(message: Buffer, change: (sip: SipMessage) => void): Buffer {
  const sip = parseSip(message);
  sip.body = Buffer.from(sip.body);
  change(sip);
  return encodeSip(sip);
}

/** The message with one bit of one byte turned. */
export function flipped(message: Buffer, at: number): Buffer {
  const copy = Buffer.from(message);
  copy[at]! ^= 1 << (at % 8);
  return copy;
}

/** The code with which it is refused. Anything but a ProtocolError is a mistake of ours. */
export function codeOf(attempt: () => unknown): string | undefined {
  try {
    attempt();
    return undefined;
  } catch (error) {
    assert.ok(error instanceof ProtocolError, `${error} is no ProtocolError`);
    return error.code;
  }
}

export async function codeOfAsync(attempt: () => Promise<unknown>): Promise<string | undefined> {
  try {
    await attempt();
    return undefined;
  } catch (error) {
    assert.ok(error instanceof ProtocolError, `${error} is no ProtocolError`);
    return error.code;
  }
}

/** Whether what either end seals the other one opens. */
export function shared(one: SealedChannel, other: SealedChannel): boolean {
  const open = (from: SealedChannel, to: SealedChannel) => codeOf(() => to.open(seal(from, Buffer.from("ping"))));
  return open(one, other) === undefined && open(other, one) === undefined;
}
