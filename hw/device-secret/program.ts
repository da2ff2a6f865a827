/** Programs that talk to a chip. What they say of a secret goes to the vault; here only whether they can is asked. */
import { execFile } from "node:child_process";
import { access, constants } from "node:fs/promises";

/** What a chip takes at most; a hung one must not hang the start. */
const TIMEOUT_MS = 10_000;

/** @returns whether the program is there, ended in time and said that all went well */
export async function runs(program: string, args: readonly string[]): Promise<boolean> {
  try {
    await access(program, constants.X_OK);
  } catch {
    return false;
  }
  const settings = { timeout: TIMEOUT_MS, killSignal: "SIGKILL", encoding: "buffer" } as const;
  return new Promise((resolve) => {
    const child = execFile(program, args, settings, (error) => resolve(error === null));
    child.stdin?.end();
  });
}
