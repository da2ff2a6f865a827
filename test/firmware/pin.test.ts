/** The PIN of a real handset: its own process, a real server, keys as a person presses them, and kill -9. */
import assert from "node:assert/strict";
import { chmod, copyFile, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { type Line, Program } from "../../simulator/program.ts";
import { keyPath } from "../keys.ts";
import { OperatorsDesk, type RealServer } from "../server/real-server.ts";

const FAST_CLOCK = path.join(import.meta.dirname, "../fast-clock.ts");
const PIN = "8306619427";
const WRONG = "112233445566";
const ERASES = "5544332211";
/** Argon2, or a new RSA key, on a machine that has much else to do. */
const SLOW_MS = 90_000;

describe("a handset with a PIN", function () {
  this.timeout(240_000);
  let desk: OperatorsDesk;
  let server: RealServer;
  let folder: string;
  let program: Program;
  const programs: Program[] = [];

  before(async () => {
    desk = await OperatorsDesk.open();
    server = await desk.serve();
    folder = await mkdtemp(path.join(os.tmpdir(), "feldfon-pin-"));
  });
  after(async () => {
    for (const one of programs) await one.end(() => one.kill());
    await desk?.close();
    await rm(folder, { recursive: true, force: true });
  });

  function start(name: string, ...flags: string[]): Promise<Line> {
    program = new Program(
      name,
      "firmware/main.ts",
      [
        ...["--board", "terminal", "--json", "--name", name, "--data", path.join(folder, name)],
        ...["--server", `127.0.0.1:${server.port}`, "--server-key", server.uid],
        ...["--trace", path.join(folder, "trace"), ...flags],
      ],
      { nodeFlags: ["--import", FAST_CLOCK] },
    );
    programs.push(program);
    return shows("pin", "pin-choose", "off", "start-failed");
  }

  /** The next screen of that name, behind the last one waited for. */
  function shows(...names: string[]): Promise<Line> {
    const fits = (line: Line): boolean => line.type === "screen" && names.includes(String(line.name));
    return program.next(names.join(" or "), fits, SLOW_MS);
  }

  /** What the handset says to a whole PIN. */
  async function type(pin: string): Promise<Record<string, unknown>> {
    program.send(`key ${pin}`);
    program.send("press call");
    const answer = await program.next(
      "what comes of the PIN",
      (line) => line.type === "event" && ["pin-wanted", "unlocked", "wiped"].includes(String(line.event)),
      SLOW_MS,
    );
    return answer as Record<string, unknown>;
  }

  async function choose(erases = ""): Promise<void> {
    for (const purpose of ["repeat", "duress"]) assert.equal((await type(PIN)).purpose, purpose);
    if (erases === "") program.send("press hang-up");
    else {
      assert.equal((await type(erases)).purpose, "repeat-duress");
      assert.equal((await type(erases)).event, "unlocked");
    }
    await shows("off");
  }

  async function connect(): Promise<void> {
    program.send("press connect");
    await program.next("connected", (line) => line.type === "event" && line.event === "connected", SLOW_MS);
  }

  async function kill(): Promise<void> {
    await program.end(() => program.kill());
  }

  /** Once a wait is over the pad is offered again. */
  async function waited(): Promise<void> {
    const fits = (line: Line): boolean => line.type === "screen" && (line.facts as { waitS?: number }).waitS === 0;
    await program.next("the end of the wait", fits, SLOW_MS);
  }

  it("asks for one at its first start, makes its key and connects", async () => {
    await start("Anna");
    await choose();
    assert.match(await readFile(path.join(folder, "Anna/key.pem"), "latin1"), /^FFKEY/);
    await connect();
  });

  it("locks by Hang up once it is disconnected, and connects again after the PIN", async () => {
    program.send("press hang-up");
    program.send("press call");
    await shows("off");
    program.send("press hang-up");
    await shows("pin");
    program.send("press connect");
    assert.equal((await type(PIN)).event, "unlocked");
    await shows("off");
    assert.equal(program.lines.filter(({ event }) => event === "connecting").length, 1, "none while it was locked");
    await connect();
  });

  it("asks for it after kill -9, makes one wait after three wrong ones, and opens with the right one", async () => {
    await kill();
    await start("Anna");
    const answers = [];
    for (let wrong = 1; wrong <= 3; wrong++) answers.push(await type(WRONG));
    assert.deepEqual(
      answers.map(({ refused, left }) => [refused, left]),
      [
        ["wrong", 9],
        ["wrong", 8],
        ["wrong", 7],
      ],
    );
    assert.ok(Number(answers[2]!.waitS) > 0);
    await waited();
    assert.equal((await type(PIN)).event, "unlocked");
    await shows("off");
    await connect();
  });

  it("counts on after kill -9, and begins its wait anew", async () => {
    await kill();
    await start("Anna");
    for (let wrong = 1; wrong <= 3; wrong++) await type(WRONG);
    await kill();
    const { facts } = await start("Anna");
    assert.equal((facts as { left: number }).left, 7);
    assert.ok(Number((facts as { waitS: number }).waitS) > 0);
  });

  it("is a fresh handset after ten wrong ones: no key, no directory, nothing but its settings", async () => {
    await waited();
    const files = async () => (await readdir(path.join(folder, "Anna"))).toSorted();
    assert.ok((await files()).includes("last-head"));
    for (let left = 6; left > 0; left--) {
      assert.equal((await type(WRONG)).left, left);
      await waited();
    }
    assert.equal((await type(WRONG)).event, "wiped");
    const fresh = await shows("pin-choose");
    assert.deepEqual(await files(), ["settings.json"]);
    // As one that never had a key says it.
    await kill();
    assert.deepEqual(fresh, await start("Ben"));
  });

  it("is a fresh handset after the PIN that erases as well", async () => {
    await choose(ERASES);
    await kill();
    await start("Ben");
    assert.equal((await type(ERASES)).event, "wiped");
    await shows("pin-choose");
    assert.deepEqual(await readdir(path.join(folder, "Ben")), ["settings.json"]);
    await kill();
  });

  it("gives the key that a handset has already a PIN, and --no-pin does not take it away", async () => {
    const data = path.join(folder, "Chen");
    await mkdir(data, { mode: 0o700 });
    await copyFile(await keyPath(1), path.join(data, "key.pem"));
    await chmod(path.join(data, "key.pem"), 0o600);
    await start("Chen", "--no-pin");
    program.send("key #");
    const about = await program.next("about", (line) => line.type === "event" && line.event === "about");
    assert.equal((about.about as { pin: boolean }).pin, false);
    const { uid } = about.about as { uid: string };
    await program.end(() => program.send("quit"));

    assert.equal((await start("Chen", "--pin")).name, "pin-choose");
    await choose();
    program.send("press hang-up");
    await shows("pin");
    assert.equal((await type(PIN)).event, "unlocked");
    await shows("off");
    program.send("key #");
    const sealed = await program.next("about", (line) => line.type === "event" && line.event === "about");
    const { pin, deviceSecret, ...known } = sealed.about as { pin: boolean; deviceSecret: string; uid: string };
    assert.deepEqual([pin, known.uid], [true, uid]);
    assert.ok(["none", "tpm", "firmware-crypto", "otp"].includes(deviceSecret));
    program.send("press update");
    await shows("pin-old");
    for (const [typed, purpose] of [
      [PIN, "choose"],
      [WRONG, "repeat"],
      [WRONG, "duress"],
    ] as const) {
      assert.equal((await type(typed)).purpose, purpose);
    }
    program.send("press hang-up");
    await shows("off");
    await program.end(() => program.send("quit"));
    assert.equal((await start("Chen", "--no-pin")).name, "pin");
    assert.equal((await type(PIN)).refused, "wrong");
    assert.equal((await type(WRONG)).event, "unlocked");
    await program.end(() => program.send("quit"));
  });

  it("says what is wrong with its key before it ends", async () => {
    await mkdir(path.join(folder, "Dora"));
    await writeFile(path.join(folder, "Dora", "key.pem"), "no key\n");
    const screen = await start("Dora");
    assert.equal(screen.name, "start-failed");
    assert.match(JSON.stringify(screen), /E-602/);
    assert.match(program.complaints.join("\n"), /^feldfon-handset: the key file is damaged/m);
    assert.equal(program.running, true);
    await program.end(() => program.terminate());
  });

  it("has said and written no PIN: no screen, event, error, trace or file has one", async () => {
    const said = programs.map(({ lines }) => JSON.stringify(lines));
    const complaints = programs.map((one) => one.complaints.join("\n"));
    const files = (await readdir(folder, { recursive: true, withFileTypes: true })).filter((one) => one.isFile());
    const written = await Promise.all(
      files.map(({ parentPath, name }) => readFile(path.join(parentPath, name), "latin1")),
    );
    assert.ok(files.some(({ name }) => name === "trace") && said.join().length > 10_000);
    for (const pin of [PIN, WRONG, ERASES]) {
      // Eight in a row, wherever they begin; as digits, and as a list of them.
      for (let at = 0; at + 8 <= pin.length; at++) {
        const part = pin.slice(at, at + 8);
        for (const form of [part, [...part].join(","), [...part].join(" "), [...part].join('","')]) {
          for (const text of [...said, ...complaints, ...written]) assert.ok(!text.includes(form));
        }
      }
    }
  });
});
