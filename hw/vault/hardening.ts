/**
 * The process closes itself to others before there is a key to be seen: no inspector, no core files, nobody else of
 * the same user looks in, no new privileges. Most of it only the kernel can do, so the addon asks it; without the addon
 * JavaScript does what it can and says what is missing.
 */
import { readFileSync } from "node:fs";
import { url as inspectorUrl } from "node:inspector";
import { VaultError } from "@feldfon/protocol/errors";
import type { HardeningStatus } from "@feldfon/protocol/vault";
import { limitOf, loadAddon, type NativeAddon } from "./native.ts";

/**
 * For the main thread of a program, first of all; it counts for its Workers too. There is no way back and no switch to
 * leave it out: whoever wants to look inside has the tests' build of the vault.
 *
 * A process that `--inspect-brk` has stopped never comes here, and so to no key, until somebody attaches.
 *
 * @param addon `null` does without, as on a machine where it was not built
 * @throws {VaultError} `inspector` when one is open or was asked for
 */
export function hardenProcess(addon: Pick<NativeAddon, "harden"> | null = addonIfBuilt()): HardeningStatus {
  // Before it is looked for: afterwards nobody opens it any more.
  const status = addon ? hardenedBy(addon) : hardenedWithout();
  if (inspectorUrl() !== undefined || inspectorAskedFor()) {
    throw new VaultError(
      "inspector",
      "the inspector shows every key to whoever connects to it: start again without --inspect, also in NODE_OPTIONS",
    );
  }
  return status;
}

function addonIfBuilt(): NativeAddon | null {
  try {
    return loadAddon("vault");
  } catch (error) {
    if (error instanceof VaultError && error.code === "not-built") return null;
    throw error;
  }
}

function inspectorAskedFor(): boolean {
  const options = [...process.execArgv, ...(process.env.NODE_OPTIONS ?? "").split(/\s+/)];
  return options.some((option) => /^"?--inspect/.test(option));
}

function hardenedBy(addon: Pick<NativeAddon, "harden">): HardeningStatus {
  const { sigusr1Ignored, ...after } = addon.harden();
  return statusOf({ ...after, coreLimitBytes: limitOf(after.coreLimitBytes), inspector: !sigusr1Ignored });
}

/** systemd may have done what JavaScript can't (LimitCORE, NoNewPrivileges). */
function hardenedWithout(): HardeningStatus {
  process.on("SIGUSR1", () => {});
  const hard = coreLimits()?.hard;
  const privileges = /^NoNewPrivs:\s+(\d)$/m.exec(system("status"))?.[1];
  const seen = {
    ...(hard === undefined ? {} : { coreLimitBytes: hard }),
    ...(privileges === undefined ? {} : { newPrivileges: privileges === "0" }),
    inspector: false,
  };
  return statusOf(seen);
}

function statusOf(seen: Omit<HardeningStatus, "missing">): HardeningStatus {
  const wanted: [done: boolean, sentence: string][] = [
    [seen.dumpable === false, "others of this user may read its memory"],
    [seen.coreLimitBytes === 0, "a crash may leave a core file"],
    [seen.newPrivileges === false, "programs it starts may gain privileges"],
    [!seen.inspector, "SIGUSR1 may open the inspector"],
  ];
  return { ...seen, missing: wanted.filter(([done]) => !done).map(([, sentence]) => sentence) };
}

/** Of core files, in bytes, as Linux shows them; JavaScript has no call for it. */
export function coreLimits(): { soft: number; hard: number } | undefined {
  const [, soft, hard] = /^Max core file size +(\S+) +(\S+)/m.exec(system("limits")) ?? [];
  if (soft === undefined || hard === undefined) return undefined;
  const bytesOf = (limit: string) => (limit === "unlimited" ? Number.POSITIVE_INFINITY : Number(limit));
  return { soft: bytesOf(soft), hard: bytesOf(hard) };
}

/** "" on another system than Linux. */
function system(file: "limits" | "status"): string {
  try {
    return readFileSync(`/proc/self/${file}`, "latin1");
  } catch {
    return "";
  }
}
