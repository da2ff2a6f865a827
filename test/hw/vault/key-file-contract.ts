/** What a vault keeps about key files: saved whole or not at all, readable by nobody else, tried before they are used. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject } from "node:crypto";
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { VaultError } from "@feldfon/protocol/errors";
import { PublicKey } from "@feldfon/protocol/identity";
import type { KeyPair, Vault } from "@feldfon/protocol/vault";
import { keyPath } from "../../keys.ts";

interface Bench {
  vault: Vault;
  own: { pair: KeyPair; file: KeyObject };
  other: { pair: KeyPair; file: KeyObject };
}

export function keyFileContract(bench: () => Bench): void {
  describe("in files", () => {
    let folder: string;
    let path: string;

    beforeEach(async () => {
      folder = await mkdtemp(join(tmpdir(), "feldfon-vault-"));
      path = join(folder, "handset.pem");
    });

    afterEach(() => rm(folder, { recursive: true }));

    async function assertRefused(code: string): Promise<void> {
      await assert.rejects(bench().vault.loadKeyPair(path), (error) => {
        assert(error instanceof VaultError);
        assert.equal(error.code, code);
        return true;
      });
    }

    async function put(text: string | Buffer, mode = 0o600): Promise<void> {
      await writeFile(path, text);
      await chmod(path, mode); // past the umask
    }

    it("are made, saved with mode 0600 and found again", async function () {
      this.timeout(60_000); // the one key pair that is really generated
      const { vault } = bench();
      const made = await vault.makeKeyPair();
      await vault.saveKeyPair(made, path);
      assert.equal((await stat(path)).mode & 0o777, 0o600);
      assert.deepEqual(await readdir(folder), ["handset.pem"]);
      const loaded = await vault.loadKeyPair(path);
      assert.deepEqual(loaded.spki, made.spki);
      const text = Buffer.from("signed after a restart");
      assert(new PublicKey(made.spki).verifies(text, await vault.sign(loaded, text)));
      vault.wipe(made, loaded);
    });

    it("replace an older file in one step", async () => {
      const { vault, own, other } = bench();
      await vault.saveKeyPair(own.pair, path);
      await vault.saveKeyPair(other.pair, path);
      const loaded = await vault.loadKeyPair(path);
      assert.deepEqual(loaded.spki, other.pair.spki);
      assert.deepEqual(await readdir(folder), ["handset.pem"]);
      vault.wipe(loaded);
    });

    it("leave what was there when saving fails, and nothing beside it", async () => {
      const { vault, own } = bench();
      await mkdir(path); // no rename onto a folder
      await assert.rejects(vault.saveKeyPair(own.pair, path), { name: "VaultError", code: "not-saved" });
      assert.deepEqual(await readdir(folder), ["handset.pem"]);
      const nowhere = join(folder, "missing", "handset.pem");
      await assert.rejects(vault.saveKeyPair(own.pair, nowhere), { name: "VaultError", code: "not-saved" });
    });

    it("are missed by name: no-key", () => assertRefused("no-key"));

    for (const mode of [0o640, 0o604, 0o660, 0o622]) {
      it(`are refused when others may touch them: mode ${mode.toString(8)}`, async () => {
        await put(await readFile(await keyPath(0)), mode);
        await assertRefused("key-file-open");
      });
    }

    it("are refused when they are no key, half a key, or another form of one", async () => {
      const pem = await readFile(await keyPath(0), "latin1");
      const key = createPrivateKey(pem);
      const middle = pem.length / 2;
      const forms: Record<string, string | Buffer> = {
        nothing: "",
        words: "not a key\n",
        half: pem.slice(0, middle),
        "a letter exchanged": `${pem.slice(0, middle)}!${pem.slice(middle + 1)}`,
        PKCS1: key.export({ type: "pkcs1", format: "pem" }),
        DER: key.export({ type: "pkcs8", format: "der" }),
        encrypted: key.export({ type: "pkcs8", format: "pem", cipher: "aes-256-cbc", passphrase: "1234" }),
        "a public key": createPublicKey(key).export({ type: "spki", format: "pem" }),
        "far too long": pem + " ".repeat(1_000_000),
      };
      for (const text of Object.values(forms)) {
        await put(text);
        await assertRefused("bad-key");
      }
    });

    it("are refused with another size, exponent or algorithm", async () => {
      const pkcs8 = { type: "pkcs8", format: "pem" } as const;
      const keys = [
        generateKeyPairSync("rsa", { modulusLength: 2048 }),
        generateKeyPairSync("rsa", { modulusLength: 1024, publicExponent: 3 }),
        generateKeyPairSync("rsa-pss", { modulusLength: 1024 }),
        generateKeyPairSync("ec", { namedCurve: "P-256" }),
        generateKeyPairSync("ed25519"),
      ];
      for (const { privateKey } of keys) {
        await put(privateKey.export(pkcs8));
        await assertRefused("bad-key");
      }
    });

    it("are refused when the halves do not belong together", async () => {
      const [a, b] = await Promise.all([0, 1].map(async (n) => createPrivateKey(await readFile(await keyPath(n)))));
      const { n } = a!.export({ format: "jwk" });
      const mixed = createPrivateKey({ key: { ...b!.export({ format: "jwk" }), n: n! }, format: "jwk" });
      await put(mixed.export({ type: "pkcs8", format: "pem" }));
      await assertRefused("bad-key");
    });

    it("are refused when a folder or a pipe lies there, without waiting for it", async () => {
      await mkdir(path);
      await assertRefused("bad-key");
      await rm(path, { recursive: true });
      execFileSync("mkfifo", ["-m", "600", path]);
      await assertRefused("bad-key");
    });
  });
}
