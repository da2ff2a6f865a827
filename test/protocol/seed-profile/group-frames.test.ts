import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { readFileSync } from "node:fs";
import { concat, u8, u16, u32 } from "@feldfon/protocol/bytes";

const vectors = JSON.parse(readFileSync(new URL("../../vectors/seeds.json", import.meta.url), "utf8")).groupFrames;

describe("the frames of seed 002, recorded for the issue that builds groups", () => {
  const frame = (type: number, number: number, payload: Buffer) =>
    concat(u8(type), u16(number), u16(payload.length), payload).toString("hex");

  it("are header, payload and end as their fields say", () => {
    const topic = Buffer.from(vectors.topic);
    const header = concat(
      u8(vectors.messageType),
      Buffer.from(vectors.macAlgorithm, "hex"),
      u32(vectors.messageNumber),
      u16(topic.length),
      topic,
    );
    assert.deepEqual(
      [frame(0, 0, header), frame(1, 1, Buffer.from(vectors.payload)), frame(2, 2, Buffer.alloc(0))],
      vectors.frames.map((one: { frame: string }) => one.frame),
    );
  });

  it("carry a whole HMAC-SHA-256", () => {
    for (const { frame, mac } of vectors.frames) {
      const key = Buffer.from(vectors.macKey, "hex");
      assert.equal(createHmac("sha256", key).update(Buffer.from(frame, "hex")).digest("hex"), mac);
    }
  });
});
