/** What every vault keeps about PINs and the key files under them; the form of the file is taken apart here once more. */
import assert from "node:assert/strict";
import {
  argon2Sync,
  createDecipheriv,
  createHash,
  createPrivateKey,
  createPublicKey,
  hkdfSync,
  randomBytes,
} from "node:crypto";
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PublicKey } from "@feldfon/protocol/identity";
import type { DeviceSecret, DeviceSecretKind, KeyPair, Vault } from "@feldfon/protocol/vault";
import { testKeyPair } from "../../keys.ts";
import { DURESS, OTHER, PIN, type } from "../../pins.ts";
import { refuses } from "./contract.ts";

const FILE_BYTES = 5240;
const HASH_AT = FILE_BYTES - 32;
const SLOT_BYTES = 2588;
const KINDS: readonly DeviceSecretKind[] = ["none", "tpm", "firmware-crypto", "otp"];

/** @param make a vault whose files cost CHEAP */
export function sealedKeyContract(name: string, make: () => Vault): void {
  describe(`${name}, held to what a PIN promises`, () => {
    let vault: Vault;
    let pair: KeyPair;
    let folder: string;
    let path: string;
    let device: DeviceSecret;

    before(async () => {
      vault = make();
      pair = await testKeyPair(vault, 0);
    });

    after(() => vault.wipeAll());

    beforeEach(async () => {
      folder = await mkdtemp(join(tmpdir(), "feldfon-sealed-"));
      path = join(folder, "key");
      device = { kind: "none", file: join(folder, "device") };
      await writeFile(device.file, randomBytes(32));
    });

    afterEach(() => rm(folder, { recursive: true }));

    async function seal(pin = PIN, to = device): Promise<void> {
      type(vault, pin);
      await vault.saveSealedKeyPair(pair, path, to);
    }

    function load(pin = PIN, from = device) {
      type(vault, pin);
      return vault.loadSealedKeyPair(path, from);
    }

    async function assertOpens(pin = PIN, from = device): Promise<void> {
      const unlocked = await load(pin, from);
      assert(unlocked.opened === "key");
      assert.deepEqual(unlocked.pair.spki, pair.spki);
      vault.wipe(unlocked.pair);
    }

    /** @param change of all bytes before the hash, which is put right again */
    async function damage(change: (bytes: Buffer) => void): Promise<void> {
      const bytes = await readFile(path);
      change(bytes);
      createHash("sha256").update(bytes.subarray(0, HASH_AT)).digest().copy(bytes, HASH_AT);
      await writeFile(path, bytes);
    }

    const printing = (text: string, kind: DeviceSecretKind = "otp"): DeviceSecret => ({
      kind,
      command: ["/bin/sh", "-c", `printf %s "$0"`, text],
    });

    describe("digits", () => {
      afterEach(() => vault.pinClear());

      it("are counted as they come and go", () => {
        assert.deepEqual(
          [0, 9, 5].map((digit) => vault.pinPush(digit)),
          [1, 2, 3],
        );
        assert.equal(vault.pinDigits(), 3);
        assert.deepEqual([vault.pinPop(), vault.pinPop(), vault.pinPop(), vault.pinPop()], [2, 1, 0, 0]);
        vault.pinPush(1);
        vault.pinClear();
        vault.pinClear();
        assert.equal(vault.pinDigits(), 0);
      });

      it("end with the twelfth: a thirteenth is not taken", async () => {
        await seal("123456789012");
        type(vault, "1234567890123");
        assert.equal(vault.pinDigits(), 12);
        const unlocked = await vault.loadSealedKeyPair(path, device);
        assert(unlocked.opened === "key");
        vault.wipe(unlocked.pair);
        await assert.rejects(load("12345678901"), refuses("bad-pin"));
      });

      it("are 0 to 9", () => {
        for (const wrong of [10, -1, 0.5, Number.NaN, 48, 2 ** 32]) {
          assert.throws(() => vault.pinPush(wrong), refuses("bad-digit"), String(wrong));
        }
        assert.equal(vault.pinDigits(), 0);
      });

      it("match what was kept when they are the same once more", () => {
        type(vault, PIN);
        vault.pinKeep();
        assert.equal(vault.pinDigits(), 0);
        for (const digit of PIN) vault.pinPush(Number(digit));
        assert.equal(vault.pinMatchesKept(), true);
        assert.equal(vault.pinDigits(), PIN.length);
        assert.equal(vault.pinMatchesKept(), false, "the first entry is gone");
      });

      it("and both entries are forgotten when they differ, also by length, or when nothing was kept", () => {
        for (const second of [OTHER, PIN.slice(1), `${PIN}0`, PIN.slice(0, -1), ""]) {
          type(vault, PIN);
          vault.pinKeep();
          for (const digit of second) vault.pinPush(Number(digit));
          assert.equal(vault.pinMatchesKept(), false, second);
          assert.equal(vault.pinDigits(), 0);
        }
        type(vault, PIN);
        assert.equal(vault.pinMatchesKept(), false);
        vault.pinKeep();
        assert.equal(vault.pinMatchesKept(), false, "nothing twice is no PIN");
      });

      it("are too few below six, and used up all the same", async () => {
        await seal();
        for (const pin of ["", "1", "12345"]) {
          await assert.rejects(load(pin), refuses("short-pin"));
          await assert.rejects(seal(pin), refuses("short-pin"));
          assert.equal(vault.pinDigits(), 0);
        }
        await assertOpens();
      });

      it("go with the call: what is typed meanwhile is another PIN", async () => {
        await seal();
        const loading = load();
        assert.equal(vault.pinDigits(), 0);
        vault.pinPush(1);
        const unlocked = await loading;
        assert(unlocked.opened === "key");
        vault.wipe(unlocked.pair);
        assert.equal(vault.pinDigits(), 1);
      });

      it("are used up by every use, also by one that failed", async () => {
        const uses = [
          () => vault.loadSealedKeyPair(path, device),
          () => vault.changePin(pair, path, device),
          () => vault.setDuressPin(path, device),
          () => vault.saveSealedKeyPair(pair, join(folder, "missing", "key"), device),
        ];
        for (const use of uses) {
          type(vault, PIN);
          await assert.rejects(use());
          assert.equal(vault.pinDigits(), 0);
          await assert.rejects(use(), refuses("short-pin"));
        }
      });
    });

    describe("files", () => {
      it("open with their PIN and on their device only", async () => {
        await seal();
        await assertOpens();
        for (const pin of [OTHER, DURESS, `${PIN}0`, PIN.slice(0, -1) + PIN]) {
          await assert.rejects(load(pin), refuses("bad-pin"), pin);
        }
        await writeFile(join(folder, "device"), randomBytes(32));
        await assert.rejects(load(), refuses("bad-pin"));
      });

      it("give back a key that signs", async () => {
        await seal();
        const unlocked = await load();
        assert(unlocked.opened === "key");
        const text = Buffer.from("signed after a restart");
        assert(new PublicKey(pair.spki).verifies(text, await vault.sign(unlocked.pair, text)));
        vault.wipe(unlocked.pair);
      });

      it("are of mode 0600, alone in their folder, and of one size", async () => {
        await seal();
        type(vault, DURESS);
        await vault.setDuressPin(path, device);
        assert.equal((await stat(path)).mode & 0o777, 0o600);
        assert.equal((await stat(path)).size, FILE_BYTES);
        assert.deepEqual((await readdir(folder)).sort(), ["device", "key"]);
      });

      it("are what their drawing says", async () => {
        await seal();
        type(vault, DURESS);
        await vault.setDuressPin(path, device);
        const bytes = await readFile(path);
        const secret = await readFile(join(folder, "device"));
        assert.equal(bytes.toString("latin1", 0, 8), "FFKEY\x01\x00\x01");
        assert.deepEqual([bytes.readUInt32BE(8), bytes.readUInt32BE(12)], [8, 1]);
        assert.deepEqual(createHash("sha256").update(bytes.subarray(0, HASH_AT)).digest(), bytes.subarray(HASH_AT));
        const open = (pin: string, name: string, at: number) => {
          const stretched = argon2Sync("argon2id", {
            message: pin,
            nonce: bytes.subarray(16, 32),
            parallelism: 1,
            tagLength: 32,
            memory: 8,
            passes: 1,
          });
          const material = Buffer.concat([stretched, secret]);
          const kek = Buffer.from(hkdfSync("sha256", material, "", `feldfon/kek/v1 ${name}`, 32));
          const opener = createDecipheriv("aes-256-gcm", kek, bytes.subarray(at, at + 12));
          opener.setAAD(bytes.subarray(0, 32)).setAuthTag(bytes.subarray(at + SLOT_BYTES - 16, at + SLOT_BYTES));
          return Buffer.concat([opener.update(bytes.subarray(at + 12, at + SLOT_BYTES - 16)), opener.final()]);
        };
        const clear = open(PIN, "key", 32);
        const length = clear.readUInt16BE();
        const key = createPrivateKey({ key: clear.subarray(2, 2 + length), format: "der", type: "pkcs8" });
        assert.deepEqual(createPublicKey(key).export({ type: "spki", format: "der" }), pair.spki);
        assert(clear.subarray(2 + length).every((byte) => byte === 0));
        assert(open(DURESS, "duress", 32 + SLOT_BYTES).every((byte) => byte === 0));
      });

      it("have another salt, nonce and duress slot each time, so that nobody sees whether there is a PIN under duress", async () => {
        const seen = await Promise.all(
          [0, 1].map(async (number) => {
            type(vault, PIN);
            const file = join(folder, `key ${number}`);
            await vault.saveSealedKeyPair(pair, file, device);
            return readFile(file);
          }),
        );
        for (const [from, to] of [
          [16, 32],
          [32, 44],
          [32 + SLOT_BYTES, 32 + SLOT_BYTES + 64],
          [HASH_AT - 64, HASH_AT],
        ] as const) {
          assert.notDeepEqual(seen[0]!.subarray(from, to), seen[1]!.subarray(from, to));
        }
      });

      it("say that they are damaged, before any PIN is tried, whatever byte is another", async () => {
        await seal();
        const bytes = await readFile(path);
        const places = [...Array(64).keys(), 1000, 2619, 2620, 4000, 5207, 5208, 5239];
        for (const at of places) {
          await writeFile(path, bytes.with(at, bytes[at]! ^ (1 << (at % 8))));
          await assert.rejects(load(), refuses("bad-key"), `byte ${at}`);
        }
      });

      it("open with no byte changed by somebody who puts the hash right as well", async () => {
        await seal();
        const bytes = await readFile(path);
        for (let at = 0; at < 32; at++) {
          for (const bit of [0, 3, 7]) {
            await writeFile(path, bytes);
            await damage((file) => {
              file[at]! ^= 1 << bit;
            });
            await assert.rejects(load(), { name: "VaultError" }, `bit ${bit} of byte ${at}`);
          }
        }
        for (const at of [32, 44, 2000, 2619]) {
          await writeFile(path, bytes);
          await damage((file) => {
            file[at]! ^= 1;
          });
          await assert.rejects(load(), refuses("bad-pin"), `byte ${at}`);
        }
      });

      it("do not make a vault work for hours", async () => {
        await seal();
        for (const [at, number] of [
          [8, 7],
          [8, 1024 * 1024 + 1],
          [8, 0xffffffff],
          [12, 0],
          [12, 17],
          [12, 0xffffffff],
        ] as const) {
          const bytes = await readFile(path);
          await damage((file) => file.writeUInt32BE(number, at));
          await assert.rejects(load(), refuses("bad-key"));
          await writeFile(path, bytes);
        }
      });

      it("are refused when they are too short, too long, or no sealed file", async () => {
        await seal();
        const bytes = await readFile(path);
        for (const length of [0, 1, 5, 31, 32, 2620, HASH_AT, FILE_BYTES - 1]) {
          await writeFile(path, bytes.subarray(0, length));
          await assert.rejects(load(), refuses("bad-key"), `${length} bytes`);
        }
        for (const other of [Buffer.concat([bytes, Buffer.alloc(1)]), Buffer.alloc(FILE_BYTES), Buffer.alloc(20_000)]) {
          await writeFile(path, other);
          await assert.rejects(load(), refuses("bad-key"));
        }
        await vault.saveKeyPair(pair, path);
        await assert.rejects(load(), refuses("bad-key"));
      });

      it("are missed, and refused when others may touch them", async () => {
        await assert.rejects(load(), refuses("no-key"));
        await seal();
        await chmod(path, 0o640);
        await assert.rejects(load(), refuses("key-file-open"));
        await rm(path);
        await mkdir(path);
        await assert.rejects(load(), refuses("bad-key"));
      });

      it("stay as they were when saving fails, and nothing lies beside them", async () => {
        await mkdir(path); // no rename onto a folder
        await assert.rejects(seal(), refuses("not-saved"));
        assert.deepEqual((await readdir(folder)).sort(), ["device", "key"]);
      });

      it("belong to no pair that is wiped", async () => {
        const wiped = await testKeyPair(vault, 1);
        vault.wipe(wiped);
        type(vault, PIN);
        await assert.rejects(vault.saveSealedKeyPair(wiped, path, device), refuses("empty-slot"));
        assert.deepEqual(await readdir(folder), ["device"]);
      });
    });

    describe("a PIN under duress", () => {
      it("opens no key, and the PIN goes on to open it", async () => {
        await seal();
        type(vault, DURESS);
        await vault.setDuressPin(path, device);
        assert.deepEqual(await load(DURESS), { opened: "duress" });
        await assertOpens();
        await assert.rejects(load(OTHER), refuses("bad-pin"));
      });

      it("is replaced by another, and goes with a new file", async () => {
        await seal();
        for (const pin of [DURESS, OTHER]) {
          type(vault, pin);
          await vault.setDuressPin(path, device);
        }
        await assert.rejects(load(DURESS), refuses("bad-pin"));
        assert.deepEqual(await load(OTHER), { opened: "duress" });
        await seal();
        await assert.rejects(load(OTHER), refuses("bad-pin"));
      });

      it("is never the PIN itself", async () => {
        await seal();
        const before = await readFile(path);
        type(vault, PIN);
        await assert.rejects(vault.setDuressPin(path, device), refuses("same-pin"));
        assert.deepEqual(await readFile(path), before);
        type(vault, DURESS);
        await vault.setDuressPin(path, device);
        type(vault, DURESS);
        await assert.rejects(vault.changePin(pair, path, device), refuses("same-pin"));
        await assertOpens();
      });

      it("stays when the PIN is changed", async () => {
        await seal();
        type(vault, DURESS);
        await vault.setDuressPin(path, device);
        type(vault, OTHER);
        await vault.changePin(pair, path, device);
        await assertOpens(OTHER);
        await assert.rejects(load(PIN), refuses("bad-pin"));
        assert.deepEqual(await load(DURESS), { opened: "duress" });
      });
    });

    describe("devices", () => {
      for (const [number, kind] of KINDS.entries()) {
        it(`of kind ${kind} are named in the file, and no other is taken for them`, async () => {
          const own: DeviceSecret = { kind, file: join(folder, "device") };
          await seal(PIN, own);
          assert.equal((await readFile(path))[6], number);
          await assertOpens(PIN, own);
          const other: DeviceSecret = { ...own, kind: KINDS[(number + 1) % KINDS.length]! };
          await assert.rejects(load(PIN, other), refuses("other-device"));
        });
      }

      it("may be commands, whose words stay as they are", async () => {
        const odd = printing(`0123456789 abcdef "$HOME" *\n\\`);
        await seal(PIN, odd);
        await assertOpens(PIN, odd);
        await writeFile(join(folder, "odd"), `0123456789 abcdef "$HOME" *\n\\`);
        await assertOpens(PIN, { kind: "otp", file: join(folder, "odd") });
        await assert.rejects(load(PIN, printing("0123456789 abcdeg")), refuses("bad-pin"));
      });

      it("get no input and nothing of our environment", async () => {
        process.env.FELDFON_SEEN = "from outside";
        const curious: DeviceSecret = {
          kind: "otp",
          command: ["/bin/sh", "-c", 'cat; echo "0123456789abcdef$FELDFON_SEEN"'],
        };
        await seal(PIN, curious);
        delete process.env.FELDFON_SEEN;
        await assertOpens(PIN, printing("0123456789abcdef\n"));
      });

      it("are missed before any PIN is tried, whatever is wrong with them", async () => {
        await seal(PIN, printing("x".repeat(256)));
        const shell = (line: string): DeviceSecret => ({ kind: "otp", command: ["/bin/sh", "-c", line] });
        const wrong: DeviceSecret[] = [
          printing("x".repeat(15)),
          printing("x".repeat(257)),
          printing("x".repeat(100_000)),
          shell(`printf %0256d 0; exit 1`),
          shell(`printf %0256d 0; kill -9 $$`),
          shell("exit 0"),
          { kind: "otp", command: ["/nonexistent/program"] },
          { kind: "otp", file: join(folder, "missing") },
          { kind: "otp", file: folder },
        ];
        for (const one of wrong) {
          await assert.rejects(load(PIN, one), refuses("no-device"));
          type(vault, PIN);
          await assert.rejects(vault.saveSealedKeyPair(pair, join(folder, "new"), one), refuses("no-device"));
        }
        await assertOpens(PIN, printing("x".repeat(256)));
      });
    });

    describe("wipeAll", () => {
      it("forgets the digits, and what was begun before brings nothing back", async () => {
        const own = make();
        const path = join(folder, "own");
        const mine = await testKeyPair(own, 0);
        type(own, PIN);
        await own.saveSealedKeyPair(mine, path, device);
        type(own, PIN);
        own.pinKeep();
        type(own, PIN);
        own.wipeAll();
        assert.equal(own.pinDigits(), 0);
        assert.equal(own.pinMatchesKept(), false);
        type(own, PIN);
        const loading = own.loadSealedKeyPair(path, device);
        own.wipeAll();
        await assert.rejects(loading, refuses("empty-slot"));
        type(own, PIN);
        const again = await own.loadSealedKeyPair(path, device);
        assert.equal(again.opened, "key");
        own.wipeAll();
      });
    });
  });
}
