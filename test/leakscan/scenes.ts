/** What the leak scan looks at: one conversation with one kind of vault, at each of its moments, all three processes. */
import { randomInt } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Births } from "./births.ts";
import { keyNeedles, secretNeedles } from "./needles.ts";
import { type Place, Scanner } from "./scanner.ts";
import { keyOf, type Owner, owners, Telephones } from "./telephones.ts";

const LONGEST_WAIT_MS = 700;
/** Shorter secrets than a GCM tag are none. */
const LEAST_SECRET_BYTES = 16;
export const PRELOAD = join(import.meta.dirname, "tell-births.ts");

/** The moment of which a core file tells. */
export const CRASH = "after a crash";

export interface Scene {
  name: string;
  /** FELDFON_VAULT of the three processes; empty: the best there is. */
  vault: "" | "locked" | "degraded";
  /** Secrets of the session are searched for too, so the addon is the testing build. */
  watched: boolean;
  /** At last all three crash in mid-call, and their core files are read. */
  cores: boolean;
  /** Stops at random moments while calls, updates and connects go on. */
  stops: number;
}

/** One process at one moment. */
export interface Look {
  scene: string;
  moment: string;
  owner: Owner;
  places: Place[];
}

export interface SceneResult {
  looks: Look[];
  needles: number;
  /** Distinct secrets of the session that were searched for at the end. */
  secrets: number;
}

/** @param folder for the scanner's program, data and pipe; the caller removes it */
export async function play(scene: Scene, folder: string): Promise<SceneResult> {
  const own = mkdtempSync(join(folder, "scene-"));
  const scanner = Scanner.open(folder);
  const births = new Births(own);
  const looks: Look[] = [];
  for (const owner of owners) {
    const { modulus, needles } = keyNeedles(owner, await keyOf(owner));
    scanner.addModulus(owner, modulus);
    scanner.add(needles);
  }
  const telephones = await Telephones.open({
    folder: own,
    env: { FELDFON_VAULT: scene.vault, ...(scene.watched ? { FELDFON_LEAKSCAN_BIRTHS: births.path } : {}) },
    nodeFlags: scene.watched ? ["--import", PRELOAD] : [],
  });

  let secrets = 0;
  const learn = async () => {
    secrets = await learnFrom(births, scanner, secrets);
  };
  const look = (moment: string) =>
    telephones.stopped(async (standing) => {
      await learn();
      for (const [owner, pid] of standing) {
        looks.push({ scene: scene.name, moment, owner, places: await scanner.scanProcess(pid, owner) });
      }
    });
  const lookAtCores = async () => {
    for (const owner of owners) {
      const core = await telephones.crash(owner);
      await learn();
      looks.push({ scene: scene.name, moment: CRASH, owner, places: core ? await scanner.scanCore(core, owner) : [] });
      if (core) rmSync(core);
    }
  };

  try {
    await telephones.connectBoth();
    await look("idle");
    await telephones.call();
    await look("in call");
    await telephones.hangUp();
    await look("after hang-up");
    if (scene.stops > 0) {
      const busy = keepBusy(telephones);
      for (let stop = 1; stop <= scene.stops; stop++) {
        await Promise.race([new Promise((resolve) => setTimeout(resolve, randomInt(LONGEST_WAIT_MS))), busy.failed]);
        await look(`stop ${stop}`);
      }
      await busy.end();
      await look("at the end");
    }
    if (scene.cores) {
      await telephones.call();
      await lookAtCores();
    }
    return { looks, needles: scanner.needles, secrets };
  } finally {
    await telephones.close();
    births.close();
    await scanner.close();
    process.chdir(tmpdir());
    rmSync(own, { recursive: true });
  }
}

/** Makes needles of what was told since the last time. @returns how many secrets that makes with those `before` */
export async function learnFrom(births: Births, scanner: Scanner, before: number): Promise<number> {
  let secrets = before;
  for (const secret of await births.take()) {
    secrets++;
    if (secret.length >= LEAST_SECRET_BYTES) scanner.add(secretNeedles(`secret-${secrets}/${secret.length}`, secret));
  }
  return secrets;
}

/** Calls, updates and connects, one after the other, until the end. */
function keepBusy(telephones: Telephones): { failed: Promise<never>; end(): Promise<void> } {
  let over = false;
  const rounds = (async () => {
    while (!over) {
      await telephones.call();
      await telephones.hangUp();
      if (!over) await telephones.update();
      if (!over) await telephones.comeBack();
    }
  })();
  const failed = new Promise<never>((_, reject) => void rounds.catch(reject));
  failed.catch(() => {}); // told where it is waited for
  return {
    failed,
    end: async () => {
      over = true;
      await rounds;
    },
  };
}
