import assert from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { setImmediate as turn } from "node:timers/promises";
import { takeFrame } from "@feldfon/protocol/frame-memory";
import { type DropReason, OUTBOX_BYTES, Outbox, STALL_TICKS, type Wire } from "@feldfon/server/outbox";

/** A socket whose other end reads when it is told to. */
class SlowWire implements Wire {
  /** Pieces of each write to the system: one, or what was corked together. */
  readonly writes: Buffer[][] = [];
  state: "open" | "ended" | "destroyed" = "open";
  #corked: { piece: Buffer; written: (error?: Error | null) => void }[] | undefined;
  #waiting: ((error?: Error | null) => void)[][] = [];

  write(piece: Uint8Array, written: (error?: Error | null) => void = () => {}): boolean {
    const alone = this.#corked === undefined;
    if (alone) this.cork();
    this.#corked!.push({ piece: Buffer.from(piece), written });
    if (alone) this.uncork();
    return true;
  }

  cork(): void {
    this.#corked = [];
  }

  uncork(): void {
    const gathered = this.#corked!;
    this.#corked = undefined;
    this.writes.push(gathered.map(({ piece }) => piece));
    this.#waiting.push(gathered.map(({ written }) => written));
  }

  end(): void {
    this.state = "ended";
  }

  destroy(): void {
    this.state = "destroyed";
  }

  /** The system has taken the oldest write. */
  take(error?: Error): void {
    for (const written of this.#waiting.shift() ?? []) written(error);
  }

  get bytes(): Buffer {
    return Buffer.concat(this.writes.flat());
  }
}

function world(limitBytes?: number) {
  const wire = new SlowWire();
  const drops: DropReason[] = [];
  const outbox = new Outbox({
    wire,
    onDrop: (reason) => drops.push(reason),
    ...(limitBytes === undefined ? {} : { limitBytes }),
  });
  return { wire, drops, outbox };
}

function tick(outbox: Outbox, times: number): void {
  for (let n = 0; n < times; n++) outbox.tick();
}

const frame = (n: number, bytes = 100) => Buffer.alloc(bytes, n);

describe("Outbox", () => {
  it("gathers all frames of one turn of the loop into one write, in order", async () => {
    const { wire, outbox } = world();
    for (let n = 0; n < 20; n++) outbox.send(frame(n));
    assert.equal(wire.writes.length, 0, "nothing before the turn is over");
    await turn();
    assert.equal(wire.writes.length, 1);
    assert.deepEqual(wire.bytes, Buffer.concat(Array.from({ length: 20 }, (_, n) => frame(n))));
  });

  it("gathers again what comes while a write is under way", async () => {
    const { wire, outbox } = world();
    outbox.send(frame(1));
    await turn();
    outbox.send(frame(2));
    outbox.send(frame(3));
    await turn();
    assert.equal(wire.writes.length, 1);
    wire.take();
    assert.deepEqual(wire.writes[1], [frame(2), frame(3)]);
    assert.equal(outbox.waitingBytes, 200);
    wire.take();
    assert.equal(outbox.waitingBytes, 0);
  });

  it("cuts large frames into pieces and loses no byte", async () => {
    const { wire, outbox } = world();
    const large = Buffer.from(Array.from({ length: 300_000 }, (_, at) => at % 251));
    outbox.send(frame(7));
    outbox.send(large);
    outbox.send(frame(8));
    await turn();
    while (outbox.waitingBytes > 0) wire.take();
    assert.deepEqual(wire.bytes, Buffer.concat([frame(7), large, frame(8)]));
    for (const pieces of wire.writes) assert.ok(Buffer.concat(pieces).length <= 128 * 1024);
  });

  it("gives a frame's memory back when its last byte has gone, and not before", async () => {
    const { wire, outbox } = world();
    const sent = [takeFrame(20 * 1024), takeFrame(100 * 1024)].map((frame) => frame.fill(1));
    const { buffer } = sent[1]!;
    for (const frame of sent) outbox.send(frame);
    await turn();
    while (outbox.waitingBytes > 0) {
      assert.notEqual(takeFrame(100 * 1024).buffer, buffer);
      wire.take();
    }
    assert.equal(takeFrame(100 * 1024).buffer, buffer);
    assert.equal(takeFrame(20 * 1024).buffer, sent[0]!.buffer);
  });

  it("keeps no memory of a frame whose line broke: it may still be on its way", async () => {
    const { wire, outbox } = world();
    const sent = takeFrame(100 * 1024);
    outbox.send(sent);
    await turn();
    wire.take(new Error("EPIPE"));
    assert.notEqual(takeFrame(100 * 1024).buffer, sent.buffer);
  });

  it("drops the line at the limit, says why once, and keeps nothing", async () => {
    const { wire, drops, outbox } = world(1_000);
    outbox.send(frame(1, 600));
    await turn();
    outbox.send(frame(2, 400));
    assert.deepEqual(drops, []);
    outbox.send(frame(3, 1));
    assert.deepEqual(drops, ["outbox-full"]);
    assert.equal(wire.state, "destroyed");
    assert.equal(outbox.waitingBytes, 0);
    outbox.send(frame(4, 5_000));
    wire.take();
    await turn();
    tick(outbox, 2 * STALL_TICKS);
    assert.deepEqual(drops, ["outbox-full"]);
    assert.equal(wire.writes.length, 1);
  });

  it("has room for two snapshots of a large directory when it is told their size", async () => {
    const { drops, outbox } = world();
    outbox.limitBytes = 2 * 6_000_000;
    outbox.send(frame(1, 6_000_000));
    outbox.send(frame(1, 6_000_000));
    assert.deepEqual(drops, []);
    assert.ok(OUTBOX_BYTES < 12_000_000);
  });

  it("drops a line of which nothing has gone for 10 s (row 003-70)", async () => {
    const { wire, drops, outbox } = world();
    outbox.send(frame(1));
    await turn();
    tick(outbox, STALL_TICKS);
    assert.deepEqual(drops, []);
    tick(outbox, 1);
    assert.deepEqual(drops, ["no-progress"]);
    assert.equal(wire.state, "destroyed");
  });

  it("is patient with a line that is slow and gets on", async () => {
    const { wire, drops, outbox } = world();
    outbox.send(frame(1, 1280 * 1024));
    await turn();
    for (let piece = 0; piece < 10; piece++) {
      tick(outbox, STALL_TICKS);
      wire.take();
    }
    assert.equal(outbox.waitingBytes, 0);
    tick(outbox, 10 * STALL_TICKS);
    assert.deepEqual(drops, [], "an idle line may be silent");
  });

  it("sends what waits before it ends the line", async () => {
    const { wire, outbox } = world();
    outbox.send(frame(1));
    const ended = outbox.end();
    outbox.send(frame(2));
    await turn();
    assert.equal(wire.state, "open");
    wire.take();
    await ended;
    assert.equal(wire.state, "ended");
    assert.deepEqual(wire.bytes, frame(1));
    await outbox.end();
  });

  it("does not wait for ever with that", async () => {
    const { wire, drops, outbox } = world();
    outbox.send(frame(1));
    const ended = outbox.end();
    await turn();
    tick(outbox, STALL_TICKS + 1);
    await ended;
    assert.deepEqual(drops, ["no-progress"]);
    assert.equal(wire.state, "destroyed");
  });

  it("is quiet when the line breaks: its owner hears of that from the line", async () => {
    const { wire, drops, outbox } = world();
    outbox.send(frame(1));
    await turn();
    const ended = outbox.end();
    wire.take(new Error("EPIPE"));
    await ended;
    tick(outbox, 2 * STALL_TICKS);
    assert.deepEqual(drops, []);
  });
});

describe("Outbox on real sockets", () => {
  it("drops the client that does not read, and the other has long had everything", async () => {
    const sockets: Socket[] = [];
    const server = createServer((socket) => sockets.push(socket.on("error", () => {}))).listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    const clients = [connect(port, "127.0.0.1"), connect(port, "127.0.0.1")];
    for (const client of clients) client.on("error", () => {});
    try {
      await Promise.all(clients.map((client) => once(client, "connect")));
      while (sockets.length < 2) await turn();
      const [deaf, reading] = clients as [Socket, Socket];
      const ofDeaf = sockets.find(({ remotePort }) => remotePort === deaf.localPort)!;
      deaf.pause();
      let read = 0;
      reading.on("data", (chunk) => {
        read += chunk.length;
      });
      const drops: string[] = [];
      const outboxes = sockets.map(
        (wire) =>
          new Outbox({
            wire,
            limitBytes: 64 * 1024 * 1024,
            onDrop: (reason) => drops.push(`${wire === ofDeaf} ${reason}`),
          }),
      );
      const large = Buffer.alloc(16 * 1024 * 1024, 1);
      for (const outbox of outboxes) outbox.send(large);
      while (read < large.length) await turn();
      assert.deepEqual(drops, []);
      const toReading = outboxes[sockets.indexOf(ofDeaf) === 0 ? 1 : 0]!;
      while (toReading.waitingBytes > 0) await turn();
      const closed = once(ofDeaf, "close");
      for (const outbox of outboxes) tick(outbox, STALL_TICKS + 1);
      await closed;
      assert.deepEqual(drops, ["true no-progress"]);
      toReading.send(frame(1));
      while (read < large.length + 100) await turn();
    } finally {
      for (const socket of [...clients, ...sockets]) socket.destroy();
      server.close();
    }
  });
});
