/**
 * Errors that cross a boundary. Each has a short `code` for programs and a sentence for people that says what came
 * and what was expected. Neither holds keys, contents or names.
 */

/** A rule of the protocol is broken: the conversation (or the line) ends with its secrets, the process goes on. */
export class ProtocolError extends Error {
  override readonly name = "ProtocolError";
  readonly code: string;

  constructor(code: string, sentence: string, options?: { cause?: unknown }) {
    super(sentence, options);
    this.code = code;
  }
}

/** The vault refused or failed: the ground gave way. */
export class VaultError extends Error {
  override readonly name = "VaultError";
  readonly code: string;

  constructor(code: string, sentence: string, options?: { cause?: unknown }) {
    super(sentence, options);
    this.code = code;
  }
}

/** A device is missing, silent or broken: the rest goes on and the handset says what failed and what to do. */
export class DeviceError extends Error {
  override readonly name = "DeviceError";
  readonly code: string;

  constructor(code: string, sentence: string, options?: { cause?: unknown }) {
    super(sentence, options);
    this.code = code;
  }
}
