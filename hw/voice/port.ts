/**
 * The voice, as the firmware sees it: keys in, sealed packets out and in. No sound passes through here, so the native
 * engine replaces the one behind it and moves no wall (design 6).
 */
import type { MediaProfile, Slot, Vault } from "@feldfon/protocol/vault";

/**
 * What the ear hears besides a voice, each told apart by its rhythm. `pips`, `ringback`, `ring`, `busy` and `congestion`
 * go on until `none`, the others end by themselves.
 */
export type Tone =
  | "none"
  | "pips"
  | "ringback"
  | "ring"
  | "busy"
  | "congestion"
  | "unobtainable"
  | "declined"
  | "silent"
  | "offline"
  | "self"
  | "lost"
  | "ended"
  | "alarm"
  | "click"
  | "refused";

/** One call's voice, from the moment its keys stand. */
export interface VoiceSession {
  vault: Vault;
  /** Both slots are taken over: `stop` wipes them, nobody else uses them from `start` on. */
  send: Slot<"packet-seal">;
  receive: Slot<"packet-open">;
  sendProfile: MediaProfile;
  receiveProfile: MediaProfile;
  /** One sealed packet, every 20 ms while the microphone is open. The buffer is the listener's. */
  onPacket(packet: Buffer): void;
  /** Once: the first packet of the other side has opened. */
  onFirstVoice(): void;
  /** The callee's stays shut until the ACK has been checked (design 4, call). */
  microphone: "open" | "shut";
}

/** Of the running call, or of the last one. Packets, unless said otherwise. */
export interface VoiceStatistics {
  sent: number;
  /** Opened and in time or not. */
  received: number;
  /** Never came; silence was played in their place. */
  lost: number;
  /** Came after their moment, or far too many at once, and were let go. */
  late: number;
  /** Tag wrong: another key, another call, or somebody tried. */
  forged: number;
  /** Came twice, or are older than the replay window. */
  replayed: number;
  /** Not a packet of this direction by its form: length, header, SSRC. */
  malformed: number;
  /** Distinct lengths in bytes, sent and received, ascending. More than one gives speech away (RFC 6562). */
  packetSizes: number[];
}

export interface VoicePort {
  /** Takes the session's slots over. @throws {VaultError} when the vault refuses them; both are wiped then */
  start(session: VoiceSession): void;
  /** From now on what is said is sent. */
  openMicrophone(): void;
  /**
   * One packet as the wire brought it, in whatever order; what is not good is counted and let go.
   *
   * @returns whether it opened, for the first time: whoever sent it holds this call's key
   */
  receive(packet: Uint8Array): boolean;
  /** Sends silence of the same length instead of the microphone. */
  mute(on: boolean): void;
  /** 0..100; 100 plays samples as they came. */
  volume(percent: number): void;
  /** One at a time, with or without a call. */
  tone(tone: Tone): void;
  statistics(): VoiceStatistics;
  /** Ends the call's voice and wipes its keys; a tone goes on. Stopping twice is harmless. */
  stop(): void;
  /** Lets go of microphone and speaker as well. */
  close(): Promise<void>;
}
