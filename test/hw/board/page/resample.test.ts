import assert from "node:assert/strict";
import { StreamResampler } from "@feldfon/hw/board/page/resample";
import fc from "fast-check";

function tone(hz: number, rateHz: number, samples: number): Float32Array {
  return Float32Array.from({ length: samples }, (_, at) => Math.sin((2 * Math.PI * hz * at) / rateHz));
}

function through(fromHz: number, toHz: number, input: Float32Array, piece = 128): Float32Array {
  const resampler = new StreamResampler(fromHz, toHz);
  const parts: number[] = [];
  for (let at = 0; at < input.length; at += piece) parts.push(...resampler.push(input.subarray(at, at + piece)));
  return Float32Array.from(parts);
}

/** Without the beginning and the end. */
function middle(samples: Float32Array): Float32Array {
  return samples.subarray(Math.floor(samples.length / 4), Math.floor((3 * samples.length) / 4));
}

function levelDb(samples: Float32Array): number {
  return 10 * Math.log10(samples.reduce((sum, sample) => sum + sample * sample, 0) / samples.length);
}

describe("page resampler", () => {
  for (const deviceHz of [44_100, 48_000, 96_000]) {
    it(`brings a voice to 16 kHz from ${deviceHz} Hz and back, as loud as it was`, () => {
      for (const hz of [300, 1_000, 3_400]) {
        const down = through(deviceHz, 16_000, tone(hz, deviceHz, deviceHz / 2));
        assert.ok(Math.abs(levelDb(middle(down)) + 3.01) < 0.2, `${hz} Hz down`);
        const up = through(16_000, deviceHz, tone(hz, 16_000, 8_000));
        assert.ok(Math.abs(levelDb(middle(up)) + 3.01) < 0.2, `${hz} Hz up`);
        assert.ok(Math.abs(down.length - 8_000) < 50);
        assert.ok(Math.abs(up.length - deviceHz / 2) < 150);
      }
    });

    it(`lets nothing fold back from ${deviceHz} Hz, and makes no images on the way up`, () => {
      assert.ok(levelDb(middle(through(deviceHz, 16_000, tone(12_000, deviceHz, deviceHz / 2)))) < -45);
      const up = middle(through(16_000, deviceHz, tone(1_000, 16_000, 8_000)));
      const wanted = middle(tone(1_000, deviceHz, up.length * 2));
      // The same tone at another phase: what the best fitting tone leaves over is the images.
      let [sine, cosine] = [0, 0];
      for (const [at, sample] of up.entries()) {
        sine += (2 * sample * Math.sin((2 * Math.PI * 1_000 * at) / deviceHz)) / up.length;
        cosine += (2 * sample * Math.cos((2 * Math.PI * 1_000 * at) / deviceHz)) / up.length;
      }
      const rest = up.map((sample, at) => {
        const turn = (2 * Math.PI * 1_000 * at) / deviceHz;
        return sample - sine * Math.sin(turn) - cosine * Math.cos(turn);
      });
      assert.ok(levelDb(rest) < -40, `${levelDb(rest)} dB of ${levelDb(wanted)}`);
    });
  }

  it("does not care in which pieces the samples come", () => {
    const input = tone(700, 48_000, 4_800);
    const whole = through(48_000, 16_000, input, input.length);
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 700 }), (piece) => {
        const parts = through(48_000, 16_000, input, piece);
        assert.equal(parts.length, whole.length);
        assert.ok(parts.every((sample, at) => Math.abs(sample - whole[at]!) < 0.01));
      }),
      { numRuns: 20 },
    );
  });
});
