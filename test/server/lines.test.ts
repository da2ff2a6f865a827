/**
 * Lines of a running server that go wrong while others are in use: replaced before their loss is noticed, turned away
 * because every place is taken, dropped because nobody reads at their other end (rows 003-57, -63, -70, -72).
 */
import assert from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server, Socket } from "node:net";
import { setTimeout as pause } from "node:timers/promises";
import { ChannelClient } from "@feldfon/protocol/channel/client";
import { encodeFrame, FrameReader } from "@feldfon/protocol/frames";
import { parseSip, type SipResponse } from "@feldfon/protocol/sip";
import type { KeyPair } from "@feldfon/protocol/vault";
import { NodeVault } from "@feldfon/vault";
import sinon from "sinon";
import { LoadHandset } from "../../bench/load/handset.ts";
import { Household } from "../firmware/line/household.ts";
import { testKeyPair } from "../keys.ts";

/** Between a handset and the server: either half may be cut for itself, and what the handset says may be held up. */
class Cable {
  readonly #listener: Server;
  readonly #serverPort: number;
  /** One pair for each line, oldest first. */
  readonly pairs: { near: Socket; far: Socket }[] = [];
  /** The handset's chunks that still pass on a new line; the next ones wait for `release`. */
  chunksLet = Number.POSITIVE_INFINITY;
  #held: (() => void)[] = [];

  private constructor(serverPort: number) {
    this.#serverPort = serverPort;
    this.#listener = createServer((near) => this.#join(near));
  }

  static async to(serverPort: number): Promise<Cable> {
    const cable = new Cable(serverPort);
    cable.#listener.listen(0, "127.0.0.1");
    await once(cable.#listener, "listening");
    return cable;
  }

  /** The handset's chunks that wait. */
  get held(): number {
    return this.#held.length;
  }

  get port(): number {
    return (this.#listener.address() as AddressInfo).port;
  }

  /** The handset sees its line break; the server sees nothing. */
  loseNear(): void {
    this.pairs.at(-1)!.near.destroy();
  }

  release(): void {
    this.chunksLet = Number.POSITIVE_INFINITY;
    for (const pass of this.#held.splice(0)) pass();
  }

  close(): void {
    this.#listener.close();
    for (const { near, far } of this.pairs) for (const end of [near, far]) end.destroy();
  }

  #join(near: Socket): void {
    const far = connect({ port: this.#serverPort, host: "127.0.0.1" });
    for (const end of [near, far]) end.on("error", () => {});
    far.pipe(near);
    let passed = 0;
    near.on("data", (chunk) => {
      if (passed++ < this.chunksLet) far.write(chunk);
      else this.#held.push(() => far.write(chunk));
    });
    this.pairs.push({ near, far });
  }
}

describe("lines of a running server", function () {
  this.timeout(60_000);
  let house: Household;
  let vault: NodeVault;
  let handsets: LoadHandset[];

  async function open(...flags: string[]): Promise<void> {
    house = new Household(...flags);
    house.parts = { requestLimit: () => undefined };
    await house.open();
  }

  beforeEach(() => {
    vault = new NodeVault();
    handsets = [];
  });

  afterEach(async () => {
    for (const handset of handsets) {
      handset.stall(false);
      handset.close();
    }
    await house.close();
    vault.wipeAll();
  });

  async function handset(n: number, port = house.server.port): Promise<LoadHandset> {
    const made = await LoadHandset.make({ vault, n, place: { port, uid: house.server.serverKey.uid } });
    handsets.push(made);
    return made;
  }

  async function joined(n: number, port?: number): Promise<LoadHandset> {
    const made = await handset(n, port);
    const others = handsets.filter((other) => other.connected).map(({ told }) => once(told, "directory"));
    await made.join();
    await Promise.all(others);
    return made;
  }

  async function metric(name: string): Promise<number> {
    const text = await (await fetch(`http://127.0.0.1:${house.server.healthPort}/metrics`)).text();
    const line = text.split("\n").find((each) => each.startsWith(`feldfon_${name} `));
    return line === undefined ? 0 : Number(line.split(" ")[1]);
  }

  async function until(name: string, value: number): Promise<void> {
    while ((await metric(name)) !== value) await pause(10);
  }

  const lines = 'lines{state="proven"}';

  async function call(a: LoadHandset, b: LoadHandset): Promise<void> {
    const agreed = [a, b].map(({ told }) => once(told, "agreed"));
    await a.dial(b.uid);
    await Promise.all(agreed);
  }

  /** Only when both ends still have the same keys, and the server knows where both are, can both say "both". */
  async function hangUp(a: LoadHandset, b: LoadHandset): Promise<void> {
    const ended = [a, b].map(({ told }) => once(told, "ended"));
    a.hangUp();
    await Promise.all(ended);
    assert.deepEqual(
      [a, b].map(({ calls }) => calls.at(-1)!.ended),
      [
        { why: "hung-up-here", erased: "both" },
        { why: "hung-up-there", erased: "both" },
      ],
    );
  }

  it("hear M4 and join in one piece", async () => {
    await open();
    const together = sinon.spy(Socket.prototype, "_writev");
    try {
      await joined(1);
      const ofHandset = together.getCalls().filter(({ thisValue }) => thisValue.remotePort === house.server.port);
      assert.deepEqual(
        ofHandset.map(({ args: [pieces] }) => pieces.length),
        [2],
      );
    } finally {
      together.restore();
    }
  });

  describe("whose loss only the handset has noticed", () => {
    let cable: Cable;
    let anna: LoadHandset;
    let berta: LoadHandset;
    let epoch: number;

    beforeEach(async () => {
      await open();
      cable = await Cable.to(house.server.port);
      anna = await joined(1, cable.port);
      berta = await joined(2);
      await call(anna, berta);
      epoch = house.server.epoch;
    });

    afterEach(() => cable.close());

    function assertNothingMoved(): void {
      assert.equal(house.server.epoch, epoch, "no row came or went");
      for (const { follower } of [anna, berta]) {
        assert.deepEqual(
          follower!.rows.map(({ uid }) => uid),
          [house.server.serverKey.uid, anna.uid, berta.uid],
        );
      }
    }

    it("are replaced when the new one has synced: the call goes on, ids stay, the old end is closed", async () => {
      const back = once(anna.told, "connected");
      const oldEnd = once(cable.pairs[0]!.far, "close");
      cable.loseNear();
      await back;
      await oldEnd;
      await until(lines, 2);
      assert.equal(await metric('connects_total{outcome="resumed"}'), 1);
      assert.equal(house.server.callsRunning, 1);
      assertNothingMoved();
      await hangUp(anna, berta);
      await call(berta, anna);
      await hangUp(berta, anna);
      assertNothingMoved();
    });

    it("may end between the new one's R1 and its sync: all stays as it was", async () => {
      cable.chunksLet = 1;
      const back = once(anna.told, "connected");
      cable.loseNear();
      await until(lines, 3); // R1 held; sync waits in the cable
      cable.pairs[0]!.far.destroy();
      await until(lines, 2);
      assert.equal(house.server.callsRunning, 1);
      cable.release();
      await back;
      assertNothingMoved();
      await hangUp(berta, anna);
      await call(anna, berta);
      await hangUp(anna, berta);
      assertNothingMoved();
    });

    it("may go again while their R1 waits for others': nothing remains of it", async () => {
      await hangUp(anna, berta);
      const slots = () => house.serverVault.status().slotsInUse;
      const before = slots();
      const back = once(anna.told, "connected");
      cable.chunksLet = 0;
      cable.loseNear();
      while (cable.held === 0) await pause(1);
      await berta.comeBack(); // at once; who comes next waits up to 100 ms
      cable.release();
      await pause(10);
      for (const end of Object.values(cable.pairs[1]!)) end.destroy();
      await back;
      await until(lines, 2);
      assert.equal(slots(), before);
      assertNothingMoved();
      await call(berta, anna);
      await hangUp(anna, berta);
    });

    for (const order of [
      [0, 1],
      [1, 0],
    ]) {
      it(`leave no half of a call behind when line ${order[0]} ends first, and the new one has never synced`, async () => {
        cable.chunksLet = 1;
        cable.loseNear();
        await until(lines, 3);
        anna.close();
        const over = once(berta.told, "ended");
        for (const [gone, index] of order.entries()) {
          cable.pairs[index]!.far.destroy();
          await until(lines, 2 - gone);
        }
        await over;
        assert.deepEqual(berta.calls.at(-1)!.ended, { why: "hung-up-there", erased: "here" });
        assert.equal(house.server.callsRunning, 0);
        assertNothingMoved();
      });
    }

    it("are replaced by a join as well: the old call is over for the other, and its late end takes nothing with it", async () => {
      const oldEnd = once(cable.pairs[0]!.far, "close");
      const over = once(berta.told, "ended");
      const again = await handset(1);
      await again.join();
      await over;
      assert.deepEqual(berta.calls.at(-1)!.ended, { why: "hung-up-there", erased: "here" });
      await oldEnd;
      anna.close();
      await until(lines, 2);
      assert.equal(house.server.epoch, epoch);
      assert.equal(house.server.callsRunning, 0);
      await call(berta, again);
      await hangUp(again, berta);
    });
  });

  describe("when there is no room", () => {
    let keyPair: KeyPair;

    beforeEach(async () => {
      keyPair = await testKeyPair(vault, 6);
    });

    /** M1 of a stranger, and the answer in clear. */
    async function hello(localAddress: string): Promise<{ answer: SipResponse | undefined; socket: Socket }> {
      const client = new ChannelClient({ vault, keyPair, serverUid: house.server.serverKey.uid });
      const socket = connect({ port: house.server.port, host: "127.0.0.1", localAddress }).on("error", () => {});
      socket.write(encodeFrame(client.start()));
      const frames = new FrameReader();
      let answer: SipResponse | undefined;
      socket.on("data", (chunk) => {
        for (const body of frames.read(chunk)) answer = parseSip(body) as SipResponse;
      });
      await Promise.race([once(socket, "data"), once(socket, "close")]);
      client.wipe();
      return { answer, socket };
    }

    it("newcomers hear 503 and when to come again, those inside telephone, and who leaves makes room", async () => {
      await open("--max-lines", "2");
      const [anna, berta] = [await joined(1), await joined(2)];
      await call(anna, berta);
      const { answer, socket } = await hello("127.0.0.3");
      assert.deepEqual([answer?.status, answer?.retryAfterS], [503, 30]);
      assert.equal(answer!.body.length, 0);
      if (!socket.closed) await once(socket, "close");
      const late = await handset(3);
      const turnedAway = once(late.told, "down");
      void late.join();
      assert.deepEqual(await turnedAway, ["server-busy"]);
      assert.equal(late.stuck, undefined, "it comes again by itself");
      late.close();
      await hangUp(anna, berta);
      assert.deepEqual([anna.connected, berta.connected, house.server.epoch], [true, true, 2]);
      await berta.leave();
      await until(lines, 1);
      await joined(4);
    });

    it("and many are half open, an address that asks too often hears 503; others come in, those inside telephone", async () => {
      // While it stands still no bucket fills, and nobody is half open for too long.
      const clock = sinon.useFakeTimers({ now: Date.now(), toFake: ["Date"] });
      const silent: Socket[] = [];
      try {
        await open();
        const [anna, berta] = [await joined(1), await joined(2)];
        for (let n = 0; n < 256; n++) {
          const localAddress = `127.0.50.${1 + (n >> 4)}`; // 16 an address
          silent.push(connect({ port: house.server.port, host: "127.0.0.1", localAddress }).on("error", () => {}));
        }
        await until('lines{state="half-open"}', 256);
        const answers: (SipResponse | undefined)[] = [];
        while (answers.length < 33) {
          const { answer, socket } = await hello("127.0.51.1");
          answers.push(answer);
          socket.destroy();
          await until('lines{state="half-open"}', 256);
        }
        assert.deepEqual(
          answers.map((answer) => answer?.status),
          [...Array<number>(32).fill(401), 503],
        );
        assert.equal(answers.at(-1)?.retryAfterS, 1);
        await call(anna, berta);
        assert.equal((await hello("127.0.51.2")).answer?.status, 401, "another address has its own share");
        await joined(5);
        await hangUp(anna, berta);
        clock.tick(1_000);
        assert.equal((await hello("127.0.51.1")).answer?.status, 401, "a second later, as it was told");
        clock.tick(5_001);
        await until('lines{state="half-open"}', 0);
        assert.equal(await metric(lines), 3);
      } finally {
        clock.restore();
        for (const socket of silent) socket.destroy();
      }
    });
  });

  it("that ask for more than a handset may are closed, and the others have what they need (row 003-46)", async () => {
    house = new Household();
    await house.open();
    const [anna, berta, greedy] = [await joined(1), await joined(2), await joined(3)];
    const over = once(greedy.told, "down");
    for (let n = 0; n < 50; n++) void greedy.line!.path(1, 0, 60_000);
    await call(anna, berta);
    assert.equal(await metric(lines), 3, "50 at once are no crime");
    for (let n = 0; n < 20; n++) void greedy.line!.path(1, 0, 60_000);
    await over;
    assert.equal(await metric('refused_total{code="too-many-requests"}'), 1);
    await hangUp(anna, berta);
  });

  describe("whose handset has joined and stopped reading", () => {
    it("are dropped once their box is full, and nobody else waits; what is read again comes back by itself", async () => {
      await open();
      const [anna, berta, deaf] = [await joined(1), await joined(2), await joined(3)];
      deaf.stall(true);
      const line = deaf.line!;
      // It goes on asking: every answer waits for it, first in the system, then in its box.
      const dropped = 'outbox_drops_total{reason="outbox-full"}';
      let asked = 0;
      for (let round = 0; (await metric(dropped)) === 0; round++) {
        assert.ok(round < 100, `${asked} answers fit into the box`);
        for (let n = 0; n < 1_000; n++, asked++) void line.path(1, 0, 60_000);
        await call(anna, berta);
        await hangUp(round % 2 ? anna : berta, round % 2 ? berta : anna);
      }
      assert.equal(await metric(lines), 2);
      assert.deepEqual([anna.connected, berta.connected], [true, true]);
      assert.equal(await metric("handsets"), 3, "its place is kept for the grace");
      const known = [anna, berta].map(({ told }) => once(told, "directory"));
      await (await handset(4)).join();
      await Promise.all(known);
      const back = once(deaf.told, "connected");
      deaf.stall(false);
      await back;
      await call(deaf, anna);
      await hangUp(anna, deaf);
    });

    it("are lost when nothing has gone for 10 s, though their box has room", async () => {
      const clock = sinon.useFakeTimers({ toFake: ["setInterval", "clearInterval"] });
      try {
        await open();
        const [anna, deaf] = [await joined(1), await joined(2)];
        deaf.stall(true);
        const line = deaf.line!;
        const dropped = 'outbox_drops_total{reason="no-progress"}';
        for (let round = 0; (await metric(dropped)) === 0; round++) {
          assert.ok(round < 100, "all of it still fits into the system's buffers");
          for (let n = 0; n < 1_000; n++) void line.path(1, 0, 60_000);
          await pause(100);
          clock.tick(11_000);
        }
        assert.equal(await metric('outbox_drops_total{reason="outbox-full"}'), 0);
        assert.equal(await metric(lines), 1);
        assert.equal(anna.connected, true);
      } finally {
        clock.restore();
      }
    });

    it("get one change at a time while the others get all, and are lost after 30 s without an answer", async () => {
      const clock = sinon.useFakeTimers({ now: Date.now(), toFake: ["Date"] });
      try {
        await open();
        const [anna, deaf] = [await joined(1), await joined(2)];
        deaf.stall(true);
        const sent: string[] = [];
        for (const n of [3, 4, 5]) {
          const known = once(anna.told, "directory");
          await (await handset(n)).join();
          await known;
          sent.push(anna.follower!.rows.at(-1)!.name);
        }
        assert.deepEqual(sent, ["Handset 3", "Handset 4", "Handset 5"]);
        assert.equal(deaf.head!.head.rows, 3);
        clock.tick(29_000);
        await pause(600);
        assert.equal(await metric(lines), 5);
        clock.tick(2_000);
        await until(lines, 4);
        assert.equal(await metric("handsets"), 5);
        const back = once(deaf.told, "connected");
        deaf.stall(false);
        await back;
        while (deaf.head!.head.rows < 6) await once(deaf.told, "directory");
        assert.equal(deaf.head!.hash.equals(anna.head!.hash), true);
      } finally {
        clock.restore();
      }
    });
  });
});
