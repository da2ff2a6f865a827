/**
 * What a handset keeps when the server has told two stories: anybody can check it offline, it names nobody but the
 * server (wire.md 1, DIRECTORY; `feldfon verify-evidence FILE`).
 *
 *     FFE1 | LP(SPKI_S) | LP(HEAD) | signature (512) | LP(HEAD) | signature (512) | LP(log path)
 *                         older, or either of one epoch     newer          empty for one epoch and for the next
 */
import { ByteReader, concat, lp } from "../bytes.ts";
import { SIGNATURE_BYTES } from "../crypto/transcript.ts";
import { ProtocolError } from "../errors.ts";
import { PublicKey } from "../identity.ts";
import { contradict, judgePath } from "./chain.ts";
import { readSignedHead, type SignedHead } from "./tree-head.ts";

const MAGIC = Buffer.from("FFE1", "ascii");

/** Two stories of one server; `evidence` is to be kept. Codes: `two-heads`, `broken-chain`. */
export class EvidenceError extends ProtocolError {
  readonly evidence: Buffer;

  constructor(code: "two-heads" | "broken-chain", sentence: string, evidence: Buffer) {
    super(code, sentence);
    this.evidence = evidence;
  }
}

/**
 * What the bytes show:
 *
 * - `two-heads`: the server signed two heads of one epoch. Proof, by signatures alone.
 * - `broken-chain`: the server signed a next head that continues another one. Proof, by signatures alone.
 * - `unlinked`: a path that does not lead from the older head to the newer one's log root. Paths are not signed, so it
 *   says what this handset was given and proves nothing to somebody who does not trust it.
 */
export type Verdict = "two-heads" | "broken-chain" | "unlinked";

export interface Evidence {
  serverKey: PublicKey;
  heads: [older: SignedHead, newer: SignedHead];
  logPath: Buffer;
}

/** @param logPath empty for heads of one epoch or of neighbouring ones, which need none */
export function encodeEvidence(
  serverKey: PublicKey,
  heads: [SignedHead, SignedHead],
  logPath: Buffer = Buffer.alloc(0),
): Buffer {
  const ordered = heads.toSorted((a, b) => a.head.epoch - b.head.epoch);
  return concat(MAGIC, lp(serverKey.spki), ...ordered.flatMap((one) => [lp(one.bytes), one.signature]), lp(logPath));
}

/** @throws {ProtocolError} `malformed`, `key-bad`, `unauthentic` (a head without the signature of the key beside it) */
export function decodeEvidence(bytes: Uint8Array): Evidence {
  const reader = new ByteReader(bytes, "evidence");
  reader.expect(MAGIC);
  const serverKey = new PublicKey(reader.lp());
  const readHead = () => readSignedHead(reader.lp(), reader.take(SIGNATURE_BYTES), serverKey);
  const heads: Evidence["heads"] = [readHead(), readHead()];
  const logPath = reader.lp();
  reader.end();
  return { serverKey, heads, logPath };
}

/**
 * Judges evidence from nothing but its bytes; whose key it accuses is for the reader to compare.
 *
 * @throws {ProtocolError} as `decodeEvidence`, and `no-evidence` when an honest server could have signed both
 */
export function verifyEvidence(bytes: Uint8Array): Evidence & { verdict: Verdict } {
  const evidence = decodeEvidence(bytes);
  return { ...evidence, verdict: judge(evidence) };
}

function judge({ heads: [older, newer], logPath }: Evidence): Verdict {
  if (logPath.length === 0 && contradict(older, newer)) {
    return older.head.epoch === newer.head.epoch ? "two-heads" : "broken-chain";
  }
  switch (judgePath(older, newer, logPath)) {
    case "unlinked":
      return "unlinked";
    case "linked":
      throw new ProtocolError("no-evidence", "evidence: the newer head continues the older one");
    case "malformed":
      throw new ProtocolError("no-evidence", "evidence: the heads agree, or the path does not fit their epochs");
  }
}
