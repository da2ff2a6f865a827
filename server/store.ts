/** The store on disk, seen from the loop: a thin face over the thread of store-worker.ts. */
import { extname } from "node:path";
import { Worker } from "node:worker_threads";
import { type Store, type StoredBatch, type StoredState, StoreError } from "./store-port.ts";
import type { StoreAnswer, StoreQuestion, StoreWorkerData } from "./store-worker.ts";

type Ask<Question> = Question extends unknown ? Omit<Question, "id"> : never;

/**
 * Opens or creates the file; one server at a time.
 *
 * @param limits `maxPages`: pages of 4,096 bytes after which the disk counts as full
 * @throws {StoreError} `broken`, `version`, `in-use`, `unreachable`
 */
export async function openStore(path: string, limits: { maxPages?: number } = {}): Promise<Store> {
  const store = new WorkerStore({ path, maxPages: limits.maxPages });
  try {
    await store.newest();
  } catch (error) {
    await store.close();
    throw error;
  }
  return store;
}

class WorkerStore implements Store {
  readonly #worker: Worker;
  readonly #path: string;
  readonly #waiting = new Map<number, { resolve: (result: unknown) => void; reject: (error: Error) => void }>();
  #nextId = 0;
  #ended = false;

  constructor(settings: StoreWorkerData) {
    this.#path = settings.path;
    // Run from source it is a .ts file, from dist a .js file.
    const file = new URL(`./store-worker${extname(import.meta.filename)}`, import.meta.url);
    // Flags of the main thread (--eval, --input-type ..) are none of its business.
    this.#worker = new Worker(file, { workerData: settings, name: "store", execArgv: [] });
    this.#worker.on("message", (answer: StoreAnswer) => this.#settle(answer));
    this.#worker.on("error", (cause) => this.#end(cause));
    this.#worker.on("exit", () => this.#end(undefined));
  }

  async load(): Promise<StoredState> {
    const { head, hashes, handsets } = (await this.#ask({ ask: "load" })) as StoredState;
    return {
      head: head && { bytes: asBuffer(head.bytes), signature: asBuffer(head.signature) },
      hashes: asBuffer(hashes),
      handsets: handsets.map((handset) => ({ ...handset, spki: asBuffer(handset.spki) })),
    };
  }

  async commit(batch: StoredBatch): Promise<void> {
    await this.#ask({ ask: "commit", batch });
  }

  async newest(): Promise<{ epoch: number; hash: Buffer } | undefined> {
    const newest = (await this.#ask({ ask: "newest" })) as { epoch: number; hash: Buffer } | undefined;
    return newest && { epoch: newest.epoch, hash: asBuffer(newest.hash) };
  }

  async close(): Promise<void> {
    if (this.#ended) return;
    try {
      await this.#ask({ ask: "close" });
    } finally {
      await this.#worker.terminate();
    }
  }

  #ask(question: Ask<StoreQuestion>): Promise<unknown> {
    if (this.#ended) return Promise.reject(new StoreError("failed", `${this.#path} is closed`));
    return new Promise((resolve, reject) => {
      const id = this.#nextId++;
      this.#waiting.set(id, { resolve, reject });
      this.#worker.postMessage({ ...question, id });
    });
  }

  #settle(answer: StoreAnswer): void {
    const waiting = this.#waiting.get(answer.id);
    this.#waiting.delete(answer.id);
    if ("fault" in answer) waiting?.reject(new StoreError(answer.fault.code, answer.fault.sentence));
    else waiting?.resolve(answer.result);
  }

  #end(cause: Error | undefined): void {
    this.#ended = true;
    for (const { reject } of this.#waiting.values()) {
      reject(new StoreError("failed", `the thread that writes ${this.#path} has ended`, { cause }));
    }
    this.#waiting.clear();
  }
}

/** Buffers cross a thread as plain byte arrays. */
function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
}
