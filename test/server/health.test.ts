import assert from "node:assert/strict";
import { type Health, openHealth } from "@feldfon/server/health";
import { Metrics, type Readings } from "@feldfon/server/metrics";

const readings: Readings = {
  halfOpenLines: 3,
  provenLines: 2,
  handsets: 4,
  epoch: 17,
  calls: 1,
  relays: 2,
  relayPackets: { passed: 50, forged: 3 },
  relayBytes: 34_000,
  vault: { protection: "degraded", library: "OpenSSL", slotsInUse: 9, slotsMax: 100, randomness: "kernel" },
};

describe("Health port", () => {
  const metrics = new Metrics();
  let missing: string[];
  let health: Health;
  before(async () => {
    health = await openHealth({ port: 0, metrics, missing: () => missing, state: () => ({ epoch: 7 }) });
  });
  beforeEach(() => {
    missing = [];
  });
  after(() => health.close());

  const ask = async (page: string, method = "GET") => {
    const response = await fetch(`http://127.0.0.1:${health.port}${page}`, { method });
    return { status: response.status, text: await response.text(), type: response.headers.get("content-type") };
  };

  it("says that the process is alive", async () => {
    assert.deepEqual(await ask("/health"), { status: 200, text: "alive\n", type: "text/plain; charset=utf-8" });
  });

  it("says that it is ready, or what is missing", async () => {
    assert.equal((await ask("/ready")).status, 200);
    missing = ["the disk is full", "UDP port"];
    assert.deepEqual(await ask("/ready"), {
      status: 503,
      text: "the disk is full\nUDP port\n",
      type: "text/plain; charset=utf-8",
    });
  });

  it("has no other pages and takes no other questions", async () => {
    assert.equal((await ask("/")).status, 404);
    assert.equal((await ask("/metrics/../../etc/passwd")).status, 404);
    assert.equal((await ask("/metrics", "POST")).status, 405);
  });

  it("leaves out what it cannot know yet, rather than calling it 0", async () => {
    const { text } = await ask("/metrics");
    assert.doesNotMatch(text, /^feldfon_epoch /m);
    assert.doesNotMatch(text, /^feldfon_lines\{/m);
  });

  it("tells Prometheus how many, how far and how protected", async () => {
    metrics.watch(() => readings);
    metrics.refused.inc({ code: "bad-sip" });
    metrics.connects.inc({ outcome: "joined" }, 2);
    metrics.outboxDrops.inc({ reason: "no-progress" });
    metrics.calls.inc({ outcome: "hung-up" });
    metrics.connectSeconds.observe(0.2);
    const { status, text, type } = await ask("/metrics");
    assert.equal(status, 200);
    assert.match(type!, /^text\/plain; version=0\.0\.4/);
    for (const line of [
      'feldfon_lines{state="half-open"} 3',
      'feldfon_lines{state="proven"} 2',
      "feldfon_handsets 4",
      "feldfon_epoch 17",
      "feldfon_active_calls 1",
      "feldfon_active_relays 2",
      "feldfon_vault_slots 9",
      'feldfon_vault_protection{protection="memfd_secret"} 0',
      'feldfon_vault_protection{protection="degraded"} 1',
      'feldfon_vault_library{library="OpenSSL"} 1',
      'feldfon_refused_total{code="bad-sip"} 1',
      'feldfon_connects_total{outcome="joined"} 2',
      'feldfon_outbox_drops_total{reason="no-progress"} 1',
      'feldfon_relay_packets_total{verdict="passed"} 50',
      'feldfon_relay_packets_total{verdict="forged"} 3',
      "feldfon_relay_bytes_total 34000",
      'feldfon_calls_total{outcome="hung-up"} 1',
      "feldfon_connect_seconds_count 1",
    ]) {
      assert.ok(text.split("\n").includes(line), `${line}\nin\n${text.match(/^feldfon.*$/gm)?.join("\n")}`);
    }
    // Nobody looked: not told, rather than 0.
    assert.doesNotMatch(text, /^feldfon_dumpable /m);
    assert.match(text, /^nodejs_eventloop_lag_p99_seconds /m);
    assert.match(text, /^process_resident_memory_bytes /m);
  });

  it("says so when its port is taken", async () => {
    await assert.rejects(openHealth({ port: health.port, metrics, missing: () => [], state: () => ({}) }), {
      code: "EADDRINUSE",
    });
  });

  it("tells epoch and roots as JSON, and nothing that is not public", async () => {
    const response = await fetch(`http://127.0.0.1:${health.port}/state`);
    assert.deepEqual(await response.json(), { epoch: 7 });
  });
});
