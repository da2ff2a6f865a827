/**
 * The first call: a server and two handsets, three real processes, scripted as two people would (issue "The first call").
 *
 *     connect both -> roots -> A calls B by number pad -> both speak at once -> B hangs up -> again, with another key ->
 *     update -> A leaves and the ids close up
 */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { connectSteps } from "@feldfon/protocol/phone/orders";
import { readSpeech } from "@feldfon/voice/file-sound";
import { compareVoicePieces } from "@feldfon/voice/snr";
import { PROVED } from "./page/steps.ts";
import { type Line, Program } from "./program.ts";
import { findVoices } from "./voices.ts";

export interface CallReport {
  /** From OK on A to "in call" on A, with a person at B who answers at once. */
  setupMs: number;
  /** Sent by A and B together. */
  packets: number;
  /** Distinct sizes of voice packets, both directions. */
  packetSizes: number[];
  lost: number;
  /** What was heard at A and at B against what was said to them, the median of its quarter seconds. */
  snrDb: { a: number; b: number };
  sas: { a: string; b: string };
  /** The ends that reported their keys wiped. */
  erased: string[];
}

export interface DemoReport {
  ok: boolean;
  steps: { step: string; ms: number }[];
  root: { a: string; b: string; server: string };
  calls: CallReport[];
  vault: { a: string; b: string; server: string };
}

export interface DemoOptions {
  /** For keys, settings and recordings; the caller removes it. */
  folder: string;
  /** Folder for one trace file a process. */
  traces: string | undefined;
  say(text: string): void;
}

/** Behind the longest speech: relay, jitter buffer and recording. */
const TAIL_MS = 1_200;
/** A machine under heavy load may stand still for a moment; that spoils the voice of this moment, and is no broken demo. */
const PIECE_SAMPLES = 4_000;

const isEvent =
  (name: string, fits: (line: Line) => boolean = () => true) =>
  (line: Line): boolean =>
    line.type === "event" && line.event === name && fits(line);

interface Handset {
  sign: "A" | "B";
  program: Program;
  folder: string;
}

interface Directory {
  seedRoot: string;
  contacts: { id: number; name: string; own: boolean }[];
}

export async function runDemo({ folder, traces, say }: DemoOptions): Promise<DemoReport> {
  const voices = findVoices(folder);
  const traceOf = (name: string) => (traces ? ["--trace", join(traces, `${name}.trace`)] : []);
  if (traces) mkdirSync(traces, { recursive: true });
  const server = new Program("server", "server/main.ts", [
    ...["--data", join(folder, "server"), "--host", "127.0.0.1", "--port", "0", "--udp-port", "0"],
    ...["--health-port", "0", "--call-log", "on", ...traceOf("server")],
  ]);
  const programs = [server];
  try {
    say("A server makes its RSA-4096 key and listens.");
    const [, port, fingerprint] = await server.complaint("its port", /port (\d+), fingerprint ([0-9a-f]{64})/);
    const listening = await server.next("listening", (line) => line.msg === "listening");
    const health = /127\.0\.0\.1:(\d+)/.exec(String(listening.what))?.[1];
    say(`  port ${port}, fingerprint ${fingerprint}`);
    const start = (sign: Handset["sign"], name: string): Handset => {
      const program = new Program(`handset ${sign}`, "firmware/main.ts", [
        ...[
          "--board",
          "terminal",
          "--json",
          "--language",
          "en",
          "--name",
          name,
          "--data",
          join(folder, name),
          "--no-pin",
        ],
        ...["--server", `127.0.0.1:${port}`, "--server-key", fingerprint!, ...traceOf(name)],
      ]);
      programs.push(program);
      return { sign, program, folder: join(folder, name) };
    };
    say("Two handsets start and make their keys.");
    const [a, b] = [start("A", "Anna"), start("B", "Ben")];
    for (const { program } of [a, b])
      await program.next("its key", (line) => line.type === "screen" && line.name === "off", 60_000);

    say("\nA connects.");
    const connectedA = await connect(a, say);
    say("\nB connects.");
    const beganMs = performance.now();
    const connectedB = await connect(b, say, async () => {
      await a.program.next("the delta", isEvent("directory"));
      return performance.now() - beganMs;
    });
    const directoryA = directoryOf(a.program);
    const state = (await (await fetch(`http://127.0.0.1:${health}/state`)).json()) as Record<string, string>;
    const root = { a: directoryA.seedRoot, b: connectedB.directory.seedRoot, server: state.seedRoot! };
    say(`\nRoots\n  A       ${root.a}\n  B       ${root.b}\n  server  ${root.server}`);

    const steps = [...connectedB.steps];
    const calls: CallReport[] = [];
    const timed = async <T>(step: string, run: () => Promise<T>): Promise<T> => {
      const fromMs = performance.now();
      const result = await run();
      steps.push({ step, ms: Math.round(performance.now() - fromMs) });
      return result;
    };
    for (const at of [0, 1] as const) {
      say(at === 0 ? "\nA calls B by number pad." : "\nA calls again: another key.");
      calls.push(
        await timed(at === 0 ? "call" : "call again", () =>
          call(a, b, server, { a: voices.a[at], b: voices.b[at] }, String(at), say),
        ),
      );
    }
    say("\nA updates.");
    await timed("update", () => update(a, say));
    say("\nA leaves, and the ids close up.");
    await timed("leave", () => leave(a, b, say));
    await b.program.end(() => b.program.send("quit"));
    await server.end(() => server.terminate());
    say("\nAll three processes have ended.");

    const vault = { a: connectedA.protection, b: connectedB.protection, server: state.protection! };
    return { ok: isGood(root, calls), steps, root, calls, vault };
  } finally {
    await Promise.all(programs.map((program) => program.end(() => program.terminate())));
  }
}

interface Connected {
  steps: { step: string; ms: number }[];
  directory: Directory;
  protection: string;
}

/** @param others settles when the others have heard of it (step 7), with the ms since the button was pressed */
async function connect(handset: Handset, say: DemoOptions["say"], others?: () => Promise<number>): Promise<Connected> {
  const { program } = handset;
  const steps: { step: string; ms: number }[] = [];
  let doneMs = 0;
  program.send("press connect");
  for (const { step } of connectSteps) {
    const line = await program.next(
      `step ${step}`,
      isEvent("step", (event) => event.step === step),
    );
    const atMs = step === "7" && others ? Math.round(await others()) : Number(line.ms);
    const ms = Math.max(0, atMs - doneMs);
    // The others are told beside the loop, which does not wait for them.
    if (step !== "7") doneMs = atMs;
    steps.push({ step, ms });
    say(`  ${step.padEnd(4)}${PROVED.en[step]} (${ms} ms)`);
  }
  const connected = await program.next("connected", isEvent("connected"));
  return { steps, directory: connected.directory as Directory, protection: String(connected.protection) };
}

async function call(
  a: Handset,
  b: Handset,
  server: Program,
  spoken: { a: string; b: string },
  number: string,
  say: DemoOptions["say"],
): Promise<CallReport> {
  const heard = { a: join(a.folder, `heard-${number}.wav`), b: join(b.folder, `heard-${number}.wav`) };
  const idOfB = directoryOf(a.program).contacts.find(({ own }) => !own)!.id;
  await toPhonebook(a.program);
  a.program.send(`key ${idOfB}`);
  await a.program.next("the name behind the digits", (line) => line.type === "screen" && line.name === "dial");
  const pressedMs = performance.now();
  a.program.send("press call");
  await b.program.next("ringing", isEvent("incoming"));
  await a.program.next("ringback", isEvent("rings"));
  b.program.send("press call");
  const [atA, atB] = [
    await a.program.next("in call", isEvent("in-call")),
    await b.program.next("in call", isEvent("in-call")),
  ];
  const setupMs = Math.round(performance.now() - pressedMs);
  const sas = { a: digits(atA.sas), b: digits(atB.sas) };
  say(`  in call after ${setupMs} ms; on both displays: A ${sas.a}, B ${sas.b}`);

  a.program.send(`record ${heard.a}`);
  b.program.send(`record ${heard.b}`);
  a.program.send(`say ${spoken.a}`);
  b.program.send(`say ${spoken.b}`);
  const said = { a: await readSpeech(spoken.a), b: await readSpeech(spoken.b) };
  const longestMs = (Math.max(said.a.length, said.b.length) / 16_000) * 1_000;
  await new Promise((resolve) => setTimeout(resolve, longestMs + TAIL_MS));

  say("  B hangs up.");
  b.program.send("press hang-up");
  const ended = {
    a: await a.program.next("the end", isEvent("ended")),
    b: await b.program.next("the end", isEvent("ended")),
  };
  const wiped = await server.next("wiped keys", (line) => line.msg === "call" && String(line.what).startsWith("over"));
  const voice = { a: lastVoice(a.program), b: lastVoice(b.program) };
  const erased = [
    ...(ended.a.erased === "both" ? ["a"] : []),
    ...(ended.b.erased === "both" ? ["b"] : []),
    ...(wiped.call === atA.callId ? ["server"] : []),
  ];
  // `record` elsewhere makes the last recording whole.
  for (const { program, folder } of [a, b]) program.send(`record ${join(folder, "rest.wav")}`);
  await new Promise((resolve) => setTimeout(resolve, 300));
  const snrDb = {
    a: compareVoicePieces(said.b, await readSpeech(heard.a), PIECE_SAMPLES),
    b: compareVoicePieces(said.a, await readSpeech(heard.b), PIECE_SAMPLES),
  };
  say(`  heard: at A ${snrDb.a} dB, at B ${snrDb.b} dB; keys erased: ${erased.join(", ")}`);
  return {
    setupMs,
    packets: Number(voice.a.sent) + Number(voice.b.sent),
    packetSizes: [...new Set([...(voice.a.packetSizes as number[]), ...(voice.b.packetSizes as number[])])],
    lost: Number(voice.a.lost) + Number(voice.b.lost),
    snrDb,
    sas,
    erased,
  };
}

async function update({ program }: Handset, say: DemoOptions["say"]): Promise<void> {
  await toPhonebook(program);
  program.send("press update");
  const updated = await program.next("the update", isEvent("updated"));
  say(
    `  old root ${updated.oldRoot}\n  new root ${updated.newRoot}\n  the server says the same: ${updated.same ? "yes" : "NO"}`,
  );
}

/** Handset 0 leaves by `quit`; the other one moves down to 0. */
async function leave(a: Handset, b: Handset, say: DemoOptions["say"]): Promise<void> {
  await a.program.end(() => a.program.send("quit"));
  const line = await b.program.next("the ids", isEvent("directory"));
  const { contacts } = line.directory as Directory;
  const own = contacts.find((contact) => contact.own);
  if (own?.id !== 0 || contacts.length !== 1) throw new Error("the ids did not close up");
  say(`  B was 1 and is ${own.id} now.`);
}

/** Hang up leads back, Call opens the phonebook, from wherever the last call has left the screen. */
async function toPhonebook(program: Program): Promise<void> {
  const screen = (): unknown => program.lines.findLast((line) => line.type === "screen")?.name;
  for (let presses = 0; screen() !== "phonebook" && presses < 6; presses++) {
    program.send(screen() === "verified" || screen() === "front" ? "press call" : "press hang-up");
    await new Promise((resolve) => setTimeout(resolve, 150));
  }
}

function directoryOf(program: Program): Directory {
  return program.lines.findLast((line) => line.directory !== undefined)!.directory as Directory;
}

function lastVoice(program: Program): Line {
  return program.lines.findLast((line) => line.event === "voice")!;
}

function digits(sas: unknown): string {
  return (sas as number[]).map((number) => String(number).padStart(2, "0")).join(" ");
}

/** Fails the demo as loudly as a broken step would. */
function isGood(root: DemoReport["root"], calls: CallReport[]): boolean {
  const oneRoot = root.a === root.b && root.b === root.server;
  const otherKeys = new Set(calls.map(({ sas }) => sas.a)).size === calls.length;
  return (
    oneRoot &&
    otherKeys &&
    calls.every(
      ({ sas, packetSizes, snrDb, erased }) =>
        sas.a === sas.b && packetSizes.length === 1 && erased.length === 3 && Math.min(snrDb.a, snrDb.b) >= GOOD_SNR_DB,
    )
  );
}

/** 99 is sample for sample. As .ci/check-demo.ts wants it. */
const GOOD_SNR_DB = 20;
