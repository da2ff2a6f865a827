/** The short form of `npm run bench -- churn`: real processes, real sockets, a real disk. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { NodeVault } from "@feldfon/vault";
import { churn } from "../../bench/load/churn.ts";
import { LoadHandset } from "../../bench/load/handset.ts";
import { ServerProcess } from "../../bench/load/server-process.ts";

describe("a crowd of handsets", function () {
  this.timeout(90_000);
  let vault: NodeVault;
  let server: ServerProcess;

  beforeEach(async () => {
    vault = new NodeVault();
    server = await ServerProcess.start();
  });

  afterEach(async () => {
    await server.stop();
    vault.wipeAll();
  });

  it("joins, calls in pairs, is cut off, comes back and leaves, and nobody is lost or confused", async () => {
    const told = await churn(vault, server, { handsets: 30, seconds: 15, seed: 1 });
    assert.deepEqual(told.wrong, []);
    assert.ok(told.calls > 20 && told.resumes > 20 && told.leaves > 20, JSON.stringify(told));
  });

  it("hears at once that a call is over when its other end has lost everything and joined anew", async () => {
    const make = (n: number): Promise<LoadHandset> => LoadHandset.make({ vault, n, place: server.place });
    const [anna, berta, again] = await Promise.all([make(1), make(2), make(2)]);
    await anna.join();
    const known = once(anna.told, "directory");
    await berta.join();
    await known;
    const agreed = [once(anna.told, "agreed"), once(berta.told, "agreed")];
    await anna.dial(berta.uid);
    await Promise.all(agreed);
    const over = once(anna.told, "ended");
    berta.close();
    while ((await server.ask("state")).lines > 1);
    await again.join();
    await over;
    assert.equal((await server.ask("state")).calls, 0);
    assert.deepEqual(anna.calls.at(-1)?.ended, { why: "hung-up-there", erased: "here" });
    anna.close();
    again.close();
  });
});
