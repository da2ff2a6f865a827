/**
 * One plausible message of every kind the order tables know, as a proven peer might send it at any moment: the right
 * form, the right Call-ID, the next CSeq, contents that hold as far as they can. Only its place is wrong.
 */
import { randomBytes } from "node:crypto";
import { concat, lp, u64 } from "@feldfon/protocol/bytes";
import { sign, transcript, wrap } from "@feldfon/protocol/crypto/transcript";
import {
  answerBefore,
  decodeParts,
  encodeFarewell,
  encodeHop,
  encodeParts,
  wrapTranscript,
} from "@feldfon/protocol/phone/call-bytes";
import type {
  CallKind,
  ConnectKind,
  DeltaKind,
  LeaveKind,
  SnapshotKind,
  SyncKind,
  UpdateKind,
} from "@feldfon/protocol/phone/orders";
import { hex, type Method, type SipMessage, type SipRequest } from "@feldfon/protocol/sip";
import { type End, otherEnd, type StageHandset } from "./stage.ts";

export type LineKind =
  | ConnectKind
  | SyncKind
  | DeltaKind
  | UpdateKind
  | SnapshotKind
  | LeaveKind
  | "c:ping"
  | "s:ping"
  | "c:pong"
  | "s:pong"
  | "c:path"
  | "s:path"
  | "a:invite";

/** What `from` says on this line, truly sealed or not. */
function lastOf(handset: StageHandset, from: End, fits: (request: SipRequest) => boolean): SipRequest | undefined {
  const spoken = handset.wire.spoken.findLast(
    ({ from: who, message }) => who === from && message.type === "request" && fits(message),
  );
  return spoken?.message as SipRequest | undefined;
}

/** The next message that `from` could say on this line. */
class Speaker {
  readonly #handset: StageHandset;
  readonly #from: End;

  constructor(handset: StageHandset, from: End) {
    this.#handset = handset;
    this.#from = from;
  }

  request(
    method: Method,
    feldfon: string | undefined,
    body: Uint8Array = Buffer.alloc(0),
    callId?: string,
  ): SipMessage {
    const { party, peer, tag, nextCSeq, lineId } = this.#self();
    return {
      type: "request",
      method,
      uri: peer,
      branch: hex(8),
      from: { party, tag },
      to: { party: peer },
      callId: callId ?? lineId,
      cseq: { number: nextCSeq, method },
      ...(feldfon === undefined ? {} : { feldfon }),
      body: Buffer.from(body),
    };
  }

  /** Answers the latest request with that word, or one that was never made. */
  answer(word: string, status: number, body: Uint8Array = Buffer.alloc(0), reason = word): SipMessage {
    const { party, peer, tag, lineId } = this.#self();
    const asked = lastOf(this.#handset, otherEnd(this.#from), ({ feldfon }) => feldfon === word);
    const method = asked?.method ?? "MESSAGE";
    return {
      type: "response",
      status,
      branch: asked?.branch ?? hex(8),
      from: asked?.from ?? { party: peer, tag: hex(8) },
      to: { party: asked?.to.party ?? party, tag },
      callId: lineId,
      cseq: asked?.cseq ?? { number: 99, method },
      feldfon: reason,
      body: Buffer.from(body),
    };
  }

  #self() {
    const { uid, wire, line } = this.#handset;
    const mine = wire.spoken.filter(({ from }) => from === this.#from).map(({ message }) => message);
    const numbers = mine.filter(({ type }) => type === "request").map(({ cseq }) => cseq.number);
    const [party, peer] = this.#from === "server" ? (["server", uid] as const) : ([uid, "server"] as const);
    return { party, peer, tag: hex(8), nextCSeq: Math.max(2, ...numbers) + 1, lineId: line!.callId };
  }
}

/** @param from who sends it, which for half of the kinds is the wrong one */
export function lineMessage(kind: LineKind, handset: StageHandset, from: End): SipMessage {
  const { server, follower } = handset;
  const say = new Speaker(handset, from);
  const head = server.head();
  const known = follower.last ?? head;
  const position = concat(u64(known.head.epoch), known.hash);
  const { step2, step6 } = server.snapshot(known.head.epoch, known.hash);
  switch (kind) {
    case "c:join":
      return say.request("REGISTER", "join", concat(lp(Buffer.from(handset.name)), position, lp(Buffer.alloc(0))));
    case "s:joined":
      return say.answer("join", 200);
    case "s:refused": {
      const proving = lastOf(handset, otherEnd(from), ({ feldfon }) => feldfon === "proof");
      return say.answer(proving ? "proof" : "join", 403, undefined, proving ? "head-unknown" : "name-taken");
    }
    case "s:head":
      return say.request("MESSAGE", "head", step2);
    case "c:head-kept":
      return say.answer("head", 200, head.hash);
    case "s:secret":
      return say.request("MESSAGE", "secret", wrappedSecret(handset));
    case "c:stored":
      return say.answer("secret", 200, transcript("stored", handset.line!.channel.th));
    case "s:phonebook":
      return say.request("MESSAGE", "phonebook", step6);
    case "c:phonebook-kept":
      return say.answer("phonebook", 200, head.hash);
    case "s:delta":
      return say.request("MESSAGE", "delta", server.delta(head.head.epoch)!);
    case "c:delta-kept":
      return say.answer("delta", 200, head.hash);
    case "c:update":
      return say.request("MESSAGE", "update");
    case "s:challenge":
      return say.answer("update", 200, randomBytes(32));
    case "c:proof":
      return say.request("MESSAGE", "proof", concat(position, randomBytes(512)));
    case "s:root":
      return say.answer("proof", 200, head.head.seedRoot);
    case "c:snapshot":
      return say.request("MESSAGE", "snapshot", position);
    case "s:granted":
      return say.answer("snapshot", 200);
    case "c:sync":
      return say.request("MESSAGE", "sync", position);
    case "s:synced":
      return say.answer("sync", 200);
    case "c:leave":
    case "s:leave":
      return say.request("BYE", "leave");
    case "c:left":
    case "s:left":
      return say.answer("leave", 200);
    case "c:ping":
    case "s:ping":
      return say.request("MESSAGE", "ping");
    case "c:pong":
    case "s:pong":
      return say.answer("ping", 200);
    case "c:path":
      return say.request("MESSAGE", "path", concat(u64(0), u64(head.head.epoch)));
    case "s:path":
      return say.answer("path", 200, server.logPath(0, head.head.epoch));
    case "a:invite":
      return say.request("INVITE", undefined, encodeParts(randomBytes(1322)), hex(16));
  }
}

/** Connect 4, as the server would make it, of another secret. */
function wrappedSecret({ server, key, line }: StageHandset): Buffer {
  const secret = server.vault.newSecret();
  const wrapped = wrap(server.vault, key, "server secret", line!.channel.th, secret.wrap);
  server.vault.wipe(secret.wrap, secret.derive);
  return wrapped;
}

/** What is known of a running call to somebody who sees all its messages. */
export interface Overheard {
  callId: string;
  a: StageHandset;
  b: StageHandset;
}

/** Sends a message of a call on one line, as the line's own would, so that its CSeq goes on. Its answer is let go. */
export async function sayInCall(kind: CallKind, call: Overheard, handset: StageHandset, from: End): Promise<void> {
  const line = from === "server" ? handset.serverLine! : handset.line!;
  const uri = from === "server" ? handset.uid : (handset === call.a ? call.b : call.a).uid;
  const { callId } = call;
  const id = Buffer.from(callId, "hex");
  const hop = from === "server" ? wrappedHop(call, handset) : undefined;
  const asked = (method: Method) => requestInCall(call, handset, otherEnd(from), method);
  const invited = requestInCall(call, handset, from, "INVITE");
  switch (kind) {
    case "a:invite":
      line.request("INVITE", { uri, callId, body: encodeParts(inviteOf(call), hop) }, () => {});
      return;
    case "s:trying":
      return line.answer(asked("INVITE"), 100, { body: encodeParts(undefined, hop) });
    case "b:ringing":
      return line.answer(asked("INVITE"), 180);
    case "b:answer":
      return line.answer(asked("INVITE"), 200, { body: encodeParts(await signedAnswer(call)) });
    case "refused":
      return line.answer(asked("INVITE"), 486);
    case "a:ack":
      return line.follow(invited, "ACK", encodeParts(concat(id, randomBytes(32 + 32 + 1088 + 544))));
    case "a:cancel":
      return line.follow(invited, "CANCEL", Buffer.alloc(0), () => {});
    case "s:cancelled":
      return line.answer(asked("CANCEL"), 200);
    case "a:bye":
    case "b:bye":
      line.request("BYE", { uri, callId, body: encodeParts(encodeFarewell(id, randomBytes(32))) }, () => {});
      return;
    case "s:bye":
      line.request("BYE", { uri, callId, body: encodeParts(encodeFarewell(id)) }, () => {});
      return;
    case "a:gone":
    case "b:gone":
      return line.answer(asked("BYE"), 200, { body: encodeParts(encodeFarewell(id, randomBytes(32))) });
    case "a:way":
    case "b:way":
      line.request("INFO", { uri, callId, body: encodeParts(concat(u64(0), randomBytes(40))) }, () => {});
      return;
  }
}

/** The latest request of that method that `from` made in the call on this line, or one that was never made. */
function requestInCall({ callId }: Overheard, handset: StageHandset, from: End, method: Method): SipRequest {
  const said = lastOf(handset, from, (request) => request.callId === callId && request.method === method);
  if (said) return said;
  const [party, peer] = from === "server" ? (["server", handset.uid] as const) : ([handset.uid, "server"] as const);
  return {
    type: "request",
    method,
    uri: peer,
    branch: hex(8),
    from: { party, tag: hex(8) },
    to: { party: peer },
    callId,
    cseq: { number: 99_999, method },
    body: Buffer.alloc(0),
  };
}

/** I, as the caller said it. */
function inviteOf({ callId, a }: Overheard): Buffer {
  const said = lastOf(a, "handset", (request) => request.callId === callId && request.method === "INVITE");
  return said ? decodeParts(said.body).endToEnd : randomBytes(1322);
}

/** R with the callee's true signature: the one that was given, or one that could have been. */
async function signedAnswer(call: Overheard): Promise<Buffer> {
  const { callId, b } = call;
  const given = b.wire.spoken.findLast(
    ({ from, message }) =>
      from === "handset" &&
      message.type === "response" &&
      message.callId === callId &&
      message.cseq.method === "INVITE",
  );
  if (given && given.message.body.length > 0) return decodeParts(given.message.body).endToEnd;
  const halves = [b.vault.makeEphemeral("x25519"), b.vault.makeEphemeral("ml-kem-768")] as const;
  b.vault.wipe(...halves);
  const head = b.follower.head!;
  const before = answerBefore({
    callId: Buffer.from(callId, "hex"),
    x25519: halves[0].publicKey,
    encapsulationKey: halves[1].publicKey,
    nonce: randomBytes(32),
    head: head.bytes,
    headSignature: head.signature,
  });
  return concat(before, await sign(b.vault, b.keyPair, "answer", transcript("answer", inviteOf(call), before)));
}

function wrappedHop({ callId, a, b }: Overheard, { server, key, uid }: StageHandset): Buffer {
  const secret = server.vault.newSecret();
  const t = wrapTranscript(Buffer.from(callId, "hex"), a.uid, b.uid, uid);
  const wrapped = wrap(server.vault, key, "call", t, secret.wrap);
  server.vault.wipe(secret.wrap, secret.derive);
  return encodeHop({ wrapped, relayId: randomBytes(8) });
}
