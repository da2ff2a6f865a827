import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import type { MediaProfile } from "@feldfon/protocol/vault";
import {
  EPOCH_PACKETS,
  guessIndex,
  MediaReceiver,
  MediaSender,
  openPacket,
  sealPacket,
  sessionKeys,
  srtpKdf,
  WINDOW_PACKETS,
} from "@feldfon/vault/srtp";
import { testingVault } from "@feldfon/vault/testing";
import fc from "fast-check";
import { refuses } from "./contract.ts";
import { masterOfEpoch, PROFILE } from "./voice-keys.ts";

const SEQUENCE_END = 65_536;
const epochOf = (index: number) => Math.floor(index / EPOCH_PACKETS);

describe("voice packets, against published vectors", () => {
  // RFC 7714 §16.2: AEAD_AES_256_GCM
  const session = {
    key: bytes("000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"),
    salt: bytes("517569642070726f2071756f"),
  };
  const header = bytes("8040f17b8041f8d35501a0b2");
  const clear = Buffer.from("Gallia est omnis divisa in partes tres");
  const packet = bytes(
    `8040f17b8041f8d35501a0b2 32b1de78a822fe12ef9f78fa332e33aab18012389a58e2f3b50b2a0276ffae0f
     1ba63799b87b 7aa3db36dfffd6b0f9bb7878d7a76c13`,
  );

  it("seal the packet of RFC 7714 §16.2.1", () => {
    assert.deepEqual(sealPacket(session, header, 0xf17b, clear), packet);
  });

  it("open the packet of RFC 7714 §16.2.2, under its own index only", () => {
    assert.deepEqual(openPacket(session, packet, 0xf17b), clear);
    assert.equal(openPacket(session, packet, 0xf17b + SEQUENCE_END), undefined);
  });

  it("derive session keys as RFC 3711 B.3 does", () => {
    const key = bytes("e1f97a0d3e018be0d64fa32c06de4139");
    const salt = bytes("0ec675ad498afeebb6960b3aabe6");
    assert.deepEqual(srtpKdf(key, salt, 0, 16), bytes("c61e7a93744f39ee10734afe3ff7a087"));
    assert.deepEqual(srtpKdf(key, salt, 2, 14), bytes("30cbbc08863d8c85d49db34a9ae1"));
    const authentication = bytes(
      `cebe321f6ff7716b6fd4ab49af256a15 6d38baa48f0a0acf3c34e2359e6cdbce
       e049646c43d9327ad175578ef7227098 6371c10c9a369ac2f94a8c5fbcdddc25
       6d6e919a48b610ef17c2041e47403576 6b68642c59bbfc2f34db60dbdfb2`,
    );
    assert.deepEqual(srtpKdf(key, salt, 1, 94), authentication);
  });

  it("derive session keys with AES-256 as RFC 6188 §7.2 does", () => {
    const key = bytes("f0f04914b513f2763a1b1fa130f10e2998f6f6e43e4309d1e622a0e332b9f1b6");
    const salt = bytes("3b04803de51ee7c96423ab5b78d2");
    assert.deepEqual(
      srtpKdf(key, salt, 0, 32),
      bytes("5ba1064e30ec51613cad926c5a28ef731ec7fb397f70a960653caf06554cd8c4"),
    );
    assert.deepEqual(srtpKdf(key, salt, 2, 14), bytes("fa31791685ca444a9e07c6c64e93"));
  });

  it("fill a master salt of 12 bytes with two zeros", () => {
    const master = randomBytes(44);
    const filled = Buffer.concat([master.subarray(32), Buffer.alloc(2)]);
    const { key, salt } = sessionKeys(master);
    assert.deepEqual(key, srtpKdf(master.subarray(0, 32), filled, 0, 32));
    assert.deepEqual(salt, srtpKdf(master.subarray(0, 32), filled, 2, 14).subarray(0, 12));
  });
});

describe("a sender of voice", () => {
  it("turns its key every 3,000 packets by HKDF and goes on counting", () => {
    const sender = senderAt(0);
    for (let index = 0; index < 2 * EPOCH_PACKETS + 2; index++) {
      const packet = sender.seal(randomBytes(4), 0);
      if (index % EPOCH_PACKETS > 1 && index % EPOCH_PACKETS < EPOCH_PACKETS - 2) continue;
      assert.equal(packet.readUInt16BE(2), index % SEQUENCE_END);
      const opens = (epoch: number) => openPacket(sessionKeys(masterOfEpoch(epoch)), packet, index) !== undefined;
      assert.deepEqual(
        [0, 1, 2].map(opens),
        [0, 1, 2].map((epoch) => epoch === epochOf(index)),
        `index ${index}`,
      );
    }
  });

  it("keeps no key of an epoch that is over", () => {
    const sender = senderAt(EPOCH_PACKETS - 1);
    for (let packets = 0; packets < 3; packets++) {
      sender.seal(Buffer.from("."), 0);
      assert.equal(sessionCount(sender), 1);
    }
    sender.close();
    assert.equal(sessionCount(sender), 0);
  });

  it("lets the sequence number roll over into the index", () => {
    const sender = senderAt(SEQUENCE_END - 1);
    for (const [index, sequence] of [
      [65_535, 65_535],
      [65_536, 0],
      [65_537, 1],
    ] as const) {
      const packet = sender.seal(Buffer.from("."), 0);
      assert.equal(packet.readUInt16BE(2), sequence);
      assert.deepEqual(openPacket(sessionKeys(masterOfEpoch(epochOf(index))), packet, index), Buffer.from("."));
    }
  });

  it("stops after 2^48 packets and repeats none", () => {
    const vault = testingVault();
    vault.mediaStart = 2 ** 48 - 2;
    const sender = vault.srtpSender(vault.import("packet-seal", randomBytes(44)), PROFILE);
    const last = [sender.seal(Buffer.from("."), 0), sender.seal(Buffer.from("."), 0)];
    assert.deepEqual(
      last.map((packet) => packet.readUInt16BE(2)),
      [0xfffe, 0xffff],
    );
    for (let tries = 0; tries < 3; tries++) assert.throws(() => sender.seal(Buffer.from("."), 0), refuses("exhausted"));
    sender.close();
  });

  it("keeps the profile it began with", () => {
    const profile: MediaProfile = {
      ssrc: 1,
      ratchet: { salt: Buffer.from(PROFILE.ratchet.salt), info: Buffer.from(PROFILE.ratchet.info) },
    };
    const sender = new MediaSender(Buffer.from(masterOfEpoch(0)), profile, EPOCH_PACKETS - 1);
    profile.ratchet.salt.fill(0);
    profile.ratchet.info.fill(0);
    sender.seal(Buffer.from("."), 0);
    const packet = sender.seal(Buffer.from("."), 0);
    assert(openPacket(sessionKeys(masterOfEpoch(1)), packet, EPOCH_PACKETS));
  });
});

describe("a receiver of voice", () => {
  it("follows a sender over the roll-over of the sequence number", () => {
    const [sender, receiver] = [senderAt(SEQUENCE_END - 300), receiverAt(SEQUENCE_END - 300)];
    for (let index = SEQUENCE_END - 300; index < SEQUENCE_END + 300; index++) {
      const opened = receiver.open(sender.seal(Buffer.from("."), 0));
      assert(typeof opened === "object", `index ${index}: ${opened}`);
      assert.equal(opened.index, index);
    }
  });

  it("still opens what was late at the roll-over and at the turn of the key", () => {
    for (const edge of [SEQUENCE_END, EPOCH_PACKETS, 22 * EPOCH_PACKETS]) {
      const receiver = receiverAt(edge - 200);
      assert.equal(indexOf(receiver.open(packetAt(edge - 200))), edge - 200);
      assert.equal(indexOf(receiver.open(packetAt(edge + 100))), edge + 100);
      assert.equal(indexOf(receiver.open(packetAt(edge - 1))), edge - 1);
      assert.equal(indexOf(receiver.open(packetAt(edge - 27))), edge - 27);
      assert.equal(receiver.open(packetAt(edge - 28)), "too-old");
      assert.equal(receiver.open(packetAt(edge - 27)), "replayed");
    }
  });

  it("has wiped an epoch once its last packet is 128 behind", () => {
    const sessions = () => sessionCount(receiver);
    const receiver = receiverAt(EPOCH_PACKETS - 1);
    receiver.open(packetAt(EPOCH_PACKETS - 1));
    receiver.open(packetAt(EPOCH_PACKETS));
    assert.equal(sessions(), 2);
    receiver.open(packetAt(EPOCH_PACKETS + WINDOW_PACKETS - 2));
    assert.equal(sessions(), 2);
    receiver.open(packetAt(EPOCH_PACKETS + WINDOW_PACKETS - 1));
    assert.equal(sessions(), 1);
  });

  it("drops an index below 0", () => {
    const receiver = receiverAt(0);
    for (const index of [40_000, 65_535]) assert.equal(receiver.open(packetAt(index)), "too-old");
    assert.equal(indexOf(receiver.open(packetAt(0))), 0);
  });

  it("tries keys two epochs ahead and no further", () => {
    const receiver = receiverAt(0);
    assert.equal(indexOf(receiver.open(packetAt(5))), 5);
    assert.equal(receiver.open(packetAt(3 * EPOCH_PACKETS)), "forged");
    assert.equal(indexOf(receiver.open(packetAt(3 * EPOCH_PACKETS - 1))), 3 * EPOCH_PACKETS - 1);
    assert.equal(indexOf(receiver.open(packetAt(5 * EPOCH_PACKETS - 1))), 5 * EPOCH_PACKETS - 1);
    assert.equal(sessionCount(receiver), 1);
  });

  it("is not moved by forgeries, near or epochs ahead", () => {
    const receiver = receiverAt(0);
    receiver.open(packetAt(10));
    for (const index of [11, 12, 200, EPOCH_PACKETS, 2 * EPOCH_PACKETS + 5, 3 * EPOCH_PACKETS - 1]) {
      const forged = packetAt(index);
      forged[forged.length - 1]! ^= 1;
      for (let tries = 0; tries < 3; tries++) assert.equal(receiver.open(forged), "forged");
    }
    assert.equal(sessionCount(receiver), 1);
    for (const index of [11, 0, 9, 12]) assert.equal(indexOf(receiver.open(packetAt(index))), index);
    assert.equal(receiver.open(packetAt(10)), "replayed");
  });

  it("opens a packet once, whatever is lost, late, doubled or forged on the way", () => {
    const step = fc.oneof(
      { weight: 6, arbitrary: fc.integer({ min: -20, max: 20 }) },
      { weight: 2, arbitrary: fc.integer({ min: -140, max: 300 }) },
      { weight: 1, arbitrary: fc.integer({ min: 2500, max: 3500 }) },
      { weight: 1, arbitrary: fc.integer({ min: 5500, max: 9500 }) },
    );
    const arrival = fc.record({ step, forgedAt: fc.option(fc.nat(28), { freq: 4 }) });
    const start = fc.constantFrom(0, 1, 2_990, 65_500, 131_000, 196_590);
    fc.assert(
      fc.property(start, fc.array(arrival, { maxLength: 60 }), (start, arrivals) => {
        const receiver = receiverAt(start);
        const seen = new Set<number>();
        let highest = start - 1;
        for (const { step, forgedAt } of arrivals) {
          // What lies before the start has keys that this receiver was never given.
          const index = Math.max(highest + step, start);
          const packet = packetAt(index);
          if (forgedAt !== null) {
            packet[forgedAt]! ^= 1 << (index % 8);
            assert.equal(typeof receiver.open(packet), "string");
            continue;
          }
          const opened = receiver.open(packet);
          if (index <= highest - WINDOW_PACKETS) assert.equal(opened, "too-old");
          else if (seen.has(index)) assert.equal(opened, "replayed");
          else if (epochOf(index) > epochOf(Math.max(highest, start)) + 2) assert.equal(opened, "forged");
          else {
            assert.deepEqual(opened, { index, timestamp: index % 1000, payload: Buffer.from(`${index}`) });
            seen.add(index);
            highest = Math.max(highest, index);
          }
        }
      }),
      { numRuns: 80 },
    );
  });

  it("never throws, whatever bytes come in", () => {
    const receiver = receiverAt(0);
    receiver.open(packetAt(3));
    const likely = fc.uint8Array({ maxLength: 60 }).map((rest) => Buffer.concat([Buffer.of(0x80, 96), rest]));
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array({ maxLength: 80 }), likely), (bytes) => {
        assert.equal(typeof receiver.open(bytes), "string");
      }),
    );
    assert.equal(indexOf(receiver.open(packetAt(4))), 4);
  });
});

describe("the index of a packet", () => {
  it("is the one nearest to the highest seen (RFC 3711 §3.3.1, appendix A)", () => {
    assert.equal(guessIndex(0, 0), 0);
    assert.equal(guessIndex(32_768, 0), 32_768);
    assert.equal(guessIndex(32_769, 0), 32_769 - SEQUENCE_END);
    assert.equal(guessIndex(0, 65_535), SEQUENCE_END);
    assert.equal(guessIndex(65_535, SEQUENCE_END), 65_535);
    assert.equal(guessIndex(0, 32_768), 0);
    assert.equal(guessIndex(0, 32_769), SEQUENCE_END);
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 2 ** 47 }), fc.integer({ min: -32_767, max: 32_767 }), (highest, away) => {
        const index = highest + away;
        const sequence = ((index % SEQUENCE_END) + SEQUENCE_END) % SEQUENCE_END;
        assert.equal(guessIndex(sequence, highest), index);
      }),
    );
  });
});

/** What a sender makes of packet `index`: a fresh sender at its place, so that a test may jump. */
function packetAt(index: number): Buffer {
  return senderAt(index).seal(Buffer.from(`${index}`), index % 1000);
}

function senderAt(index: number): MediaSender {
  return new MediaSender(Buffer.from(masterOfEpoch(epochOf(index))), PROFILE, index);
}

function receiverAt(index: number): MediaReceiver {
  return new MediaReceiver(Buffer.from(masterOfEpoch(epochOf(index))), PROFILE, index);
}

function indexOf(opened: ReturnType<MediaReceiver["open"]>): number | string {
  return typeof opened === "object" ? opened.index : opened;
}

function sessionCount(media: MediaSender | MediaReceiver): number {
  return (media as unknown as { sessions: Map<number, unknown> }).sessions.size;
}

function bytes(hex: string): Buffer {
  return Buffer.from(hex.replace(/\s/g, ""), "hex");
}
