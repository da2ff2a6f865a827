/** The page of `make run`, as a person uses it: one household, one story from connect to the last hang up. */
import assert from "node:assert/strict";
import { PassThrough } from "node:stream";
import { laptop } from "@feldfon/hw/board/laptop";
import { type OnPage, Stage, until, type Visit } from "./stage.ts";

/** From the phonebook's number to two people in a call. */
async function call(from: OnPage, to: OnPage): Promise<void> {
  await from.dial("1");
  await from.press("call");
  await to.shows("incoming");
  await to.press("call");
  await Promise.all([from.shows("in-call"), to.shows("in-call")]);
}

const PRESSED_AT_ONCE = "[data-handset=anna] [data-key=call], [data-handset=berta] [data-key=call]";

/** RGBA, one word a pixel. */
function wordsOf(pixels: Buffer): Uint32Array {
  return new Uint32Array(pixels.buffer, pixels.byteOffset, pixels.length / 4);
}

describe("page", function () {
  this.timeout(30_000);
  let stage: Stage;
  let visit: Visit;
  let anna: OnPage;
  let berta: OnPage;

  before(async () => {
    stage = await Stage.open();
    visit = await stage.visit();
    [anna, berta] = [visit.handset("anna"), visit.handset("berta")];
    await Promise.all([anna.shows("off"), berta.shows("off")]);
  });
  after(() => stage?.close());
  afterEach(async function () {
    if (this.currentTest?.isFailed()) await visit.picture("failed");
  });

  it("shows two handsets, the server, and what to press first", async () => {
    assert.equal(await visit.page.locator(".handset").count(), 2);
    assert.match((await visit.page.locator(".server").textContent()) ?? "", /running/);
    assert.match((await visit.page.locator(".coach .now").textContent()) ?? "", /Connect/);
    assert.equal(await visit.page.locator(".next[data-key=connect]").count(), 2);
    await visit.picture("1-first-sight");
  });

  it("has a name for everything that can be pressed, chosen or read", async () => {
    const nameless = await visit.page
      .locator("button, select, input, canvas, [role]:not([role=status], [role=alert])")
      .evaluateAll((all) =>
        all
          .map((one) => one as unknown as { ariaLabel: string | null; textContent: string; outerHTML: string })
          .filter(({ ariaLabel, textContent }) => !ariaLabel?.trim() && !textContent.trim())
          .map(({ outerHTML }) => outerHTML.slice(0, 80)),
      );
    assert.deepEqual(nameless, []);
    assert.equal(await visit.page.locator("html").getAttribute("lang"), "en");
    assert.equal(await visit.page.locator("h1").count(), 1);
    assert.match(await anna.words(), /anna/);
  });

  it("reads as a handset to a screen reader: its screen in words, keys, pad, light, microphone and meters", async () => {
    const tree = await anna.root.ariaSnapshot();
    for (const part of [
      'region "Handset anna"',
      'img "Light:',
      'img "Display"',
      "Press Connect to begin",
      'group "Keys"',
      'button "Connect"',
      'group "Number pad"',
      'button "star"',
      'button "Microphone"',
      'meter "hears"',
      'slider "Volume"',
    ]) {
      assert.ok(tree.includes(part), `${part} in\n${tree}`);
    }
    assert.equal(await anna.root.getAttribute("lang"), "en");
    assert.equal(await anna.root.locator(".spoken").getAttribute("aria-live"), "polite");
  });

  it("draws the display pixel for pixel, at a whole scale", async () => {
    const canvas = anna.root.locator("canvas");
    const box = (await canvas.boundingBox())!;
    assert.deepEqual([box.width % 320, box.height % 240], [0, 0]);
    assert.equal(
      await canvas.evaluate(
        (one) =>
          (globalThis as never as { getComputedStyle(of: unknown): { imageRendering: string } }).getComputedStyle(one)
            .imageRendering,
      ),
      "pixelated",
    );
    // A screen in words comes before its picture.
    await until("a picture", async () => new Set(wordsOf(await anna.pixels())).size > 3);
    assert.ok(wordsOf(await anna.pixels()).every((colour) => colour >>> 24 === 255));
  });

  it("connects both by a press, and lays the eight steps on the ladder", async () => {
    await anna.press("connect");
    await anna.shows("verified");
    await berta.press("connect");
    await berta.shows("verified");
    await until("the steps", async () => (await visit.page.locator(".rows .step").count()) === 18);
    const steps = await visit.page.locator(".rows .step b").allTextContents();
    assert.deepEqual(steps.slice(0, 9), ["1", "1.1", "2", "3", "4", "5", "6", "7", "8"]);
    const kinds = await visit.page
      .locator(".rows .message")
      .evaluateAll((rows) => rows.map((row) => (row as unknown as { dataset: Record<string, string> }).dataset.kind));
    for (const kind of ["REGISTER m1", "401 m1", "REGISTER m4", "MESSAGE secret", "MESSAGE phonebook"]) {
      assert.equal(kinds.filter((shown) => shown === kind).length, 2, kind);
    }
    await until("every message to arrive", async () => (await visit.page.locator(".arrow.under-way").count()) === 0);
  });

  it("calls by number pad, and both displays show the same five numbers", async () => {
    await call(anna, berta);
    const [atAnna, atBerta] = [await anna.facts(), await berta.facts()];
    assert.equal(atAnna.sas.length, 5);
    assert.deepEqual(atAnna.sas, atBerta.sas);
    // The picture too: the rows of the numbers are the same to the pixel.
    const [one, other] = [await anna.pixels(40, 190), await berta.pixels(40, 190)];
    assert.equal(Buffer.compare(one, other), 0);
    await visit.picture("2-same-numbers");
  });

  it("carries a tone from one handset to the other", async () => {
    for (const handset of [anna, berta]) await handset.press("call"); // the numbers are the same
    await anna.speakForMe();
    await until("440 Hz at berta", async () => {
      const { pitchHz, levelDb } = await berta.heard();
      return Math.abs(pitchHz - 440) <= 5 && levelDb > -25;
    });
    assert.ok((await anna.heard()).levelDb < -40, "nothing comes back");
    await berta.speakForMe();
    await until("660 Hz at anna", async () => Math.abs((await anna.heard()).pitchHz - 660) <= 5);
    await visit.picture("3-in-call");
    for (const handset of [anna, berta]) await handset.speakForMe();
    await until("silence at berta", async () => (await berta.heard()).pitchHz === 0);
  });

  it("asks for the microphone only when it is pressed, and carries it", async () => {
    const microphone = anna.root.locator('[data-switch="microphone"]');
    assert.equal(await microphone.getAttribute("aria-pressed"), "false");
    await microphone.click();
    await until("the microphone", async () => (await microphone.getAttribute("aria-pressed")) === "true");
    // Chromium's stand-in for a microphone beeps once a second.
    await until("a beep at berta", async () => (await berta.heard()).pitchHz > 0);
    await microphone.click();
    assert.equal(await microphone.getAttribute("aria-pressed"), "false");
  });

  it("hangs up, and both displays say that the keys are gone on both sides", async () => {
    await berta.press("hang-up");
    for (const handset of [anna, berta]) assert.equal((await handset.shows("ended")).erased, "both");
    assert.match(await anna.words(), /Keys erased on both sides/);
    await visit.picture("4-erased");
    for (const handset of [anna, berta]) await handset.press("hang-up");
    await Promise.all([anna.shows("phonebook"), berta.shows("phonebook")]);
  });

  it("kills a handset as a power cut does, and brings it back", async () => {
    await visit.order("anna", "kill");
    await until("the dark", async () => (await anna.root.getAttribute("class"))?.includes("off") ?? false);
    assert.match((await anna.root.locator(".note").textContent()) ?? "", /Switched off/);
    assert.match(await anna.root.locator(".led").ariaSnapshot(), /Light: off/);
    assert.ok(
      wordsOf(await anna.pixels()).every((colour) => colour === 0),
      "no picture outlives it",
    );
    await until("the note", async () => (await visit.page.locator(".note.killed").count()) === 1);
    await visit.picture("6-handset-killed");
    await visit.order("anna", "start");
    await anna.shows("off");
    await until("a picture", async () => new Set(wordsOf(await anna.pixels())).size > 3);
  });

  it("is used by keyboard alone, from the first Tab over connect to the hang up", async () => {
    const { keyboard } = visit.page;
    await visit.page.locator("body").click({ position: { x: 2, y: 2 } });
    const focused = () =>
      visit.page.evaluate("document.activeElement.closest('[data-handset]')?.dataset.handset ?? ''") as Promise<string>;
    for (let tabs = 0; tabs < 40 && (await focused()) !== "anna"; tabs++) await keyboard.press("Tab");
    assert.equal(await focused(), "anna");
    const outline = "getComputedStyle(document.activeElement).outlineStyle";
    assert.notEqual(await visit.page.evaluate(outline), "none", "what has the focus is to be seen");
    await keyboard.press("n");
    await anna.shows("verified");
    await keyboard.press("1");
    await anna.shows("dial");
    await keyboard.press("c");
    await berta.shows("incoming");
    await keyboard.press("s");
    assert.equal(await focused(), "berta");
    await keyboard.press("c");
    await Promise.all([anna.shows("in-call"), berta.shows("in-call")]);
    await keyboard.press("t");
    await until("berta's tone at anna", async () => Math.abs((await anna.heard()).pitchHz - 660) <= 5);
    await keyboard.press("t");
    await keyboard.press("Escape");
    await Promise.all([anna.shows("ended"), berta.shows("ended")]);
    await keyboard.press("h");
    await berta.shows("phonebook");
    await anna.press("hang-up");
    await anna.shows("phonebook");
  });

  it("updates: old and new root, recomputed", async () => {
    await anna.press("update");
    await until("the update on the ladder", async () => (await visit.page.locator(".note.updated").count()) === 1);
    assert.match((await visit.page.locator(".note.updated").textContent()) ?? "", /the same as the server's/);
    await visit.picture("5-updated");
    await anna.press("hang-up");
    await anna.shows("phonebook");
  });

  it("adds a handset with a folder of its own, and removes it", async () => {
    await visit.page.locator("#add").click();
    const carl = visit.handset("carl");
    await carl.shows("off", 15_000);
    await carl.press("connect");
    await carl.shows("verified");
    await until("three columns and the server", async () => (await visit.page.locator(".heads span").count()) === 4);
    await visit.picture("7-three-handsets");
  });

  it("lets one call in at a time: whoever comes second is told busy", async () => {
    const carl = visit.handset("carl");
    for (const handset of [anna, berta]) {
      await handset.dial("2");
    }
    await anna.press("call");
    await carl.shows("incoming");
    await berta.press("call");
    assert.equal((await berta.shows("ended")).why, "busy");
    assert.match(await berta.words(), /Busy/);
    await carl.press("hang-up");
    assert.equal((await anna.shows("ended")).why, "declined");
    for (const handset of [anna, berta, carl]) await handset.home();
  });

  it("lets one of two win who call each other at once", async () => {
    for (const [handset, key] of [
      [anna, "1"],
      [berta, "0"],
    ] as const) {
      await handset.dial(key);
    }
    // Within one moment. A press that reaches its handset after the other's call has answers that: one call either way.
    await visit.page.evaluate(`for (const key of document.querySelectorAll("${PRESSED_AT_ONCE}")) key.click()`);
    const screens = async () => [await anna.screen(), await berta.screen()].sort().join();
    await until("one call", async () => ["incoming,ringing-out", "in-call,in-call"].includes(await screens()));
    const [callee, caller] = (await anna.screen()) === "incoming" ? [anna, berta] : [berta, anna];
    if ((await callee.screen()) === "incoming") await callee.press("call");
    await Promise.all([callee.shows("in-call"), caller.shows("in-call")]);
    assert.deepEqual((await callee.facts()).sas, (await caller.facts()).sas);
    await caller.press("hang-up");
    await Promise.all([callee.shows("ended"), caller.shows("ended")]);
    for (const handset of [anna, berta]) await handset.home();
  });

  it("removes a handset", async () => {
    await visit.order("carl", "remove");
    await until("two handsets", async () => (await visit.page.locator(".handset").count()) === 2);
  });

  it("writes on a handset in the language of its display, and that is a setting of the handset", async () => {
    await visit.place("berta").locator(".below select").selectOption("zh");
    await until(
      "Chinese keys",
      async () => (await berta.root.locator('[data-key="connect"]').textContent()) === "连接",
    );
    await berta.shows("off");
    assert.equal(await berta.root.getAttribute("lang"), "zh");
    assert.match(await berta.words(), /请按连接|连接/);
    assert.equal(await anna.root.getAttribute("lang"), "en");
    await visit.picture("8-two-languages");
    await visit.place("berta").locator(".below select").selectOption("en");
    await until("English keys", async () => (await berta.root.getAttribute("lang")) === "en");
    await berta.shows("off");
    await berta.press("connect");
    await berta.shows("verified");
  });

  it("cuts a line and makes it whole again; the handset comes back without RSA", async () => {
    await visit.place("anna").locator("[data-wire=cut]").click();
    await anna.shows("lost");
    await visit.place("anna").locator("[data-wire=open]").click();
    await anna.shows("verified", 15_000);
    await until("the note", async () => (await visit.page.locator(".note.resumed").count()) > 0);
  });

  it("kills the server and starts it again; both handsets are back by themselves", async () => {
    await visit.page.locator("#kill-server").focus();
    await visit.page.keyboard.press("Enter");
    await visit.page.locator("#start-server:focus").waitFor();
    await Promise.all([anna.shows("lost"), berta.shows("lost")]);
    assert.match((await visit.page.locator(".server").textContent()) ?? "", /down/);
    await visit.picture("9-server-killed");
    await visit.page.locator("#start-server").click();
    await Promise.all([anna.shows("verified", 15_000), berta.shows("verified", 15_000)]);
  });

  it("says on both displays that the server is gone in the middle of a call, and that keys are erased here only", async () => {
    await call(anna, berta);
    for (const handset of [anna, berta]) await handset.press("call");
    await visit.page.locator("#kill-server").click();
    for (const handset of [anna, berta]) {
      await until("the news", async () => /Server lost/.test(await handset.words()));
    }
    await visit.picture("10-server-killed-in-call");
    for (const handset of [anna, berta]) await handset.press("hang-up");
    for (const handset of [anna, berta]) assert.equal((await handset.shows("ended")).erased, "here");
    await visit.page.locator("#start-server").click();
    for (const handset of [anna, berta]) await handset.press("hang-up");
    await Promise.all([anna.shows("verified", 15_000), berta.shows("verified", 15_000)]);
  });

  it("filters the ladder, pauses it, and goes on with what came meanwhile", async () => {
    const rows = visit.page.locator(".rows li");
    await visit.page.locator("#filter").selectOption("anna");
    const withBerta = await visit.page.locator('.rows li[aria-label*="berta"]').count();
    assert.equal(withBerta, 0);
    await visit.page.locator("#filter").selectOption("");
    await visit.page.locator("#pause").click();
    const before = await rows.count();
    await anna.press("update");
    await new Promise((resolve) => setTimeout(resolve, 600));
    assert.equal(await rows.count(), before);
    await visit.page.locator("#pause").click();
    assert.ok((await rows.count()) > before);
  });

  for (const [locale, width, colourScheme] of [
    ["de-DE", 360, "dark"],
    ["en-GB", 390, "light"],
    ["zh-CN", 390, "dark"],
  ] as const) {
    it(`fits a screen of ${width} pixels, ${colourScheme}, ${locale}`, async () => {
      const narrow = await stage.visit({ width, height: 740, locale, colourScheme });
      await until("a screen", async () => (await narrow.handset("anna").screen()) !== "");
      const wider = await narrow.page.evaluate("document.documentElement.scrollWidth - innerWidth");
      assert.equal(wider, 0, "nothing sticks out");
      assert.equal(await narrow.page.locator("html").getAttribute("lang"), locale.slice(0, 2));
      assert.equal(await narrow.handset("anna").root.getAttribute("lang"), "en", "its own");
      assert.equal(await narrow.page.evaluate("document.fonts.check('15px \"Feldfon Han\"', '中')"), true);
      assert.equal((await narrow.handset("anna").root.locator("canvas").boundingBox())?.width, 320);
      await narrow.picture(`11-narrow-${locale}`);
      await narrow.close();
    });
  }

  it("says nothing without the token", async () => {
    const stranger = await stage.visit({}, stage.address.replace(/#.*/, "#wrong"));
    await stranger.page.locator("#lost").waitFor({ state: "visible" });
    assert.equal(await stranger.page.locator(".handset").count(), 0);
    await stranger.close();
  });

  it("is one handset where one runs alone", async () => {
    const [input, output] = [new PassThrough(), new PassThrough()];
    const board = await laptop.open({ input, output, json: false, atEnd: "stay" });
    try {
      const pressed: string[] = [];
      board.buttons.onPress((button) => pressed.push(button));
      board.numpad.onKey((key) => pressed.push(key));
      const [printed] = /http:\S+/.exec(String(output.read()))!;
      const alone = await stage.visit({}, printed);
      const picture = new Uint16Array(320 * 240).fill(0xf800);
      board.display.show(picture);
      board.captions!.show({ name: "off", lines: ["== Off =="], language: "en", facts: {}, ticking: false });
      const handset = alone.handset("Feldfon");
      await handset.shows("off");
      await until("red", async () => (await handset.pixels(0, 1)).readUInt32LE(0) === 0xff0000ff);
      await handset.press("update");
      await alone.page.keyboard.press("n");
      await alone.page.keyboard.press("7");
      await until("the presses", () => pressed.length === 3);
      assert.deepEqual(pressed, ["update", "connect", "7"]);
      await alone.close();
    } finally {
      board.close();
    }
  });

  it("asks for a PIN where a handset has one, shows its digits as dots, and opens by it", async () => {
    const visit = await stage.alone("Emil");
    const emil = visit.handset("Feldfon");
    await emil.shows("pin-choose");
    for (const digit of "40291") await emil.press(digit);
    await until("five dots", async () => (await emil.facts()).count === 5);
    assert.match(await emil.words(), /\*{5} +5/);
    assert.doesNotMatch(await emil.root.innerHTML(), /40291/);
    await emil.press("*");
    await until("four dots", async () => (await emil.facts()).count === 4);
    await emil.type("17");
    await emil.shows("pin-repeat");
    await emil.type("402917");
    await emil.shows("pin-duress");
    await emil.press("hang-up");
    await emil.shows("off");
    await emil.press("hang-up");
    await emil.shows("pin");
    await emil.type("111111");
    await until("what was wrong", async () => (await emil.facts()).refused === "wrong");
    assert.match(await emil.words(), /Wrong PIN.*Tries left: 9/s);
    await visit.picture("12-wrong-pin");
    // By keyboard as well.
    for (const key of "402917c") await visit.page.keyboard.press(key);
    await emil.shows("off");
    await emil.press("connect");
    await emil.shows("verified");
    await visit.close();
  });

  it("had nothing to complain about", () => assert.deepEqual(stage.complaints, []));
});
