/**
 * V8 compiles the server's code for speed after hundreds of calls, not thousands. Its own measure is made for functions
 * that run a million times; a join or a resume calls each of ours once, and a server of a hundred handsets would be slow
 * for weeks.
 */
import { setFlagsFromString } from "node:v8";

const CALLS = {
  /** V8's own: 400. */
  "invocation-count-for-maglev": 100,
  /** V8's own: 3,000. */
  "invocation-count-for-turbofan": 300,
  /** After a kind of value that a function had not seen before. V8's own: 500. */
  "minimum-invocations-after-ic-update": 100,
};

/** For the whole process, from now on. */
export function compileEarly(): void {
  for (const [flag, calls] of Object.entries(CALLS)) setFlagsFromString(`--${flag}=${calls}`);
}
