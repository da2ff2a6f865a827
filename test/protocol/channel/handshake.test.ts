import assert from "node:assert/strict";
import { hash, hkdfSync } from "node:crypto";
import { lp, u32 } from "@feldfon/protocol/bytes";
import { batchLeaf, M3_BYTES, signBatch } from "@feldfon/protocol/channel/batch";
import { ServerBusy } from "@feldfon/protocol/channel/client";
import { openingOf } from "@feldfon/protocol/channel/heads";
import type { SealedChannel } from "@feldfon/protocol/channel/sealed";
import { sign, transcript } from "@feldfon/protocol/crypto/transcript";
import { ProtocolError, VaultError } from "@feldfon/protocol/errors";
import { encodeFrame, FrameReader, MAX_UNPROVEN_BODY_BYTES } from "@feldfon/protocol/frames";
import { parseSip, type SipMessage, type SipRequest } from "@feldfon/protocol/sip";
import type { Vault } from "@feldfon/protocol/vault";
import fc from "fast-check";
import {
  alive,
  bothEnds,
  codeOf,
  codeOfAsync,
  type Ends,
  end,
  flipped,
  handshake,
  newClient,
  newServer,
  repeating,
  rewrite,
  seal,
  sevens,
  shared,
  signOne,
} from "./ends.ts";

const SPKI_AT = 2 + 32 + 32 + 1184 + 4;
const ZERO_POINTS = [
  "0000000000000000000000000000000000000000000000000000000000000000",
  "0100000000000000000000000000000000000000000000000000000000000000",
  "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
  "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
];

describe("Channel: handshake, both ends face to face", () => {
  let ends: Ends;
  before(async () => {
    ends = await bothEnds();
  });
  afterEach("no secret is left in either vault", () => {
    assert.equal(alive(ends.client, ends.server), 0);
  });

  /** A client that waits, and the 401 it waits for. */
  async function offered() {
    const [client, server] = [newClient(ends), newServer(ends)];
    const m1 = client.start();
    const { m2, leaf } = server.hello(m1);
    return { client, server, m1, m2, answer: server.offer(await signOne(ends.server, leaf)) };
  }

  it("leads both ends into one channel, each knowing whom it speaks to", async () => {
    const { client, server } = await handshake(ends);
    assert.deepEqual(client.th, server.th);
    assert.equal(client.peer, ends.server.key.uid);
    assert.equal(server.peer, ends.client.key.uid);
    assert.ok(shared(client, server));
    client.wipe();
    server.wipe();
  });

  it("makes another channel every time", async () => {
    const [one, two] = [await handshake(ends), await handshake(ends)];
    assert.notDeepEqual(one.client.th, two.client.th);
    assert.equal(
      codeOf(() => two.server.open(seal(one.client, Buffer.from("ping")))),
      "bad-tag",
    );
    for (const { client, server } of [one, two]) {
      client.wipe();
      server.wipe();
    }
  });

  it("sends what the wire describes: heads, sizes, and a Content-Length that counts M3", async () => {
    const { m1, answer, m4, client, server } = await handshake(ends);
    const [first, second, third] = [parseSip(m1), parseSip(answer), parseSip(m4)];
    const uid = ends.client.key.uid;
    assert.deepEqual(
      [first, third].map((request) => {
        const { method, uri, cseq, feldfon, authorization, from, to, callId } = request as SipRequest;
        return { method, uri, cseq: cseq.number, feldfon, authorization, from: from.party, to: to.party, callId };
      }),
      [
        { cseq: 1, feldfon: "m1", authorization: undefined },
        { cseq: 2, feldfon: "m4", authorization: true },
      ].map((row) => ({ method: "REGISTER", uri: "server", from: uid, to: "server", callId: first.callId, ...row })),
    );
    assert.ok(second.type === "response" && second.status === 401 && second.wwwAuthenticate);
    assert.equal(second.feldfon, "m1");
    assert.deepEqual([second.branch, second.from, second.cseq], [first.branch, first.from, first.cseq]);
    assert.deepEqual([first.body.length, second.body.length, third.body.length], [1804, 2740, 512]);
    assert.match(answer.toString("latin1"), /\r\nContent-Length: 2740\r\n\r\n/);
    assert.deepEqual([...first.body.subarray(0, 2), ...second.body.subarray(0, 2)], [1, 1, 1, 1]);
    assert.deepEqual(first.body.subarray(SPKI_AT), ends.client.keyPair.spki);
    client.wipe();
    server.wipe();
  });

  it("fits into the frames allowed before proof", async () => {
    const { m1, answer, m4, client, server } = await handshake(ends);
    const reader = new FrameReader();
    assert.equal(reader.maxBodyBytes, MAX_UNPROVEN_BODY_BYTES);
    const wire = Buffer.concat([m1, answer, m4].map(encodeFrame));
    assert.deepEqual([...reader.read(wire)], [m1, answer, m4]);
    client.wipe();
    server.wipe();
  });

  it("makes its keys from both secrets and all four messages, one for each direction", async () => {
    const births = ends.client.vault.births.length;
    const { m1, answer, m4, client, server } = await handshake(ends);
    const T = (word: string, ...parts: Buffer[]) =>
      hash("sha3-256", Buffer.concat([Buffer.from(`feldfon/1 ${word}`), ...parts].map(lp)), "buffer");
    const t2 = T("m2", m1, answer.subarray(0, -1032));
    const th = T("channel", T("m4", t2, answer.subarray(-1032)), m4);
    const kdf = (word: string, bytes: number, ...ikm: Buffer[]) =>
      Buffer.from(
        hkdfSync("sha256", Buffer.concat(ikm), th, Buffer.concat([Buffer.from(`feldfon/1 ${word}\0`), th]), bytes),
      );
    const [mlkem, x25519, ch, c2s, s2c, ...more] = ends.client.vault.births.slice(births).map(({ secret }) => secret);
    assert.deepEqual(client.th, th);
    assert.deepEqual(ch, kdf("channel", 32, mlkem!, x25519!));
    assert.deepEqual([c2s, s2c], [kdf("connect c2s", 44, ch!), kdf("connect s2c", 44, ch!)]);
    assert.deepEqual(more, []);
    assert.deepEqual(
      ends.server.vault.births.slice(-2).map(({ use, secret }) => [use, secret]),
      [
        ["stream-seal", s2c],
        ["stream-open", c2s],
      ],
    );
    client.wipe();
    server.wipe();
  });

  it("puts no secret on the wire", async () => {
    const births = [ends.client, ends.server].map(({ vault }) => vault.births.length);
    const { m1, answer, m4, client, server } = await handshake(ends);
    const wire = Buffer.concat([m1, answer, m4, seal(client, Buffer.from("a")), seal(server, Buffer.from("b"))]);
    for (const [n, { vault }] of [ends.client, ends.server].entries()) {
      const made = vault.births.slice(births[n]!);
      assert.ok(made.length >= 5);
      for (const { use, secret } of made) assert.equal(wire.includes(secret.subarray(0, 16)), false, use);
    }
    client.wipe();
    server.wipe();
  });

  it("serves many clients with one signature", async () => {
    const clients = [1, 2, 3].map(() => newClient(ends));
    const servers = clients.map(() => newServer(ends));
    const leaves = servers.map((server, n) => server.hello(clients[n]!.start()).leaf);
    const m3s = await signBatch(ends.server.vault, ends.server.keyPair, leaves);
    for (const [n, server] of servers.entries()) {
      const { m4, channel } = await clients[n]!.receive(server.offer(m3s[n]!));
      const other = server.prove(m4);
      assert.ok(shared(channel, other));
      channel.wipe();
      other.wipe();
    }
  });

  describe("keys", () => {
    it("stops at a server key that is not the pinned one, before any secret exists", async () => {
      const client = newClient(ends, { serverUid: (await end(2)).key.uid });
      const server = newServer(ends);
      const answer = server.offer(await signOne(ends.server, server.hello(client.start()).leaf));
      const births = ends.client.vault.births.length;
      assert.equal(await codeOfAsync(() => client.receive(answer)), "wrong-server-key");
      assert.equal(ends.client.vault.births.length, births);
      server.wipe();
    });

    it("calls a server key that is no RSA-4096 key a wrong one, not a refusal of its own", async () => {
      const { client, server, answer } = await offered();
      const bad = rewrite(answer, ({ body }) => body.writeUInt8(3, body.length - M3_BYTES - 1));
      assert.equal(await codeOfAsync(() => client.receive(bad)), "wrong-server-key");
      server.wipe();
    });

    it("stops at a signature of another key below the pinned key, before any secret exists", async () => {
      const client = newClient(ends);
      const server = newServer(ends);
      const answer = server.offer(await signOne(await end(2), server.hello(client.start()).leaf));
      const births = ends.client.vault.births.length;
      assert.equal(await codeOfAsync(() => client.receive(answer)), "unauthentic");
      assert.equal(ends.client.vault.births.length, births);
      server.wipe();
    });

    it("stops at a signature that was made for another client of the batch", async () => {
      const [clients, servers] = [
        [newClient(ends), newClient(ends)],
        [newServer(ends), newServer(ends)],
      ];
      const leaves = servers.map((server, n) => server.hello(clients[n]!.start()).leaf);
      const m3s = await signBatch(ends.server.vault, ends.server.keyPair, leaves);
      for (const [n, client] of clients.entries()) {
        const answer = servers[n]!.offer(m3s[1 - n]!);
        assert.equal(await codeOfAsync(() => client.receive(answer)), "unauthentic");
        servers[n]!.wipe();
      }
    });

    it("stops at an M4 that somebody else signed, or that the client signed for something else", async () => {
      const other = await end(2);
      for (const [signer, word] of [
        [other, "m4"],
        [ends.client, "m3"],
      ] as const) {
        const { client, server, m1, m2, answer } = await offered();
        const { m4, channel } = await client.receive(answer);
        const t = transcript("m4", m1, m2, answer.subarray(m2.length));
        const signature = await sign(signer.vault, signer.keyPair, word, t);
        const forged = rewrite(m4, (sip) => {
          sip.body = signature;
        });
        assert.equal(
          codeOf(() => server.prove(forged)),
          "unauthentic",
        );
        channel.wipe();
      }
    });

    const badKeys: [string, (spki: Buffer) => Buffer][] = [
      ["with e = 3", (spki) => Buffer.concat([spki.subarray(0, -1), Buffer.of(3)])],
      ["with an even modulus", (spki) => Buffer.concat([spki.subarray(0, -6), Buffer.of(2), spki.subarray(-5)])],
      ["one byte short", (spki) => spki.subarray(0, -1)],
      ["one byte long", (spki) => Buffer.concat([spki, Buffer.of(0)])],
      ["of no bytes", () => Buffer.alloc(0)],
    ];
    for (const [what, change] of badKeys) {
      it(`refuses a client's key ${what} with 400 key-bad, which the client understands`, async () => {
        const [client, server] = [newClient(ends), newServer(ends)];
        const m1 = rewrite(client.start(), (sip) => {
          sip.body = Buffer.concat([sip.body.subarray(0, SPKI_AT - 4), lp(change(sip.body.subarray(SPKI_AT)))]);
        });
        assert.equal(
          codeOf(() => server.hello(m1)),
          "key-bad",
        );
        const answer = server.keyBad();
        assert.match(
          answer.toString("latin1"),
          /^SIP\/2\.0 400 [\s\S]*\r\nFeldfon: key-bad\r\nContent-Length: 0\r\n\r\n$/,
        );
        assert.equal(await codeOfAsync(() => client.receive(answer)), "key-bad");
      });
    }

    it("checks that M1 comes from the uid of its key, and M4 from that of M1", async () => {
      const stranger = (await end(2)).key.uid;
      const { client, server, m1, answer } = await offered();
      const from = (message: Buffer) => rewrite(message, (sip) => Object.assign(sip.from, { party: stranger }));
      assert.equal(
        codeOf(() => newServer(ends).hello(from(m1))),
        "bad-sip",
      );
      const { m4, channel } = await client.receive(answer);
      assert.equal(
        codeOf(() => server.prove(from(m4))),
        "bad-sip",
      );
      channel.wipe();
    });

    it("checks that M4 and the 401 belong to this line", async () => {
      const elsewhere = (message: Buffer) => rewrite(message, (sip) => Object.assign(sip, { callId: "0".repeat(32) }));
      const one = await offered();
      assert.equal(await codeOfAsync(() => one.client.receive(elsewhere(one.answer))), "bad-sip");
      one.server.wipe();
      const two = await offered();
      const { m4, channel } = await two.client.receive(two.answer);
      assert.equal(
        codeOf(() => two.server.prove(elsewhere(m4))),
        "bad-sip",
      );
      channel.wipe();
    });
  });

  describe("the server is busy", () => {
    it("says so before it computes anything, and when to come back", async () => {
      const [client, server] = [newClient(ends), newServer(ends)];
      const m1 = client.start();
      const births = ends.server.vault.births.length;
      const answer = server.busy(m1, 7);
      assert.equal(ends.server.vault.births.length, births);
      await assert.rejects(client.receive(answer), (error) => {
        assert.ok(error instanceof ServerBusy && error instanceof ProtocolError);
        assert.deepEqual([error.code, error.retryAfterS], ["server-busy", 7]);
        return true;
      });
      assert.equal(
        codeOf(() => server.hello(m1)),
        "out-of-order",
      );
    });

    it("to one who says who he is, and is believed only as an answer to that", async () => {
      const client = newClient(ends);
      const m1 = client.start();
      const fromServer = rewrite(m1, (sip) => Object.assign(sip.from, { party: "server" }));
      assert.equal(
        codeOf(() => newServer(ends).busy(fromServer, 7)),
        "bad-sip",
      );
      client.wipe();
      const stranger = (await end(2)).key.uid;
      for (const [code, change] of [
        ["bad-sip", (sip: SipMessage) => Object.assign(sip.from, { party: stranger })],
        ["bad-sip", (sip: SipMessage) => Object.assign(sip.to, { party: stranger })],
        ["bad-sip", (sip: SipMessage) => Object.assign(sip.cseq, { number: 2 })],
        ["out-of-order", (sip: SipMessage) => Object.assign(sip.cseq, { method: "MESSAGE" })],
      ] as const) {
        const asking = newClient(ends);
        const answer = rewrite(newServer(ends).busy(asking.start(), 7), (sip) => void change(sip));
        assert.equal(await codeOfAsync(() => asking.receive(answer)), code);
      }
    });

    it("is believed without a time as well", async () => {
      const [client, server] = [newClient(ends), newServer(ends)];
      const answer = rewrite(server.busy(client.start(), 7), (sip) => {
        delete sip.retryAfterS;
      });
      await assert.rejects(client.receive(answer), { code: "server-busy", retryAfterS: undefined });
    });
  });

  describe("bad halves of the key agreement", () => {
    for (const point of ZERO_POINTS) {
      it(`refuses the X25519 point ${point.slice(0, 8)}.. on both ends, also under the server's signature`, async () => {
        const bytes = Buffer.from(point, "hex");
        const client = newClient(ends);
        const m1 = client.start();
        const bad = rewrite(m1, ({ body }) => bytes.copy(body, 34));
        assert.equal(
          codeOf(() => newServer(ends).hello(bad)),
          "bad-point",
        );
        const server = newServer(ends);
        const { m2 } = server.hello(m1);
        const badM2 = Buffer.from(m2);
        bytes.copy(badM2, m2.length - 550 - 4 - 1088 - 32);
        const answer = Buffer.concat([badM2, await signOne(ends.server, batchLeaf(transcript("m2", m1, badM2)))]);
        assert.equal(await codeOfAsync(() => client.receive(answer)), "bad-point");
        server.wipe();
      });
    }

    it("refuses an encapsulation key whose numbers are not below q (FIPS 203 §7.2)", () => {
      const client = newClient(ends);
      const bad = rewrite(client.start(), ({ body }) => body.fill(0xff, 66, 69));
      assert.equal(
        codeOf(() => newServer(ends).hello(bad)),
        "bad-encapsulation-key",
      );
      client.wipe();
    });

    it("ends without a shared channel when the ciphertext is another, though the server signed it", async () => {
      const [client, server] = [newClient(ends), newServer(ends)];
      const m1 = client.start();
      const { m2 } = server.hello(m1);
      const badM2 = flipped(m2, m2.length - 550 - 4 - 100);
      const m3 = await signOne(ends.server, batchLeaf(transcript("m2", m1, badM2)));
      const { m4, channel } = await client.receive(Buffer.concat([badM2, m3]));
      server.offer(m3);
      assert.equal(
        codeOf(() => server.prove(m4)),
        "unauthentic",
      );
      channel.wipe();
    });
  });

  describe("form", () => {
    const changes: [string, string, (body: Buffer) => Buffer][] = [
      ["another version", "malformed", (body) => Buffer.concat([Buffer.of(2), body.subarray(1)])],
      ["another suite", "malformed", (body) => Buffer.concat([Buffer.of(1, 2), body.subarray(2)])],
      ["a byte left over", "malformed", (body) => Buffer.concat([body, Buffer.of(0)])],
      ["a byte missing", "malformed", (body) => body.subarray(0, -1)],
      ["no body", "malformed", () => Buffer.alloc(0)],
    ];
    for (const [what, code, change] of changes) {
      const changed = (message: Buffer) =>
        rewrite(message, (sip) => {
          sip.body = change(sip.body);
        });

      it(`refuses M1 with ${what}`, () => {
        const client = newClient(ends);
        const m1 = client.start();
        assert.equal(
          codeOf(() => newServer(ends).hello(changed(m1))),
          code,
        );
        client.wipe();
      });

      it(`refuses a 401 with ${what}`, async () => {
        const { client, server, answer } = await offered();
        assert.equal(await codeOfAsync(() => client.receive(changed(answer))), code);
        server.wipe();
      });
    }

    for (const [what, change] of changes.slice(2).map(([what, , change]) => [what, change] as const)) {
      it(`refuses M4 with ${what}`, async () => {
        const { client, server, answer } = await offered();
        const { m4, channel } = await client.receive(answer);
        const bad = rewrite(m4, (sip) => {
          sip.body = change(sip.body);
        });
        assert.equal(
          codeOf(() => server.prove(bad)),
          "unauthentic",
        );
        channel.wipe();
      });
    }

    const heads: [string, (sip: SipRequest) => unknown][] = [
      ["another CSeq", (sip) => Object.assign(sip.cseq, { number: 5 })],
      ["another Request-URI", (sip) => Object.assign(sip, { uri: sip.from.party })],
      ["another To", (sip) => Object.assign(sip.to, { party: sip.from.party })],
      ["From: server", (sip) => Object.assign(sip.from, { party: "server" })],
      ["Authorization where it does not belong", (sip) => Object.assign(sip, { authorization: true })],
    ];
    for (const [what, change] of heads) {
      it(`refuses M1 with ${what}`, () => {
        const client = newClient(ends);
        const bad = rewrite(client.start(), (sip) => void change(sip as SipRequest));
        assert.equal(
          codeOf(() => newServer(ends).hello(bad)),
          "bad-sip",
        );
        client.wipe();
      });
    }

    it("refuses M4 without Authorization", async () => {
      const { client, server, answer } = await offered();
      const { m4, channel } = await client.receive(answer);
      const bad = rewrite(m4, (sip) => {
        delete (sip as SipRequest).authorization;
      });
      assert.equal(
        codeOf(() => server.prove(bad)),
        "bad-sip",
      );
      channel.wipe();
    });

    it("answers whatever bytes come with a ProtocolError and nothing else", async () => {
      const { client: idle, server: idleServer, m1, answer } = await offered();
      idle.wipe();
      idleServer.wipe();
      const splice = fc.tuple(fc.constantFrom(m1, answer), fc.nat(3500), fc.nat(40), fc.uint8Array({ maxLength: 40 }));
      const bytes = fc.oneof(
        fc.uint8Array({ maxLength: 300 }).map((random) => Buffer.from(random)),
        splice.map(([message, at, gone, come]) =>
          Buffer.concat([message.subarray(0, at), come, message.subarray(at + gone)]),
        ),
      );
      await fc.assert(
        fc.asyncProperty(bytes, async (body) => {
          const [client, server] = [newClient(ends), newServer(ends)];
          client.start();
          codeOf(() => openingOf(body));
          codeOf(() => server.hello(body));
          assert.notEqual(
            codeOf(() => server.prove(body)),
            undefined,
          );
          assert.notEqual(await codeOfAsync(() => client.receive(body)), undefined);
          server.wipe();
        }),
        { numRuns: 300 },
      );
    });
  });

  describe("every byte changed once", () => {
    it("M1: the client refuses the answer, if there is one", async () => {
      const still = repeating(ends.client.vault);
      const twin = () => newClient(ends, { vault: still.vault, random: sevens });
      const m1 = twin().start();
      const lines = Array.from(m1, (_, at) => {
        const server = newServer(ends);
        let leaf: Buffer | undefined;
        codeOf(() => {
          leaf = server.hello(flipped(m1, at)).leaf;
        });
        return { at, server, leaf };
      });
      const answered = lines.filter(({ leaf }) => leaf !== undefined);
      assert.ok(answered.length > 1000 && answered.length < lines.length, `${answered.length} of ${lines.length}`);
      const leaves = answered.map(({ leaf }) => leaf!);
      const m3s = await signBatch(ends.server.vault, ends.server.keyPair, leaves);
      for (const [n, { at, server }] of answered.entries()) {
        const client = twin();
        assert.deepEqual(client.start(), m1);
        const answer = server.offer(m3s[n]!);
        const code = await codeOfAsync(() => client.receive(answer));
        assert.ok(code === "unauthentic" || code === "bad-sip", `byte ${at}: ${code}`);
      }
      for (const { server } of lines) server.wipe();
      still.wipe();
    });

    it("M2 and M3: the client refuses, signs nothing and makes no secret", async () => {
      const still = repeating(ends.client.vault);
      const twin = () => {
        const client = newClient(ends, { vault: still.vault, random: sevens });
        return { client, m1: client.start() };
      };
      const server = newServer(ends);
      const { leaf } = server.hello(twin().m1);
      const batch = [leaf, ...[1, 2, 3, 4].map((n) => Buffer.alloc(32, n))];
      const answer = server.offer((await signBatch(ends.server.vault, ends.server.keyPair, batch))[0]!);
      const births = ends.client.vault.births.length;
      for (const at of answer.keys()) {
        const code = await codeOfAsync(() => twin().client.receive(flipped(answer, at)));
        assert.notEqual(code, undefined, `byte ${at}`);
      }
      assert.equal(ends.client.vault.births.length, births);
      const { m4, channel } = await twin().client.receive(answer);
      server.prove(m4).wipe();
      channel.wipe();
      still.wipe();
    });

    it("M4: the server refuses, or the ends share no key", async () => {
      const still = repeating(ends.server.vault);
      const twin = () => newServer(ends, { vault: still.vault, random: sevens });
      const client = newClient(ends);
      const m1 = client.start();
      const m3 = await signOne(ends.server, twin().hello(m1).leaf);
      const waiting = () => {
        const server = twin();
        server.hello(m1);
        return { server, answer: server.offer(m3) };
      };
      const { m4, channel } = await client.receive(waiting().answer);
      const first = seal(channel, Buffer.from("join"));
      let opened = 0;
      for (const at of m4.keys()) {
        let other: SealedChannel | undefined;
        const code = codeOf(() => {
          other = waiting().server.prove(flipped(m4, at));
        });
        if (other) {
          opened++;
          const codes = [
            codeOf(() => other!.open(Buffer.from(first))),
            codeOf(() => channel.open(seal(other!, first))),
          ];
          assert.deepEqual(codes, ["bad-tag", "bad-tag"], `byte ${at}`);
          other.wipe();
        } else assert.ok(["unauthentic", "bad-sip", "out-of-order"].includes(code!), `byte ${at}: ${code}`);
      }
      assert.ok(opened > 0 && opened < 60, `${opened} bytes of M4's head are only caught by the key`);
      const proven = waiting().server.prove(m4);
      assert.equal(proven.open(first).toString(), "join");
      proven.wipe();
      channel.wipe();
      still.wipe();
    });
  });

  describe("the end", () => {
    it("leaves a client that was wiped while it waited or signed without anything", async () => {
      const one = await offered();
      one.client.wipe();
      assert.equal(await codeOfAsync(() => one.client.receive(one.answer)), "closed");
      one.server.wipe();
      const two = await offered();
      const receiving = codeOfAsync(() => two.client.receive(two.answer));
      two.client.wipe();
      assert.equal(await receiving, "closed");
      two.server.wipe();
    });

    it("leaves a server that was wiped while M3 was signed or M4 awaited without anything", async () => {
      const [client, server] = [newClient(ends), newServer(ends)];
      const { leaf } = server.hello(client.start());
      server.wipe();
      const m3 = await signOne(ends.server, leaf);
      assert.equal(
        codeOf(() => server.offer(m3)),
        "closed",
      );
      client.wipe();
      const line = await offered();
      const { m4, channel } = await line.client.receive(line.answer);
      line.server.wipe();
      assert.equal(
        codeOf(() => line.server.prove(m4)),
        "closed",
      );
      channel.wipe();
    });

    it("leaves nothing behind when the vault fails before it has used up what it was given", () => {
      const { vault } = ends.server;
      const fail = () => {
        throw new VaultError("full", "no slot for the result");
      };
      const get = (_: unknown, name: keyof Vault) => (name === "agree" ? fail : vault[name].bind(vault));
      const failing = new Proxy(vault as Vault, { get } as ProxyHandler<Vault>);
      const client = newClient(ends);
      assert.throws(() => newServer(ends, { vault: failing }).hello(client.start()), { name: "VaultError" });
      assert.equal(alive(ends.server), 0);
      client.wipe();
    });

    it("leaves nothing behind in a vault that is too full, wherever it fills up", async () => {
      let done = false;
      for (let slotsMax = 0; !done; slotsMax++) {
        const small: Ends = { client: await end(0, slotsMax), server: await end(1, slotsMax) };
        const [client, server] = [newClient(small), newServer(small)];
        try {
          const answer = server.offer(await signOne(small.server, server.hello(client.start()).leaf));
          const { m4, channel } = await client.receive(answer);
          channel.wipe();
          server.prove(m4).wipe();
          done = true;
        } catch (error) {
          assert.ok(error instanceof VaultError && error.code === "full", String(error));
        }
        client.wipe();
        server.wipe();
        assert.equal(alive(small.client, small.server), 0, `${slotsMax} slots`);
        assert.ok(slotsMax < 12);
      }
    });
  });

  it("tells from a line's first frame whether it is new, and nothing from any other frame", async () => {
    const { m1, answer, m4, client, server } = await handshake(ends);
    assert.equal(openingOf(m1), "m1");
    assert.equal(
      codeOf(() => openingOf(m4)),
      "out-of-order",
    );
    assert.equal(
      codeOf(() => openingOf(answer)),
      "out-of-order",
    );
    assert.equal(
      codeOf(() => openingOf(seal(client, u32(0)))),
      "bad-sip",
    );
    client.wipe();
    server.wipe();
  });
});
