/** What ties a key to a device, whatever it is: the same answer again and again, another one for another key. */
import assert from "node:assert/strict";
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { DeviceBinding } from "@feldfon/hw/device-secret/port";
import type { DeviceSecret, KeyPair } from "@feldfon/protocol/vault";
import { NodeVault } from "@feldfon/vault";
import { readDeviceSecret } from "@feldfon/vault/device-bytes";
import { testKeyPair } from "../../keys.ts";
import { CHEAP, PIN, type } from "../../pins.ts";

export interface Bench {
  /** One of the kind; each call stands for another start of the program. @param card path of the half on the card */
  make(card: string): DeviceBinding;
  /** The chip goes, or stops to answer; missing where nothing can go. */
  takeOut?(): Promise<void>;
  /** Another chip takes its place. */
  exchange?(): Promise<void>;
  /** The device is switched off and on. */
  restart?(): Promise<void>;
}

export function deviceSecretContract(name: string, bench: () => Bench): void {
  describe(`${name}, held to the port of device secrets`, () => {
    let folder: string;
    let card: string;

    beforeEach(async () => {
      folder = await mkdtemp(join(tmpdir(), "feldfon-device-"));
      card = join(folder, "device");
    });

    afterEach(() => rm(folder, { recursive: true }));

    const bytesOf = async (device: DeviceSecret) => (await readDeviceSecret(device)).toString("hex");
    const noDevice = { name: "DeviceError", code: "no-device" };

    it("is present, and names its kind", async () => {
      const binding = bench().make(card);
      assert.equal(await binding.isPresent(), true);
      assert.equal((await binding.make()).kind, binding.kind);
    });

    it("gives the vault the same again, also at the next start", async () => {
      const made = await bytesOf(await bench().make(card).make());
      assert.equal(await bytesOf(await bench().make(card).find()), made);
      await bench().restart?.();
      assert.equal(await bytesOf(await bench().make(card).find()), made);
    });

    it("gives another for each key that is made", async () => {
      const binding = bench().make(card);
      const first = await bytesOf(await binding.make());
      assert.notEqual(await bytesOf(await binding.make()), first);
    });

    it("lays its half on the card with mode 0600", async () => {
      await bench().make(card).make();
      const { mode, size } = await stat(card);
      assert.deepEqual([mode & 0o777, size], [0o600, 32]);
    });

    it("says when its half on the card is missing or damaged", async () => {
      await assert.rejects(bench().make(card).find(), noDevice);
      await bench().make(card).make();
      const half = await readFile(card);
      await writeFile(card, half.subarray(1));
      await assert.rejects(bench().make(card).find(), noDevice);
      await writeFile(card, half);
      await bench().make(card).find();
    });

    it("says when the card cannot be written", async () => {
      await assert.rejects(
        bench()
          .make(join(folder, "missing", "device"))
          .make(),
        noDevice,
      );
    });

    it("leaves nothing on the card once it is forgotten, twice as well", async () => {
      const binding = bench().make(card);
      await binding.make();
      await binding.forget();
      await binding.forget();
      assert.deepEqual(await readdir(folder), []);
      await assert.rejects(binding.find(), noDevice);
    });

    it("opens what was sealed with it, and does not when it is another", async () => {
      const vault = new NodeVault({ pinCost: CHEAP });
      const pair: KeyPair = await testKeyPair(vault, 0);
      const path = join(folder, "key");
      const load = async () => {
        type(vault, PIN);
        return vault.loadSealedKeyPair(path, await bench().make(card).find());
      };
      type(vault, PIN);
      await vault.saveSealedKeyPair(pair, path, await bench().make(card).make());
      assert.equal((await load()).opened, "key");
      const { exchange } = bench();
      if (exchange) {
        await exchange();
        await assert.rejects(load(), { name: "VaultError", code: "bad-pin" });
      }
      vault.wipeAll();
    });

    it("says with a next step when it has gone, before a PIN is tried", async () => {
      const { takeOut } = bench();
      const binding = bench().make(card);
      await binding.make();
      if (!takeOut) return assert.equal(binding.kind, "none");
      await takeOut();
      assert.equal(await binding.isPresent(), false);
      await assert.rejects(binding.find(), noDevice);
      await assert.rejects(binding.make(), noDevice);
    });
  });
}
