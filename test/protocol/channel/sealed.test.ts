import assert from "node:assert/strict";
import { createCipheriv, createDecipheriv, createHash, hkdfSync } from "node:crypto";
import { concat, lp, u32, u64 } from "@feldfon/protocol/bytes";
import { FRAMES_PER_KEY, MAX_CLEAR_BYTES, type SealedChannel } from "@feldfon/protocol/channel/sealed";
import {
  encodeFrame,
  FrameReader,
  HEADER_BYTES,
  MAX_BODY_BYTES,
  MAX_UNPROVEN_BODY_BYTES,
} from "@feldfon/protocol/frames";
import fc from "fast-check";
import { alive, bothEnds, codeOf, type Ends, flipped, seal, sealedPair, shared } from "./ends.ts";

const message = Buffer.from("MESSAGE sip:server@feldfon SIP/2.0\r\n");
const TICKET_SLOTS = 2;

/** KDF(word, t, n; ikm) of wire.md 1, by hand. */
function kdf(word: string, t: Buffer, bytes: number, ...ikm: Buffer[]): Buffer {
  const info = concat(Buffer.from(`feldfon/1 ${word}\0`), t);
  return Buffer.from(hkdfSync("sha256", concat(...ikm), t, info, bytes));
}

function nonceOf(k44: Buffer, c: number): Buffer {
  const nonce = Buffer.from(k44.subarray(32));
  for (const [n, byte] of u64(c).entries()) nonce[4 + n]! ^= byte;
  return nonce;
}

/** A frame body of any clear bytes under a key of 44 bytes, by hand. */
function sealByHand(k44: Buffer, c: number, clear: Buffer, aadLength = clear.length + 24): Buffer {
  const cipher = createCipheriv("aes-256-gcm", k44.subarray(0, 32), nonceOf(k44, c)).setAAD(
    concat(u32(aadLength), u64(c)),
  );
  return concat(u64(c), cipher.update(clear), cipher.final(), cipher.getAuthTag());
}

function openByHand(k44: Buffer, c: number, frame: Buffer): Buffer {
  const aad = encodeFrame(frame).subarray(0, 12); // the 4 bytes before the frame, and c
  const cipher = createDecipheriv("aes-256-gcm", k44.subarray(0, 32), nonceOf(k44, c)).setAAD(aad);
  cipher.setAuthTag(frame.subarray(-16));
  return concat(cipher.update(frame.subarray(8, -16)), cipher.final());
}

function padded(clear: Buffer): Buffer {
  return concat(lp(clear), Buffer.alloc((512 - ((4 + clear.length) % 256)) % 256));
}

describe("Channel: sealed frames", () => {
  let ends: Ends;
  let client: SealedChannel;
  let server: SealedChannel;
  let ch: Buffer;
  /** PAIR("connect", th; ch) of this channel. */
  let c2s: Buffer;
  let s2c: Buffer;

  before(async () => {
    ends = await bothEnds();
  });
  beforeEach(() => {
    ({ client, server, secret: ch } = sealedPair(ends));
    [c2s, s2c] = [kdf("connect c2s", client.th, 44, ch), kdf("connect s2c", client.th, 44, ch)];
  });
  afterEach("no secret is left in either vault", () => {
    client.wipe();
    server.wipe();
    assert.equal(alive(ends.client, ends.server), 0);
  });

  it("look as the wire describes them", () => {
    for (const c of [0, 1, 2]) {
      const frame = seal(client, message);
      assert.deepEqual(frame.subarray(0, 8), u64(c));
      assert.deepEqual(openByHand(c2s, c, frame), padded(message));
      const answer = seal(server, message);
      assert.deepEqual(openByHand(s2c, c, answer), padded(message));
    }
  });

  it("carry the length on the wire in their AAD", () => {
    const frame = sealByHand(c2s, 0, padded(message), 24 + 512);
    assert.equal(
      codeOf(() => server.open(frame)),
      "bad-tag",
    );
    assert.deepEqual(server.open(sealByHand(c2s, 0, padded(message))), message);
  });

  for (const [bytes, length] of [
    [0, 280],
    [1, 280],
    [252, 280],
    [253, 536],
    [508, 536],
    [509, 792],
  ] as const) {
    it(`are ${length} bytes long for a message of ${bytes}`, () => {
      const clear = Buffer.alloc(bytes, 0x41);
      const frame = seal(client, clear);
      assert.equal(frame.length, length);
      assert.deepEqual(server.open(frame), clear);
    });
  }

  it("reach 10 MiB and no further; what is too long moves nothing", () => {
    assert.equal(
      codeOf(() => seal(client, Buffer.alloc(MAX_CLEAR_BYTES + 1))),
      "frame-too-long",
    );
    const frame = seal(client, Buffer.alloc(MAX_CLEAR_BYTES, 1));
    assert.ok(frame.length <= MAX_BODY_BYTES && frame.length + 256 > MAX_BODY_BYTES);
    const reader = new FrameReader();
    reader.maxBodyBytes = MAX_BODY_BYTES;
    const [body] = [...reader.read(encodeFrame(frame))];
    assert.equal(server.open(body!).length, MAX_CLEAR_BYTES);
  });

  it("above 16 KiB wait for a reader that knows its peer", () => {
    const [within, above] = [16_124, 16_125].map((bytes) => encodeFrame(seal(client, Buffer.alloc(bytes))));
    const reader = new FrameReader();
    assert.equal(reader.maxBodyBytes, MAX_UNPROVEN_BODY_BYTES);
    assert.equal([...reader.read(within!)].length, 1);
    assert.equal(
      codeOf(() => [...reader.read(above!)]),
      "frame-too-long",
    );
    const knowing = new FrameReader();
    knowing.maxBodyBytes = MAX_BODY_BYTES;
    assert.equal([...knowing.read(above!)].length, 1);
  });

  it("arrive as they were sent, whoever sends, whatever the size", () => {
    const sent = fc.array(fc.tuple(fc.boolean(), fc.uint8Array({ maxLength: 1100 })), { maxLength: 30 });
    fc.assert(
      fc.property(sent, (messages) => {
        const pair = sealedPair(ends);
        const waiting = { client: [] as Buffer[], server: [] as Buffer[] };
        for (const [fromClient, clear] of messages) {
          const side = fromClient ? "client" : "server";
          const frame = seal(pair[side], clear);
          assert.equal(frame.length, 24 + 256 * Math.ceil((clear.length + 4) / 256));
          waiting[side].push(frame);
        }
        // The directions are independent: each is read at once, however they were interleaved.
        const arrived = { client: waiting.client.map((f) => pair.server.open(f)), server: [] as Buffer[] };
        arrived.server = waiting.server.map((f) => pair.client.open(f));
        for (const side of ["client", "server"] as const) {
          const expected = messages.filter(([fromClient]) => fromClient === (side === "client"));
          assert.deepEqual(
            arrived[side],
            expected.map(([, clear]) => Buffer.from(clear)),
          );
        }
        pair.client.wipe();
        pair.server.wipe();
      }),
      { numRuns: 60 },
    );
  });

  it("are written into their place, header and all, and count with the others", () => {
    const long = Buffer.alloc(40_000, 7);
    for (const bytes of [0, 1, 252, 253, 508, 39_996, 40_000]) {
      const whole = long.subarray(0, bytes);
      const frame = client.sealFrame(bytes, (place) => {
        assert.equal(place.length, bytes);
        place.set(whole);
      });
      const next = seal(client, whole);
      const body = frame.subarray(HEADER_BYTES);
      assert.deepEqual(encodeFrame(body), frame);
      assert.equal(body.length, next.length);
      assert.equal(
        codeOf(() => server.open(Buffer.from(next))),
        "bad-counter",
      );
      assert.deepEqual(server.open(body), whole);
      assert.deepEqual(server.open(next), whole);
    }
    assert.equal(
      codeOf(() => client.sealFrame(MAX_CLEAR_BYTES + 1, () => {})),
      "frame-too-long",
    );
    const largest = client.sealFrame(MAX_CLEAR_BYTES, (place) => place.fill(1));
    assert.equal(server.open(largest.subarray(HEADER_BYTES)).length, MAX_CLEAR_BYTES);
  });

  describe("are refused, and move nothing", () => {
    /** Refused with this code, after which the frame that should have come still opens. */
    function refused(frame: Buffer, code: string, next: Buffer, by = server): void {
      assert.equal(
        codeOf(() => by.open(Buffer.from(frame))),
        code,
      );
      assert.deepEqual(by.open(next), message);
    }

    it("when one was lost", () => {
      const [first, second] = [seal(client, message), seal(client, message)];
      refused(second, "bad-counter", first);
    });

    it("when they come again", () => {
      const [first, second] = [seal(client, message), seal(client, message)];
      server.open(first);
      refused(first, "bad-counter", second);
    });

    it("when two are swapped", () => {
      const frames = [0, 1, 2].map(() => seal(client, message)) as [Buffer, Buffer, Buffer];
      server.open(frames[0]);
      refused(frames[2], "bad-counter", frames[1]);
    });

    it("when they are reflected to their sender", () => {
      const [fromClient, fromServer] = [seal(client, message), seal(server, message)];
      refused(fromClient, "bad-tag", fromServer, client);
      refused(fromServer, "bad-tag", fromClient, server);
    });

    it("when they come from the previous connection", () => {
      const next = sealedPair(ends);
      refused(seal(client, message), "bad-tag", seal(next.client, message), next.server);
      next.client.wipe();
      next.server.wipe();
    });

    it("when another counter was written over theirs", () => {
      const [first, second] = [seal(client, message), seal(client, message)];
      refused(concat(u64(0), second.subarray(8)), "bad-tag", first);
    });

    it("when their counter is above 2^53", () => {
      const frame = seal(client, message);
      refused(concat(Buffer.alloc(8, 0xff), frame.subarray(8)), "malformed", frame);
    });

    it("when any byte is changed", () => {
      const frame = seal(client, message);
      for (let at = 0; at < frame.length; at++) {
        const code = codeOf(() => server.open(flipped(frame, at)));
        if (at < 8) assert.ok(code === "bad-counter" || code === "malformed", `byte ${at}: ${code}`);
        else assert.equal(code, "bad-tag", `byte ${at}`);
      }
      assert.deepEqual(server.open(frame), message);
    });

    it("when they are cut or longer", () => {
      const frame = seal(client, Buffer.alloc(300, 1));
      for (let bytes = 0; bytes < frame.length; bytes++) {
        const code = codeOf(() => server.open(Buffer.from(frame.subarray(0, bytes))));
        assert.equal(code, bytes === 280 ? "bad-tag" : "malformed", `${bytes} bytes`);
      }
      for (const more of [1, 255, 256]) {
        const code = codeOf(() => server.open(concat(frame, Buffer.alloc(more))));
        assert.equal(code, more === 256 ? "bad-tag" : "malformed", `${more} bytes more`);
      }
      assert.equal(server.open(frame).length, 300);
    });
  });

  describe("with a good tag are refused all the same", () => {
    const clears: [string, Buffer][] = [
      ["a byte of padding is not zero", concat(u32(3), Buffer.alloc(252, 0), Buffer.of(1))],
      ["the first byte of padding is not zero", concat(u32(3), Buffer.from("abcd"), Buffer.alloc(248))],
      ["there is more padding than needed", concat(u32(3), Buffer.from("abc"), Buffer.alloc(256 + 249))],
      ["no padding was needed for so much", concat(u32(252), Buffer.alloc(252), Buffer.alloc(256))],
      ["the message is longer than the frame", concat(u32(253), Buffer.alloc(252))],
      ["the message is said to be 4 GiB", concat(u32(0xffff_ffff), Buffer.alloc(252))],
    ];
    for (const [what, clear] of clears) {
      it(`when ${what}`, () => {
        assert.equal(
          codeOf(() => server.open(sealByHand(c2s, 0, clear))),
          "malformed",
        );
      });
    }

    it("when any byte of padding is not zero", () => {
      for (let at = 4 + 200; at < 256; at++) {
        const clear = padded(Buffer.alloc(200, 1));
        clear[at] = 0x80;
        const pair = sealedPair(ends);
        const k44 = kdf("connect c2s", pair.client.th, 44, pair.secret);
        assert.equal(
          codeOf(() => pair.server.open(sealByHand(k44, 0, clear))),
          "malformed",
          `byte ${at}`,
        );
        pair.client.wipe();
        pair.server.wipe();
      }
    });

    it("when nothing at all was sealed", () => {
      assert.equal(
        codeOf(() => server.open(sealByHand(c2s, 0, Buffer.alloc(0)))),
        "malformed",
      );
    });
  });

  describe("get a new key each 1,024 frames", () => {
    for (const direction of ["client", "server"] as const) {
      it(`sealed by the ${direction}; the counter runs on`, () => {
        const [from, to] = direction === "client" ? [client, server] : [server, client];
        let k44 = direction === "client" ? c2s : s2c;
        const clear = Buffer.from("ping");
        for (let c = 0; c <= 2 * FRAMES_PER_KEY + 1; c++) {
          if (c === 1024 || c === 2048) k44 = kdf("rekey", client.th, 44, k44);
          const frame = seal(from, clear);
          if ([0, 1022, 1023, 1024, 1025, 2047, 2048, 2049].includes(c)) {
            assert.deepEqual(frame.subarray(0, 8), u64(c));
            assert.deepEqual(openByHand(k44, c, frame), padded(clear), `frame ${c}`);
          }
          assert.deepEqual(to.open(frame), clear);
        }
        assert.ok(shared(client, server));
      });
    }

    it("and a forged first frame of a generation moves nothing", () => {
      for (let c = 0; c < FRAMES_PER_KEY; c++) server.open(seal(client, message));
      const frame = seal(client, message);
      assert.equal(
        codeOf(() => server.open(flipped(frame, 100))),
        "bad-tag",
      );
      assert.deepEqual(server.open(frame), message);
    });

    it("and the old key opens nothing of the new one", () => {
      for (let c = 0; c < FRAMES_PER_KEY; c++) seal(client, message);
      for (let c = 0; c < FRAMES_PER_KEY; c++) server.open(sealByHand(c2s, c, padded(message)));
      assert.equal(
        codeOf(() => server.open(sealByHand(c2s, FRAMES_PER_KEY, padded(message)))),
        "bad-tag",
      );
      assert.deepEqual(server.open(seal(client, message)), message);
    });
  });

  describe("after step 5 are under the server's secret", () => {
    const secret = Buffer.alloc(48, 9);
    const imported = (end: "client" | "server", bytes = secret) => ends[end].vault.import("derive", bytes);

    /** The server's half up to its last frame under "connect". */
    function secretSent(): Buffer {
      const frame = seal(server, Buffer.from("secret"));
      server.join(imported("server"));
      server.switchSeal();
      return frame;
    }

    it("in both directions, each from its own moment on, counters from 0", () => {
      server.open(seal(client, Buffer.from("join")));
      const headAnswer = seal(client, Buffer.from("head's 200"));
      const frame = secretSent();
      // The client's answer to head was under way: the server still opens under "connect".
      assert.equal(server.open(headAnswer).toString(), "head's 200");
      server.switchOpen();
      assert.equal(client.open(frame).toString(), "secret");
      client.join(imported("client"));
      client.switchOpen();
      client.switchSeal();
      const stored = seal(client, Buffer.from("stored"));
      assert.deepEqual(stored.subarray(0, 8), u64(0));
      assert.equal(server.open(stored).toString(), "stored");
      const phonebook = seal(server, Buffer.from("phonebook"));
      assert.deepEqual(phonebook.subarray(0, 8), u64(0));
      assert.equal(client.open(phonebook).toString(), "phonebook");
      assert.ok(shared(client, server));
    });

    it("with keys from j, that is from ch and the secret", () => {
      const j = kdf("joined", client.th, 32, ch, secret);
      client.join(imported("client"));
      client.switchSeal();
      const frame = seal(client, message);
      assert.deepEqual(openByHand(kdf("joined c2s", client.th, 44, j), 0, frame), padded(message));
      server.join(imported("server"));
      server.switchSeal();
      assert.deepEqual(openByHand(kdf("joined s2c", client.th, 44, j), 0, seal(server, message)), padded(message));
    });

    it("which leaves nothing alive but j, two keys and the ticket's two", () => {
      for (const [side, channel] of [
        ["client", client],
        ["server", server],
      ] as const) {
        const serverSecret = imported(side);
        channel.join(serverSecret);
        channel.switchSeal();
        channel.switchOpen();
        assert.throws(() => ends[side].vault.reveal(serverSecret), { code: "empty-slot" });
        assert.equal(alive(ends[side]), 3 + TICKET_SLOTS);
      }
    });

    it("and frames of before are refused", () => {
      const old = seal(client, message);
      server.join(imported("server"));
      server.switchOpen();
      assert.equal(
        codeOf(() => server.open(old)),
        "bad-tag",
      );
    });

    it("and each end has to know the same secret", () => {
      client.join(imported("client"));
      server.join(imported("server", Buffer.alloc(48, 8)));
      for (const channel of [client, server]) {
        channel.switchSeal();
        channel.switchOpen();
      }
      assert.equal(shared(client, server), false);
    });

    it("and not before, nor twice", () => {
      assert.equal(
        codeOf(() => client.switchSeal()),
        "out-of-order",
      );
      assert.equal(
        codeOf(() => client.switchOpen()),
        "out-of-order",
      );
      client.join(imported("client"));
      const again = imported("client");
      assert.equal(
        codeOf(() => client.join(again)),
        "out-of-order",
      );
      assert.throws(() => ends.client.vault.reveal(again), { code: "empty-slot" });
      client.switchSeal();
      client.switchOpen();
      assert.equal(
        codeOf(() => client.switchSeal()),
        "out-of-order",
      );
      assert.equal(
        codeOf(() => client.switchOpen()),
        "out-of-order",
      );
    });

    it("and get new keys each 1,024 frames, counted from the change", () => {
      for (let c = 0; c < 1000; c++) server.open(seal(client, message));
      for (const [side, channel] of [
        ["client", client],
        ["server", server],
      ] as const) {
        channel.join(imported(side));
        channel.switchSeal();
        channel.switchOpen();
      }
      const j = kdf("joined", client.th, 32, ch, secret);
      const first = kdf("joined c2s", client.th, 44, j);
      for (let c = 0; c <= FRAMES_PER_KEY; c++) {
        const frame = seal(client, message);
        if (c === 24 || c === 1023) assert.deepEqual(openByHand(first, c, frame), padded(message));
        if (c === 1024) {
          assert.deepEqual(openByHand(kdf("rekey", client.th, 44, first), c, frame), padded(message));
        }
        server.open(frame);
      }
    });
  });

  describe("keys for the relay", () => {
    const relayId = Buffer.from("0102030405060708", "hex");
    const T = (word: string, ...parts: Buffer[]) =>
      createHash("sha3-256")
        .update(concat(...[Buffer.from(`feldfon/1 ${word}`), ...parts].map(lp)))
        .digest();

    it("come from j, are the same on both ends and another for each relay id", () => {
      const pair = sealedPair(ends, "resumed");
      const key = pair.client.relayKey(relayId);
      const other = pair.server.relayKey(relayId);
      const bytes = ends.client.vault.reveal(key);
      assert.deepEqual(bytes, kdf("relay", T("relay", pair.client.th, relayId), 32, pair.secret));
      assert.deepEqual(ends.server.vault.reveal(other), bytes);
      const another = pair.client.relayKey(Buffer.alloc(8));
      assert.notDeepEqual(ends.client.vault.reveal(another), bytes);
      assert.throws(() => pair.client.relayKey(Buffer.alloc(7)), RangeError);
      pair.client.wipe();
      pair.server.wipe();
      // The line may go, the call keeps its key.
      assert.deepEqual(ends.client.vault.reveal(key), bytes);
      ends.client.vault.wipe(key, another);
      ends.server.vault.wipe(other);
    });

    it("do not exist before step 5", () => {
      assert.equal(
        codeOf(() => client.relayKey(relayId)),
        "out-of-order",
      );
      client.join(ends.client.vault.import("derive", Buffer.alloc(48, 1)));
      ends.client.vault.wipe(client.relayKey(relayId));
    });
  });

  describe("when the channel ends", () => {
    const uses: [string, (channel: SealedChannel, secret: () => Parameters<SealedChannel["join"]>[0]) => unknown][] = [
      ["seal", (channel) => seal(channel, message)],
      ["open", (channel) => channel.open(Buffer.alloc(280))],
      ["join", (channel, secret) => channel.join(secret())],
      ["switchSeal", (channel) => channel.switchSeal()],
      ["switchOpen", (channel) => channel.switchOpen()],
      ["relayKey", (channel) => channel.relayKey(Buffer.alloc(8))],
      ["keepResume", (channel) => channel.keepResume()],
    ];

    it("are no more: nothing works, nothing is left, and ending twice is harmless", () => {
      client.join(ends.client.vault.import("derive", Buffer.alloc(48, 1)));
      assert.equal(client.closed, false);
      client.wipe();
      assert.equal(client.closed, true);
      client.wipe();
      assert.equal(alive(ends.client), 0);
      for (const [what, use] of uses) {
        const secret = () => ends.client.vault.import("derive", Buffer.alloc(48, 1));
        assert.equal(
          codeOf(() => use(client, secret)),
          "closed",
          what,
        );
      }
      assert.equal(alive(ends.client), 0);
    });

    it("leave a ticket alone when the line was lost after step 5", () => {
      client.join(ends.client.vault.import("derive", Buffer.alloc(48, 1)));
      const ticket = client.keepResume();
      assert.ok(ticket);
      assert.equal(alive(ends.client), TICKET_SLOTS);
      assert.equal(client.closed, true);
      client.wipe();
      assert.equal(ticket.spent, false);
      ticket.wipe();
      assert.equal(alive(ends.client), 0);
    });

    it("leave nothing when the line was lost before step 5", () => {
      assert.equal(client.keepResume(), undefined);
      assert.equal(alive(ends.client), 0);
    });

    it("take a ticket with them that nobody has asked for", () => {
      client.join(ends.client.vault.import("derive", Buffer.alloc(48, 1)));
      client.wipe();
      assert.equal(alive(ends.client), 0);
    });
  });
});
