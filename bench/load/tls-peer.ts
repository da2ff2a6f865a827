/** The peer of the bench `join`: a bare mutual TLS server of Node's with RSA-4096 on both sides, one echo a line. */
import { readFileSync } from "node:fs";
import type { AddressInfo } from "node:net";
import path from "node:path";
import { createServer } from "node:tls";

const [folder] = process.argv.slice(2) as [string];
const server = createServer(
  {
    key: readFileSync(path.join(folder, "server.key")),
    cert: readFileSync(path.join(folder, "server.crt")),
    ca: readFileSync(path.join(folder, "client.crt")),
    requestCert: true,
    rejectUnauthorized: true,
  },
  (socket) => {
    socket.on("error", () => {});
    socket.on("data", () => socket.write("O"));
  },
);
server.listen(0, "127.0.0.1", () => process.send?.({ port: (server.address() as AddressInfo).port }));

process.on("message", () => {
  const { user, system } = process.cpuUsage();
  process.send?.({ us: user + system });
});
process.on("disconnect", () => process.exit());
