import assert from "node:assert/strict";
import { createSocket, type Socket } from "node:dgram";
import { once } from "node:events";
import { networkInterfaces } from "node:os";
import { hostOf } from "@feldfon/protocol/media/address";
import {
  boundHolds,
  encodeBind,
  encodeBound,
  encodeData,
  newRelayId,
  parseRelayDatagram,
} from "@feldfon/protocol/media/relay";
import { encodeBindingRequest, encodeBindingSuccess, newTransaction, parseStun } from "@feldfon/protocol/media/stun";
import { RelayKeys } from "@feldfon/protocol/phone/relay-key";
import { type RelayRefusal, VoiceRelay } from "@feldfon/server/relay";
import { testingVault } from "@feldfon/vault/testing";
import sinon from "sinon";

const vault = testingVault();
const packet = (n: number) => Buffer.concat([Buffer.of(0x80, 96), Buffer.alloc(666, n)]);
const hasIpv6 = Object.values(networkInterfaces()).some((all) => all?.some(({ address }) => address === "::1"));

/** Datagrams need a moment; a condition that never comes is a failure, not a wait. */
async function until(condition: () => boolean, what: string): Promise<void> {
  for (let turns = 0; turns < 20_000; turns++) {
    if (condition()) return;
    await new Promise((resolve) => setImmediate(resolve));
  }
  assert.fail(`never came: ${what}`);
}

/** A handset's or a stranger's socket, worked by hand. */
class Peer {
  readonly #socket: Socket;
  readonly #relayPort: number;
  readonly #host: string;
  readonly came: Buffer[] = [];

  private constructor(socket: Socket, relayPort: number, host: string) {
    this.#socket = socket;
    this.#relayPort = relayPort;
    this.#host = host;
    socket.on("message", (datagram) => this.came.push(datagram));
  }

  static async at(relayPort: number, host = "127.0.0.1"): Promise<Peer> {
    const socket = createSocket(host.includes(":") ? "udp6" : "udp4");
    socket.bind(0, host);
    await once(socket, "listening");
    return new Peer(socket, relayPort, host);
  }

  get port(): number {
    return this.#socket.address().port;
  }

  send(datagram: Uint8Array): void {
    this.#socket.send(datagram, this.#relayPort, this.#host);
  }

  async next(): Promise<Buffer> {
    await until(() => this.came.length > 0, "an answer");
    return this.came.shift()!;
  }

  close(): void {
    this.#socket.close();
  }
}

describe("Voice relay", () => {
  let relay: VoiceRelay;
  let port: number;
  const peers: Peer[] = [];

  async function peer(host?: string): Promise<Peer> {
    const made = await Peer.at(port, host);
    peers.push(made);
    return made;
  }

  /** One end of a call: its id and two slots of one key, the relay's and its own. */
  function end(n: number) {
    const relayId = newRelayId();
    const slot = () => vault.import("mac", Buffer.alloc(32, n));
    const own = slot();
    const key = new RelayKeys(vault, slot).keyOf(relayId);
    let counter = 0;
    return { relayId, own, forRelay: { relayId, key }, bind: () => encodeBind(vault, own, relayId, counter++) };
  }

  /** A pair whose ends have both bound. */
  async function call() {
    const [a, b] = [end(1), end(2)];
    const close = relay.open({ a: a.forRelay, b: b.forRelay });
    const [atA, atB] = [await peer(), await peer()];
    atA.send(a.bind());
    atB.send(b.bind());
    await atA.next();
    await atB.next();
    return { a, b, atA, atB, close };
  }

  async function refused(why: RelayRefusal, times = 1): Promise<void> {
    await until(() => relay.statistics.refused[why] >= times, why);
    const all = Object.entries(relay.statistics.refused).filter(([, count]) => count > 0);
    assert.deepEqual(all, [[why, times]]);
  }

  beforeEach(async () => {
    relay = new VoiceRelay({ vault, host: "127.0.0.1", port: 0, onError: assert.fail });
    port = await relay.listen();
  });
  afterEach(async () => {
    for (const each of peers.splice(0)) each.close();
    await relay.close();
  });

  it("answers a good BIND with BOUND, as long as the BIND was", async () => {
    const [a, b] = [end(1), end(2)];
    relay.open({ a: a.forRelay, b: b.forRelay });
    const atA = await peer();
    const bind = a.bind();
    atA.send(bind);
    const answer = await atA.next();
    const bound = parseRelayDatagram(answer);
    assert.ok(bound?.kind === "binding" && boundHolds(vault, a.own, bound));
    assert.deepEqual([bound.relayId, bound.counter], [a.relayId, 0]);
    assert.equal(answer.length, bind.length);
  });

  it("passes voice on in both directions, one for one, under the receiver's id", async () => {
    const { a, b, atA, atB } = await call();
    for (let n = 0; n < 5; n++) atA.send(encodeData(a.relayId, packet(n)));
    for (let n = 0; n < 5; n++) assert.deepEqual(await atB.next(), encodeData(b.relayId, packet(n)));
    atB.send(encodeData(b.relayId, packet(9)));
    assert.deepEqual(await atA.next(), encodeData(a.relayId, packet(9)));
    assert.deepEqual([relay.statistics.forwarded, relay.statistics.forwardedBytes], [6, 6 * 676]);
    assert.deepEqual([atA.came, atB.came], [[], []]);
  });

  it("passes on up to 1,500 bytes and no more", async () => {
    const { a, b, atA, atB } = await call();
    const longest = Buffer.alloc(1492, 0x80);
    atA.send(encodeData(a.relayId, Buffer.alloc(1493, 0x80)));
    atA.send(encodeData(a.relayId, longest));
    assert.deepEqual(await atB.next(), encodeData(b.relayId, longest));
    await refused("malformed");
  });

  it("keeps two calls apart", async () => {
    const [first, second] = [await call(), await call()];
    first.atA.send(encodeData(first.a.relayId, packet(1)));
    second.atA.send(encodeData(second.a.relayId, packet(2)));
    assert.deepEqual(await first.atB.next(), encodeData(first.b.relayId, packet(1)));
    assert.deepEqual(await second.atB.next(), encodeData(second.b.relayId, packet(2)));
    assert.equal(relay.statistics.pairs, 2);
  });

  it("follows a handset to another address, and takes nothing from the old one any more", async () => {
    const { a, b, atA, atB } = await call();
    const elsewhere = await peer();
    elsewhere.send(a.bind());
    await elsewhere.next();
    atB.send(encodeData(b.relayId, packet(1)));
    assert.deepEqual(await elsewhere.next(), encodeData(a.relayId, packet(1)));
    atA.send(encodeData(a.relayId, packet(2)));
    await refused("stranger");
    elsewhere.send(encodeData(a.relayId, packet(3)));
    assert.deepEqual(await atB.next(), encodeData(b.relayId, packet(3)));
    assert.deepEqual(atA.came, []);
  });

  describe("is of no use to strangers", () => {
    it("who know a relay id: their data is dropped", async () => {
      const { a, b, atA, atB } = await call();
      const stranger = await peer();
      stranger.send(encodeData(a.relayId, packet(1)));
      await refused("stranger");
      atA.send(encodeData(a.relayId, packet(2)));
      assert.deepEqual(await atB.next(), encodeData(b.relayId, packet(2)));
      assert.deepEqual([stranger.came, atB.came], [[], []]);
    });

    it("who know none", async () => {
      const stranger = await peer();
      stranger.send(end(7).bind());
      await refused("unknown-id");
      stranger.send(encodeData(newRelayId(), packet(1)));
      await refused("unknown-id", 2);
      assert.deepEqual(stranger.came, []);
    });

    it("who forge a BIND: the address stays what it was, and they get no answer", async () => {
      const { a, b, atA, atB } = await call();
      const stranger = await peer();
      stranger.send(encodeBind(vault, b.own, a.relayId, 99));
      await refused("forged");
      atB.send(encodeData(b.relayId, packet(1)));
      assert.deepEqual(await atA.next(), encodeData(a.relayId, packet(1)));
      assert.deepEqual(stranger.came, []);
    });

    it("who repeat a BIND they have seen", async () => {
      const { a, b, atA, atB } = await call();
      const seen = a.bind();
      atA.send(seen);
      await atA.next();
      const stranger = await peer();
      stranger.send(seen);
      await refused("repeated");
      atB.send(encodeData(b.relayId, packet(1)));
      assert.deepEqual(await atA.next(), encodeData(a.relayId, packet(1)));
      assert.deepEqual(stranger.came, []);
    });

    it("who throw the relay's own BOUND back at it", async () => {
      const { a, atA } = await call();
      const stranger = await peer();
      stranger.send(encodeBound(vault, a.own, a.relayId, 50));
      await refused("forged");
      assert.deepEqual([stranger.came, atA.came], [[], []]);
    });

    it("who send rubbish", async () => {
      const stranger = await peer();
      const rubbish = [0, 1, 8, 9, 32, 34, 35, 700, 1500].map((bytes) => Buffer.alloc(bytes, 0x55));
      for (const each of rubbish) stranger.send(each);
      await refused("malformed", rubbish.length);
      assert.deepEqual(stranger.came, []);
    });
  });

  it("drops voice for an end that has not bound yet", async () => {
    const [a, b] = [end(1), end(2)];
    relay.open({ a: a.forRelay, b: b.forRelay });
    const atA = await peer();
    atA.send(a.bind());
    await atA.next();
    atA.send(encodeData(a.relayId, packet(1)));
    await refused("other-end-unbound");
    assert.equal(relay.statistics.forwarded, 0);
  });

  it("takes voice from nobody before his BIND", async () => {
    const [a, b] = [end(1), end(2)];
    relay.open({ a: a.forRelay, b: b.forRelay });
    (await peer()).send(encodeData(a.relayId, packet(1)));
    await refused("stranger");
  });

  it("forgets a call that is closed, with its keys", async () => {
    const { a, atA, close } = await call();
    const slot = a.forRelay.key.slot()!;
    close();
    close();
    assert.throws(() => vault.mac(slot, Buffer.alloc(1)), { name: "VaultError" });
    assert.equal(a.forRelay.key.slot(), undefined);
    assert.equal(relay.statistics.pairs, 0);
    atA.send(encodeData(a.relayId, packet(1)));
    atA.send(a.bind());
    await refused("unknown-id", 2);
  });

  it("does not close another call that has the same ids", async () => {
    const [a, b] = [end(1), end(2)];
    const closeFirst = relay.open({ a: a.forRelay, b: b.forRelay });
    closeFirst();
    const again = { relayId: a.relayId, key: end(1).forRelay.key };
    relay.open({ a: again, b: end(3).forRelay });
    closeFirst();
    assert.equal(relay.statistics.pairs, 1);
    vault.mac(again.key.slot()!, Buffer.alloc(1));
  });

  it("refuses a relay id that is in use", () => {
    const [a, b] = [end(1), end(2)];
    relay.open({ a: a.forRelay, b: b.forRelay });
    assert.throws(() => relay.open({ a: end(3).forRelay, b: b.forRelay }), /in use/);
    const twice = end(4).forRelay;
    assert.throws(() => relay.open({ a: twice, b: twice }), /in use/);
    assert.equal(relay.statistics.pairs, 1);
  });

  it("wipes the keys of all calls when it is closed", async () => {
    const other = new VoiceRelay({ vault, host: "127.0.0.1", port: 0, onError: assert.fail });
    await other.listen();
    const [a, b] = [end(1), end(2)];
    const slots = [a, b].map(({ forRelay }) => forRelay.key.slot()!);
    other.open({ a: a.forRelay, b: b.forRelay });
    await other.close();
    for (const slot of slots) assert.throws(() => vault.mac(slot, Buffer.alloc(1)), { name: "VaultError" });
  });

  it("says when its port is taken", async () => {
    const second = new VoiceRelay({ vault, host: "127.0.0.1", port, onError: assert.fail });
    await assert.rejects(second.listen(), { code: "EADDRINUSE" });
    await second.close();
  });

  describe("answers STUN", () => {
    let clock: sinon.SinonFakeTimers;
    beforeEach(() => {
      clock = sinon.useFakeTimers({ toFake: ["performance"] });
    });
    afterEach(() => clock.restore());

    it("with the address it sees", async () => {
      const asking = await peer();
      const transaction = newTransaction();
      asking.send(encodeBindingRequest(transaction));
      const answer = parseStun(await asking.next());
      assert.ok(answer?.type === "success");
      assert.deepEqual(answer.transaction, transaction);
      assert.deepEqual([hostOf(answer.mapped), answer.mapped.port], ["127.0.0.1", asking.port]);
      assert.equal(relay.statistics.stunAnswered, 1);
    });

    it("sixteen times at once, then four times a second", async () => {
      const asking = await peer();
      const ask = async (times: number) => {
        const before = relay.statistics.stunAnswered + relay.statistics.refused["too-often"];
        for (let n = 0; n < times; n++) asking.send(encodeBindingRequest(newTransaction()));
        const judged = () => relay.statistics.stunAnswered + relay.statistics.refused["too-often"] - before;
        await until(() => judged() === times, "all judged");
      };
      await ask(20);
      assert.equal(relay.statistics.stunAnswered, 16);
      clock.tick(500);
      await ask(10);
      assert.equal(relay.statistics.stunAnswered, 18);
      clock.tick(3_600_000);
      await ask(20);
      assert.equal(relay.statistics.stunAnswered, 34, "an hour saves up sixteen, not more");
      await until(() => asking.came.length === 34, "all answers");
    });

    it("but not what asks for more than it understands, and never an answer", async () => {
      const asking = await peer();
      const priority = Buffer.from("002400046e0001ff", "hex");
      const plain = Buffer.from(`00010008${"2112a442"}${newTransaction().toString("hex")}`, "hex");
      asking.send(Buffer.concat([plain, priority]));
      await refused("malformed");
      const seen = { family: 4, bytes: Buffer.of(127, 0, 0, 1), port: 9 } as const;
      asking.send(encodeBindingSuccess(newTransaction(), seen));
      await refused("malformed", 2);
      assert.deepEqual(asking.came, []);
    });
  });

  (hasIpv6 ? describe : describe.skip)("over IPv6", () => {
    it("passes voice on between IPv6 and IPv4, and tells each his address in his own form", async () => {
      const both = new VoiceRelay({ vault, host: "::", port: 0, onError: assert.fail });
      const bothPort = await both.listen();
      const [six, four] = [await Peer.at(bothPort, "::1"), await Peer.at(bothPort, "127.0.0.1")];
      try {
        const [a, b] = [end(1), end(2)];
        both.open({ a: a.forRelay, b: b.forRelay });
        six.send(a.bind());
        four.send(b.bind());
        await six.next();
        await four.next();
        six.send(encodeData(a.relayId, packet(1)));
        assert.deepEqual(await four.next(), encodeData(b.relayId, packet(1)));
        for (const [asking, host] of [
          [six, "::1"],
          [four, "127.0.0.1"],
        ] as const) {
          asking.send(encodeBindingRequest(newTransaction()));
          const answer = parseStun(await asking.next());
          assert.ok(answer?.type === "success");
          assert.equal(hostOf(answer.mapped), host);
        }
      } finally {
        six.close();
        four.close();
        await both.close();
      }
    });
  });
});
