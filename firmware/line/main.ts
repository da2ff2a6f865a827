/** The line thread: vault, voice and telephone, wired. Commands come in over the port, events go out. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parentPort, workerData } from "node:worker_threads";
import type { DeviceError } from "@feldfon/protocol/errors";
import { PublicKey } from "@feldfon/protocol/identity";
import type { KeyPair } from "@feldfon/protocol/vault";
import { openVault } from "@feldfon/vault";
import { VoiceEngine } from "@feldfon/voice";
import { FileSound } from "@feldfon/voice/file-sound";
import { PageSound } from "@feldfon/voice/page-sound";
import type { AboutShown, Command } from "../handset/link.ts";
import { handsetTrace } from "../trace.ts";
import type { FromLine, LineSetup } from "./setup.ts";
import { Telephone } from "./telephone.ts";

const setup = workerData as LineSetup;
const port = parentPort!;
const tell = (event: FromLine): void => port.postMessage(event);
const soundFailed = (error: DeviceError): void => tell({ event: "device-failed", device: "sound", code: error.code });

const vault = openVault();
const keyPair = await loadOrMakeKey();
const key = new PublicKey(keyPair.spki);
const files = setup.sound ? undefined : new FileSound(soundFailed);
const voice = new VoiceEngine(files ?? new PageSound(setup.sound!));
const { lastHead } = setup;
const telephone = new Telephone({
  vault,
  keyPair,
  own: { uid: key.uid, name: setup.name, key },
  serverUid: setup.serverUid,
  host: setup.server,
  port: setup.port,
  enrolmentCode: setup.enrolmentCode,
  direct: setup.direct,
  voice,
  keep: {
    lastHead: () => lastHead && { bytes: Buffer.from(lastHead.bytes), signature: Buffer.from(lastHead.signature) },
    saveHead: ({ bytes, signature }) => tell({ event: "keep-head", bytes, signature }),
    saveEvidence,
  },
  now: Date.now,
  random: Math.random,
  tell,
  passed: handsetTrace(setup.trace, key.uid),
});
tell({ event: "key-ready", uid: key.uid });
port.on("message", take);

function take(command: Command): void {
  switch (command.do) {
    case "say":
      files?.say(command.file).catch(soundFailed);
      return;
    case "record":
      files?.record(command.file).catch(soundFailed);
      return;
    case "about":
      return tell({ event: "about", about: about() });
    case "quit":
      void quit();
      return;
    default:
      telephone.command(command);
  }
}

function about(): AboutShown {
  const { protection, library, arena, coreLimitBytes, dumpable } = vault.status();
  return {
    uid: key.uid,
    protection,
    library,
    ...(arena && { arena: { bytes: arena.bytes, usedBytes: arena.usedBytes } }),
    // A process that is not dumpable leaves no core either, whatever the limit.
    coreDumps: dumpable !== false && coreLimitBytes !== 0,
    inspector: setup.hardening.inspector,
    version: setup.version,
  };
}

async function quit(): Promise<void> {
  await telephone.close();
  await voice.close();
  vault.wipeAll();
  tell({ event: "gone" });
  port.close();
}

/** Rows 003-25: made at the first start, kept from then on. */
async function loadOrMakeKey(): Promise<KeyPair> {
  try {
    return await vault.loadKeyPair(setup.key);
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "no-key")) throw error;
  }
  tell({ event: "making-key" });
  const made = await vault.makeKeyPair();
  await vault.saveKeyPair(made, setup.key);
  return made;
}

/** On the card before anybody is told: the last thing a handset does with a server that lied. */
function saveEvidence(bytes: Buffer): string {
  mkdirSync(setup.evidence, { recursive: true, mode: 0o700 });
  const file = join(setup.evidence, `${new Date().toISOString().replaceAll(":", "-")}.evidence`);
  writeFileSync(file, bytes, { mode: 0o600, flush: true });
  return file;
}
