/** Both halves of the telephone face to face: connect, deltas, update, calls and their ends (seeds 000 and 003). */
import assert from "node:assert/strict";
import { connectedPair, StageHandset, StageServer, settle } from "./stage.ts";

describe("telephone: connect", () => {
  it("leads a handset through the eight steps, and both ends hold the same root", async () => {
    const server = await StageServer.make();
    const a = await StageHandset.make(server, 1, "Anna");
    await a.open();
    a.line!.start();
    await settle(a);
    assert.equal(a.wire.fault, undefined);
    assert.deepEqual(
      a.events.map((event) => (event.event === "step" ? event.step : event.event)),
      ["1.1", "2", "3", "4", "5", "6", "7", "8", "connected"],
    );
    assert.deepEqual(a.follower.head?.hash, server.head().hash);
    assert.deepEqual(
      a.passed.map(({ direction, kind }) => `${direction} ${kind}`),
      [
        "sent REGISTER join",
        "received 200 join",
        "received MESSAGE head",
        "sent 200 head",
        "received MESSAGE secret",
        "sent 200 secret",
        "received MESSAGE phonebook",
        "sent 200 phonebook",
      ],
    );
  });

  it("tells those who are here of a newcomer by a delta, and ids follow the order of joining", async () => {
    const { a, b } = await connectedPair();
    assert.equal(a.last("directory")?.change.joined[0]?.name, "Ben");
    assert.equal(a.follower.ownId, 0);
    assert.equal(b.follower.ownId, 1);
    assert.deepEqual(a.follower.head?.hash, b.follower.head?.hash);
  });

  it("closes the ids up on both ends when someone leaves in order", async () => {
    const { server, a, b } = await connectedPair();
    a.line!.leave();
    await settle(a, b);
    assert.equal(a.last("left")?.by, "handset");
    assert.equal(b.follower.ownId, 0);
    assert.equal(server.directory.idOf(b.uid), 0);
    assert.equal(b.last("directory")?.change.left[0]?.name, "Anna");
  });

  it("refuses with the registry's word, and nothing was shown", async () => {
    const server = await StageServer.make();
    server.refusal = "name-taken";
    const a = await StageHandset.make(server, 1, "Anna");
    await a.open();
    a.line!.start();
    await settle(a);
    assert.equal((a.wire.fault?.error as { code?: string } | undefined)?.code, "name-taken");
    assert.equal(a.follower.head, undefined);
  });
});

describe("telephone: update", () => {
  it("proves the key again, shows both roots and takes what changed meanwhile", async () => {
    const { server, a, b } = await connectedPair();
    server.pushing = false;
    await server.remove(b.uid);
    a.line!.update();
    await settle(a, b);
    const updated = a.last("updated")!;
    assert.notEqual(updated.oldRoot, updated.newRoot);
    assert.equal(updated.newRoot, server.head().head.seedRoot.toString("hex"));
    assert.equal(updated.serverRoot, updated.newRoot);
    assert.equal(updated.change?.left[0]?.name, "Ben");
  });

  it("goes on with an empty delta when nothing has changed", async () => {
    const { a, b } = await connectedPair();
    a.line!.update();
    await settle(a, b);
    assert.equal(a.last("updated")?.oldRoot, a.last("updated")?.newRoot);
    a.line!.update();
    await settle(a, b);
    assert.equal(a.events.filter((event) => event.event === "updated").length, 2);
  });
});

describe("telephone: resume", () => {
  it("comes back without RSA, and one delta brings what was missed", async () => {
    const { server, a, b } = await connectedPair();
    a.cut();
    await server.remove(b.uid);
    a.resume();
    a.line!.start();
    await settle(a, b);
    assert.equal(a.wire.fault, undefined);
    assert.deepEqual(a.follower.head?.hash, server.head().hash);
    a.cut();
    a.resume();
    a.line!.start();
    await settle(a, b);
    assert.equal(a.wire.fault, undefined);
  });
});

describe("telephone: call", () => {
  it("agrees on keys that both ends prove, with the same five numbers on both displays", async () => {
    const { server, a, b } = await connectedPair();
    await a.calls.dial(b.uid);
    await settle(a, b);
    assert.equal(a.last("rings")?.peer, b.uid);
    assert.equal(b.last("incoming")?.peer, a.uid);
    await b.calls.accept();
    await settle(a, b);
    const [atA, atB] = [a.last("agreed")!, b.last("agreed")!];
    assert.deepEqual(atA.sas, atB.sas);
    assert.deepEqual(atA.keys.th, atB.keys.th);
    assert.deepEqual(a.vault.reveal(atA.keys.media.send), b.vault.reveal(atB.keys.media.receive));
    assert.notDeepEqual(a.vault.reveal(atA.keys.media.send), a.vault.reveal(atA.keys.media.receive));
    // The server made a secret for the pair and keeps no slot of it.
    assert.equal(server.relays.length, 1);
    assert.deepEqual(server.vault.reveal(server.relays[0]!.a.key.slot()!), a.vault.reveal(a.last("relay")!.key));
    assert.deepEqual(server.vault.reveal(server.relays[0]!.b.key.slot()!), b.vault.reveal(b.last("relay")!.key));
  });

  it("erases the keys on both sides when one hangs up, and the next call has others", async () => {
    const { server, a, b } = await connectedPair();
    const keys: Buffer[] = [];
    for (const [hangsUp, other] of [
      [b, a],
      [a, b],
    ] as const) {
      await a.calls.dial(b.uid);
      await settle(a, b);
      await b.calls.accept();
      await settle(a, b);
      keys.push(a.vault.reveal(a.last("agreed")!.keys.media.send));
      hangsUp.calls.hangUp();
      await settle(a, b);
      assert.deepEqual([hangsUp.last("ended")?.why, hangsUp.last("ended")?.erased], ["hung-up-here", "both"]);
      assert.deepEqual([other.last("ended")?.why, other.last("ended")?.erased], ["hung-up-there", "both"]);
      assert.equal(a.calls.current, undefined);
      assert.equal(b.calls.current, undefined);
      assert.equal(server.broker.running, 0);
      assert.equal(server.relays.at(-1)?.open, false);
    }
    assert.notDeepEqual(keys[0], keys[1]);
    assert.equal(a.wire.fault ?? b.wire.fault, undefined);
  });

  it("leaves no slot behind in any vault after calls of every kind", async () => {
    const { server, a, b } = await connectedPair();
    const slots = () => [a, b, server].map(({ vault }) => vault.status().slotsInUse);
    const before = slots();
    // accepted and hung up, declined, cancelled
    await a.calls.dial(b.uid);
    await settle(a, b);
    await b.calls.accept();
    await settle(a, b);
    a.calls.hangUp();
    await settle(a, b);
    await b.calls.dial(a.uid);
    await settle(a, b);
    a.calls.hangUp();
    await settle(a, b);
    assert.equal(b.last("ended")?.why, "declined");
    await a.calls.dial(b.uid);
    await settle(a, b);
    a.calls.hangUp();
    await settle(a, b);
    assert.equal(a.last("ended")?.why, "cancelled");
    assert.equal(b.last("ended")?.why, "missed");
    assert.deepEqual(slots(), before);
  });

  it("lets the first of two crossing calls ring, and tells the other busy", async () => {
    const { server, a, b } = await connectedPair();
    await Promise.all([a.calls.dial(b.uid), b.calls.dial(a.uid)]);
    await settle(a, b);
    assert.equal(server.broker.running, 1);
    const [winner, loser] = a.last("rings") ? [a, b] : [b, a];
    assert.equal(loser.last("ended")?.why, "busy");
    assert.equal(loser.last("incoming")?.peer, winner.uid);
    await loser.calls.accept();
    await settle(a, b);
    assert.deepEqual(winner.last("agreed")?.sas, loser.last("agreed")?.sas);
  });

  it("keeps its relay keys when both lines are lost before anybody has asked for them", async () => {
    const { server, a, b } = await connectedPair();
    await a.calls.dial(b.uid);
    await settle(a, b);
    await b.calls.accept();
    await settle(a, b);
    for (const handset of [a, b]) handset.cut();
    const [relay] = server.relays;
    for (const [handset, { key }] of [
      [a, relay!.a],
      [b, relay!.b],
    ] as const) {
      assert.deepEqual(server.vault.reveal(key.slot()!), handset.vault.reveal(handset.last("relay")!.key));
    }
  });

  it("survives a lost server line while voice flows, and says goodbye after the resume", async () => {
    const { a, b } = await connectedPair();
    await a.calls.dial(b.uid);
    await settle(a, b);
    await b.calls.accept();
    await settle(a, b);
    a.cut();
    assert.equal(a.calls.current?.talking, true);
    a.resume();
    a.line!.start();
    await settle(a, b);
    a.calls.hangUp();
    await settle(a, b);
    assert.equal(a.last("ended")?.erased, "both");
    assert.equal(b.last("ended")?.erased, "both");
  });

  it("goes on when both hang up at the same moment", async () => {
    const { server, a, b } = await connectedPair();
    await a.calls.dial(b.uid);
    await settle(a, b);
    await b.calls.accept();
    await settle(a, b);
    a.calls.hangUp();
    b.calls.hangUp();
    await settle(a, b);
    assert.equal(a.last("ended")?.erased, "both");
    assert.equal(b.last("ended")?.erased, "both");
    assert.equal(server.broker.running, 0);
    assert.equal(a.wire.fault ?? b.wire.fault, undefined);
  });
});
