/**
 * What the bench `call`'s peers say instead of SIP, and how their brokers pass it on: the first byte is the step, the
 * second the line it goes to, the rest is as long as the real message.
 *
 *     clear    u8 step | u8 line it goes to | zeros; in `trying` and at the end of a passed INVITE WRAP(512)
 */
export const STEPS = ["invite", "trying", "ringing", "answer", "ack", "bye", "gone"] as const;
/** In the order of a call; all are passed on but `trying`, the broker's own answer to an `invite`. */
export type Step = (typeof STEPS)[number];
/** Bytes of the clear text of each step, on its way to the broker and from it. */
export type StepBytes = Record<Step, { in: number; out: number }>;

/** Between ringing and answer, here as with the product's handsets. */
export const PICK_UP_MS = 5;
const WRAP_BYTES = 512;

/** A line, seen from either end. */
export interface PeerLine {
  send(clear: Buffer): void;
}

/** A handset's line at a broker. */
export interface BrokerEnd extends PeerLine {
  /** 48 random bytes for both: OAEP, and wiped. */
  wrapFor(other: this): { own: Buffer; other: Buffer };
}

export class PeerBroker<End extends BrokerEnd> {
  readonly #stepBytes: StepBytes;
  readonly #ends: End[] = [];

  constructor(stepBytes: StepBytes) {
    this.#stepBytes = stepBytes;
  }

  /** @returns number of the line */
  add(end: End): number {
    return this.#ends.push(end) - 1;
  }

  pass(from: End, clear: Buffer): void {
    const to = this.#ends[clear[1]!]!;
    const step = STEPS[clear[0]!]!;
    const passed = Buffer.alloc(this.#stepBytes[step].out);
    clear.copy(passed);
    if (step === "invite") {
      const wrapped = from.wrapFor(to);
      const trying = Buffer.alloc(this.#stepBytes.trying.out);
      trying[0] = STEPS.indexOf("trying");
      wrapped.own.copy(trying, trying.length - WRAP_BYTES);
      wrapped.other.copy(passed, passed.length - WRAP_BYTES);
      from.send(trying);
    }
    to.send(passed);
  }
}

/** Sends as many bytes as a real handset at the same steps, and nothing with a meaning. */
export class PeerHandset {
  readonly #stepBytes: StepBytes;
  readonly #line: PeerLine;
  /** Of its line at the broker. */
  readonly #number: number;
  #other: PeerHandset | undefined;
  #over: (() => void) | undefined;

  constructor(stepBytes: StepBytes, line: PeerLine, number: number) {
    this.#stepBytes = stepBytes;
    this.#line = line;
    this.#number = number;
  }

  /** Calls, is answered, the other hangs up; resolves when both know. */
  call(other: PeerHandset): Promise<void> {
    this.#other = other;
    other.#other = this;
    this.#say("invite");
    return new Promise((resolve) => {
      other.#over = resolve;
    });
  }

  take(clear: Buffer): void {
    switch (STEPS[clear[0]!]) {
      case "invite":
        this.#say("ringing");
        setTimeout(() => this.#say("answer"), PICK_UP_MS);
        return;
      case "answer":
        return this.#say("ack");
      case "ack":
        return this.#say("bye");
      case "bye":
        return this.#say("gone");
      case "gone":
        return this.#over?.();
    }
  }

  #say(step: Step): void {
    const clear = Buffer.alloc(this.#stepBytes[step].in);
    clear[0] = STEPS.indexOf(step);
    clear[1] = this.#other!.#number;
    this.#line.send(clear);
  }
}
