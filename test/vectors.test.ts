/**
 * The recorded wire (test/vectors/README.md): our own code makes the same bytes again or takes them, and so does a
 * script in another language that was written from wire.md alone. A change of the wire shows here.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { u64 } from "@feldfon/protocol/bytes";
import { checkM3 } from "@feldfon/protocol/channel/batch";
import { ResumeServer } from "@feldfon/protocol/channel/resume";
import { ChannelServer } from "@feldfon/protocol/channel/server";
import { kdf, signatureHolds, transcript, unwrap } from "@feldfon/protocol/crypto/transcript";
import { verifyEvidence } from "@feldfon/protocol/directory/evidence";
import { Follower } from "@feldfon/protocol/directory/follower";
import { headHash, readSignedHead, type SignedHead } from "@feldfon/protocol/directory/tree-head";
import { encodeCandidates, parseCandidates } from "@feldfon/protocol/media/candidates";
import { mediaProfile } from "@feldfon/protocol/media/profile";
import { bindHolds, boundHolds, encodeBind, encodeBound, parseRelayDatagram } from "@feldfon/protocol/media/relay";
import {
  callSas,
  commitment,
  confirmationBefore,
  decodeAnswer,
  decodeConfirmation,
  decodeFarewell,
  decodeHop,
  decodeInvite,
  decodeParts,
  wrapTranscript,
} from "@feldfon/protocol/phone/call-bytes";
import { callMac, deriveCallKeys, type Party } from "@feldfon/protocol/phone/call-keys";
import { encodeSip, parseSip, type SipMessage } from "@feldfon/protocol/sip";
import { type TestingVault, testingVault } from "@feldfon/vault/testing";
import { bytesOf, type Recorded, readVectors, VECTORS } from "./vectors/files.ts";
import { Replay } from "./vectors/replay.ts";

const FILES = ["keys", "channel", "directory", "call", "voice", "resume"] as const;
const [keys, channel, directory, call, voice, resume] = FILES.map(readVectors);

const replay = new Replay();
const serverKey = replay.keyOf("server");
/** What both ends have to come to. */
const LINE_SECRETS = [
  ...["ssMlkem", "ssX25519", "ch", "connectC2s", "connectS2c", "serverSecret", "j", "joinedC2s", "joinedS2c"],
  ...["resumeMac", "resumeKey"],
];
const sipOf = (record: Recorded): SipMessage => parseSip(bytesOf(record, "message"));
const client = (line: string): string => line.split(" ")[0]!;

describe("the recorded wire, made again by our own code", () => {
  it("has every M1, M2, M3 and M4, R1 and R2, and every frame under the keys they lead to", async () => {
    for (const line of channel.lines) await replay.handshake(line);
    for (const record of [...channel.messages, ...directory.messages, ...call.messages]) await replay.pass(record);
    for (const line of resume.lines) replay.resume(line);
    for (const record of resume.messages) await replay.pass(record);
    for (const { relayIdHex, line, ...record } of voice.relays) {
      const { client: end, vaults } = replay.lines.get(line)!;
      const bk = end.relayKey(Buffer.from(relayIdHex, "hex"));
      assert.deepEqual(vaults.client.reveal(bk), bytesOf(record, "bk"));
    }
    for (const { record, vaults } of replay.lines.values()) {
      for (const name of LINE_SECRETS.filter((one) => `${one}Hex` in record)) {
        for (const [side, { births }] of Object.entries(vaults)) {
          const made = births.some(({ secret }) => secret.equals(bytesOf(record, name)));
          assert.ok(made, `${record.line}: ${name} at the ${side}`);
        }
      }
    }
  });

  it("has uids that come from the keys, and head hashes that come from the heads", () => {
    for (const [name, one] of Object.entries(replay.keys)) assert.equal(replay.keyOf(name).uid, one.uidHex);
    for (const one of channel.heads) assert.deepEqual(headHash(bytesOf(one, "head")), bytesOf(one, "headHash"));
  });

  it("has SIP messages that we write as they were read", () => {
    const clear = [...channel.lines, ...resume.lines, ...channel.refusals, ...resume.refusals].flatMap((one) =>
      ["m1", "unauthorized", "m4", "r1", "r2", "asked", "refused"]
        .filter((name) => name in one)
        .map((name) => bytesOf(one, name)),
    );
    const sealed = [channel, directory, call, resume].flatMap(({ messages }) =>
      messages.map((record: Recorded) => bytesOf(record, "message")),
    );
    for (const bytes of [...clear, ...sealed]) assert.deepEqual(encodeSip(parseSip(bytes)), bytes);
  });

  it("has batches in which every line finds the server's signature, and no other line's", () => {
    for (const { leavesHex, m3 } of channel.batches) {
      const leaves = leavesHex.map((leaf: string) => Buffer.from(leaf, "hex"));
      for (const [n, leaf] of leaves.entries()) {
        for (const [at, one] of m3.entries()) {
          assert.equal(checkM3(Buffer.from(one, "base64"), leaf, serverKey), at === n);
        }
      }
    }
  });

  it("has refusals in clear for the same questions", () => {
    const [busy, keyBad] = channel.refusals;
    const half = () => new ChannelServer({ vault: testingVault(), serverKey, random: () => Buffer.alloc(8) });
    const withoutTag = (sip: SipMessage) => ({ ...sip, to: { party: sip.to.party } });
    const said = (answer: Buffer) => withoutTag(parseSip(answer));
    assert.deepEqual(said(half().busy(bytesOf(busy, "asked"), 5)), said(bytesOf(busy, "refused")));
    const judge = half();
    assert.throws(() => judge.hello(bytesOf(keyBad, "asked")), { code: "key-bad" });
    assert.deepEqual(said(judge.keyBad()), said(bytesOf(keyBad, "refused")));
    const [unknown] = resume.refusals;
    const server = new ResumeServer({ vault: testingVault(), random: () => Buffer.alloc(8) });
    assert.deepEqual(said(server.refusal481(bytesOf(unknown, "asked"))), said(bytesOf(unknown, "refused")));
  });

  it("leads every handset through the heads, rows, deltas and snapshots it was shown", () => {
    const names: Recorded = { anna: "Anna", ben: "Ben", carol: "Carol" };
    const followers = new Map<string, Follower>();
    const nonces = new Map<string, Buffer>();
    for (const record of [channel, directory, call, resume].flatMap(({ messages }) => messages as Recorded[])) {
      const name = client(record.line as string);
      const key = replay.keyOf(name);
      const known = () => new Follower({ serverKey, own: { uid: key.uid, name: names[name] as string, key } });
      const follower = followers.get(name) ?? known();
      followers.set(name, follower);
      const { body } = sipOf(record);
      if (record.what === "head") assert.equal(follower.offer(body).signed.hash.length, 32);
      if (record.what === "phonebook") follower.complete(body);
      if (record.what === "delta") follower.applyDelta(body);
      if (["phonebook 200", "delta 200"].includes(record.what as string)) assert.deepEqual(body, follower.head?.hash);
      if (record.what === "update 200") nonces.set(name, body);
      if (record.what === "proof") {
        const line = channel.lines.find((one: Recorded) => one.line === record.line)!;
        const t = transcript("update", bytesOf(line, "th"), nonces.get(name)!, follower.head!.hash);
        assert.deepEqual(body.subarray(0, 40), Buffer.concat([u64(follower.head!.head.epoch), follower.head!.hash]));
        assert.ok(signatureHolds(key, "update", t, body.subarray(40)));
      }
    }
    assert.deepEqual([...followers.keys()], ["anna", "ben", "carol"]);
  });

  it("links heads by the paths that were asked for", () => {
    const heads: SignedHead[] = channel.heads.map((one: Recorded) =>
      readSignedHead(bytesOf(one, "head"), bytesOf(one, "signature"), serverKey),
    );
    const own = { uid: replay.keyOf("ben").uid, name: "Ben", key: replay.keyOf("ben") };
    const follower = new Follower({ serverKey, own });
    const asked = call.messages.filter(({ what }: Recorded) => what === "path").map(sipOf);
    const answered = call.messages.filter(({ what }: Recorded) => what === "path 200").map(sipOf);
    assert.equal(asked.length, 2);
    for (const [n, { body }] of asked.entries()) {
      const [older, newer] = [body.readBigUInt64BE(0), body.readBigUInt64BE(8)].map((epoch) => heads[Number(epoch)]!);
      assert.equal(follower.checkPath(older!, newer!, answered[n].body), "linked");
    }
  });

  it("convicts a server by the recorded evidence", () => {
    assert.equal(verifyEvidence(Buffer.from(directory.evidence, "base64")).verdict, "two-heads");
    assert.equal(verifyEvidence(Buffer.from(directory.evidenceOfPath, "base64")).verdict, "unlinked");
  });
});

/** One recorded call, as its two handsets said it. */
class RecordedCall {
  readonly record: Recorded;
  readonly a: string;
  readonly b: string;
  readonly #said: Recorded[];

  constructor(record: Recorded) {
    this.record = record;
    this.a = client(record.caller as string);
    this.b = client(record.callee as string);
    this.#said = call.messages.filter((one: Recorded) => sipOf(one).callId === record.callIdHex);
  }

  /** Who said it first, and the end-to-end part and the hop of that. */
  first(from: "client" | "server", what: string): { by: Party; endToEnd: Buffer; hop: Buffer } | undefined {
    return this.all(from, what)[0];
  }

  all(from: "client" | "server", what: string): { by: Party; endToEnd: Buffer; hop: Buffer }[] {
    return this.#said
      .filter((one) => one.from === from && one.what === what)
      .map((one) => ({
        by: (client(one.line as string) === this.a) === (from === "client") ? "A" : "B",
        ...decodeParts(sipOf(one).body),
      }));
  }

  /** I, R and K, when it came to an ACK. */
  exchange() {
    const [invited, answered, acked] = [
      this.first("client", "INVITE"),
      this.first("client", "INVITE 200"),
      this.first("client", "ACK"),
    ];
    if (!invited || !answered || !acked) return undefined;
    const invite = decodeInvite(invited.endToEnd);
    const answer = decodeAnswer(answered.endToEnd);
    const ack = decodeConfirmation(acked.endToEnd);
    return { invite, answer, ack, th: transcript("call", invite.bytes, answer.bytes, ack.before) };
  }

  /** The keys of each end, made with its own private halves. */
  keys(vault: TestingVault, { answer, ack, th }: NonNullable<ReturnType<RecordedCall["exchange"]>>) {
    const x25519 = (name: string, peer: Buffer) =>
      vault.agree(vault.importEphemeral("x25519", bytesOf(this.record, name)), peer);
    const recorded = (name: string) => vault.import("derive", bytesOf(this.record, name));
    const kem = vault.importEphemeral("ml-kem-768", bytesOf(this.record, "calleeMlkem"));
    const atA = [recorded("ssMlkem"), x25519("xA", answer.x25519), recorded("sAb")] as const;
    const atB = [vault.decapsulate(kem, ack.ciphertext), x25519("xB", ack.x25519), recorded("sAb")] as const;
    return { A: deriveCallKeys(vault, "A", th, ...atA), B: deriveCallKeys(vault, "B", th, ...atB) };
  }
}

const otherParty = (party: Party): Party => (party === "A" ? "B" : "A");

describe("the recorded calls", () => {
  const calls = (call.calls as Recorded[]).map((record) => new RecordedCall(record));
  const talked = calls.filter((one) => one.exchange());

  it("begin with an INVITE its caller has signed, and one secret that both can open", async () => {
    const vault = testingVault();
    for (const one of calls) {
      const [a, b] = [replay.keyOf(one.a), replay.keyOf(one.b)];
      const { callId, caller, callee, before, signature } = decodeInvite(one.first("client", "INVITE")!.endToEnd);
      assert.deepEqual([caller, callee], [a.uid, b.uid]);
      assert.ok(signatureHolds(a, "invite", transcript("invite", before), signature));
      const hops = [one.first("server", "INVITE 100")!.hop, one.first("server", "INVITE")!.hop].map(decodeHop);
      for (const [n, name] of [one.a, one.b].entries()) {
        const t = wrapTranscript(callId, caller, callee, replay.keyOf(name).uid);
        const opened = await unwrap(vault, await replay.keyPair(vault, name), "call", t, hops[n]!.wrapped);
        assert.deepEqual(vault.reveal(opened), bytesOf(one.record, "sAb"));
      }
    }
  });

  it("were talked in exactly where keys were recorded", () => {
    assert.deepEqual(
      talked.map(({ record }) => record),
      call.calls.filter(({ thHex }: Recorded) => thHex),
    );
    assert.equal(talked.length, 3);
  });

  for (const one of talked) {
    const { record } = one;
    const { invite, answer, ack, th } = one.exchange()!;

    it(`reveal what was committed, under signatures of both: ${record.name}`, () => {
      const [a, b] = [replay.keyOf(one.a), replay.keyOf(one.b)];
      const { callId, x25519, nonce, ciphertext, before } = ack;
      assert.deepEqual(th, bytesOf(record, "th"));
      assert.deepEqual(confirmationBefore(callId, x25519, nonce, ciphertext), before);
      assert.deepEqual(commitment(callId, a.uid, b.uid, headHash(invite.head), x25519, nonce), invite.commit);
      assert.ok(signatureHolds(b, "answer", transcript("answer", invite.bytes, answer.before), answer.signature));
      assert.ok(signatureHolds(a, "ack", th, ack.signature));
      for (const said of [invite, answer]) readSignedHead(said.head, said.headSignature, serverKey);
    });

    it(`lead to the same keys and numbers, proven by both: ${record.name}`, () => {
      const vault = testingVault();
      const ends = one.keys(vault, one.exchange()!);
      for (const own of ["A", "B"] as const) {
        const peer = otherParty(own);
        const { confirm, media, way } = ends[own];
        for (const [slot, name] of [
          [confirm[own], `confirm${own}`],
          [confirm[peer], `confirm${peer}`],
          [media.send, `media${own}`],
          [media.receive, `media${peer}`],
          [way.send, `way${own}`],
          [way.receive, `way${peer}`],
        ] as const) {
          assert.deepEqual(vault.reveal(slot), bytesOf(record, name), name);
        }
      }
      assert.deepEqual(callSas(invite, answer, ack.x25519, ack.nonce), record.sas);
      const bye = one.first("client", "BYE")!;
      const gone = one.first("client", "BYE 200")!;
      assert.equal(gone.by, otherParty(bye.by));
      assert.deepEqual(ack.mac, callMac(vault, ends.B, "ack", "A"));
      assert.deepEqual(decodeFarewell(bye.endToEnd).mac, callMac(vault, ends.A, "bye", bye.by));
      assert.deepEqual(decodeFarewell(gone.endToEnd).mac, callMac(vault, ends.A, "gone", gone.by));

      const infos = (record.infos as Recorded[] | undefined) ?? [];
      const came = one.all("client", "INFO");
      assert.equal(came.length, infos.length);
      for (const { by, endToEnd } of came) {
        const counter = Number(endToEnd.readBigUInt64BE());
        const aad = Buffer.concat([ack.callId, u64(counter)]);
        const clear = vault.open(ends[otherParty(by)].way.receive, counter, aad, endToEnd.subarray(8));
        const info = infos.find((each) => each.sender === by && each.counter === counter)!;
        assert.deepEqual(clear, bytesOf(info, "candidates"));
        assert.deepEqual(encodeCandidates(parseCandidates(clear)), clear);
      }
    });
  }
});

describe("the recorded voice", () => {
  const th = bytesOf(call.calls.find((one: Recorded) => one.callIdHex === voice.callIdHex)!, "th");

  for (const sender of voice.senders) {
    it(`of ${sender.sender} is sealed and opened as it was, across changes of keys and a wrap of seq`, () => {
      const vault = testingVault();
      const profile = mediaProfile(th, sender.sender);
      const ends = (master: Buffer, start: number) => {
        vault.mediaStart = start;
        return {
          seal: vault.srtpSender(vault.import("packet-seal", master), profile),
          open: vault.srtpReceiver(vault.import("packet-open", master), profile),
        };
      };
      let index = 0;
      let voiceEnds = ends(bytesOf(sender, "mk"), 0);
      for (const packet of sender.packets as Recorded[]) {
        const at = packet.index as number;
        if (at > index + 4000) {
          let mk = vault.import("derive", bytesOf(sender, "mk"));
          for (let epoch = 0; epoch < Math.floor(at / 3000); epoch++) {
            mk = kdf(vault, "derive", `ratchet ${sender.sender}`, th, 44, mk);
          }
          voiceEnds = ends(vault.reveal(mk), at);
          index = at;
        }
        for (; index < at; index++) voiceEnds.seal.seal(Buffer.alloc(640), index * 320);
        index++;
        const [payload, timestamp] = [bytesOf(packet, "payload"), packet.timestamp as number];
        assert.deepEqual(voiceEnds.seal.seal(payload, timestamp), bytesOf(packet, "packet"), `packet ${at}`);
        assert.deepEqual(voiceEnds.open.open(bytesOf(packet, "packet")), { index: at, timestamp, payload });
      }
    });
  }

  it("finds its way through the relay by the recorded BIND and BOUND", () => {
    const vault = testingVault();
    for (const relay of voice.relays) {
      const [key, id] = [vault.import("mac", bytesOf(relay, "bk")), bytesOf(relay, "relayId")];
      for (const datagram of relay.datagrams) {
        const [bind, bound] = [bytesOf(datagram, "bind"), bytesOf(datagram, "bound")];
        assert.deepEqual(encodeBind(vault, key, id, datagram.counter), bind);
        assert.deepEqual(encodeBound(vault, key, id, datagram.counter), bound);
        const [asked, answered] = [parseRelayDatagram(bind), parseRelayDatagram(bound)];
        assert.ok(asked?.kind === "binding" && answered?.kind === "binding");
        assert.ok(bindHolds(vault, key, asked) && boundHolds(vault, key, answered));
        assert.ok(!boundHolds(vault, key, asked) && !bindHolds(vault, key, answered));
      }
    }
    for (const { sent, passed } of voice.passedOn) {
      const [before, after] = [sent, passed].map((one) => parseRelayDatagram(Buffer.from(one, "base64")));
      assert.ok(before?.kind === "data" && after?.kind === "data");
      assert.deepEqual(after.packet, before.packet);
      assert.notDeepEqual(after.relayId, before.relayId);
    }
  });
});

/** One byte of one recorded value, or one of its numbers, is another one. */
function spoil(folder: string, file: string, find: (vectors: Recorded) => [object: Recorded, name: string]): void {
  const path = join(folder, `${file}.json`);
  const vectors = JSON.parse(readFileSync(path, "utf8"));
  const [object, name] = find(vectors);
  const value = object[name];
  if (typeof value === "string") {
    const bytes = Buffer.from(value, name.endsWith("Hex") ? "hex" : "base64");
    bytes[bytes.length >> 1]! ^= 1;
    object[name] = bytes.toString(name.endsWith("Hex") ? "hex" : "base64");
  } else {
    object[name] = (value as number[]).map((number) => number ^ 1);
  }
  writeFileSync(path, JSON.stringify(vectors));
}

describe("test/vectors/check.py, written from wire.md alone", () => {
  const python = "/usr/bin/python3";
  const check = (of: string) => spawnSync(python, ["-B", join(VECTORS, "check.py"), of], { encoding: "utf8" });

  before(function () {
    const there = spawnSync(python, ["-c", "import cryptography"]).status === 0;
    if (!there && !process.env.CI) this.skip();
    assert.ok(there, "python3-cryptography is missing (system-packages.txt)");
  });

  it("recomputes every recorded vector", () => {
    const { status, stdout, stderr } = check(VECTORS);
    const lines = stdout.trimEnd().split("\n");
    const wrong = lines.filter((line) => line.startsWith("DIFFERS"));
    assert.deepEqual([wrong, stderr, status], [[], "", 0]);
    assert.equal(lines.at(-1), `${lines.length - 1} vectors hold, 0 differ`);
    assert.ok(lines.length > 250);
  });

  it("recomputes what today's code says, from connect to leave", () => {
    const fresh = mkdtempSync(join(tmpdir(), "feldfon-vectors-"));
    try {
      const run = spawnSync(process.execPath, [join(VECTORS, "record.ts"), fresh], { encoding: "utf8" });
      assert.deepEqual([run.stderr, run.status], ["", 0]);
      const { status, stdout } = check(fresh);
      const wrong = stdout.split("\n").filter((line) => line.startsWith("DIFFERS"));
      assert.deepEqual([wrong, status], [[], 0]);
    } finally {
      rmSync(fresh, { recursive: true });
    }
  });

  it("names what differs when one byte of a vector is another one", () => {
    const copy = mkdtempSync(join(tmpdir(), "feldfon-vectors-"));
    try {
      for (const file of FILES) cpSync(join(VECTORS, `${file}.json`), join(copy, `${file}.json`));
      const of = (vectors: Recorded, list: string, n: number) => (vectors[list] as Recorded[])[n]!;
      spoil(copy, "channel", (vectors) => [of(vectors, "heads", 1), "signature"]);
      spoil(copy, "directory", (vectors) => [vectors, "deltaFrom2"]);
      spoil(copy, "call", (vectors) => [of(vectors, "calls", 0), "sas"]);
      spoil(copy, "voice", (vectors) => [of(of(vectors, "senders", 1), "packets", 3), "packet"]);
      spoil(copy, "resume", (vectors) => [of(vectors, "lines", 1), "resumeKeyHex"]);
      const { status, stdout } = check(copy);
      assert.equal(status, 1);
      const named = stdout.split("\n").filter((line) => line.startsWith("DIFFERS"));
      for (const [n, expected] of [
        /channel: head 1 .*the signature does not hold/,
        /directory: delta from 2/,
        /call talked.*SAS: recorded/,
        /voice B: packet 3000, epoch 1/,
        /resume anna 3.*: rk: recorded/,
      ].entries()) {
        assert.ok(
          named.some((line) => expected.test(line)),
          `${n}: ${expected} in ${named.join("\n")}`,
        );
      }
    } finally {
      rmSync(copy, { recursive: true });
    }
  });

  it("leaves no recorded value unread", () => {
    const copy = mkdtempSync(join(tmpdir(), "feldfon-vectors-"));
    try {
      for (const file of FILES) cpSync(join(VECTORS, `${file}.json`), join(copy, `${file}.json`));
      const path = join(copy, "voice.json");
      writeFileSync(path, JSON.stringify({ ...JSON.parse(readFileSync(path, "utf8")), moreHex: "00" }));
      const { status, stdout } = check(copy);
      assert.match(stdout, /DIFFERS voice moreHex: recorded, but nobody computes it/);
      assert.equal(status, 1);
    } finally {
      rmSync(copy, { recursive: true });
    }
  });

  it("has test keys that are labelled as such", () => {
    assert.match(keys.source, /test keys, made for these vectors/);
    assert.deepEqual(Object.keys(keys.testKeys), ["server", "anna", "ben", "carol"]);
  });
});
