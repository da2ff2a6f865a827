/**
 * What can go wrong, as a person meets it: one number, one text and one next step each (texts-*.ts). The many codes
 * of programs lead to these few; a code nobody has thought of is shown as it is.
 */

/**
 * `red`: the handset may not go on, a person has to decide. `blocks`: not even a new line helps, the server was caught.
 * Numbers stay what they are: manuals and people on the radio name them.
 */
export const FAULTS = {
  "server-key": { number: 101, red: true },
  root: { number: 102, red: true },
  signature: { number: 103, red: true },
  chain: { number: 104, red: true },
  "left-out": { number: 105, red: true },
  restored: { number: 106, red: true },
  list: { number: 107, red: true },
  "name-bad": { number: 201, red: false },
  "name-taken": { number: 202, red: false },
  "key-known": { number: 203, red: false },
  "code-bad": { number: 204, red: false },
  "key-bad": { number: 205, red: false },
  "no-server-key": { number: 206, red: false },
  "two-directories": { number: 301, red: true, blocks: true },
  "sas-differs": { number: 305, red: false },
  sound: { number: 401, red: false },
  display: { number: 402, red: false },
  buttons: { number: 403, red: false },
  numpad: { number: 404, red: false },
  unreachable: { number: 501, red: false },
  "not-found": { number: 502, red: false },
  timeout: { number: 503, red: false },
  busy: { number: 504, red: false },
  closed: { number: 505, red: false },
  replaced: { number: 506, red: false },
  garbled: { number: 507, red: false },
  settings: { number: 601, red: false },
  "key-file": { number: 602, red: false },
  vault: { number: 603, red: false },
  disk: { number: 604, red: false },
  "last-head": { number: 605, red: false },
  "device-secret": { number: 606, red: false },
  other: { number: 900, red: false },
} as const satisfies Record<string, { number: number; red: boolean; blocks?: true }>;

export type Fault = keyof typeof FAULTS;

/** Codes of `ProtocolError`, `VaultError`, `SettingsError`, reason words of refusals, and Node's system errors. */
const CODES: readonly (readonly [Fault, string])[] = [
  ["server-key", "wrong-server-key"],
  ["root", "wrong-root"],
  ["signature", "unauthentic"],
  ["chain", "broken-chain"],
  ["left-out", "not-in-list server-not-in-list"],
  ["restored", "epoch-back"],
  ["list", "bad-row"],
  ["two-directories", "two-heads"],
  ["unreachable", "ECONNREFUSED EHOSTUNREACH ENETUNREACH EHOSTDOWN ENETDOWN EADDRNOTAVAIL bad-address"],
  ["not-found", "ENOTFOUND EAI_AGAIN EAI_FAIL"],
  ["timeout", "ETIMEDOUT silent"],
  ["busy", "unavailable refused heads-apart not-connected"],
  ["closed", "ECONNRESET EPIPE ECONNABORTED line-lost server-left unknown-resume"],
  ["garbled", "malformed bad-sip bad-counter bad-tag bad-uid frame-too-long out-of-order wrong-head"],
  ["garbled", "no-evidence self unknown-contact counter forged"],
  ["settings", "settings-broken settings-bad"],
  ["key-file", "no-key bad-key key-file-open not-saved"],
  ["vault", "full no-such-slot empty-slot wrong-use wrong-length exhausted unwrap"],
  ["vault", "bad-point bad-encapsulation-key bad-ciphertext"],
  // What a person did with a PIN has words of its own (texts: lock.refused); here only should it come from elsewhere.
  ["vault", "bad-digit bad-pin short-pin same-pin no-argon2"],
  ["vault", "no-protection wrong-library not-built bad-setting inspector"],
  ["disk", "ENOSPC EDQUOT EROFS EIO"],
  ["last-head", "last-head-broken"],
  ["device-secret", "other-device no-device"],
];

const faults = new Map<string, Fault>([
  ...Object.keys(FAULTS).map((fault) => [fault, fault as Fault] as const),
  ...CODES.flatMap(([fault, codes]) => codes.split(" ").map((code) => [code, fault] as const)),
]);

export function faultOf(code: string): Fault {
  return faults.get(code) ?? "other";
}

export function isRed(fault: Fault): boolean {
  return FAULTS[fault].red;
}

export function blocksForGood(fault: Fault): boolean {
  return "blocks" in FAULTS[fault];
}
