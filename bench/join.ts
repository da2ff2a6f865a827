/**
 * Server CPU of one proven join with 100 present, beside a bare mutual TLS handshake of Node's with RSA-4096.
 *
 *     load/remote.ts: those who come and go     M1..M4, join, secret, phonebook; all that are here get the delta
 *     load/remote.ts: those who stay
 *       |-- load/server.ts                      the product, each join on disk before it is answered
 *     this process
 *       '-- load/tls-peer.ts                    mutual TLS and one echo
 *
 * 150 come in a round, so 100 present are 25 at its beginning and 175 at its end.
 *
 * CPU is user and system time of the server process alone, its threads included. Rounds alternate, and the ratio is that
 * of each join's round to the handshakes' behind it. Between rounds the joiners leave, which is not counted. With 1,000
 * present the figure is stated: then the deltas cost more than the join.
 * Both servers are measured warm, as they are after their first minutes; both are offered the same rate.
 * OPENSSL_ia32cap=:~0x200000 in front takes AVX-512 IFMA from both: a private operation costs twice as much then, as it
 * does on older and on smaller processors.
 *
 * The driver's handsets sign and open with quick keys, share their ephemeral ones and read the beginning of long frames
 * (load/quick-vault.ts): the server does the same, and two cores hold both ends.
 */
import { type ChildProcess, execFile, fork } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { connect } from "node:tls";
import { promisify } from "node:util";
import { offered } from "./load/crowd.ts";
import { atMost, median, stated } from "./load/figures.ts";
import { RemoteCrowd } from "./load/remote-crowd.ts";
import { ServerProcess } from "./load/server-process.ts";
import type { Figure } from "./main.ts";

const PRESENT = 100;
const MANY_PRESENT = 1_000;
const JOINERS = 150;
const STAYING = PRESENT - JOINERS / 2;
const MORE_STAYING = MANY_PRESENT - PRESENT;
const OFFERED_PER_S = 450;
const WARM_ROUNDS = 40;
/** On a shared machine half of all rounds lie beyond 0.41..0.52: one median of 20 is above 0.51 with 11, 0.475 with 33. */
const ROUNDS = 33;
const MANY_ROUNDS = 3;
const HANDSHAKES = 150;
/** Deltas that wait for the last joiner are counted too. */
const SETTLE_MS = 700;
const WANTED_RATIO = 0.5;

export async function run(): Promise<{ name: "join"; figures: Figure[] }> {
  const server = await ServerProcess.start();
  const peer = await TlsPeer.start();
  const coming = await RemoteCrowd.start(server.place, { from: 1, count: JOINERS });
  const staying = await RemoteCrowd.start(server.place, { from: 1 + JOINERS, count: STAYING });
  const joins = async (): Promise<{ us: number; perS: number }> => {
    let perS = 0;
    const us = await server.cpuUs(async () => {
      perS = (await coming.ask("join", OFFERED_PER_S)).donePerS;
      await pause(SETTLE_MS);
    });
    await coming.ask("leave", 1_000);
    await pause(SETTLE_MS);
    return { us: us / JOINERS, perS };
  };

  await staying.ask("join", OFFERED_PER_S);
  for (let round = 0; round < WARM_ROUNDS; round++) {
    await joins();
    await peer.handshakeUs();
  }
  const us = { join: [] as number[], tls: [] as number[], many: [] as number[] };
  let slowestPerS = Number.POSITIVE_INFINITY;
  for (let round = 0; round < ROUNDS; round++) {
    const joined = await joins();
    slowestPerS = Math.min(slowestPerS, joined.perS);
    us.join.push(joined.us);
    us.tls.push(await peer.handshakeUs());
  }
  const more = await RemoteCrowd.start(server.place, { from: 1 + JOINERS + STAYING, count: MORE_STAYING });
  await more.ask("join", OFFERED_PER_S);
  for (let round = 0; round < MANY_ROUNDS; round++) us.many.push((await joins()).us);

  await Promise.all([coming.stop(), staying.stop(), more.stop()]);
  await Promise.all([server.stop(), peer.stop()]);
  const tls = median(us.tls);
  return {
    name: "join",
    figures: [
      {
        name: "joins done, slowest round",
        value: Math.round(slowestPerS),
        unit: "1/s",
        wanted: ">= 100",
        ok: slowestPerS >= 100,
      },
      stated(`proven join, ${PRESENT} present`, median(us.join) / 1_000, "ms CPU"),
      stated("mutual TLS handshake, RSA-4096", tls / 1_000, "ms CPU"),
      atMost("join / handshake", median(us.join.map((each, round) => each / us.tls[round]!)), WANTED_RATIO),
      stated(`proven join, ${MANY_PRESENT} present`, median(us.many) / 1_000, "ms CPU"),
      stated(`join / handshake, ${MANY_PRESENT} present`, median(us.many) / tls, "ratio"),
    ],
  };
}

class TlsPeer {
  readonly #child: ChildProcess;
  readonly #folder: string;
  readonly #port: number;
  readonly #own: { key: Buffer; cert: Buffer };

  private constructor(child: ChildProcess, folder: string, port: number, own: { key: Buffer; cert: Buffer }) {
    this.#child = child;
    this.#folder = folder;
    this.#port = port;
    this.#own = own;
  }

  static async start(): Promise<TlsPeer> {
    const folder = await mkdtemp(path.join(tmpdir(), "feldfon-tls-"));
    const inFolder = (file: string): string => path.join(folder, file);
    for (const who of ["server", "client"]) {
      const files = ["-keyout", inFolder(`${who}.key`), "-out", inFolder(`${who}.crt`)];
      const form = ["req", "-x509", "-newkey", "rsa:4096", "-nodes", "-days", "3", "-subj", `/CN=${who}`];
      await promisify(execFile)("openssl", [...form, ...files]);
    }
    const own = { key: await readFile(inFolder("client.key")), cert: await readFile(inFolder("client.crt")) };
    const child = fork(path.join(import.meta.dirname, "load", "tls-peer.ts"), [folder], {
      stdio: ["ignore", "ignore", "inherit", "ipc"],
    });
    const [{ port }] = (await once(child, "message")) as [{ port: number }];
    return new TlsPeer(child, folder, port, own);
  }

  /** @returns CPU microseconds of the peer for one handshake with its echo */
  async handshakeUs(): Promise<number> {
    const before = await this.#cpuUs();
    await offered(Array.from({ length: HANDSHAKES }), OFFERED_PER_S, async () => {
      // Its certificate is its own; what is measured is the server.
      const socket = connect({ host: "127.0.0.1", port: this.#port, ...this.#own, rejectUnauthorized: false });
      await once(socket, "secureConnect");
      socket.write("R");
      await once(socket, "data");
      socket.destroy();
    });
    return ((await this.#cpuUs()) - before) / HANDSHAKES;
  }

  async stop(): Promise<void> {
    const over = once(this.#child, "exit");
    this.#child.disconnect();
    await over;
    await rm(this.#folder, { recursive: true });
  }

  async #cpuUs(): Promise<number> {
    this.#child.send({ ask: "cpu" });
    const [{ us }] = (await once(this.#child, "message")) as [{ us: number }];
    return us;
  }
}
