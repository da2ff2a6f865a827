/**
 * What a conversation leaves on disk: server and handsets start for the first time, call, and shut down; then every
 * file of theirs is searched, as the memory of the other scenes is. Anna has chosen a PIN: her key came in the clear and
 * is in no file any more. The key files of the server and of Ben, who has no PIN, show their keys, are named, and prove
 * that the scanner bites. This machine has no chip, so Anna's device secret is a file, named too: half of what opens her
 * key, the other is the PIN. Nothing else may show a byte.
 */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { Births } from "./births.ts";
import type { Verdict } from "./judge.ts";
import { keyNeedles } from "./needles.ts";
import { type Place, Scanner } from "./scanner.ts";
import { learnFrom, PRELOAD } from "./scenes.ts";
import { keyFileOf, keyOf, type Owner, owners, Telephones } from "./telephones.ts";

const SEALED: Owner = "anna";
const PIN = "480173926501";
const DEVICE_FILE = `${SEALED}/device`;

/** One file at one moment. */
export interface FileLook {
  moment: string;
  /** Below the folder of all, e.g. `anna/key.pem`. */
  file: string;
  place: Place;
}

export interface AtRest extends Verdict {
  files: FileLook[];
}

/** @param folder for the scanner's program, data and pipe; the caller removes it */
export async function atRest(folder: string): Promise<AtRest> {
  const own = mkdtempSync(join(folder, "at-rest-"));
  const all = join(own, "all");
  const temporary = join(all, "tmp");
  mkdirSync(temporary, { recursive: true });
  const scanner = Scanner.open(folder);
  const births = new Births(own);
  const files: FileLook[] = [];
  let secrets = 0;
  let keysKnown = false;

  const look = async (moment: string): Promise<void> => {
    secrets = await learnFrom(births, scanner, secrets);
    if (!keysKnown) {
      for (const owner of owners) {
        const pem = owner === SEALED ? await keyOf(owner) : readFileSync(join(all, keyFileOf(owner)), "latin1");
        const { modulus, needles } = keyNeedles(owner, pem);
        scanner.addModulus(owner, modulus);
        scanner.add(needles);
        if (owner === SEALED) scanner.add([{ name: "PIN", bytes: Buffer.from(PIN), leastBytes: PIN.length }]);
      }
      keysKnown = true;
    }
    for (const path of filesBelow(all)) {
      const file = relative(all, path);
      const owner = owners.find((owner) => file.startsWith(owner)) ?? ("server" satisfies Owner);
      files.push({ moment, file, place: await scanner.scanFile(path, owner) });
    }
  };

  try {
    const telephones = await Telephones.open({
      folder: all,
      env: { FELDFON_VAULT: "", FELDFON_LEAKSCAN_BIRTHS: births.path, TMPDIR: temporary },
      nodeFlags: ["--import", PRELOAD],
      fresh: true,
      pin: PIN,
    });
    try {
      await telephones.connectBoth();
      await telephones.call();
      await telephones.stopped(() => look("in call"));
      await telephones.hangUp();
      await telephones.update();
      await telephones.comeBack();
      await telephones.call();
    } finally {
      await telephones.close();
    }
    await look("after shutdown");
    return { files, ...judge(files, scanner.needles, secrets) };
  } finally {
    births.close();
    await scanner.close();
    process.chdir(tmpdir());
    rmSync(own, { recursive: true });
  }
}

function judge(files: readonly FileLook[], needles: number, secrets: number): Verdict {
  const isHit = ({ place }: FileLook): boolean => place.hits + place.algebraic > 0;
  const keyFiles = owners.filter((owner) => owner !== SEALED).map(keyFileOf);
  const clear = keyFiles.filter((file) => files.some((look) => look.file === file && isHit(look)));
  const faults = files
    .filter((look) => isHit(look) && ![...keyFiles, DEVICE_FILE].includes(look.file))
    .map(({ moment, file, place }) => `${moment}, ${file}: ${place.found.map(({ needle }) => needle).join(", ")}`);
  if (secrets === 0) faults.push("no secret of the session was told");
  if (clear.length < keyFiles.length) faults.push("nothing was found in a key file in the clear: the scanner is blind");
  if (!files.some(({ file, place }) => file === keyFileOf(SEALED) && place.bytes > 0))
    faults.push("no sealed key file was there");
  for (const kind of [".sqlite", ".said", ".trace", "settings.json"]) {
    if (!files.some(({ file, place }) => file.endsWith(kind) && place.bytes > 0))
      faults.push(`no file *${kind} was there`);
  }
  const names = new Set(files.map(({ file }) => file));
  const facts = `${names.size} files, ${needles} needles, ${secrets} secrets of the session; in the clear: ${[...clear, DEVICE_FILE].join(", ")}`;
  return { holds: faults.length === 0, sentence: [facts, ...new Set(faults)].join("\n       ") };
}

function filesBelow(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: "utf8" })
    .map((name) => join(folder, name))
    .filter((path) => statSync(path).isFile());
}
