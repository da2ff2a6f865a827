import assert from "node:assert/strict";
import { parseRtpHeader } from "@feldfon/protocol/media/packet";
import type { MediaProfile } from "@feldfon/protocol/vault";
import { testingVault } from "@feldfon/vault/testing";
import { VoiceEngine } from "@feldfon/voice/engine";
import { type Echo, FakeSound } from "@feldfon/voice/fake-sound";
import type { VoiceSession } from "@feldfon/voice/port";
import { compareVoice } from "@feldfon/voice/snr";
import sinon from "sinon";
import { largest, largestStep, peakAt, speech } from "./signals.ts";

const masters = { A: Buffer.alloc(44, 1), B: Buffer.alloc(44, 2) };
type Side = keyof typeof masters;

function profile(side: Side): MediaProfile {
  const salt = Buffer.alloc(32, 3);
  return { ssrc: side === "A" ? 1 : 2, ratchet: { salt, info: Buffer.from(`ratchet ${side}`) } };
}

function handset(side: Side, echo?: Echo) {
  const vault = testingVault();
  const sound = new FakeSound(echo);
  const engine = new VoiceEngine(sound);
  const sent: Buffer[] = [];
  const firstVoice = sinon.spy();
  const other = side === "A" ? "B" : "A";
  /** The wire: where packets go. */
  let wire: (packet: Buffer) => void = () => {};
  const session = (changes: Partial<VoiceSession> = {}): VoiceSession => ({
    vault,
    send: vault.import("packet-seal", masters[side]),
    receive: vault.import("packet-open", masters[other]),
    sendProfile: profile(side),
    receiveProfile: profile(other),
    onPacket: (packet) => {
      sent.push(packet);
      wire(packet);
    },
    onFirstVoice: firstVoice,
    microphone: "open",
    ...changes,
  });
  const connect = (to: (packet: Buffer) => void) => {
    wire = to;
  };
  return { vault, sound, engine, sent, firstVoice, session, connect };
}

/** Opens packets like the other side, without its engine. */
function openAll(packets: Buffer[], from: Side) {
  const vault = testingVault();
  const receiver = vault.srtpReceiver(vault.import("packet-open", masters[from]), profile(from));
  return packets.map((packet) => {
    const opened = receiver.open(packet);
    assert.ok(typeof opened === "object", `${opened}`);
    return opened;
  });
}

describe("Voice engine", () => {
  let clock: sinon.SinonFakeTimers;
  beforeEach(() => {
    clock = sinon.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] });
  });
  afterEach(() => clock.restore());

  /** Two handsets, each other's wire. */
  function call(lost: (n: number) => boolean = () => false) {
    const [a, b] = [handset("A"), handset("B")];
    let n = 0;
    a.connect((packet) => void (lost(n++) || b.engine.receive(packet)));
    b.connect((packet) => a.engine.receive(packet));
    return { a, b };
  }

  describe("in a call", () => {
    it("lets each hear what the other says, sample by sample, both at once", () => {
      const { a, b } = call();
      const [saidByA, saidByB] = [speech(1, 20_000), speech(2, 25_000)];
      a.sound.say(saidByA);
      b.sound.say(saidByB);
      a.engine.start(a.session());
      b.engine.start(b.session());
      clock.tick(2000);
      assert.equal(compareVoice(saidByA, b.sound.heard).snrDb, 99);
      assert.equal(compareVoice(saidByB, a.sound.heard).snrDb, 99);
      const { sent, received, lost, late, forged } = a.engine.statistics();
      assert.deepEqual(
        { sent, received, lost, late, forged },
        { sent: 100, received: 100, lost: 0, late: 0, forged: 0 },
      );
    });

    it("goes on over the turn of the key after 3,000 packets", () => {
      const { a, b } = call();
      for (const { vault } of [a, b]) vault.mediaStart = 2980;
      const said = speech(3, 16_000);
      a.sound.say(said);
      a.engine.start(a.session());
      b.engine.start(b.session());
      clock.tick(2000);
      assert.equal(parseRtpHeader(a.sent.at(-1)!)?.sequence, 3079);
      assert.equal(compareVoice(said, b.sound.heard).snrDb, 99);
      assert.equal(b.engine.statistics().forged, 0);
    });

    it("sends one packet size, whatever is said, in silence and mute too", () => {
      const { a } = call();
      a.sound.say(speech(4, 3200));
      a.engine.start(a.session());
      clock.tick(400);
      a.engine.mute(true);
      clock.tick(400);
      assert.equal(a.sent.length, 40);
      assert.deepEqual(a.engine.statistics().packetSizes, [668]);
      assert.deepEqual(new Set(a.sent.map(({ length }) => length)), new Set([668]));
    });

    it("sends 320 samples, s16 big-endian, stamped with the samples sent before", () => {
      const { a } = call();
      a.sound.say(Int16Array.of(0x0102, -2));
      a.engine.start(a.session());
      clock.tick(60);
      const opened = openAll(a.sent, "A");
      assert.deepEqual(
        opened.map(({ index, timestamp }) => [index, timestamp]),
        [
          [0, 0],
          [1, 320],
          [2, 640],
        ],
      );
      assert.equal(opened[0]!.payload.length, 640);
      assert.equal(opened[0]!.payload.toString("hex", 0, 6), "0102fffe0000");
    });

    it("sends nothing while the microphone is shut, and hears the other all the same", () => {
      const { a, b } = call();
      const [early, later] = [speech(5, 6400), speech(6, 6400)];
      a.sound.say(early);
      b.sound.say(later);
      a.engine.start(a.session());
      b.engine.start(b.session({ microphone: "shut" }));
      clock.tick(600);
      assert.equal(b.sent.length, 0);
      assert.equal(b.sound.framesTaken, 0, "nobody listens to the microphone");
      assert.equal(compareVoice(early, b.sound.heard).snrDb, 99);
      b.engine.openMicrophone();
      clock.tick(600);
      assert.equal(b.sent.length, 30);
      assert.equal(openAll(b.sent, "B")[0]!.timestamp, 0);
      assert.equal(compareVoice(later, a.sound.heard).snrDb, 99);
    });

    it("sends silence while muted, and never what was said then", () => {
      const { a, b } = call();
      const [secret, open] = [speech(7, 6400), speech(8, 6400)];
      a.sound.say(secret);
      a.engine.start(a.session());
      b.engine.start(b.session());
      a.engine.mute(true);
      clock.tick(400);
      a.sound.say(open);
      a.engine.mute(false);
      clock.tick(600);
      const muted = openAll(a.sent.slice(0, 20), "A");
      assert.ok(muted.every(({ payload }) => payload.every((byte) => byte === 0)));
      assert.equal(compareVoice(open, b.sound.heard).snrDb, 99);
      assert.ok(!compareVoice(secret, b.sound.heard).found);
    });

    it("tells once when the other's first packet has opened", () => {
      const { a, b } = call();
      b.engine.start(b.session());
      b.engine.receive(Buffer.alloc(668, 0x80));
      clock.tick(100);
      sinon.assert.notCalled(b.firstVoice);
      a.engine.start(a.session());
      clock.tick(200);
      sinon.assert.calledOnce(b.firstVoice);
    });

    it("plays silence for lost packets and counts each", () => {
      const { a, b } = call((n) => n % 10 === 7);
      const said = new Int16Array(32_000).fill(1000);
      a.sound.say(said);
      a.engine.start(a.session());
      b.engine.start(b.session());
      clock.tick(2000);
      a.engine.stop();
      clock.tick(200);
      assert.equal(b.engine.statistics().lost, 10);
      assert.equal(b.engine.statistics().received, 90);
      const gaps = b.sound.heard.filter((sample, at, heard) => sample === 0 && heard[at - 1] === 1000);
      assert.equal(gaps.length, 10 + 1, "and the end");
    });

    it("makes good what a busy moment cost: nothing is missing", () => {
      const { a, b } = call();
      const said = speech(9, 16_000);
      a.sound.say(said);
      a.engine.start(a.session());
      b.engine.start(b.session());
      clock.tick(300);
      clock.jump(170);
      clock.tick(1500);
      assert.equal(compareVoice(said, b.sound.heard).snrDb, 99);
    });

    it("refuses a second call before the first is over", () => {
      const { a } = call();
      a.engine.start(a.session());
      assert.throws(() => a.engine.start(a.session()), /running already/);
    });
  });

  describe("counts and does not play", () => {
    function talking() {
      const { a, b } = call();
      a.sound.say(speech(10, 3200));
      a.engine.start(a.session());
      clock.tick(200);
      b.engine.start(b.session());
      return { a, b, statistics: () => b.engine.statistics() };
    }

    it("packets with a byte changed, as forged or malformed", () => {
      const { a, b, statistics } = talking();
      for (let at = 0; at < 668; at++) {
        const changed = Buffer.from(a.sent[0]!);
        changed[at]! ^= 1;
        b.engine.receive(changed);
      }
      const { forged, malformed, received } = statistics();
      // First two bytes and SSRC are form; sequence, time stamp, voice and tag are under the tag.
      assert.deepEqual({ forged, malformed, received }, { forged: 662, malformed: 6, received: 0 });
      clock.tick(500);
      assert.equal(largest(b.sound.heard), 0);
    });

    it("packets that come twice, as replayed", () => {
      const { a, b, statistics } = talking();
      for (const packet of [...a.sent, ...a.sent]) b.engine.receive(packet);
      assert.equal(statistics().received, 10);
      assert.equal(statistics().replayed, 10);
    });

    it("its own packets thrown back", () => {
      const { a } = talking();
      for (const packet of a.sent) a.engine.receive(packet);
      assert.equal(a.engine.statistics().malformed, 10);
      assert.equal(a.engine.statistics().received, 0);
    });

    it("its own packets thrown back with the other's SSRC", () => {
      const { a } = talking();
      for (const packet of a.sent) {
        packet.writeUInt32BE(2, 8);
        a.engine.receive(packet);
      }
      assert.equal(a.engine.statistics().forged, 10);
    });

    it("packets of another call, as forged", () => {
      const { b, statistics } = talking();
      const stranger = testingVault();
      const sender = stranger.srtpSender(stranger.import("packet-seal", Buffer.alloc(44, 9)), profile("A"));
      b.engine.receive(sender.seal(Buffer.alloc(640), 0));
      assert.equal(statistics().forged, 1);
    });

    it("good packets of another length, as malformed", () => {
      const { b, statistics } = talking();
      const vault = testingVault();
      const sender = vault.srtpSender(vault.import("packet-seal", masters.A), profile("A"));
      b.engine.receive(sender.seal(Buffer.alloc(638), 0));
      assert.equal(statistics().malformed, 1);
      assert.deepEqual(statistics().packetSizes, [], "a length that was not taken is not one of ours");
      sinon.assert.notCalled(b.firstVoice);
    });

    it("rubbish", () => {
      const { b, statistics } = talking();
      for (const packet of [Buffer.alloc(0), Buffer.alloc(12), Buffer.alloc(1500, 0xff)]) b.engine.receive(packet);
      assert.equal(statistics().malformed, 3);
    });
  });

  describe("at the end", () => {
    it("wipes both keys and falls silent", () => {
      const { a, b } = call();
      a.engine.start(a.session());
      b.engine.start(b.session());
      assert.equal(a.vault.status().slotsInUse, 2);
      clock.tick(200);
      a.engine.stop();
      assert.equal(a.vault.status().slotsInUse, 0);
      clock.tick(200);
      const { sent, received } = a.engine.statistics();
      assert.deepEqual([sent, received, a.sent.length], [10, 10, 10]);
      assert.equal(b.engine.statistics().sent, 20, "the other side goes on");
      a.engine.stop();
    });

    it("keeps the last call's figures until the next one begins, with other keys", () => {
      const { a, b } = call((n) => n === 5);
      a.engine.start(a.session());
      b.engine.start(b.session());
      clock.tick(400);
      b.engine.stop();
      assert.equal(b.engine.statistics().lost, 1);
      b.engine.start(b.session());
      assert.equal(b.engine.statistics().lost, 0);
      assert.equal(b.engine.statistics().received, 0);
    });

    it("begins the next call without mute", () => {
      const { a } = call();
      a.engine.start(a.session());
      a.engine.mute(true);
      a.engine.stop();
      a.engine.start(a.session());
      a.sound.say(speech(11, 320));
      clock.tick(20);
      assert.ok(openAll(a.sent, "A")[0]!.payload.some((byte) => byte !== 0));
    });

    it("wipes both keys when the vault refuses one", () => {
      const { a } = call();
      for (const refused of ["send", "receive"] as const) {
        const session = a.session();
        a.vault.wipe(session[refused]);
        assert.throws(() => a.engine.start(session), { name: "VaultError" });
        assert.equal(a.vault.status().slotsInUse, 0);
      }
      assert.equal(clock.countTimers(), 0);
    });

    it("sets no timer when there is neither call nor tone", () => {
      const { a } = call();
      assert.equal(clock.countTimers(), 0);
      a.engine.start(a.session());
      clock.tick(100);
      a.engine.stop();
      clock.tick(100);
      assert.equal(clock.countTimers(), 0);
    });

    it("lets go of the sound", async () => {
      const { a } = call();
      a.engine.start(a.session());
      a.engine.tone("ring");
      await a.engine.close();
      assert.ok(a.sound.closed);
      assert.equal(a.vault.status().slotsInUse, 0);
      assert.equal(clock.countTimers(), 0);
    });

    it("takes whatever comes outside a call for nothing", () => {
      const { a } = call();
      a.engine.receive(Buffer.alloc(668, 0x80));
      a.engine.openMicrophone();
      a.engine.stop();
      assert.equal(a.engine.statistics().forged, 0);
    });
  });

  describe("plays", () => {
    it("tones without a call, until they are taken away", () => {
      const { engine, sound } = handset("A");
      engine.tone("busy");
      clock.tick(400);
      assert.ok(peakAt(425, sound.heard.subarray(320, 6400), 16_000) > 3500);
      engine.tone("none");
      clock.tick(100);
      const played = sound.heard.length;
      clock.tick(1000);
      assert.equal(sound.heard.length, played);
      assert.equal(clock.countTimers(), 0);
    });

    it("a tone that ends by itself", () => {
      const { engine, sound } = handset("A");
      engine.tone("ended");
      clock.tick(5000);
      assert.ok(Math.abs(sound.heard.length - 540 * 16) <= 640);
      assert.equal(clock.countTimers(), 0);
    });

    it("no click when a tone is taken away or changed in the middle of a note", () => {
      for (const next of ["none", "busy"] as const) {
        const { engine, sound } = handset("A");
        engine.tone("ended");
        // 425 Hz crosses zero every 20 ms and would not click anyway; 660 Hz is at -2,386 after three frames.
        clock.tick(70);
        engine.tone(next);
        clock.tick(110);
        const steepest = (2 * Math.PI * 4059) / 16_000;
        assert.ok(largestStep(sound.heard) < steepest * (next === "none" ? 670 : 660 + 425), next);
        engine.tone("none");
        clock.tick(110);
        assert.equal(sound.heard.at(-1), 0);
      }
    });

    it("the same tone on when it is asked for again", () => {
      const { engine, sound } = handset("A");
      engine.tone("busy");
      for (let n = 0; n < 8; n++) {
        clock.tick(100);
        engine.tone("busy");
      }
      assert.equal(largest(sound.heard.subarray(16 * 520, 16 * 760)), 0, "its pause came");
    });

    it("a tone and a voice together", () => {
      const { a, b } = call();
      a.sound.say(new Int16Array(16_000).fill(2000));
      a.engine.start(a.session());
      b.engine.start(b.session());
      b.engine.tone("busy");
      clock.tick(400);
      const both = b.sound.heard.subarray(3200, 4800);
      assert.ok(peakAt(425, both, 16_000) > 3500);
      const mean = both.reduce((sum, sample) => sum + sample, 0) / both.length;
      assert.ok(Math.abs(mean - 2000) < 100, `${mean}`);
    });

    it("as loud as it is told, and everything as it came at 100", () => {
      const { a, b } = call();
      a.sound.say(new Int16Array(64_000).fill(2000));
      a.engine.start(a.session());
      b.engine.start(b.session());
      const loudness = [100, 50, 0, 1000, -5].map((percent) => {
        b.engine.volume(percent);
        clock.tick(200);
        return b.sound.heard.at(-1);
      });
      assert.deepEqual(loudness, [2000, 500, 0, 2000, 0]);
    });

    it("nothing louder than there is", () => {
      const { a, b } = call();
      a.sound.say(new Int16Array(16_000).fill(32_700));
      a.engine.start(a.session());
      b.engine.start(b.session());
      b.engine.tone("ring");
      clock.tick(500);
      assert.equal(largest(b.sound.heard), 32_767);
      assert.ok(
        b.sound.heard.every((sample) => sample >= 0 || sample > -17_000),
        "no sample wraps round",
      );
    });

    it("what comes back from the speaker into the microphone is heard at the other end, as in a room", () => {
      const a = handset("A");
      const b = handset("B", { gain: 0.5, delayFrames: 1 });
      a.connect((packet) => b.engine.receive(packet));
      b.connect((packet) => a.engine.receive(packet));
      const said = speech(12, 6400).map((sample) => 2 * sample);
      a.sound.say(said);
      a.engine.start(a.session());
      b.engine.start(b.session());
      clock.tick(1000);
      const echo = said.map((sample) => sample / 2);
      assert.equal(compareVoice(echo, a.sound.heard).snrDb, 99);
    });
  });
});
