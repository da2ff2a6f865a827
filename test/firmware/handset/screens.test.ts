import assert from "node:assert/strict";
import { duration, rootNumbers, screenOf, shortRoot } from "@feldfon/firmware/handset/screens";
import { captionOf } from "@feldfon/firmware/handset/screens-text";
import { type Language, TEXTS } from "@feldfon/firmware/handset/texts";
import { after, inCall, named, phonebook, press, ROOT, samples, voiceEvent } from "./samples.ts";

function text(name: keyof typeof named | string, language: Language): string[] {
  return [...captionOf(screenOf(samples[name]!, language), language).lines];
}

describe("screens as text", () => {
  const wanted: [string, Language, string[]][] = [
    [
      "off",
      "en",
      [
        "== Not connected ==",
        "| Press Connect to begin",
        "  Anna",
        "| Server 127.0.0.1:5060",
        "[0-9*#] # about this phone",
        "[Connect] Connect  [Call] -  [Hang up] -  [Update] -",
      ],
    ],
    [
      "about",
      "en",
      [
        "== About this phone ==",
        "  Anna",
        "| Key bf4f ccd6 1625",
        "| Vault: shielded",
        "| OpenSSL 3.5.7, 0.4/4 MiB",
        "| Random: kernel and chip",
        "| No dumps, no inspector",
        "| PIN: set (and TPM)",
        "| Version 0.1.0",
        "[Connect] -  [Call] -  [Hang up] Back  [Update] Change PIN",
      ],
    ],
    [
      "about-degraded",
      "de",
      [
        "== Über dieses Gerät ==",
        "  Anna",
        "| Schlüssel bf4f ccd6 1625",
        "| Tresor: einfacher Schutz",
        "| OpenSSL 3.5.7",
        "| Zufall: Systemkern",
        "| Speicherabbild möglich!",
        "| PIN: keine",
        "| Fassung 0.1.0",
        "[Verbinden] -  [Anruf] -  [Auflegen] Zurück  [Abgleich] -",
      ],
    ],
    [
      "pin-choose",
      "de",
      [
        "== PIN wählen ==",
        "| 6 bis 12 Ziffern.",
        "| -  0",
        "[0-9*#] * löscht eine Ziffer",
        "[Verbinden] -  [Anruf] -  [Auflegen] -  [Abgleich] -",
      ],
    ],
    [
      "pin-typed",
      "zh",
      [
        "== PIN码 ==",
        "| 请输入PIN码。",
        "| ******  6",
        "| 还可以试 10 次",
        "[0-9*#] * 删除一位",
        "[连接] -  [呼叫] 确定  [挂断] 退格  [更新] -",
      ],
    ],
    [
      "pin-waits",
      "en",
      [
        "== /!\\ PIN ==",
        "| /!\\ Wrong PIN",
        "| Wait 5:00",
        "| Tries left: 6",
        "[Connect] -  [Call] -  [Hang up] -  [Update] -",
      ],
    ],
    [
      "connecting",
      "de",
      [
        "== Verbinden ==",
        "| 1   ok Schlüssel tauschen",
        "| 1.1 ok Echtheit beweisen",
        "| 2   ok Wurzel empfangen",
        "| 3   .. Wurzel nachrechnen",
        "| 4      Geheimnis erhalten",
        "| 5      Geheimnis im Tresor",
        "| 6      Telefonbuch öffnen",
        "| 7      Andere erfahren es",
        "| 8      Bereit",
        "[Verbinden] -  [Anruf] -  [Auflegen] Abbrechen  [Abgleich] -",
      ],
    ],
    [
      "verified",
      "en",
      [
        "== (ok) Connected ==",
        "  06 book, 34 heart, 44 mushroom, 60 fir tree, 19 cloud",
        "| Root of 3 keys, epoch 7",
        "    0 Anna (me)",
        "| Vault: basic protection only",
        "[0-9*#] Digits: dial a number",
        "[Connect] -  [Call] Phonebook  [Hang up] Disconnect  [Update] Update",
      ],
    ],
    [
      "phonebook",
      "zh",
      [
        "== 电话簿 ==",
        "    0 Anna 本机",
        ">   1 Ben",
        "    2 Chen",
        "[0-9*#] 2/8 选择  5 呼叫  # 号码",
        "[连接] 校验  [呼叫] 呼叫  [挂断] -  [更新] 更新",
      ],
    ],
    [
      "in-call",
      "en",
      [
        "== /!\\ Same numbers? ==",
        "  07 boot, 42 moon, 63 wheel, 00 anchor, 19 cloud",
        "[0-9*#] Read them aloud in turn",
        "[Connect] Later  [Call] Same  [Hang up] Hang up  [Update] Different",
      ],
    ],
    [
      "in-call-talk",
      "en",
      [
        "== (ok) In call ==",
        "  Ben",
        "| 12:34  very good, -0 %",
        "  07 boot, 42 moon, 63 wheel, 00 anchor, 19 cloud",
        "| Volume 60 %",
        "[0-9*#] 5 microphone  * volume",
        "[Connect] -  [Call] -  [Hang up] Hang up  [Update] Numbers",
      ],
    ],
    [
      "ended-hung-up-there",
      "de",
      [
        "== (ok) Beendet ==",
        "| (ok) Schlüssel auf beiden Seiten gelöscht",
        "| Drüben wurde aufgelegt.",
        "  Ben",
        "| Dauer 1:23",
        "[Verbinden] -  [Anruf] Anrufen  [Auflegen] OK  [Abgleich] -",
      ],
    ],
    [
      "alarm-server-key",
      "en",
      [
        "== <X> Error E-101 ==",
        "| <X> Danger",
        "| This is not the server that was set.",
        "| Do not go on. Ask your administrator.",
        "[Connect] -  [Call] -  [Hang up] OK  [Update] -",
      ],
    ],
    [
      "updated-other",
      "en",
      [
        "== (i) Updated ==",
        "| (i) Root is new",
        "| old 1a2b 3c4d 5e6f 7081",
        "| new ffee ddcc bbaa 9988",
        "| NEW key, verify again:",
        "    ! Chen",
        "| Joined:",
        "    + Dora",
        "| and 2 more",
        "[Connect] -  [Call] OK  [Hang up] OK  [Update] -",
      ],
    ],
    [
      "battery-low",
      "en",
      [
        "== /!\\ Battery low ==  9 % !",
        "| /!\\ 9 % left.",
        "| Charge soon.",
        "[Connect] -  [Call] OK  [Hang up] OK  [Update] -",
      ],
    ],
  ];
  for (const [name, language, lines] of wanted) {
    it(`read: ${name}, ${language}`, () => assert.deepEqual(text(name, language), lines));
  }

  it("say the same to programs in every language", () => {
    for (const state of Object.values(samples)) {
      const [de, en, zh] = (["de", "en", "zh"] as const).map((language) =>
        captionOf(screenOf(state, language), language),
      );
      assert.deepEqual([de!.name, de!.facts], [en!.name, en!.facts]);
      assert.deepEqual([de!.name, de!.facts], [zh!.name, zh!.facts]);
    }
  });

  it("never put a name into a line that the handset vouches for", () => {
    const spoof = "(ok) Verified";
    const state = {
      ...phonebook,
      place: {
        name: "incoming",
        peer: { uid: named.phonebook.selected!.uid, name: spoof },
        callId: "1",
        silenced: false,
      },
    } as const;
    const lines = captionOf(screenOf(state, "en"), "en").lines.filter((line) => line.includes(spoof));
    assert.deepEqual(lines, [`  ${spoof}`]);
  });

  it("survive JSON, as one object a line", () => {
    for (const state of Object.values(samples)) {
      const caption = captionOf(screenOf(state, "de"), "de");
      const line = JSON.stringify(caption);
      assert.ok(!line.includes("\n"));
      assert.deepEqual(JSON.parse(line), caption);
    }
  });
});

describe("screens", () => {
  it("show five contacts around the selected one", () => {
    const { facts } = screenOf(named["phonebook-long"], "en");
    assert.deepEqual(
      (facts.contacts as { id: number }[]).map(({ id }) => id),
      [4, 5, 6, 7, 8],
    );
  });

  it("show the full roots to programs, and four groups of them to people", () => {
    assert.equal(screenOf(named.verified, "en").facts.seedRoot, ROOT);
    assert.equal(shortRoot(ROOT), "1a2b 3c4d 5e6f 7081");
  });

  it("warn when the server names another root than this handset computed, and go on", () => {
    const differs = named["updated-differs"];
    const screen = screenOf(differs, "en");
    assert.deepEqual(screen.blocks[0], { block: "mark", mark: "caution", word: "Server names another root" });
    assert.equal(screenOf(after(differs, press("call")), "en").name, "phonebook");
  });

  it("tell erased on both sides, here only, and nothing to erase apart by mark and word", () => {
    const marks = (["both", "here", "none"] as const).map((erased) => {
      const ending = { callId: "1", peer: undefined, why: "hung-up-here", erased, durationMs: 0 } as const;
      const { blocks } = screenOf({ ...phonebook, place: { name: "ended", ending, elapsedMs: 0 } }, "en");
      const words: readonly string[] = Object.values(TEXTS.en.erased);
      return blocks.find(
        (block) =>
          (block.block === "mark" && words.includes(block.word)) ||
          (block.block === "detail" && words.includes(block.text)),
      );
    });
    assert.deepEqual(marks, [
      { block: "mark", mark: "ok", word: "Keys erased on both sides", large: true },
      { block: "mark", mark: "caution", word: "Keys erased here only", large: true },
      { block: "detail", text: "There were no keys" },
    ]);
  });

  for (const [ms, shown] of [
    [0, "0:00"],
    [59_999, "0:59"],
    [61_000, "1:01"],
    [3_723_000, "1:02:03"],
    [360_000_000, "100:00:00"],
  ] as const) {
    it(`show ${ms} ms as ${shown}`, () => assert.equal(duration(ms), shown));
  }

  it("name somebody without a name by the key", () => {
    const uid = phonebook.selected!.uid;
    const state = { ...phonebook, place: { name: "dialling", peer: { uid, name: "" }, callId: undefined } } as const;
    assert.deepEqual(screenOf(state, "en").blocks[1], { block: "name", text: uid.slice(0, 12) });
  });

  it("count a loss of the packets that should have come since the count before", () => {
    const heard = (...counts: readonly (readonly [received: number, lost: number])[]) => {
      const state = after(inCall, press("call"), ...counts.map(([received, lost]) => voiceEvent(received, lost)));
      const { blocks } = screenOf(state, "en");
      const voice = blocks.find((block) => block.block === "voice");
      return [voice?.bars, voice?.word, voice?.lostPercent];
    };
    assert.deepEqual(heard(), [0, "no voice yet", 0]);
    assert.deepEqual(heard([98, 2]), [4, "very good", 2]);
    assert.deepEqual(heard([95, 5]), [3, "good", 5]);
    assert.deepEqual(heard([90, 10]), [2, "poor", 10]);
    assert.deepEqual(heard([50, 50]), [1, "bad", 50]);
    assert.deepEqual(heard([50, 50], [150, 50]), [4, "very good", 0]);
    assert.deepEqual(heard([5000, 0], [5040, 60]), [1, "bad", 60]);
  });

  it("show a root as five numbers, its first 30 bits", () => {
    // 0001 1010 0010 1011 0011 1100 0100 1101
    assert.deepEqual(rootNumbers(ROOT), [0b000110, 0b100010, 0b101100, 0b111100, 0b010011]);
    assert.deepEqual(rootNumbers("f".repeat(64)), [63, 63, 63, 63, 63]);
    assert.deepEqual(rootNumbers(`00000003${"f".repeat(56)}`), [0, 0, 0, 0, 0]);
  });
});
