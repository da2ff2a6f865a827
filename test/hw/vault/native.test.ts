/** The vault in locked memory. Built by `make vault`; without the build these tests are skipped, on a build machine not. */
import assert from "node:assert/strict";
import { execFile, execFileSync, spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { closeSync, constants, existsSync, openSync, readFileSync, readSync } from "node:fs";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { types } from "node:util";
import type { VaultStatus } from "@feldfon/protocol/vault";
import { NativeVault, NodeVault } from "@feldfon/vault";
import { EPOCH_PACKETS, MediaReceiver, MediaSender } from "@feldfon/vault/srtp";
import { NativeTestingVault } from "@feldfon/vault/testing";
import fc from "fast-check";
import { builtLibcrypto } from "../../fuzz/targets.ts";
import { testKeyPair } from "../../keys.ts";
import { CHEAP, DURESS, PIN, type } from "../../pins.ts";
import { refuses, vaultContract } from "./contract.ts";
import { noble } from "./noble.ts";
import { sealedKeyContract } from "./sealed-key-contract.ts";
import { masterOfEpoch, PROFILE } from "./voice-keys.ts";
import { wycheproof } from "./wycheproof.ts";

const ROOT = join(import.meta.dirname, "../../..");
const BUILD = join(ROOT, "hw/vault/build");
const SEQUENCE_END = 65_536;
const epochOf = (index: number) => Math.floor(index / EPOCH_PACKETS);

const built = ["vault.node", "vault-testing.node"].every((name) => existsSync(join(BUILD, name)));
const cache = process.env.FELDFON_CACHE ?? join(process.env.XDG_CACHE_HOME ?? join(homedir(), ".cache"), "feldfon");
/** A build machine that has the library has to have built the vault with it. */
const owed = Boolean(process.env.CI) && existsSync(join(cache, "libcrypto"));

if (!built) {
  it("the native vault is not built (make vault), so its tests are left out", function () {
    if (owed) assert.fail("its libcrypto is here, hw/vault/build/ is not");
    this.skip();
  });
} else {
  vaultContract("the native vault", () => new NativeVault({ slotsMax: 4_096 }));
  sealedKeyContract("the native vault", () => new NativeVault({ pinCost: CHEAP }));
  wycheproof("the native vault", () => new NativeTestingVault());
  noble("the native vault", () => new NativeTestingVault());
  describe("the native vault", nativeVault);
  describe("voice of the native vault", nativeVoice);
}

/** Whether the machine's generator gives 64 bytes at once, as the vault asks it to when it opens. */
function readsHwrng(): boolean {
  let file: number | undefined;
  try {
    file = openSync("/dev/hwrng", constants.O_RDONLY | constants.O_NONBLOCK);
    return readSync(file, Buffer.alloc(64)) === 64;
  } catch {
    return false;
  } finally {
    if (file !== undefined) closeSync(file);
  }
}

function nativeVault(): void {
  it("says where its secrets lie and what it stands on", () => {
    const status = new NativeVault().status();
    assert.match(status.protection, /^(memfd_secret|locked)$/);
    assert.match(status.library, /^OpenSSL 3\.[5-9]/);
    assert.notEqual(status.library, `OpenSSL ${process.versions.openssl}`);
    assert.equal(status.randomness, readsHwrng() ? "kernel+hwrng" : "kernel");
    assert(status.arena!.usedBytes > 0 && status.arena!.usedBytes <= status.arena!.peakBytes);
    assert(status.arena!.peakBytes < status.arena!.bytes);
    assert.equal(typeof status.dumpable, "boolean");
    assert.equal(typeof status.coreLimitBytes, "number");
  });

  it("lies in memory that no core file shows and no swap gets", () => {
    new NativeVault();
    const arenas = locked(readFileSync("/proc/self/smaps", "latin1"));
    assert(arenas.length > 0);
    for (const flags of arenas) assert.match(flags, /\bdd\b/);
  });

  it("exports nothing but the two entries of N-API", () => {
    for (const name of ["vault.node", "vault-testing.node"]) {
      const lines = execFileSync("nm", ["-D", "--defined-only", join(BUILD, name)], { encoding: "latin1" });
      const names = lines.match(/\S+$/gm)!.sort();
      assert.deepEqual(names, ["napi_register_module_v1", "node_api_module_get_api_version_v1"]);
    }
  });

  it("has no way out for secrets, unlike the build for tests", () => {
    const doors = ["reveal", "importEphemeral", "importKeyPair", "openOaep", "mediaStartsAt"];
    const found = (name: string) => doors.filter((door) => readFileSync(join(BUILD, name)).includes(`${door}\0`));
    assert.deepEqual(found("vault.node"), []);
    assert.deepEqual(found("vault-testing.node"), doors);
    const symbols = execFileSync("nm", [join(BUILD, "vault.node")], { encoding: "latin1" });
    assert.match(symbols, / vault_seal$/m);
    assert.doesNotMatch(symbols, /vault_testing/);
  });

  it("names no place of the machine that built it", () => {
    for (const name of ["vault.node", "vault-testing.node"]) {
      const bytes = readFileSync(join(BUILD, name));
      assert.deepEqual(
        [join(ROOT, "/").slice(0, -1), homedir(), cache].filter((place) => place.length > 1 && bytes.includes(place)),
        [],
      );
    }
  });

  it("gives each vault handles, limit and end of its own", () => {
    const [one, two] = [new NativeVault({ slotsMax: 3 }), new NativeVault()];
    const mine = one.newSecret();
    const theirs = two.newSecret();
    assert.throws(() => one.newSecret(), refuses("full"));
    assert.throws(() => one.derive("mac", 32, [theirs.derive], INFO, INFO), refuses("no-such-slot"));
    assert.throws(() => one.wipe(theirs.wrap), refuses("no-such-slot"));
    one.wipeAll();
    assert.deepEqual([one.status().slotsInUse, two.status().slotsInUse], [0, 2]);
    assert.throws(() => one.derive("mac", 32, [mine.derive], INFO, INFO), refuses("empty-slot"));
    two.wipe(two.derive("mac", 32, [theirs.derive], INFO, INFO), theirs.wrap, theirs.derive);
  });

  it("takes bytes only from memory that nobody else changes", () => {
    const vault = new NativeVault();
    const { wrap, derive } = vault.newSecret();
    const slot = vault.derive("mac", 32, [derive], INFO, INFO);
    const detached = new Uint8Array(16);
    structuredClone(detached, { transfer: [detached.buffer] });
    for (const strange of [
      detached,
      new Uint8Array(new SharedArrayBuffer(16)),
      new Uint16Array(8),
      new DataView(new ArrayBuffer(16)),
      new ArrayBuffer(16),
      "sixteen bytes ..",
      undefined,
    ]) {
      assert.throws(() => vault.mac(slot, strange as Uint8Array), { name: "TypeError" });
      assert.throws(() => vault.macMatches(slot, INFO, strange as Uint8Array), { name: "TypeError" });
    }
    vault.wipe(wrap, derive, slot);
  });

  it("writes what the vault on node:crypto reads, and reads what that writes", async () => {
    const folder = await mkdtemp(join(tmpdir(), "feldfon-both-"));
    const device = { kind: "otp", command: ["/bin/echo", "0123456789abcdef0123456789abcdef"] } as const;
    const path = join(folder, "key");
    const vaults = [new NativeVault({ pinCost: CHEAP }), new NodeVault({ pinCost: CHEAP })];
    for (const [one, other] of [vaults, vaults.toReversed()] as const) {
      const pair = await testKeyPair(one!, 0);
      type(one!, PIN);
      await one!.saveSealedKeyPair(pair, path, device);
      type(other!, DURESS);
      await other!.setDuressPin(path, device);
      type(other!, PIN);
      const unlocked = await other!.loadSealedKeyPair(path, device);
      assert(unlocked.opened === "key");
      assert.deepEqual(unlocked.pair.spki, pair.spki);
      type(one!, DURESS);
      assert.deepEqual(await one!.loadSealedKeyPair(path, device), { opened: "duress" });
    }
    for (const vault of vaults) vault.wipeAll();
    await rm(folder, { recursive: true });
  });

  it("stretches a PIN with 64 MiB beside the arena, and gives them back", async function () {
    this.timeout(60_000);
    const folder = await mkdtemp(join(tmpdir(), "feldfon-stretch-"));
    const device = { kind: "none", file: join(folder, "device") } as const;
    await writeFile(device.file, randomBytes(32));
    const vault = new NativeVault();
    const pair = await testKeyPair(vault, 0);
    type(vault, PIN);
    await vault.saveSealedKeyPair(pair, join(folder, "key"), device);
    assert.deepEqual((await readFile(join(folder, "key"))).readUInt32BE(8), 64 * 1024);
    const usedBytes = vault.status().arena!.usedBytes;
    type(vault, PIN);
    const loading = vault.loadSealedKeyPair(join(folder, "key"), device);
    const seen = new Set<string>();
    let isOver = false;
    void loading.then(() => {
      isOver = true;
    });
    while (!isOver) {
      for (const flags of workAreas(await readFile("/proc/self/smaps", "latin1"))) seen.add(flags);
    }
    const unlocked = await loading;
    assert(unlocked.opened === "key");
    assert.equal(seen.size, 1, "one work area was seen");
    assert.match([...seen][0]!, /\bdd\b.*\bwf\b|\bwf\b.*\bdd\b/);
    assert.deepEqual(workAreas(await readFile("/proc/self/smaps", "latin1")), []);
    vault.wipe(unlocked.pair);
    assert(vault.status().arena!.usedBytes <= usedBytes);
    vault.wipeAll();
    await rm(folder, { recursive: true });
  });

  it("hands our other addons a table that JavaScript can't look into", () => {
    const { voiceTable } = new NativeVault();
    assert(types.isExternal(voiceTable));
    assert.deepEqual(Reflect.ownKeys(voiceTable), []);
  });

  it("answers any call with any arguments by a result or an error, and never falls", async function () {
    this.timeout(120_000);
    const { answers, errors, left } = await scene<{ answers: number; errors: number; left: number }>("anything");
    assert(answers > 300 && errors > 300, `${answers} answers, ${errors} errors`);
    assert.equal(left, 0);
  });

  it("takes slots back from handles that are forgotten", async () => {
    const forgotten = await scene<{ born: number; left: number; signatureBytes: number; held: string }>("forgotten");
    assert(forgotten.born > 500);
    assert.equal(forgotten.left, 3, "the two that are held, and a sender's");
    assert.deepEqual([forgotten.signatureBytes, forgotten.held], [512, "wrap"]);
  });

  it("does not grow over a hundred thousand handles", async () => {
    const { before, after, slotsInUse } = await scene<{ before: number; after: number; slotsInUse: number }>("many");
    assert.equal(slotsInUse, 0);
    assert(after <= before, `${before} bytes before, ${after} after`);
  });

  it("says when its memory is full, and serves again when some is given back", async () => {
    const { code, made, again } = await scene<{ code: string; made: number; again: number }>("crammed");
    assert.equal(code, "full");
    assert(made > 10, `${made} key pairs of ML-KEM in a mebibyte`);
    assert.equal(again, made);
  });

  it("serves Workers that come and are stopped, and wipes what they leave", async function () {
    this.timeout(120_000);
    const { refused, used, left } = await scene<{ refused: number; used: number[]; left: number }>("workers");
    assert.equal(refused, 100, "a handle of another Worker");
    assert.equal(left, 0);
    // What a thread of the pool keeps for itself is there after the first rounds.
    assert(Math.max(...used.slice(20)) <= Math.max(...used.slice(0, 20)) * 1.05, used.join(" "));
  });

  describe("has nothing to fear from AddressSanitizer and UBSan", () => {
    let preload: string;

    before(function () {
      const libcrypto = builtLibcrypto();
      if (!libcrypto || spawnSync("gcc", ["--version"]).status !== 0) {
        if (owed) assert.fail("the addon cannot be built with sanitizers here");
        this.skip();
      }
      this.timeout(120_000);
      execFileSync(join(ROOT, "hw/vault/napi/build"), [libcrypto, "--sanitize"]);
      const library = (file: string) =>
        execFileSync("gcc", [`-print-file-name=${file}`], { encoding: "latin1" }).trim();
      preload = ["libasan.so", "libubsan.so"].map(library).join(" ");
    });

    for (const name of ["anything", "forgotten", "many", "workers", "crammed"]) {
      it(`in the scene "${name}"`, async function () {
        this.timeout(120_000);
        // Node itself leaks at exit, and V8 keeps its own heap.
        const env = { LD_PRELOAD: preload, ASAN_OPTIONS: "detect_leaks=0", FELDFON_ROUNDS: "20" };
        await scene(name, { env, addon: join(BUILD, "sanitized/vault.node") });
      });
    }
  });

  describe("is chosen by openVault", () => {
    const statusWith = (setting: string, under: string[] = []) =>
      scene<VaultStatus>("status", { env: { FELDFON_VAULT: setting }, under });
    /** With a few pages to lock; root may lock all it wants, so it gives that right away first. */
    const poor = ["prlimit", "--memlock=65536:65536"];
    if (process.getuid?.() === 0) poor.push("setpriv", "--bounding-set=-ipc_lock");

    it("when it is built", async () => {
      assert.equal((await statusWith("")).protection, new NativeVault().status().protection);
    });

    it("without memfd_secret, when FELDFON_VAULT is locked", async () => {
      assert.equal((await statusWith("locked")).protection, "locked");
    });

    it("unless FELDFON_VAULT is degraded, which says so", async () => {
      const { protection, because } = await statusWith("degraded");
      assert.equal(protection, "degraded");
      assert.match(because!, /FELDFON_VAULT/);
    });

    it("and refused where no memory can be locked, unless degraded is asked for", async () => {
      await assert.rejects(statusWith("", poor), /no-protection/);
      await assert.rejects(statusWith("locked", poor), /no-protection/);
      assert.equal((await statusWith("degraded", poor)).protection, "degraded");
    });

    it("and nothing is, when FELDFON_VAULT is another word", async () => {
      await assert.rejects(statusWith("best-effort"), /expected was "degraded" or "locked"/);
    });
  });
}

/** The C of the core and the TypeScript of srtp.ts, each tested by itself against published vectors, side by side. */
function nativeVoice(): void {
  let vault: NativeTestingVault;

  beforeEach(() => {
    vault = new NativeTestingVault();
  });

  afterEach(() => vault.wipeAll());

  function senderAt(index: number) {
    vault.mediaStart = index;
    return vault.srtpSender(vault.import("packet-seal", masterOfEpoch(epochOf(index))), PROFILE);
  }

  function receiverAt(index: number) {
    vault.mediaStart = index;
    return vault.srtpReceiver(vault.import("packet-open", masterOfEpoch(epochOf(index))), PROFILE);
  }

  function oursAt(index: number): MediaSender {
    return new MediaSender(Buffer.from(masterOfEpoch(epochOf(index))), PROFILE, index);
  }

  for (const start of [0, EPOCH_PACKETS - 20, SEQUENCE_END - 20, 22 * EPOCH_PACKETS - 20, 3 * SEQUENCE_END - 20]) {
    it(`is the same byte for byte from packet ${start} on`, () => {
      const [native, ours] = [senderAt(start), oursAt(start)];
      for (let at = 0; at < 40; at++) {
        const payload = randomBytes(1 + at * 7);
        assert.deepEqual(native.seal(payload, at * 320), ours.seal(payload, at * 320));
      }
      native.close();
    });
  }

  it("stops after 2^48 packets and repeats none", () => {
    vault.mediaStart = 2 ** 48 - 2;
    const sender = vault.srtpSender(vault.import("packet-seal", randomBytes(44)), PROFILE);
    assert.deepEqual(
      [sender.seal(INFO, 0), sender.seal(INFO, 0)].map((packet) => packet.readUInt16BE(2)),
      [0xfffe, 0xffff],
    );
    for (let tries = 0; tries < 3; tries++) assert.throws(() => sender.seal(INFO, 0), refuses("exhausted"));
    sender.close();
  });

  it("keeps the profile it began with", () => {
    const ratchet = { salt: Buffer.from(PROFILE.ratchet.salt), info: Buffer.from(PROFILE.ratchet.info) };
    vault.mediaStart = EPOCH_PACKETS - 1;
    const sender = vault.srtpSender(vault.import("packet-seal", masterOfEpoch(0)), { ssrc: 1, ratchet });
    ratchet.salt.fill(0);
    ratchet.info.fill(0);
    const ours = oursAt(EPOCH_PACKETS - 1);
    for (let packets = 0; packets < 2; packets++) assert.deepEqual(sender.seal(INFO, 0), ours.seal(INFO, 0));
    sender.close();
  });

  it("opens and refuses exactly as srtp.ts does, whatever is lost, late, doubled or forged on the way", () => {
    const step = fc.oneof(
      { weight: 6, arbitrary: fc.integer({ min: -20, max: 20 }) },
      { weight: 2, arbitrary: fc.integer({ min: -140, max: 300 }) },
      { weight: 1, arbitrary: fc.integer({ min: 2500, max: 3500 }) },
      { weight: 1, arbitrary: fc.integer({ min: 5500, max: 9500 }) },
      { weight: 1, arbitrary: fc.integer({ min: -70_000, max: 70_000 }) },
    );
    const arrival = fc.record({ step, damage: fc.option(fc.tuple(fc.nat(40), fc.nat(7)), { freq: 4 }) });
    const start = fc.constantFrom(0, 1, 2_990, 65_500, 131_000, 196_590);
    fc.assert(
      fc.property(start, fc.array(arrival, { maxLength: 60 }), (start, arrivals) => {
        const native = receiverAt(start);
        const ours = new MediaReceiver(Buffer.from(masterOfEpoch(epochOf(start))), PROFILE, start);
        let highest: number = start;
        for (const { step, damage } of arrivals) {
          const index = Math.max(highest + step, 0);
          const packet = oursAt(index).seal(Buffer.from(`packet ${index}`), index % 1000);
          if (damage) packet[damage[0] % packet.length]! ^= 1 << damage[1];
          const opened = ours.open(packet);
          assert.deepEqual(native.open(packet), opened);
          if (typeof opened === "object") highest = Math.max(highest, opened.index);
        }
        native.close();
      }),
      { numRuns: 80 },
    );
  });

  it("refuses any bytes as srtp.ts does", () => {
    const native = receiverAt(0);
    const ours = new MediaReceiver(Buffer.from(masterOfEpoch(0)), PROFILE, 0);
    const likely = fc.uint8Array({ maxLength: 60 }).map((rest) => Buffer.concat([Buffer.of(0x80, 96), rest]));
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array({ maxLength: 80 }), likely), (bytes) => {
        assert.equal(native.open(bytes), ours.open(bytes));
      }),
    );
    native.close();
  });
}

const INFO = Buffer.from("feldfon/1 test\0");

/** @returns flags of every mapping that is secret memory or locked, guards left out */
function locked(smaps: string): string[] {
  return smaps
    .split(/^(?=[0-9a-f]+-[0-9a-f]+ )/m)
    .filter((mapping) => /secretmem/.test(mapping) || /^VmFlags:.* lo\b/m.test(mapping))
    .map((mapping) => /^VmFlags:(.*)$/m.exec(mapping)?.[1] ?? "");
}

/** Flags of the mappings that Argon2id works in: 64 MiB that are not there after a fork. */
function workAreas(smaps: string): string[] {
  return smaps
    .split(/^(?=[0-9a-f]+-[0-9a-f]+ )/m)
    .filter((mapping) => /^Size: +65536 kB$/m.test(mapping) && /^VmFlags:.* wf\b/m.test(mapping))
    .map((mapping) => /^VmFlags:(.*)$/m.exec(mapping)![1]!);
}

interface Circumstances {
  env?: NodeJS.ProcessEnv;
  /** Another build of the addon. */
  addon?: string;
  /** A command that runs Node. */
  under?: string[];
}

/** Runs a scene of native-child.ts; a process that falls rejects with its signal. */
function scene<Answer>(name: string, { env = {}, addon, under = [] }: Circumstances = {}): Promise<Answer> {
  const script = join(import.meta.dirname, "native-child.ts");
  const [command, ...args] = [...under, process.execPath, "--expose-gc", script, name, ...(addon ? [addon] : [])];
  const options = { env: { ...process.env, ...env }, timeout: 110_000 };
  return new Promise((resolve, reject) => {
    execFile(command!, args, options, (error, stdout, stderr) => {
      if (error) reject(new Error(`${name}: ${error.signal ?? `exit ${error.code}`}\n${stderr}`));
      else resolve(JSON.parse(stdout) as Answer);
    });
  });
}
