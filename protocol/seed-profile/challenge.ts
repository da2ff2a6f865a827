/**
 * Seed profile: the origin's shapes, for tests only (test/architecture.test.ts holds it); what travels is wire.md.
 *
 * The identity challenge as text (seed 000, update 1): 16 random bytes in base64 go out under the client's key, the same
 * text with nine letters behind it comes back under the server's key.
 *
 * The product does not do this. A handset that decrypts what it is sent and gives it back opens anything for anybody,
 * also `+++secret+++`; so it signs a fresh nonce under a label of its own (wire.md: update).
 */
import { timingSafeEqual } from "node:crypto";

const PROOF = "VALIDATED";
export const CHALLENGE_BYTES = 16;

export function challengeText(random: Uint8Array): string {
  return Buffer.from(random).toString("base64");
}

export function challengeAnswer(challenge: string): string {
  return challenge + PROOF;
}

/** The whole answer or nothing; the origin took a pair of (no, reason) for a yes. */
export function answerHolds(challenge: string, answer: string): boolean {
  const wanted = Buffer.from(challengeAnswer(challenge));
  const came = Buffer.from(answer);
  return came.length === wanted.length && timingSafeEqual(came, wanted);
}
