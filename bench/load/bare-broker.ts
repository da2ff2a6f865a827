/**
 * The barest peer of the bench `call`: frames opened and sealed by node:crypto, two OAEP encryptions and a wiped secret
 * for each call. No SIP, no supervisor, no transactions, no registry, no vault, no limits, no log.
 *
 *     driver: StepBytes -> port        driver: anything -> { us }, CPU since the start
 */
import { constants, createPublicKey, type KeyObject, publicEncrypt, randomBytes } from "node:crypto";
import { type AddressInfo, createServer } from "node:net";
import { BareLine, KEY_BYTES } from "./bare-line.ts";
import { type BrokerEnd, PeerBroker, type StepBytes } from "./peer-steps.ts";

const PREFIX = Buffer.from("+++secret+++");
/** As long as the product's. */
const LABEL = Buffer.alloc(47, 1);

class BareEnd extends BareLine implements BrokerEnd {
  key: KeyObject | undefined;

  wrapFor(other: this): { own: Buffer; other: Buffer } {
    const secret = randomBytes(48);
    const wrapped = { own: wrap(this.key!, secret), other: wrap(other.key!, secret) };
    secret.fill(0);
    return wrapped;
  }
}

function wrap(key: KeyObject, secret: Buffer): Buffer {
  const clear = Buffer.concat([PREFIX, secret]);
  const padding = constants.RSA_PKCS1_OAEP_PADDING;
  const wrapped = publicEncrypt({ key, padding, oaepHash: "sha256", oaepLabel: LABEL }, clear);
  clear.fill(0);
  return wrapped;
}

process.once("message", (stepBytes: StepBytes) => {
  const broker = new PeerBroker<BareEnd>(stepBytes);
  const server = createServer({ noDelay: true }, (socket) => {
    let own: BareEnd | undefined;
    socket.on("error", () => {});
    socket.on("data", (chunk: Buffer) => {
      if (own) {
        for (const clear of own.read(chunk)) broker.pass(own, clear);
        return;
      }
      own = new BareEnd(socket, { open: chunk.subarray(0, KEY_BYTES), seal: chunk.subarray(KEY_BYTES, 2 * KEY_BYTES) });
      own.key = createPublicKey({ key: chunk.subarray(2 * KEY_BYTES), format: "der", type: "spki" });
      socket.write(Buffer.of(broker.add(own)));
    });
  });
  server.listen(0, "127.0.0.1", () => process.send?.({ port: (server.address() as AddressInfo).port }));
  process.on("message", () => {
    const { user, system } = process.cpuUsage();
    process.send?.({ us: user + system });
  });
});
process.on("disconnect", () => process.exit());
