/** The handset's way to the server when it fails: each cause has its word, and the next try its time (rows 003-02, -22). */
import assert from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import { Uplink } from "@feldfon/firmware/line/uplink";
import { signBatch } from "@feldfon/protocol/channel/batch";
import { ChannelServer } from "@feldfon/protocol/channel/server";
import { encodeFrame, FrameReader } from "@feldfon/protocol/frames";
import { PublicKey } from "@feldfon/protocol/identity";
import type { KeyPair } from "@feldfon/protocol/vault";
import { NodeVault } from "@feldfon/vault";
import sinon from "sinon";
import { testKeyPair } from "../../keys.ts";

/** What a server does with a line: on its first frame, M1. */
type Answer = (socket: Socket, m1: Buffer) => void | Promise<void>;

interface Down {
  code: string;
  retryInMs: number | undefined;
}

describe("uplink", () => {
  let vault: NodeVault;
  let keyPairs: KeyPair[];
  let listener: Server;
  let answer: Answer;
  let nowMs: number;
  let uplink: Uplink | undefined;
  /** Each loss, as it is told. */
  let downs: Down[];
  let heard: PromiseWithResolvers<void>;

  before(async () => {
    vault = new NodeVault();
    keyPairs = await Promise.all([0, 1, 2].map((n) => testKeyPair(vault, n)));
  });
  after(() => vault.wipeAll());

  beforeEach(async () => {
    nowMs = 0;
    downs = [];
    heard = Promise.withResolvers();
    listener = createServer((socket) => {
      socket.on("error", () => {});
      const frames = new FrameReader();
      socket.on("data", (chunk) => {
        for (const body of frames.read(chunk)) void answer(socket, body);
      });
    });
    listener.listen(0, "127.0.0.1");
    await once(listener, "listening");
  });

  afterEach(() => {
    uplink?.stop();
    listener.close();
    sinon.restore();
  });

  const serverHalf = (key: KeyPair): ChannelServer => new ChannelServer({ vault, serverKey: new PublicKey(key.spki) });

  function start(port = (listener.address() as AddressInfo).port): Uplink {
    return new Uplink({
      vault,
      keyPair: keyPairs[1]!,
      own: new PublicKey(keyPairs[1]!.spki).uid,
      serverUid: new PublicKey(keyPairs[0]!.spki).uid,
      host: "127.0.0.1",
      port,
      now: () => nowMs,
      random: () => 0,
      begin: () => assert.fail("no line may come of this"),
      connecting: () => {},
      exchanged: () => {},
      down: (code, retryInMs) => {
        downs.push({ code, retryInMs });
        heard.resolve();
        heard = Promise.withResolvers();
      },
      passed: () => {},
      tick: () => {},
    });
  }

  const FIRST_MS = 125; // half of 250: the jitter is 0 here
  const FAILURES: [what: string, answer: Answer, expected: Down][] = [
    ["a line that is cut", (socket) => void socket.destroy(), { code: "closed", retryInMs: FIRST_MS }],
    [
      "a server that says nothing for 5 s",
      () => {
        nowMs += 5_001;
      },
      { code: "timeout", retryInMs: FIRST_MS },
    ],
    [
      "a frame above 16 KiB before the server is proven",
      (socket) => void socket.write(Buffer.of(0, 0, 0x40, 1)),
      { code: "frame-too-long", retryInMs: FIRST_MS },
    ],
    [
      "a frame of rubbish",
      (socket) => void socket.write(encodeFrame(Buffer.from("rubbish"))),
      { code: "bad-sip", retryInMs: FIRST_MS },
    ],
    [
      "a server that has no room: its own time counts",
      (socket, m1) => void socket.write(encodeFrame(serverHalf(keyPairs[0]!).busy(m1, 7))),
      { code: "server-busy", retryInMs: 7_000 },
    ],
    [
      "another server's key: nothing but a person goes on",
      async (socket, m1) => {
        const half = serverHalf(keyPairs[2]!);
        const { leaf } = half.hello(m1);
        const [m3] = await signBatch(vault, keyPairs[2]!, [leaf]);
        socket.write(encodeFrame(half.offer(m3!)));
      },
      { code: "wrong-server-key", retryInMs: undefined },
    ],
    [
      "a signature that is not the pinned key's: nothing but a person goes on",
      async (socket, m1) => {
        const half = serverHalf(keyPairs[0]!);
        const { leaf } = half.hello(m1);
        const [m3] = await signBatch(vault, keyPairs[2]!, [leaf]);
        socket.write(encodeFrame(half.offer(m3!)));
      },
      { code: "unauthentic", retryInMs: undefined },
    ],
  ];
  for (const [what, does, expected] of FAILURES) {
    it(`tells apart ${what}`, async () => {
      answer = does;
      uplink = start();
      const told = heard.promise;
      uplink.start();
      await told;
      assert.deepEqual(downs, [expected]);
    });
  }

  it("tells apart a machine on which nobody listens", async () => {
    const { port } = listener.address() as AddressInfo;
    listener.close();
    uplink = start(port);
    const told = heard.promise;
    uplink.start();
    await told;
    assert.deepEqual(downs, [{ code: "ECONNREFUSED", retryInMs: FIRST_MS }]);
  });

  it("waits twice as long after each failure, up to 5 s, and begins anew when a person asks", async () => {
    answer = (socket) => void socket.destroy();
    uplink = start();
    const clock = sinon.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    let told = heard.promise;
    uplink.start();
    for (let tries = 1; tries < 8; tries++) {
      await told;
      told = heard.promise;
      clock.tick(downs.at(-1)!.retryInMs!);
    }
    await told;
    assert.deepEqual(
      downs.map(({ retryInMs }) => retryInMs),
      [125, 250, 500, 1_000, 2_000, 2_500, 2_500, 2_500],
    );
    uplink.stop();
    told = heard.promise;
    uplink.start();
    await told;
    assert.equal(downs.at(-1)!.retryInMs, FIRST_MS);
  });

  it("does not come back by itself once it was stopped", async () => {
    answer = (socket) => void socket.destroy();
    uplink = start();
    const clock = sinon.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    let lines = 0;
    listener.on("connection", () => lines++);
    const told = heard.promise;
    uplink.start();
    await told;
    uplink.stop();
    clock.tick(60_000);
    await new Promise(setImmediate);
    assert.deepEqual([lines, downs.length], [1, 1]);
  });
});
