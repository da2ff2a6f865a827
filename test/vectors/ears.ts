/**
 * Ears in the machine, for record.ts: bytes are overheard where they are made. Frames where a channel seals them, the
 * handshake at the server's half, secrets where a vault derives or opens them.
 */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { ResumeServer } from "@feldfon/protocol/channel/resume";
import { SealedChannel, type Side } from "@feldfon/protocol/channel/sealed";
import { ChannelServer } from "@feldfon/protocol/channel/server";
import { transcript } from "@feldfon/protocol/crypto/transcript";
import { HEADER_BYTES } from "@feldfon/protocol/frames";
import type { Uid } from "@feldfon/protocol/identity";
import {
  decodeAnswer,
  decodeConfirmation,
  decodeHop,
  decodeInvite,
  decodeParts,
  wrapTranscript,
} from "@feldfon/protocol/phone/call-bytes";
import { parseSip, type SipMessage } from "@feldfon/protocol/sip";
import type { Ephemeral, Slot } from "@feldfon/protocol/vault";
import { type TestingVault, testingVault } from "@feldfon/vault/testing";
import { type Recorded, recorded } from "./files.ts";

export interface Message {
  line: string;
  from: Side;
  keys: "connect" | "joined";
  counter: number;
  clear: Buffer;
  sip: SipMessage;
  frame: Buffer;
}

interface Handshake {
  m1: Buffer;
  unauthorized: Buffer;
  m4: Buffer;
  th: Buffer;
}

/** Who is who, and how many lines each has had: the first is called "anna", the next "anna 2". */
export const owners = new Map<Uid, { name: string; lines: number }>();
/** What was sealed and not yet taken by `chapter`. */
const messages: Message[] = [];
/** Secrets by the word and transcript they were made for: both ends have to make the same. */
const secrets = new Map<string, Buffer>();
/** Private halves by what the wire shows of them. */
const privates = new Map<string, Buffer>();
/** By transcript. */
const lineNames = new Map<string, string>();
const resumeIds = new Map<string, Buffer>();
/** By line and direction: which keys the last frame was under, and the last counter that was written down. */
const keysInUse = new Map<string, Message["keys"]>();
const written = new Map<string, number>();
const handshakes = new Map<ChannelServer, Handshake>();
const resumes: { before: string; r1: Buffer; r2: Buffer; th: Buffer }[] = [];

const hexOf = (value: Uint8Array): string => Buffer.from(value).toString("hex");

// Listening

export function listenTo(vault: TestingVault): void {
  const { derive, unwrap } = vault;
  vault.makeEphemeral = ((algorithm: "x25519" | "ml-kem-768"): Ephemeral => {
    const secret = randomBytes(algorithm === "x25519" ? 32 : 64);
    const ephemeral = vault.importEphemeral(algorithm, secret);
    privates.set(hexOf(ephemeral.publicKey), secret);
    return ephemeral;
  }) as TestingVault["makeEphemeral"];
  vault.derive = ((...args: Parameters<TestingVault["derive"]>): Slot => {
    const slot = derive.apply(vault, args);
    remember(args[4], vault.reveal(slot));
    return slot;
  }) as TestingVault["derive"];
  vault.unwrap = async (...args) => {
    const slot = await unwrap.apply(vault, args);
    remember(args[1], vault.reveal(slot));
    return slot;
  };
}

export function listenToChannels(): void {
  const { sealFrame } = SealedChannel.prototype;
  SealedChannel.prototype.sealFrame = function (clearBytes, write) {
    const clear = Buffer.alloc(clearBytes);
    write(clear);
    const frame = sealFrame.call(this, clearBytes, write);
    // It is opened where it stands.
    heardFrame(this, clear, Buffer.from(frame.subarray(HEADER_BYTES)));
    return frame;
  };

  const { hello, offer, prove } = ChannelServer.prototype;
  const none = Buffer.alloc(0);
  ChannelServer.prototype.hello = function (m1) {
    handshakes.set(this, { m1, unauthorized: none, m4: none, th: none });
    return hello.call(this, m1);
  };
  ChannelServer.prototype.offer = function (m3) {
    const unauthorized = offer.call(this, m3);
    handshakes.get(this)!.unauthorized = unauthorized;
    return unauthorized;
  };
  ChannelServer.prototype.prove = function (m4) {
    const channel = prove.call(this, m4);
    Object.assign(handshakes.get(this)!, { m4, th: channel.th });
    nameLine(channel.th, channel.peer);
    return channel;
  };

  const { accept } = ResumeServer.prototype;
  ResumeServer.prototype.accept = function (r1, ticket) {
    const before = lineNames.get([...resumeIds].find(([, id]) => id.equals(ticket.id))![0])!;
    const accepted = accept.call(this, r1, ticket);
    resumes.push({ before, r1, r2: accepted.r2, th: accepted.channel.th });
    nameLine(accepted.channel.th, accepted.channel.peer);
    return accepted;
  };
}

/** @param label "feldfon/1 WORD" | 00 | t */
function remember(label: Uint8Array, secret: Buffer): void {
  const text = Buffer.from(label);
  const zero = text.indexOf(0);
  const name = `${text.subarray("feldfon/1 ".length, zero)}/${hexOf(text.subarray(zero + 1))}`;
  const known = secrets.get(name);
  if (known) assert.deepEqual(secret, known, "both ends make the same");
  secrets.set(name, secret);
}

function nameLine(th: Buffer, client: Uid): void {
  const owner = owners.get(client)!;
  owner.lines++;
  lineNames.set(hexOf(th), owner.lines === 1 ? owner.name : `${owner.name} ${owner.lines}`);
}

function heardFrame(channel: SealedChannel, clear: Buffer, frame: Buffer): void {
  const line = lineNames.get(hexOf(channel.th))!;
  const counter = Number(frame.readBigUInt64BE());
  const direction = `${line}/${channel.side}`;
  const resumed = resumes.some(({ th }) => th.equals(channel.th));
  const before = keysInUse.get(direction);
  const keys = resumed || (before && counter === 0) ? "joined" : (before ?? "connect");
  keysInUse.set(direction, keys);
  if (channel.ticket) resumeIds.set(hexOf(channel.th), channel.ticket.id);
  messages.push({ line, from: channel.side, keys, counter, clear, sip: parseSip(clear), frame });
}

// What was heard

/** Takes what was sealed since the last chapter. */
export function chapter(): Message[] {
  return messages.splice(0);
}

/** Messages as the vectors have them, in order over all chapters; a gap in the counters is told. */
export function messageRecords(said: readonly Message[]): Recorded[] {
  return said.map(({ line, from, keys, counter, clear, sip, frame }) => {
    const stream = `${line}/${from}/${keys}`;
    const skipped = counter - (written.get(stream) ?? -1) - 1;
    written.set(stream, counter);
    return {
      line,
      from,
      what: kindOf(sip),
      keys,
      counter,
      ...(skipped > 0 && { skipped }),
      ...recorded("message", clear),
      ...recorded("frame", frame),
    };
  });
}

/** "join", "join 200", "INVITE", "INVITE 100" */
export function kindOf(sip: SipMessage): string {
  return `${sip.feldfon ?? sip.cseq.method}${sip.type === "response" ? ` ${sip.status}` : ""}`;
}

export function lineRecords(): Recorded[] {
  const finished = [...handshakes.values()].filter(({ m4 }) => m4.length > 0);
  return finished.map(({ m1, unauthorized, m4, th }) => {
    const line = lineNames.get(hexOf(th))!;
    const m3 = unauthorized.subarray(-1032);
    return {
      line,
      client: line.split(" ")[0],
      batchIndex: m3.readUInt32BE(512),
      batchSize: m3.readUInt32BE(516),
      ...recorded("m1", m1),
      ...recorded("unauthorized", unauthorized),
      ...recorded("m4", m4),
      ...agreement(parseSip(m1).body, 34, parseSip(unauthorized).body),
      ...recorded("th", th),
      ...recorded("ch", secretOf("channel", th)),
      ...pair("connect", th),
      ...recorded("serverSecret", secretOf("server secret", th)),
      ...recorded("j", secretOf("joined", th)),
      ...pair("joined", th),
      ...resumeKeys(th),
    };
  });
}

export function resumeRecords(): Recorded[] {
  return resumes.map(({ before, r1, r2, th }) => ({
    line: lineNames.get(hexOf(th)),
    before,
    ...recorded("r1", r1),
    ...recorded("r2", r2),
    ...agreement(parseSip(r1).body, 50, parseSip(r2).body),
    ...recorded("th", th),
    ...recorded("j", secretOf("resumed", th)),
    ...pair("joined", th),
    ...resumeKeys(th),
  }));
}

export interface CallHeard {
  /** What happens in it. */
  name: string;
  caller: string;
  callee: string;
  /** "keys": both ends proved theirs; "here": BYE with the call_id alone; "none": no BYE. */
  ended: "keys" | "here" | "none";
  sas?: readonly number[];
  /** What was said by INFO. */
  infos?: Recorded[];
}

/** Everything a call was made of, from the chapter in which it was heard. */
export function callRecord(said: readonly Message[], { sas, infos, ...heard }: CallHeard): Recorded {
  const bodyOf = (from: Message["from"], what: string) => {
    const message = said.find((one) => one.from === from && kindOf(one.sip) === what);
    return message && decodeParts(message.sip.body);
  };
  const invite = decodeInvite(bodyOf("client", "INVITE")!.endToEnd);
  const [hopA, hopB] = [bodyOf("server", "INVITE 100")!.hop, bodyOf("server", "INVITE")!.hop];
  const answer = bodyOf("client", "INVITE 200")?.endToEnd;
  const ack = bodyOf("client", "ACK")?.endToEnd;
  const opened = wrapTranscript(invite.callId, invite.caller, invite.callee, invite.caller);
  return {
    ...heard,
    ...recorded("callId", invite.callId),
    ...recorded("sAb", secretOf("call", opened)),
    ...recorded("relayA", decodeHop(hopA).relayId),
    ...recorded("relayB", decodeHop(hopB).relayId),
    ...(answer && recorded("xB", privateOf(decodeAnswer(answer).x25519))),
    ...(answer && recorded("calleeMlkem", privateOf(decodeAnswer(answer).encapsulationKey))),
    ...(answer && ack && callKeys(invite.bytes, answer, ack)),
    ...(sas && { sas }),
    ...(infos && { infos }),
  };
}

function callKeys(invite: Buffer, answer: Buffer, ack: Buffer): Recorded {
  const { x25519, nonce, ciphertext, before } = decodeConfirmation(ack);
  const { x25519: peerX25519, encapsulationKey } = decodeAnswer(answer);
  const shared = sharedSecrets(x25519, peerX25519, encapsulationKey, ciphertext);
  const th = transcript("call", invite, answer, before);
  const made = (name: string, word: string) => recorded(name, secretOf(word, th));
  return {
    ...recorded("xA", privateOf(x25519)),
    ...recorded("nA", nonce),
    ...shared,
    ...recorded("th", th),
    ...made("cm", "call"),
    ...made("confirmA", "confirm A"),
    ...made("confirmB", "confirm B"),
    ...made("mediaA", "media A"),
    ...made("mediaB", "media B"),
    ...made("wayA", "way A"),
    ...made("wayB", "way B"),
  };
}

/** Private halves and shared secrets of M1 and M2, or R1 and R2. @param askAt where X25519 stands in the request */
function agreement(ask: Buffer, askAt: number, answer: Buffer): Recorded {
  const [clientX25519, ek] = [ask.subarray(askAt, askAt + 32), ask.subarray(askAt + 32, askAt + 32 + 1184)];
  const [serverX25519, ciphertext] = [answer.subarray(34, 66), answer.subarray(66, 66 + 1088)];
  return {
    ...recorded("clientX25519", privateOf(clientX25519)),
    ...recorded("clientMlkem", privateOf(ek)),
    ...recorded("serverX25519", privateOf(serverX25519)),
    ...sharedSecrets(clientX25519, serverX25519, ek, ciphertext),
  };
}

/** By the private halves of the end that offered the encapsulation key, or of the other one for X25519. */
function sharedSecrets(x25519: Buffer, peerX25519: Buffer, ek: Buffer, ciphertext: Buffer): Recorded {
  const vault = testingVault();
  const own = vault.importEphemeral("x25519", privateOf(x25519));
  const kem = vault.importEphemeral("ml-kem-768", privateOf(ek));
  return {
    ...recorded("ssMlkem", vault.reveal(vault.decapsulate(kem, ciphertext))),
    ...recorded("ssX25519", vault.reveal(vault.agree(own, peerX25519))),
  };
}

function pair(name: "connect" | "joined", th: Buffer): Recorded {
  return {
    ...recorded(`${name}C2s`, secretOf(`${name} c2s`, th)),
    ...recorded(`${name}S2c`, secretOf(`${name} s2c`, th)),
  };
}

function resumeKeys(th: Buffer): Recorded {
  return {
    ...recorded("resumeMac", secretOf("resume mac", th)),
    ...recorded("resumeKey", secretOf("resume key", th)),
    ...recorded("resumeId", resumeIds.get(hexOf(th))!),
  };
}

function secretOf(word: string, t: Uint8Array): Buffer {
  const secret = secrets.get(`${word}/${hexOf(t)}`);
  assert.ok(secret, `nobody made ${word}`);
  return secret;
}

function privateOf(publicKey: Uint8Array): Buffer {
  const secret = privates.get(hexOf(publicKey));
  assert.ok(secret, "an ephemeral of nobody");
  return secret;
}
