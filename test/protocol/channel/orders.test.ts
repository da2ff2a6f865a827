/** Generated from the order tables: in every place, every message that may not come there is refused by both ends. */
import assert from "node:assert/strict";
import type { ChannelClient } from "@feldfon/protocol/channel/client";
import {
  type ChannelPlace,
  type ClearKind,
  channelOrder,
  type ResumePlace,
  resumeOrder,
} from "@feldfon/protocol/channel/orders";
import { ResumeClient, ResumeServer } from "@feldfon/protocol/channel/resume";
import type { ChannelServer } from "@feldfon/protocol/channel/server";
import { encodeSip, parseSip } from "@feldfon/protocol/sip";
import {
  alive,
  bothEnds,
  codeOf,
  codeOfAsync,
  type Ends,
  newClient,
  newServer,
  rewrite,
  sealedPair,
  signOne,
} from "./ends.ts";

const KINDS: ClearKind[] = ["c:m1", "s:m2", "s:refused", "c:m4", "c:r1", "s:r2", "s:unknown"];

describe("Channel: order", () => {
  let ends: Ends;
  /** One good message of each kind, from other lines. */
  let messages: Record<ClearKind, Buffer>;

  before(async () => {
    ends = await bothEnds();
    messages = await oneOfEach(ends);
  });
  afterEach("no secret is left in either vault", () => assert.equal(alive(ends.client, ends.server), 0));

  it("knows every kind of message in some place", () => {
    const rows = [...Object.values(channelOrder), ...Object.values(resumeOrder)];
    assert.deepEqual(new Set(rows.flatMap((row) => Object.keys(row))), new Set(KINDS));
  });

  /** As if it belonged to this line, so that nothing but its place is wrong. */
  const onLine = (message: Buffer, callId: string) => rewrite(message, (sip) => Object.assign(sip, { callId }));

  describe("of a handshake", () => {
    interface Line {
      client: ChannelClient;
      server: ChannelServer;
      /** What the client has to get next. */
      forClient?: Buffer;
      end(): void;
    }

    /** Both ends, brought to a place along the ladder. */
    async function at(place: ChannelPlace): Promise<Line> {
      const [client, server] = [newClient(ends), newServer(ends)];
      const channels: { wipe(): void }[] = [client, server];
      const line: Line = { client, server, end: () => wipeAll(channels) };
      if (place === "new") return line;
      const m1 = client.start();
      if (place === "refused") {
        const answer = server.busy(m1, 1);
        assert.equal(await codeOfAsync(() => client.receive(answer)), "server-busy");
        return line;
      }
      const { leaf } = server.hello(m1);
      if (place === "asked") return line;
      const answer = server.offer(await signOne(ends.server, leaf));
      if (place === "offered") return { ...line, forClient: answer };
      const { m4, channel } = await client.receive(answer);
      channels.push(channel, server.prove(m4));
      return line;
    }

    for (const place of Object.keys(channelOrder) as ChannelPlace[]) {
      for (const kind of KINDS.filter((kind) => !(kind in channelOrder[place] && kind.startsWith("c:")))) {
        it(`refuses ${kind} at the server when it is ${place}`, async () => {
          for (const entry of ["hello", "prove"] as const) {
            const line = await at(place);
            const wrong = onLine(messages[kind], line.client.callId);
            assert.equal(
              codeOf(() => line.server[entry](wrong)),
              "out-of-order",
              entry,
            );
            if (place !== "sealed") assert.equal(alive(ends.server), 0, "the handshake's secrets went with it");
            line.end();
          }
        });
      }

      for (const kind of KINDS.filter((kind) => !(kind in channelOrder[place] && kind.startsWith("s:")))) {
        it(`refuses ${kind} at the client when it is ${place}`, async () => {
          const line = await at(place);
          // A client is "offered" while it signs; the 401 that brought it there is then lost with the line.
          const signing = place === "offered" ? codeOfAsync(() => line.client.receive(line.forClient!)) : undefined;
          const wrong = onLine(messages[kind], line.client.callId);
          assert.equal(await codeOfAsync(() => line.client.receive(wrong)), "out-of-order");
          if (signing) assert.equal(await signing, "closed");
          line.end();
        });
      }
    }

    it("takes M1 only where it begins and M4 only where it ends", async () => {
      const one = await at("new");
      assert.equal(
        codeOf(() => one.server.prove(one.client.start())),
        "out-of-order",
      );
      one.end();
      const two = await at("offered");
      const { m4, channel } = await two.client.receive(two.forClient!);
      assert.equal(
        codeOf(() => two.server.hello(m4)),
        "out-of-order",
      );
      channel.wipe();
      two.end();
    });

    it("is over after one wrong message: what would have been right comes too late", async () => {
      const one = await at("offered");
      assert.equal(
        await codeOfAsync(() => one.client.receive(onLine(messages["s:r2"], one.client.callId))),
        "out-of-order",
      );
      assert.equal(await codeOfAsync(() => one.client.receive(one.forClient!)), "closed");
      one.end();
      const two = await at("offered");
      const { m4, channel } = await two.client.receive(two.forClient!);
      assert.equal(
        codeOf(() => two.server.prove(onLine(messages["c:m1"], two.client.callId))),
        "out-of-order",
      );
      assert.equal(
        codeOf(() => two.server.prove(m4)),
        "closed",
      );
      channel.wipe();
      two.end();
    });

    it("begins once", async () => {
      const { client, server, end } = await at("offered");
      assert.equal(
        codeOf(() => client.start()),
        "out-of-order",
      );
      assert.equal(
        codeOf(() => server.offer(Buffer.alloc(1032))),
        "out-of-order",
      );
      assert.equal(
        codeOf(() => server.keyBad()),
        "out-of-order",
      );
      end();
    });

    it("knows nothing of sealed or foreign messages in clear", async () => {
      const line = await at("asked");
      const { branch, from, to, callId } = parseSip(messages["c:m1"]);
      const ping = encodeSip({
        type: "request",
        method: "MESSAGE",
        uri: "server",
        branch,
        from,
        to,
        callId,
        cseq: { number: 2, method: "MESSAGE" },
        feldfon: "ping",
        body: Buffer.alloc(0),
      });
      assert.equal(
        codeOf(() => line.server.prove(ping)),
        "out-of-order",
      );
      assert.equal(await codeOfAsync(() => line.client.receive(ping)), "out-of-order");
      line.end();
    });
  });

  describe("of a resume", () => {
    function at(place: ResumePlace) {
      const lost = sealedPair(ends, "resumed");
      const [mine, theirs] = [lost.client.keepResume()!, lost.server.keepResume()!];
      const client = new ResumeClient({ vault: ends.client.vault, ticket: mine, uid: ends.client.key.uid });
      const server = new ResumeServer({ vault: ends.server.vault });
      const channels: { wipe(): void }[] = [client, mine, theirs];
      const line = { client, server, theirs, end: () => wipeAll(channels) };
      if (place === "new") return line;
      const r1 = client.start();
      if (place === "asked") return line;
      if (place === "refused") {
        const answer = server.refusal481(r1);
        assert.equal(
          codeOf(() => client.receive(answer)),
          "unknown-resume",
        );
        return line;
      }
      const { r2, channel } = server.accept(r1, theirs);
      channels.push(channel, client.receive(r2));
      return line;
    }

    for (const place of Object.keys(resumeOrder) as ResumePlace[]) {
      for (const kind of KINDS.filter((kind) => !(kind in resumeOrder[place] && kind.startsWith("c:")))) {
        // The server answers R1 at once, so it never waits in "asked".
        if (place === "asked") continue;
        it(`refuses ${kind} at the server when it is ${place}`, () => {
          for (const entry of ["accept", "refusal481"] as const) {
            const line = at(place);
            const wrong = onLine(messages[kind], line.client.callId);
            assert.equal(
              codeOf(() => line.server[entry](wrong, line.theirs)),
              "out-of-order",
              entry,
            );
            line.end();
          }
        });
      }

      for (const kind of KINDS.filter((kind) => !(kind in resumeOrder[place] && kind.startsWith("s:")))) {
        it(`refuses ${kind} at the client when it is ${place}`, () => {
          const line = at(place);
          const wrong = onLine(messages[kind], line.client.callId);
          assert.equal(
            codeOf(() => line.client.receive(wrong)),
            "out-of-order",
          );
          line.end();
        });
      }
    }
  });
});

function wipeAll(all: { wipe(): void }[]): void {
  for (const one of all) one.wipe();
}

async function oneOfEach(ends: Ends): Promise<Record<ClearKind, Buffer>> {
  const [client, server] = [newClient(ends), newServer(ends)];
  const m1 = client.start();
  const answer = server.offer(await signOne(ends.server, server.hello(m1).leaf));
  const { m4, channel } = await client.receive(answer);
  channel.wipe();
  server.wipe();
  const lost = sealedPair(ends, "resumed");
  const [mine, theirs] = [lost.client.keepResume()!, lost.server.keepResume()!];
  const resume = new ResumeClient({ vault: ends.client.vault, ticket: mine, uid: ends.client.key.uid });
  const r1 = resume.start();
  const accepted = new ResumeServer({ vault: ends.server.vault }).accept(r1, theirs);
  accepted.channel.wipe();
  resume.wipe();
  mine.wipe();
  return {
    "c:m1": m1,
    "s:m2": answer,
    "s:refused": newServer(ends).busy(m1, 5),
    "c:m4": m4,
    "c:r1": r1,
    "s:r2": accepted.r2,
    "s:unknown": new ResumeServer({ vault: ends.server.vault }).refusal481(r1),
  };
}
