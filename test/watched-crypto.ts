/**
 * Loaded by `node --import` before a program under test: writes down which RSA private operations it does, and in which
 * way, and every secret that passes node:crypto, one JSON object a line. Worker threads of the program load it too.
 *
 *     FELDFON_WATCH=FILE node --import test/watched-crypto.ts server/main.ts
 *
 * The program is given the vault on node:crypto, for the native one passes nothing by here: what that lets out is the
 * leak scan's to see. With FELDFON_MADE_KEY=FILE that key is what comes of making one, which else takes seconds.
 */
import { appendFileSync, readFileSync } from "node:fs";
import { createRequire, syncBuiltinESMExports } from "node:module";
import { promisify } from "node:util";
import { isMainThread } from "node:worker_threads";

/** What one line says. `main`: in the process's first thread. */
export type Watched = ({ rsa: string; onLoop: boolean } | { secret: string }) & { main: boolean };

// biome-ignore lint/suspicious/noExplicitAny: whatever node:crypto's functions take and give
type Anything = (...args: any[]) => any;

process.env.FELDFON_VAULT = "degraded";

const file = process.env.FELDFON_WATCH!;
const crypto = createRequire(import.meta.url)("node:crypto") as Record<string, Anything> & {
  subtle: { decrypt: Anything; sign: Anything };
};

function note(watched: { rsa: string; onLoop: boolean } | { secret: string }): void {
  appendFileSync(file, `${JSON.stringify({ ...watched, main: isMainThread })}\n`);
}

function secret(bytes: ArrayBuffer | Uint8Array): void {
  note({ secret: Buffer.from(bytes as Uint8Array).toString("hex") });
}

/** @param around is given the function as it was, and its arguments */
function watch(name: string, around: (original: Anything, args: unknown[]) => unknown): void {
  const original = crypto[name]!;
  crypto[name] = (...args) => around(original, args);
}

// A callback is what takes an operation off the loop; these never had one, or not this time.
watch("sign", (original, args) => {
  note({ rsa: "sign", onLoop: typeof args.at(-1) !== "function" });
  return original(...args);
});
for (const name of ["privateDecrypt", "privateEncrypt", "createSign"]) {
  watch(name, (original, args) => {
    note({ rsa: name, onLoop: true });
    return original(...args);
  });
}
watch("generateKeyPairSync", (original, args) => {
  if (args[0] === "rsa") note({ rsa: "generateKeyPairSync", onLoop: true });
  return original(...args);
});
const madeKey = process.env.FELDFON_MADE_KEY;
if (madeKey !== undefined) {
  Object.assign(crypto.generateKeyPair!, {
    [promisify.custom]: async () => {
      note({ rsa: "generateKeyPair", onLoop: false });
      return { privateKey: crypto.createPrivateKey!(readFileSync(madeKey)) };
    },
  });
}
const { subtle } = crypto;
for (const name of ["decrypt", "sign"] as const) {
  const original = subtle[name].bind(subtle);
  subtle[name] = async (...args) => {
    note({ rsa: `subtle.${name}`, onLoop: false });
    const result = await original(...args);
    secret(result as ArrayBuffer);
    return result;
  };
}

for (const name of ["diffieHellman", "decapsulate", "hkdfSync"]) {
  watch(name, (original, args) => {
    const result = original(...args) as ArrayBuffer;
    secret(result);
    return result;
  });
}
watch("createSecretKey", (original, args) => {
  secret(args[0] as Uint8Array);
  return original(...args);
});
// 48 bytes are what a secret has; nonces have 32.
watch("randomBytes", (original, args) => {
  const result = original(...args) as Buffer;
  if (args[0] === 48) secret(result);
  return result;
});
syncBuiltinESMExports();
