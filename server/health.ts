/**
 * Is it alive, is it ready, how is it: four pages over HTTP on a port of their own, for this machine only (design 8).
 *
 *     /health    200 as long as the loop turns
 *     /ready     200, or 503 with what is missing
 *     /metrics   Prometheus text format
 *     /state     epoch, rows and both roots as this server has signed them, where its secrets lie and how: JSON
 */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

export interface HealthOptions {
  /** 0: any free one. */
  port: number;
  metrics: { readonly contentType: string; text(): Promise<string> };
  /** What is missing, in words for the operator; nothing: ready. */
  missing: () => readonly string[];
  /** For `/state`: public values only. */
  state: () => StateShown;
}

export type StateShown = Readonly<Record<string, string | number | boolean | null>>;

export interface Health {
  readonly port: number;
  close(): Promise<void>;
}

const HOST = "127.0.0.1";

/** @throws {Error} `EADDRINUSE` and the like, from Node */
export async function openHealth({ port, metrics, missing, state }: HealthOptions): Promise<Health> {
  const server = createServer({ requestTimeout: 5_000, headersTimeout: 5_000 }, (request, response) => {
    answer(request, response).catch(() => say(response, 500, "failed\n"));
  });
  server.maxConnections = 64;

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (request.method !== "GET" && request.method !== "HEAD") return say(response, 405, "GET only\n");
    switch (request.url) {
      case "/health":
        return say(response, 200, "alive\n");
      case "/ready": {
        const missed = missing();
        return missed.length === 0 ? say(response, 200, "ready\n") : say(response, 503, `${missed.join("\n")}\n`);
      }
      case "/metrics":
        return say(response, 200, await metrics.text(), metrics.contentType);
      case "/state":
        return say(response, 200, `${JSON.stringify(state())}\n`, "application/json");
      default:
        return say(response, 404, "/health, /ready, /metrics, /state\n");
    }
  }

  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, HOST, () => {
      server.off("error", reject);
      resolve();
    });
  });
  return {
    port: (server.address() as AddressInfo).port,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

function say(response: ServerResponse, status: number, text: string, type = "text/plain; charset=utf-8"): void {
  response.writeHead(status, { "content-type": type, "cache-control": "no-store" }).end(text);
}
