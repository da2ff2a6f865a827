/**
 * The literal way of the bench `phonebook`: at each change every client gets the whole book, serialised for it alone,
 * AES-256-CBC under its key, in hex, in JSON, behind SIP headers (seeds 000 and 003 as they stand). An entry has the
 * fields that the origin gives it, addresses too (research/seeds.md 2.2): id, name, public_key, ip, port, is_self, online.
 *
 *     driver: { clients, rows } -> port        driver: "change" -> { us, bytes }, once all is written
 */
import { createCipheriv, randomBytes } from "node:crypto";
import { once } from "node:events";
import { type AddressInfo, createServer, type Socket } from "node:net";

const [clients, rows] = process.argv.slice(2).map(Number) as [number, number];
const book = Array.from({ length: rows }, (_, id) => {
  const text = randomBytes(550)
    .toString("base64")
    .match(/.{1,64}/g)!;
  const pem = `-----BEGIN PUBLIC KEY-----\n${text.join("\n")}\n-----END PUBLIC KEY-----\n`;
  const where = { ip: `192.168.${id >> 8}.${id & 255}`, port: 5_061 };
  return { id: String(id), name: `Handset ${id}`, public_key: pem, ...where, is_self: false, online: true };
});
const timestamp = Math.floor(Date.now() / 1_000);
const merkle_root = randomBytes(32).toString("hex");
const lines: { socket: Socket; key: Buffer; iv: Buffer }[] = [];

async function change(): Promise<{ us: number; bytes: number }> {
  const before = process.cpuUsage();
  let bytes = 0;
  for (const { socket, key, iv } of lines) {
    const cipher = createCipheriv("aes-256-cbc", key, iv);
    const whole = {
      version: "2.0",
      timestamp,
      merkle_root,
      total_clients: rows,
      connected_clients: rows,
      clients: book,
    };
    const hex = cipher.update(JSON.stringify(whole), "utf8", "hex") + cipher.final("hex");
    const head = "MESSAGE sip:client@feldfon SIP/2.0\r\nContent-Type: application/json\r\n\r\n";
    const body = Buffer.from(head + JSON.stringify({ type: "PHONEBOOK", phonebook: hex }));
    const length = Buffer.alloc(4);
    length.writeUInt32BE(body.length);
    socket.write(length);
    if (!socket.write(body)) await once(socket, "drain");
    bytes += length.length + body.length;
  }
  const { user, system } = process.cpuUsage(before);
  return { us: user + system, bytes };
}

const server = createServer({ noDelay: true }, (socket) => {
  lines.push({ socket, key: randomBytes(32), iv: randomBytes(16) });
  if (lines.length === clients) process.send?.("all");
});
server.listen(0, "127.0.0.1", () => process.send?.({ port: (server.address() as AddressInfo).port }));
process.on("message", () => void change().then((told) => process.send?.(told)));
process.on("disconnect", () => process.exit());
