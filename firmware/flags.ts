/** What `feldfon-handset` is told on its command line; it is kept in the settings for the next start. */
import { readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { parseUid, readPublicKey, type Uid } from "@feldfon/protocol/identity";
import { parseSettings, type Settings, SettingsError } from "./settings.ts";

export const USAGE = `feldfon-handset: an encrypted field telephone

  --board NAME             terminal: presses as lines in, the screen as text out; laptop: a page for the browser of
                           this machine, its address is printed [terminal]
  --page-port PORT         of the laptop board's page, on 127.0.0.1 [any free]
  --server HOST[:PORT]     where the server is [127.0.0.1:5060]
  --server-key KEY         its fingerprint (64 hex digits), or a file with its public key; pinned from then on
  --name NAME              what others see, 2 to 32 characters
  --language de|en|zh      of the screen [de]
  --enrolment-code FILE    file with the code that new handsets need, where the server asks for one
  --direct on|off          voice straight to a handset that allows it too, past the server; when on, whoever is in
                           a call with this handset learns its network address [off]
  --no-pin                 keep the key in the clear: who has the card has the handset. Without it the first start asks
                           for a PIN of 6 to 12 digits; --pin turns back
  --idle-lock MINUTES      a handset with a PIN that is not connected locks itself when no key was pressed for so long;
                           0 never [10]
  --data DIR               folder of this handset's key and settings [handset-data]
  --json                   one JSON object a line instead of text
  --trace FILE             one redacted message a line
  --help                   print this, and end

Server, key, name, language, direct, PIN and idle lock are kept: the next start needs none of them.
`;

export interface Flags {
  help: boolean;
  board: string;
  data: string;
  json: boolean;
  /** 0: any free one. */
  pagePort: number;
  trace: string | undefined;
  /** Settings with what the flags change. */
  apply(settings: Settings): Settings;
}

/** @throws {SettingsError} `settings-bad`, with the flag's name */
export function readFlags(argv: readonly string[]): Flags {
  const text = { type: "string" } as const;
  let values: Partial<Record<string, string | boolean>>;
  try {
    ({ values } = parseArgs({
      args: [...argv],
      options: {
        board: text,
        "page-port": text,
        server: text,
        "server-key": text,
        name: text,
        language: text,
        "enrolment-code": text,
        direct: text,
        pin: { type: "boolean" },
        "idle-lock": text,
        data: text,
        trace: text,
        json: { type: "boolean" },
        help: { type: "boolean", short: "h" },
      },
      strict: true,
      allowNegative: true,
      allowPositionals: false,
    }));
  } catch (cause) {
    throw new SettingsError("settings-bad", `${(cause as Error).message} (--help lists what there is)`);
  }
  const given = (flag: string): string | undefined => values[flag] as string | undefined;
  return {
    help: values.help === true,
    board: given("board") ?? "terminal",
    data: given("data") ?? "handset-data",
    json: values.json === true,
    pagePort: portIn(given("page-port") ?? "0"),
    trace: given("trace"),
    apply: (settings) =>
      parseSettings({ ...settings, ...changes(given), ...(values.pin !== undefined && { pin: values.pin }) }),
  };
}

function changes(given: (flag: string) => string | undefined): Record<string, unknown> {
  const changed: Record<string, unknown> = {};
  const server = given("server");
  const serverKey = given("server-key");
  const code = given("enrolment-code");
  if (server !== undefined) Object.assign(changed, splitServer(server));
  if (serverKey !== undefined) changed.serverKey = pinned(serverKey);
  if (given("name") !== undefined) changed.name = given("name");
  if (given("language") !== undefined) changed.language = given("language");
  if (given("direct") !== undefined) changed.direct = onOrOff("--direct", given("direct"));
  if (given("idle-lock") !== undefined) changed.idleLockMinutes = wholeNumber("--idle-lock", given("idle-lock")!);
  if (code !== undefined) changed.enrolmentCode = firstLine("--enrolment-code", code);
  return changed;
}

function portIn(text: string): number {
  if (/^[0-9]{1,5}$/.test(text) && Number(text) <= 65_535) return Number(text);
  throw new SettingsError("settings-bad", "--page-port: not a port");
}

/** HOST, HOST:PORT, [IPv6]:PORT */
function splitServer(text: string): { server: string; port?: number } {
  const [, bracketed, plain, port] = /^(?:\[([^\]]+)\]|([^:]+|.*:.*:.*?))(?::([0-9]{1,5}))?$/.exec(text) ?? [];
  const server = bracketed ?? plain;
  if (server === undefined) throw new SettingsError("settings-bad", "--server: not HOST or HOST:PORT");
  return port === undefined ? { server } : { server, port: Number(port) };
}

/** The fingerprint itself, or the public key it is made of. */
function pinned(text: string): Uid {
  if (/^[0-9a-fA-F]{64}$/.test(text)) return parseUid(text.toLowerCase());
  try {
    return readPublicKey(readFileSync(text, "utf8")).uid;
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new SettingsError("settings-bad", `--server-key: neither 64 hex digits nor a public key file: ${why}`);
  }
}

function onOrOff(flag: string, text: string | undefined): boolean {
  if (text !== "on" && text !== "off") throw new SettingsError("settings-bad", `${flag}: neither on nor off`);
  return text === "on";
}

/** How large it may be the settings know. */
function wholeNumber(flag: string, text: string): number {
  if (/^[0-9]{1,6}$/.test(text)) return Number(text);
  throw new SettingsError("settings-bad", `${flag}: not a whole number`);
}

function firstLine(flag: string, file: string): string {
  try {
    return readFileSync(file, "utf8").split("\n")[0]!.trim();
  } catch {
    throw new SettingsError("settings-bad", `${flag}: the file cannot be read`);
  }
}
