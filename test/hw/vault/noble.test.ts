import { NodeTestingVault } from "@feldfon/vault/testing";
import { noble } from "./noble.ts";

noble("the vault on node:crypto", () => new NodeTestingVault());
