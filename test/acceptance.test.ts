/**
 * Holds test/acceptance.md to its word: every row of the seeds' acceptance table is there, and every test it names is
 * one that runs.
 */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import path from "node:path";

const ROOT = path.join(import.meta.dirname, "..");

/** Rows of this wave: seeds 000 and 003. */
const ROWS = [...numbered("000", 17), ...numbered("003", 73)];

/** Issues a row may be left to, by the first words of their titles; the rest of a row's proof has to be here. */
const LATER = ["The call on the page", "The vault", "The voice", "The devices"];

interface Row {
  id: string;
  meaning: string;
  /** `file` from the root, `title` as mocha joins it: suites and test, or the suites alone. */
  proofs: { file: string; title: string }[];
  later: string[];
}

function numbered(seed: string, rows: number): string[] {
  return Array.from({ length: rows }, (_, n) => `${seed}-${String(n + 1).padStart(2, "0")}`);
}

/** Rows look like `| 000-01 | what it means | proof<br>proof |`; a bar inside a cell is written `\|`. */
function readTable(): Row[] {
  const rows: Row[] = [];
  for (const line of readFileSync(path.join(ROOT, "test/acceptance.md"), "utf8").split("\n")) {
    const id = /^\| (\d{3}-\d{2}) \|/.exec(line)?.[1];
    if (!id) continue;
    const cells = line
      .split(/(?<!\\)\|/)
      .slice(1, -1)
      .map((cell) => cell.trim().replaceAll("\\|", "|"));
    assert.equal(cells.length, 3, `row ${id} has ${cells.length} cells`);
    const row: Row = { id, meaning: cells[1]!, proofs: [], later: [] };
    for (const entry of cells[2]!.split("<br>").map((one) => one.trim())) {
      const proof = /^`([^`]+\.test\.ts)` (.+)$/.exec(entry);
      const later = /^later: (.+)$/.exec(entry);
      if (proof) row.proofs.push({ file: proof[1]!, title: proof[2]! });
      else if (later) row.later.push(later[1]!);
      else assert.fail(`row ${id}: "${entry}" is neither a test nor a later issue`);
    }
    rows.push(row);
  }
  return rows;
}

/** Full titles of the tests in some files that do run, by file. */
function titlesOf(files: readonly string[], here: Mocha.Suite): Map<string, string[]> {
  const titles = new Map<string, string[]>();
  const add = (file: string, title: string) => {
    const known = titles.get(file);
    if (known) known.push(title);
    else titles.set(file, [title]);
  };
  // What this very run has loaded needs no second look.
  here.eachTest((test) => {
    if (test.file && !test.isPending()) add(path.relative(ROOT, test.file), test.fullTitle());
  });
  const unseen = files.filter((file) => !titles.has(file));
  if (unseen.length > 0) {
    const mocha = path.join(ROOT, "node_modules/mocha/bin/mocha.js");
    const out = execFileSync(process.execPath, [mocha, "--dry-run", "--reporter", "json", "--spec", ...unseen], {
      cwd: ROOT,
      maxBuffer: 64 * 1024 * 1024,
      stdio: ["ignore", "pipe", "inherit"],
    });
    const report = JSON.parse(out.toString()) as {
      passes: { file: string; fullTitle: string }[];
    };
    for (const { file, fullTitle } of report.passes) add(path.relative(ROOT, file), fullTitle);
  }
  return titles;
}

describe("Acceptance table", () => {
  let rows: Row[] = [];

  // Not while the files are loaded: a slip in the table should fail here and not stop every test.
  before(() => {
    rows = readTable();
  });

  it("has every row of seeds 000 and 003, once, in order", () => {
    assert.deepEqual(
      rows.map(({ id }) => id),
      ROWS,
    );
  });

  it("says for every row what it means here, and what proves it", () => {
    for (const { id, meaning, proofs, later } of rows) {
      assert.ok(meaning.length >= 20, `row ${id} has no meaning`);
      assert.ok(proofs.length + later.length > 0, `row ${id} has neither a test nor an issue`);
      for (const issue of later) {
        assert.ok(
          LATER.some((title) => issue.startsWith(title)),
          `row ${id}: no issue is called "${issue}"`,
        );
      }
    }
  });

  it("names only tests that exist and run", function () {
    this.timeout(120_000);
    const files = [...new Set(rows.flatMap(({ proofs }) => proofs.map(({ file }) => file)))];
    assert.deepEqual(
      files.filter((file) => !existsSync(path.join(ROOT, file))),
      [],
      "test files that do not exist",
    );
    let root = this.test!.parent!;
    while (root.parent) root = root.parent;
    const titles = titlesOf(files, root);
    const missing: string[] = [];
    for (const { id, proofs } of rows) {
      for (const { file, title } of proofs) {
        const found = titles.get(file)?.some((one) => one === title || one.startsWith(`${title} `));
        if (!found) missing.push(`${id}: ${file} has no test "${title}"`);
      }
    }
    assert.deepEqual(missing, []);
  });
});
