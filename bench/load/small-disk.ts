/** A disk of a few megabytes that a bench may fill to its last byte: a tmpfs, where this user may mount one. */
import { execFileSync } from "node:child_process";
import { closeSync, mkdtempSync, openSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";

const SIZE_MIB = 16;
const PIECE_BYTES = 4_096;

export class SmallDisk {
  readonly folder: string;
  readonly #filler: string;
  readonly #unmount = (): void => this.unmount();
  #mounted = true;

  /** @returns nothing where mounting is not allowed */
  static mount(): SmallDisk | undefined {
    if (process.getuid?.() !== 0) return undefined;
    const folder = mkdtempSync(path.join(tmpdir(), "feldfon-disk-"));
    try {
      execFileSync("mount", ["-t", "tmpfs", "-o", `size=${SIZE_MIB}m,mode=700`, "feldfon", folder], {
        stdio: "ignore",
      });
      return new SmallDisk(folder);
    } catch {
      rmSync(folder, { recursive: true });
      return undefined;
    }
  }

  private constructor(folder: string) {
    this.folder = folder;
    this.#filler = path.join(folder, "filler");
    process.once("exit", this.#unmount);
  }

  /** Until not one page more is taken. */
  fill(): void {
    const file = openSync(this.#filler, "w");
    try {
      for (const piece = Buffer.alloc(PIECE_BYTES); ; ) writeSync(file, piece);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOSPC") throw error;
    } finally {
      closeSync(file);
    }
  }

  makeRoom(): void {
    rmSync(this.#filler, { force: true });
  }

  unmount(): void {
    if (!this.#mounted) return;
    this.#mounted = false;
    process.off("exit", this.#unmount);
    execFileSync("umount", [this.folder]);
    rmSync(this.folder, { recursive: true });
  }
}
