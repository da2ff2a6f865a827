import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { connect, createServer, type Server, type Socket } from "node:net";
import { LineProxy } from "@feldfon/simulator/proxy";

const HOST = "127.0.0.1";

describe("simulator line", () => {
  let server: Server;
  let proxy: LineProxy;
  const ends: Socket[] = [];

  /** A server that says everything back. */
  beforeEach(async () => {
    server = createServer((socket) => socket.on("error", () => {}).pipe(socket)).listen(0, HOST);
    await once(server, "listening");
    proxy = await LineProxy.open((server.address() as { port: number }).port);
  });
  afterEach(() => {
    for (const end of ends.splice(0)) end.destroy();
    proxy.close();
    server.close();
  });

  async function line(): Promise<Socket> {
    const socket = connect(proxy.port, HOST).on("error", () => {});
    ends.push(socket);
    await once(socket, "connect");
    return socket;
  }

  async function answerTo(socket: Socket, text: string): Promise<string | undefined> {
    const answer = once(socket, "data").then(([data]) => String(data));
    socket.write(text);
    return Promise.race([answer, new Promise<undefined>((resolve) => setTimeout(resolve, 80, undefined))]);
  }

  it("carries both ways while it is whole", async () => {
    assert.equal(await answerTo(await line(), "hello"), "hello");
  });

  it("closes in order, and takes new lines at once", async () => {
    const socket = await line();
    assert.equal(await answerTo(socket, "one"), "one");
    proxy.finish();
    await once(socket, "end");
    assert.equal(await answerTo(await line(), "two"), "two");
  });

  for (const way of ["up", "down"] as const) {
    it(`swallows what goes ${way} on a lost line and tells neither end, and takes new lines at once`, async () => {
      const said: string[] = [];
      const ends = new Promise<Socket>((resolve) =>
        server.once("connection", (end: Socket) => {
          end.on("data", (data) => said.push(String(data)));
          resolve(end);
        }),
      );
      const socket = await line();
      assert.equal(await answerTo(socket, "one"), "one");
      const serverEnd = await ends;
      proxy.lose(way);
      assert.equal(await answerTo(socket, "two"), undefined);
      assert.deepEqual(said, way === "up" ? ["one"] : ["one", "two"]);
      const [closer, other] = way === "up" ? [socket, serverEnd] : [serverEnd, socket];
      closer.destroy();
      assert.equal(await answerTo(await line(), "three"), "three");
      assert.equal(other.destroyed, false);
    });
  }

  it("breaks at once when it is cut, lets nobody through, and is whole again", async () => {
    const socket = await line();
    assert.equal(await answerTo(socket, "one"), "one");
    proxy.cut();
    await new Promise((resolve) => socket.once("close", resolve));
    const [refused] = (await once(connect(proxy.port, HOST), "error")) as [NodeJS.ErrnoException];
    assert.equal(refused.code, "ECONNRESET");
    proxy.restore();
    assert.equal(await answerTo(await line(), "two"), "two");
  });

  it("holds everything back in a dead spot, and brings it afterwards", async () => {
    const socket = await line();
    assert.equal(await answerTo(socket, "one"), "one");
    proxy.stall();
    assert.equal(await answerTo(socket, "two"), undefined);
    const late = once(socket, "data");
    proxy.restore();
    assert.equal(String((await late)[0]), "two");
  });

  it("carries voice under the same number, and cuts it too", async () => {
    const relay = createSocket("udp4");
    relay.on("message", (packet, from) => relay.send(packet, from.port, HOST));
    relay.bind((server.address() as { port: number }).port, HOST);
    await once(relay, "listening");
    const handset = createSocket("udp4");
    const heard: string[] = [];
    handset.on("message", (packet) => heard.push(String(packet)));
    const send = async (text: string): Promise<void> => {
      handset.send(text, proxy.port, HOST);
      await new Promise((resolve) => setTimeout(resolve, 40));
    };
    await send("one");
    proxy.cut();
    await send("two");
    proxy.restore();
    await send("three");
    handset.close();
    relay.close();
    assert.deepEqual(heard, ["one", "three"]);
  });
});
