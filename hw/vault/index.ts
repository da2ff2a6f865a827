import { VaultError } from "@feldfon/protocol/errors";
import type { Vault } from "@feldfon/protocol/vault";
import { NativeVault, type NativeVaultOptions } from "./native.ts";
import { NodeVault } from "./node.ts";

export { hardenProcess } from "./hardening.ts";
export { NativeVault, type NativeVaultOptions } from "./native.ts";
export { NodeVault, type NodeVaultOptions } from "./node.ts";

export interface VaultWishes {
  /**
   * Locked memory of the process in bytes, for a server with many lines: 9 KiB for each half of an ML-KEM exchange under
   * way. The first vault of the process decides; where that much can't be locked it becomes the usual 4 MiB.
   */
  arenaBytes?: number;
}

/**
 * The best vault this machine has: the native one when it was built, else the one on node:crypto, whose status says
 * `degraded` and why. Every call opens another vault with handles of its own; those of one process share one arena. It
 * is wiped when the process or the Worker ends in an orderly way.
 *
 * The variable FELDFON_VAULT chooses for tests and the leak scan: `degraded`, or `locked` (native without memfd_secret).
 *
 * @throws {VaultError} `no-protection` when the native vault is there and no memory can be locked: secrets are never put
 *   where they are less safe than the machine could have them unless somebody says so
 */
export function openVault(wishes: VaultWishes = {}): Vault {
  const vault = best(process.env.FELDFON_VAULT || "best", wishes);
  process.once("exit", () => vault.wipeAll());
  return vault;
}

function best(asked: string, wishes: VaultWishes): Vault {
  if (asked === "degraded") return new NodeVault({ because: "FELDFON_VAULT asks for it" });
  if (asked === "locked") return native({ ...wishes, locked: true });
  if (asked !== "best") {
    throw new VaultError("bad-setting", `FELDFON_VAULT is "${asked}", expected was "degraded" or "locked"`);
  }
  try {
    return native(wishes);
  } catch (error) {
    if (!(error instanceof VaultError && error.code === "not-built")) throw error;
    return new NodeVault({ because: error.message });
  }
}

function native({ arenaBytes = 0, ...others }: NativeVaultOptions): NativeVault {
  try {
    return new NativeVault({ arenaBytes, ...others });
  } catch (error) {
    if (arenaBytes === 0 || !(error instanceof VaultError && error.code === "no-protection")) throw error;
    return new NativeVault(others);
  }
}
