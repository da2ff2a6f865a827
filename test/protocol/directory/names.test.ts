import assert from "node:assert/strict";
import { LOOK_ALIKES, LOOK_ALIKES_FOLDED } from "@feldfon/protocol/directory/look-alikes";
import { lowerKey, parseName, skeleton } from "@feldfon/protocol/directory/names";
import fc from "fast-check";
import { withCode } from "./two-ends.ts";

describe("Directory: names", () => {
  for (const name of ["Jo", "Änne-Marie", "Trupp 7", "李明", "Ж2", "a".repeat(32), "🚒🚒", "O’Neill", "नमस्ते"]) {
    it(`may be ${name}`, () => assert.equal(parseName(name), name));
  }

  it("count code points, not UTF-16 units", () => {
    assert.equal(parseName("🚒".repeat(32)), "🚒".repeat(32));
    assert.throws(() => parseName("🚒".repeat(33)), withCode("name-bad"));
    assert.throws(() => parseName("🚒"), withCode("name-bad"));
  });

  it("are brought to NFC before they are counted", () => {
    assert.equal(parseName("Jo\u0308rg"), "J\u00f6rg");
    assert.equal(parseName("e\u0301".repeat(32)), "\u00e9".repeat(32));
    assert.throws(() => parseName("e\u0301"), withCode("name-bad"));
  });

  const bad: Record<string, string> = {
    "too short": "x",
    "nothing at all": "",
    "too long": "a".repeat(33),
    "a control character": "An\u0007na",
    "a line feed": "Anna\nBert",
    "a right-to-left override": "Anna\u202eBert",
    "a right-to-left mark": "Anna\u200f",
    "a zero-width joiner": "An\u200dna",
    "a byte-order mark": "An\ufeffna",
    "a line separator": "An\u2028na",
    "a paragraph separator": "An\u2029na",
    "half a surrogate pair": "An\ud800na",
    "a character for private use": "An\ue000na",
    "a code point nobody has assigned": "An\u0378na",
    "a space in front": " Anna",
    "a space behind": "Anna ",
    "a no-break space behind": "Anna\u00a0",
    "an ideographic space in front": "\u3000Anna",
    "the server's": "server",
    "the server's in another case": "SERVER",
  };
  for (const [what, name] of Object.entries(bad)) {
    it(`may not be ${what}`, () => assert.throws(() => parseName(name), withCode("name-bad")));
  }

  it("stay what they are when parsed again, whatever was typed", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary", maxLength: 40 }), (text) => {
        let name: string;
        try {
          name = parseName(text);
        } catch (error) {
          return assert.ok(withCode("name-bad")(error));
        }
        assert.equal(parseName(name), name);
        assert.equal(Buffer.from(name).toString(), name);
        assert.ok([...name].length >= 2 && [...name].length <= 32);
      }),
      { numRuns: 2000 },
    );
  });

  it("are one name in any case, in every country", () => {
    assert.equal(lowerKey("JÖRG"), lowerKey("jörg"));
    assert.equal(lowerKey("ILI"), "ili");
    assert.notEqual(lowerKey("Jorg"), lowerKey("Jörg"));
  });
});

describe("Directory: look-alikes", () => {
  const same: [string, string, string][] = [
    ["Anna", "Аnna", "a Cyrillic А"],
    ["Anna", "Αnna", "a Greek Α"],
    ["Nik", "Νik", "a Greek Ν"],
    ["vik", "νik", "a Greek ν, small"],
    ["Paul", "PauI", "a large i for an l"],
    ["Paul", "Pau1", "a one for an l"],
    ["Otto", "0tt0", "zeros"],
    ["Carmen", "Carrnen", "r and n for m"],
    ["Walter", "VValter", "two v for w"],
    ["Trupp 1", "Trupp\u00a0l", "a no-break space"],
    ["Trupp 1", "Trupp  1", "two spaces"],
    ["Anna", "Ａｎｎａ", "full width"],
    ["Anna", "𝐀𝐧𝐧𝐚", "mathematical bold"],
    ["Fischer", "Fiſcher", "a long s"],
    ["Groß", "GROSS", "ß and SS"],
    ["Ann-Marie", "Ann‑Marie", "a no-break hyphen"],
    ["O'Neill", "O’Neill", "another apostrophe"],
    ["Anna", "An\u034fna", "a joiner without width"],
    ["Anna", "An\ufe0fna", "a variation selector"],
    ["Jörg", "Jo\u0308rg", "a decomposed ö"],
    ["CAESAR", "ϹAESAR", "a lunate sigma"],
    ["Tomas", "Τоmаs", "letters of three scripts"],
  ];
  for (const [name, other, what] of same) {
    it(`are found: ${name} with ${what}`, () => assert.equal(skeleton(other), skeleton(name)));
  }

  for (const [name, other] of [
    ["Anna", "Hanna"],
    ["Muller", "Müller"],
    ["Bert", "Berta"],
    ["李明", "王明"],
    ["Иван", "Олег"],
  ]) {
    it(`are not ${name} and ${other}`, () => assert.notEqual(skeleton(name!), skeleton(other!)));
  }

  for (const name of ["ѕеrvеr", "Ｓｅｒｖｅｒ", "ser\u034fver", "SERVER"]) {
    it(`of the server are refused: ${JSON.stringify(name)}`, () => {
      assert.throws(() => skeleton(name), withCode("name-bad"));
    });
  }

  for (const name of ["\u3164\u3164", "\u2800\u2800\u2800", "\u115f\u1160"]) {
    it(`of nothing are refused: ${JSON.stringify(name)}`, () => {
      assert.equal(parseName(name), name); // every single character is a lawful one
      assert.throws(() => skeleton(name), withCode("name-bad"));
    });
  }

  it("have no pair in their table that does nothing", () => {
    for (const [character, looks] of [...LOOK_ALIKES, ...LOOK_ALIKES_FOLDED]) {
      assert.ok([...character].length === 1 && looks.length > 0, `${character} ${looks}`);
      assert.equal(skeleton(`xy${character}z`), skeleton(`xy${looks}z`), `${character} looks like ${looks}`);
    }
  });

  it("are told by a skeleton that case and composition do not change, for names in ASCII", () => {
    fc.assert(
      fc.property(fc.string({ minLength: 1, maxLength: 20 }), (name) => {
        fc.pre(name.trim() !== "");
        assert.equal(skeleton(name.toUpperCase()), skeleton(name.toLowerCase()));
        assert.equal(skeleton(name.normalize("NFD")), skeleton(name));
      }),
    );
  });
});
