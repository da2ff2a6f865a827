/**
 * A page for this machine only: plain files over HTTP on 127.0.0.1, and one WebSocket a visitor.
 *
 * Any page of any site may open addresses of this machine, so three locks are in its way: the Host must be this
 * address (DNS rebinding), a WebSocket must come from a page of this address (Origin), and its first message must be a
 * token that stands behind the # of the printed address and never travels with a request. The browser gets the
 * TypeScript of the page with its types stripped; nothing is built, nothing comes from elsewhere.
 */
import { randomBytes, timingSafeEqual } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { stripTypeScriptTypes } from "node:module";
import type { AddressInfo } from "node:net";
import { DeviceError } from "@feldfon/protocol/errors";
import { type RawData, type WebSocket, WebSocketServer } from "ws";
import { CLOSED_FULL, CLOSED_TOKEN, parseFromPage } from "./page/wire.ts";

const HOST = "127.0.0.1";
const MOST_VISITORS = 32;
/** A sound frame has 644 bytes, everything else is shorter. */
const MAX_MESSAGE_BYTES = 4_096;
const ENTER_MS = 5_000;
const TOKEN_BYTES = 24;

const TYPES: Readonly<Record<string, string>> = {
  html: "text/html; charset=utf-8",
  css: "text/css; charset=utf-8",
  svg: "image/svg+xml",
  ts: "text/javascript; charset=utf-8",
  woff: "font/woff",
};

/** The display's own lettering, for browsers that have no Chinese. */
const FONT = new URL("../../fonts/noto-sans-sc-chinese-simplified-500-normal.woff", import.meta.url);

const HEADERS = {
  "content-security-policy":
    "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; object-src 'none'",
  "cross-origin-opener-policy": "same-origin",
  "cross-origin-resource-policy": "same-origin",
  "permissions-policy": "microphone=(self), camera=(), geolocation=()",
  "referrer-policy": "no-referrer",
  "x-content-type-options": "nosniff",
  "cache-control": "no-store",
};

export interface LocalPageOptions {
  /** Tried in this order; 0 is any free one. */
  ports: readonly number[];
  /** Where each part of the page lies: `/` and `/handset/`, folders without subfolders. */
  folders: ReadonlyMap<string, URL>;
  /** A visitor who knew the token. @param path of its WebSocket, e.g. `/line` */
  onVisitor(socket: WebSocket, path: string): void;
}

export interface LocalPage {
  /** With the token behind the #. */
  readonly address: string;
  close(): void;
}

/** @throws {DeviceError} `no-page` when a file is missing or no port is free */
export async function openLocalPage({ ports, folders, onVisitor }: LocalPageOptions): Promise<LocalPage> {
  const files = filesIn(folders);
  const token = randomBytes(TOKEN_BYTES).toString("base64url");
  const server = createServer({ requestTimeout: 5_000, headersTimeout: 5_000 }, (request, response) => {
    serve(files, isOurs(request, port), request, response);
  });
  const sockets = new WebSocketServer({ noServer: true, maxPayload: MAX_MESSAGE_BYTES, perMessageDeflate: false });
  server.on("upgrade", (request, socket, head) => {
    if (!isOurs(request, port) || !isOwnOrigin(request)) {
      socket.end("HTTP/1.1 403 Forbidden\r\nConnection: close\r\n\r\n");
      return;
    }
    sockets.handleUpgrade(request, socket, head, (visitor) => admit(visitor, pathOf(request)));
  });

  function admit(visitor: WebSocket, path: string): void {
    // A visitor that breaks the rules of WebSocket is closed by ws; nobody else hears of it.
    visitor.on("error", () => {});
    if (sockets.clients.size > MOST_VISITORS) return visitor.close(CLOSED_FULL, "too many visitors");
    const late = setTimeout(() => visitor.close(CLOSED_TOKEN, "no token"), ENTER_MS);
    visitor.once("close", () => clearTimeout(late));
    visitor.once("message", (data, isBinary) => {
      clearTimeout(late);
      const message = isBinary ? undefined : parseFromPage(textOf(data));
      if (message?.do !== "enter" || !isEqual(message.token, token)) return visitor.close(CLOSED_TOKEN, "wrong token");
      onVisitor(visitor, path);
    });
  }

  const port = await listen(server, ports);
  return {
    address: `http://${HOST}:${port}/#${token}`,
    close: () => {
      for (const visitor of sockets.clients) visitor.terminate();
      sockets.close();
      server.close();
      server.closeAllConnections();
    },
  };
}

export function textOf(data: RawData): string {
  return (Array.isArray(data) ? Buffer.concat(data) : Buffer.from(data as Buffer)).toString("utf8");
}

interface PageFile {
  type: string;
  body: Buffer;
}

/** Everything that can be asked for, read once: no path of a request ever reaches the disk. */
function filesIn(folders: ReadonlyMap<string, URL>): Map<string, PageFile> {
  const files = new Map([["/handset/font.woff", { type: TYPES.woff!, body: read(FONT) }]]);
  for (const [at, folder] of folders) {
    for (const name of namesIn(folder)) {
      const type = TYPES[name.slice(name.lastIndexOf(".") + 1)];
      if (!type) continue;
      const content = read(new URL(name, folder));
      const body = name.endsWith(".ts") ? Buffer.from(scriptOf(content.toString("utf8"))) : content;
      files.set(name === "index.html" ? at : `${at}${name}`, { type, body });
    }
  }
  // Compiled to dist/, the page is scripts without a page.
  if (!files.has("/")) throw notHere(undefined);
  return files;
}

function namesIn(folder: URL): string[] {
  try {
    return readdirSync(folder);
  } catch (cause) {
    throw notHere(cause);
  }
}

function read(file: URL): Buffer {
  try {
    return readFileSync(file);
  } catch (cause) {
    throw notHere(cause);
  }
}

function notHere(cause: unknown): DeviceError {
  const why = "the page's files are not here: it is for developers and runs from the sources, never from dist/";
  return new DeviceError("no-page", why, { cause });
}

/** Packages of ours are reached by address in a browser: `@feldfon/hw/board/page/x` lies at `/handset/x.ts`. */
function scriptOf(typescript: string): string {
  return stripTypeScriptTypes(typescript).replace(
    /(\bfrom\s*)"@feldfon\/hw\/board\/page\/([a-z-]+)"/g,
    '$1"/handset/$2.ts"',
  );
}

function serve(
  files: ReadonlyMap<string, PageFile>,
  ours: boolean,
  request: IncomingMessage,
  response: ServerResponse,
): void {
  const file = files.get(pathOf(request));
  const readable = request.method === "GET" || request.method === "HEAD";
  const status = !ours ? 403 : !readable ? 405 : file ? 200 : 404;
  if (status !== 200) {
    response.writeHead(status, { ...HEADERS, "content-type": "text/plain; charset=utf-8" }).end(`${status}\n`);
    return;
  }
  response.writeHead(200, { ...HEADERS, "content-type": file!.type }).end(file!.body);
}

function pathOf(request: IncomingMessage): string {
  return (request.url ?? "").replace(/\?.*$/s, "");
}

function isOurs({ headers }: IncomingMessage, port: number): boolean {
  return headers.host === `${HOST}:${port}` || headers.host === `localhost:${port}`;
}

function isOwnOrigin({ headers }: IncomingMessage): boolean {
  return headers.origin === `http://${headers.host}`;
}

function isEqual(given: string, wanted: string): boolean {
  const [one, other] = [Buffer.from(given), Buffer.from(wanted)];
  return one.length === other.length && timingSafeEqual(one, other);
}

async function listen(server: ReturnType<typeof createServer>, ports: readonly number[]): Promise<number> {
  for (const [at, port] of ports.entries()) {
    try {
      await new Promise<void>((resolve, reject) => {
        server.once("error", reject);
        server.listen(port, HOST, () => {
          server.off("error", reject);
          resolve();
        });
      });
      return (server.address() as AddressInfo).port;
    } catch (cause) {
      if (at === ports.length - 1) throw new DeviceError("no-page", "no port of this machine is free", { cause });
    }
  }
  throw new DeviceError("no-page", "no port was given");
}
