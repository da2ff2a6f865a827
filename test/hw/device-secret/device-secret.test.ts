/**
 * Each way to tie a key to a device, against its real programs where they are, else against programs that answer as the
 * real ones do: arguments, exit codes and number of bytes are those of their sources (named in hw/device-secret/*.ts).
 */
import assert from "node:assert/strict";
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { randomBytes, randomInt } from "node:crypto";
import { chmodSync, existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { FakeBinding } from "@feldfon/hw/device-secret/fake";
import { FileBinding } from "@feldfon/hw/device-secret/file";
import { FirmwareCryptoBinding } from "@feldfon/hw/device-secret/firmware-crypto";
import { deviceBindings } from "@feldfon/hw/device-secret/index";
import { OtpBinding } from "@feldfon/hw/device-secret/otp";
import { TpmBinding } from "@feldfon/hw/device-secret/tpm";
import { type Bench, deviceSecretContract } from "./contract.ts";

describe("device secrets", () => {
  it("are looked for from the best to the file that is always there", () => {
    const kinds = deviceBindings("/nonexistent").map(({ kind }) => kind);
    assert.deepEqual(kinds, ["tpm", "firmware-crypto", "otp", "none"]);
  });

  it("are not there where their programs are missing or cannot be run", async () => {
    const folder = mkdtempSync(join(tmpdir(), "feldfon-programs-"));
    const all = () => [
      new TpmBinding(join(folder, "device"), { programs: folder, device: "/dev/null" }),
      new FirmwareCryptoBinding(join(folder, "device"), folder),
      new OtpBinding(join(folder, "device"), folder),
    ];
    for (const one of all()) assert.equal(await one.isPresent(), false, one.kind);
    for (const name of ["tpm2_createprimary", "tpm2_hmac", "rpi-fw-crypto", "rpi-otp-private-key"]) {
      writeFileSync(join(folder, name), "#!/bin/sh\nexit 0\n", { mode: 0o600 });
    }
    for (const one of all()) assert.equal(await one.isPresent(), false, one.kind);
    rmSync(folder, { recursive: true });
  });
});

deviceSecretContract("the file", () => ({ make: (card) => new FileBinding(card) }));

describe("the fake", () => {
  let chip: string | undefined;

  beforeEach(() => {
    chip = "the chip that was soldered in";
  });

  deviceSecretContract("the fake", () => ({
    // Each start sees what is soldered in now.
    make: (card) => Object.defineProperty(new FakeBinding(card), "chip", { get: () => chip }),
    takeOut: async () => {
      chip = undefined;
    },
    exchange: async () => {
      chip = "another chip of the same kind";
    },
  }));
});

/** A folder of programs, and a file that stands for the fuses. */
function programs(scripts: Record<string, string>): { folder: string; fuses: string; bench: Bench } {
  const folder = mkdtempSync(join(tmpdir(), "feldfon-programs-"));
  const fuses = join(folder, "fuses");
  for (const [name, script] of Object.entries(scripts)) {
    writeFileSync(join(folder, name), `#!/bin/sh\nfuses=${fuses}\n${script}`, { mode: 0o755 });
    chmodSync(join(folder, name), 0o755);
  }
  const burn = async () => writeFileSync(fuses, randomBytes(32).toString("hex"));
  const blow = async () => writeFileSync(fuses, "0".repeat(64));
  void burn();
  return { folder, fuses, bench: { make: () => assert.fail(), takeOut: blow, exchange: burn } };
}

describe("firmware crypto, against a program that answers like rpi-fw-crypto", () => {
  let fake: ReturnType<typeof programs>;

  beforeEach(() => {
    // pubkey of fuses that hold no key: "Failed to get public key", exit code 255. hmac: 32 bytes on standard output.
    fake = programs({
      "rpi-fw-crypto": `
key=$(cat "$fuses")
case "$1 $2 $3 $4 $5" in
  "pubkey --key-id 1  ")
    [ "$key" != ${"0".repeat(64)} ] || { echo "Failed to get public key: key not set" >&2; exit 255; }
    printf DER ;;
  "hmac --in "*" --key-id 1")
    { echo "$key"; cat "$3"; } | sha256sum | head -c 32 ;;
  *) echo "Usage: $0 <command> [args]" >&2; exit 1 ;;
esac
`,
    });
  });

  afterEach(() => rmSync(fake.folder, { recursive: true }));

  deviceSecretContract("firmware crypto", () => ({
    ...fake.bench,
    make: (card) => new FirmwareCryptoBinding(card, fake.folder),
  }));
});

describe("OTP, against a program that answers like rpi-otp-private-key", () => {
  let fake: ReturnType<typeof programs>;

  beforeEach(() => {
    // -c: exit code 1 when the fuses are all zeros. -b: 32 bytes on standard output.
    fake = programs({
      "rpi-otp-private-key": `
key=$(cat "$fuses")
case "$1" in
  -c) [ "$key" != ${"0".repeat(64)} ] ;;
  -b) echo "$key" | sha256sum | head -c 32 ;;
  *) echo "$key" ;;
esac
`,
    });
  });

  afterEach(() => rmSync(fake.folder, { recursive: true }));

  deviceSecretContract("OTP", () => ({ ...fake.bench, make: (card) => new OtpBinding(card, fake.folder) }));
});

describe("TPM 2.0, against a program that answers like tpm2-tools", () => {
  let fake: ReturnType<typeof programs>;

  beforeEach(() => {
    // A context is good until the chip's next start: here it holds the chip's name, and hmac refuses another's.
    fake = programs({
      tpm2_createprimary: `
case "$*" in "-T device:"*" -Q -C o -G hmac -a fixedtpm|fixedparent|"*" -c "*) ;; *) exit 1 ;; esac
[ "$(cat "$fuses")" != ${"0".repeat(64)} ] || { echo "ERROR: Unable to run tpm2_createprimary" >&2; exit 1; }
for context; do :; done
cp "$fuses" "$context"
`,
      tpm2_hmac: `
[ "$1" != --version ] || exit 0
[ "$1 $3" = "-T -c" ] && [ "$(cat "$fuses")" = "$(cat "$4")" ] || { echo "ERROR: Unable to run tpm2_hmac" >&2; exit 1; }
cat "$fuses" "$5" | sha256sum | head -c 32
`,
    });
  });

  afterEach(() => rmSync(fake.folder, { recursive: true }));

  deviceSecretContract("TPM 2.0", () => ({
    ...fake.bench,
    make: (card) => new TpmBinding(card, { programs: fake.folder, device: "/dev/null" }),
  }));
});

const softwareTpm = [
  "/usr/bin/swtpm",
  "/usr/bin/tpm2_createprimary",
  "/usr/bin/tpm2_hmac",
  "/usr/bin/tpm2_flushcontext",
];

if (!softwareTpm.every((path) => existsSync(path))) {
  it("TPM 2.0 is not tried with the real programs: swtpm or tpm2-tools are missing", function () {
    this.skip();
  });
} else {
  describe("TPM 2.0, with tpm2-tools and a TPM in software (swtpm)", function () {
    this.timeout(60_000);
    let folder: string;
    let port: number;
    let tpm: ChildProcess | undefined;

    /** The kernel's resource manager flushes what a program leaves in the chip; swtpm has none. */
    const flushing = (name: string) => `#!/bin/sh
/usr/bin/${name} "$@" || exit 1
[ "$1" = --version ] || exec /usr/bin/tpm2_flushcontext "$1" "$2" -t
`;
    const tcti = () => `swtpm:host=127.0.0.1,port=${port}`;

    async function start(): Promise<void> {
      port = randomInt(20_000, 30_000);
      const listen = (type: string, at: number) => [`--${type}`, `type=tcp,port=${at},bindaddr=127.0.0.1`];
      const args = [...listen("server", port), ...listen("ctrl", port + 1), "--tpmstate", `dir=${folder}`];
      tpm = spawn("/usr/bin/swtpm", ["socket", "--tpm2", ...args, "--flags", "not-need-init,startup-clear"], {
        stdio: "ignore",
      });
      for (let tries = 0; tries < 100 && !(await answers(port + 1)); tries++) await sleep(50);
    }

    function answers(at: number): Promise<boolean> {
      return new Promise((resolve) => {
        const socket = connect(at, "127.0.0.1", () => {
          socket.destroy();
          resolve(true);
        });
        socket.once("error", () => resolve(false));
      });
    }

    async function stop(): Promise<void> {
      const ended = new Promise((resolve) => tpm?.once("exit", resolve));
      if (tpm?.exitCode !== null || !tpm.kill()) return;
      await ended;
    }

    beforeEach(async () => {
      folder = mkdtempSync(join(tmpdir(), "feldfon-swtpm-"));
      for (const name of ["tpm2_createprimary", "tpm2_hmac"]) {
        writeFileSync(join(folder, name), flushing(name), { mode: 0o755 });
      }
      await start();
    });

    afterEach(async () => {
      await stop();
      rmSync(folder, { recursive: true });
    });

    deviceSecretContract("a TPM in software", () => ({
      make: (card) => new TpmBinding(card, { programs: folder, device: "/dev/null", tcti: tcti() }),
      takeOut: stop,
      restart: async () => {
        await stop();
        await start();
      },
      exchange: async () => {
        const { status } = spawnSync("/usr/bin/tpm2_clear", ["-T", tcti(), "-c", "p"]);
        assert.equal(status, 0);
      },
    }));
  });
}
