import assert from "node:assert/strict";
import * as nodeFs from "node:fs";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { faultOf } from "@feldfon/firmware/handset/faults";
import {
  type Files,
  firstSettings,
  KeptFile,
  LastHead,
  openSettings,
  parseSettings,
  pathsIn,
  type Settings,
  SettingsError,
  saveSettings,
} from "@feldfon/firmware/settings";
import { ProtocolError } from "@feldfon/protocol/errors";
import fc from "fast-check";

const whole: Settings = {
  server: "feldfon.example.org",
  port: 5060,
  serverKey: "ab".repeat(32) as Settings["serverKey"],
  name: "Anna",
  language: "de",
  enrolmentCode: "4711-very-secret",
  direct: true,
  pin: false,
  idleLockMinutes: 3,
};

/**
 * A card as it really is: what was written or renamed is certain only after fsync of the file or of the folder. Before
 * call number `cutAt` the power goes, and the card keeps of everything uncertain as much as it likes.
 */
class Card {
  calls = 0;
  readonly #cutAt: number;
  /** Contents by inode, as far as they are certain; `fresh` is what was written since. */
  readonly #inodes: { certain: Buffer; fresh: Buffer }[] = [];
  /** Names, certain and fresh. */
  #certain = new Map<string, number>();
  #names = new Map<string, number>();
  readonly #open = new Map<number, { inode?: number }>();
  #descriptors = 10;

  constructor(start: Record<string, string>, cutAt = Number.POSITIVE_INFINITY) {
    for (const [path, text] of Object.entries(start)) {
      this.#names.set(path, this.#inodes.length);
      const content = Buffer.from(text);
      this.#inodes.push({ certain: content, fresh: content });
    }
    this.#certain = new Map(this.#names);
    this.#cutAt = cutAt;
  }

  get files(): Files {
    const files = {
      existsSync: (path: string) => this.#names.has(path),
      mkdirSync: () => undefined,
      readFileSync: (path: string) => Buffer.from(this.#inodes[this.#found(path)]!.fresh),
      openSync: (path: string, flags: string) => {
        const descriptor = this.#descriptors++;
        if (flags === "r") this.#open.set(descriptor, {});
        else {
          const inode =
            this.#names.get(path) ?? this.#inodes.push({ certain: Buffer.alloc(0), fresh: Buffer.alloc(0) }) - 1;
          this.#inodes[inode]!.fresh = Buffer.alloc(0);
          this.#names.set(path, inode);
          this.#open.set(descriptor, { inode });
        }
        return descriptor;
      },
      writeSync: (descriptor: number, bytes: Uint8Array, offset: number) => {
        // A card may take less than it is given.
        const taken = bytes.subarray(offset, offset + 100);
        const inode = this.#inodes[this.#open.get(descriptor)!.inode!]!;
        inode.fresh = Buffer.concat([inode.fresh, taken]);
        return taken.length;
      },
      fsyncSync: (descriptor: number) => {
        const { inode } = this.#open.get(descriptor)!;
        if (inode === undefined) this.#certain = new Map(this.#names);
        else this.#inodes[inode]!.certain = this.#inodes[inode]!.fresh;
      },
      closeSync: (descriptor: number) => void this.#open.delete(descriptor),
      renameSync: (from: string, to: string) => {
        this.#names.set(to, this.#found(from));
        this.#names.delete(from);
      },
      rmSync: (path: string) => void this.#names.delete(path),
    };
    return Object.fromEntries(
      Object.entries(files).map(([name, call]) => [
        name,
        (...parameters: unknown[]) => {
          if (this.calls++ >= this.#cutAt) throw new PowerCut();
          return (call as (...parameters: unknown[]) => unknown)(...parameters);
        },
      ]),
    ) as unknown as Files;
  }

  #found(path: string): number {
    const inode = this.#names.get(path);
    if (inode === undefined) throw Object.assign(new Error("no such file"), { code: "ENOENT" });
    return inode;
  }

  /** Everything the card may hold once the power is back. */
  *afterwards(): Generator<Map<string, Buffer>> {
    for (const names of [this.#certain, this.#names]) {
      for (const share of [0, 0.5, 1]) {
        yield new Map(
          [...names].map(([path, number]) => {
            const { certain, fresh } = this.#inodes[number]!;
            if (certain === fresh || share === 0) return [path, certain];
            return [path, fresh.subarray(0, Math.floor(fresh.length * share))];
          }),
        );
      }
    }
  }
}

class PowerCut extends Error {}

describe("a kept file", () => {
  const [before, now] = ["old ".repeat(100), "new ".repeat(150)];

  for (const [what, start] of [
    ["replaced", { "/data/f": before }],
    ["written for the first time", {}],
    ["replaced over the remains of an earlier cut", { "/data/f": before, "/data/f.new": "half a f" }],
  ] as [string, Record<string, string>][]) {
    it(`is the old one or the new one, whenever the power goes while it is ${what}`, () => {
      const calls = new Card(start);
      new KeptFile("/data/f", calls.files).write(Buffer.from(now));
      assert.ok(calls.calls > 5);
      const seen = new Set<string>();
      for (let cutAt = 0; cutAt <= calls.calls; cutAt++) {
        const card = new Card(start, cutAt);
        try {
          new KeptFile("/data/f", card.files).write(Buffer.from(now));
        } catch (error) {
          assert.ok(error instanceof PowerCut);
        }
        for (const names of card.afterwards()) {
          const kept = names.get("/data/f")?.toString();
          assert.ok(kept === start["/data/f"] || kept === now, `cut at ${cutAt}: ${kept?.length} bytes`);
          seen.add(kept === now ? "new" : "old");
        }
      }
      assert.deepEqual([...seen].sort(), ["new", "old"]);
    });
  }

  it("is certainly the new one once write has returned", () => {
    const card = new Card({ "/data/f": before });
    new KeptFile("/data/f", card.files).write(Buffer.from(now));
    for (const names of card.afterwards()) assert.equal(names.get("/data/f")?.toString(), now);
  });

  it("would not be without the fsync before the rename: the card of this test notices", () => {
    const card = new Card({ "/data/f": before });
    const careless: Files = { ...card.files, fsyncSync: () => {} };
    new KeptFile("/data/f", careless).write(Buffer.from(now));
    assert.ok([...card.afterwards()].some((names) => ![before, now].includes(String(names.get("/data/f")))));
  });

  it("leaves the old one and no remains when the card is full", () => {
    const folder = mkdtempSync(join(tmpdir(), "feldfon-"));
    try {
      const path = join(folder, "f");
      new KeptFile(path).write(Buffer.from(before));
      const full: Files = {
        ...nodeFs,
        writeSync: (() => {
          throw Object.assign(new Error("no space left"), { code: "ENOSPC" });
        }) as Files["writeSync"],
      };
      assert.throws(() => new KeptFile(path, full).write(Buffer.from(now)), { code: "ENOSPC" });
      assert.deepEqual(readdirSync(folder), ["f"]);
      assert.equal(readFileSync(path, "utf8"), before);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});

describe("settings", () => {
  let folder: string;
  let path: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "feldfon-"));
    path = join(folder, "data", "settings.json");
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  it("are made by the first start and found by the second", () => {
    const made = openSettings(path, nodeFs, () => 42);
    assert.deepEqual(made, {
      server: "127.0.0.1",
      port: 5060,
      name: "Feldfon 0042",
      language: "de",
      direct: false,
      pin: true,
      idleLockMinutes: 10,
    });
    assert.deepEqual(
      openSettings(path, nodeFs, () => 7),
      made,
    );
  });

  it("do not trust any server before one was set", () => assert.equal(firstSettings().serverKey, undefined));

  it("come back as they were saved", () => {
    saveSettings(path, whole);
    assert.deepEqual(openSettings(path), whole);
  });

  it("are readable by their owner only, folder and file", () => {
    saveSettings(path, whole);
    assert.equal(statSync(path).mode & 0o777, 0o600);
    assert.equal(statSync(dirname(path)).mode & 0o777, 0o700);
  });

  it("do not go direct unless that was chosen", () => {
    const { direct: _direct, ...rest } = whole;
    assert.equal(parseSettings(rest).direct, false);
  });

  const wrong: [string, unknown, RegExp][] = [
    ["no object", "settings", /settings: expected Object/],
    ["a list", [], /server: missing/],
    ["no port", { ...whole, port: undefined }, /^port: missing$/],
    ["port 0", { ...whole, port: 0 }, /port: expected >=1/],
    ["port 65536", { ...whole, port: 65_536 }, /port: expected <=65535/],
    ["a port in quotes", { ...whole, port: "5060" }, /port: expected number/],
    ["half a port", { ...whole, port: 50.5 }, /port/],
    ["a URL", { ...whole, server: "https://a.b" }, /server: not a host/],
    ["an address with its port", { ...whole, server: "a.b:5060" }, /server/],
    ["an empty server", { ...whole, server: "" }, /server/],
    ["a server that starts an option", { ...whole, server: "-oProxy" }, /server/],
    ["a short fingerprint", { ...whole, serverKey: "ab" }, /serverKey: a uid is 64/],
    ["the server's name", { ...whole, name: "Server" }, /name: the server's name is reserved/],
    ["a name of one character", { ...whole, name: "A" }, /name: a name of 1 characters/],
    ["a name with a line break", { ...whole, name: "An\nna" }, /name/],
    ["another language", { ...whole, language: "fr" }, /language/],
    ["a code that is too long", { ...whole, enrolmentCode: "x".repeat(65) }, /enrolmentCode/],
    ["a setting nobody knows", { ...whole, colour: "red" }, /colour|settings/],
    ["__proto__", JSON.parse('{"__proto__": {"server": "a"}}'), /settings|server/],
  ];
  for (const [what, values, sentence] of wrong) {
    it(`say what is wrong with ${what}`, () => {
      assert.throws(
        () => parseSettings(values),
        (error) => error instanceof SettingsError && error.code === "settings-bad" && sentence.test(error.message),
      );
    });
  }

  it("never repeat a value in an error, least of all the enrolment code", () => {
    const secret = `secret${"x".repeat(70)}`;
    for (const field of Object.keys(whole)) {
      assert.throws(
        () => parseSettings({ ...whole, [field]: field === "port" ? secret : `${secret}\u0000` }),
        (error) => error instanceof SettingsError && !error.message.includes("secret"),
      );
    }
  });

  for (const server of ["127.0.0.1", "::1", "fe80::1%eth0", "localhost", "a-b.example.org"]) {
    it(`take ${server} for a server`, () => assert.equal(parseSettings({ ...whole, server }).server, server));
  }

  it("that are wrong are not saved", () => {
    saveSettings(path, whole);
    assert.throws(() => saveSettings(path, { ...whole, port: 0 }), { code: "settings-bad" });
    assert.deepEqual(openSettings(path), whole);
  });

  for (const [what, text] of [
    ["empty", ""],
    ["half", '{"server": "127.0'],
    ["bytes", "\u0000\u0001"],
    ["not settings", '{"enrolmentCode": "4711-very-secret"}'],
  ] as const) {
    it(`that are broken (${what}) are put aside, reported without their content, and never guessed`, () => {
      saveSettings(path, whole);
      writeFileSync(path, text);
      assert.throws(
        () => openSettings(path),
        (error) => {
          assert.ok(error instanceof SettingsError);
          assert.equal(error.code, "settings-broken");
          assert.equal(faultOf(error.code), "settings");
          assert.equal(readFileSync(error.keptAs!, "utf8"), text);
          assert.ok(!error.message.includes("4711"));
          return true;
        },
      );
      assert.equal(existsSync(path), false);
    });
  }

  it("keep every broken file", () => {
    for (const text of ["one", "two"]) {
      saveSettings(path, whole);
      writeFileSync(path, text);
      assert.throws(() => openSettings(path), SettingsError);
    }
    assert.deepEqual(readdirSync(dirname(path)).sort(), ["settings.json.broken-1", "settings.json.broken-2"]);
  });

  it("read back whatever was saved", () => {
    const names = fc
      .constantFrom("Anna", "陈", "Jürgen Müller")
      .map((name) => (name.length < 2 ? `${name}${name}` : name));
    const settings = fc.record(
      {
        server: fc.constantFrom("127.0.0.1", "::1", "a.example"),
        port: fc.integer({ min: 1, max: 65_535 }),
        name: names,
        language: fc.constantFrom("de" as const, "en" as const, "zh" as const),
        direct: fc.boolean(),
        pin: fc.boolean(),
        idleLockMinutes: fc.integer({ min: 0, max: 1_440 }),
        enrolmentCode: fc.string({ maxLength: 32 }),
      },
      {
        requiredKeys: ["server", "port", "name", "language", "direct", "pin", "idleLockMinutes"],
        noNullPrototype: true,
      },
    );
    const card = new Card({});
    fc.assert(
      fc.property(settings, (values) => {
        saveSettings("/s", values, card.files);
        assert.deepEqual(openSettings("/s", card.files), values);
      }),
    );
  });
});

describe("the last head", () => {
  const [head, signature] = [Buffer.alloc(184, 1), Buffer.alloc(512, 2)];

  it("is none at the first start", () => {
    assert.equal(new LastHead("/h", new Card({}).files).read(), undefined);
  });

  it("comes back with its signature", () => {
    const { files } = new Card({});
    new LastHead("/h", files).write(head, signature);
    assert.deepEqual(new LastHead("/h", files).read(), { bytes: head, signature });
  });

  it("that is too short or too long is put aside and reported: no older directory slips in", () => {
    for (const bytes of [0, 695, 697]) {
      const { files } = new Card({ "/h": "x".repeat(bytes) });
      assert.throws(() => new LastHead("/h", files).read(), { code: "last-head-broken", keptAs: "/h.broken-1" });
      assert.equal(files.existsSync("/h"), false);
    }
  });

  it("takes nothing of another size", () => {
    const { files } = new Card({});
    assert.throws(() => new LastHead("/h", files).write(head.subarray(1), signature), ProtocolError);
    assert.throws(() => new LastHead("/h", files).write(head, signature.subarray(1)), ProtocolError);
  });
});

describe("the data folder", () => {
  it("has a place of its own for everything that is kept", () => {
    const paths = Object.values(pathsIn("/data"));
    assert.equal(new Set(paths).size, 4);
    for (const path of paths) assert.equal(dirname(path), "/data");
  });
});
