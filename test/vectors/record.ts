/**
 * Makes the vectors of the wire anew, from a real run of both halves in memory and a real relay on loopback:
 *
 *     node test/vectors/record.ts              with new RSA keys, into this folder
 *     node test/vectors/record.ts FOLDER       with the tests' own keys, to see whether today's code still speaks the wire
 *
 * Names, order and contents are the same in each run; keys and randomness are fresh.
 */
import assert from "node:assert/strict";
import { createPrivateKey, createPublicKey, generateKeyPairSync, randomBytes } from "node:crypto";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { signBatch } from "@feldfon/protocol/channel/batch";
import { ChannelClient } from "@feldfon/protocol/channel/client";
import { ResumeClient, ResumeServer } from "@feldfon/protocol/channel/resume";
import { FRAMES_PER_KEY } from "@feldfon/protocol/channel/sealed";
import { ChannelServer } from "@feldfon/protocol/channel/server";
import { encodeEvidence } from "@feldfon/protocol/directory/evidence";
import { MerkleLog } from "@feldfon/protocol/directory/log";
import {
  Directory,
  encodeDelta,
  encodeStep2,
  encodeStep6,
  type Op,
  step2Rows,
} from "@feldfon/protocol/directory/phonebook";
import { logLeaf, nextHead, type SignedHead, signHead } from "@feldfon/protocol/directory/tree-head";
import { PublicKey, uidBytes } from "@feldfon/protocol/identity";
import { parseAddress } from "@feldfon/protocol/media/address";
import { encodeCandidates } from "@feldfon/protocol/media/candidates";
import { mediaProfile } from "@feldfon/protocol/media/profile";
import { encodeBind, encodeData } from "@feldfon/protocol/media/relay";
import { PING_MS } from "@feldfon/protocol/phone/line";
import { VoiceRelay } from "@feldfon/server/relay";
import { keyPoolFolder } from "../../bench/key-pool.ts";
import { keyPath } from "../keys.ts";
import { StageHandset, StageServer, settle } from "../protocol/phone/stage.ts";
import {
  callRecord,
  chapter,
  kindOf,
  lineRecords,
  listenTo,
  listenToChannels,
  type Message,
  messageRecords,
  owners,
  resumeRecords,
} from "./ears.ts";
import { bytesOf, type Recorded, recorded, VECTORS, writeVectors } from "./files.ts";

/** The first two packets, both sides of the first change of keys, both sides of the first wrap of seq. */
const PACKETS = [0, 1, 2999, 3000, 65_535, 65_536];
const SAMPLES_PER_PACKET = 320;
const DIRECTORY_TIME_MS = 1_700_000_000_000;

/** RSA keys for the vectors alone, put where the stage looks for the tests' keys. */
function makeKeys(count: number): void {
  mkdirSync(keyPoolFolder(), { recursive: true, mode: 0o700 });
  for (let n = 0; n < count; n++) {
    const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 4096 });
    const pem = privateKey.export({ type: "pkcs8", format: "pem" });
    writeFileSync(join(keyPoolFolder(), `key-${n}.pem`), pem, { mode: 0o600 });
  }
}

/** Key n of the stage belongs to name n. */
async function testKeysOf(names: readonly string[]): Promise<{ [name: string]: Recorded }> {
  const testKeys: { [name: string]: Recorded } = {};
  for (const [n, name] of names.entries()) {
    const privateKey = createPrivateKey(readFileSync(await keyPath(n)));
    const key = new PublicKey(createPublicKey(privateKey).export({ type: "spki", format: "der" }));
    const pkcs8 = privateKey.export({ type: "pkcs8", format: "der" });
    owners.set(key.uid, { name, lines: 0 });
    testKeys[name] = {
      ...recorded("uid", uidBytes(key.uid)),
      ...recorded("spki", key.spki),
      ...recorded("pkcs8", pkcs8),
    };
  }
  return testKeys;
}

class Story {
  readonly server: StageServer;
  readonly anna: StageHandset;
  readonly ben: StageHandset;
  readonly carol: StageHandset;

  private constructor(server: StageServer, anna: StageHandset, ben: StageHandset, carol: StageHandset) {
    this.server = server;
    this.anna = anna;
    this.ben = ben;
    this.carol = carol;
    for (const { vault } of [server, anna, ben, carol]) listenTo(vault);
  }

  static async begin(): Promise<Story> {
    const server = await StageServer.make();
    const handset = (n: number, name: string) => StageHandset.make(server, n, name);
    return new Story(server, await handset(1, "Anna"), await handset(2, "Ben"), await handset(3, "Carol"));
  }

  async settle(): Promise<void> {
    await settle(this.anna, this.ben, this.carol);
    for (const { wire } of [this.anna, this.ben, this.carol]) if (wire.fault) throw wire.fault.error;
  }

  async connect(handset: StageHandset): Promise<void> {
    await handset.open();
    handset.line!.start();
    await this.settle();
  }

  /** M1..M4 to the phonebook for two; then one of them and the server PING until their keys have changed by it. */
  async channel(): Promise<Message[]> {
    await this.connect(this.anna);
    await this.connect(this.ben);
    const said = chapter();
    const { clock } = this.server;
    const { line, serverLine } = this.ben;
    for (let round = 0; round <= FRAMES_PER_KEY; round++) {
      clock.nowMs += PING_MS;
      (round % 2 === 0 ? line! : serverLine!).tick();
      await this.settle();
      const exchange = chapter();
      assert.deepEqual(
        exchange.map(({ sip }) => kindOf(sip)),
        ["ping", "ping 200"],
      );
      const near = exchange.some(({ counter }) => Math.abs(counter - FRAMES_PER_KEY) <= 1);
      if (round < 2 || near) said.push(...exchange);
    }
    return said;
  }

  /** Several lines that wait for one signature; the leaves are of lines that are not part of the story. */
  async batch(size: number): Promise<Recorded> {
    const leaves = Array.from({ length: size }, () => randomBytes(32));
    const m3 = await signBatch(this.server.vault, this.server.keyPair, leaves);
    return { leavesHex: leaves.map((leaf) => leaf.toString("hex")), m3: m3.map((one) => one.toString("base64")) };
  }

  /** A join, an update, ids that close up, a leave, a delta that does not fit and its snapshot, a join with an old head. */
  async directory(): Promise<Message[]> {
    const { server, anna, carol } = this;
    await this.connect(carol);
    anna.line!.update();
    await this.settle();
    // One window in which a handset left and came again: both ops in one delta, and the ids close up.
    await server.commit(() => [
      { op: "leave", index: server.directory.find(anna.uid) },
      { op: "append", row: { uid: anna.uid, name: "Anna", key: anna.key, flags: 0 } },
    ]);
    await this.settle();
    carol.line!.leave();
    await this.settle();
    const { delta } = StageServer.prototype;
    server.delta = (from) => delta.call(server, from + 1);
    await server.commit(() => []);
    server.delta = delta;
    await this.settle();
    await this.connect(carol);
    return chapter();
  }

  /** @returns what was said, and the call itself. Between two calls nothing else is said. */
  async call(
    heard: { name: string; ended: "keys" | "here" | "none" },
    caller: StageHandset,
    callee: StageHandset,
    play: () => Promise<{ infos: Recorded[] } | undefined>,
  ): Promise<{ said: Message[]; call: Recorded }> {
    await caller.calls.dial(callee.uid);
    await this.settle();
    const more = await play();
    await this.settle();
    assert.ok(!caller.calls.current && !callee.calls.current, `${heard.name}: the call is over`);
    const said = chapter();
    const nameOf = (handset: StageHandset) => said.find(({ line }) => line.startsWith(owners.get(handset.uid)!.name))!;
    const agreed = heard.ended === "keys" ? caller.last("agreed") : undefined;
    const call = callRecord(said, {
      ...heard,
      caller: nameOf(caller).line,
      callee: nameOf(callee).line,
      ...(agreed && { sas: agreed.sas }),
      ...more,
    });
    return { said, call };
  }

  /** Takes up and waits until both have keys. */
  async accept(callee: StageHandset): Promise<void> {
    await callee.calls.accept();
    await this.settle();
  }

  /** INFO, and what it says when it is opened. */
  tellWay(handset: StageHandset, counter: number, ...hosts: [string, number][]): Recorded {
    const candidates = hosts.map(([host, port]) => parseAddress(host, port));
    const { callId, own } = handset.last("agreed")!;
    assert.ok(handset.calls.tellWay(callId, candidates));
    return { sender: own, counter, ...recorded("candidates", encodeCandidates(candidates)) };
  }

  async calls(): Promise<{ said: Message[]; calls: Recorded[]; voice: Recorded }> {
    const { server, anna, ben, carol } = this;
    let voice: Recorded = {};
    const made = [
      await this.call({ name: "talked, hung up by the callee", ended: "keys" }, anna, ben, async () => {
        await this.accept(ben);
        const infos = [
          this.tellWay(anna, 0, ["192.0.2.7", 5060], ["2001:db8::7", 40_000]),
          this.tellWay(ben, 0, ["198.51.100.23", 61_000]),
          this.tellWay(anna, 1),
        ];
        await this.settle();
        voice = await this.voice(anna, ben);
        ben.calls.hangUp();
        return { infos };
      }),
      await this.call({ name: "declined", ended: "none" }, ben, anna, async () => {
        anna.calls.hangUp();
        return undefined;
      }),
      await this.call({ name: "cancelled while it rings", ended: "none" }, anna, ben, async () => {
        anna.calls.hangUp();
        return undefined;
      }),
      await this.call({ name: "cancelled while the 200 is on its way", ended: "here" }, anna, ben, async () => {
        await ben.calls.accept();
        anna.calls.hangUp();
        return undefined;
      }),
    ];
    // Ben learns of two changes, Anna of none: whoever holds the newer head asks for the path.
    server.pushing = false;
    carol.line!.leave();
    await this.settle();
    await server.commit(() => []);
    ben.line!.update();
    await this.settle();
    const updated = chapter();
    made.push(
      await this.call({ name: "the callee holds a newer head", ended: "keys" }, anna, ben, async () => {
        await this.accept(ben);
        anna.calls.hangUp();
        return undefined;
      }),
      await this.call({ name: "the caller holds a newer head", ended: "keys" }, ben, anna, async () => {
        await this.accept(anna);
        ben.calls.hangUp();
        return undefined;
      }),
    );
    server.pushing = true;
    const said = made.map(({ said }) => said);
    said.splice(4, 0, updated);
    return { said: said.flat(), calls: made.map(({ call }) => call), voice };
  }

  /** Both directions of a call's voice, sealed by the vaults, and what the relay answers and passes on. */
  async voice(a: StageHandset, b: StageHandset): Promise<Recorded> {
    const relay = await Relay.open(this.server);
    try {
      const [atA, atB] = [await relay.bind("A", a), await relay.bind("B", b)];
      const [fromA, fromB] = [speak(a, "A", 65_536), speak(b, "B", 3000)];
      return {
        ...recorded("callId", Buffer.from(a.last("agreed")!.callId, "hex")),
        senders: [fromA, fromB],
        relays: [atA, atB],
        passedOn: [await relay.passOn("A", "B", firstPacket(fromA)), await relay.passOn("B", "A", firstPacket(fromB))],
      };
    } finally {
      await relay.close();
    }
  }

  /** A lost line with missed changes; the resumed line is lost too; a leave; an id that nobody knows. */
  async resume(): Promise<{ said: Message[]; refusals: Recorded[] }> {
    const { server, anna, ben } = this;
    for (const missed of [2, 0]) {
      anna.cut();
      for (let epoch = 0; epoch < missed; epoch++) await server.commit(() => []);
      anna.resume();
      anna.line!.start();
      await this.settle();
    }
    anna.line!.leave();
    await this.settle();
    ben.cut();
    const client = new ResumeClient({ vault: ben.vault, ticket: ben.ticket!, uid: ben.uid });
    const r1 = client.start();
    const refused = new ResumeServer({ vault: server.vault }).refusal481(r1);
    return { said: chapter(), refusals: [refusalRecord("ben", 481, "r1", r1, refused)] };
  }
}

/** The server's relay on loopback, and a socket for each end of one call. */
class Relay {
  readonly #relay: VoiceRelay;
  readonly #port: number;
  readonly #ids: { A: Buffer; B: Buffer };
  readonly #sockets = { A: createSocket("udp4"), B: createSocket("udp4") };

  private constructor(relay: VoiceRelay, port: number, ids: { A: Buffer; B: Buffer }) {
    this.#relay = relay;
    this.#port = port;
    this.#ids = ids;
  }

  static async open({ vault, relays }: StageServer): Promise<Relay> {
    const { a, b } = relays.at(-1)!;
    const onError = (error: Error) => {
      throw error;
    };
    const relay = new VoiceRelay({ vault, host: "127.0.0.1", port: 0, onError });
    const port = await relay.listen();
    relay.open({ a, b });
    return new Relay(relay, port, { A: a.relayId, B: b.relayId });
  }

  async bind(side: "A" | "B", handset: StageHandset): Promise<Recorded> {
    const { key, id } = handset.last("relay")!;
    const datagrams: Recorded[] = [];
    for (const counter of [0, 1]) {
      const bind = encodeBind(handset.vault, key, id, counter);
      const bound = await this.#ask(side, bind, side);
      datagrams.push({ counter, ...recorded("bind", bind), ...recorded("bound", bound) });
    }
    return {
      line: owners.get(handset.uid)!.name,
      side,
      ...recorded("relayId", id),
      ...recorded("bk", handset.vault.reveal(key)),
      datagrams,
    };
  }

  async passOn(sender: "A" | "B", receiver: "A" | "B", packet: Buffer): Promise<Recorded> {
    const sent = encodeData(this.#ids[sender], packet);
    const passed = await this.#ask(sender, sent, receiver);
    return { sender, receiver, ...recorded("sent", sent), ...recorded("passed", passed) };
  }

  async close(): Promise<void> {
    this.#sockets.A.close();
    this.#sockets.B.close();
    await this.#relay.close();
  }

  async #ask(from: "A" | "B", datagram: Buffer, to: "A" | "B"): Promise<Buffer> {
    const came = once(this.#sockets[to], "message");
    this.#sockets[from].send(datagram, this.#port, "127.0.0.1");
    return (await came)[0];
  }
}

/** Seals packet after packet and keeps some of them. */
function speak(handset: StageHandset, sender: "A" | "B", lastIndex: number): Recorded {
  const { keys } = handset.last("agreed")!;
  const mk = recorded("mk", handset.vault.reveal(keys.media.send));
  const voice = handset.vault.srtpSender(keys.media.send, mediaProfile(keys.th, sender));
  const packets: Recorded[] = [];
  for (let index = 0; index <= lastIndex; index++) {
    const [payload, timestamp] = [tone(index), index * SAMPLES_PER_PACKET];
    const packet = voice.seal(payload, timestamp);
    if (!PACKETS.includes(index)) continue;
    packets.push({ index, timestamp, ...recorded("payload", payload), ...recorded("packet", packet) });
  }
  return { sender, ...mk, packets };
}

/** 20 ms of 440 Hz at 16 kHz, s16 big-endian. */
function tone(index: number): Buffer {
  const voice = Buffer.alloc(SAMPLES_PER_PACKET * 2);
  for (let sample = 0; sample < SAMPLES_PER_PACKET; sample++) {
    const at = index * SAMPLES_PER_PACKET + sample;
    voice.writeInt16BE(Math.round(8000 * Math.sin((2 * Math.PI * 440 * at) / 16_000)), sample * 2);
  }
  return voice;
}

function firstPacket({ packets }: Recorded): Buffer {
  return bytesOf((packets as Recorded[])[0]!, "packet");
}

function headRecord({ bytes, hash, signature }: SignedHead): Recorded {
  return { ...recorded("head", bytes), ...recorded("headHash", hash), ...recorded("signature", signature) };
}

function refusalRecord(client: string, status: number, word: string, asked: Buffer, refused: Buffer): Recorded {
  return { client, status, word, ...recorded("asked", asked), ...recorded("refused", refused) };
}

/** What a server in clear says instead of M2: 503 to anybody, 400 to a key that is none (here its exponent is 65539). */
function refusedHellos({ server, anna }: Story): Recorded[] {
  const options = { vault: anna.vault, keyPair: anna.keyPair, serverUid: server.key.uid };
  const half = () => new ChannelServer({ vault: server.vault, serverKey: server.key });
  const m1 = new ChannelClient(options).start();
  const busy = half().busy(m1, 5);
  const badKey = Buffer.from(m1);
  badKey.writeUInt8(3, badKey.length - 1);
  const judge = half();
  assert.throws(() => judge.hello(badKey), { code: "key-bad" });
  return [refusalRecord("anna", 503, "m1", m1, busy), refusalRecord("anna", 400, "key-bad", badKey, judge.keyBad())];
}

/** A directory of its own whose changes are told one by one: joins, a join, a leave together with a rename. */
async function directoryVectors({ vault, keyPair, key }: StageServer, members: PublicKey[]): Promise<Recorded> {
  const row = (name: string, n: number) => ({ uid: members[n]!.uid, name, key: members[n]!, flags: 0 });
  const append = (name: string, n: number): Op => ({ op: "append", row: row(name, n) });
  const changes: Op[][] = [
    [],
    [append("Anna", 0), append("Jörg", 1)],
    [append("李明", 2)],
    [{ op: "leave", index: 1 }, append("Anna 2", 0)],
  ];
  const directory = new Directory(key);
  const log = new MerkleLog();
  const heads: SignedHead[] = [];
  const epochs: Recorded[] = [];
  for (const [epoch, ops] of changes.entries()) {
    for (const op of ops) directory.apply(op);
    const signed = await signHead(vault, keyPair, nextHead(directory, log, heads.at(-1), DIRECTORY_TIME_MS + epoch));
    heads.push(signed);
    log.append(logLeaf(signed));
    epochs.push({
      rows: directory.rows.slice(1).map((one) => [one.name, members.findIndex(({ uid }) => uid === one.uid)]),
      ops: ops.map((op) => (op.op === "leave" ? { leave: op.index } : { append: op.row.name })),
      ...headRecord(signed),
    });
  }
  const [signed, logPath, none] = [heads[3]!, log.path(0, 3), Buffer.alloc(0)];
  const lie = (epoch: number) => signHead(vault, keyPair, { ...heads[epoch]!.head, timeMs: DIRECTORY_TIME_MS });
  const base64 = (bytes: Buffer) => bytes.toString("base64");
  return {
    serverSpki: base64(key.spki),
    members: members.map(({ spki, uid }) => ({ spki: base64(spki), uidHex: uid })),
    firstTimeMs: DIRECTORY_TIME_MS,
    epochs,
    step2: base64(encodeStep2({ signed, rows: step2Rows(directory), logPath })),
    step6: base64(encodeStep6(directory.rows)),
    deltaFrom0: base64(encodeDelta({ from: 0, signed, logPath, ops: changes.slice(1).flat() })),
    deltaFrom2: base64(encodeDelta({ from: 2, signed, logPath: none, ops: changes[3]! })),
    pathOf0In3: base64(logPath),
    evidence: base64(encodeEvidence(key, [heads[2]!, await lie(2)])),
    evidenceOfPath: base64(encodeEvidence(key, [await lie(1), signed], log.path(1, 3))),
  };
}

async function record(folder: string, names: readonly string[]): Promise<void> {
  const testKeys = await testKeysOf(names);
  listenToChannels();
  const story = await Story.begin();
  const { server, anna, ben, carol } = story;
  const channel = await story.channel();
  const batches: Recorded[] = [];
  for (const size of [1, 2, 3, 5, 8]) batches.push(await story.batch(size));
  const directory = await story.directory();
  const { said, calls, voice } = await story.calls();
  const { said: resume, refusals } = await story.resume();

  const write = (file: string, source: string, content: Recorded) => writeVectors(folder, file, source, content);
  write("keys", "RSA-4096 test keys, made for these vectors and published with them; good for nothing else.", {
    testKeys,
  });
  write("channel", "wire.md 1, CHANNEL: M1..M4, connect's steps 1.1 to 6, PING across a change of keys.", {
    heads: server.heads.map(headRecord),
    lines: lineRecords(),
    batches,
    refusals: refusedHellos(story),
    messages: messageRecords(channel),
  });
  write("directory", "wire.md 1, DIRECTORY; messages: deltas, update, snapshot, leave, a join with an old head.", {
    ...(await directoryVectors(
      server,
      [anna, ben, carol].map(({ key }) => key),
    )),
    messages: messageRecords(directory),
  });
  write("call", "wire.md 1, CALL: both lines of each call.", { calls, messages: messageRecords(said) });
  write("voice", "wire.md 1, VOICE: SRTP in epochs 0, 1 and at the first wrap of seq; BIND, BOUND, data.", voice);
  write("resume", "wire.md 1, CHANNEL, resume: R1, R2, sync; an id that nobody knows.", {
    lines: resumeRecords(),
    refusals,
    messages: messageRecords(resume),
  });
}

const OWNERS = ["server", "anna", "ben", "carol"];
const [elsewhere] = process.argv.slice(2);
if (elsewhere) {
  await record(elsewhere, OWNERS);
} else {
  process.env.XDG_CACHE_HOME = mkdtempSync(join(tmpdir(), "feldfon-vectors-"));
  try {
    makeKeys(OWNERS.length);
    await record(VECTORS, OWNERS);
  } finally {
    rmSync(process.env.XDG_CACHE_HOME, { recursive: true });
  }
}
