/** `feldfon-server`: reads its settings, opens vault and store, runs until it is told to stop. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { VaultError } from "@feldfon/protocol/errors";
import { PublicKey } from "@feldfon/protocol/identity";
import type { KeyPair, Vault } from "@feldfon/protocol/vault";
import { hardenProcess, openVault } from "@feldfon/vault";
import { openLog } from "./log.ts";
import { ARENA_BYTES } from "./process-memory.ts";
import { FeldfonServer } from "./server.ts";
import { readSettings, SettingsError, usage } from "./settings.ts";
import { openStore } from "./store.ts";

const EXIT_SETTINGS = 2;
const EXIT_GROUND = 1;

const WHAT_TO_DO = "restore a backup, or move it away and all handsets have to be pinned anew";

try {
  await main();
} catch (error) {
  process.stderr.write(`feldfon-server: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exit(isWronglyStarted(error) ? EXIT_SETTINGS : EXIT_GROUND);
}

function isWronglyStarted(error: unknown): boolean {
  return error instanceof SettingsError || (error instanceof VaultError && error.code === "inspector");
}

async function main(): Promise<void> {
  const hardening = hardenProcess();
  const settings = readSettings(process.argv.slice(2), process.env);
  if (settings.command === "help") {
    process.stdout.write(usage());
    return;
  }
  mkdirSync(settings.data, { recursive: true, mode: 0o700 });
  const vault = openVault({ arenaBytes: ARENA_BYTES });
  const keyPair = await loadOrMakeKey(vault, join(settings.data, "server-key.pem"));
  const serverKey = new PublicKey(keyPair.spki);
  if (settings.command === "print-key") {
    process.stdout.write(`${serverKey.uid}\n`);
    return;
  }
  const log = openLog();
  if (hardening.missing.length > 0) log.warn("not hardened", { what: hardening.missing.join("; ") });
  const store = await openStore(join(settings.data, "directory.sqlite"));
  if (!(await store.newest())) {
    log.warn("new directory", {
      what: "none was here: this one begins at epoch 0, handsets that know another one refuse it",
    });
  }
  const stop = async (signal: string, code: number): Promise<never> => {
    log.info("stopping", { what: signal });
    await server.close();
    vault.wipeAll();
    log.info("stopped");
    process.exit(code);
  };
  const server = await FeldfonServer.open(settings, {
    vault,
    keyPair,
    store,
    log,
    onFault: (error) => {
      log.error("the ground gave way", { err: error });
      void stop("fault", EXIT_GROUND);
    },
  });
  for (const signal of ["SIGTERM", "SIGINT"] as const) process.once(signal, () => void stop(signal, 0));
  // A server that another program has started (simulator, tests) ends with it, however that one went.
  process.once("disconnect", () => void stop("whoever started it is gone", 0));
  if (process.connected === false) void stop("whoever started it is gone", 0);
  const { protection, because } = vault.status();
  log.info("listening", {
    port: server.port,
    epoch: server.epoch,
    what: `health on 127.0.0.1:${server.healthPort}, vault ${protection}${because ? ` (${because})` : ""}`,
  });
  process.stderr.write(`feldfon-server: port ${server.port}, fingerprint ${serverKey.uid}\n`);
}

/** Row 003-50: made once, kept for good. A key that is there and does not read is never replaced. */
async function loadOrMakeKey(vault: Vault, path: string): Promise<KeyPair> {
  try {
    return await vault.loadKeyPair(path);
  } catch (cause) {
    if (!(cause instanceof VaultError)) throw cause;
    if (cause.code !== "no-key") {
      const advice = cause.code === "bad-key" ? `: ${WHAT_TO_DO}` : "";
      throw new Error(`${path}: ${cause.message}${advice}`, { cause });
    }
  }
  const keyPair = await vault.makeKeyPair();
  await vault.saveKeyPair(keyPair, path);
  return keyPair;
}
