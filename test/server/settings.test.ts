import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readSettings, SettingsError, usage } from "@feldfon/server/settings";

const refused = (sentence: RegExp) => (error: Error) => error instanceof SettingsError && sentence.test(error.message);

describe("Server settings", () => {
  it("need nothing: everything has a usual value", () => {
    assert.deepEqual(readSettings([], {}), {
      command: "run",
      data: "server-data",
      host: "0.0.0.0",
      port: 5060,
      udpPort: 5060,
      healthPort: 9460,
      enrolmentCode: "",
      windowMs: 50,
      graceMs: 30_000,
      maxLines: 10_000,
      trace: undefined,
      callLog: false,
    });
  });

  it("come from flags, then from the environment", () => {
    const env = { FELDFON_SERVER_PORT: "1", FELDFON_SERVER_UDP_PORT: "2", FELDFON_SERVER_TRACE: "trace.jsonl" };
    const settings = readSettings(["--port", "0", "--data=elsewhere", "--grace-ms", "0"], env);
    assert.equal(settings.port, 0);
    assert.equal(settings.udpPort, 2);
    assert.equal(settings.data, "elsewhere");
    assert.equal(settings.graceMs, 0);
    assert.equal(settings.trace, "trace.jsonl");
  });

  it("may ask for the fingerprint or for help instead of running", () => {
    assert.equal(readSettings(["--print-key"], {}).command, "print-key");
    assert.equal(readSettings(["--print-key", "--help"], {}).command, "help");
  });

  const wrong: [argv: string[], env: Record<string, string>, sentence: RegExp][] = [
    [["--port", "65536"], {}, /--port: "65536" is above 65535/],
    [["--port", "-1"], {}, /--port/],
    [["--port", "0x10"], {}, /--port: "0x10" is not a whole number/],
    [["--window-ms", "51"], {}, /--window-ms: "51" is above 50/],
    [["--max-lines", "0"], {}, /--max-lines: "0" is below 1/],
    [["--data", ""], {}, /--data: "" is empty/],
    [[], { FELDFON_SERVER_HEALTH_PORT: "http" }, /FELDFON_SERVER_HEALTH_PORT: "http" is not/],
    [["--prot", "5060"], {}, /--prot.*--help/s],
    [["start"], {}, /start/],
    [["--enrolment-code", "/nowhere/at/all"], {}, /--enrolment-code: .* cannot be read/],
  ];
  for (const [argv, env, sentence] of wrong) {
    it(`refuse ${argv.join(" ") || JSON.stringify(env)} and say what is wrong`, () => {
      assert.throws(() => readSettings(argv, env), refused(sentence));
    });
  }

  it("take the enrolment code from a file, never from the command line", () => {
    const folder = mkdtempSync(join(tmpdir(), "feldfon-settings-"));
    try {
      const file = join(folder, "code");
      writeFileSync(file, "four words on paper\nand a note\n");
      assert.equal(readSettings(["--enrolment-code", file], {}).enrolmentCode, "four words on paper");
      writeFileSync(file, "\n");
      assert.throws(() => readSettings(["--enrolment-code", file], {}), refused(/first line .* is empty/));
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it("are listed by --help, each flag on a line of at most 120 characters", () => {
    const text = usage();
    for (const flag of [
      "data",
      "host",
      "port",
      "udp-port",
      "health-port",
      "enrolment-code",
      "window-ms",
      "grace-ms",
      "max-lines",
      "trace",
      "call-log",
      "print-key",
      "help",
    ]) {
      assert.match(text, new RegExp(`^ {2}--${flag} `, "m"));
    }
    for (const line of text.split("\n")) assert.ok(line.length <= 120, line);
  });
});
