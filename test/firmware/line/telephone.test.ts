/** The telephone over real sockets: server, two handsets, relay and voice on loopback. */
import assert from "node:assert/strict";
import { Household, type Phone } from "./household.ts";

describe("telephone on the wire", () => {
  let house: Household;
  let a: Phone;
  let b: Phone;

  beforeEach(async () => {
    house = new Household();
    await house.open();
    a = await house.phone(1, "Anna");
    b = await house.phone(2, "Ben");
    await a.connect();
    await b.connect();
    await a.heard("directory", ({ changes }) => changes.joined.includes("Ben"));
  });

  afterEach(async () => {
    await house.close();
  });

  it("shows both handsets the same root and each other's name", async () => {
    const { directory } = b.connected;
    assert.deepEqual(
      directory.contacts.map(({ id, name, own }) => ({ id, name, own })),
      [
        { id: 0, name: "Anna", own: false },
        { id: 1, name: "Ben", own: true },
      ],
    );
    assert.equal(directory.epoch, house.server.epoch);
  });

  it("carries a call with voice both ways, and erases the keys on both sides", async () => {
    a.telephone.command({ do: "call", uid: b.uid });
    await b.heard("incoming");
    await a.heard("rings");
    b.telephone.command({ do: "answer" });
    const [atB, atA] = [await b.heard("in-call"), await a.heard("in-call")];
    assert.deepEqual(atA.sas, atB.sas);
    await a.heard("voice", ({ received }) => received > 20);
    await b.heard("voice", ({ received }) => received > 20);
    assert.deepEqual(b.last("voice")?.packetSizes ?? [668], [668]);
    b.telephone.command({ do: "hang-up" });
    assert.equal((await a.heard("ended")).erased, "both");
    assert.equal((await b.heard("ended")).erased, "both");
    assert.equal(house.server.callsRunning, 0);
  });

  it("tells busy, declined, cancelled and missed apart", async () => {
    const c = await house.phone(3, "Chen");
    await c.connect();
    a.telephone.command({ do: "call", uid: b.uid });
    await b.heard("incoming");
    c.telephone.command({ do: "call", uid: b.uid });
    assert.equal((await c.heard("ended")).why, "busy");
    b.telephone.command({ do: "hang-up" });
    assert.equal((await a.heard("ended")).why, "declined");
    assert.equal((await b.heard("ended")).why, "declined-here");
    a.telephone.command({ do: "call", uid: b.uid });
    await b.heard("incoming");
    a.telephone.command({ do: "hang-up" });
    assert.equal((await a.heard("ended")).why, "cancelled");
    assert.equal((await b.heard("ended")).why, "missed");
    a.telephone.command({ do: "call", uid: a.uid });
    assert.equal((await a.heard("ended")).why, "self");
  });

  it("closes the ids up when one leaves, and calls still reach the right person", async () => {
    a.telephone.command({ do: "leave" });
    await a.heard("disconnected", ({ code }) => code === "left");
    const { directory } = await b.heard("directory", (event) => event.changes.left.includes("Anna"));
    assert.deepEqual(
      directory.contacts.map(({ id, name }) => ({ id, name })),
      [{ id: 0, name: "Ben" }],
    );
  });

  it("has one line however often Connect is pressed, while it connects and once it is there", async () => {
    const c = await house.phone(3, "Chen");
    for (let presses = 0; presses < 3; presses++) c.telephone.command({ do: "connect" });
    await c.heard("connected");
    c.telephone.command({ do: "connect" });
    c.telephone.command({ do: "update" });
    await c.heard("updated");
    assert.equal(c.sent.filter((kind) => kind === "REGISTER m1").length, 1);
    assert.equal(c.last("disconnected"), undefined);
  });

  it("takes an update with proof and both roots", async () => {
    a.telephone.command({ do: "update" });
    const updated = await a.heard("updated");
    assert.equal(updated.same, true);
    assert.equal(updated.oldRoot, updated.newRoot);
  });

  it("comes back by itself when the server was restarted, with the next epochs", async () => {
    const { port } = house.server;
    const before = house.server.epoch;
    await house.server.close();
    await a.heard("disconnected");
    await house.open(port);
    await a.heard("connected");
    await b.heard("connected");
    assert.ok(house.server.epoch >= before);
  });
});
