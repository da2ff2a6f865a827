/**
 * Three real processes, watched at node:crypto: connect, call, hang up, update, leave. What was secret in any of them is
 * then looked for in everything they have written (rows 003-09, -23, -49, -55, -73), and no RSA private operation may
 * have held up a loop (row 000-10).
 */
import assert from "node:assert/strict";
import { chmod, copyFile, mkdir, mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { PublicKey } from "@feldfon/protocol/identity";
import { NodeVault } from "@feldfon/vault";
import { type Line, Program } from "../../simulator/program.ts";
import { keyPath, testKeyPair } from "../keys.ts";
import type { Watched } from "../watched-crypto.ts";
import { OperatorsDesk, type RealServer } from "./real-server.ts";

const WATCH = path.join(import.meta.dirname, "../watched-crypto.ts");
const NAMES = ["Annabella", "Benvenuto"] as const;

type Files = Map<string, Buffer>;

const isEvent =
  (name: string) =>
  (line: Line): boolean =>
    line.type === "event" && line.event === name;

async function filesIn(folder: string): Promise<Files> {
  const found = (await readdir(folder, { recursive: true, withFileTypes: true })).filter((at) => at.isFile());
  const paths = found.map(({ name, parentPath }) => path.join(parentPath, name));
  return new Map(await Promise.all(paths.map(async (at) => [path.relative(folder, at), await readFile(at)] as const)));
}

async function watched(file: string): Promise<Watched[]> {
  const lines = (await readFile(file, "utf8")).trimEnd().split("\n");
  return lines.map((line) => JSON.parse(line) as Watched);
}

/** As bytes, and as the texts that bytes are printed as. */
function formsOf(bytes: Buffer): Buffer[] {
  return [bytes, ...[bytes.toString("hex"), bytes.toString("base64"), bytes.toString("base64url")].map(asBytes)];
}

function asBytes(text: string): Buffer {
  return Buffer.from(text);
}

describe("what three processes leave behind after a call", function () {
  this.timeout(60_000);
  let desk: OperatorsDesk;
  let folder: string;
  let server: RealServer;
  const programs: Program[] = [];
  const keys: PublicKey[] = [];
  const callIds: string[] = [];
  /** By process: what node:crypto was asked for. */
  const seen = new Map<string, Watched[]>();
  let duringCall: { server: Files; handsets: Files };
  let atEnd: { server: Files; handsets: Files };

  async function watching(name: string): Promise<{ flags: string[]; env: NodeJS.ProcessEnv }> {
    await mkdir(path.join(folder, "watch"), { recursive: true });
    return {
      flags: ["--import", WATCH],
      env: { ...process.env, FELDFON_WATCH: path.join(folder, "watch", name) },
    };
  }

  async function handset(name: string, keyNumber: number): Promise<Program> {
    const data = path.join(folder, "handsets", name);
    await mkdir(data, { recursive: true, mode: 0o700 });
    await copyFile(await keyPath(keyNumber), path.join(data, "key.pem"));
    await chmod(path.join(data, "key.pem"), 0o600);
    const { flags, env } = await watching(name);
    const program = new Program(
      name,
      "firmware/main.ts",
      [
        ...["--board", "terminal", "--json", "--name", name, "--data", data, "--no-pin"],
        ...["--server", `127.0.0.1:${server.port}`, "--server-key", server.uid],
        ...["--trace", path.join(folder, "handsets", `${name}.trace`)],
      ],
      { nodeFlags: flags, env },
    );
    programs.push(program);
    await program.next("its first screen", (line) => line.type === "screen");
    program.send("press connect");
    const connected = await program.next("connected", isEvent("connected"));
    assert.equal(connected.resumed, false);
    return program;
  }

  before(async () => {
    desk = await OperatorsDesk.open();
    folder = await mkdtemp(path.join(os.tmpdir(), "feldfon-left-"));
    desk.node = await watching("server");
    const trace = path.join(folder, "server.trace");
    server = await desk.serve("--trace", trace);
    const a = await handset(NAMES[0], 1);
    const b = await handset(NAMES[1], 2);
    await a.next("the other one", isEvent("directory"));
    a.send("key 1");
    await a.next("the name behind the digit", (line) => line.type === "screen" && line.name === "dial");
    a.send("press call");
    await b.next("ringing", isEvent("incoming"));
    await a.next("ringback", isEvent("rings"));
    b.send("press call");
    const talking = await a.next("in call", isEvent("in-call"));
    callIds.push(String(talking.callId));
    await a.next("voice", (line) => isEvent("voice")(line) && Number(line.received) > 20);
    duringCall = { server: await desk.files(), handsets: await filesIn(path.join(folder, "handsets")) };
    b.send("press hang-up");
    const ended = [await a.next("the end", isEvent("ended")), await b.next("the end", isEvent("ended"))];
    assert.deepEqual(
      ended.map(({ erased }) => erased),
      ["both", "both"],
    );
    a.send("press hang-up");
    await a.next("the phonebook", (line) => line.type === "screen" && line.name === "phonebook");
    a.send("press update");
    await a.next("the update", isEvent("updated"));
    for (const program of [a, b]) await program.end(() => program.send("quit"));
    server.kill("SIGTERM");
    assert.deepEqual(await server.end, { code: 0, signal: null });
    atEnd = { server: await desk.files(), handsets: await filesIn(path.join(folder, "handsets")) };
    for (const name of ["server", ...NAMES]) seen.set(name, await watched(path.join(folder, "watch", name)));
    const vault = new NodeVault();
    for (const n of [1, 2]) keys.push(new PublicKey((await testKeyPair(vault, n)).spki));
    vault.wipeAll();
  });

  after(async () => {
    for (const program of programs) await program.end(() => program.terminate());
    await desk.close();
    await rm(folder, { recursive: true });
  });

  /** Everything that the three processes took for a secret. */
  function secrets(): Buffer[] {
    const all = new Set([...seen.values()].flat().flatMap((line) => ("secret" in line ? line.secret : [])));
    return [...all].map((hex) => Buffer.from(hex, "hex")).filter(({ length }) => length >= 16);
  }

  /** What the server said, by where. */
  async function said(): Promise<Files> {
    const trace = await readFile(path.join(folder, "server.trace"));
    return new Map([
      ["stdout", asBytes(server.stdout)],
      ["stderr", asBytes(server.stderr)],
      ["trace", trace],
    ]);
  }

  async function privateKeyLines(n: number): Promise<Buffer[]> {
    const pem = await readFile(await keyPath(n), "latin1");
    return pem
      .split("\n")
      .filter((line) => line !== "" && !line.startsWith("-----"))
      .map(asBytes);
  }

  function assertNowhere(files: Files, wanted: readonly Buffer[], what: string): void {
    for (const [name, bytes] of files) {
      for (const each of wanted) assert.ok(!bytes.includes(each), `${what} in ${name}`);
    }
  }

  it("each connection has a secret of its own and the call another, which their owners and nobody else opened", () => {
    const of = (name: string, bytes: number) =>
      new Set(
        seen.get(name)!.flatMap((line) => ("secret" in line && line.secret.length === 2 * bytes ? line.secret : [])),
      );
    const made = of("server", 48);
    assert.equal(made.size, 3, "two connects and a call");
    const prefix = Buffer.from("+++secret+++").toString("hex");
    const [a, b] = NAMES.map((name) => [...of(name, 60)].map((opened) => opened.slice(prefix.length)));
    for (const opened of [a!, b!]) assert.equal(opened.length, 2);
    assert.deepEqual(new Set([...a!, ...b!]), made);
  });

  it("a handset's secrets and its RSA stay in the line's thread; the hand's thread sees none", () => {
    for (const name of NAMES) {
      const inHand = seen.get(name)!.filter(({ main }) => main);
      assert.deepEqual(inHand, []);
    }
  });

  it("the watch has seen the secrets of a connect and of a call, at each of the three", () => {
    for (const [name, lines] of seen) {
      const lengths = new Set(lines.flatMap((line) => ("secret" in line ? line.secret.length / 2 : [])));
      // Hashes and MAC keys, keys with iv, and on the server the secrets it makes.
      for (const bytes of name === "server" ? [32, 44, 48] : [32, 44])
        assert.ok(lengths.has(bytes), `${name}: ${bytes}`);
    }
    assert.ok(secrets().length > 40, `${secrets().length} secrets`);
  });

  it("no secret is in any file of the server, during the call or after, nor in what it said", async () => {
    const forms = secrets().flatMap(formsOf);
    assert.deepEqual([...atEnd.server.keys()].toSorted(), ["directory.sqlite", "server-key.pem"]);
    for (const files of [duringCall.server, atEnd.server, await said()]) assertNowhere(files, forms, "a secret");
  });

  it("no secret is in any file of a handset, during the call or after", () => {
    const forms = secrets().flatMap(formsOf);
    for (const files of [duringCall.handsets, atEnd.handsets]) {
      for (const name of NAMES) assert.ok(files.has(path.join(name, "key.pem")), "the folder was looked into");
      assertNowhere(files, forms, "a secret");
    }
  });

  it("a private key is in its key file and nowhere else", async () => {
    const own = { server: await privateKeyLines(0), a: await privateKeyLines(1), b: await privateKeyLines(2) };
    const all = Object.values(own).flat();
    assertNowhere(await said(), all, "a private key");
    for (const files of [atEnd.server, atEnd.handsets]) {
      const others = new Map([...files].filter(([name]) => !name.endsWith("key.pem")));
      assertNowhere(others, all, "a private key");
    }
  });

  it("the server says nothing of names, keys, whole fingerprints or what a call was about", async () => {
    const wanted = [
      ...NAMES.map(asBytes),
      ...keys.flatMap(({ spki }) => formsOf(Buffer.from(spki).subarray(40, 80))),
      ...keys.flatMap(({ uid }) => formsOf(Buffer.from(uid, "hex"))),
    ];
    assertNowhere(await said(), wanted, "something of a handset");
    // Who it was is told by the first digits alone, so the lines are there.
    for (const { uid } of keys) {
      for (const [name, bytes] of await said()) {
        if (name !== "stderr") assert.ok(bytes.includes(uid.slice(0, 8)), `nothing of ${uid.slice(0, 8)} in ${name}`);
      }
    }
    assert.equal(server.stderr.trimEnd().split("\n").length, 1, server.stderr);
  });

  it("the server keeps no call log that nobody has asked for", async () => {
    const stdout = (await said()).get("stdout")!;
    assert.ok(callIds.length > 0);
    assertNowhere(new Map([["stdout", stdout]]), callIds.map(asBytes), "a call");
    assert.ok(!stdout.includes('"msg":"call"'), "a call has a line");
  });

  it("the server's database has who is here and the heads, and nothing of the call", () => {
    for (const files of [duringCall.server, atEnd.server]) {
      assertNowhere(
        files,
        callIds.flatMap((id) => formsOf(Buffer.from(id, "hex"))),
        "a call's id",
      );
    }
    const rows = atEnd.server.get("directory.sqlite")!;
    for (const name of NAMES) assert.ok(rows.includes(asBytes(name)), `${name} has a row`);
  });

  it("every RSA private operation was done beside the loop", () => {
    const counts = new Map<string, number>();
    for (const [name, lines] of seen) {
      for (const line of lines) {
        if (!("rsa" in line)) continue;
        assert.equal(line.onLoop, false, `${name}: ${line.rsa} on the loop`);
        counts.set(`${name} ${line.rsa}`, (counts.get(`${name} ${line.rsa}`) ?? 0) + 1);
      }
    }
    // A trial of its key; then M3, a head and so on. A handset opens the server's secret and that of the call.
    assert.ok(counts.get("server sign")! >= 5, `${counts.get("server sign")} signatures of the server`);
    assert.equal(counts.get("server subtle.decrypt"), undefined, "the server opens nothing");
    for (const name of NAMES) {
      assert.ok(counts.get(`${name} sign`)! >= 3, `${counts.get(`${name} sign`)} signatures of ${name}`);
      assert.equal(counts.get(`${name} subtle.decrypt`), 2);
    }
  });
});
