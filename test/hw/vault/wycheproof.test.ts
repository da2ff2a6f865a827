import { NodeTestingVault } from "@feldfon/vault/testing";
import { wycheproof } from "./wycheproof.ts";

wycheproof("the vault on node:crypto", () => new NodeTestingVault());
