/** The short form of `npm run bench -- churn`: real processes, real sockets, a real disk. */
import assert from "node:assert/strict";
import { NodeVault } from "@feldfon/vault";
import { churn } from "../../bench/load/churn.ts";
import { ServerProcess } from "../../bench/load/server-process.ts";

describe("a crowd of handsets", function () {
  this.timeout(60_000);

  it("joins, calls in pairs, is cut off, comes back and leaves, and nobody is lost or confused", async () => {
    const vault = new NodeVault();
    const server = await ServerProcess.start();
    try {
      const told = await churn(vault, server, { handsets: 30, seconds: 10, seed: 1 });
      assert.deepEqual(told.wrong, []);
      assert.ok(told.calls > 20 && told.resumes > 20 && told.leaves > 20, JSON.stringify(told));
    } finally {
      await server.stop();
      vault.wipeAll();
    }
  });
});
