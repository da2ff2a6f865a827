import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { answerHolds, CHALLENGE_BYTES, challengeAnswer, challengeText } from "@feldfon/protocol/seed-profile/challenge";

const vectors = JSON.parse(readFileSync(new URL("../../vectors/seeds.json", import.meta.url), "utf8")).challenge;

describe("the seed's identity challenge", () => {
  it("is 16 random bytes as 24 letters, answered with nine more", () => {
    const random = Buffer.from(vectors.random, "hex");
    assert.equal(random.length, CHALLENGE_BYTES);
    assert.equal(challengeText(random), vectors.text);
    assert.equal(challengeAnswer(vectors.text), vectors.answer);
    assert.equal(answerHolds(vectors.text, vectors.answer), true);
  });

  it("holds for nothing but its whole answer", () => {
    const wrong = [
      "",
      "VALIDATED",
      vectors.text,
      `${vectors.answer} `,
      vectors.answer.slice(0, -1),
      vectors.answer.toLowerCase(),
      `B${vectors.answer.slice(1)}`,
    ];
    for (const answer of wrong) assert.equal(answerHolds(vectors.text, answer), false);
  });
});
