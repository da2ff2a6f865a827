/**
 * The handset's words, one table per language with the same keys. {braces} are filled by the screen.
 *
 * Names of people are never put into a sentence: on the screen the handset's own words carry a bar that names never get.
 */
import type { Button } from "@feldfon/hw/buttons/port";
import type { ConnectStep, UpdateStep } from "@feldfon/protocol/phone/orders";
import type { DeviceSecretKind, VaultStatus } from "@feldfon/protocol/vault";
import type { Fault } from "./faults.ts";
import type { CallEnd, PinPurpose, PinRefusal } from "./link.ts";
import type { Action, Ending } from "./machine.ts";
import { de } from "./texts-de.ts";
import { en } from "./texts-en.ts";
import { zh } from "./texts-zh.ts";

export const LANGUAGES = ["de", "en", "zh"] as const;
export type Language = (typeof LANGUAGES)[number];

/** What went wrong or ended, and what a person can do now. */
export interface Advice {
  readonly text: string;
  readonly next: string;
}

export interface Texts {
  /** The keys, as they are called in manuals. */
  readonly keys: Readonly<Record<Button, string>>;
  /** What a key does now: at most half of 240 pixels. */
  readonly actions: Readonly<Record<Action, string>>;
  /** Connect's eight steps, seed 000 in short. */
  readonly steps: Readonly<Record<ConnectStep, string>>;
  readonly updateSteps: Readonly<Record<UpdateStep, string>>;
  readonly erased: Readonly<Record<Ending["erased"], string>>;
  readonly faults: Readonly<Record<Fault, Advice>>;
  readonly ends: Readonly<Record<CallEnd, Advice & { readonly title: string }>>;

  readonly error: string;
  readonly danger: string;
  readonly caution: string;
  readonly afterStep: string;
  readonly evidence: string;
  readonly code: string;

  readonly lock: {
    readonly starting: { readonly title: string; readonly text: string };
    readonly making: { readonly title: string; readonly text: string; readonly elapsed: string };
    readonly locking: { readonly title: string; readonly text: string };
    readonly ask: Readonly<Record<PinPurpose, { readonly title: string; readonly text: string }>>;
    readonly refused: Readonly<Record<PinRefusal | "long", string>>;
    /** Instead of what is asked, while it is tried. */
    readonly moment: string;
    readonly wait: string;
    readonly left: string;
    readonly missed: string;
  };
  readonly off: {
    readonly title: string;
    readonly press: string;
    readonly text: string;
    readonly blocked: string;
    readonly pad: string;
  };
  readonly about: {
    readonly title: string;
    readonly key: string;
    readonly randomness: Readonly<Record<VaultStatus["randomness"], string>>;
    /** What others may do to the process: neither of both, or which. */
    readonly closed: string;
    readonly coreDumps: string;
    readonly inspector: string;
    readonly version: string;
    readonly pin: { readonly set: string; readonly none: string };
    /** What a copied card lacks. */
    readonly device: Readonly<Record<DeviceSecretKind, string>>;
  };
  readonly connecting: { readonly title: string; readonly again: string; readonly resuming: string };
  readonly leaving: { readonly title: string; readonly text: string };
  readonly lost: { readonly title: string; readonly retry: string };
  readonly refused: { readonly title: string };
  readonly verified: {
    readonly title: string;
    readonly root: string;
    readonly protection: Readonly<Record<"memfd_secret" | "locked" | "degraded", string>>;
    readonly pad: string;
  };
  readonly leave: { readonly title: string; readonly text: string };
  readonly phonebook: {
    readonly title: string;
    readonly empty: string;
    readonly own: string;
    readonly cameAndWent: string;
    readonly pad: string;
  };
  readonly dial: {
    readonly title: string;
    readonly empty: string;
    readonly nobody: string;
    readonly changed: string;
    readonly pad: string;
  };
  readonly dialling: { readonly title: string; readonly text: string };
  readonly ringing: { readonly title: string; readonly text: string };
  readonly incoming: { readonly title: string; readonly text: string; readonly silenced: string; readonly pad: string };
  readonly answering: { readonly title: string; readonly text: string };
  readonly inCall: {
    readonly title: string;
    /** Title of the five numbers, and what to do with them. */
    readonly compare: string;
    readonly aloud: string;
    readonly notCompared: string;
    /** By bars, 0 to 4. */
    readonly quality: readonly [string, string, string, string, string];
    readonly muted: string;
    readonly volume: string;
    readonly lineLost: string;
    readonly distrust: string;
    readonly pad: string;
  };
  readonly hangingUp: { readonly title: string; readonly text: string };
  readonly ended: { readonly lasted: string };
  readonly updating: { readonly title: string };
  readonly updated: {
    readonly title: string;
    readonly same: string;
    readonly other: string;
    readonly differs: string;
    readonly old: string;
    readonly now: string;
  };
  readonly changes: {
    readonly title: string;
    readonly joined: string;
    readonly left: string;
    readonly renamed: string;
    readonly newKey: string;
    readonly more: string;
  };
  readonly missed: { readonly title: string; readonly text: string; readonly times: string };
  readonly battery: { readonly title: string; readonly text: string; readonly next: string };
  readonly quitting: { readonly title: string; readonly text: string };
  readonly gone: { readonly title: string; readonly text: string };
  /** By number, 0 to 63, as drawing/pictograms.ts draws them: one word each, as one says it. */
  readonly pictograms: readonly string[];
}

export const TEXTS: Readonly<Record<Language, Texts>> = { de, en, zh };

/** Puts values into the braces: `fill("{n} of {m}", { n: 1, m: 3 })`. */
export function fill(text: string, values: Readonly<Record<string, string | number>>): string {
  return text.replace(/\{(\w+)\}/g, (brace, name: string) => String(values[name] ?? brace));
}
