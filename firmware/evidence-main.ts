/** `feldfon verify-evidence FILE`: judges what a handset kept when it caught the server, without handset and server. */
import { readFileSync } from "node:fs";
import { verifyEvidence } from "@feldfon/protocol/directory/evidence";

const USAGE = `feldfon verify-evidence FILE

Reads an evidence file of a handset and says what it proves. It holds the server's key, two signed heads and a path of
the log, no names.

Ends with 0 when it proves a lie, 1 when it does not, 2 when it cannot be read.
`;

const SENTENCES = {
  "two-heads": "The server signed two different directories for one epoch.",
  "broken-chain": "The server signed a directory that does not follow the one before it.",
  unlinked: "Both heads are signed, but the path does not link them. This alone proves no lie.",
} as const;

const [command, file, ...rest] = process.argv.slice(2);
if (command === "--help" || command === "-h") {
  process.stdout.write(USAGE);
  process.exit(0);
}
if (command !== "verify-evidence" || file === undefined || rest.length > 0) {
  process.stderr.write(USAGE);
  process.exit(2);
}
try {
  const { verdict, serverKey, heads } = verifyEvidence(readFileSync(file));
  process.stdout.write(`${SENTENCES[verdict]}\n`);
  process.stdout.write(`server   ${serverKey.uid}\n`);
  for (const { head, hash } of heads) {
    process.stdout.write(
      `epoch ${head.epoch}, ${head.rows} rows, ${new Date(head.timeMs).toISOString()}, ${hash.toString("hex")}\n`,
    );
  }
  process.exit(verdict === "unlinked" ? 1 : 0);
} catch (error) {
  process.stderr.write(`feldfon: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exit(2);
}
