/**
 * The telephone in the line thread: commands in, events out. Holds the uplink, the calls, the verified directory and the
 * voice, and turns what the protocol says into what the hand shows.
 *
 *     command -> Telephone -> HandsetLine, HandsetCalls -> uplink -> server
 *     event   <- Telephone <- HandsetLine, HandsetCalls, VoicePort
 */
import { type Change, Follower } from "@feldfon/protocol/directory/follower";
import { readSignedHead, type SignedHead } from "@feldfon/protocol/directory/tree-head";
import { type DeviceError, ProtocolError } from "@feldfon/protocol/errors";
import type { PublicKey, Uid } from "@feldfon/protocol/identity";
import { mediaProfile } from "@feldfon/protocol/media/profile";
import type { PhoneEvent } from "@feldfon/protocol/phone/events";
import { HandsetCalls } from "@feldfon/protocol/phone/handset-calls";
import { HandsetLine } from "@feldfon/protocol/phone/handset-line";
import type { Passed } from "@feldfon/protocol/phone/line";
import type { KeyPair, Vault } from "@feldfon/protocol/vault";
import type { VoicePort } from "@feldfon/voice/port";
import type { ChangesShown, Command, ContactShown, DirectoryShown, LineEvent } from "../handset/link.ts";
import { DirectWay } from "./direct-way.ts";
import { type LineBegin, Uplink } from "./uplink.ts";
import { RelayWay, type Way } from "./voice-path.ts";

/** Without a valid packet for this long a call is over (design 4). */
export const NO_VOICE_MS = 30_000;
const STATISTICS_MS = 1_000;
/** Voice that overtook the ACK: one second of it. */
const MOST_EARLY_PACKETS = 50;

export interface TelephoneOptions {
  vault: Vault;
  keyPair: KeyPair;
  own: { uid: Uid; name: string; key: PublicKey };
  serverUid: Uid;
  host: string;
  port: number;
  enrolmentCode: string;
  /** Voice may go straight to a handset that allows it too, which learns this one's address. Off unless it is set. */
  direct?: boolean;
  voice: VoicePort;
  /** The head accepted last, and where evidence goes; both survive a power cut. */
  keep: {
    lastHead(): { bytes: Buffer; signature: Buffer } | undefined;
    saveHead(head: SignedHead): void;
    saveEvidence(bytes: Buffer): string;
  };
  now(): number;
  random(): number;
  tell(event: LineEvent): void;
  passed(message: Passed): void;
}

export type TelephoneCommand = Extract<Command, { do: "connect" | "leave" | "call" | "answer" | "hang-up" | "update" }>;

/** One call while it has voice. */
interface Talk {
  callId: string;
  peer: Uid;
  sas: readonly number[];
  began: boolean;
  receivedPackets: number;
  heardAtMs: number;
  toldAtMs: number;
}

export class Telephone {
  readonly #options: TelephoneOptions;
  readonly #uplink: Uplink;
  #follower: Follower | undefined;
  #calls: HandsetCalls | undefined;
  #talk: Talk | undefined;
  #way: { way: Way; direct: DirectWay | undefined; early: Buffer[] } | undefined;
  #callBeganMs = 0;
  #beganMs = 0;

  constructor(options: TelephoneOptions) {
    this.#options = options;
    const { vault, keyPair, own, serverUid, host, port, now, random } = options;
    this.#uplink = new Uplink({
      vault,
      keyPair,
      own: own.uid,
      serverUid,
      host,
      port,
      now,
      random,
      begin: (line) => this.#begin(line),
      connecting: (resuming) => {
        this.#beganMs = now();
        options.tell({ event: "connecting", resuming });
      },
      exchanged: () => options.tell({ event: "step", step: "1", ms: now() - this.#beganMs }),
      down: (code, retryInMs, error) => this.#down(code, retryInMs, error),
      passed: options.passed,
      tick: () => this.#tick(),
    });
  }

  /** The commands that need the key. Nothing here throws for what a person may press. */
  command(command: TelephoneCommand): void {
    switch (command.do) {
      case "connect":
        return this.#uplink.start();
      case "leave":
        return this.#leave();
      case "call":
        return this.#dial(command.uid);
      case "answer":
        void this.#calls?.accept();
        return;
      case "hang-up":
        return this.#calls?.hangUp();
      case "update":
        return this.#update();
      default:
        command satisfies never;
    }
  }

  /** Leaves in order, as far as the line allows within a second. */
  async close(): Promise<void> {
    this.#calls?.hangUp();
    const line = this.#uplink.line;
    if (line?.ready) {
      const left = new Promise<void>((resolve) => {
        this.#onLeft = resolve;
        setTimeout(resolve, 1_000);
      });
      line.leave();
      await left;
    }
    this.#uplink.stop();
    this.#calls?.endAll();
    this.#stopTalk();
    this.#closeWay();
  }

  #onLeft: (() => void) | undefined;

  #begin({ channel, serverKey, callId, usedCSeq, resumed, outlet }: LineBegin): HandsetLine {
    const { vault, keyPair, own, enrolmentCode, now } = this.#options;
    this.#follower ??= this.#newFollower(serverKey);
    const follower = this.#follower;
    this.#calls ??= new HandsetCalls({
      vault,
      keyPair,
      own: own.uid,
      serverKey,
      follower,
      now,
      tell: (event) => this.#happened(event),
    });
    // A new line without a ticket is a new connection: a call from before it is over.
    if (!resumed) this.#calls.endAll();
    return new HandsetLine({
      vault,
      keyPair,
      own,
      follower,
      calls: this.#calls,
      enrolmentCode,
      resumed,
      channel,
      callId,
      usedCSeq,
      outlet,
      now,
      tell: (event) => this.#happened(event),
    });
  }

  #newFollower(serverKey: PublicKey): Follower {
    const { own, keep } = this.#options;
    const kept = keep.lastHead();
    const last = kept && readSignedHead(kept.bytes, kept.signature, serverKey);
    return new Follower({ serverKey, own, last });
  }

  #dial(uid: Uid): void {
    const calls = this.#calls;
    if (!calls) return this.#refusedHere(uid, "not-connected");
    calls.dial(uid).catch((error: unknown) => {
      if (!(error instanceof ProtocolError)) throw error;
      this.#refusedHere(uid, error.code);
    });
  }

  /** The call never began: told in the same form as one that ended. */
  #refusedHere(uid: Uid, code: string): void {
    const { tell } = this.#options;
    const peer = this.#contact(uid);
    tell({ event: "dialling", callId: "", peer });
    const why = code === "self" ? "self" : code === "unknown-contact" ? "unknown" : "unavailable";
    tell({ event: "ended", callId: "", why, erased: "none", durationMs: 0 });
  }

  #update(): void {
    const { tell } = this.#options;
    try {
      const line = this.#uplink.line;
      if (!line) throw new ProtocolError("not-connected", "an update needs a line");
      line.update();
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      tell({ event: "update-failed", code: error.code });
    }
  }

  #leave(): void {
    const line = this.#uplink.line;
    this.#calls?.hangUp();
    if (line?.ready) return line.leave();
    this.#uplink.stop();
    this.#calls?.endAll();
    this.#options.tell({ event: "disconnected", code: "left" });
  }

  #down(code: string, retryInMs: number | undefined, error: unknown): void {
    const { tell } = this.#options;
    this.#keepEvidence(error);
    if (this.#uplink.resumable) this.#calls?.lineLost();
    else this.#calls?.endAll();
    tell(retryInMs === undefined ? { event: "disconnected", code } : { event: "disconnected", code, retryInMs });
  }

  #keepEvidence(error: unknown): void {
    if (!(error instanceof Error && "evidence" in error && error.evidence instanceof Uint8Array)) return;
    this.#evidence(Buffer.from(error.evidence));
  }

  #evidence(bytes: Buffer): void {
    this.#options.tell({ event: "evidence", file: this.#options.keep.saveEvidence(bytes) });
  }

  /** One event of the protocol; nothing secret leaves this thread. */
  #happened(event: PhoneEvent): void {
    const { tell, now, vault, keep } = this.#options;
    switch (event.event) {
      case "step":
        return tell({ event: "step", step: event.step, ms: now() - this.#beganMs });
      case "connected": {
        this.#uplink.connected();
        if (event.change) keep.saveHead(event.change.head);
        this.#way?.way.renew();
        const { protection } = vault.status();
        return tell({ event: "connected", resumed: !event.change, directory: this.#directory(), protection });
      }
      case "directory":
        keep.saveHead(event.change.head);
        return tell({ event: "directory", directory: this.#directory(), changes: shown(event.change) });
      case "updating":
        return tell({ event: "updating", step: event.step });
      case "updated": {
        const { oldRoot, newRoot, serverRoot } = event;
        const changes = event.change ? shown(event.change) : NO_CHANGES;
        return tell({ event: "updated", oldRoot, newRoot, same: serverRoot === newRoot, changes });
      }
      case "update-failed":
        return tell({ event: "update-failed", code: event.code });
      case "left":
        if (event.by === "server") return;
        this.#uplink.stop();
        this.#calls?.endAll();
        tell({ event: "disconnected", code: "left" });
        return this.#onLeft?.();
      case "evidence":
        return this.#evidence(event.bytes);
      case "dialling":
      case "incoming":
        this.#callBeganMs = now();
        return tell({ event: event.event, callId: event.callId, peer: this.#contact(event.peer) });
      case "rings":
        return tell({ event: "rings", callId: event.callId });
      case "relay":
        return this.#openWay(event);
      case "agreed":
        return this.#startTalk(event);
      case "way-told":
        return this.#way?.direct?.told(event.candidates);
      case "release":
        return this.#stopTalk();
      case "ended": {
        const { callId, why, erased } = event;
        this.#stopTalk();
        this.#closeWay();
        return tell({ event: "ended", callId, why, erased, durationMs: now() - this.#callBeganMs });
      }
    }
  }

  /** Opened while it rings, so that no word is lost at the beginning. */
  #openWay({ callId, id, key }: Extract<PhoneEvent, { event: "relay" }>): void {
    const { vault, voice, port, host, tell } = this.#options;
    const failed = (error: DeviceError): void => tell({ event: "device-failed", device: "sound", code: error.code });
    const early: Buffer[] = [];
    const way = new RelayWay({
      vault,
      host: this.#uplink.serverAddress ?? host,
      port,
      relayId: id,
      key,
      onPacket: (packet) => {
        if (this.#talk) voice.receive(packet);
        else if (early.length < MOST_EARLY_PACKETS) early.push(packet);
      },
      onError: failed,
    });
    const direct = this.#options.direct ? this.#directWay(callId, way) : undefined;
    this.#closeWay();
    this.#way = { way, direct, early };
    way.open().catch((error: DeviceError) => failed(error));
  }

  #directWay(callId: string, way: RelayWay): DirectWay {
    const direct = new DirectWay({
      way,
      open: (packet) => this.#talk?.callId === callId && this.#options.voice.receive(packet),
      tell: (candidates) => this.#calls?.tellWay(callId, candidates) ?? false,
    });
    way.share(direct);
    return direct;
  }

  #closeWay(): void {
    this.#way?.way.close();
    this.#way = undefined;
  }

  /** Source: seed 000, call 2.3: voice both ways under this call's keys. */
  #startTalk(agreed: Extract<PhoneEvent, { event: "agreed" }>): void {
    const { vault, voice, now } = this.#options;
    const { callId, own, keys } = agreed;
    const nowMs = now();
    const talk: Talk = {
      callId,
      peer: agreed.peer,
      sas: agreed.sas,
      began: false,
      receivedPackets: 0,
      heardAtMs: nowMs,
      toldAtMs: nowMs,
    };
    this.#talk = talk;
    voice.start({
      vault,
      send: keys.media.send,
      receive: keys.media.receive,
      sendProfile: mediaProfile(keys.th, own),
      receiveProfile: mediaProfile(keys.th, own === "A" ? "B" : "A"),
      onPacket: (packet) => (this.#way?.direct ?? this.#way?.way)?.send(packet),
      onFirstVoice: () => this.#voiceCame(talk),
      microphone: "open",
    });
    // The callee has checked the ACK; the caller is in the call once it hears the callee.
    if (own === "B") this.#voiceCame(talk);
    // The caller's first words may have overtaken its ACK, which took another way.
    for (const packet of this.#way?.early.splice(0) ?? []) voice.receive(packet);
  }

  #voiceCame(talk: Talk): void {
    if (talk.began || this.#talk !== talk) return;
    talk.began = true;
    this.#callBeganMs = this.#options.now();
    const { callId, sas } = talk;
    this.#options.tell({ event: "in-call", callId, peer: this.#contact(talk.peer), sas });
  }

  /** The engine and the way wipe what they hold. */
  #stopTalk(): void {
    const talk = this.#talk;
    if (!talk) return;
    this.#tellVoice(talk);
    this.#talk = undefined;
    this.#options.voice.stop();
  }

  #tick(): void {
    const { now } = this.#options;
    const nowMs = now();
    if (!this.#uplink.line && !this.#uplink.resumable) this.#calls?.endAll();
    this.#calls?.tick(nowMs);
    const talk = this.#talk;
    if (!talk) return;
    const { received } = this.#options.voice.statistics();
    if (received !== talk.receivedPackets) talk.heardAtMs = nowMs;
    talk.receivedPackets = received;
    if (nowMs - talk.toldAtMs >= STATISTICS_MS) this.#tellVoice(talk);
    if (nowMs - talk.heardAtMs > NO_VOICE_MS) this.#calls?.noVoice(talk.callId);
  }

  #tellVoice(talk: Talk): void {
    const { voice, tell, now } = this.#options;
    const { sent, received, lost, packetSizes } = voice.statistics();
    const serverLine = this.#uplink.line?.ready ?? false;
    const way = this.#way?.direct?.proven ? "direct" : "relay";
    talk.toldAtMs = now();
    tell({ event: "voice", callId: talk.callId, sent, received, lost, packetSizes, serverLine, way });
  }

  #contact(uid: Uid): ContactShown {
    const { own } = this.#options;
    const rows = this.#follower?.rows ?? [];
    const index = rows.findIndex((row) => row.uid === uid);
    return { id: index - 1, uid, name: rows[index]?.name ?? "", own: uid === own.uid };
  }

  #directory(): DirectoryShown {
    const { own } = this.#options;
    const follower = this.#follower;
    const head = follower?.head?.head;
    if (!follower || !head)
      throw new ProtocolError("not-connected", "a directory was to be shown before the first one");
    return {
      epoch: head.epoch,
      timeMs: head.timeMs,
      seedRoot: head.seedRoot.toString("hex"),
      directoryRoot: head.dirRoot.toString("hex"),
      contacts: follower.rows
        .slice(1)
        .map((row, id) => ({ id, uid: row.uid, name: row.name, own: row.uid === own.uid })),
    };
  }
}

const NO_CHANGES: ChangesShown = { joined: [], left: [], renamed: [], newKey: [] };

function shown({ joined, left, renamed, rekeyed }: Change): ChangesShown {
  return {
    joined: joined.map((row) => row.name),
    left: left.map((row) => row.name),
    renamed: renamed.map(({ from, to }) => ({ from: from.name, to: to.name })),
    newKey: rekeyed.map(({ to }) => to.name),
  };
}
