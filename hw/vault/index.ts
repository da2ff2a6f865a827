import type { Vault } from "@feldfon/protocol/vault";
import { NodeVault } from "./node.ts";

export { NodeVault, type NodeVaultOptions } from "./node.ts";

/** The best vault this machine has. It is wiped when the process ends in an orderly way. */
export function openVault(): Vault {
  const vault = new NodeVault();
  process.once("exit", () => vault.wipeAll());
  return vault;
}
