/** The accept loop over real sockets: good handsets beside bad clients (rows 003-57, -70, -71, -72; design 3 and 9). */
import assert from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { setTimeout as pause } from "node:timers/promises";
import { lp } from "@feldfon/protocol/bytes";
import { ChannelClient } from "@feldfon/protocol/channel/client";
import { encodeFrame, FrameReader, HEADER_BYTES } from "@feldfon/protocol/frames";
import { encodeSip, hex, parseSip, type SipMessage } from "@feldfon/protocol/sip";
import { NodeVault } from "@feldfon/vault";
import { Household, type Phone } from "../firmware/line/household.ts";
import { testKeyPair } from "../keys.ts";

async function dial(port: number, localAddress = "127.0.0.1"): Promise<Socket> {
  const socket = connect({ port, host: "127.0.0.1", localAddress });
  socket.on("error", () => {});
  await once(socket, "connect");
  return socket;
}

/** Resolves with everything that came, once the other end has closed. */
async function untilClosed(socket: Socket): Promise<Buffer> {
  const chunks: Buffer[] = [];
  socket.on("data", (chunk) => chunks.push(chunk));
  if (!socket.closed) await once(socket, "close");
  return Buffer.concat(chunks);
}

function answersIn(bytes: Buffer): SipMessage[] {
  return [...new FrameReader().read(bytes)].map(parseSip);
}

describe("accept loop", () => {
  let house: Household;
  let a: Phone;

  beforeEach(async () => {
    house = new Household("--grace-ms", "400");
    await house.open();
    a = await house.phone(1, "Anna");
    await a.connect();
  });

  afterEach(() => house.close());

  const RUBBISH: [string, Buffer][] = [
    ["bytes that are no frame of a known length", Buffer.from("GET / HTTP/1.1\r\nHost: x\r\n\r\n")],
    ["a frame of rubbish", encodeFrame(Buffer.from("rubbish"))],
    ["an empty frame", encodeFrame(Buffer.alloc(0))],
    ["a header above 16 KiB, before any proof", Buffer.from([0, 0, 0x40, 0x01])],
    ["the largest header there is", Buffer.from([0xff, 0xff, 0xff, 0xff])],
  ];
  for (const [what, bytes] of RUBBISH) {
    it(`closes a line that sends ${what}, without a byte, and the others go on`, async () => {
      const socket = await dial(house.server.port);
      const closed = untilClosed(socket);
      socket.write(bytes);
      assert.equal((await closed).length, 0);
      a.telephone.command({ do: "update" });
      assert.equal((await a.heard("updated")).same, true);
    });
  }

  it("answers a key that is not RSA-4096 with 400 in clear, and closes", async () => {
    const m1 = await helloOf(house, 2);
    const message = parseSip(m1);
    const spkiAt = message.body.length - 550;
    message.body.writeUInt8(0x31, spkiAt); // no SEQUENCE any more
    const socket = await dial(house.server.port);
    const closed = untilClosed(socket);
    socket.write(encodeFrame(encodeSip(message)));
    const [answer] = answersIn(await closed);
    assert.equal(answer?.type === "response" && answer.status, 400);
  });

  it("takes 16 half-open lines of one address, and closes the 17th without a byte", async () => {
    const silent: Socket[] = [];
    for (let n = 0; n < 16; n++) silent.push(await dial(house.server.port, "127.0.0.9"));
    const one = await dial(house.server.port, "127.0.0.9");
    assert.equal((await untilClosed(one)).length, 0);
    const other = await dial(house.server.port, "127.0.0.10");
    other.write(encodeFrame(await helloOf(house, 2)));
    const [chunk] = (await once(other, "data")) as [Buffer];
    assert.match(chunk.subarray(HEADER_BYTES, HEADER_BYTES + 20).toString(), /^SIP\/2\.0 401/);
    for (const socket of [...silent, other]) socket.destroy();
  });

  it("closes a line that says nothing for 5 s", async () => {
    const socket = await dial(house.server.port);
    const began = performance.now();
    assert.equal((await untilClosed(socket)).length, 0);
    const waitedMs = performance.now() - began;
    assert.ok(waitedMs > 4_500 && waitedMs < 9_000, `${Math.round(waitedMs)} ms`);
  });

  it("reads what comes in pieces while M1 waits for its signature whole and behind it", async () => {
    const m1 = encodeFrame(await helloOf(house, 2));
    const [first, second] = await Promise.all([dial(house.server.port), dial(house.server.port)]);
    const closed = untilClosed(second);
    first.write(m1); // is signed at once, the next 50 ms later
    await pause(10);
    second.write(Buffer.concat([m1, m1.subarray(0, 10)]));
    await pause(10);
    second.write(m1.subarray(10));
    await closed;
    const metrics = await (await fetch(`http://127.0.0.1:${house.server.healthPort}/metrics`)).text();
    const codes = [...metrics.matchAll(/^feldfon_refused_total\{code="(.*)"\} 1$/gm)].map(([, code]) => code);
    assert.deepEqual(codes, ["out-of-order"]);
    a.telephone.command({ do: "update" });
    assert.equal((await a.heard("updated")).same, true);
  });

  it("keeps nothing of those who go while their M1 waits for the signature", async () => {
    const slots = () => house.serverVault.status().slotsInUse;
    const before = slots();
    const m1 = encodeFrame(await helloOf(house, 2));
    const sockets = await Promise.all(Array.from({ length: 5 }, () => dial(house.server.port)));
    for (const socket of sockets) socket.write(m1);
    // The first is signed at once, the others 50 ms later.
    await pause(15);
    for (const socket of sockets) socket.destroy();
    await pause(150);
    assert.equal(slots(), before);
  });

  it("answers R1 with an unknown id 481 in clear, and closes", async () => {
    const m1 = parseSip(await helloOf(house, 2));
    const body = Buffer.concat([
      Buffer.from([1, 1]),
      Buffer.alloc(16, 7),
      Buffer.alloc(32),
      Buffer.alloc(32),
      Buffer.alloc(1184),
      Buffer.alloc(32),
    ]);
    const socket = await dial(house.server.port);
    const closed = untilClosed(socket);
    socket.write(encodeFrame(encodeSip({ ...m1, feldfon: "r1", callId: hex(16), body } as SipMessage)));
    const [answer] = answersIn(await closed);
    assert.equal(answer?.type === "response" && answer.status, 481);
  });

  it("lets a second line of the same key replace the first, and nobody is confused", async () => {
    const again = await house.phone(1, "Anna");
    await again.connect();
    assert.equal((await a.heard("disconnected")).code, "closed");
    a.telephone.command({ do: "leave" });
    await a.heard("disconnected", ({ code }) => code === "left");
    again.telephone.command({ do: "update" });
    const { directory } = again.connected;
    assert.equal(directory.contacts.length, 1);
  });

  it("refuses a second key under a name that is taken, in words the screen explains", async () => {
    const other = await house.phone(2, "ANNA");
    other.telephone.command({ do: "connect" });
    const { code, retryInMs } = await other.heard("disconnected");
    assert.equal(code, "name-taken");
    assert.equal(retryInMs, undefined);
  });

  it("closes the ids up when a lost handset does not come back within its grace", async () => {
    const sockets: Socket[] = [];
    const cable = createServer((socket) => {
      const onward = connect(house.server.port, "127.0.0.1");
      for (const end of [socket, onward]) end.on("error", () => {});
      socket.pipe(onward).pipe(socket);
      sockets.push(socket, onward);
    });
    cable.listen(0, "127.0.0.1");
    await once(cable, "listening");
    const b = await house.phone(2, "Ben", false, (cable.address() as AddressInfo).port);
    await b.connect();
    await a.heard("directory", ({ changes }) => changes.joined.includes("Ben"));
    cable.close();
    for (const socket of sockets) socket.destroy();
    const { changes } = await a.heard("directory", (event) => event.changes.left.length > 0);
    assert.deepEqual(changes.left, ["Ben"]);
  });

  it("tells everybody when it stops", async () => {
    a.telephone.command({ do: "update" });
    await a.heard("updated");
    const closing = house.server.close();
    assert.equal((await a.heard("disconnected")).code, "server-left");
    await closing;
    a.telephone.command({ do: "leave" });
  });
});

/** M1 of a key of the pool, as a handset would send it. */
async function helloOf(house: Household, keyNumber: number): Promise<Buffer> {
  const vault = new NodeVault();
  const keyPair = await testKeyPair(vault, keyNumber);
  const client = new ChannelClient({ vault, keyPair, serverUid: house.server.serverKey.uid });
  const m1 = client.start();
  assert.ok(lp(keyPair.spki).length === 554);
  client.wipe();
  return m1;
}
