/** The server as a process: how it starts, how it ends, and what it says when it cannot (rows 003-50, -52, -67, -71). */
import assert from "node:assert/strict";
import { once } from "node:events";
import { chmod, readFile, rm, stat, truncate, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import path from "node:path";
import { DatabaseSync } from "node:sqlite";
import { PublicKey } from "@feldfon/protocol/identity";
import type { PhoneEvent } from "@feldfon/protocol/phone/events";
import { NodeVault } from "@feldfon/vault";
import { LoadHandset, type ServerPlace } from "../../bench/load/handset.ts";
import { keyPath, testKeyPair } from "../keys.ts";
import { OperatorsDesk } from "./real-server.ts";

describe("feldfon-server as a process", function () {
  this.timeout(60_000);
  let desk: OperatorsDesk;
  let vault: NodeVault;
  let handsets: LoadHandset[];
  /** Every head that any handset was shown: hash by epoch. */
  let heads: Map<number, Set<string>>;

  beforeEach(async () => {
    desk = await OperatorsDesk.open();
    vault = new NodeVault();
    handsets = [];
    heads = new Map();
  });

  afterEach(async () => {
    for (const handset of handsets) handset.close();
    await desk.close();
    vault.wipeAll();
  });

  async function handset(n: number, place: ServerPlace): Promise<LoadHandset> {
    const made = await LoadHandset.make({ vault, n, place });
    handsets.push(made);
    for (const event of ["connected", "directory"]) {
      made.told.on(event, ({ change }: Extract<PhoneEvent, { event: "connected" | "directory" }>) => {
        const { head, hash } = made.head ?? change!.head;
        heads.set(head.epoch, (heads.get(head.epoch) ?? new Set()).add(hash.toString("hex")));
      });
    }
    return made;
  }

  function epochsWithTwoHeads(): number[] {
    return [...heads].filter(([, hashes]) => hashes.size > 1).map(([epoch]) => epoch);
  }

  function storedHeads(): { epoch: number; hash: string }[] {
    const db = new DatabaseSync(desk.at("directory.sqlite"), { readOnly: true });
    const rows = db.prepare("SELECT epoch, hash FROM head ORDER BY epoch").all();
    db.close();
    return rows.map(({ epoch, hash }) => ({
      epoch: epoch as number,
      hash: Buffer.from(hash as Uint8Array).toString("hex"),
    }));
  }

  describe("told to stop", () => {
    for (const signal of ["SIGTERM", "SIGINT"] as const) {
      it(`by ${signal} tells everybody, closes its store and ends with 0`, async () => {
        const server = await desk.serve();
        const [anna, berta] = [await handset(1, server.place), await handset(2, server.place)];
        await anna.join();
        const known = once(anna.told, "directory");
        await berta.join();
        await known;
        const stranger = connect(server.port, "127.0.0.1").on("error", () => {});
        await once(stranger, "connect");
        const told = [anna, berta].map(({ told }) => once(told, "down"));
        const closed = once(stranger, "close");
        server.kill(signal);
        assert.deepEqual(await Promise.all(told), [["server-left"], ["server-left"]]);
        await closed;
        assert.deepEqual(await server.end, { code: 0, signal: null });
        assert.deepEqual(
          server.log.slice(-2).map(({ msg }) => msg),
          ["stopping", "stopped"],
        );
        await assert.rejects(reached(server.port), { code: "ECONNREFUSED" });
        // SQLite takes its journal away only when the last connection closes in order.
        assert.deepEqual([...(await desk.files()).keys()].toSorted(), ["directory.sqlite", "server-key.pem"]);
        assert.equal(storedHeads().at(-1)!.hash, anna.head!.hash.toString("hex"));
      });
    }

    it("ends in time although a handset never says that it has heard", async () => {
      const server = await desk.serve();
      const anna = await handset(1, server.place);
      await anna.join();
      anna.stall(true);
      server.kill("SIGTERM");
      assert.deepEqual(await server.end, { code: 0, signal: null });
    });
  });

  describe("killed and started again", () => {
    it("has every registration it acknowledged, under the same key, and the handset comes back by itself", async () => {
      const server = await desk.serve();
      const anna = await handset(1, server.place);
      await anna.join();
      server.kill("SIGKILL");
      const { epoch } = anna.head!.head;
      const hash = anna.head!.hash.toString("hex");
      assert.deepEqual(await server.end, { code: null, signal: "SIGKILL" });
      assert.deepEqual(storedHeads().at(-1), { epoch, hash });

      const back = once(anna.told, "connected");
      const again = await desk.serve("--port", String(server.port));
      assert.equal(again.uid, server.uid);
      assert.deepEqual(await readFile(desk.at("server-key.pem")), await readFile(await keyPath(0)));
      await back;
      assert.equal(anna.head!.hash.toString("hex"), hash, "its place was kept: no new epoch");
      const berta = await handset(2, again.place);
      const known = once(anna.told, "directory");
      await berta.join();
      await known;
      assert.deepEqual(anna.head!.head.epoch, epoch + 1);
      assert.deepEqual(
        berta.follower!.rows.map(({ name }) => name),
        ["server", "Handset 1", "Handset 2"],
      );
      assert.deepEqual(epochsWithTwoHeads(), []);
    });

    it("never gives an epoch another content, killed again and again in the middle of joins", async () => {
      let server = await desk.serve();
      const { port } = server;
      const wanted: LoadHandset[] = [];
      for (let round = 0; round < 3; round++) {
        const crowd = await Promise.all([1, 2, 3, 4].map((n) => handset(4 * round + n, server.place)));
        const first = Promise.race(crowd.map(({ told }) => once(told, "connected")));
        for (const each of crowd) void each.join();
        wanted.push(...crowd);
        await first;
        server.kill("SIGKILL");
        await server.end;
        const acknowledged = [...heads.keys()].toSorted((a, b) => a - b);
        const stored = storedHeads();
        for (const epoch of acknowledged) assert.deepEqual([...heads.get(epoch)!], [stored[epoch]!.hash]);
        server = await desk.serve("--port", String(port));
      }
      while (wanted.some(({ head }) => head?.head.rows !== 13)) {
        await Promise.race(wanted.flatMap(({ told }) => [once(told, "directory"), once(told, "connected")]));
        assert.deepEqual(
          wanted.flatMap(({ stuck }) => stuck ?? []),
          [],
        );
      }
      assert.deepEqual(epochsWithTwoHeads(), []);
      assert.equal(heads.size > 3, true, `${heads.size} epochs seen`);
    });
  });

  describe("started for the first time", () => {
    it("makes its key beside the loop, keeps it whole and for itself, and never makes another", async () => {
      await rm(desk.at("server-key.pem"));
      desk.node = {
        flags: ["--import", path.join(import.meta.dirname, "../watched-crypto.ts")],
        env: { ...process.env, FELDFON_WATCH: `${desk.folder}.watch`, FELDFON_MADE_KEY: await keyPath(7) },
      };
      const made = async () => {
        const lines = (await readFile(`${desk.folder}.watch`, "utf8")).trimEnd().split("\n");
        return lines.filter((line) => JSON.parse(line).rsa === "generateKeyPair").length;
      };
      try {
        const first = await desk.serve("--data", desk.at("new"));
        const expected = new PublicKey((await testKeyPair(vault, 7)).spki).uid;
        assert.equal(first.uid, expected);
        assert.equal((await stat(desk.at("new"))).mode & 0o777, 0o700);
        assert.equal((await stat(desk.at("new/server-key.pem"))).mode & 0o777, 0o600);
        first.kill("SIGTERM");
        await first.end;
        assert.equal(await made(), 1);
        assert.equal((await desk.serve("--data", desk.at("new"))).uid, expected);
        assert.equal(await made(), 1);
      } finally {
        await rm(`${desk.folder}.watch`);
      }
    });
  });

  describe("beside another one", () => {
    it("on the same folder says so and gives up, and the first goes on", async () => {
      const first = await desk.serve();
      const anna = await handset(1, first.place);
      await anna.join();
      const { ended, stderr } = await desk.fail();
      assert.deepEqual(ended, { code: 1, signal: null });
      assert.match(stderr, /^feldfon-server: .*directory\.sqlite is open in another process: only one server may run/m);
      const known = once(anna.told, "directory");
      await (await handset(2, first.place)).join();
      await known;
    });

    it("on the same ports names the port and the flag, whichever of the three it is", async () => {
      const first = await desk.serve();
      const second = await OperatorsDesk.open();
      try {
        for (const [flag, port] of [
          ["--port", first.port],
          ["--udp-port", first.port],
          ["--health-port", await first.healthPort()],
        ] as const) {
          const { ended, stderr } = await second.fail(flag, String(port));
          assert.deepEqual(ended, { code: 1, signal: null }, flag);
          assert.match(stderr, new RegExp(`^feldfon-server: .*${port} .*taken.*${flag}`, "m"));
          assert.equal(stderr.split("\n").length, 2, `one sentence, no stack: ${stderr}`);
        }
      } finally {
        await second.close();
      }
      await (await handset(1, first.place)).join();
    });
  });

  describe("asked something", () => {
    it("prints its fingerprint and nothing else by --print-key, also while it runs", async () => {
      const { uid } = await desk.serve();
      const asked = desk.run("--data", desk.folder, "--print-key");
      assert.deepEqual(await asked.end, { code: 0, signal: null });
      assert.deepEqual([asked.stdout, asked.stderr], [`${uid}\n`, ""]);
    });

    it("names every flag by --help, and touches nothing", async () => {
      const asked = desk.run("--data", desk.at("elsewhere"), "--help");
      assert.deepEqual(await asked.end, { code: 0, signal: null });
      for (const flag of ["--data", "--port", "--grace-ms", "--print-key", "--trace"]) {
        assert.ok(asked.stdout.includes(flag), flag);
      }
      assert.deepEqual([asked.stderr, [...(await desk.files()).keys()]], ["", ["server-key.pem"]]);
    });

    for (const [argv, sentence] of [
      [["--prot", "5060"], /--prot.*--help/],
      [["--port", "65536"], /--port: "65536" is above 65535/],
      [["leftover"], /leftover.*--help/],
      [["--enrolment-code", "/nonexistent/code"], /--enrolment-code: \/nonexistent\/code cannot be read/],
    ] as const) {
      it(`refuses ${argv.join(" ")} in words, with 2`, async () => {
        const { ended, stderr } = await desk.fail(...argv);
        assert.deepEqual(ended, { code: 2, signal: null });
        assert.match(stderr, sentence);
        assert.equal(stderr.split("\n").length, 2, stderr);
      });
    }
  });

  describe("on a folder that is not whole", () => {
    const BROKEN: [string, string, () => Promise<void>, RegExp][] = [
      [
        "whose directory is rubbish",
        "directory.sqlite",
        () => writeFile(desk.at("directory.sqlite"), Buffer.alloc(8_192, 0x5a)),
        /directory\.sqlite is damaged or not a database: restore a backup/,
      ],
      [
        "whose directory is another program's",
        "directory.sqlite",
        async () => {
          const db = new DatabaseSync(desk.at("directory.sqlite"));
          db.exec("CREATE TABLE recipes (name TEXT)");
          db.close();
        },
        /directory\.sqlite cannot be used, it is the file of another program: restore a backup/,
      ],
      [
        "whose directory was cut short",
        "directory.sqlite",
        async () => {
          const server = await desk.serve();
          await (await handset(1, server.place)).join();
          server.kill("SIGTERM");
          await server.end;
          await truncate(desk.at("directory.sqlite"), 8_192);
        },
        /directory\.sqlite .*: restore a backup/,
      ],
      [
        "whose directory was signed by another server",
        "directory.sqlite",
        async () => {
          const server = await desk.serve();
          server.kill("SIGTERM");
          await server.end;
          await writeFile(desk.at("server-key.pem"), await readFile(await keyPath(1)));
        },
        /another server/,
      ],
      [
        "whose key is half there",
        "server-key.pem",
        () => truncate(desk.at("server-key.pem"), 1_000),
        /server-key\.pem.*restore/,
      ],
      [
        "whose key everybody may read",
        "server-key.pem",
        () => chmod(desk.at("server-key.pem"), 0o644),
        /server-key\.pem.*chmod 600/,
      ],
    ];
    for (const [what, file, spoil, sentence] of BROKEN) {
      it(`${what}: says what to do, and leaves the file as it is`, async () => {
        await spoil();
        const before = await readFile(desk.at(file));
        const { ended, stderr } = await desk.fail();
        assert.deepEqual(ended, { code: 1, signal: null }, stderr);
        assert.match(stderr, sentence);
        assert.equal(stderr.trimEnd().split("\n").at(-1)!.startsWith("feldfon-server: "), true, stderr);
        assert.ok((await readFile(desk.at(file))).equals(before), `${file} is another one now`);
      });
    }

    it("without a directory beside its key begins a new one and says so", async () => {
      const said = async () => {
        const server = await desk.serve();
        server.kill("SIGTERM");
        await server.end;
        return server.log.find(({ msg }) => msg === "new directory");
      };
      const first = await said();
      assert.equal(first?.level, "warn");
      assert.match(String(first.what), /handsets that know another one refuse it/);
      assert.equal(await said(), undefined);
    });
  });
});

async function reached(port: number): Promise<void> {
  const socket = connect(port, "127.0.0.1");
  await once(socket, "connect");
  socket.destroy();
}
