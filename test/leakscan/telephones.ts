/** A server and two handsets, three real processes on this machine, driven by button and stopped while they are looked at. */
import { spawnSync } from "node:child_process";
import { appendFileSync, chmodSync, copyFileSync, mkdirSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { type Line, Program } from "../../simulator/program.ts";
import { findVoices } from "../../simulator/voices.ts";
import { keyPath } from "../keys.ts";

/** Of the key pool, no two with a prime in common. */
const KEYS = { server: 0, anna: 5, ben: 14 } as const;
const KEY_FILES = { server: "server-key.pem", anna: "key.pem", ben: "key.pem" } as const;
const STOP_POLL_MS = 2;
const SCREEN_MS = 200;
const MOST_PRESSES = 20;
/** Of a process of ten gigabytes of addresses. */
const CRASH_MS = 30_000;

export type Owner = keyof typeof KEYS;
export const owners: readonly Owner[] = ["server", "anna", "ben"];

export interface TelephonesOptions {
  folder: string;
  /** Of each process: which vault, and whether it tells its births. */
  env: NodeJS.ProcessEnv;
  nodeFlags: readonly string[];
  /** Each makes its own key at its first start, traces, and has all it says written down beside its data. */
  fresh?: boolean;
  /** Anna's PIN, digits; she comes with a key in the clear, which is sealed under it at her first start. */
  pin?: string;
}

const isEvent =
  (name: string, fits: (line: Line) => boolean = () => true) =>
  (line: Line): boolean =>
    line.type === "event" && line.event === name && fits(line);

/** Where the owner's key lies, below the folder of all. */
export function keyFileOf(owner: Owner): string {
  return join(owner, KEY_FILES[owner]);
}

/** @returns the owner's key file in PEM */
export async function keyOf(owner: Owner): Promise<string> {
  return readFileSync(await keyPath(KEYS[owner]), "latin1");
}

/** Twice, as a person does, and none that erases. */
async function choosePin(program: Program, pin: string): Promise<void> {
  for (const purpose of ["choose", "repeat"]) {
    await program.next(
      `the PIN, to ${purpose}`,
      isEvent("pin-wanted", (line) => line.purpose === purpose),
      30_000,
    );
    program.send(`key ${pin}`);
    program.send("press call");
  }
  await program.next(
    "the PIN that erases",
    isEvent("pin-wanted", ({ purpose }) => purpose === "duress"),
    30_000,
  );
  program.send("press hang-up");
}

export class Telephones {
  readonly #programs: Record<Owner, Program>;
  readonly #spoken: string;
  readonly #folder: string;

  readonly #restart: () => Promise<Program>;

  private constructor(
    programs: Record<Owner, Program>,
    spoken: string,
    folder: string,
    restart: () => Promise<Program>,
  ) {
    this.#programs = programs;
    this.#restart = restart;
    this.#spoken = spoken;
    this.#folder = folder;
  }

  /** All three up, both handsets off the line. @throws {ProgramError} */
  static async open({ folder, env, nodeFlags, fresh = false, pin }: TelephonesOptions): Promise<Telephones> {
    const sealed = (owner: Owner): boolean => pin !== undefined && owner === "anna";
    const data = async (owner: Owner): Promise<string> => {
      const at = join(folder, owner);
      mkdirSync(at, { recursive: true, mode: 0o700 });
      if (fresh && !sealed(owner)) return at;
      copyFileSync(await keyPath(KEYS[owner]), join(folder, keyFileOf(owner)));
      chmodSync(join(folder, keyFileOf(owner)), 0o600);
      return at;
    };
    const started: Program[] = [];
    process.chdir(folder); // core files lie where a process has been started
    const start = (owner: Owner, script: string, flags: string[]): Program => {
      const onText = (text: string): void => {
        if (fresh) appendFileSync(join(folder, `${owner}.said`), `${text}\n`);
      };
      const program = new Program(owner, script, flags, { env: { ...process.env, ...env }, nodeFlags, onText });
      started.push(program);
      return program;
    };
    try {
      const place = ["--host", "127.0.0.1", "--port", "0", "--udp-port", "0", "--health-port", "0"];
      const server = start("server", "server/main.ts", ["--data", await data("server"), ...place]);
      const [, port, uid] = await server.complaint("its port", /port (\d+), fingerprint ([0-9a-f]{64})/);
      const handset = async (owner: Owner): Promise<Program> => {
        const program = start(owner, "firmware/main.ts", [
          ...["--board", "terminal", "--json", "--language", "en", "--name", owner],
          ...(sealed(owner) ? [] : ["--no-pin"]),
          ...["--data", await data(owner), "--server", `127.0.0.1:${port}`, "--server-key", uid!],
          ...(fresh ? ["--trace", join(folder, `${owner}.trace`)] : []),
        ]);
        await program.next("its first screen", (line) => line.type === "screen");
        if (sealed(owner)) await choosePin(program, pin!);
        // The screen is there before the key, and a look at a handset without a vault would show nothing.
        await program.complaint("its key", /fingerprint [0-9a-f]{64}/);
        return program;
      };
      const programs = { server, anna: await handset("anna"), ben: await handset("ben") };
      return new Telephones(programs, findVoices(folder).a[0], folder, () => handset("ben"));
    } catch (error) {
      await Promise.all(started.map((program) => program.end(() => program.terminate())));
      throw error;
    }
  }

  async connect(owner: "anna" | "ben"): Promise<void> {
    const program = this.#programs[owner];
    program.send("press connect");
    await program.next("connected", isEvent("connected"), 30_000);
  }

  /** Both, from the start; Anna knows Ben then. */
  async connectBoth(): Promise<void> {
    await this.connect("anna");
    await this.connect("ben");
    await this.#programs.anna.next("Ben", isEvent("directory"));
  }

  /** Anna calls Ben; both talk, and go on talking. */
  async call(): Promise<void> {
    const { anna, ben } = this.#programs;
    const directory = anna.lines.findLast((line) => line.directory !== undefined)!.directory as {
      contacts: { id: number; own: boolean }[];
    };
    await toPhonebook(anna);
    anna.send(`key ${directory.contacts.find(({ own }) => !own)!.id}`);
    await anna.next("the name behind the digits", (line) => line.type === "screen" && line.name === "dial");
    anna.send("press call");
    await ben.next("ringing", isEvent("incoming"), 30_000);
    ben.send("press call");
    for (const program of [anna, ben]) await program.next("in call", isEvent("in-call"), 30_000);
    for (const program of [anna, ben]) program.send(`say ${this.#spoken}`);
  }

  async hangUp(): Promise<void> {
    const { anna, ben } = this.#programs;
    ben.send("press hang-up");
    for (const program of [anna, ben]) await program.next("the end", isEvent("ended"), 30_000);
  }

  async update(): Promise<void> {
    const { anna } = this.#programs;
    await toPhonebook(anna);
    anna.send("press update");
    await anna.next("the update", isEvent("updated"), 30_000);
  }

  /** Ben's handset is switched off and on: it loads its key and connects with all steps. */
  async comeBack(): Promise<void> {
    const { anna, ben } = this.#programs;
    await ben.end(() => ben.send("quit"));
    await anna.next("the leave", isEvent("directory"), 30_000);
    this.#programs.ben = await this.#restart();
    await this.connect("ben");
    await anna.next("the return", isEvent("directory"), 30_000);
  }

  /** Whoever runs stands still while `look` runs, wherever it was; it is told their process numbers. */
  async stopped<Seen>(look: (standing: ReadonlyMap<Owner, number>) => Promise<Seen>): Promise<Seen> {
    const running = owners.filter((owner) => this.#programs[owner].running);
    const pids = new Map(running.map((owner) => [owner, this.#programs[owner].pid]));
    for (const pid of pids.values()) signal(pid, "SIGSTOP");
    try {
      const standing = new Map<Owner, number>();
      for (const [owner, pid] of pids) if (await stands(pid)) standing.set(owner, pid);
      return await look(standing);
    } finally {
      for (const pid of pids.values()) signal(pid, "SIGCONT");
    }
  }

  /**
   * A process breaks, and the kernel writes its memory down.
   *
   * @returns the core file; undefined where this machine writes none (its core_pattern, or a process that may not)
   */
  async crash(owner: Owner): Promise<string | undefined> {
    const program = this.#programs[owner];
    // Refused for a process that has given up its cores; then there is none.
    spawnSync("prlimit", ["--pid", `${program.pid}`, "--core=unlimited"], { stdio: "ignore" });
    process.kill(program.pid, "SIGABRT");
    for (const untilMs = performance.now() + CRASH_MS; program.running && performance.now() < untilMs; ) {
      await new Promise((resolve) => setTimeout(resolve, SCREEN_MS));
    }
    const core = readdirSync(this.#folder).find((file) => /^core(\.\d+)?$/.test(file));
    return core && join(this.#folder, core);
  }

  async close(): Promise<void> {
    const { server, anna, ben } = this.#programs;
    for (const program of [anna, ben]) await program.end(() => program.send("quit"));
    await server.end(() => server.terminate());
  }
}

/** Hang up leads back, Call opens the phonebook, from wherever the last call has left the screen. */
function toPhonebook(program: Program): Promise<void> {
  return pressUntil(program, "phonebook", (screen) =>
    screen === "verified" || screen === "front" ? "call" : "hang-up",
  );
}

/** Presses until the screen of that name is there; a press just after a change may go unheard. */
async function pressUntil(
  program: Program,
  wanted: string,
  button: string | ((screen: string) => string),
): Promise<void> {
  const screen = (): string => String(program.lines.findLast((line) => line.type === "screen")?.name);
  for (let presses = 0; screen() !== wanted; presses++) {
    if (presses === MOST_PRESSES) throw new Error(`${program.what} shows ${screen()} and not ${wanted}`);
    program.send(`press ${typeof button === "string" ? button : button(screen())}`);
    await new Promise((resolve) => setTimeout(resolve, SCREEN_MS));
  }
}

/** To a process that may just have ended. */
function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}

/** @returns whether it came to stand; false when it has just ended */
async function stands(pid: number): Promise<boolean> {
  for (;;) {
    const state = stateOf(pid);
    if ("tT".includes(state)) return true;
    if ("ZX".includes(state)) return false;
    await new Promise((resolve) => setTimeout(resolve, STOP_POLL_MS));
  }
}

/** The letter of proc(5); X for a process that is gone. */
function stateOf(pid: number): string {
  try {
    return /^\d+ \(.*\) (\S)/s.exec(readFileSync(`/proc/${pid}/stat`, "latin1"))![1]!;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT" || (error as NodeJS.ErrnoException).code === "ESRCH")
      return "X";
    throw error;
  }
}
