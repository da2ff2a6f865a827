/**
 * Knows what was acknowledged, and compares: every handset with the server, both ends of every call with each other,
 * and the disk of a server that was killed with everything that anybody was ever told.
 *
 *     hear(told)      as it happens: a registration is acknowledged, a directory is accepted
 *     onDisk(stored)  right after a kill, before anybody can come back and mend what is missing
 *     apart(..)       until all is well: connected, one directory, each call at both ends or at none
 */
import { HASH_BYTES } from "@feldfon/protocol/crypto/transcript";
import type { Head } from "@feldfon/protocol/directory/tree-head";
import type { Uid } from "@feldfon/protocol/identity";
import type { StoredState } from "@feldfon/server/store-port";
import type { ServerAnswers } from "./server.ts";

/** One end of a call, as its handset knows it. */
export interface CallState {
  callId: string;
  peer: Uid;
  agreed: boolean;
  ended: { why: string; erased: string } | undefined;
}

export interface HandsetState {
  uid: Uid;
  name: string;
  connected: boolean;
  /** A code that only a person could go on from. */
  stuck: string | undefined;
  /** Of the directory held. @see shownHead */
  head: string | undefined;
  /** In the order of their ids. */
  rows: Uid[];
  /** Since its process began. */
  calls: readonly CallState[];
}

export type Told =
  /** The server has answered the join with 200. */
  | { what: "registered"; uid: Uid }
  /** The handset is about to leave, or has lost its place: from here on nothing is promised. */
  | { what: "leaving"; uid: Uid }
  /** A head was accepted. */
  | { what: "head"; epoch: number; content: string; hash: string | undefined };

type ServerState = ServerAnswers["state"];

/** Epoch and both roots: what has to be the same everywhere. */
export function shownHead({ epoch, seedRoot, dirRoot }: Pick<Head, "epoch" | "seedRoot" | "dirRoot">): string {
  return `${epoch} ${seedRoot.toString("hex")} ${dirRoot.toString("hex")}`;
}

export class Oracle {
  /** Everybody who was told so, and has not begun to leave since. */
  readonly #registered = new Set<Uid>();
  readonly #contents = new Map<number, string>();
  readonly #hashes = new Map<number, string>();
  /** Found while listening. */
  readonly #wrong: string[] = [];
  #acknowledged = 0;

  /** Answers of 200 to a join, each of them a promise. */
  get acknowledged(): number {
    return this.#acknowledged;
  }

  get epochs(): number {
    return this.#contents.size;
  }

  /** What was found wrong while listening. */
  get wrong(): readonly string[] {
    return this.#wrong;
  }

  hear(told: Told): void {
    if (told.what === "leaving") {
      this.#registered.delete(told.uid);
    } else if (told.what === "registered") {
      this.#registered.add(told.uid);
      this.#acknowledged++;
    } else {
      this.#remember(this.#contents, told.epoch, told.content);
      if (told.hash !== undefined) this.#remember(this.#hashes, told.epoch, told.hash);
    }
  }

  /** What a killed server has left: every registration, and every head that anybody accepted, at its epoch. */
  onDisk({ hashes, handsets }: StoredState): string[] {
    const wrong: string[] = [];
    for (const [epoch, hash] of this.#hashes) {
      const stored = hashes.subarray(epoch * HASH_BYTES, (epoch + 1) * HASH_BYTES).toString("hex");
      if (stored === "") wrong.push(`epoch ${epoch} was shown and is not on disk`);
      else if (stored !== hash) wrong.push(`epoch ${epoch} is another one on disk`);
    }
    const placed = new Set(handsets.filter(({ place }) => place !== undefined).map(({ uid }) => uid));
    for (const uid of this.#registered) {
      if (!placed.has(uid)) wrong.push(`${short(uid)} was registered and is not on disk`);
    }
    return wrong;
  }

  /** What is not as it should be, now that nobody begins anything. */
  apart(handsets: readonly HandsetState[], server: ServerState): string[] {
    const head = `${server.epoch} ${server.root} ${server.directoryRoot}`;
    const wrong: string[] = [];
    if (server.rows !== handsets.length + 1) wrong.push(`${server.rows - 1} rows for ${handsets.length} handsets`);
    const ids = handsets[0]?.rows.join();
    for (const { name, uid, connected, stuck, head: own, rows } of handsets) {
      if (stuck !== undefined) wrong.push(`${name} has given up: ${stuck}`);
      if (!connected) wrong.push(`${name} is not connected`);
      if (own !== head) wrong.push(`${name} has another directory than the server`);
      if (rows.join() !== ids) wrong.push(`${name} has other ids than ${handsets[0]!.name}`);
      if (!rows.includes(uid)) wrong.push(`${name} is not in its own directory`);
    }
    for (const uid of this.#registered) {
      if (!handsets[0]?.rows.includes(uid)) wrong.push(`${short(uid)} was registered and is not in the directory`);
    }
    const talking = new Set(handsets.flatMap(({ calls }) => calls.filter(goesOn).map(({ callId }) => callId)));
    if (server.calls !== talking.size) wrong.push(`${server.calls} calls at the server, ${talking.size} at handsets`);
    return [...wrong, ...callsApart(handsets)];
  }

  #remember(known: Map<number, string>, epoch: number, content: string): void {
    const before = known.get(epoch);
    if (before === undefined) known.set(epoch, content);
    else if (before !== content) this.#wrong.push(`epoch ${epoch} was used twice`);
  }
}

/**
 * Each call goes on at both ends or at neither, and nobody says "both sides" of keys that the other side still has.
 * An end whose process was killed knows nothing any more; then only those who go on are judged.
 */
export function callsApart(handsets: readonly HandsetState[]): string[] {
  const wrong: string[] = [];
  const ends = new Map(handsets.map(({ uid, calls }) => [uid, new Map(calls.map((call) => [call.callId, call]))]));
  const names = new Map(handsets.map(({ uid, name }) => [uid, name]));
  for (const { name, calls } of handsets) {
    for (const call of calls) {
      const theirs = ends.get(call.peer)?.get(call.callId);
      if (goesOn(call) && !(theirs && goesOn(theirs))) {
        wrong.push(
          `${name} is in call ${call.callId.slice(0, 8)} with ${names.get(call.peer)}, which ${shownEnd(theirs)}`,
        );
      }
      if (call.agreed && call.ended?.erased === "none") wrong.push(`${name} does not say that a call's keys are gone`);
      if (call.ended?.erased !== "both" || !theirs) continue;
      // In the call or not yet: keys it had, and they are gone.
      if (!theirs.ended || theirs.ended.erased === "none")
        wrong.push(`${name} says "both sides" of keys that the other end has`);
    }
  }
  return wrong;
}

function goesOn({ agreed, ended }: CallState): boolean {
  return agreed && !ended;
}

function shownEnd(call: CallState | undefined): string {
  if (!call) return "does not know of it";
  return call.ended ? `has ended it: ${call.ended.why}` : "has not agreed to it";
}

function short(uid: Uid): string {
  return uid.slice(0, 8);
}
