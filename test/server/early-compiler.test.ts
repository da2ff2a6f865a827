import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { promisify } from "node:util";

/** V8's word for a function that its best compiler has compiled (src/runtime/runtime.h, OptimizationStatus). */
const BY_TURBOFAN = 1 << 6;
const CALLS = 1_000;

/** @returns whether a function of a new process is compiled for speed after so many calls */
async function compiledAfterCalls(begin: string): Promise<boolean> {
  const program = `
    ${begin}
    const sum = (numbers) => { let whole = 0; for (const number of numbers) whole += number; return whole; };
    let status = 0;
    for (let call = 0; call < ${CALLS}; call++) {
      sum([1, 2, 3]);
      if (call % 50 === 0) await new Promise((resolve) => setTimeout(resolve, 2));
      status |= %GetOptimizationStatus(sum);
    }
    process.stdout.write(String(status));
  `;
  const flags = ["--allow-natives-syntax", "--input-type=module", "--disable-warning=ExperimentalWarning"];
  const { stdout } = await promisify(execFile)(process.execPath, [...flags, "-e", program], {
    cwd: import.meta.dirname,
  });
  return (Number(stdout) & BY_TURBOFAN) !== 0;
}

describe("early compiler", () => {
  it("compiles what a few hundred joins have called, which V8 by itself does not", async () => {
    const early = `(await import("@feldfon/server/early-compiler")).compileEarly();`;
    assert.equal(await compiledAfterCalls(early), true);
    assert.equal(await compiledAfterCalls(""), false);
  });
});
