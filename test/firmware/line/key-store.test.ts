/** The key behind its PIN: what is counted, what waits, what is wiped, and that no end of the process gains a try. */
import assert from "node:assert/strict";
import { fork } from "node:child_process";
import { createPrivateKey } from "node:crypto";
import { copyFile, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { FileBinding } from "@feldfon/hw/device-secret/file";
import type { DeviceBinding } from "@feldfon/hw/device-secret/port";
import type { KeyPair } from "@feldfon/protocol/vault";
import { NodeVault } from "@feldfon/vault";
import { type Attempt, KeyStore, TRIES, waitAfter } from "../../../firmware/line/key-store.ts";
import { refuses } from "../../hw/vault/contract.ts";
import { keyPath, testKeyPair } from "../../keys.ts";
import { CHEAP, DURESS, OTHER, PIN, type } from "../../pins.ts";

describe("the wait between tries", () => {
  it("grows with each wrong one: 0, 0, 0, 30 s, 5 min, then 1 h", () => {
    const waits = Array.from({ length: TRIES }, (_, failed) => waitAfter(failed));
    assert.deepEqual(waits, [0, 0, 0, 30, 300, 3600, 3600, 3600, 3600, 3600]);
  });
});

describe("the key store", () => {
  let folder: string;
  let path: string;
  let vault: NodeVault;
  let seconds: number;

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "feldfon-key-"));
    path = join(folder, "key.pem");
    vault = new NodeVault({ pinCost: CHEAP });
    seconds = 0;
  });

  afterEach(() => rm(folder, { recursive: true }));

  function open({
    withPin = true,
    devices = [new FileBinding(join(folder, "device"))] as readonly DeviceBinding[],
  } = {}) {
    return KeyStore.open({ path, vault, devices, withPin, now: () => seconds * 1000 });
  }

  /** A store whose key is sealed under PIN; a made key would take seconds, so a known one is taken over. */
  async function sealed(): Promise<{ store: KeyStore; pair: KeyPair }> {
    await copyFile(await keyPath(0), path);
    const store = await open();
    type(vault, PIN);
    return { store, pair: await store.create() };
  }

  function attempt(store: KeyStore, pin: string): Promise<Attempt> {
    type(vault, pin);
    return store.unlock();
  }

  /** Wrong ones without waiting for them. */
  async function fail(store: KeyStore, times: number): Promise<void> {
    for (let time = 0; time < times; time++) {
      seconds += 3600;
      assert.equal((await attempt(store, OTHER)).is, "wrong");
    }
  }

  const tries = () => readFile(join(folder, "tries"), "latin1").catch(() => "none");
  const files = async () => (await readdir(folder)).sort();

  it("makes a key in the clear when no PIN is wanted", async function () {
    this.timeout(60_000);
    const store = await open({ withPin: false });
    assert.equal(store.kind, "none");
    const pair = await store.create();
    assert.equal(store.kind, "clear");
    assert.match(await readFile(path, "latin1"), /^-----BEGIN PRIVATE KEY-----/);
    const again = await (await open({ withPin: false })).unlock();
    assert(again.is === "open");
    assert.deepEqual(again.pair.spki, pair.spki);
    assert.deepEqual(await files(), ["key.pem"]);
  });

  it("makes a key behind a PIN and finds it again with that PIN only", async function () {
    this.timeout(60_000);
    const first = await open();
    type(vault, PIN);
    const pair = await first.create();
    assert.equal(vault.pinDigits(), 0);
    const store = await open();
    assert.deepEqual([store.kind, store.device], ["sealed", "none"]);
    assert.deepEqual(await attempt(store, OTHER), { is: "wrong", left: 9, waitS: 0 });
    const found = await attempt(store, PIN);
    assert(found.is === "open");
    assert.deepEqual(found.pair.spki, pair.spki);
    assert.deepEqual(store.tries, { left: 10, waitS: 0 });
    assert.deepEqual(await files(), ["device", "key.pem"]);
    for (const name of await files()) assert.equal((await stat(join(folder, name))).mode & 0o777, 0o600);
  });

  it("makes no key under fewer than six digits", async () => {
    const store = await open();
    type(vault, "12345");
    await assert.rejects(store.create(), refuses("short-pin"));
    assert.deepEqual(await files(), []);
  });

  it("seals a key that lay in the clear, and nothing of it stays in the folder", async () => {
    const der = createPrivateKey(await readFile(await keyPath(0))).export({ type: "pkcs8", format: "der" });
    const { store, pair } = await sealed();
    assert.deepEqual(pair.spki, (await testKeyPair(vault, 0)).spki);
    assert.equal(store.kind, "sealed");
    assert.deepEqual(await files(), ["device", "key.pem"]);
    // Beyond the public modulus and exponent, which take 550 bytes at most.
    const needles = Array.from({ length: 100 }, (_, piece) => der.subarray(600 + 16 * piece, 616 + 16 * piece));
    for (const name of await files()) {
      const bytes = await readFile(join(folder, name));
      const forms = [bytes, Buffer.from(bytes.toString("latin1"), "base64")];
      assert(!needles.some((needle) => forms.some((form) => form.includes(needle))), name);
      assert(!bytes.includes(PIN), name);
    }
    await assert.rejects(store.create(), refuses("not-saved"));
  });

  it("counts a try on the card before it is made", async () => {
    const { store } = await sealed();
    const seen: string[] = [];
    const load = vault.loadSealedKeyPair.bind(vault);
    vault.loadSealedKeyPair = async (...given) => {
      seen.push(await tries());
      return load(...given);
    };
    await attempt(store, OTHER);
    await attempt(store, PIN);
    assert.deepEqual(seen, ["1\n", "2\n"]);
    assert.equal(await tries(), "none");
  });

  it("makes two tries one after the other, so that they count as two", async () => {
    const { store } = await sealed();
    const first = attempt(store, OTHER);
    await Promise.resolve();
    const answers = [await first, await attempt(store, OTHER)];
    assert.deepEqual(
      answers.map((answer) => answer.is === "wrong" && answer.left),
      [9, 8],
    );
  });

  it("hears no PIN before its wait is over, and forgets what was typed meanwhile", async () => {
    const { store } = await sealed();
    await fail(store, 3);
    assert.deepEqual(store.tries, { left: 7, waitS: 30 });
    seconds += 29;
    assert.deepEqual(await attempt(store, PIN), { is: "wait", waitS: 1 });
    assert.equal(vault.pinDigits(), 0);
    assert.equal(await tries(), "3\n");
    seconds += 1;
    assert.equal((await attempt(store, PIN)).is, "open");
  });

  it("keeps count over a restart, and the wait begins anew with it", async () => {
    const { store } = await sealed();
    await fail(store, 4);
    seconds += 10_000;
    assert.deepEqual((await open()).tries, { left: 6, waitS: 300 });
  });

  it("takes a counter that cannot be read for nine", async () => {
    await sealed();
    for (const text of ["", "x", "-1\n", "11\n", "3"]) {
      await writeFile(join(folder, "tries"), text);
      assert.equal((await open()).tries.left, 1, JSON.stringify(text));
    }
  });

  it("spends no try on fewer than six digits", async () => {
    const { store } = await sealed();
    assert.deepEqual(await attempt(store, "12345"), { is: "short" });
    assert.equal(vault.pinDigits(), 0);
    assert.equal(store.tries.left, 10);
  });

  it("wipes the key at the tenth wrong PIN, and is a fresh handset's then", async () => {
    const { store } = await sealed();
    await fail(store, 9);
    assert.equal(store.tries.left, 1);
    seconds += 3600;
    assert.deepEqual(await attempt(store, OTHER), { is: "wiped" });
    assert.equal(store.kind, "none");
    assert.deepEqual(store.tries, { left: 10, waitS: 0 });
    assert.deepEqual(await files(), []);
    await assert.rejects(attempt(store, PIN), refuses("no-key"));
  });

  it("opens with the right PIN at the tenth try", async () => {
    const { store } = await sealed();
    await fail(store, 9);
    seconds += 3600;
    assert.equal((await attempt(store, PIN)).is, "open");
    assert.equal(store.tries.left, 10);
  });

  it("wipes under duress, and looks from outside like the tenth wrong PIN", async () => {
    const { store } = await sealed();
    const before = (await readFile(path)).length;
    type(vault, DURESS);
    await store.setDuress();
    assert.equal((await readFile(path)).length, before);
    assert.equal((await attempt(store, PIN)).is, "open");
    assert.deepEqual(await attempt(store, DURESS), { is: "wiped" });
    assert.deepEqual([store.kind, await files()], ["none", []]);
  });

  it("refuses one number for both", async () => {
    const { store, pair } = await sealed();
    type(vault, PIN);
    await assert.rejects(store.setDuress(), refuses("same-pin"));
    type(vault, DURESS);
    await store.setDuress();
    type(vault, DURESS);
    await assert.rejects(store.changePin(pair), refuses("same-pin"));
  });

  it("changes the PIN, and the one under duress stays", async () => {
    const { store, pair } = await sealed();
    type(vault, DURESS);
    await store.setDuress();
    type(vault, OTHER);
    await store.changePin(pair);
    assert.equal((await attempt(store, PIN)).is, "wrong");
    assert.equal((await attempt(store, OTHER)).is, "open");
    assert.equal((await attempt(store, DURESS)).is, "wiped");
  });

  it("says that the device is another one, and spends no try on it", async () => {
    await sealed();
    const bytes = await readFile(path);
    const store = await open({ devices: [] });
    await assert.rejects(attempt(store, PIN), refuses("other-device"));
    await rm(join(folder, "device"));
    await assert.rejects(attempt(await open(), PIN), { name: "DeviceError", code: "no-device" });
    assert.equal(vault.pinDigits(), 0);
    assert.equal(await tries(), "none");
    assert.deepEqual(await readFile(path), bytes);
  });

  it("says that the file is damaged, and spends no try on it", async () => {
    const { store } = await sealed();
    const bytes = await readFile(path);
    for (const broken of [bytes.subarray(0, 3000), Buffer.concat([bytes, bytes]), bytes.with(100, bytes[100]! ^ 1)]) {
      await writeFile(path, broken);
      await assert.rejects(attempt(store, PIN), refuses("bad-key"));
      assert.equal(await tries(), "none");
    }
    for (const broken of [Buffer.alloc(0), Buffer.from("key"), Buffer.alloc(5240)]) {
      await writeFile(path, broken);
      await assert.rejects(open(), refuses("bad-key"));
    }
  });

  it("makes no try that cannot be counted, and forgets the PIN", async () => {
    const { store } = await sealed();
    await mkdir(join(folder, "tries.new")); // stands for a card that takes nothing more
    await assert.rejects(attempt(store, PIN), { code: "EISDIR" });
    assert.equal(vault.pinDigits(), 0);
    await rm(join(folder, "tries.new"), { recursive: true });
    assert.equal((await attempt(store, PIN)).is, "open");
  });

  it("removes what a process left that ended while it saved", async () => {
    await sealed();
    await copyFile(await keyPath(0), `${path}.0123456789abcdef`);
    await writeFile(`${path}.backup`, "somebody else's");
    const store = await open();
    assert.deepEqual(await files(), ["device", "key.pem", "key.pem.backup"]);
    assert.equal((await attempt(store, PIN)).is, "open");
  });

  describe("of a process that is killed", function () {
    this.timeout(120_000);

    /** Runs `what` in a process of its own that kills itself at the given moment. @returns its answer, or undefined */
    function killed(what: string, at: string): Promise<string | undefined> {
      return new Promise((resolve, reject) => {
        const child = fork(join(import.meta.dirname, "key-store-child.ts"), [folder, what, at], { silent: true });
        let answer: string | undefined;
        let said = "";
        child.stderr!.on("data", (text) => {
          said += text;
        });
        child.on("message", (message) => {
          answer = String(message);
        });
        child.on("exit", (code, signal) => {
          if (signal === "SIGKILL") resolve(undefined);
          else if (code === 0) resolve(answer);
          else reject(new Error(`the child ended with ${code ?? signal}: ${said}`));
        });
      });
    }

    /** Kills at the first, second, third .. call that touches the card, until one runs through. */
    async function atEachStep(what: string, prepare: () => Promise<void>, check: (step: number) => Promise<void>) {
      for (let step = 1; ; step++) {
        await prepare();
        const answer = await killed(what, `step ${step}`);
        await check(step);
        if (answer === undefined) continue;
        assert(step > 5, `only ${step} steps were seen`);
        return answer;
      }
    }

    async function refill(): Promise<void> {
      for (const name of await files()) await rm(join(folder, name));
      await sealed();
    }

    it("gains no try, whatever step of a wrong one it was killed at", async () => {
      let begun = false;
      await atEachStep(`unlock ${OTHER}`, refill, async () => {
        const { left } = (await open()).tries;
        assert(left === 10 || left === 9);
        // Before Argon2 begins the counter is on the card, and from there on it never falls.
        assert(!(begun && left === 10));
        begun ||= left === 9;
      });
      assert(begun);
    });

    it("has counted when it is killed in the middle of Argon2, or after it", async () => {
      for (const [pin, at] of [
        [OTHER, "argon2"],
        [PIN, "argon2"],
        [PIN, "opened"],
      ] as const) {
        await refill();
        assert.equal(await killed(`unlock ${pin}`, at), undefined);
        const store = await open();
        assert.equal(store.tries.left, 9, `${pin} ${at}`);
        assert.equal((await attempt(store, PIN)).is, "open");
        assert.equal(store.tries.left, 10);
      }
    });

    it("gives no eleventh try: killed in the tenth, the next start wipes", async () => {
      const { store } = await sealed();
      await fail(store, 9);
      assert.equal(await killed(`unlock ${OTHER}`, "argon2"), undefined);
      const next = await open();
      assert.deepEqual([next.wiped, next.kind], [true, "none"]);
      assert.deepEqual(await files(), []);
      assert.equal((await open()).wiped, false);
    });

    /** Up to some step the key is whole, and from then on it is gone with all that belongs to it. */
    async function wipesFromSomeStepOn(pin: string, prepare: () => Promise<void>): Promise<void> {
      let gone = false;
      const answer = await atEachStep(`unlock ${pin}`, prepare, async (step) => {
        const { kind } = await open();
        assert.equal(kind, gone ? "none" : kind, `step ${step}`);
        gone ||= kind === "none";
        assert.deepEqual((await files()).includes("key.pem"), !gone, `step ${step}`);
        if (gone) assert.deepEqual(await files(), [], `step ${step}`);
      });
      assert.deepEqual([answer, gone], ["wiped", true]);
    }

    it("finishes a wipe at the next start, whatever step it was killed at", () =>
      wipesFromSomeStepOn(OTHER, async () => {
        await refill();
        await writeFile(join(folder, "tries"), "9\n");
      }));

    it("finishes a wipe under duress just so", () =>
      wipesFromSomeStepOn(DURESS, async () => {
        await refill();
        type(vault, DURESS);
        await (await open()).setDuress();
      }));

    for (const what of ["seal", "change", "duress"]) {
      it(`loses no key while it saves: ${what}`, async () => {
        const clear = async () => {
          for (const name of await files()) await rm(join(folder, name));
          await copyFile(await keyPath(0), path);
        };
        await atEachStep(what, what === "seal" ? clear : refill, async (step) => {
          const store = await open();
          const found = await (store.kind === "clear" ? store.unlock() : attempt(store, PIN));
          const again = found.is === "open" || what !== "change" ? found : await attempt(store, OTHER);
          assert.equal(again.is, "open", `step ${step}`);
          assert.deepEqual(
            (await files()).filter((name) => !/^(key\.pem|device|device\.new|tries\.new)$/.test(name)),
            [],
          );
        });
      });
    }
  });
});
