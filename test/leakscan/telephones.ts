/** A server and two handsets, three real processes on this machine, driven by button and stopped while they are looked at. */
import { chmodSync, copyFileSync, mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { type Line, Program } from "../../simulator/program.ts";
import { findVoices } from "../../simulator/voices.ts";
import { keyPath } from "../keys.ts";

/** Of the key pool, no two with a prime in common. */
const KEYS = { server: 0, anna: 5, ben: 14 } as const;
const STOP_POLL_MS = 2;
const SCREEN_MS = 120;

export type Owner = keyof typeof KEYS;
export const owners: readonly Owner[] = ["server", "anna", "ben"];

export interface TelephonesOptions {
  folder: string;
  /** Of each process: which vault, and whether it tells its births. */
  env: NodeJS.ProcessEnv;
  nodeFlags: readonly string[];
}

const isEvent =
  (name: string, fits: (line: Line) => boolean = () => true) =>
  (line: Line): boolean =>
    line.type === "event" && line.event === name && fits(line);

/** @returns the owner's key file in PEM */
export async function keyOf(owner: Owner): Promise<string> {
  return readFileSync(await keyPath(KEYS[owner]), "latin1");
}

export class Telephones {
  readonly #programs: Record<Owner, Program>;
  readonly #spoken: string;

  private constructor(programs: Record<Owner, Program>, spoken: string) {
    this.#programs = programs;
    this.#spoken = spoken;
  }

  /** All three up, both handsets off the line. @throws {ProgramError} */
  static async open({ folder, env, nodeFlags }: TelephonesOptions): Promise<Telephones> {
    const data = async (owner: Owner, file: string): Promise<string> => {
      const at = join(folder, owner);
      mkdirSync(at, { recursive: true, mode: 0o700 });
      copyFileSync(await keyPath(KEYS[owner]), join(at, file));
      chmodSync(join(at, file), 0o600);
      return at;
    };
    const started: Program[] = [];
    const start = (owner: Owner, script: string, flags: string[]): Program => {
      const program = new Program(owner, script, flags, { env: { ...process.env, ...env }, nodeFlags });
      started.push(program);
      return program;
    };
    try {
      const place = ["--host", "127.0.0.1", "--port", "0", "--udp-port", "0", "--health-port", "0"];
      const server = start("server", "server/main.ts", ["--data", await data("server", "server-key.pem"), ...place]);
      const [, port, uid] = await server.complaint("its port", /port (\d+), fingerprint ([0-9a-f]{64})/);
      const handset = async (owner: Owner): Promise<Program> =>
        start(owner, "firmware/main.ts", [
          ...[
            "--board",
            "terminal",
            "--json",
            "--language",
            "en",
            "--name",
            owner,
            "--data",
            await data(owner, "key.pem"),
          ],
          ...["--server", `127.0.0.1:${port}`, "--server-key", uid!],
        ]);
      const [anna, ben] = [await handset("anna"), await handset("ben")];
      for (const program of [anna, ben]) await program.next("its first screen", (line) => line.type === "screen");
      return new Telephones({ server, anna, ben }, findVoices(folder).a[0]);
    } catch (error) {
      await Promise.all(started.map((program) => program.end(() => program.terminate())));
      throw error;
    }
  }

  pid(owner: Owner): number {
    return this.#programs[owner].pid;
  }

  async connect(owner: "anna" | "ben"): Promise<void> {
    const program = this.#programs[owner];
    program.send("press connect");
    await program.next("connected", isEvent("connected"), 30_000);
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

  /** Ben leaves the line and comes back with all of connect's steps. */
  async comeBack(): Promise<void> {
    const { anna, ben } = this.#programs;
    await toPhonebook(ben);
    ben.send("press hang-up");
    ben.send("press call");
    await ben.next("the leave", isEvent("disconnected"), 30_000);
    await anna.next("the leave", isEvent("directory"), 30_000);
    await this.connect("ben");
    await anna.next("the return", isEvent("directory"), 30_000);
  }

  /** All three stand still while `look` runs, wherever they were. */
  async stopped<Seen>(look: () => Promise<Seen>): Promise<Seen> {
    const pids = owners.map((owner) => this.pid(owner));
    for (const pid of pids) process.kill(pid, "SIGSTOP");
    try {
      for (const pid of pids) await standing(pid);
      return await look();
    } finally {
      for (const pid of pids) process.kill(pid, "SIGCONT");
    }
  }

  async close(): Promise<void> {
    const { server, anna, ben } = this.#programs;
    for (const program of [anna, ben]) await program.end(() => program.send("quit"));
    await server.end(() => server.terminate());
  }
}

/** Hang up leads back, Call opens the phonebook, from wherever the last call has left the screen. */
async function toPhonebook(program: Program): Promise<void> {
  const screen = (): unknown => program.lines.findLast((line) => line.type === "screen")?.name;
  for (let presses = 0; screen() !== "phonebook" && presses < 10; presses++) {
    program.send(screen() === "verified" || screen() === "front" ? "press call" : "press hang-up");
    await new Promise((resolve) => setTimeout(resolve, SCREEN_MS));
  }
}

/** Every thread of it is stopped. */
async function standing(pid: number): Promise<void> {
  while (!/^\d+ \(.*\) [Tt] /s.test(readFileSync(`/proc/${pid}/stat`, "latin1"))) {
    await new Promise((resolve) => setTimeout(resolve, STOP_POLL_MS));
  }
}
