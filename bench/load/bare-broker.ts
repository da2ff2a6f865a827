/**
 * The peer of the bench `call`: the same frames in the same directions, sealed and opened alike, two OAEP encryptions
 * and a wiped secret for each call. No SIP, no supervisor, no transactions, no registry, no limits, no log.
 *
 *     driver: StepBytes -> port        driver: anything -> { us }, CPU since the start
 */
import { constants, createPublicKey, type KeyObject, publicEncrypt, randomBytes } from "node:crypto";
import { type AddressInfo, createServer } from "node:net";
import { BareLine, KEY_BYTES, STEPS, type StepBytes, WRAP_BYTES } from "./bare-line.ts";

interface End {
  line: BareLine;
  key: KeyObject;
}

const PREFIX = Buffer.from("+++secret+++");
/** As long as the product's. */
const LABEL = Buffer.alloc(47, 1);
const lines: End[] = [];
let stepBytes: StepBytes;

const server = createServer({ noDelay: true }, (socket) => {
  let own: End | undefined;
  socket.on("error", () => {});
  socket.on("data", (chunk: Buffer) => {
    if (own) {
      for (const clear of own.line.read(chunk)) pass(own, clear);
      return;
    }
    const keys = { open: chunk.subarray(0, KEY_BYTES), seal: chunk.subarray(KEY_BYTES, 2 * KEY_BYTES) };
    const key = createPublicKey({ key: chunk.subarray(2 * KEY_BYTES), format: "der", type: "spki" });
    own = { line: new BareLine(socket, keys), key };
    socket.write(Buffer.of(lines.push(own) - 1));
  });
});

function pass(from: End, clear: Buffer): void {
  const to = lines[clear[1]!]!;
  const step = STEPS[clear[0]!]!;
  const passed = Buffer.alloc(stepBytes[step].out);
  clear.copy(passed);
  if (step === "invite") {
    const secret = randomBytes(48);
    const trying = Buffer.alloc(stepBytes.trying.out);
    trying[0] = STEPS.indexOf("trying");
    wrapFor(from.key, secret).copy(trying, trying.length - WRAP_BYTES);
    wrapFor(to.key, secret).copy(passed, passed.length - WRAP_BYTES);
    secret.fill(0);
    from.line.send(trying);
  }
  to.line.send(passed);
}

function wrapFor(key: KeyObject, secret: Buffer): Buffer {
  const clear = Buffer.concat([PREFIX, secret]);
  const padding = constants.RSA_PKCS1_OAEP_PADDING;
  const wrapped = publicEncrypt({ key, padding, oaepHash: "sha256", oaepLabel: LABEL }, clear);
  clear.fill(0);
  return wrapped;
}

process.once("message", (bytes: StepBytes) => {
  stepBytes = bytes;
  server.listen(0, "127.0.0.1", () => process.send?.({ port: (server.address() as AddressInfo).port }));
  process.on("message", () => {
    const { user, system } = process.cpuUsage();
    process.send?.({ us: user + system });
  });
});
process.on("disconnect", () => process.exit());
