import assert from "node:assert/strict";
import { Resampler } from "@feldfon/voice/resample";
import fc from "fast-check";
import { largest, peakAt, sine } from "./signals.ts";

/** Signal to error in dB against the same sine made at the other rate, edges left aside. */
function fidelityDb(hz: number, fromHz: number, toHz: number): number {
  const resampler = new Resampler(sine(hz, Math.ceil(fromHz / 8), fromHz, 10_000), fromHz, toHz);
  const got = resampler.read(0, resampler.length);
  const wanted = sine(hz, resampler.length, toHz, 10_000);
  let [signal, error] = [0, 0];
  for (let at = 400; at < got.length - 400; at++) {
    signal += wanted[at]! ** 2;
    error += (wanted[at]! - got[at]!) ** 2;
  }
  return 10 * Math.log10(signal / error);
}

describe("Resampler", () => {
  for (const fromHz of [8000, 11_025, 22_050, 32_000, 44_100, 48_000, 96_000, 16_001]) {
    it(`keeps what can be kept from ${fromHz} Hz: 300 and 3,000 Hz within 70 dB`, () => {
      for (const hz of [300, 3000]) {
        const db = fidelityDb(hz, fromHz, 16_000);
        assert.ok(db > 70, `${hz} Hz: ${db.toFixed(1)} dB`);
      }
    });
  }

  it("keeps 6,500 Hz from 48 kHz", () => {
    const db = fidelityDb(6500, 48_000, 16_000);
    assert.ok(db > 60, `${db.toFixed(1)} dB`);
  });

  for (const hz of [8100, 9000, 12_000, 15_500, 23_000]) {
    it(`lets nothing of ${hz} Hz fold back`, () => {
      const resampler = new Resampler(sine(hz, 24_000, 48_000, 20_000), 48_000, 16_000);
      const inside = resampler.read(400, resampler.length - 800);
      assert.ok(largest(inside) <= 4, `${largest(inside)} of 20,000`);
    });
  }

  it("makes no images when it goes up", () => {
    const resampler = new Resampler(sine(3000, 4000, 8000, 20_000), 8000, 16_000);
    const inside = resampler.read(400, resampler.length - 800);
    assert.ok(peakAt(5000, inside, 16_000) < 4);
  });

  it("leaves 16 kHz as it is, sample by sample", () => {
    const input = Float32Array.from({ length: 1000 }, (_, at) => ((at * 7919) % 65536) - 32768);
    assert.deepEqual([...new Resampler(input, 16_000, 16_000).read(0, 1000)], [...input]);
  });

  it("leaves a constant constant", () => {
    const resampler = new Resampler(new Float32Array(4410).fill(1234), 44_100, 16_000);
    assert.ok(resampler.read(100, 1400).every((sample) => sample === 1234));
  });

  it("clips instead of wrapping round", () => {
    const resampler = new Resampler(Float32Array.of(40_000, -40_000), 16_000, 16_000);
    assert.deepEqual([...resampler.read(0, 2)], [32767, -32768]);
  });

  it("has as many samples as the time asks for, silence behind them", () => {
    const resampler = new Resampler(new Float32Array(44_100).fill(5000), 44_100, 16_000);
    assert.equal(resampler.length, 16_000);
    assert.deepEqual([...resampler.read(16_000, 3)], [0, 0, 0]);
    assert.equal(new Resampler(new Float32Array(0), 44_100, 16_000).length, 0);
  });

  it("gives the same samples at once or in pieces", () => {
    const resampler = new Resampler(sine(700, 4410, 44_100, 9000), 44_100, 16_000);
    const whole = resampler.read(0, resampler.length);
    fc.assert(
      fc.property(fc.nat(whole.length), fc.integer({ min: 1, max: 320 }), (first, n) => {
        const piece = resampler.read(first, n).subarray(0, Math.max(0, whole.length - first));
        assert.deepEqual(piece, whole.subarray(first, first + n));
      }),
    );
  });
});
