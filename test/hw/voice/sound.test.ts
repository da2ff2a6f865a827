import assert from "node:assert/strict";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { MessageChannel } from "node:worker_threads";
import { FakeSound } from "@feldfon/voice/fake-sound";
import { FileSound, readSpeech } from "@feldfon/voice/file-sound";
import { PageSound } from "@feldfon/voice/page-sound";
import type { Sound } from "@feldfon/voice/sound";
import { encodeWav, parseWav } from "@feldfon/voice/wav";
import { joined, largest, speech } from "./signals.ts";

let folder: string;
before(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "feldfon-sound-"));
});
after(() => rm(folder, { recursive: true }));

async function file(name: string, samples: Int16Array, rateHz = 16_000): Promise<string> {
  const at = path.join(folder, name);
  await writeFile(at, encodeWav(samples, rateHz));
  return at;
}

/** What one says into a board's microphone, and what one hears from its speaker. */
interface Board {
  sound: Sound;
  say(samples: Int16Array): Promise<void>;
  heard(): Promise<Int16Array>;
}

const boards: Record<string, () => Promise<Board>> = {
  "fake sound": async () => {
    const sound = new FakeSound();
    return { sound, say: async (samples) => sound.say(samples), heard: async () => sound.heard };
  },
  "file sound": async () => {
    const sound = new FileSound(assert.fail);
    const recording = path.join(folder, "heard.wav");
    await sound.record(recording);
    let files = 0;
    return {
      sound,
      say: async (samples) => void (await sound.say(await file(`said-${files++}.wav`, samples))),
      heard: async () => {
        await sound.stopRecording();
        return Int16Array.from(parseWav(await readFile(recording)).samples);
      },
    };
  },
  "page sound": async () => {
    const { port1, port2 } = new MessageChannel();
    const sound = new PageSound(port1);
    const heard: Int16Array[] = [];
    let taken = 0;
    port2.on("message", (message: unknown) => {
      if (message instanceof Int16Array) heard.push(message);
      else taken++;
    });
    return {
      sound,
      say: async (samples) => {
        const frames = Math.ceil(samples.length / 320);
        const before = taken;
        for (let frame = 0; frame < frames; frame++) {
          const part = new Int16Array(320);
          part.set(samples.subarray(frame * 320, (frame + 1) * 320));
          port2.postMessage(part);
        }
        while (taken < before + frames) await new Promise((resolve) => setTimeout(resolve, 1));
        // A speech begins after the delay that evens a browser's frames out.
        await new Promise((resolve) => setTimeout(resolve, 45));
      },
      heard: async () => {
        await new Promise((resolve) => setTimeout(resolve, 20));
        return joined(...heard);
      },
    };
  },
};

for (const [name, makeBoard] of Object.entries(boards)) {
  describe(`Sound: ${name}`, () => {
    let board: Board;
    beforeEach(async () => {
      board = await makeBoard();
    });
    afterEach(() => board.sound.close());
    const listen = (frames: number) => joined(...Array.from({ length: frames }, () => board.sound.listen()));

    it("hears silence, 320 samples at a time, when nobody speaks", () => {
      assert.deepEqual(board.sound.listen(), new Int16Array(320));
    });

    it("hears what is said, from the moment somebody listens", async () => {
      const said = speech(1, 960);
      await board.say(said);
      assert.deepEqual(listen(4), joined(said, new Int16Array(320)));
    });

    it("hears one speech after the other", async () => {
      const [first, second] = [speech(2, 640), speech(3, 320)];
      await board.say(first);
      await board.say(second);
      assert.deepEqual(listen(3), joined(first, second));
    });

    it("fills the last frame with silence", async () => {
      await board.say(speech(4, 500));
      assert.deepEqual(listen(2), joined(speech(4, 500), new Int16Array(140)));
    });

    it("plays what it is given, and keeps no frame of the caller's", async () => {
      const frame = speech(5, 320);
      board.sound.play(frame);
      board.sound.play(frame.fill(9));
      assert.deepEqual(await board.heard(), joined(speech(5, 320), new Int16Array(320).fill(9)));
    });

    it("gives frames that are the listener's own", async () => {
      await board.say(speech(6, 640));
      board.sound.listen().fill(1);
      assert.deepEqual(board.sound.listen(), speech(6, 640).subarray(320));
    });
  });
}

describe("Sound: the fake's physics", () => {
  it("has its speaker in front of its microphone", () => {
    const sound = new FakeSound({ gain: 0.5, delayFrames: 2 });
    const played = speech(7, 320).map((sample) => sample * 2);
    const heard: Int16Array[] = [];
    for (const frame of [played, new Int16Array(320), new Int16Array(320)]) {
      sound.play(frame);
      heard.push(sound.listen());
    }
    assert.deepEqual(heard, [new Int16Array(320), new Int16Array(320), speech(7, 320)]);
  });
});

describe("Sound: a page", () => {
  const frame = (value: number) => new Int16Array(320).fill(value);
  const turn = () => new Promise((resolve) => setTimeout(resolve, 10));

  it("waits two frames for the first one of a speech, so that late ones are in time", async () => {
    const { port1, port2 } = new MessageChannel();
    let nowMs = 1_000;
    const sound = new PageSound(port1, () => nowMs);
    port2.postMessage(frame(1));
    await turn();
    assert.deepEqual(sound.listen(), frame(0));
    nowMs += 20;
    port2.postMessage(frame(2));
    await turn();
    assert.deepEqual(sound.listen(), frame(0));
    nowMs += 20;
    assert.deepEqual([sound.listen(), sound.listen(), sound.listen()], [frame(1), frame(2), frame(0)]);
    await sound.close();
  });

  it("never says what is older than 100 ms, and takes nothing that is no frame", async () => {
    const { port1, port2 } = new MessageChannel();
    let nowMs = 0;
    const sound = new PageSound(port1, () => nowMs);
    for (let value = 1; value <= 20; value++) port2.postMessage(frame(value));
    for (const odd of [new Int16Array(319), new Uint8Array(640), "text", null, {}]) port2.postMessage(odd);
    await turn();
    nowMs = 1_000;
    assert.deepEqual(
      Array.from({ length: 6 }, () => sound.listen()[0]),
      [16, 17, 18, 19, 20, 0],
    );
    await sound.close();
  });

  it("lets go of what a page does not take, and goes on when it does", async () => {
    const { port1, port2 } = new MessageChannel();
    const sound = new PageSound(port1);
    const heard: number[] = [];
    port2.on("message", (message: Int16Array) => heard.push(message[0]!));
    for (let value = 0; value < 60; value++) sound.play(frame(value));
    await turn();
    assert.equal(heard.length, 25);
    port2.postMessage(25);
    await turn();
    sound.play(frame(99));
    await turn();
    assert.deepEqual([heard.length, heard.at(-1)], [26, 99]);
    await sound.close();
  });
});

describe("Sound: files", () => {
  it("are said at 16 kHz, whatever rate they have, without a step between frames", async () => {
    const spoken = await readSpeech(await file("voice.wav", speech(8, 44_100, 44_100), 44_100));
    assert.equal(spoken.length, 16_000);
    assert.ok(largest(spoken) > 5000);
    const sound = new FileSound(assert.fail);
    assert.equal(await sound.say(path.join(folder, "voice.wav")), 1000);
    assert.ok(sound.speaking);
    const frames = Array.from({ length: 50 }, () => sound.listen());
    assert.deepEqual(joined(...frames), spoken);
    assert.ok(!sound.speaking);
  });

  it("are refused when they are not there, or not WAV", async () => {
    const sound = new FileSound(assert.fail);
    await assert.rejects(sound.say(path.join(folder, "none.wav")), { name: "DeviceError", code: "no-file" });
    const text = path.join(folder, "text.wav");
    await writeFile(text, "not a sound");
    await assert.rejects(sound.say(text), { name: "DeviceError", code: "bad-wav" });
    await assert.rejects(readSpeech(folder), { name: "DeviceError", code: "no-file" });
  });

  it("are recorded one after the other, each whole", async () => {
    const sound = new FileSound(assert.fail);
    const [first, second] = [path.join(folder, "1.wav"), path.join(folder, "2.wav")];
    sound.play(speech(9, 320));
    await sound.record(first);
    sound.play(speech(10, 320));
    await sound.record(second);
    sound.play(speech(11, 320));
    await sound.close();
    sound.play(speech(12, 320));
    assert.deepEqual(await readSpeech(first), speech(10, 320));
    assert.deepEqual(await readSpeech(second), speech(11, 320));
  });

  it("tell when a recording breaks off, and the sound goes on", async () => {
    const errors: string[] = [];
    const sound = new FileSound(({ code }) => errors.push(code));
    await sound.record("/dev/full");
    sound.play(new Int16Array(320));
    assert.deepEqual(sound.listen(), new Int16Array(320));
    await sound.close();
    assert.deepEqual(errors, ["record-failed"]);
  });
});
