/**
 * The literal way of the bench `call`: the same frames in the same directions, sealed and opened alike, two OAEP
 * encryptions and a wiped secret for each call. No SIP, no supervisor, no transactions, no registry, no limits.
 */
import { constants, createPublicKey, type KeyObject, publicEncrypt, randomBytes } from "node:crypto";
import { type AddressInfo, createServer } from "node:net";
import { KEY_BYTES, PeerLine, STEPS, type StepBytes, WRAP_BYTES, WRAP_LABEL } from "./call-peer-line.ts";

interface End {
  line: PeerLine;
  key: KeyObject;
}

const PREFIX = Buffer.from("+++secret+++");
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
    const [open, seal, spki] = [0, KEY_BYTES, 2 * KEY_BYTES].map((at, n) =>
      chunk.subarray(at, n < 2 ? at + KEY_BYTES : chunk.length),
    ) as [Buffer, Buffer, Buffer];
    own = {
      line: new PeerLine(socket, { open, seal }),
      key: createPublicKey({ key: spki, format: "der", type: "spki" }),
    };
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
  const wrapped = publicEncrypt(
    { key, padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: "sha256", oaepLabel: WRAP_LABEL },
    clear,
  );
  clear.fill(0);
  return wrapped;
}

process.once("message", (bytes: StepBytes) => {
  stepBytes = bytes;
  process.on("message", () => process.send?.({ cpu: process.cpuUsage() }));
  server.listen(0, "127.0.0.1", () => process.send?.({ port: (server.address() as AddressInfo).port }));
});
process.on("disconnect", () => process.exit());
