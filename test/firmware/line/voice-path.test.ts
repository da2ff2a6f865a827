import assert from "node:assert/strict";
import { createSocket, type RemoteInfo, type Socket } from "node:dgram";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { RelayWay } from "@feldfon/firmware/line/voice-path";
import { type Address, hostOf, parseAddress } from "@feldfon/protocol/media/address";
import { mediaProfile } from "@feldfon/protocol/media/profile";
import {
  bindHolds,
  encodeBind,
  encodeBound,
  encodeData,
  newRelayId,
  parseRelayDatagram,
} from "@feldfon/protocol/media/relay";
import { encodeBindingSuccess, newTransaction, parseStun } from "@feldfon/protocol/media/stun";
import { RelayKeys } from "@feldfon/protocol/phone/relay-key";
import { VoiceRelay } from "@feldfon/server/relay";
import { testingVault } from "@feldfon/vault/testing";
import { VoiceEngine } from "@feldfon/voice/engine";
import { FileSound, readSpeech } from "@feldfon/voice/file-sound";
import { compareVoice } from "@feldfon/voice/snr";
import { encodeWav } from "@feldfon/voice/wav";
import sinon from "sinon";
import { speech } from "../../hw/voice/signals.ts";

const packet = (n: number) => Buffer.concat([Buffer.of(0x80, 96), Buffer.alloc(666, n)]);

async function turn(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
}

/** Datagrams need a moment; a condition that never comes is a failure, not a wait. */
async function until(condition: () => boolean, what: string): Promise<void> {
  for (let turns = 0; turns < 20_000; turns++) {
    if (condition()) return;
    await turn();
  }
  assert.fail(`never came: ${what}`);
}

/** The server's side of the wire, worked by hand. */
class HandRelay {
  readonly socket: Socket = createSocket("udp4");
  readonly came: { datagram: Buffer; from: RemoteInfo }[] = [];

  async listen(): Promise<number> {
    this.socket.on("message", (datagram, from) => this.came.push({ datagram, from }));
    this.socket.bind(0, "127.0.0.1");
    await once(this.socket, "listening");
    return this.socket.address().port;
  }

  async next(): Promise<{ datagram: Buffer; from: RemoteInfo }> {
    await until(() => this.came.length > 0, "a datagram at the relay");
    return this.came.shift()!;
  }
}

describe("Voice's way over the relay", () => {
  const vault = testingVault();
  const relayId = newRelayId();
  const key = () => vault.import("mac", Buffer.alloc(32, 1));
  const own = key();
  let clock: sinon.SinonFakeTimers;
  let relay: HandRelay;
  let port: number;
  let way: RelayWay;
  let received: Buffer[];
  let wayKey: ReturnType<typeof key>;

  beforeEach(async () => {
    clock = sinon.useFakeTimers({ toFake: ["setInterval", "clearInterval", "performance"] });
    relay = new HandRelay();
    port = await relay.listen();
    received = [];
    wayKey = key();
    const onPacket = (each: Buffer) => received.push(each);
    way = new RelayWay({ vault, host: "127.0.0.1", port, relayId, key: wayKey, onPacket, onError: assert.fail });
  });
  afterEach(() => {
    way.close();
    relay.socket.close();
    clock.restore();
  });

  /** Waits for a BIND and checks it. */
  async function bind() {
    const { datagram, from } = await relay.next();
    const parsed = parseRelayDatagram(datagram);
    assert.ok(parsed?.kind === "binding" && bindHolds(vault, own, parsed));
    return { counter: parsed.counter, from };
  }

  function answer(counter: number, to: RemoteInfo, datagram = encodeBound(vault, own, relayId, counter)): void {
    relay.socket.send(datagram, to.port, to.address);
  }

  /** The way, open and bound. */
  async function bound(): Promise<RemoteInfo> {
    await way.open();
    const { counter, from } = await bind();
    answer(counter, from);
    await until(() => way.statistics.bound, "bound");
    return from;
  }

  /** Nothing more has come; datagrams on the way would be here after some turns. */
  async function quiet(): Promise<void> {
    for (let turns = 0; turns < 20; turns++) await turn();
    assert.deepEqual(relay.came, []);
  }

  it("sends a BIND at once, and every 500 ms with a higher counter until it is answered", async () => {
    await way.open();
    const counters = [(await bind()).counter];
    for (let n = 0; n < 3; n++) {
      clock.tick(499);
      await quiet();
      clock.tick(1);
      counters.push((await bind()).counter);
    }
    assert.deepEqual(counters, [0, 1, 2, 3]);
    assert.equal(way.statistics.bound, false);
  });

  it("sends one every 15 s once it is answered", async () => {
    await bound();
    clock.tick(14_900);
    await quiet();
    clock.tick(100);
    const { counter, from } = await bind();
    assert.equal(counter, 1);
    clock.tick(500);
    assert.equal((await bind()).counter, 2, "unanswered again");
    answer(2, from);
    for (let turns = 0; turns < 20; turns++) await turn();
    clock.tick(14_500);
    await quiet();
  });

  it("is content with the answer to an earlier BIND when the wire is slow", async () => {
    await way.open();
    const { counter, from } = await bind();
    clock.tick(500);
    await bind();
    answer(counter, from);
    await until(() => way.statistics.bound, "bound");
  });

  it("sends a BIND when nothing has come for a second after there was voice: a NAT may have moved it", async () => {
    const from = await bound();
    clock.tick(2000);
    await quiet();
    answer(0, from, encodeData(relayId, packet(1)));
    await until(() => received.length === 1, "voice");
    clock.tick(500);
    await quiet();
    clock.tick(500);
    assert.equal((await bind()).counter, 1);
  });

  it("sends a BIND when the line came back", async () => {
    await bound();
    way.renew();
    assert.equal((await bind()).counter, 1);
  });

  it("puts its own relay id before what it sends, and takes it off what comes", async () => {
    const from = await bound();
    way.send(packet(3));
    assert.deepEqual((await relay.next()).datagram, encodeData(relayId, packet(3)));
    answer(0, from, encodeData(relayId, packet(4)));
    await until(() => received.length === 1, "voice");
    assert.deepEqual(received, [packet(4)]);
    const { sent, received: count, strange } = way.statistics;
    assert.deepEqual({ sent, count, strange }, { sent: 1, count: 1, strange: 0 });
  });

  it("holds back what is said before the relay has answered, the last second of it", async () => {
    way.send(packet(0));
    await way.open();
    const { counter, from } = await bind();
    for (let n = 1; n <= 50; n++) way.send(packet(n));
    await quiet();
    answer(counter, from);
    for (let n = 1; n <= 50; n++) assert.deepEqual((await relay.next()).datagram, encodeData(relayId, packet(n)));
    way.send(packet(51));
    assert.deepEqual((await relay.next()).datagram, encodeData(relayId, packet(51)));
    assert.equal(way.statistics.sent, 51);
    await quiet();
  });

  const lies: Record<string, () => Buffer> = {
    "a BOUND with a MAC that does not hold": () =>
      encodeBound(vault, vault.import("mac", Buffer.alloc(32, 2)), relayId, 0),
    "its own BIND thrown back": () => encodeBind(vault, own, relayId, 0),
    "a BOUND for a BIND that was never sent": () => encodeBound(vault, own, relayId, 1),
    "a BOUND for another relay id": () => encodeBound(vault, own, newRelayId(), 0),
    "voice for another relay id": () => encodeData(newRelayId(), packet(1)),
    rubbish: () => Buffer.alloc(100, 0x33),
    "nothing at all": () => Buffer.alloc(0),
  };
  for (const [what, lie] of Object.entries(lies)) {
    it(`counts and drops ${what}`, async () => {
      await way.open();
      const { counter, from } = await bind();
      answer(counter, from, lie());
      await until(() => way.statistics.strange === 1, "counted");
      assert.equal(way.statistics.bound, false);
      assert.deepEqual(received, []);
    });
  }

  it("counts an answer that comes twice", async () => {
    const from = await bound();
    answer(0, from);
    await until(() => way.statistics.strange === 1, "counted");
  });

  it("takes nothing from anybody but the server, even with the right id", async () => {
    const from = await bound();
    const stranger = createSocket("udp4");
    stranger.send(encodeData(relayId, packet(1)), from.port, "127.0.0.1");
    await until(() => way.statistics.strange === 1, "counted");
    assert.deepEqual(received, []);
    stranger.close();
  });

  describe("shared with a direct way", () => {
    let mapped: Address[];
    let elsewhere: { datagram: Buffer; source: Address }[];
    let known: boolean;

    beforeEach(() => {
      mapped = [];
      elsewhere = [];
      known = true;
      way.share({
        mapped: (address) => mapped.push(address),
        receive: (datagram, source) => {
          elsewhere.push({ datagram, source });
          return known;
        },
      });
    });

    /** Waits for a STUN request. */
    async function asked(): Promise<{ transaction: Buffer; from: RemoteInfo }> {
      const { datagram, from } = await relay.next();
      const message = parseStun(datagram);
      assert.ok(message?.type === "request");
      return { transaction: message.transaction, from };
    }

    const world = parseAddress("198.51.100.7", 40_000);

    it("asks the server for its address with each BIND, and with the same question until that is answered", async () => {
      await way.open();
      const { counter, from } = await bind();
      const first = await asked();
      answer(counter, from);
      await until(() => way.statistics.bound, "bound");
      clock.tick(500);
      const again = await asked();
      assert.deepEqual(again.transaction, first.transaction);
      answer(0, from, encodeBindingSuccess(newTransaction(), parseAddress("203.0.113.66", 1)));
      answer(0, from, encodeBindingSuccess(first.transaction, world));
      answer(0, from, encodeBindingSuccess(first.transaction, parseAddress("203.0.113.66", 1)));
      await until(() => way.statistics.strange === 2, "the wrong one and the late one");
      assert.deepEqual(mapped, [world]);
      clock.tick(500);
      await quiet();
      clock.tick(14_500);
      await bind();
      assert.notDeepEqual((await asked()).transaction, first.transaction);
    });

    it("hands over what comes from elsewhere with its source, and counts it when nobody knows that source", async () => {
      const from = await bound();
      await asked();
      const stranger = createSocket("udp4");
      stranger.send(packet(1), from.port, "127.0.0.1");
      await until(() => elsewhere.length === 1, "from elsewhere");
      const { datagram, source } = elsewhere[0]!;
      assert.deepEqual([datagram, hostOf(source), source.port], [packet(1), "127.0.0.1", stranger.address().port]);
      assert.equal(way.statistics.strange, 0);
      known = false;
      stranger.send(packet(2), from.port, "127.0.0.1");
      await until(() => way.statistics.strange === 1, "counted");
      assert.deepEqual(received, [], "nothing of it passes for the relay's");
      stranger.close();
    });

    it("sends past the relay from the same port, and does not take the silence of the relay for a fault then", async () => {
      const from = await bound();
      await asked();
      const other = new HandRelay();
      const port = await other.listen();
      way.sendTo(parseAddress("127.0.0.1", port), packet(5));
      const came = await other.next();
      assert.deepEqual([came.datagram, came.from.port, way.port], [packet(5), from.port, from.port]);
      answer(0, from, encodeData(relayId, packet(1)));
      await until(() => received.length === 1, "voice over the relay");
      clock.tick(900);
      other.socket.send(packet(6), from.port, "127.0.0.1");
      await until(() => elsewhere.length === 1, "voice past the relay");
      const stun = relay.came.splice(0);
      assert.ok(stun.every(({ datagram }) => parseStun(datagram)));
      clock.tick(600);
      for (let turns = 0; turns < 20; turns++) await turn();
      assert.equal(relay.came.length, 2);
      assert.ok(
        relay.came.every(({ datagram }) => parseStun(datagram)),
        "no BIND: something came a moment ago",
      );
      other.socket.close();
    });
  });

  it("asks nobody for its address when it is not shared", async () => {
    await way.open();
    await bind();
    await quiet();
  });

  it("wipes its key and falls silent when it is closed", async () => {
    const from = await bound();
    way.close();
    way.close();
    assert.throws(() => vault.mac(wayKey, Buffer.alloc(1)), { name: "VaultError" });
    assert.equal(clock.countTimers(), 0);
    way.send(packet(1));
    way.renew();
    answer(0, from, encodeData(relayId, packet(1)));
    await quiet();
    assert.deepEqual(received, []);
  });

  it("ends its opening when it is closed in the middle of it", async () => {
    const opening = way.open();
    way.close();
    await opening;
    assert.equal(clock.countTimers(), 0);
    await quiet();
  });

  it("wants the server's address, not its name", () => {
    const options = { vault, port, relayId, key: wayKey, onPacket: () => {}, onError: () => {} };
    assert.throws(() => new RelayWay({ ...options, host: "server.example" }), { code: "bad-address" });
  });
});

describe("Voice from microphone to speaker, through both engines, both ways and a relay", () => {
  const th = Buffer.alloc(32, 8);
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(path.join(tmpdir(), "feldfon-call-"));
  });
  afterEach(() => rm(folder, { recursive: true }));

  /** A call on the loopback: real files, sockets, relay and keys. */
  async function call() {
    const serverVault = testingVault();
    const relay = new VoiceRelay({ vault: serverVault, host: "127.0.0.1", port: 0, onError: assert.fail });
    const port = await relay.listen();
    const ids = { A: newRelayId(), B: newRelayId() };
    const relayKeys = { A: Buffer.alloc(32, 1), B: Buffer.alloc(32, 2) };
    const masters = { A: Buffer.alloc(44, 3), B: Buffer.alloc(44, 4) };
    const end = (side: "A" | "B") => ({
      relayId: ids[side],
      key: new RelayKeys(serverVault, () => serverVault.import("mac", relayKeys[side])).keyOf(ids[side]),
    });
    relay.open({ a: end("A"), b: end("B") });

    const handset = async (side: "A" | "B") => {
      const other = side === "A" ? "B" : "A";
      const vault = testingVault();
      const sound = new FileSound(assert.fail);
      const engine = new VoiceEngine(sound);
      const recording = path.join(folder, `heard-by-${side}.wav`);
      await sound.record(recording);
      const way = new RelayWay({
        vault,
        host: "127.0.0.1",
        port,
        relayId: ids[side],
        key: vault.import("mac", relayKeys[side]),
        onPacket: (each) => engine.receive(each),
        onError: assert.fail,
      });
      await way.open();
      const start = () =>
        engine.start({
          vault,
          send: vault.import("packet-seal", masters[side]),
          receive: vault.import("packet-open", masters[other]),
          sendProfile: mediaProfile(th, side),
          receiveProfile: mediaProfile(th, other),
          onPacket: (each) => way.send(each),
          onFirstVoice: () => {},
          microphone: "open",
        });
      const hangUp = async () => {
        engine.stop();
        way.close();
        await engine.close();
        assert.equal(vault.status().slotsInUse, 0, "no key is left");
        return readSpeech(recording);
      };
      return { sound, engine, way, start, hangUp };
    };
    const [a, b] = [await handset("A"), await handset("B")];
    await until(() => a.way.statistics.bound && b.way.statistics.bound, "both bound");
    return { a, b, relay };
  }

  async function wavFile(name: string, samples: Int16Array, rateHz: number): Promise<string> {
    const file = path.join(folder, name);
    await writeFile(file, encodeWav(samples, rateHz));
    return file;
  }

  it("what each records is what the other said, sample by sample", async () => {
    const { a, b, relay } = await call();
    const fromA = await wavFile("a.wav", speech(1, 3 * 44_100, 44_100), 44_100);
    const fromB = await wavFile("b.wav", speech(2, 3 * 16_000), 16_000);
    await a.sound.say(fromA);
    await b.sound.say(fromB);
    const clock = sinon.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] });
    try {
      a.start();
      b.start();
      for (let frames = 1; frames <= 175; frames++) {
        clock.tick(20);
        const came = () => a.way.statistics.received === frames && b.way.statistics.received === frames;
        await until(came, `packet ${frames}`);
      }
    } finally {
      clock.restore();
    }
    for (const { engine } of [a, b]) {
      const { sent, received, lost, late, forged, replayed, malformed, packetSizes } = engine.statistics();
      assert.deepEqual({ sent, received }, { sent: 175, received: 175 });
      assert.deepEqual(
        { lost, late, forged, replayed, malformed },
        { lost: 0, late: 0, forged: 0, replayed: 0, malformed: 0 },
      );
      assert.deepEqual(packetSizes, [668]);
    }
    assert.equal(relay.statistics.forwarded, 350);
    const [heardByA, heardByB] = [await a.hangUp(), await b.hangUp()];
    assert.deepEqual(compareVoice(await readSpeech(fromA), heardByB).snrDb, 99);
    assert.deepEqual(compareVoice(await readSpeech(fromB), heardByA).snrDb, 99);
    await relay.close();
  });

  it("by the real clock: twenty-five packets take half a second, not less, and all arrive", async () => {
    const { a, b, relay } = await call();
    const startMs = performance.now();
    a.start();
    b.start();
    while (b.engine.statistics().received < 25) await new Promise((resolve) => setTimeout(resolve, 5));
    assert.ok(performance.now() - startMs >= 25 * 20 - 1, `${performance.now() - startMs} ms`);
    assert.equal(b.engine.statistics().lost, 0);
    await a.hangUp();
    await b.hangUp();
    await relay.close();
  });
});
