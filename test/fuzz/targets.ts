/** The fuzz targets of the vault's core (fuzz.h): how each is built, and where its corpus lies. */
import { execFile } from "node:child_process";
import { existsSync, globSync, statSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { keyPath } from "../keys.ts";

export const targets = ["vault", "key-file", "sealed-file", "voice"] as const;
export type Target = (typeof targets)[number];

const HERE = import.meta.dirname;
const CORE = join(HERE, "../../hw/vault/core");

export interface Build {
  compiler: "gcc" | "clang";
  /** Sanitizers, for instance. */
  flags: string;
  folder: string;
  /** With driver.c; libFuzzer has a driver of its own. */
  driver: boolean;
}

/** One input a line, in hex. */
export function corpusOf(target: Target): string {
  return join(HERE, `${target}.corpus`);
}

/** @returns the program. @throws when it does not compile, or the vault's libcrypto was not built */
export async function build(target: Target, { compiler, flags, folder, driver }: Build): Promise<string> {
  const libcrypto = builtLibcrypto();
  if (libcrypto === undefined) throw new Error("the vault's libcrypto is not built: hw/vault/libcrypto/build");
  const program = join(folder, `${compiler}-${target}`);
  const sources = [join(HERE, `${target}.c`), ...(driver ? [join(HERE, "driver.c")] : []), ...globSync(`${CORE}/*.c`)];
  await promisify(execFile)(compiler, [
    ..."-std=gnu11 -Wall -Wextra -Wconversion -Wshadow -Werror -O1 -g -pthread -DVAULT_TESTING".split(" "),
    ...["-fno-sanitize-recover=undefined", ...flags.split(" "), "-I", CORE, "-isystem", join(libcrypto, "include")],
    ...[...sources, join(libcrypto, "libcrypto.a"), "-o", program],
  ]);
  return program;
}

/** What a target needs. What OpenSSL makes once is never freed, and lies in no heap that a leak checker knows. */
export async function environment(): Promise<NodeJS.ProcessEnv> {
  return { ...process.env, FUZZ_KEY: await keyPath(0), ASAN_OPTIONS: "detect_leaks=0" };
}

/** Folder of the one built last. */
export function builtLibcrypto(): string | undefined {
  const cache = process.env.FELDFON_CACHE ?? join(process.env.XDG_CACHE_HOME ?? join(homedir(), ".cache"), "feldfon");
  return globSync(join(cache, "libcrypto", "3.5.*"))
    .filter((folder) => existsSync(join(folder, "VERSION")) && existsSync(join(folder, "libcrypto.a")))
    .sort((a, b) => statSync(b).mtimeMs - statSync(a).mtimeMs)[0];
}
