/** The leak scan in short (`npm run leakscan` is the long form): the scanner bites, and an idle handset shows it nothing. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
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
  async function scanOf(program: string, { vault = "", argument = "", input = Buffer.alloc(0) }, modulus: string) {
    const flags = ["--disable-warning=ExperimentalWarning", "--input-type=module", "-e", program, argument];
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

  async function scanHolder(vault: string): Promise<Place[]> {
    const path = await keyPath(0);
    const { modulus, needles } = keyNeedles("key", await readFile(path, "latin1"));
    scanner.addModulus("key", modulus);
    scanner.add(needles);
    return scanOf(HOLDER, { vault, argument: path }, "key");
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

  it("finds the same key in locked memory, and nowhere else", async () => {
    const places = await scanHolder("locked");
    assert.ok(hitsOf(places) > 5, `${hitsOf(places)} hits`);
    assert.ok(algebraicOf(places) >= 4, `${algebraicOf(places)} windows that a prime divides`);
    assert.deepEqual(
      places.filter(({ hits, algebraic, locked }) => hits + algebraic > 0 && !locked),
      [],
    );
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
