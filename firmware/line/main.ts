/** The line thread: vault, voice and telephone, wired. Commands come in over the port, events go out. */
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { parentPort, workerData } from "node:worker_threads";
import { deviceBindings } from "@feldfon/hw/device-secret/index";
import type { DeviceError } from "@feldfon/protocol/errors";
import { PublicKey, type Uid } from "@feldfon/protocol/identity";
import type { Passed } from "@feldfon/protocol/phone/line";
import type { KeyPair } from "@feldfon/protocol/vault";
import { openVault } from "@feldfon/vault";
import { VoiceEngine } from "@feldfon/voice";
import { FileSound } from "@feldfon/voice/file-sound";
import { PageSound } from "@feldfon/voice/page-sound";
import type { AboutShown, Command, LineEvent } from "../handset/link.ts";
import { handsetTrace } from "../trace.ts";
import { KeyStore } from "./key-store.ts";
import { KeyLock } from "./lock.ts";
import type { FromLine, LineSetup } from "./setup.ts";
import { Telephone } from "./telephone.ts";

const setup = workerData as LineSetup;
const port = parentPort!;
const tell = (event: FromLine): void => port.postMessage(event);
const soundFailed = (error: DeviceError): void => tell({ event: "device-failed", device: "sound", code: error.code });

const vault = openVault();
const files = setup.sound ? undefined : new FileSound(soundFailed);
const voice = new VoiceEngine(files ?? new PageSound(setup.sound!));
/** While the key lies open in the vault. */
let phone: { telephone: Telephone; uid: Uid } | undefined;
/** As the hand has it on the card: a telephone after the lock goes on where the one before it stopped. */
let { lastHead } = setup;
let quitting = false;
let trace: { uid: Uid; passed: (message: Passed) => void } | undefined;

const keys = await KeyStore.open({
  path: setup.key,
  vault,
  devices: deviceBindings(dirname(setup.key)),
  withPin: setup.withPin,
});
const lock = new KeyLock({
  keys,
  vault,
  withPin: setup.withPin,
  tell: told,
  opened: openTelephone,
  closing: closeTelephone,
});
port.on("message", take);
await lock.begin().catch((error) => {
  // A key that was being made comes into a vault that is wiped.
  if (!quitting) throw error;
});

function openTelephone(keyPair: KeyPair): void {
  const key = new PublicKey(keyPair.spki);
  if (trace?.uid !== key.uid) trace = { uid: key.uid, passed: handsetTrace(setup.trace, key.uid) };
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
      saveHead: ({ bytes, signature }) => {
        lastHead = { bytes, signature };
        tell({ event: "keep-head", bytes, signature });
      },
      saveEvidence,
    },
    now: Date.now,
    random: Math.random,
    tell,
    passed: trace.passed,
  });
  phone = { telephone, uid: key.uid };
  tell({ event: "key-ready", uid: key.uid });
}

async function closeTelephone(): Promise<void> {
  await phone?.telephone.close();
  phone = undefined;
}

function told(event: LineEvent): void {
  if (event.event === "wiped") lastHead = undefined;
  tell(event);
}

function take(command: Command): void {
  switch (command.do) {
    case "say":
      files?.say(command.file).catch(soundFailed);
      return;
    case "record":
      files?.record(command.file).catch(soundFailed);
      return;
    case "about":
      if (phone) tell({ event: "about", about: about(phone.uid) });
      return;
    case "quit":
      void quit();
      return;
    case "tone":
      return voice.tone(command.tone);
    case "sound":
      return voice.tone(command.sound);
    case "mute":
      return voice.mute(command.on);
    case "volume":
      return voice.volume(command.percent);
    case "pin-digit":
    case "pin-erase":
    case "pin-done":
    case "pin-leave":
    case "change-pin":
    case "lock":
      void lock.command(command);
      return;
    default:
      phone?.telephone.command(command);
  }
}

function about(uid: Uid): AboutShown {
  const { protection, library, arena, randomness, coreLimitBytes, dumpable } = vault.status();
  return {
    uid,
    protection,
    library,
    randomness,
    ...(arena && { arena: { bytes: arena.bytes, usedBytes: arena.usedBytes } }),
    // A process that is not dumpable leaves no core either, whatever the limit.
    coreDumps: dumpable !== false && coreLimitBytes !== 0,
    inspector: setup.hardening.inspector,
    version: setup.version,
    pin: keys.kind === "sealed",
    ...(keys.device && { deviceSecret: keys.device }),
  };
}

async function quit(): Promise<void> {
  quitting = true;
  await closeTelephone();
  await voice.close();
  vault.wipeAll();
  tell({ event: "gone" });
  port.close();
}

/** On the card before anybody is told: the last thing a handset does with a server that lied. */
function saveEvidence(bytes: Buffer): string {
  mkdirSync(setup.evidence, { recursive: true, mode: 0o700 });
  const file = join(setup.evidence, `${new Date().toISOString().replaceAll(":", "-")}.evidence`);
  writeFileSync(file, bytes, { mode: 0o600, flush: true });
  return file;
}
