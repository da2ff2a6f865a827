import assert from "node:assert/strict";
import { createHmac, hash, hkdfSync } from "node:crypto";
import { concat, lp } from "@feldfon/protocol/bytes";
import { openingOf } from "@feldfon/protocol/channel/heads";
import { ResumeClient, ResumeServer, type ResumeTicket } from "@feldfon/protocol/channel/resume";
import { transcript } from "@feldfon/protocol/crypto/transcript";
import { ProtocolError, VaultError } from "@feldfon/protocol/errors";
import type { Uid } from "@feldfon/protocol/identity";
import { parseSip } from "@feldfon/protocol/sip";
import fc from "fast-check";
import {
  alive,
  bothEnds,
  codeOf,
  type Ends,
  end,
  flipped,
  handshake,
  repeating,
  rewrite,
  sealedPair,
  sevens,
  shared,
} from "./ends.ts";

interface Tickets {
  client: ResumeTicket;
  server: ResumeTicket;
}

/** What both ends keep of a line that was lost. */
function lostLine(ends: Ends): Tickets {
  const { client, server } = sealedPair(ends, "resumed");
  return { client: client.keepResume()!, server: server.keepResume()! };
}

/** What R2 carries on from: T("r1", R1 before), R1's MAC. */
function endOf(r1: Buffer): [Buffer, Buffer] {
  const body = bodyOf(r1);
  return [transcript("r1", body.subarray(0, -32)), body.subarray(-32)];
}

function bodyOf(message: Buffer): Buffer {
  return parseSip(message).body;
}

describe("Channel: resume after a lost line", () => {
  let ends: Ends;
  let tickets: Tickets;
  before(async () => {
    ends = await bothEnds();
  });
  beforeEach(() => {
    tickets = lostLine(ends);
  });
  afterEach("no secret is left in either vault", () => {
    tickets.client.wipe();
    tickets.server.wipe();
    assert.equal(alive(ends.client, ends.server), 0);
  });

  const newClient = (ticket = tickets.client) =>
    new ResumeClient({ vault: ends.client.vault, ticket, uid: ends.client.key.uid });
  const newServer = () => new ResumeServer({ vault: ends.server.vault });

  it("brings both ends into a new channel in one round trip", () => {
    const client = newClient();
    const r1 = client.start();
    assert.equal(openingOf(r1), "r1");
    assert.deepEqual(ResumeServer.idOf(r1), tickets.server.id);
    const { r2, channel: atServer, callId } = newServer().accept(r1, tickets.server);
    const atClient = client.receive(r2);
    assert.equal(callId, client.callId);
    assert.deepEqual(atClient.th, atServer.th);
    assert.deepEqual([atClient.peer, atServer.peer], [ends.server.key.uid, ends.client.key.uid]);
    assert.ok(shared(atClient, atServer));
    atClient.wipe();
    atServer.wipe();
  });

  it("works from a real handshake and step 5, again and again, each time with other keys", async () => {
    const first = await handshake(ends);
    first.client.join(ends.client.vault.import("derive", Buffer.alloc(48, 5)));
    first.server.join(ends.server.vault.import("derive", Buffer.alloc(48, 5)));
    let line = { client: first.client, server: first.server };
    const seen = new Set([first.client.th.toString("hex")]);
    for (let lost = 0; lost < 3; lost++) {
      const [mine, theirs] = [line.client.keepResume()!, line.server.keepResume()!];
      assert.deepEqual(mine.id, theirs.id);
      const client = newClient(mine);
      const { r2, channel } = newServer().accept(client.start(), theirs);
      line = { client: client.receive(r2), server: channel };
      assert.ok(shared(line.client, line.server));
      seen.add(mine.id.toString("hex")).add(line.client.th.toString("hex"));
    }
    assert.equal(seen.size, 7);
    line.client.wipe();
    line.server.wipe();
  });

  it("sends what the wire describes, and makes its keys from fresh secrets, rk and both messages", () => {
    const { vault } = ends.client;
    const T = (word: string, ...parts: Buffer[]) =>
      hash("sha3-256", concat(...[Buffer.from(`feldfon/1 ${word}`), ...parts].map(lp)), "buffer");
    const kdf = (word: string, t: Buffer, bytes: number, ...ikm: Buffer[]) =>
      Buffer.from(hkdfSync("sha256", concat(...ikm), t, concat(Buffer.from(`feldfon/1 ${word}\0`), t), bytes));
    const mac = (word: string, t: Buffer, key: Buffer) =>
      createHmac("sha256", key)
        .update(concat(Buffer.from(`feldfon/1 ${word}\0`), t))
        .digest();

    const pair = sealedPair(ends, "resumed");
    const [mine, theirs] = [pair.client.keepResume()!, pair.server.keepResume()!];
    const rm = kdf("resume mac", pair.client.th, 32, pair.secret);
    const rk = kdf("resume key", pair.client.th, 32, pair.secret);
    assert.deepEqual(mine.id, mac("resume id", pair.client.th, rm).subarray(0, 16));

    const client = newClient(mine);
    const births = vault.births.length;
    const r1Frame = client.start();
    const { r2: r2Frame, channel } = newServer().accept(r1Frame, theirs);
    const resumed = client.receive(r2Frame);
    const [mlkem, x25519, j, c2s, s2c] = vault.births.slice(births).map(({ secret }) => secret);
    const [r1, r2] = [bodyOf(r1Frame), bodyOf(r2Frame)];
    assert.deepEqual([r1.length, r2.length], [2 + 16 + 32 + 32 + 1184 + 32, 2 + 32 + 32 + 1088 + 32]);
    assert.deepEqual(r1.subarray(0, 18), concat(Buffer.of(1, 1), mine.id));
    const t1 = T("r1", r1.subarray(0, -32));
    assert.deepEqual(r1.subarray(-32), mac("r1", t1, rm));
    const t2 = T("r2", t1, r1.subarray(-32), r2.subarray(0, -32));
    assert.deepEqual(r2.subarray(-32), mac("r2", t2, rm));
    const th = T("resumed", t2, r2.subarray(-32));
    assert.deepEqual(resumed.th, th);
    assert.deepEqual(j, kdf("resumed", th, 32, mlkem!, x25519!, rk));
    assert.deepEqual([c2s, s2c], [kdf("joined c2s", th, 44, j!), kdf("joined s2c", th, 44, j!)]);
    const next = resumed.keepResume()!;
    const nextId = mac("resume id", th, kdf("resume mac", th, 32, j!)).subarray(0, 16);
    assert.deepEqual(next.id, nextId);
    const heads = [parseSip(r1Frame), parseSip(r2Frame)].map(({ feldfon, cseq, from, to }) => [
      feldfon,
      cseq.number,
      from.party,
      to.party,
    ]);
    assert.deepEqual(heads, [
      ["r1", 1, ends.client.key.uid, "server"],
      ["r1", 1, ends.client.key.uid, "server"],
    ]);
    next.wipe();
    channel.wipe();
  });

  describe("a ticket serves once", () => {
    it("on the server: the same R1 again, or another one", () => {
      const [one, two] = [newClient(), newClient()];
      const [r1, another] = [one.start(), two.start()];
      newServer().accept(r1, tickets.server).channel.wipe();
      assert.ok(tickets.server.spent);
      for (const late of [r1, another]) {
        assert.equal(
          codeOf(() => newServer().accept(late, tickets.server)),
          "unknown-resume",
        );
      }
      one.wipe();
      two.wipe();
    });

    it("on the client", () => {
      const client = newClient();
      const { r2, channel } = newServer().accept(client.start(), tickets.server);
      client.receive(r2).wipe();
      channel.wipe();
      assert.ok(tickets.client.spent);
      assert.equal(
        codeOf(() => newClient().start()),
        "unknown-resume",
      );
    });

    it("and is gone at the first valid MAC, whatever stands behind it", () => {
      const bad: [string, string, (before: Buffer) => unknown][] = [
        ["bad-point", "X25519 all-zero", (before) => before.fill(0, 50, 82)],
        ["bad-encapsulation-key", "ek not below q", (before) => before.fill(0xff, 82, 85)],
      ];
      for (const [code, what, change] of bad) {
        const lost = lostLine(ends);
        const client = newClient(lost.client);
        const r1 = rewrite(client.start(), (sip) => {
          const before = sip.body.subarray(0, -32);
          change(before);
          sip.body = concat(before, lost.client.mac("r1", transcript("r1", before)));
        });
        assert.equal(
          codeOf(() => newServer().accept(r1, lost.server)),
          code,
          what,
        );
        assert.ok(lost.server.spent, what);
        client.wipe();
        lost.client.wipe();
      }

      const client = newClient();
      const r1 = client.start();
      const { r2, channel } = newServer().accept(r1, tickets.server);
      const badR2 = rewrite(r2, (sip) => {
        const before = sip.body.subarray(0, -32);
        before.fill(0, 34, 66);
        sip.body = concat(before, tickets.client.mac("r2", transcript("r2", ...endOf(r1), before)));
      });
      assert.equal(
        codeOf(() => client.receive(badR2)),
        "bad-point",
      );
      assert.ok(tickets.client.spent);
      channel.wipe();
    });

    it("but is not burnt by those who only know its id", () => {
      const client = newClient();
      const r1 = client.start();
      const guess = rewrite(r1, ({ body }) => body.fill(0, body.length - 32));
      assert.equal(
        codeOf(() => newServer().accept(guess, tickets.server)),
        "unauthentic",
      );
      const stranger = rewrite(r1, (sip) => Object.assign(sip.from, { party: "0".repeat(64) as Uid }));
      assert.equal(
        codeOf(() => newServer().accept(stranger, tickets.server)),
        "bad-sip",
      );
      assert.equal(tickets.server.spent, false);
      const { r2, channel } = newServer().accept(r1, tickets.server);
      client.receive(r2).wipe();
      channel.wipe();
    });

    it("also while one end does not know yet that the line is lost, which then keeps nothing", () => {
      const { client: mine, server: theirs } = sealedPair(ends, "resumed");
      const client = newClient(mine.keepResume()!);
      const { r2, channel } = newServer().accept(client.start(), theirs.ticket!);
      client.receive(r2).wipe();
      channel.wipe();
      assert.equal(theirs.closed, false);
      assert.equal(theirs.keepResume(), undefined);
    });

    it("and not for another line", () => {
      const other = lostLine(ends);
      const client = newClient(other.client);
      const r1 = client.start();
      assert.equal(
        codeOf(() => newServer().accept(r1, tickets.server)),
        "unknown-resume",
      );
      const renamed = rewrite(r1, ({ body }) => tickets.server.id.copy(body, 2));
      assert.equal(
        codeOf(() => newServer().accept(renamed, tickets.server)),
        "unauthentic",
      );
      client.wipe();
      other.client.wipe();
      other.server.wipe();
    });
  });

  it("is refused in clear when nobody knows the id; the client may go on with M1", () => {
    const client = newClient();
    const answer = newServer().refusal481(client.start());
    assert.match(answer.toString("latin1"), /^SIP\/2\.0 481 .*\r\n/);
    assert.equal(
      codeOf(() => client.receive(answer)),
      "unknown-resume",
    );
    assert.equal(tickets.client.spent, false);
  });

  it("takes no R2 that was made for another R1, and none that is an R1", () => {
    const [one, two] = [newClient(), newClient()];
    const [r1, another] = [one.start(), two.start()];
    const { r2, channel } = newServer().accept(r1, tickets.server);
    const moved = rewrite(r2, (sip) => Object.assign(sip, { callId: two.callId }));
    assert.equal(
      codeOf(() => two.receive(moved)),
      "unauthentic",
    );
    const reflected = rewrite(r2, (sip) => {
      sip.body = bodyOf(another);
    });
    assert.equal(
      codeOf(() => one.receive(reflected)),
      "malformed",
    );
    channel.wipe();
  });

  it("takes no answer to another request", () => {
    const client = newClient();
    const { r2, channel } = newServer().accept(client.start(), tickets.server);
    const elsewhere = rewrite(r2, (sip) => Object.assign(sip, { callId: "0".repeat(32) }));
    assert.equal(
      codeOf(() => client.receive(elsewhere)),
      "bad-sip",
    );
    channel.wipe();
  });

  for (const [what, change] of [
    ["another version", (body: Buffer) => concat(Buffer.of(2), body.subarray(1))],
    ["another suite", (body: Buffer) => concat(Buffer.of(1, 2), body.subarray(2))],
    ["a byte left over", (body: Buffer) => concat(body, Buffer.of(0))],
    ["a byte missing", (body: Buffer) => body.subarray(0, -1)],
    ["no body", () => Buffer.alloc(0)],
  ] as const) {
    it(`refuses R1 and R2 with ${what}, under a MAC that would hold`, () => {
      const changed = (message: Buffer, ticket: ResumeTicket, word: string, ...first: Buffer[]) =>
        rewrite(message, (sip) => {
          const body = change(sip.body);
          const before = body.subarray(0, -32);
          sip.body = body.length < 32 ? body : concat(before, ticket.mac(word, transcript(word, ...first, before)));
        });
      const client = newClient();
      const r1 = client.start();
      const bad = changed(r1, tickets.client, "r1");
      assert.equal(
        codeOf(() => newServer().accept(bad, tickets.server)),
        "malformed",
      );
      assert.equal(
        codeOf(() => newServer().refusal481(bad)),
        "malformed",
      );
      const { r2, channel } = newServer().accept(r1, tickets.server);
      const badR2 = changed(r2, tickets.client, "r2", ...endOf(r1));
      assert.equal(
        codeOf(() => client.receive(badR2)),
        "malformed",
      );
      channel.wipe();
    });
  }

  describe("every byte changed once", () => {
    it("R1: refused in its body; in its head refused or without effect on the channel", () => {
      const probe = newClient();
      const { length } = probe.start();
      probe.wipe();
      const outcomes = { refused: 0, harmless: 0 };
      for (let at = 0; at < length; at++) {
        const client = newClient();
        const r1 = client.start();
        const isBody = at >= length - bodyOf(r1).length;
        let accepted: ReturnType<ResumeServer["accept"]> | undefined;
        const code = codeOf(() => {
          accepted = newServer().accept(flipped(r1, at), tickets.server);
        });
        assert.equal(accepted === undefined || !isBody, true, `byte ${at}: ${code}`);
        if (accepted) {
          // Via, tags and Call-ID prove nothing: the answer is refused, or it leads to the same channel.
          const { r2, channel } = accepted;
          const codeAtClient = codeOf(() => {
            const mine = client.receive(r2);
            assert.deepEqual(mine.th, channel.th);
            assert.ok(shared(mine, channel));
            mine.wipe();
          });
          outcomes[codeAtClient ? "refused" : "harmless"]++;
          channel.wipe();
          tickets.client.wipe();
          tickets = lostLine(ends);
        } else {
          assert.equal(tickets.server.spent, false, `byte ${at}`);
          client.wipe();
        }
      }
      assert.ok(outcomes.refused > 0 && outcomes.harmless > 0 && outcomes.harmless < 80, JSON.stringify(outcomes));
    });

    it("R2: likewise, and a refusal leaves the client its ticket", () => {
      const still = repeating(ends.client.vault);
      const twin = () => {
        const options = { vault: still.vault, ticket: tickets.client, uid: ends.client.key.uid, random: sevens };
        const client = new ResumeClient(options);
        return { client, r1: client.start() };
      };
      const { r2, channel } = newServer().accept(twin().r1, tickets.server);
      const bodyAt = r2.length - bodyOf(r2).length;
      for (let at = bodyAt; at < r2.length; at++) {
        const code = codeOf(() => twin().client.receive(flipped(r2, at)));
        assert.notEqual(code, undefined, `byte ${at}`);
        assert.equal(tickets.client.spent, false, `byte ${at}: ${code}`);
      }
      const resumed = twin().client.receive(r2);
      assert.ok(shared(resumed, channel));
      resumed.wipe();
      channel.wipe();
      still.wipe();

      let harmless = 0;
      for (let at = 0; at < bodyAt; at++) {
        const lost = lostLine(ends);
        const client = newClient(lost.client);
        const accepted = newServer().accept(client.start(), lost.server);
        const code = codeOf(() => {
          const mine = client.receive(flipped(accepted.r2, at));
          assert.deepEqual(mine.th, accepted.channel.th);
          mine.wipe();
          harmless++;
        });
        assert.equal(lost.client.spent, code === undefined, `byte ${at}: ${code}`);
        accepted.channel.wipe();
        lost.client.wipe();
      }
      assert.ok(harmless > 0 && harmless < 80, `${harmless}`);
    });
  });

  it("answers whatever bytes come with a ProtocolError and nothing else", () => {
    const client = newClient();
    const r1 = client.start();
    client.wipe();
    const bytes = fc.oneof(
      fc.uint8Array({ maxLength: 300 }).map((random) => Buffer.from(random)),
      fc
        .tuple(fc.nat(r1.length - 1), fc.integer({ min: 1, max: 40 }), fc.uint8Array({ maxLength: 40 }))
        .map(([at, gone, come]) => concat(r1.subarray(0, at), come, r1.subarray(at + gone))),
    );
    fc.assert(
      fc.property(bytes, (body) => {
        const waiting = newClient();
        waiting.start();
        assert.equal(ResumeServer.idOf(body).length <= 16, true);
        assert.notEqual(
          codeOf(() => waiting.receive(body)),
          undefined,
        );
        // A splice may put back what it took away.
        if (!body.equals(r1)) {
          assert.notEqual(
            codeOf(() => newServer().accept(body, tickets.server)),
            undefined,
          );
        }
      }),
      { numRuns: 300 },
    );
  });

  it("leaves nothing when the line ends before R2", () => {
    const client = newClient();
    const { r2, channel } = newServer().accept(client.start(), tickets.server);
    client.wipe();
    assert.equal(
      codeOf(() => client.receive(r2)),
      "closed",
    );
    assert.equal(tickets.client.spent, false);
    channel.wipe();
  });

  it("leaves nothing behind in a vault that is too full, wherever it fills up", async () => {
    let done = false;
    for (let slotsMax = 0; !done; slotsMax++) {
      const small: Ends = { client: await end(0, slotsMax), server: await end(1, slotsMax) };
      let lost: Tickets | undefined;
      let client: ResumeClient | undefined;
      try {
        lost = lostLine(small);
        client = new ResumeClient({ vault: small.client.vault, ticket: lost.client, uid: small.client.key.uid });
        const server = new ResumeServer({ vault: small.server.vault });
        const { r2, channel } = server.accept(client.start(), lost.server);
        channel.wipe();
        client.receive(r2).wipe();
        done = true;
      } catch (error) {
        assert.ok(error instanceof VaultError && error.code === "full", String(error));
      }
      client?.wipe();
      lost?.client.wipe();
      lost?.server.wipe();
      assert.equal(alive(small.client, small.server), 0, `${slotsMax} slots`);
      assert.ok(slotsMax < 14);
    }
  });

  it("tells errors of the peer from those of the ground", () => {
    const error = new ProtocolError("unknown-resume", "spent");
    tickets.client.wipe();
    assert.throws(() => tickets.client.resumeKey, { name: error.name, code: error.code });
    assert.throws(() => tickets.client.mac("r1", Buffer.alloc(32)), { name: error.name, code: error.code });
    assert.throws(() => tickets.client.macHolds("r1", Buffer.alloc(32), Buffer.alloc(32)), { code: error.code });
  });
});
