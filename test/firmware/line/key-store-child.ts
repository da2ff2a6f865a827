/**
 * One deed of a key store, in a process that kills itself at the moment asked for:
 *
 *     FOLDER "unlock PIN" | seal | change | duress    "step N": before the Nth call that touches the card
 *                                                     argon2: while a try is under way    opened: right after it
 */
import fs from "node:fs";
import promises from "node:fs/promises";
import { syncBuiltinESMExports } from "node:module";
import { join } from "node:path";
import { DURESS, OTHER, PIN, type } from "../../pins.ts";

const [folder, what, at] = process.argv.slice(2) as [string, string, string];
const [deed, pin] = what.split(" ") as [string, string | undefined];
let stepsLeft = at.startsWith("step ") ? Number(at.slice(5)) : Number.POSITIVE_INFINITY;
const end = () => process.kill(process.pid, "SIGKILL");

// biome-ignore lint/suspicious/noExplicitAny: functions of any form are wrapped by name
function countCalls(place: any, names: readonly string[]): void {
  for (const name of names) {
    const original = place[name];
    // biome-ignore lint/suspicious/noExplicitAny: passed on as they came
    place[name] = function counted(this: unknown, ...given: any[]) {
      const isOurs = name === "sync" || name === "writeFile" || name === "write" || typeof given[0] !== "string";
      if ((isOurs || given[0].startsWith(folder)) && --stepsLeft === 0) end();
      return original.apply(this, given);
    };
  }
}

const { CHEAP } = await import("../../pins.ts");
const probe = await promises.open(import.meta.filename);
countCalls(Object.getPrototypeOf(probe), ["sync", "writeFile", "write"]);
await probe.close();
countCalls(promises, ["open", "rename", "rm"]);
countCalls(fs, ["openSync", "writeSync", "fsyncSync", "renameSync", "rmSync", "unlinkSync"]);
syncBuiltinESMExports();

const { FileBinding } = await import("@feldfon/hw/device-secret/file");
const { NodeVault } = await import("@feldfon/vault");
const { KeyStore } = await import("../../../firmware/line/key-store.ts");

const vault = new NodeVault({ pinCost: CHEAP });
const load = vault.loadSealedKeyPair.bind(vault);
vault.loadSealedKeyPair = async (...given) => {
  const trying = load(...given);
  if (at === "argon2") setImmediate(end);
  const unlocked = await trying;
  if (at === "opened") end();
  return unlocked;
};
const path = join(folder, "key.pem");
const devices = [new FileBinding(join(folder, "device"))];
let hours = 0;
const now = () => ++hours * 3_600_000; // no wait is long enough to be seen
const store = await KeyStore.open({ path, vault, devices, withPin: true, now });
if (deed === "unlock") {
  type(vault, pin!);
  process.send!((await store.unlock()).is);
} else {
  await run();
  process.send!("done");
}
process.disconnect();

async function run(): Promise<void> {
  if (deed === "seal") {
    type(vault, PIN);
    await store.create();
    return;
  }
  type(vault, PIN);
  const opened = await store.unlock();
  if (opened.is !== "open") throw new Error(`the PIN was ${opened.is}`);
  type(vault, deed === "change" ? OTHER : DURESS);
  await (deed === "change" ? store.changePin(opened.pair) : store.setDuress());
}
