/** The leak scan in short (`npm run leakscan` is the long form): the scanner bites, and an idle handset shows it nothing. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { argon2Sync, hkdfSync, randomBytes, randomInt } from "node:crypto";
import { once } from "node:events";
import { copyFile, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { keyPath } from "../keys.ts";
import { keyNeedles, type Needle, secretNeedles } from "./needles.ts";
import { type Place, Scanner, whyNot } from "./scanner.ts";

/** What the scanned process runs: it opens a vault of the asked kind, loads the key, signs and says so. */
const HOLDER = `
  import { openVault } from "@feldfon/vault";
  const vault = openVault();
  const keyPair = await vault.loadKeyPair(process.argv[1]);
  await vault.sign(keyPair, Buffer.from("something"));
  process.stdout.write("ready");
  setInterval(() => keyPair.spki, 1e6);
`;

/** What the scanned process runs to seal a key and open it again and again; it is told the PIN as "4,8,0 ..". */
const OPENER = `
  import { openVault } from "@feldfon/vault";
  const vault = openVault();
  const [digits, pem, path, file] = process.argv[1].split("|");
  const type = () => { for (const digit of digits.split(",")) vault.pinPush(Number(digit)); };
  const pair = await vault.loadKeyPair(pem);
  type();
  await vault.saveSealedKeyPair(pair, path, { kind: "none", file });
  vault.wipe(pair);
  process.stdout.write("ready");
  for (;;) {
    type();
    const unlocked = await vault.loadSealedKeyPair(path, { kind: "none", file });
    await vault.sign(unlocked.pair, Buffer.from("something"));
    vault.wipe(unlocked.pair);
  }
`;
/** Twelve digits: fewer lie in any memory by chance. */
const LONG_PIN = "480173926501";
const OPENER_STOPS = 4;

/** What the scanned process runs to hold what it reads, in the form it comes in. */
const KEEPER = `
  const kept = [];
  process.stdin.on("data", (bytes) => kept.push(Buffer.from(bytes)));
  process.stdin.on("end", () => process.stdout.write("ready"));
  setInterval(() => kept.length, 1e6);
`;

const hitsOf = (places: readonly Place[]): number => places.reduce((sum, { hits }) => sum + hits, 0);
const algebraicOf = (places: readonly Place[]): number => places.reduce((sum, { algebraic }) => sum + algebraic, 0);

describe("Leak scan, in short", function () {
  this.timeout(60_000);
  let folder: string;
  let scanner: Scanner;

  before(async function () {
    const reason = whyNot();
    if (reason !== undefined) {
      process.stderr.write(`      leak scan left out: ${reason}\n`);
      this.skip();
    }
    folder = await mkdtemp(join(tmpdir(), "feldfon-leakscan-"));
  });

  beforeEach(() => {
    scanner = Scanner.open(folder);
  });

  afterEach(() => scanner?.close());

  after(() => folder && rm(folder, { recursive: true }));

  /** Scans a process that runs this and holds still once it is ready. */
  async function scanOf(
    program: string,
    { vault = "", argument = "", input = Buffer.alloc(0), nodeFlags = [] as string[] },
    modulus: string,
  ) {
    const flags = [
      ...nodeFlags,
      "--disable-warning=ExperimentalWarning",
      "--input-type=module",
      "-e",
      program,
      argument,
    ];
    const env = { ...process.env, FELDFON_VAULT: vault };
    const child = spawn(process.execPath, flags, { env, stdio: ["pipe", "pipe", "inherit"] });
    try {
      child.stdin!.end(input);
      await once(child.stdout!, "data");
      child.kill("SIGSTOP");
      return await scanner.scanProcess(child.pid!, modulus);
    } finally {
      child.kill("SIGKILL");
      await once(child, "exit");
    }
  }

  async function scanHolder(vault: string, nodeFlags: string[] = []): Promise<Place[]> {
    const path = await keyPath(0);
    const { modulus, needles } = keyNeedles("key", await readFile(path, "latin1"));
    scanner.addModulus("key", modulus);
    scanner.add(needles);
    return scanOf(HOLDER, { vault, argument: path, nodeFlags }, "key");
  }

  it("finds not one byte of a key that the vault holds in secret memory, and has read everything else", async () => {
    const places = await scanHolder("");
    assert.deepEqual(
      places.filter(({ hits, algebraic }) => hits + algebraic > 0),
      [],
    );
    const closed = places.filter(({ unreadableBytes }) => unreadableBytes > 0);
    assert.deepEqual(
      closed.map(({ name }) => name.slice(0, 10)),
      ["/secretmem"],
    );
  });

  it("finds the same key in the degraded vault, by its needles and by N alone", async () => {
    const places = await scanHolder("degraded");
    assert.ok(hitsOf(places) > 20, `${hitsOf(places)} hits`);
    assert.ok(algebraicOf(places) >= 4, `${algebraicOf(places)} windows that a prime divides`);
  });

  it("finds the same key in the degraded vault with Node's secure heap, which keeps p and q out of nothing", async () => {
    const places = await scanHolder("degraded", ["--secure-heap=1048576"]);
    assert.ok(hitsOf(places) > 20, `${hitsOf(places)} hits`);
    assert.ok(algebraicOf(places) >= 2, `${algebraicOf(places)} windows that a prime divides`);
  });

  it("finds the same key in locked memory, and nowhere else", async () => {
    const places = await scanHolder("locked");
    assert.ok(hitsOf(places) > 5, `${hitsOf(places)} hits`);
    assert.ok(algebraicOf(places) >= 4, `${algebraicOf(places)} windows that a prime divides`);
    assert.deepEqual(
      places.filter(({ hits, algebraic, locked }) => hits + algebraic > 0 && !locked),
      [],
    );
  });

  /** Everything that leads to a sealed key, as the file and its neighbours on the card allow to work it out. */
  async function wayToKey(path: string, device: Buffer): Promise<Needle[]> {
    const file = await readFile(path);
    const stretched = argon2Sync("argon2id", {
      message: LONG_PIN,
      nonce: file.subarray(16, 32),
      parallelism: 1,
      tagLength: 32,
      memory: file.readUInt32BE(8),
      passes: file.readUInt32BE(12),
    });
    const material = Buffer.concat([stretched, device]);
    const kek = Buffer.from(hkdfSync("sha256", material, "", "feldfon/kek/v1 key", 32));
    return [
      { name: "pin.ascii", bytes: Buffer.from(LONG_PIN), leastBytes: LONG_PIN.length },
      { name: "pin.codes", bytes: Buffer.from([...LONG_PIN].map(Number)), leastBytes: LONG_PIN.length },
      ...secretNeedles("device", device),
      ...secretNeedles("stretched", stretched),
      ...secretNeedles("kek", kek),
    ];
  }

  /** Stops a process that opens a sealed key without end, at random moments of that. @returns what each scan has seen */
  async function scanOpener(vault: string): Promise<Place[][]> {
    const [pem, path, file] = ["plain.pem", "sealed", "device"].map((name) => join(folder, name));
    await copyFile(await keyPath(0), pem!);
    const device = randomBytes(32);
    await writeFile(file!, device);
    scanner.add(keyNeedles("key", await readFile(pem!, "latin1")).needles);
    const argument = [[...LONG_PIN].join(","), pem, path, file].join("|");
    const flags = ["--disable-warning=ExperimentalWarning", "--input-type=module", "-e", OPENER, argument];
    const env = { ...process.env, FELDFON_VAULT: vault };
    const child = spawn(process.execPath, flags, { env, stdio: ["ignore", "pipe", "inherit"] });
    try {
      await once(child.stdout!, "data");
      scanner.add(await wayToKey(path!, device));
      const seen: Place[][] = [];
      for (let stop = 0; stop < OPENER_STOPS; stop++) {
        await sleep(randomInt(400));
        child.kill("SIGSTOP");
        // Without the algebraic pass: Argon2's 64 MiB look like random numbers, each of which it would have to try.
        seen.push(await scanner.scanProcess(child.pid!, "-"));
        child.kill("SIGCONT");
      }
      return seen;
    } finally {
      child.kill("SIGKILL");
      await once(child, "exit");
    }
  }

  it("finds neither PIN nor key nor anything between them while a sealed key is opened", async () => {
    for (const places of await scanOpener("")) {
      assert.deepEqual(
        places.filter(({ hits, algebraic }) => hits + algebraic > 0),
        [],
      );
    }
  });

  it("finds the way to the key in the degraded vault", async () => {
    const found = (await scanOpener("degraded")).flat().flatMap((place) => place.found.map(({ needle }) => needle));
    for (const part of ["pin", "device", "stretched", "key"]) {
      assert.ok(
        found.some((needle) => needle.startsWith(part)),
        `${part} among ${[...new Set(found)].join(", ")}`,
      );
    }
  });

  it("finds each form of a key and of a secret that a process keeps", async () => {
    const { needles } = keyNeedles("key", await readFile(await keyPath(0), "latin1"));
    const forms: Needle[] = [...needles, ...secretNeedles("secret", randomBytes(32))];
    scanner.add(forms);
    // One after the other would be one long run for a needle that is part of another.
    const input = Buffer.concat(forms.flatMap(({ bytes }) => [bytes, Buffer.alloc(16, 0xa5)]));
    const places = await scanOf(KEEPER, { input }, "-");
    const found = new Set(places.flatMap((place) => place.found.map(({ needle }) => needle)));
    assert.deepEqual(
      [...new Set(forms.map(({ name }) => name))].filter((name) => !found.has(name)),
      [],
    );
  });
});
