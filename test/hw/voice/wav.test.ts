import assert from "node:assert/strict";
import { mkdtemp, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import type { DeviceError } from "@feldfon/protocol/errors";
import { encodeWav, parseWav, WavRecording } from "@feldfon/voice/wav";
import fc from "fast-check";
import { speech } from "./signals.ts";

const refused = { name: "DeviceError", code: "bad-wav" };

interface Layout {
  code?: number;
  channels?: number;
  rateHz?: number;
  bits?: number;
  blockBytes?: number;
  data?: number[];
}

function chunk(id: string, body: Uint8Array, sizeSaid = body.length): Buffer {
  const head = Buffer.alloc(8);
  head.write(id, "latin1");
  head.writeUInt32LE(sizeSaid, 4);
  return Buffer.concat([head, body, Buffer.alloc(body.length % 2)]);
}

function format({
  code = 1,
  channels = 1,
  rateHz = 8000,
  bits = 16,
  blockBytes = (channels * bits) / 8,
}: Layout): Buffer {
  const body = Buffer.alloc(16);
  body.writeUInt16LE(code, 0);
  body.writeUInt16LE(channels, 2);
  body.writeUInt32LE(rateHz, 4);
  body.writeUInt32LE(rateHz * blockBytes, 8);
  body.writeUInt16LE(blockBytes, 12);
  body.writeUInt16LE(bits, 14);
  return body;
}

function riff(...chunks: Buffer[]): Buffer {
  return chunk("RIFF", Buffer.concat([Buffer.from("WAVE"), ...chunks]));
}

function wav(layout: Layout): Buffer {
  return riff(chunk("fmt ", format(layout)), chunk("data", Buffer.from(layout.data ?? [1, 2, 3, 4])));
}

describe("WAV files", () => {
  it("come back as they were written", () => {
    const samples = speech(1, 2000);
    const { rateHz, samples: read } = parseWav(encodeWav(samples, 16_000));
    assert.equal(rateHz, 16_000);
    assert.deepEqual([...read], [...samples]);
  });

  it("are written with this header", () => {
    assert.equal(
      encodeWav(Int16Array.of(1, -2), 16_000).toString("hex"),
      "524946462800000057415645666d74201000000001000100803e0000007d0000020010006461746104000000" + "0100feff",
    );
  });

  const layouts: [what: string, layout: Layout, samples: number[]][] = [
    ["8 bits, unsigned", { bits: 8, data: [0, 128, 255] }, [-32768, 0, 32512]],
    ["16 bits", { data: [0, 0x80, 0xff, 0x7f] }, [-32768, 32767]],
    ["24 bits", { bits: 24, data: [0, 0, 0x80, 0xff, 0xff, 0x7f, 0x80, 0, 0] }, [-32768, 32767 + 255 / 256, 0.5]],
    ["two channels, averaged", { channels: 2, data: [2, 0, 4, 0, 0xff, 0xff, 0xfd, 0xff] }, [3, -2]],
    ["24 bits of two channels", { bits: 24, channels: 2, data: [0, 1, 0, 0, 3, 0] }, [2]],
    ["a block that is cut, left out", { data: [1, 0, 9] }, [1]],
  ];
  for (const [what, layout, samples] of layouts) {
    it(`are read with ${what}`, () => assert.deepEqual([...parseWav(wav(layout)).samples], samples));
  }

  it("are read in the extensible form and past chunks that mean nothing here", () => {
    const extensible = Buffer.concat([format({ code: 0xfffe }), Buffer.alloc(24)]);
    extensible.writeUInt16LE(22, 16);
    extensible.writeUInt16LE(1, 24);
    const file = riff(
      chunk("LIST", Buffer.from("odd")),
      chunk("fmt ", extensible),
      chunk("data", Buffer.of(5, 0)),
      chunk("id3 ", Buffer.alloc(4)),
    );
    assert.deepEqual([...parseWav(file).samples], [5]);
  });

  const rubbish: Record<string, Buffer> = {
    "an empty file": Buffer.alloc(0),
    "something else": Buffer.from("OggS and more of it, quite a bit more"),
    "RIFF of another kind": chunk("RIFF", Buffer.from("AVI nothing")),
    "no samples": riff(chunk("fmt ", format({}))),
    "samples before their format": riff(chunk("data", Buffer.alloc(4)), chunk("fmt ", format({}))),
    "a short format": riff(chunk("fmt ", Buffer.alloc(14)), chunk("data", Buffer.alloc(4))),
    "samples that are cut": riff(chunk("fmt ", format({})), chunk("data", Buffer.alloc(4), 400)),
    "another coding": wav({ code: 3 }),
    "a law": wav({ code: 7, bits: 8 }),
    "no channel": wav({ channels: 0, blockBytes: 2 }),
    "six channels": wav({ channels: 6 }),
    "32 bits": wav({ bits: 32 }),
    "a rate of 0": wav({ rateHz: 0 }),
    "a rate of a megahertz": wav({ rateHz: 1_000_000 }),
    "blocks of another size": wav({ blockBytes: 3 }),
  };
  for (const [what, file] of Object.entries(rubbish)) {
    it(`are refused with ${what}`, () => assert.throws(() => parseWav(file), refused));
  }

  it("parse or are refused, whatever comes", () => {
    const whole = wav({ bits: 24, channels: 2, data: Array(24).fill(7) });
    const damaged = fc
      .array(fc.tuple(fc.nat(whole.length - 1), fc.nat(255)), { minLength: 1, maxLength: 4 })
      .map((places) => {
        const copy = Buffer.from(whole);
        for (const [at, value] of places) copy[at] = value;
        return copy;
      });
    const cut = fc.nat(whole.length).map((bytes) => whole.subarray(0, bytes));
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array({ maxLength: 100 }), damaged, cut), (bytes) => {
        try {
          assert.ok(parseWav(bytes).samples.every((sample) => Math.abs(sample) <= 32768));
        } catch (error) {
          assert.equal((error as DeviceError).code, "bad-wav");
        }
      }),
      { numRuns: 1000 },
    );
  });
});

describe("Recording", () => {
  let folder: string;
  const errors: DeviceError[] = [];
  const create = (name: string) => WavRecording.create(path.join(folder, name), 16_000, (error) => errors.push(error));
  beforeEach(async () => {
    folder = await mkdtemp(path.join(tmpdir(), "feldfon-wav-"));
    errors.length = 0;
  });
  afterEach(() => rm(folder, { recursive: true }));

  it("is the file that was played, readable by its owner only", async () => {
    const samples = speech(2, 40_000);
    const recording = await create("a.wav");
    for (let at = 0; at < samples.length; at += 320) recording.append(samples.subarray(at, at + 320));
    await recording.close();
    assert.deepEqual(await readFile(path.join(folder, "a.wav")), encodeWav(samples, 16_000));
    assert.equal((await stat(path.join(folder, "a.wav"))).mode & 0o777, 0o600);
  });

  it("replaces an older, longer one", async () => {
    for (const samples of [5000, 320]) {
      const recording = await create("a.wav");
      recording.append(new Int16Array(samples));
      await recording.close();
    }
    assert.equal((await stat(path.join(folder, "a.wav"))).size, 44 + 640);
  });

  it("can be read while it grows, a second at a time", async () => {
    const samples = speech(3, 16_000);
    const recording = await create("a.wav");
    recording.append(samples);
    let read = parseWav(await readFile(path.join(folder, "a.wav"))).samples;
    for (let tries = 0; read.length === 0 && tries < 200; tries++) {
      await new Promise((resolve) => setTimeout(resolve, 5));
      read = parseWav(await readFile(path.join(folder, "a.wav"))).samples;
    }
    assert.deepEqual([...read], [...samples]);
    await recording.close();
  });

  it("says once that the disk is full, and lets the voice go on", async () => {
    const recording = await WavRecording.create("/dev/full", 16_000, (error) => errors.push(error));
    for (let second = 0; second < 3; second++) recording.append(new Int16Array(16_000));
    await recording.close();
    assert.deepEqual(
      errors.map(({ code }) => code),
      ["record-failed"],
    );
  });

  it("is refused where no file can be", async () => {
    await assert.rejects(create("no/such/folder.wav"), { name: "DeviceError", code: "record-failed" });
  });
});
