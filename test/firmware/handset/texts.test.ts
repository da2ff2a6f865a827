import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { layoutOf } from "@feldfon/firmware/handset/drawing/layout";
import { FAULTS, type Fault, faultOf } from "@feldfon/firmware/handset/faults";
import type { Lock } from "@feldfon/firmware/handset/lock";
import type { Event, Notice, State } from "@feldfon/firmware/handset/machine";
import { screenOf } from "@feldfon/firmware/handset/screens";
import { fill, LANGUAGES, TEXTS } from "@feldfon/firmware/handset/texts";
import {
  ABOUT,
  ABOUT_DEGRADED,
  CALL_ID,
  connected,
  contact,
  directory,
  ENDS,
  after as follow,
  LONGEST_NAME,
  NO_CHANGES,
  OTHER_ROOT,
  off,
  press,
  ROOT,
  SAS,
  samples,
} from "./samples.ts";

const root = join(dirname(fileURLToPath(import.meta.url)), "../../..");

/** All texts of a table with their paths: "faults.root.text". */
function leaves(table: object, path = ""): [string, string][] {
  return Object.entries(table).flatMap(([key, value]): [string, string][] =>
    typeof value === "string" ? [[`${path}${key}`, value]] : leaves(value as object, `${path}${key}.`),
  );
}

describe("texts", () => {
  const tables = Object.fromEntries(LANGUAGES.map((language) => [language, new Map(leaves(TEXTS[language]))]));
  const paths = [...tables.de!.keys()].sort();

  for (const language of LANGUAGES) {
    const table = tables[language]!;

    it(`${language}: has every text that the others have`, () => {
      assert.deepEqual([...table.keys()].sort(), paths);
    });

    it(`${language}: leaves nothing empty but the next step after an end that needs none`, () => {
      const empty = [...table].filter(([, text]) => text.trim() === "").map(([path]) => path);
      const quiet = ["hung-up-here", "hung-up-there", "cancelled", "missed", "declined-here"];
      assert.deepEqual(empty.sort(), quiet.map((why) => `ends.${why}.next`).sort());
    });

    it(`${language}: fills the same braces as the others`, () => {
      const braces = (text: string) => (text.match(/\{\w+\}/g) ?? []).sort();
      for (const path of paths) assert.deepEqual(braces(table.get(path)!), braces(tables.de!.get(path)!), path);
    });

    it(`${language}: has a text and a next step for every fault`, () => {
      assert.deepEqual(Object.keys(TEXTS[language].faults).sort(), Object.keys(FAULTS).sort());
      for (const { text, next } of Object.values(TEXTS[language].faults)) assert.ok(text.length > 0 && next.length > 0);
    });

    it(`${language}: has another text for every fault and for every end of a call`, () => {
      const texts = Object.values(TEXTS[language].faults).map(({ text }) => text);
      const ends = ENDS.map((why) => TEXTS[language].ends[why].text);
      assert.equal(new Set(texts).size, texts.length);
      assert.equal(new Set(ends).size, ends.length);
    });
  }

  it("are translated, not copied", () => {
    // Digits, "OK" and words that are the same in both languages.
    const alike = new Set([
      "actions.ok",
      "actions.pin-done",
      "lock.ask.unlock.title",
      "updateSteps.1",
      "code",
      "off.text",
    ]);
    const pairs = [
      ["de", "en"],
      ["en", "zh"],
      ["de", "zh"],
    ] as const;
    for (const [one, other] of pairs) {
      const same = paths.filter(
        (path) => tables[one]!.get(path) === tables[other]!.get(path) && /\p{L}/u.test(tables[one]!.get(path)!),
      );
      assert.deepEqual(
        same.filter((path) => !alike.has(path) && tables[one]!.get(path) !== "" && !/^ends\./.test(path)),
        [],
        `${one} and ${other}`,
      );
    }
  });

  it("are Chinese where they should be", () => {
    for (const [path, text] of tables.zh!) {
      if (text !== "") assert.match(text, /\p{Script=Han}/u, path);
    }
  });

  it("put values into braces and leave unknown braces alone", () => {
    assert.equal(fill("{n} of {m}, {x}", { n: 1, m: "{n}" }), "1 of {n}, {x}");
  });
});

describe("faults", () => {
  it("have a number of their own", () => {
    const numbers = Object.values(FAULTS).map(({ number }) => number);
    assert.equal(new Set(numbers).size, numbers.length);
  });

  for (const [code, fault] of [
    ["wrong-server-key", "server-key"],
    ["epoch-back", "restored"],
    ["ECONNREFUSED", "unreachable"],
    ["bad-tag", "garbled"],
    ["name-taken", "name-taken"],
    ["two-heads", "two-directories"],
    ["sound", "sound"],
    ["a-code-nobody-knows", "other"],
    ["constructor", "other"],
    ["", "other"],
  ] as const) {
    it(`shows ${fault} for ${JSON.stringify(code)}`, () => assert.equal(faultOf(code), fault));
  }

  it("are known for every code that the protocol, the vault and the settings can throw", () => {
    const codes = new Set<string>();
    for (const folder of ["protocol", "hw/vault", "firmware"]) {
      for (const name of readdirSync(join(root, folder), { recursive: true, encoding: "utf8" })) {
        // What the seed profile throws meets tests only.
        if (!name.endsWith(".ts") || /node_modules|seed-profile/.test(name)) continue;
        const source = readFileSync(join(root, folder, name), "utf8");
        for (const [, code] of source.matchAll(/new (?:Protocol|Vault|Settings|Evidence)Error\(\s*"([^"]+)"/g))
          codes.add(code!);
      }
    }
    assert.ok(codes.size > 30);
    assert.deepEqual([...codes].filter((code) => faultOf(code) === "other").sort(), []);
  });

  it("are known for every reason word with which a server refuses (wire.md 2)", () => {
    for (const word of ["name-bad", "name-taken", "key-known", "code-bad", "key-bad"])
      assert.equal(faultOf(word), word);
  });
});

describe("texts on the screen", () => {
  const names = [LONGEST_NAME, "Maximiliane von Hohenstein-Müller".slice(0, 32), "陈".repeat(32)];

  /** The longest each screen can get. */
  function* worst(name: string): Generator<[string, State]> {
    const people = [name, ...["a", "b", "c", "d", "e"].map((end) => name.slice(0, -1) + end)];
    const book = directory(people, 123_456);
    const other = contact(1, people[1]!);
    const charge = { percent: 100, charging: false };
    const base: State = { ...off, ownName: name, server: `${"w".repeat(40)}.example.org:65535`, charge };
    const up = follow(base, press("connect"), { ...connected, directory: book } as Event);
    const changes = { joined: people, left: people, renamed: [{ from: people[1]!, to: people[2]! }], newKey: people };
    const call = follow(up, press("call"), { event: "incoming", callId: CALL_ID, peer: other });
    const talk = follow(call, press("call"), { event: "in-call", callId: CALL_ID, peer: other, sas: SAS });
    const long: Event = { event: "tick", elapsedMs: 36_000_000 };
    const muted = follow(talk, { event: "key", key: "5" }, long);
    yield ["off", base];
    const arena = { bytes: 2 ** 26, usedBytes: 2 ** 26 };
    for (const about of [{ ...ABOUT, arena }, { ...ABOUT, arena, protection: "locked" }, ABOUT_DEGRADED]) {
      for (const open of [{ coreDumps: false }, { coreDumps: true }, { coreDumps: false, inspector: true }]) {
        for (const deviceSecret of ["tpm", "firmware-crypto", "otp", "none"] as const) {
          const shown = { ...about, ...open, deviceSecret, version: "10.10.10" };
          yield ["about", { ...base, place: { name: "about", shown } }];
        }
      }
    }
    yield ["verified", follow(up, { event: "directory", directory: book, changes })];
    for (const protection of ["memfd_secret", "locked", "degraded"]) yield [protection, { ...up, protection }];
    for (let selected = 0; selected < people.length; selected++) {
      yield ["phonebook", { ...follow(up, press("call")), selected: { uid: book.contacts[selected]!.uid, name } }];
    }
    yield ["dial", { ...up, place: { name: "dial", digits: "999999", found: other, askAgain: true } }];
    yield ["dialling", follow(up, press("call"), press("call"))];
    yield ["ringing-out", { ...call, place: { name: "ringing-out", peer: other, callId: CALL_ID } }];
    yield ["incoming", call];
    yield ["silenced", follow(call, { event: "key", key: "*" })];
    yield ["answering", follow(call, press("call"))];
    yield ["in-call", follow(talk, long)];
    yield ["muted", muted];
    yield ["muted, server lost", follow(muted, { event: "disconnected", code: "closed", retryInMs: 1 })];
    yield ["muted, distrust", follow(muted, { event: "evidence", file: "e" })];
    yield ["hanging-up", follow(talk, press("hang-up"))];
    for (const why of ENDS) {
      for (const erased of ["both", "here", "none"] as const) {
        const ending = { callId: CALL_ID, peer: other, why, erased, durationMs: 36_000_000 };
        yield [`${why}, ${erased}`, { ...up, place: { name: "ended", ending, elapsedMs: 0 } }];
      }
    }
    const notices: Notice[] = [
      { kind: "missed", peer: other, times: 999 },
      { kind: "updated", oldRoot: ROOT, newRoot: OTHER_ROOT, same: false, changes },
      {
        kind: "updated",
        oldRoot: ROOT,
        newRoot: ROOT,
        same: true,
        changes: { ...NO_CHANGES, renamed: changes.renamed },
      },
      { kind: "changes", renamed: changes.renamed, newKey: people },
      { kind: "battery", percent: 10 },
    ];
    for (const notice of notices) yield [notice.kind, { ...up, place: { name: "notice", notice } }];
  }

  /** Every question, whatever was wrong before, with everything that may stand below it. */
  function* questions(): Generator<[string, State]> {
    const missed: Notice = { kind: "missed", peer: contact(1, "Ben"), times: 999 };
    const broken: Notice = { kind: "fault", about: "device", code: "numpad", cause: "" };
    const codes = [
      undefined,
      ...Object.keys(TEXTS.en.lock.refused),
      "other-device",
      "bad-key",
      "ENOSPC",
      "w".repeat(60),
    ];
    for (const purpose of Object.keys(TEXTS.en.lock.ask) as (keyof typeof TEXTS.en.lock.ask)[]) {
      for (const refused of codes) {
        for (const waitMs of [0, 3_600_000]) {
          const lock: Lock = {
            at: "asked",
            purpose,
            changing: true,
            count: 12,
            sent: false,
            left: 10,
            waitMs,
            refused,
          };
          for (const notices of [[missed], [missed, broken]]) {
            yield [`${purpose}, ${refused}`, { ...off, lock, place: { name: "lock" }, notices }];
          }
        }
      }
    }
  }

  function* faults(): Generator<[string, State]> {
    for (const fault of Object.keys(FAULTS) as Fault[]) {
      const distrust = { code: fault, evidence: `/data/evidence/${"0".repeat(16)}.ffe`, seen: false };
      yield [fault, { ...off, line: { at: "refused", code: fault, after: "1.1" } }];
      yield [fault, { ...off, line: { at: "lost", code: fault, retryInMs: 30_000 } }];
      yield [fault, { ...off, distrust, place: { name: "alarm", elapsedMs: 0 } }];
    }
    const code = "w".repeat(60);
    yield ["unknown", { ...off, line: { at: "refused", code, after: "1.1" } }];
    yield ["unknown", { ...off, line: { at: "lost", code, retryInMs: 30_000 } }];
  }

  for (const language of LANGUAGES) {
    for (const width of [240, 320]) {
      it(`${language}: fit on ${width} pixels, with the longest names`, () => {
        const states: [string, State][] = [
          ...Object.entries(samples),
          ...questions(),
          ...faults(),
          ...names.flatMap((name) => [...worst(name)]),
        ];
        for (const [what, state] of states) {
          const { overflows } = layoutOf(screenOf(state, language), width, 240);
          assert.deepEqual(overflows, [], `${what}, ${language}`);
        }
      });
    }
  }
});
