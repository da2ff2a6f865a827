/** Our voice packets and Cisco's libsrtp (Debian: libsrtp2-dev), each opening what the other sealed. */
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { EPOCH_PACKETS, MediaReceiver, MediaSender } from "@feldfon/vault/srtp";
import { masterOfEpoch, PROFILE } from "./voice-keys.ts";

const SEQUENCE_END = 65_536;
const HEADER_BYTES = 12;

describe("voice packets and libsrtp", () => {
  let folder: string;
  let libsrtp: string;

  before(function () {
    if (!process.env.CI && !canCompile()) this.skip();
    folder = mkdtempSync(join(tmpdir(), "feldfon-libsrtp-"));
    libsrtp = join(folder, "libsrtp");
    execFileSync("gcc", [fileURLToPath(new URL("libsrtp.c", import.meta.url)), "-o", libsrtp, "-lsrtp2"]);
  });

  after(() => {
    if (folder) rmSync(folder, { recursive: true });
  });

  /** @returns for each packet its hex, or "refused" and libsrtp's number for the reason */
  function ask(mode: "seal" | "open", from: number, packets: Buffer[]): string[] {
    const roc = Math.floor(from / SEQUENCE_END);
    const key = masterOfEpoch(epochOf(from)).toString("hex");
    const input = packets.map((packet) => `${packet.toString("hex")}\n`).join("");
    const args = [mode, key, String(PROFILE.ssrc), String(roc)];
    const lines = execFileSync(libsrtp, args, { input, encoding: "latin1" }).trimEnd().split("\n");
    assert.equal(lines.length, packets.length);
    return lines;
  }

  // libsrtp does not turn the key, so every stretch lies within one epoch; the last one crosses a roll-over.
  for (const [what, from] of [
    ["from the first packet on", 0],
    ["in the second epoch", EPOCH_PACKETS],
    ["over a roll-over of the sequence number", 8 * SEQUENCE_END - 100],
  ] as const) {
    const voice = Array.from({ length: 300 }, (_, at) => ({
      timestamp: (from + at) * 320,
      payload: randomBytes(1 + at),
    }));

    it(`are the same byte for byte ${what}, and open on both sides`, () => {
      const sender = new MediaSender(Buffer.from(masterOfEpoch(epochOf(from))), PROFILE, from);
      const ours = voice.map(({ payload, timestamp }) => sender.seal(payload, timestamp));
      const clear = voice.map(({ payload }, at) => Buffer.concat([ours[at]!.subarray(0, HEADER_BYTES), payload]));
      const [sealed, opened] = [ask("seal", from, clear), ask("open", from, ours)];

      const receiver = new MediaReceiver(Buffer.from(masterOfEpoch(epochOf(from))), PROFILE, from);
      for (const [at, spoken] of voice.entries()) {
        assert.equal(sealed[at], ours[at]!.toString("hex"), `packet ${from + at}`);
        assert.equal(opened[at], clear[at]!.toString("hex"), `packet ${from + at}`);
        assert.deepEqual(receiver.open(Buffer.from(sealed[at]!, "hex")), { index: from + at, ...spoken });
      }
    });
  }

  it("are refused by both for the same reasons: replayed, too old, forged", () => {
    const sender = new MediaSender(Buffer.from(masterOfEpoch(0)), PROFILE);
    const packets = Array.from({ length: 200 }, (_, at) => sender.seal(Buffer.from("."), at));
    const forged = Buffer.from(packets[199]!);
    forged[12]! ^= 1;
    // Within the window, at its last place, just outside it, doubled, forged.
    const arrivals = [
      packets[0]!,
      packets[150]!,
      packets[23]!,
      packets[22]!,
      packets[21]!,
      packets[150]!,
      forged,
      packets[199]!,
    ];
    const receiver = new MediaReceiver(Buffer.from(masterOfEpoch(0)), PROFILE);
    const reasons: Record<string, string> = { "refused 7": "forged", "refused 9": "replayed", "refused 10": "too-old" };
    const theirs = ask("open", 0, arrivals).map((answer) =>
      answer.startsWith("refused") ? reasons[answer] : "opened",
    );
    const ours = arrivals
      .map((packet) => receiver.open(packet))
      .map((answer) => (typeof answer === "string" ? answer : "opened"));
    assert.deepEqual(ours, ["opened", "opened", "opened", "too-old", "too-old", "replayed", "forged", "opened"]);
    assert.deepEqual(theirs, ours);
  });
});

function canCompile(): boolean {
  const probe = spawnSync("gcc", ["-x", "c", "-", "-fsyntax-only"], { input: "#include <srtp2/srtp.h>\n" });
  return probe.status === 0;
}

function epochOf(index: number): number {
  return Math.floor(index / EPOCH_PACKETS);
}
