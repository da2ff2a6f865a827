/** What the hand gives the line thread at its start, and what comes back besides events. */
import type { MessagePort } from "node:worker_threads";
import type { Uid } from "@feldfon/protocol/identity";
import type { HardeningStatus } from "@feldfon/protocol/vault";
import type { LineEvent } from "../handset/link.ts";

export interface LineSetup {
  name: string;
  server: string;
  port: number;
  /** Pinned fingerprint of the server. */
  serverUid: Uid;
  enrolmentCode: string;
  direct: boolean;
  /** Paths, made by the hand. */
  key: string;
  /** A key that has no PIN gets one. */
  withPin: boolean;
  evidence: string;
  trace: string | undefined;
  /** Microphone and speaker of a board that has its own; without it they are WAV files. */
  sound: MessagePort | undefined;
  /** As the hand left the process, which both threads share. */
  hardening: HardeningStatus;
  /** Of this program, for people. */
  version: string;
  /** HEAD | signature of the last accepted head, from the card. */
  lastHead: { bytes: Uint8Array; signature: Uint8Array } | undefined;
}

/**
 * From the line thread to the hand. The card is slow, and a packet does not wait for it: the hand writes the heads that
 * the line accepts.
 */
export type FromLine =
  | LineEvent
  | { event: "key-ready"; uid: Uid }
  | { event: "keep-head"; bytes: Uint8Array; signature: Uint8Array };
