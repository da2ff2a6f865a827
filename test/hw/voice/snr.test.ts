import assert from "node:assert/strict";
import { compareVoice, compareVoicePieces } from "@feldfon/voice/snr";
import { joined, noise, speech } from "./signals.ts";

const said = speech(1, 16_000);
const silence = (samples: number) => new Int16Array(samples);

describe("Comparison of what was said and heard", () => {
  for (const delaySamples of [0, 1, 319, 12_345]) {
    it(`finds it ${delaySamples} samples later, the same sample by sample`, () => {
      const heard = joined(silence(delaySamples), said, silence(777));
      assert.deepEqual(compareVoice(said, heard), { found: true, delaySamples, snrDb: 99 });
    });
  }

  it("finds it between other voices", () => {
    const heard = joined(speech(2, 20_000), said, speech(3, 20_000));
    assert.deepEqual(compareVoice(said, heard), { found: true, delaySamples: 20_000, snrDb: 99 });
  });

  it("finds it behind a louder tone", () => {
    const tone = Int16Array.from({ length: 30_000 }, (_, at) => 30_000 * Math.sin(at / 6));
    assert.deepEqual(compareVoice(said, joined(tone, said)), { found: true, delaySamples: 30_000, snrDb: 99 });
  });

  for (const snrDb of [40, 20, 3]) {
    it(`measures ${snrDb} dB of noise`, () => {
      const random = noise(4);
      const unscaled = Float64Array.from(said, () => random());
      const power = (samples: ArrayLike<number>) => Array.from(samples).reduce((sum, sample) => sum + sample ** 2, 0);
      const scale = Math.sqrt(power(said) / power(unscaled) / 10 ** (snrDb / 10));
      const heard = joined(silence(100), said).map((sample, at) =>
        Math.round(sample + (at < 100 ? 0 : scale * unscaled[at - 100]!)),
      );
      const { found, delaySamples, snrDb: measured } = compareVoice(said, heard);
      assert.ok(found);
      assert.equal(delaySamples, 100);
      assert.ok(Math.abs(measured - snrDb) < 0.2, `${measured} dB`);
    });
  }

  it("notices one sample that is off by one", () => {
    const heard = Int16Array.from(said);
    heard[8000]!++;
    const { found, snrDb } = compareVoice(said, heard);
    assert.ok(found && snrDb > 80 && snrDb < 99.1, `${snrDb} dB`);
  });

  it("notices 20 ms that are missing", () => {
    const heard = Int16Array.from(said).fill(0, 3200, 3520);
    const { found, delaySamples, snrDb } = compareVoice(said, heard);
    assert.ok(found && delaySamples === 0 && snrDb < 40, `${snrDb} dB`);
  });

  it("counts a missing beginning or end as silence that was heard", () => {
    const end = compareVoice(said, said.subarray(0, 12_000));
    assert.ok(end.found && end.delaySamples === 0 && end.snrDb < 20);
    const beginning = compareVoice(said, said.subarray(4000));
    assert.ok(beginning.found && beginning.delaySamples === -4000 && beginning.snrDb < 20);
  });

  it("does not find another voice, nor anything in silence", () => {
    const nothing = { found: false, delaySamples: 0, snrDb: 0 };
    assert.deepEqual(compareVoice(said, speech(5, 32_000)), nothing);
    assert.deepEqual(compareVoice(said, silence(32_000)), nothing);
    assert.deepEqual(compareVoice(silence(16_000), said), nothing);
    assert.deepEqual(compareVoice(silence(0), said), nothing);
    assert.deepEqual(compareVoice(said, silence(0)), nothing);
  });

  describe("piece by piece", () => {
    const gap = joined(silence(500), said.subarray(0, 7_000), silence(960), said.subarray(7_000));

    it("bears a moment in which nothing came, and the shift behind it", () => {
      assert.ok(compareVoice(said, gap).snrDb < 20);
      assert.equal(compareVoicePieces(said, gap, 4_000), 99);
    });

    it("notices what lasts: noise, another voice, silence, half of it missing", () => {
      const random = noise(5);
      const noisy = said.map((sample) => sample + 2_000 * random());
      for (const [what, heard] of Object.entries({ noisy, other: speech(2, 16_000), silent: silence(16_000) })) {
        assert.ok(compareVoicePieces(said, heard, 4_000) < 20, what);
      }
      assert.ok(compareVoicePieces(said, said.subarray(0, 7_000), 4_000) < 20);
    });

    it("leaves out what is nearly silent", () => {
      const paused = joined(said.subarray(0, 4_000), silence(12_000));
      assert.equal(compareVoicePieces(paused, paused, 4_000), 99);
      assert.equal(compareVoicePieces(silence(8_000), silence(8_000), 4_000), 0);
    });
  });
});
