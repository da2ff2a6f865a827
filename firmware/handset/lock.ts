/**
 * The PIN as the people meet it, a pure function beside machine.ts. The state holds how many digits were typed, never
 * which: each goes on as a command the moment its key is pressed.
 *
 *     starting -> asked: choose -> repeat -> working: making -> asked: duress -> repeat-duress -> open
 *        |------> asked: unlock -----------------------------------------------------------------^  |
 *        |          ^  '-- the tenth wrong one, or the PIN that erases --> starting                 |
 *        |          '----------------------- working: locking <-- Hang up, idle --------------------|
 *        '-- no PIN --> open               asked: old -> choose -> repeat -> .. <-- change ---------'
 *
 *     starting, making, asked --> broken: vault or key failed, and nothing goes on until the handset starts again
 *
 * What is asked next is the line's decision; after Done keys are refused until it has answered.
 */
import type { Button } from "@feldfon/hw/buttons/port";
import type { NumpadKey } from "@feldfon/hw/numpad/port";
import type { Command, LineEvent, PinPurpose } from "./link.ts";

/** As many as the vault takes. */
export const MAX_PIN_DIGITS = 12;
export const MIN_PIN_DIGITS = 6;

export interface Asked {
  readonly at: "asked";
  readonly purpose: PinPurpose;
  /** The key is open, and stays as it is when a person leaves. */
  readonly changing: boolean;
  /** Digits typed. */
  readonly count: number;
  /** Done was pressed, the line thinks. */
  readonly sent: boolean;
  /** Tries, where a wrong one counts. */
  readonly left: number | undefined;
  /** Until digits are taken. */
  readonly waitMs: number;
  /** Why not: a `PinRefusal`, `long`, or the code of something that failed. */
  readonly refused: string | undefined;
}

/** Whether this handset may be used: its key lies open in the vault, or somebody has to show first that it may. */
export type Lock =
  /** The line has not said yet. */
  | { readonly at: "starting" }
  | { readonly at: "working"; readonly what: "making" | "locking"; readonly elapsedMs: number }
  | Asked
  | { readonly at: "broken"; readonly code: string }
  | { readonly at: "open"; readonly pin: boolean };

export type LockAction = "pin-done" | "pin-erase" | "pin-leave" | "pin-skip" | "pin-keep";

type Step = [Lock, ...Command[]];

const click: Command = { do: "sound", sound: "click" };

/** What each of the four keys does while the handset is not open. */
export function lockKeys(lock: Lock): Partial<Record<Button, LockAction>> {
  if (lock.at !== "asked" || lock.sent) return {};
  if (lock.count > 0) return { call: "pin-done", "hang-up": "pin-erase" };
  if (!mayLeave(lock)) return {};
  return { "hang-up": !isErasing(lock.purpose) ? "pin-leave" : lock.changing ? "pin-keep" : "pin-skip" };
}

/** A first PIN is a must; one that erases is an offer, and so is every change. */
export function mayLeave({ changing, purpose }: Asked): boolean {
  return changing || isErasing(purpose);
}

export function isErasing(purpose: PinPurpose): boolean {
  return purpose === "duress" || purpose === "repeat-duress";
}

export function lockPress(lock: Lock, button: Button): Step {
  const action = lockKeys(lock)[button];
  if (lock.at !== "asked" || action === undefined) return [lock, click];
  switch (action) {
    case "pin-done":
      return [{ ...lock, sent: true, refused: undefined }, { do: "pin-done" }];
    case "pin-erase":
      return erased(lock);
    case "pin-leave":
    case "pin-skip":
    case "pin-keep":
      return [{ ...lock, sent: true }, { do: "pin-leave" }];
    default:
      return action satisfies never;
  }
}

export function lockKey(lock: Lock, pressed: NumpadKey): Step {
  if (lock.at !== "asked" || lock.sent || lock.waitMs > 0 || pressed === "#") return [lock, click];
  if (pressed === "*") return lock.count > 0 ? erased(lock) : [lock, click];
  if (lock.count >= MAX_PIN_DIGITS) return [{ ...lock, refused: "long" }, click];
  return [
    { ...lock, count: lock.count + 1, refused: undefined },
    { do: "pin-digit", digit: Number(pressed) },
  ];
}

function erased(lock: Asked): Step {
  return [{ ...lock, count: lock.count - 1, refused: undefined }, { do: "pin-erase" }];
}

/** What the line says of the key; `undefined`: it speaks of something else. */
export function lockHeard(event: LineEvent): Step | undefined {
  switch (event.event) {
    case "making-key":
      return [{ at: "working", what: "making", elapsedMs: 0 }];
    case "unlocked":
      return [{ at: "open", pin: event.pin }];
    case "wiped":
      return [{ at: "starting" }];
    case "pin-wanted": {
      const { purpose, changing, left, waitS = 0, refused } = event;
      const asked: Asked = {
        at: "asked",
        purpose,
        changing,
        count: 0,
        sent: false,
        left,
        waitMs: waitS * 1_000,
        refused,
      };
      return refused === undefined ? [asked] : [asked, { do: "sound", sound: "refused" }];
    }
    default:
      return undefined;
  }
}

/** Whether something changes by time alone. */
export function lockTicks(lock: Lock): boolean {
  return lock.at === "working" || (lock.at === "asked" && lock.waitMs > 0);
}

export function lockTick(lock: Lock, elapsedMs: number): Lock {
  if (lock.at === "working") return { ...lock, elapsedMs: lock.elapsedMs + elapsedMs };
  if (lock.at !== "asked" || lock.waitMs === 0) return lock;
  const waitMs = Math.max(0, lock.waitMs - elapsedMs);
  // What was wrong has been read when the wait is over.
  return { ...lock, waitMs, refused: waitMs === 0 ? undefined : lock.refused };
}
