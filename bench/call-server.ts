/** The server of the bench `call`: the product in a process of its own, told by the driver, with no limit on requests. */
import { PublicKey } from "@feldfon/protocol/identity";
import { openLog } from "@feldfon/server/log";
import { FeldfonServer } from "@feldfon/server/server";
import { readSettings } from "@feldfon/server/settings";
import { MemoryStore } from "@feldfon/server/store-fake";
import { openVault } from "@feldfon/vault";
import { poolKey } from "./key-pool.ts";

const vault = openVault();
const keyPair = await vault.loadKeyPair(await poolKey(0));
const server = await FeldfonServer.open(
  readSettings(["--host", "127.0.0.1", "--port", "0", "--udp-port", "0", "--health-port", "0"], {}),
  {
    vault,
    keyPair,
    store: new MemoryStore(),
    log: openLog(),
    requestLimit: () => undefined,
    onFault: (error) => {
      throw error;
    },
  },
);

process.on("message", () => process.send?.({ cpu: process.cpuUsage() }));
process.on("disconnect", () => process.exit());
process.send?.({ port: server.port, uid: new PublicKey(keyPair.spki).uid });
