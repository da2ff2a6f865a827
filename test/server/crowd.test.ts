/** What takes a server process and the handsets of the load tool to see: real sockets, a real disk. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { NodeVault } from "@feldfon/vault";
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

  for (const step of ["1.1", "2", "3"]) {
    it(`has one line and keeps it when it is stopped and started again at step ${step} of connect`, async () => {
      const anna = await LoadHandset.make({ vault, n: 1, place: server.place });
      const connected = new Promise<void>((resolve) => {
        anna.told.on("step", (event) => {
          if (event.step !== step) return;
          anna.told.removeAllListeners("step");
          setImmediate(() => {
            anna.close();
            resolve(anna.join());
          });
        });
      });
      const downs: string[] = [];
      anna.told.on("down", (code) => downs.push(code));
      void anna.join();
      await connected;
      await new Promise((resolve) => setTimeout(resolve, 200));
      assert.deepEqual(downs, []);
      assert.equal(anna.connected, true);
      anna.close();
    });
  }

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
