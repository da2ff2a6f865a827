/** A store without a disk; with the physics of one: it keeps what was committed when the power goes, and gets full. */
import type { Uid } from "@feldfon/protocol/identity";
import { type Store, type StoredBatch, type StoredHead, type StoredState, StoreError } from "./store-port.ts";

/** What lies on the platter; outlives the store that writes it. */
export class MemoryDisk {
  readonly handsets = new Map<Uid, { name: string; spki: Buffer; place: number | undefined }>();
  readonly hashes: Buffer[] = [];
  newest: StoredHead | undefined;
  /** Handsets that have room. */
  capacity = Number.POSITIVE_INFINITY;
  /** Power cut around the next commit: before or after it is on the platter; its caller hears of a failure either way. */
  cut: "before" | "after" | undefined;
}

export class MemoryStore implements Store {
  readonly #disk: MemoryDisk;
  #closed = false;

  constructor(disk = new MemoryDisk()) {
    this.#disk = disk;
  }

  async load(): Promise<StoredState> {
    this.#check();
    const { newest: head, hashes, handsets } = this.#disk;
    return {
      head,
      hashes: Buffer.concat(hashes),
      handsets: [...handsets]
        .map(([uid, handset]) => ({ uid, ...handset }))
        .sort((a, b) => (a.place ?? Number.MAX_SAFE_INTEGER) - (b.place ?? Number.MAX_SAFE_INTEGER)),
    };
  }

  async newest(): Promise<{ epoch: number; hash: Buffer } | undefined> {
    this.#check();
    const { hashes } = this.#disk;
    const hash = hashes.at(-1);
    return hash && { epoch: hashes.length - 1, hash };
  }

  async commit({ records, head }: StoredBatch): Promise<void> {
    this.#check();
    const disk = this.#disk;
    const cut = disk.cut;
    disk.cut = undefined;
    if (cut === "before") throw new StoreError("failed", "the power was cut before the commit");
    if (head && head.epoch !== disk.hashes.length) {
      throw new StoreError("conflict", `epoch ${head.epoch} came, ${disk.hashes.length} is the next one`);
    }
    const newcomers = records.filter((record) => record.kind === "join" && !disk.handsets.has(record.uid));
    if (disk.handsets.size + newcomers.length > disk.capacity) throw new StoreError("full", "no space left");
    for (const record of records) {
      if (record.kind === "release") {
        disk.handsets.delete(record.uid);
      } else if (record.kind === "leave") {
        const handset = disk.handsets.get(record.uid);
        if (handset) handset.place = undefined;
      } else {
        const places = [...disk.handsets.values()].map((handset) => handset.place ?? 0);
        disk.handsets.set(record.uid, { name: record.name, spki: record.spki, place: Math.max(0, ...places) + 1 });
      }
    }
    if (head) {
      disk.hashes.push(head.hash);
      disk.newest = { bytes: head.bytes, signature: head.signature };
    }
    if (cut === "after") throw new StoreError("failed", "the power was cut after the commit");
  }

  async close(): Promise<void> {
    this.#closed = true;
  }

  #check(): void {
    if (this.#closed) throw new StoreError("failed", "the store is closed");
  }
}
