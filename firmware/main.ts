/** `feldfon-handset`: the hand thread. Opens settings and board, starts the line thread, joins them by the runner. */
import { mkdirSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { findPackageJSON } from "node:module";
import { Worker } from "node:worker_threads";
import { boards } from "@feldfon/hw";
import { endOfInput } from "@feldfon/hw/board/terminal";
import { VaultError } from "@feldfon/protocol/errors";
import { hardenProcess } from "@feldfon/vault";
import { readFlags, USAGE } from "./flags.ts";
import type { LineEvent } from "./handset/link.ts";
import { begin } from "./handset/machine.ts";
import { type LineLink, Runner } from "./handset/runner.ts";
import type { FromLine, LineSetup } from "./line/setup.ts";
import { LastHead, openSettings, pathsIn, type Settings, SettingsError, saveSettings } from "./settings.ts";

const EXIT_SETTINGS = 2;
const EXIT_GROUND = 1;
/** For the leave, the last frames and the wiping of the vault. */
const QUIT_MS = 5_000;
/** How long the screen says why the handset does not start, before systemd tries again. */
const TOLD_MS = 30_000;

try {
  await main();
} catch (error) {
  process.stderr.write(`feldfon-handset: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exit(isWronglyStarted(error) ? EXIT_SETTINGS : EXIT_GROUND);
}

function isWronglyStarted(error: unknown): boolean {
  return error instanceof SettingsError || (error instanceof VaultError && error.code === "inspector");
}

async function main(): Promise<void> {
  const hardening = hardenProcess();
  const flags = readFlags(process.argv.slice(2));
  if (flags.help) {
    process.stdout.write(USAGE);
    return;
  }
  for (const missing of hardening.missing) process.stderr.write(`feldfon-handset: not hardened: ${missing}\n`);
  const factory = boards.get(flags.board);
  if (!factory) {
    throw new SettingsError("settings-bad", `--board: "${flags.board}" is none of ${[...boards.keys()].join(", ")}`);
  }
  mkdirSync(flags.data, { recursive: true, mode: 0o700 });
  const paths = pathsIn(flags.data);
  // What did not read is put aside and shown; the handset starts all the same.
  const faults: string[] = [];
  const settings = flags.apply(readSettings(paths.settings, faults));
  if (!settings.serverKey) {
    throw new SettingsError(
      "settings-bad",
      "--server-key is missing: a handset speaks to one server only. `feldfon-server --print-key` on the server shows it",
    );
  }
  saveSettings(paths.settings, settings);

  const lastHead = new LastHead(paths.lastHead);
  const kept = readLastHead(lastHead, faults);
  // Before the line: a board may have microphone and speaker of its own, which the line thread takes over.
  const board = await factory.open({
    input: process.stdin,
    output: process.stdout,
    json: flags.json,
    atEnd: endOfInput(0, process.stdin.isTTY ?? false),
    pagePort: flags.pagePort,
  });
  const line = startLine(flags.json, {
    name: settings.name,
    server: settings.server,
    port: settings.port,
    serverUid: settings.serverKey,
    enrolmentCode: settings.enrolmentCode ?? "",
    direct: settings.direct,
    key: paths.key,
    withPin: settings.pin,
    evidence: paths.evidence,
    trace: flags.trace,
    sound: board.sound,
    hardening,
    version: version(),
    lastHead: kept,
  });
  line.onKeep((bytes, signature) => lastHead.write(bytes, signature));
  line.onWiped(() => forget(paths));

  const runner = new Runner({
    board,
    line,
    language: settings.language,
    state: begin({
      server: `${settings.server}:${settings.port}`,
      ownName: settings.name,
      evidence: keptEvidence(paths.evidence),
      // A speaker that is a file: what is recorded is what was said. A page has a volume of its own.
      volumePercent: 100,
    }),
    idleLockMs: 60_000 * settings.idleLockMinutes,
  });
  for (const code of faults) runner.take({ event: "start-failed", code });
  for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"] as const) {
    process.once(signal, () => runner.take({ event: "quit" }));
  }
  let told: NodeJS.Timeout | undefined;
  line.onBroken((code) => {
    process.exitCode = EXIT_GROUND;
    runner.take({ event: "line-broken", code });
    told = setTimeout(() => runner.take({ event: "quit" }), TOLD_MS);
  });
  await runner.done;
  clearTimeout(told);
}

/** Of the package this file lies in; from dist/ that is the whole tree's, which has the same. */
function version(): string {
  const { version } = JSON.parse(readFileSync(findPackageJSON(import.meta.url)!, "utf8")) as { version: string };
  return version;
}

/** A broken settings file is kept aside: the first settings take its place, and the screen says so. */
function readSettings(path: string, faults: string[]): Settings {
  try {
    return openSettings(path);
  } catch (error) {
    if (!(error instanceof SettingsError)) throw error;
    faults.push(error.code);
    process.stderr.write(`feldfon-handset: ${error.message}\n`);
    return openSettings(path);
  }
}

function readLastHead(lastHead: LastHead, faults: string[]): ReturnType<LastHead["read"]> {
  try {
    return lastHead.read();
  } catch (error) {
    if (!(error instanceof SettingsError)) throw error;
    faults.push(error.code);
    process.stderr.write(`feldfon-handset: ${error.message}\n`);
    return undefined;
  }
}

interface LineThread extends LineLink {
  /** Its vault or its key failed before the key lay open. Told once. @param code of what it threw */
  onBroken(listener: (code: string) => void): void;
  onKeep(listener: (bytes: Uint8Array, signature: Uint8Array) => void): void;
  onWiped(listener: () => void): void;
}

/** @param shown with `--json` the line's events are printed too, one object a line: scripts follow a call by them */
function startLine(shown: boolean, setup: LineSetup): LineThread {
  const extension = import.meta.url.slice(import.meta.url.lastIndexOf("."));
  const worker = new Worker(new URL(`./line/main${extension}`, import.meta.url), {
    workerData: setup,
    transferList: setup.sound ? [setup.sound] : [],
  });
  let listener: (event: LineEvent) => void = () => {};
  let keep: (bytes: Uint8Array, signature: Uint8Array) => void = () => {};
  let wiped: () => void = () => {};
  let broken: (code: string) => void = () => {};
  let keyed = false;
  worker.on("message", (message: FromLine) => {
    switch (message.event) {
      case "key-ready":
        keyed = true;
        process.stderr.write(`feldfon-handset: fingerprint ${message.uid}\n`);
        break;
      case "keep-head":
        keep(message.bytes, message.signature);
        break;
      default:
        if (message.event === "wiped") wiped();
        if (message.event === "making-key") {
          process.stderr.write("feldfon-handset: making this handset's key, once; this takes some seconds\n");
        }
        if (shown) process.stdout.write(`${JSON.stringify({ type: "event", ...message })}\n`);
        listener(message);
    }
  });
  // A thread that broke holds keys and calls in a state nobody knows: the process ends, systemd starts it again. Without a
  // key there is time to tell a person why.
  worker.on("error", (error: Error & { code?: unknown }) => {
    process.stderr.write(`feldfon-handset: ${error.message}\n`);
    if (keyed) process.exit(EXIT_GROUND);
    broken(typeof error.code === "string" ? error.code : "internal");
  });
  return {
    onBroken: (heard) => {
      broken = heard;
    },
    send: (command) => worker.postMessage(command),
    onEvent: (heard) => {
      listener = heard;
    },
    onKeep: (kept) => {
      keep = kept;
    },
    onWiped: (forget) => {
      wiped = forget;
    },
    close: () => {
      setTimeout(() => void worker.terminate(), QUIT_MS).unref();
    },
  };
}

/** What a handset at its first start would not have. Settings are the field's, not the person's. */
function forget({ lastHead, evidence }: ReturnType<typeof pathsIn>): void {
  rmSync(lastHead, { force: true });
  rmSync(evidence, { recursive: true, force: true });
}

/** Evidence of an earlier run: nothing goes on until a person cleared it. */
function keptEvidence(folder: string): string | undefined {
  try {
    return readdirSync(folder).find((file) => file.endsWith(".evidence"));
  } catch {
    return undefined;
  }
}
