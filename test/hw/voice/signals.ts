/** Sounds made of nothing, and means to look into sounds. */

/** Deterministic noise -1..1 (Mulberry32). */
export function noise(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 31 - 1;
  };
}

/** Something like speech: chirps of changing pitch with bursts of noise and pauses. No two seeds sound alike. */
export function speech(seed: number, samples: number, rateHz = 16_000): Int16Array {
  const random = noise(seed);
  const spoken = new Int16Array(samples);
  for (let at = 0; at < samples; ) {
    const length = Math.round(rateHz * (0.08 + 0.1 * Math.abs(random())));
    const [fromHz, toHz] = [300 + 900 * Math.abs(random()), 300 + 2500 * Math.abs(random())];
    const kind = random();
    for (let n = 0; n < length && at < samples; n++, at++) {
      const edge = Math.sin((Math.PI * n) / length);
      const phase = (2 * Math.PI * (fromHz * n + ((toHz - fromHz) * n * n) / (2 * length))) / rateHz;
      const voiced = kind < 0.5 ? Math.sin(phase) : random();
      spoken[at] = kind > 0.8 ? 0 : Math.round(9000 * edge * voiced);
    }
  }
  return spoken;
}

export function sine(hz: number, samples: number, rateHz: number, peak: number): Float32Array {
  return Float32Array.from({ length: samples }, (_, at) => peak * Math.sin((2 * Math.PI * hz * at) / rateHz));
}

/** Peak of one frequency in a piece of sound (Goertzel). */
export function peakAt(hz: number, samples: ArrayLike<number>, rateHz: number): number {
  const turn = (2 * Math.PI * hz) / rateHz;
  let [last, before] = [0, 0];
  for (let at = 0; at < samples.length; at++) {
    [last, before] = [samples[at]! + 2 * Math.cos(turn) * last - before, last];
  }
  const power = last * last + before * before - 2 * Math.cos(turn) * last * before;
  return (2 * Math.sqrt(Math.max(0, power))) / samples.length;
}

export function largestStep(samples: Int16Array): number {
  let largest = 0;
  for (let at = 1; at < samples.length; at++) largest = Math.max(largest, Math.abs(samples[at]! - samples[at - 1]!));
  return largest;
}

export function largest(samples: Int16Array): number {
  return samples.reduce((most, sample) => Math.max(most, Math.abs(sample)), 0);
}

export function joined(...parts: Int16Array[]): Int16Array {
  return Int16Array.from(parts.flatMap((part) => [...part]));
}
