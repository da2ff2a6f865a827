/** Reads the object that `npm run demo -- --json` ends with and says what in it is not as it must be. */
import assert from "node:assert/strict";
import { text } from "node:stream/consumers";

interface Call {
  setupMs: number;
  packets: number | Record<string, number>;
  packetSizes: number[];
  lost: number | Record<string, number>;
  snrDb: { a: number; b: number };
  sas: { a: unknown; b: unknown };
  erased: string[];
}

const result = JSON.parse(await text(process.stdin)) as {
  ok: boolean;
  steps: { step: string; ms: number }[];
  root: { a: string; b: string; server: string };
  calls: Call[];
  vault: { a: string; b: string; server: string };
};

assert.equal(result.ok, true, "the demo says it went wrong");
for (const step of ["1", "1.1", "2", "3", "4", "5", "6", "7", "8"]) {
  const found = result.steps.find((one) => String(one.step) === step);
  assert.ok(found && found.ms >= 0, `connect's step ${step} is missing`);
}
assert.match(result.root.server, /^[0-9a-f]{64}$/, "the server's root");
assert.equal(result.root.a, result.root.server, "A's root is another than the server's");
assert.equal(result.root.b, result.root.server, "B's root is another than the server's");

assert.ok(result.calls.length >= 2, `${result.calls.length} calls instead of two`);
const seen = new Set<string>();
for (const call of result.calls) {
  assert.deepEqual(call.sas.a, call.sas.b, "the two displays show different numbers");
  seen.add(JSON.stringify(call.sas.a));
  assert.equal(call.packetSizes.length, 1, `packets of ${call.packetSizes.length} sizes`);
  assert.deepEqual([...call.erased].sort(), ["a", "b", "server"], "not everybody reported the keys wiped");
  for (const [end, snrDb] of Object.entries(call.snrDb)) {
    assert.ok(snrDb > 20, `what ${end} heard is ${snrDb} dB from what was spoken`);
  }
}
assert.equal(seen.size, result.calls.length, "a call had the keys of another");
for (const end of ["a", "b", "server"] as const) assert.match(result.vault[end], /^(memfd_secret|locked|degraded)$/);

const vaults = Object.values(result.vault).join(", ");
console.log(`demo: ${result.calls.length} calls, one root, keys erased on every side; vaults: ${vaults}`);
