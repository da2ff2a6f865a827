import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import {
  AGAIN_MS,
  DirectWay,
  MOST_CANDIDATES,
  PROOF_PACKETS,
  SEARCH_MS,
  SILENT_MS,
} from "@feldfon/firmware/line/direct-way";
import { RelayWay } from "@feldfon/firmware/line/voice-path";
import { type Address, hostOf, parseAddress } from "@feldfon/protocol/media/address";
import { mediaProfile } from "@feldfon/protocol/media/profile";
import { newRelayId } from "@feldfon/protocol/media/relay";
import { RelayKeys } from "@feldfon/protocol/phone/relay-key";
import { VoiceRelay } from "@feldfon/server/relay";
import { testingVault } from "@feldfon/vault/testing";
import { VoiceEngine } from "@feldfon/voice/engine";
import { FileSound, readSpeech } from "@feldfon/voice/file-sound";
import { compareVoice } from "@feldfon/voice/snr";
import { encodeWav } from "@feldfon/voice/wav";
import fc from "fast-check";
import sinon from "sinon";
import { speech } from "../../hw/voice/signals.ts";
import { Household, type Phone } from "./household.ts";

const PACKET_MS = 20;

/** A direct way worked by hand: what it sends and says is written down, and nothing else happens. */
class Desk {
  nowMs = 0;
  lineUp = true;
  opens = true;
  port: number | undefined = 40_000;
  hosts = ["192.168.1.5"];
  readonly relayed: Buffer[] = [];
  /** Where each packet went, in order. */
  readonly order: ("relay" | "past it")[] = [];
  readonly sent: { to: string; packet: Buffer }[] = [];
  readonly said: { atMs: number; candidates: string[] }[] = [];
  readonly relay: Address;
  readonly way: DirectWay;
  #packets = 0;

  constructor(server = "203.0.113.1") {
    const desk = this;
    this.relay = parseAddress(server, 5060);
    this.way = new DirectWay({
      way: {
        relay: this.relay,
        get port() {
          return desk.port;
        },
        send: (packet) => {
          desk.order.push("relay");
          desk.relayed.push(Buffer.from(packet));
        },
        sendTo: (to, packet) => {
          desk.order.push("past it");
          desk.sent.push({ to: text(to), packet: Buffer.from(packet) });
        },
      },
      open: () => this.opens,
      tell: (candidates) => {
        if (this.lineUp) this.said.push({ atMs: this.nowMs, candidates: candidates.map(text) });
        return this.lineUp;
      },
      nowMs: () => this.nowMs,
      hosts: () => this.hosts,
    });
  }

  /** Says so many packets, one every 20 ms. @returns how many went to the relay, and where the others went */
  say(packets: number): { relayed: number; to: string[] } {
    const [relayed, sent] = [this.relayed.length, this.sent.length];
    for (let n = 0; n < packets; n++) {
      this.way.send(Buffer.of(0x80, this.#packets++));
      this.nowMs += PACKET_MS;
    }
    return { relayed: this.relayed.length - relayed, to: this.sent.slice(sent).map(({ to }) => to) };
  }

  hear(from: string, packets = 1): boolean {
    let known = false;
    for (let n = 0; n < packets; n++) known = this.way.receive(Buffer.of(0x80), at(from));
    return known;
  }

  /** Both have said that they hear each other at this address. */
  prove(other: string): void {
    this.way.told([at(other)]);
    this.say(1);
    this.hear(other, PROOF_PACKETS);
    this.way.told([]);
    assert.ok(this.way.proven);
  }

  get offers(): { atMs: number; candidates: string[] }[] {
    return this.said.filter(({ candidates }) => candidates.length > 0);
  }
}

function at(text: string): Address {
  const [, host, port] = /^\[?(.*?)\]?:(\d+)$/.exec(text)!;
  return parseAddress(host!, Number(port));
}

function text(address: Address): string {
  return `${address.family === 4 ? hostOf(address) : `[${hostOf(address)}]`}:${address.port}`;
}

describe("Voice straight to the other handset", () => {
  it("goes to the relay alone until the other names an address", () => {
    const desk = new Desk();
    desk.way.mapped(at("198.51.100.7:40000"));
    assert.deepEqual(desk.say(50), { relayed: 50, to: [] });
    assert.deepEqual(desk.offers[0]?.candidates, ["198.51.100.7:40000", "192.168.1.5:40000"]);
  });

  it("goes to the relay and, one after the other, to the named addresses, so that one stream leaves for all of them", () => {
    const desk = new Desk();
    desk.way.told(["198.51.100.9:1", "192.168.1.9:2", "10.0.0.9:3"].map(at));
    const { relayed, to } = desk.say(6);
    assert.equal(relayed, 6);
    assert.deepEqual(to, [
      ...["198.51.100.9:1", "192.168.1.9:2", "10.0.0.9:3"],
      ...["198.51.100.9:1", "192.168.1.9:2", "10.0.0.9:3"],
    ]);
    assert.deepEqual(
      desk.sent.map(({ packet }) => packet),
      desk.relayed,
      "the same packets",
    );
  });

  it("lets the copy go first, since of two that come only the first one opens", () => {
    const desk = new Desk();
    desk.way.told([at("192.168.1.9:2")]);
    desk.say(2);
    assert.deepEqual(desk.order, ["past it", "relay", "past it", "relay"]);
  });

  it("does not answer an offer with another one at once: both have just begun to search", () => {
    const desk = new Desk();
    desk.way.mapped(at("198.51.100.7:40000"));
    desk.say((AGAIN_MS - 100) / PACKET_MS);
    desk.way.told([at("192.168.1.9:2")]);
    desk.say(AGAIN_MS / PACKET_MS);
    assert.equal(desk.offers.length, 1);
    desk.say(1);
    assert.equal(desk.offers.length, 2);
  });

  it("goes where the other's packets open from, and without the relay once both have said that they hear each other", () => {
    const desk = new Desk();
    desk.way.told(["198.51.100.9:1", "192.168.1.9:2"].map(at));
    desk.say(1);
    desk.hear("192.168.1.9:777", PROOF_PACKETS - 1);
    assert.deepEqual(
      desk.said.filter(({ candidates }) => candidates.length === 0),
      [],
    );
    assert.deepEqual(desk.say(2), { relayed: 2, to: ["192.168.1.9:777", "192.168.1.9:777"] });
    desk.hear("192.168.1.9:777");
    desk.hear("192.168.1.9:777");
    assert.equal(desk.said.filter(({ candidates }) => candidates.length === 0).length, 1, "said once");
    assert.equal(desk.say(1).relayed, 1, "the other has not said so yet");
    desk.way.told([]);
    assert.deepEqual(desk.say(2), { relayed: 0, to: ["192.168.1.9:777", "192.168.1.9:777"] });
  });

  it("stays with the relay when the other says that it hears this handset and is not heard itself", () => {
    const desk = new Desk();
    desk.way.told([at("192.168.1.9:2")]);
    desk.say(1);
    desk.way.told([]);
    desk.hear("192.168.1.9:2", PROOF_PACKETS - 1);
    assert.deepEqual(desk.say(1), { relayed: 1, to: ["192.168.1.9:2"] });
  });

  it("listens to hosts that the other has named and to nobody else, whatever opens", () => {
    const desk = new Desk();
    assert.equal(desk.hear("192.168.1.9:2"), false, "none is named yet");
    desk.way.told([at("192.168.1.9:2")]);
    assert.equal(desk.hear("192.168.1.10:2", 20), false);
    desk.way.told([]);
    assert.equal(desk.say(1).relayed, 1);
    assert.equal(desk.hear("192.168.1.9:4444"), true, "a NAT chooses another port");
  });

  it("proves nothing by packets that do not open, or that come by turns from two addresses", () => {
    const desk = new Desk();
    desk.way.told(["192.168.1.9:2", "192.168.1.8:2"].map(at));
    desk.way.told([]);
    desk.say(1);
    desk.opens = false;
    desk.hear("192.168.1.9:2", 50);
    desk.opens = true;
    for (let n = 0; n < PROOF_PACKETS - 1; n++) assert.ok(desk.hear("192.168.1.9:2") && desk.hear("192.168.1.8:2"));
    assert.equal(desk.way.proven, false);
    desk.hear("192.168.1.9:2");
    assert.equal(desk.way.proven, true);
  });

  it("keeps to the address that was proven when the other's packets come through its other network", () => {
    const desk = new Desk();
    desk.way.told(["192.168.1.9:2", "192.168.2.9:2"].map(at));
    desk.say(1);
    desk.hear("192.168.2.9:2");
    assert.deepEqual(desk.say(1).to, ["192.168.2.9:2"]);
    desk.hear("192.168.1.9:2", PROOF_PACKETS);
    desk.way.told([]);
    for (let n = 0; n < 10; n++) {
      desk.hear("192.168.2.9:2");
      assert.deepEqual(desk.say(25), { relayed: 0, to: Array(25).fill("192.168.1.9:2") });
    }
  });

  it("goes back to the relay within a second when nothing comes any more, and offers its addresses again", () => {
    const desk = new Desk();
    desk.prove("192.168.1.9:2");
    desk.nowMs += 60_000;
    desk.hear("192.168.1.9:2");
    const offers = desk.offers.length;
    const { relayed, to } = desk.say(SILENT_MS / PACKET_MS);
    assert.deepEqual([relayed, to.length], [0, SILENT_MS / PACKET_MS]);
    assert.deepEqual(desk.say(1), { relayed: 1, to: ["192.168.1.9:2"] });
    assert.equal(desk.way.proven, false);
    assert.equal(desk.offers.length, offers + 1);
  });

  it("offers soon after a way that worked is cut, however seldom it did before", () => {
    const desk = new Desk();
    desk.way.mapped(at("198.51.100.7:40000"));
    desk.say((130 * 1000) / PACKET_MS);
    desk.prove("192.168.1.9:2");
    const offers = desk.offers.length;
    desk.say(SILENT_MS / PACKET_MS + 1);
    assert.equal(desk.offers.length, offers + 1);
    desk.say((60 * 1000) / PACKET_MS);
    assert.ok(desk.offers.length > offers + 4);
  });

  it("goes back to the relay at once when the other offers its addresses again: it hears nothing", () => {
    const desk = new Desk();
    desk.prove("192.168.1.9:2");
    desk.way.told([at("192.168.1.9:2")]);
    assert.deepEqual(desk.say(1), { relayed: 1, to: ["192.168.1.9:2"] });
    assert.equal(desk.way.proven, false);
  });

  it("tells again that it hears the other after a new start", () => {
    const desk = new Desk();
    desk.prove("192.168.1.9:2");
    desk.way.told([at("192.168.1.9:2")]);
    desk.hear("192.168.1.9:2", PROOF_PACKETS);
    desk.way.told([]);
    assert.equal(desk.way.proven, true);
  });

  it("ends its copies after five seconds without a confirmation, and offers seldom, then ever more seldom", () => {
    const desk = new Desk();
    desk.way.mapped(at("198.51.100.7:40000"));
    desk.way.told([at("192.168.1.9:2")]);
    const { to } = desk.say((10 * 60_000) / PACKET_MS);
    assert.deepEqual(
      desk.offers.map(({ atMs }) => atMs / 1000),
      [0, 2, 6, 14, 30, 62, 126, 190, 254, 318, 382, 446, 510, 574],
    );
    const searches = 2000 + 4000 + (desk.offers.length - 2) * SEARCH_MS;
    assert.equal(to.length, searches / PACKET_MS);
  });

  it("waits a second for the server's word on its own address before the first offer, no longer", () => {
    const desk = new Desk();
    desk.say(50);
    assert.deepEqual(desk.offers, []);
    desk.say(1);
    assert.deepEqual(desk.offers, [{ atMs: 1000, candidates: ["192.168.1.5:40000"] }]);
    desk.way.mapped(at("198.51.100.7:1"));
    desk.say(1000);
    assert.deepEqual(desk.offers[1], { atMs: 3000, candidates: ["198.51.100.7:1", "192.168.1.5:40000"] });
  });

  it("offers when the line is there", () => {
    const desk = new Desk();
    desk.lineUp = false;
    desk.way.mapped(at("198.51.100.7:1"));
    desk.say(1000);
    desk.lineUp = true;
    desk.say(AGAIN_MS / PACKET_MS);
    assert.equal(desk.offers.length, 1);
  });

  it("offers nothing rather than an empty list, which would say something else", () => {
    const desk = new Desk();
    desk.hosts = ["127.0.0.1", "fe80::1%eth0"];
    desk.say(500);
    desk.port = undefined;
    desk.hosts = ["192.168.1.5"];
    desk.say(500);
    assert.deepEqual(desk.said, []);
  });

  it("offers eight addresses at most, each once, the one the server sees first", () => {
    const desk = new Desk();
    desk.hosts = Array.from({ length: 20 }, (_, n) => `10.0.0.${n + 1}`);
    desk.way.mapped(at("10.0.0.7:40000"));
    desk.say(1);
    const { candidates } = desk.offers[0]!;
    assert.equal(candidates.length, MOST_CANDIDATES);
    assert.equal(new Set(candidates).size, MOST_CANDIDATES);
    assert.equal(candidates[0], "10.0.0.7:40000");
  });

  it("uses the first eight of many", () => {
    const desk = new Desk();
    const many = Array.from({ length: 255 }, (_, n) => `10.0.1.${n}:4000`);
    desk.way.told(many.map(at));
    assert.deepEqual(desk.say(16).to, [...many.slice(0, 8), ...many.slice(0, 8)]);
    assert.equal(desk.hear(many[8]!), false);
  });

  const refused: Record<string, string> = {
    multicast: "224.0.0.1:4",
    "more multicast": "239.255.255.250:1900",
    broadcast: "255.255.255.255:4",
    "an address of nobody": "0.0.0.0:4",
    "this machine": "127.0.0.1:4",
    "another family": "[2001:db8::1]:4",
    "the relay itself": "203.0.113.1:5060",
  };
  for (const [what, address] of Object.entries(refused)) {
    it(`sends nothing to ${what}, and listens to no such source`, () => {
      const desk = new Desk();
      desk.way.told([at(address)]);
      assert.deepEqual(desk.say(5), { relayed: 5, to: [] });
      assert.equal(desk.hear(address), false);
    });
  }

  it("knows over IPv6 what is one host's and what is not", () => {
    const desk = new Desk("2001:db8::5060");
    const good = ["[2001:db8::9]:1", "[fd00::9]:2"];
    const bad = ["[ff02::1]:1", "[::1]:1", "[::]:1", "[fe80::9]:1", "192.0.2.1:1"].map(at);
    const mapped: Address = { family: 6, bytes: Buffer.from("00000000000000000000ffffc0000201", "hex"), port: 1 };
    desk.way.told([...bad, mapped, ...good.map(at)]);
    assert.deepEqual(desk.say(4).to, [...good, ...good]);
  });

  it("sends to this machine where the server is on it too", () => {
    const desk = new Desk("127.0.0.1");
    desk.way.told([at("127.0.0.1:4")]);
    assert.deepEqual(desk.say(1).to, ["127.0.0.1:4"]);
    const six = new Desk("::1");
    six.way.told([at("[::1]:4")]);
    assert.deepEqual(six.say(1).to, ["[::1]:4"]);
  });

  const anyAddress: fc.Arbitrary<Address> = fc
    .record({
      family: fc.constantFrom(4 as const, 6 as const),
      bytes: fc.uint8Array({ minLength: 16, maxLength: 16 }),
      port: fc.integer({ min: 1, max: 65_535 }),
    })
    .map(({ family, bytes, port }) => ({ family, bytes: Buffer.from(bytes.subarray(0, family === 4 ? 4 : 16)), port }));

  it("never sends to more than eight addresses, nor to any that is not one receiver's, whatever is named", () => {
    fc.assert(
      fc.property(fc.array(anyAddress, { minLength: 1, maxLength: 255 }), (candidates) => {
        const desk = new Desk();
        desk.way.told(candidates);
        const { relayed, to } = desk.say(40);
        assert.equal(relayed, 40);
        assert.ok(new Set(to).size <= MOST_CANDIDATES && to.length <= 40);
        const named = new Set(candidates.map(text));
        for (const each of to) {
          const [first] = at(each).bytes;
          assert.ok(named.has(each) && at(each).family === 4);
          assert.ok(first! > 0 && first! < 224 && first! !== 127, each);
        }
      }),
    );
  });

  it("leaves the relay only for a proven address of a handset heard within a second, whatever happens in whatever order", () => {
    const others = ["192.168.1.9:2", "198.51.100.9:3", "10.0.0.9:4"];
    const heard = fc.record({ from: fc.constantFrom(...others), packets: fc.nat(15), opens: fc.boolean() });
    const step = fc.oneof(
      { weight: 6, arbitrary: fc.record({ say: fc.integer({ min: 1, max: 80 }) }) },
      { weight: 3, arbitrary: heard },
      {
        weight: 4,
        arbitrary: fc.record({ from: fc.constantFrom(...others), packets: fc.constant(15), opens: fc.constant(true) }),
      },
      { weight: 1, arbitrary: fc.record({ named: fc.subarray(others, { minLength: 1 }) }) },
      { weight: 4, arbitrary: fc.constant({ confirmed: true }) },
      { weight: 1, arbitrary: fc.record({ lineUp: fc.boolean() }) },
      { weight: 1, arbitrary: fc.record({ mapped: fc.constantFrom("198.51.100.7:1", "198.51.100.7:2") }) },
    );
    let direct = 0;
    fc.assert(
      fc.property(fc.array(step, { minLength: 20, maxLength: 60 }), (steps) => {
        const desk = new Desk();
        let named: string[] = [];
        /** Packets that opened, since the last start, with their times. */
        let opened: { from: string; atMs: number }[] = [];
        let confirmed = false;
        for (const each of steps) {
          if ("say" in each) {
            for (let n = 0; n < each.say; n++) {
              const [sent, offers] = [desk.sent.length, desk.offers.length];
              const { nowMs } = desk;
              const alone = desk.say(1).relayed === 0;
              assert.ok(desk.sent.length - sent <= 1);
              if (alone) {
                direct++;
                const { to } = desk.sent.at(-1)!;
                assert.ok(confirmed && named.includes(to));
                assert.ok(opened.filter(({ from }) => from === to).length >= PROOF_PACKETS);
                assert.ok(opened.some(({ atMs }) => nowMs - atMs < SILENT_MS));
              }
              // An offer begins anew; so does silence, which is not seen from here and asks less.
              if (desk.offers.length > offers) [opened, confirmed] = [[], false];
            }
          } else if ("from" in each) {
            desk.opens = each.opens;
            const known = desk.hear(each.from, each.packets);
            assert.equal(known, each.packets > 0 && named.includes(each.from));
            if (known && each.opens)
              for (let n = 0; n < each.packets; n++) opened.push({ from: each.from, atMs: desk.nowMs });
          } else if ("named" in each) {
            named = each.named;
            desk.way.told(named.map(at));
            [opened, confirmed] = [[], false];
          } else if ("confirmed" in each) {
            desk.way.told([]);
            confirmed = true;
          } else if ("lineUp" in each) {
            desk.lineUp = each.lineUp;
          } else {
            desk.way.mapped(at(each.mapped));
          }
        }
        const times = desk.offers.map(({ atMs }) => atMs);
        for (let n = 1; n < times.length; n++) assert.ok(times[n]! - times[n - 1]! >= AGAIN_MS);
      }),
    );
    assert.ok(direct > 100, "some runs got as far as the direct way");
  });
});

describe("Voice between two handsets on the wire, directly and over the relay", () => {
  const th = Buffer.alloc(32, 8);
  let folder: string;
  let clock: sinon.SinonFakeTimers;
  let relay: VoiceRelay;
  let ends: End[];

  beforeEach(async () => {
    folder = await mkdtemp(path.join(tmpdir(), "feldfon-direct-"));
    ends = [];
  });
  afterEach(async () => {
    clock.restore();
    for (const { hangUp } of ends) await hangUp();
    await relay.close();
    await rm(folder, { recursive: true });
  });

  interface End {
    engine: VoiceEngine;
    way: RelayWay;
    direct: DirectWay | undefined;
    /** INFOs that left this handset, by their number of candidates. */
    infos: number[];
    /** Directly sent datagrams that the meddler lets through. */
    cut: boolean;
    sentDirectly: number;
    said: string;
    hangUp(): Promise<Int16Array | undefined>;
  }

  /** A call on the loopback: files, sockets, relay and keys are real; INFO goes from one to the other without a server. */
  async function call(allows: { A: boolean; B: boolean }): Promise<{ a: End; b: End }> {
    const serverVault = testingVault();
    relay = new VoiceRelay({ vault: serverVault, host: "127.0.0.1", port: 0, onError: assert.fail });
    const port = await relay.listen();
    const ids = { A: newRelayId(), B: newRelayId() };
    const byte = { A: 1, B: 2 };
    const end = (side: "A" | "B") => ({
      relayId: ids[side],
      key: new RelayKeys(serverVault, () => serverVault.import("mac", Buffer.alloc(32, byte[side]))).keyOf(ids[side]),
    });
    relay.open({ a: end("A"), b: end("B") });

    const handset = async (side: "A" | "B", other: () => End): Promise<End> => {
      const vault = testingVault();
      const sound = new FileSound(assert.fail);
      const engine = new VoiceEngine(sound);
      const [said, heard] = [path.join(folder, `said-by-${side}.wav`), path.join(folder, `heard-by-${side}.wav`)];
      await writeFile(said, encodeWav(speech(byte[side], 3 * 16_000), 16_000));
      await sound.say(said);
      await sound.record(heard);
      const way = new RelayWay({
        vault,
        host: "127.0.0.1",
        port,
        relayId: ids[side],
        key: vault.import("mac", Buffer.alloc(32, byte[side])),
        onPacket: (each) => engine.receive(each),
        onError: assert.fail,
      });
      const direct = allows[side]
        ? new DirectWay({
            way: {
              relay: way.relay,
              get port() {
                return way.port;
              },
              send: (each) => way.send(each),
              sendTo: (to, each) => {
                self.sentDirectly++;
                if (!self.cut) way.sendTo(to, each);
              },
            },
            open: (each) => engine.receive(each),
            tell: (candidates) => {
              self.infos.push(candidates.length);
              other().direct?.told(candidates);
              return true;
            },
          })
        : undefined;
      if (direct) way.share(direct);
      await way.open();
      engine.start({
        vault,
        send: vault.import("packet-seal", Buffer.alloc(44, byte[side])),
        receive: vault.import("packet-open", Buffer.alloc(44, 3 - byte[side])),
        sendProfile: mediaProfile(th, side),
        receiveProfile: mediaProfile(th, side === "A" ? "B" : "A"),
        onPacket: (each) => (direct ?? way).send(each),
        onFirstVoice: () => {},
        microphone: "open",
      });
      let heardSamples: Promise<Int16Array> | undefined;
      const hangUp = async () => {
        engine.stop();
        way.close();
        await engine.close();
        assert.equal(vault.status().slotsInUse, 0, "no key is left");
        heardSamples ??= readSpeech(heard);
        return heardSamples;
      };
      const self: End = { engine, way, direct, infos: [], cut: false, sentDirectly: 0, said, hangUp };
      ends.push(self);
      return self;
    };

    clock = sinon.useFakeTimers({
      toFake: ["setTimeout", "clearTimeout", "setInterval", "clearInterval", "performance"],
    });
    const a: End = await handset("A", () => b);
    const b: End = await handset("B", () => a);
    for (let turns = 0; !(a.way.statistics.bound && b.way.statistics.bound); turns++) {
      assert.ok(turns < 20_000, "both bound");
      await turn();
    }
    return { a, b };
  }

  async function turn(): Promise<void> {
    await new Promise((resolve) => setImmediate(resolve));
  }

  /** A second of voice has fifty packets; each has its time on the loopback, over the relay as well. */
  async function talk(packets: number): Promise<void> {
    for (let n = 0; n < packets; n++) {
      clock.tick(PACKET_MS);
      for (let turns = 0; turns < 12; turns++) await turn();
    }
  }

  function received(): [number, number] {
    return ends.map(({ engine }) => engine.statistics().received) as [number, number];
  }

  it("leaves the relay within a second, and every sample that was said is heard", async () => {
    const { a, b } = await call({ A: true, B: true });
    await talk(50);
    assert.ok(a.direct!.proven && b.direct!.proven);
    const { forwarded } = relay.statistics;
    assert.ok(forwarded > 0);
    await talk(150);
    assert.equal(relay.statistics.forwarded, forwarded, "the relay has nothing to do any more");
    for (const { engine, infos } of [a, b]) {
      const { sent, received, lost, late, forged, malformed, packetSizes } = engine.statistics();
      assert.deepEqual({ sent, received }, { sent: 200, received: 200 });
      assert.deepEqual({ lost, late, forged, malformed }, { lost: 0, late: 0, forged: 0, malformed: 0 });
      assert.deepEqual(packetSizes, [668]);
      assert.deepEqual(
        infos.filter((candidates) => candidates === 0),
        [0],
        "said once that it hears the other",
      );
    }
    const [heardByA, heardByB] = [await a.hangUp(), await b.hangUp()];
    assert.equal(compareVoice(await readSpeech(a.said), heardByB!).snrDb, 99);
    assert.equal(compareVoice(await readSpeech(b.said), heardByA!).snrDb, 99);
  });

  it("takes the relay for everything when one of the two does not allow it, and that one's address stays its own", async () => {
    const { a, b } = await call({ A: true, B: false });
    await talk(200);
    assert.equal(relay.statistics.forwarded, 400);
    assert.deepEqual(received(), [200, 200]);
    assert.equal(a.sentDirectly, 0, "nobody told it where to");
    assert.deepEqual([a.infos.length > 0, b.infos], [true, []]);
    for (const { engine, way } of [a, b]) {
      const { lost, replayed } = engine.statistics();
      assert.deepEqual({ lost, replayed, strange: way.statistics.strange }, { lost: 0, replayed: 0, strange: 0 });
    }
  });

  for (const [what, sides] of [
    ["both ways", ["a", "b"]],
    ["one way only", ["a"]],
  ] as const) {
    it(`goes on over the relay within a second when the direct way is cut ${what}, and comes back to it later`, async () => {
      const both = await call({ A: true, B: true });
      await talk(50);
      assert.ok(both.a.direct!.proven && both.b.direct!.proven);
      for (const side of sides) both[side].cut = true;
      await talk(1000 / PACKET_MS + 2);
      const before = received();
      await talk(10);
      assert.deepEqual(
        received(),
        before.map((packets) => packets + 10),
        "voice is back",
      );
      assert.ok(!both.a.direct!.proven && !both.b.direct!.proven);
      for (const { engine } of [both.a, both.b])
        assert.ok(engine.statistics().lost <= 53, `${engine.statistics().lost} lost`);
      for (const side of sides) both[side].cut = false;
      await talk(250);
      const { forwarded } = relay.statistics;
      await talk(50);
      assert.equal(relay.statistics.forwarded, forwarded, "direct again");
      const { engine } = both.a;
      const { sent, received: heard, lost, packetSizes } = engine.statistics();
      // What is neither heard nor lost is on its way from the jitter buffer.
      assert.ok(heard + lost >= sent - 60 && heard + lost <= sent, `${heard} + ${lost} of ${sent}`);
      assert.deepEqual(packetSizes, [668]);
    });
  }

  it("is none the worse for one who throws rubbish and old packets at the socket", async () => {
    const { a, b } = await call({ A: true, B: true });
    const thrown: Buffer[] = [];
    const port = b.way.port!;
    const receive = b.direct!.receive.bind(b.direct);
    b.direct!.receive = (datagram, source) => {
      thrown.push(Buffer.from(datagram));
      return receive(datagram, source);
    };
    await talk(50);
    const stranger = createSocket("udp4");
    for (const old of thrown.slice(0, 20)) stranger.send(old, port, "127.0.0.1");
    for (const [n, bytes] of [0, 1, 12, 668, 1500].entries())
      stranger.send(Buffer.alloc(bytes, n ? 0x80 : 0), port, "127.0.0.1");
    await talk(50);
    stranger.close();
    assert.ok(a.direct!.proven && b.direct!.proven);
    for (const old of thrown) assert.equal(b.engine.receive(old), false, "opened before, so it proves nothing");
    assert.equal(b.engine.statistics().lost, 0);
    assert.equal(b.engine.statistics().received, 100);
  });

  it("ends with the call: no datagram leaves the handset and none is taken", async () => {
    const { a, b } = await call({ A: true, B: true });
    await talk(50);
    await a.hangUp();
    assert.equal(a.way.port, undefined);
    const { sentDirectly } = a;
    await talk(20);
    assert.equal(a.sentDirectly, sentDirectly);
    assert.equal(a.engine.statistics().received, 50);
    assert.ok(b.sentDirectly > 0);
    a.direct!.send(Buffer.alloc(668, 0x80));
    a.way.sendTo(a.way.relay, Buffer.alloc(668, 0x80));
  });
});

describe("Two telephones and the setting `direct`", () => {
  let house: Household;
  let relays: sinon.SinonSpy;

  beforeEach(async () => {
    relays = sinon.spy(VoiceRelay.prototype, "open");
    house = new Household();
    await house.open();
  });
  afterEach(async () => {
    await house.close();
    relays.restore();
  });

  function forwarded(): number {
    return (relays.thisValues[0] as VoiceRelay).statistics.forwarded;
  }

  async function inCall(directAtA: boolean, directAtB: boolean): Promise<[Phone, Phone]> {
    const a = await house.phone(1, "Anna", directAtA);
    const b = await house.phone(2, "Ben", directAtB);
    await a.connect();
    await b.connect();
    await a.heard("directory", ({ changes }) => changes.joined.includes("Ben"));
    await talk(a, b);
    return [a, b];
  }

  async function talk(a: Phone, b: Phone): Promise<void> {
    a.telephone.command({ do: "call", uid: b.uid });
    await b.heard("incoming");
    b.telephone.command({ do: "answer" });
    await b.heard("in-call");
    await a.heard("in-call");
  }

  const udpSockets = () => process.getActiveResourcesInfo().filter((kind) => /udp/i.test(kind)).length;
  const infos = ({ sent }: Phone) => sent.filter((kind) => kind === "INFO").length;

  it("speak straight to each other when both have it on, and the relay has nothing to do any more", async () => {
    const [a, b] = await inCall(true, true);
    await b.heard("voice", ({ way }) => way === "direct");
    const { received } = await a.heard("voice", ({ way }) => way === "direct");
    const before = forwarded();
    const later = await a.heard("voice");
    assert.equal(forwarded(), before);
    assert.ok(later.received - received > 30, `${later.received - received} packets in a second`);
    assert.equal(later.lost, 0);
    assert.deepEqual(later.packetSizes, [668]);
    assert.doesNotMatch(JSON.stringify([a.events, b.events]), /127\.0\.0\.1|candidate/);
  });

  it("speak over the relay when one has it off, and that one says nothing about where it is", async () => {
    const [a, b] = await inCall(true, false);
    const shown = [await a.heard("voice"), await b.heard("voice")];
    const before = forwarded();
    shown.push(await a.heard("voice"), await b.heard("voice"));
    assert.deepEqual(new Set(shown.map(({ way }) => way)), new Set(["relay"]));
    assert.ok(forwarded() - before > 60);
    assert.ok(infos(a) > 0);
    assert.equal(infos(b), 0);
  });

  it("close their sockets and keep no key when one hangs up, and the next call finds its way again", async () => {
    const before = udpSockets();
    const [a, b] = await inCall(true, true);
    await b.heard("voice", ({ way }) => way === "direct");
    const open = udpSockets();
    const slots = [a, b].map(({ vault }) => vault.status().slotsInUse);
    a.telephone.command({ do: "hang-up" });
    assert.equal((await a.heard("ended")).erased, "both");
    assert.equal((await b.heard("ended")).erased, "both");
    for (let turns = 0; turns < 10; turns++) await new Promise((resolve) => setImmediate(resolve));
    assert.deepEqual([open, udpSockets()], [before + 2, before]);
    // Media and way slots of both directions, two confirm keys and the relay's.
    assert.deepEqual(
      [a, b].map(({ vault }) => vault.status().slotsInUse),
      slots.map((inUse) => inUse - 7),
    );
    await talk(b, a);
    await a.heard("voice", ({ way }) => way === "direct");
  });
});
