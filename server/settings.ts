/** How this server runs: flags first, then the environment, then what is usual. Parsed once, here. */
import { readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import * as v from "valibot";

/** A flag, a variable or a file behind one cannot be used. The sentence names it and says what would do. */
export class SettingsError extends Error {
  override readonly name = "SettingsError";
}

function whole(least: number, most: number) {
  return v.pipe(
    v.string(),
    v.regex(/^\d{1,9}$/, "is not a whole number"),
    v.transform(Number),
    v.minValue(least, `is below ${least}`),
    v.maxValue(most, `is above ${most}`),
  );
}

const text = v.pipe(v.string(), v.nonEmpty("is empty"));
const port = whole(0, 65_535);

/** One line each of `--help`; every flag has a variable, `--udp-port` for one FELDFON_SERVER_UDP_PORT. */
const FLAGS = {
  data: { value: "DIR", usual: "server-data", schema: text, help: "folder of the server's key and directory" },
  host: { value: "ADDRESS", usual: "0.0.0.0", schema: text, help: "where handsets reach this machine" },
  port: { value: "PORT", usual: "5060", schema: port, help: "TCP, handsets' lines (0 = any free port, everywhere)" },
  "udp-port": { value: "PORT", usual: "5060", schema: port, help: "UDP, voice relay and STUN" },
  "health-port": { value: "PORT", usual: "9460", schema: port, help: "/health, /ready, /metrics, on 127.0.0.1 only" },
  "enrolment-code": { value: "FILE", usual: "", schema: v.string(), help: "file with the code that new handsets need" },
  "window-ms": { value: "MS", usual: "50", schema: whole(0, 50), help: "signatures and transactions share this time" },
  "grace-ms": {
    value: "MS",
    usual: "30000",
    schema: whole(0, 3_600_000),
    help: "how long a lost handset keeps its place",
  },
  "max-lines": { value: "COUNT", usual: "10000", schema: whole(1, 16_384), help: "handsets at one time" },
  trace: { value: "FILE", usual: "", schema: v.string(), help: "one redacted message a line" },
  "call-log": {
    value: "on|off",
    usual: "off",
    schema: v.picklist(["on", "off"], "is neither on nor off"),
    help: "log when a call is over and how, by its Call-ID, without its handsets",
  },
} as const;

type Flag = keyof typeof FLAGS;

export interface Settings {
  /** What to do: run, or tell and end. */
  command: "run" | "print-key" | "help";
  data: string;
  host: string;
  port: number;
  udpPort: number;
  healthPort: number;
  /** Empty: nobody is asked for one. */
  enrolmentCode: string;
  windowMs: number;
  graceMs: number;
  maxLines: number;
  trace: string | undefined;
  callLog: boolean;
}

/**
 * @param argv without node and script
 * @throws {SettingsError}
 */
export function readSettings(argv: readonly string[], env: NodeJS.ProcessEnv): Settings {
  const flags = parseFlags(argv);
  const chosen = <F extends Flag>(flag: F): v.InferOutput<(typeof FLAGS)[F]["schema"]> => {
    const { schema, usual } = FLAGS[flag];
    const variable = variableOf(flag);
    const given = flags[flag] ?? env[variable];
    const parsed = v.safeParse(schema, given ?? usual);
    if (parsed.success) return parsed.output as v.InferOutput<(typeof FLAGS)[F]["schema"]>;
    const where = flags[flag] === undefined ? variable : `--${flag}`;
    throw new SettingsError(`${where}: "${given}" ${parsed.issues[0].message}`);
  };
  return {
    command: flags.help ? "help" : flags["print-key"] ? "print-key" : "run",
    data: chosen("data"),
    host: chosen("host"),
    port: chosen("port"),
    udpPort: chosen("udp-port"),
    healthPort: chosen("health-port"),
    enrolmentCode: codeIn(chosen("enrolment-code")),
    windowMs: chosen("window-ms"),
    graceMs: chosen("grace-ms"),
    maxLines: chosen("max-lines"),
    trace: chosen("trace") || undefined,
    callLog: chosen("call-log") === "on",
  };
}

/** What `--help` prints. */
export function usage(): string {
  const lines = Object.entries(FLAGS).map(([flag, { value, help, usual }]) => {
    return `  ${`--${flag} ${value}`.padEnd(24)}${help}${usual === "" ? "" : ` [${usual}]`}`;
  });
  return [
    "feldfon-server: who is here, what is kept, what is passed on",
    "",
    ...lines,
    `  ${"--print-key".padEnd(24)}print the fingerprint that handsets are pinned to, and end`,
    `  ${"--help".padEnd(24)}print this, and end`,
    "",
    "Every value can come from the environment too, --udp-port from FELDFON_SERVER_UDP_PORT for one; a flag wins.",
    "",
  ].join("\n");
}

function parseFlags(
  argv: readonly string[],
): Partial<Record<Flag, string>> & { help?: boolean; "print-key"?: boolean } {
  const options = {
    ...(Object.fromEntries(Object.keys(FLAGS).map((flag) => [flag, { type: "string" }])) as Record<
      Flag,
      { type: "string" }
    >),
    "print-key": { type: "boolean" },
    help: { type: "boolean", short: "h" },
  } as const;
  try {
    return parseArgs({ args: [...argv], options, strict: true, allowPositionals: false }).values;
  } catch (cause) {
    throw new SettingsError(`${(cause as Error).message} (--help lists what there is)`, { cause });
  }
}

function variableOf(flag: Flag): string {
  return `FELDFON_SERVER_${flag.toUpperCase().replaceAll("-", "_")}`;
}

/** The first line of a file: a code on the command line could be read by every user of the machine. */
function codeIn(file: string): string {
  if (file === "") return "";
  let code: string;
  try {
    code = readFileSync(file, "utf8").split("\n")[0]!.trim();
  } catch (cause) {
    throw new SettingsError(`--enrolment-code: ${file} cannot be read`, { cause });
  }
  if (code === "") throw new SettingsError(`--enrolment-code: the first line of ${file} is empty`);
  return code;
}
