/** A whole household and a browser that looks at it: the real processes, Debian's chromium, the page of `make run`. */
import assert from "node:assert/strict";
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { LocalPage } from "@feldfon/hw/board/local-page";
import type { Language } from "@feldfon/hw/board/page/texts";
import { Household } from "@feldfon/simulator/household";
import { openHouseholdPage } from "@feldfon/simulator/page-server";
import { Program } from "@feldfon/simulator/program";
import { type Browser, chromium, type Locator, type Page } from "playwright-core";
import { keyPath } from "../keys.ts";

const CHROMIUM = "/usr/bin/chromium";
const FLAGS = [
  "--no-sandbox",
  "--autoplay-policy=no-user-gesture-required",
  "--use-fake-ui-for-media-stream",
  "--use-fake-device-for-media-stream",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

/** Where screenshots stay: what a build machine keeps, or a folder that git ignores. */
export const PICTURES = process.env.CI_OUTPUT ?? join(import.meta.dirname, "../../.ci-output");

export interface Look {
  width: number;
  height: number;
  locale: string;
  colourScheme: "light" | "dark";
}

const DESK: Look = { width: 1360, height: 900, locale: "en-GB", colourScheme: "light" };

export class Stage {
  readonly household: Household;
  readonly address: string;
  readonly #page: LocalPage;
  readonly #browser: Browser;
  readonly #folder: string;
  readonly #alone: Program[] = [];
  /** What any page complained about. */
  readonly complaints: string[] = [];

  private constructor(household: Household, page: LocalPage, browser: Browser, folder: string) {
    this.household = household;
    this.#page = page;
    this.address = page.address;
    this.#browser = browser;
    this.#folder = folder;
  }

  /** Keys come from the pool: what is tested is not how long RSA takes. */
  static async open(language: Language = "en"): Promise<Stage> {
    assert.ok(existsSync(CHROMIUM), `no chromium at ${CHROMIUM}: "make test" installs it, or apt-get install chromium`);
    const folder = mkdtempSync(join(tmpdir(), "feldfon-page-"));
    for (const [at, file] of ["server/server-key", "anna/key", "berta/key", "carl/key"].entries()) {
      const path = join(folder, `${file}.pem`);
      mkdirSync(join(path, ".."), { recursive: true, mode: 0o700 });
      copyFileSync(await keyPath(at), path);
    }
    const launched = chromium.launch({ executablePath: CHROMIUM, args: FLAGS });
    const household = await Household.open({ folder, port: 20_000 + (process.pid % 20_000), handsets: 2, language });
    const page = await openHouseholdPage(household, 0);
    return new Stage(household, page, await launched, folder);
  }

  /** A handset with a page of its own and a PIN to be, as people have them; its key lies there already. */
  async alone(name: string): Promise<Visit> {
    const { port, fingerprint } = this.household.server;
    const data = join(this.#folder, name);
    mkdirSync(data, { mode: 0o700 });
    copyFileSync(await keyPath(4), join(data, "key.pem"));
    const program = new Program(name, "firmware/main.ts", [
      ...["--board", "laptop", "--json", "--language", "en", "--name", name, "--data", data],
      ...["--server", `127.0.0.1:${port}`, "--server-key", fingerprint],
    ]);
    this.#alone.push(program);
    const { address } = await program.next("its page", (line) => line.type === "page");
    return this.visit({}, String(address));
  }

  async close(): Promise<void> {
    for (const program of this.#alone) await program.end(() => program.endInput());
    await this.#browser.close();
    this.#page.close();
    await this.household.close();
    rmSync(this.#folder, { recursive: true, force: true });
  }

  async visit(look: Partial<Look> = {}, address = this.address): Promise<Visit> {
    const { width, height, locale, colourScheme } = { ...DESK, ...look };
    const context = await this.#browser.newContext({
      viewport: { width, height },
      locale,
      colorScheme: colourScheme,
      permissions: ["microphone"],
    });
    const page = await context.newPage();
    page.on("console", (message) => {
      if (message.type() === "error" || message.type() === "warning") this.complaints.push(message.text());
    });
    page.on("pageerror", (error) => this.complaints.push(error.message));
    await page.goto(address);
    return new Visit(page);
  }
}

export interface Facts {
  sas: number[];
  erased: string;
  same: boolean;
  why: string;
  [fact: string]: unknown;
}

/** One person in front of the page. */
export class Visit {
  readonly page: Page;

  constructor(page: Page) {
    this.page = page;
  }

  handset(name: string): OnPage {
    return new OnPage(this.page.locator(`[data-handset="${name}"]`), name);
  }

  /** A handset and what may be done to it. */
  place(name: string): Locator {
    return this.page.locator(".place", { has: this.handset(name).root });
  }

  async order(name: string, what: "kill" | "start" | "remove"): Promise<void> {
    await this.place(name).locator(`[data-order="${what}"]`).click();
  }

  async picture(name: string): Promise<void> {
    mkdirSync(PICTURES, { recursive: true });
    await this.page.screenshot({ path: join(PICTURES, `${name}.png`) });
  }

  close(): Promise<void> {
    return this.page.context().close();
  }
}

export class OnPage {
  readonly root: Locator;
  readonly name: string;

  constructor(root: Locator, name: string) {
    this.root = root;
    this.name = name;
  }

  async press(key: string): Promise<void> {
    await this.root.locator(`[data-key="${key}"]`).click();
  }

  /** Digit by digit on the number pad, then Call. */
  async type(pin: string): Promise<void> {
    for (const digit of pin) await this.press(digit);
    await this.press("call");
  }

  /** Waits until this screen is shown. */
  async shows(screen: string, withinMs = 10_000): Promise<Facts> {
    const shown = this.root.and(this.root.page().locator(`[data-screen="${screen}"]`));
    await shown.waitFor({ state: "attached", timeout: withinMs }).catch(async () => {
      assert.fail(`${this.name}: waited for ${screen}, shows ${await this.root.getAttribute("data-screen")}`);
    });
    return this.facts();
  }

  async screen(): Promise<string> {
    return (await this.root.getAttribute("data-screen")) ?? "";
  }

  /** In the phonebook some digits scroll: there # comes first. */
  async dial(number: string): Promise<void> {
    if ((await this.screen()) === "phonebook") await this.press("#");
    await this.press(number);
    await this.shows("dial");
  }

  /** Hang up leads back to where the phonebook is one press away. */
  async home(): Promise<void> {
    for (let presses = 0; !["verified", "phonebook"].includes(await this.screen()); presses++) {
      assert.ok(presses < 6, `${this.name} does not find home from ${await this.screen()}`);
      await this.press("hang-up");
      await new Promise((resolve) => setTimeout(resolve, 150));
    }
  }

  async facts(): Promise<Facts> {
    return JSON.parse((await this.root.getAttribute("data-facts")) ?? "{}") as Facts;
  }

  /** The screen in words, as a screen reader is told. */
  async words(): Promise<string> {
    return (await this.root.locator(".spoken").textContent()) ?? "";
  }

  /** Rows of the display as the eye sees them, RGBA. */
  async pixels(from = 0, to = 240): Promise<Buffer> {
    const rows = await this.root.locator("canvas").evaluate(
      (canvas: unknown, [from, to]) => {
        type Drawn = { getContext(kind: "2d"): { getImageData(...box: number[]): { data: { buffer: ArrayBuffer } } } };
        const { data } = (canvas as Drawn).getContext("2d").getImageData(0, from, 320, to - from);
        return [...new Uint32Array(data.buffer)];
      },
      [from, to] as const,
    );
    return Buffer.from(Uint32Array.from(rows).buffer);
  }

  async heard(): Promise<{ pitchHz: number; levelDb: number }> {
    const meter = this.root.locator('[role="meter"]').nth(1);
    const [pitch, level] = [await meter.getAttribute("data-pitch-hz"), await meter.getAttribute("aria-valuenow")];
    return { pitchHz: Number(pitch), levelDb: Number(level) };
  }

  async speakForMe(): Promise<void> {
    await this.root.locator('[data-switch="voice"]').click();
  }
}

export async function until(what: string, holds: () => Promise<boolean> | boolean, withinMs = 10_000): Promise<void> {
  for (const endMs = performance.now() + withinMs; !(await holds()); ) {
    if (performance.now() > endMs) assert.fail(`waited for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
