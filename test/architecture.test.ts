/**
 * Holds the house together: the arrows between folders (style.md), what may be imported where, and what may not stand
 * in the repository at all.
 */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { builtinModules } from "node:module";
import path from "node:path";

const ROOT = path.join(import.meta.dirname, "..");
const NOT_OURS = new Set(["node_modules", "dist", "coverage", ".git", ".toolchain", ".cache", "hw/vault/build"]);

/** Package name to folder; a folder inside another comes first. */
const WORKSPACES: readonly (readonly [packageName: string, folder: string])[] = readJson("package.json")
  .workspaces.map((folder: string) => [readJson(`${folder}/package.json`).name, folder] as const)
  .sort((a: readonly string[], b: readonly string[]) => b[1]!.length - a[1]!.length);

interface Import {
  /** Importing file, from the root of the repository, e.g. `server/main.ts`. */
  from: string;
  specifier: string;
  /** Erased before anything runs. */
  typeOnly: boolean;
  /** Imported file when it is one of ours. */
  to: string | undefined;
}

// biome-ignore lint/suspicious/noExplicitAny: package.json files, looked into by this test only
function readJson(file: string): any {
  return JSON.parse(readFileSync(path.join(ROOT, file), "utf8"));
}

function* walk(folder = ""): Generator<string> {
  for (const entry of readdirSync(path.join(ROOT, folder), { withFileTypes: true })) {
    const name = path.posix.join(folder, entry.name);
    if (NOT_OURS.has(entry.name) || NOT_OURS.has(name)) continue;
    if (entry.isDirectory()) yield* walk(name);
    else if (entry.isFile()) yield name;
  }
}

function text(file: string): string {
  return readFileSync(path.join(ROOT, file), "utf8");
}

/** Static and dynamic imports, re-exports and workers; the formatter sees to it that they look like this. */
function importsOf(file: string): Import[] {
  const source = text(file).replace(/\/\*[\s\S]*?\*\//g, "");
  const found: Import[] = [];
  const add = (specifier: string, typeOnly: boolean) =>
    found.push({ from: file, specifier, typeOnly, to: resolve(file, specifier) });
  for (const [, keyword, what, specifier] of source.matchAll(
    /^(import|export)\s+((?:[^"';]*?\sfrom\s+)?)"([^"]+)"/gm,
  )) {
    if (keyword === "export" && what === "") continue;
    add(specifier!, /^type\s/.test(what!));
  }
  for (const [, specifier] of source.matchAll(/\bimport\("([^"]+)"\)/g)) add(specifier!, false);
  for (const [, specifier] of source.matchAll(/new URL\("(\.[^"]+\.ts)", import\.meta\.url\)/g)) add(specifier!, false);
  return found;
}

function resolve(from: string, specifier: string): string | undefined {
  if (specifier.startsWith(".")) return path.posix.join(path.posix.dirname(from), specifier);
  for (const [name, folder] of WORKSPACES) {
    if (specifier === name) return `${folder}/index.ts`;
    if (specifier.startsWith(`${name}/`)) return `${folder}/${specifier.slice(name.length + 1)}.ts`;
  }
  return undefined;
}

function workspaceOf(file: string): string | undefined {
  return WORKSPACES.find(([, folder]) => file.startsWith(`${folder}/`))?.[1];
}

/** `@scope/name` or `name` of a specifier that is neither a path nor a module of Node. */
function packageOf(specifier: string): string | undefined {
  if (specifier.startsWith(".") || specifier.startsWith("node:") || builtinModules.includes(specifier))
    return undefined;
  return specifier
    .split("/")
    .slice(0, specifier.startsWith("@") ? 2 : 1)
    .join("/");
}

const files = [...walk()];
const sources = files.filter((file) => /\.[cm]?[jt]s$/.test(file));
const imports = sources.flatMap(importsOf);

/** Says which imports break a rule, one a line. */
function refuse(rule: string, wrong: readonly Import[]): void {
  assert.equal(wrong.map(({ from, specifier }) => `${from} imports ${specifier}`).join("\n"), "", rule);
}

function within(folder: string): (file: string | undefined) => boolean {
  return (file) => file?.startsWith(`${folder}/`) ?? false;
}

const isMain = (file: string) => /(^|[/-])main\.ts$/.test(file);

describe("Architecture: the arrows between folders", () => {
  it("finds the imports it judges", () => {
    const judged = imports.filter(({ to }) => to !== undefined);
    assert.ok(judged.length > 20, `${judged.length} imports between our own files`);
    const missing = judged.filter(({ to }) => !files.includes(to!));
    refuse("an import leads to no file", missing);
  });

  it("lets protocol import nothing but itself and node:crypto", () => {
    const inProtocol = within("protocol");
    refuse(
      "sockets, files, timers and devices stay outside",
      imports.filter(({ from, to, specifier }) => inProtocol(from) && !inProtocol(to) && specifier !== "node:crypto"),
    );
  });

  it("keeps timers, the clock and the console out of protocol", () => {
    const wrong = sources
      .filter(within("protocol"))
      .filter((file) =>
        /\b(setTimeout|setInterval|setImmediate|Date\.now|new Date\(\)|performance\.now|process\.|console\.)/.test(
          text(file).replace(/\/\*[\s\S]*?\*\/|\/\/.*/g, ""),
        ),
      );
    assert.deepEqual(wrong, []);
  });

  it("keeps the parts of protocol in layers, and its conversations apart", () => {
    // What a part may know of the others. The telephone speaks through the channel, about the directory, and hands
    // keys to the media; talk, groups and introduction will know as little of it as it of them.
    const mayKnow: Record<string, readonly string[]> = {
      crypto: [],
      channel: ["crypto"],
      directory: ["crypto"],
      media: ["crypto"],
      phone: ["crypto", "channel", "directory", "media"],
      talk: ["crypto", "channel", "directory"],
      groups: ["crypto", "channel", "directory"],
      introduction: ["crypto", "channel", "directory"],
      "seed-profile": ["crypto", "directory"],
    };
    const part = (file: string) => file.split("/").length > 2 && file.split("/")[1];
    const inParts = imports.filter(({ from }) => within("protocol")(from) && part(from));
    const unknown = inParts.filter(({ from }) => !((part(from) as string) in mayKnow));
    refuse("a folder of protocol that is not in this table", unknown);
    refuse(
      "a part of protocol knows more than it should",
      inParts.filter(({ from, to }) => {
        const other = to && within("protocol")(to) && part(to);
        return other && other !== part(from) && !mayKnow[part(from) as string]!.includes(other);
      }),
    );
    refuse(
      "the plain files of protocol stand below its conversations",
      imports.filter(({ from, to }) => {
        const other = to && within("protocol")(from) && !part(from) && part(to);
        return other && other !== "crypto";
      }),
    );
  });

  it("lets hw import only the vault port and the errors of protocol", () => {
    refuse(
      "a device knows nothing of the telephone",
      imports.filter(
        ({ from, to }) =>
          within("hw")(from) && to && !within("hw")(to) && to !== "protocol/vault.ts" && to !== "protocol/errors.ts",
      ),
    );
  });

  it("lets firmware import protocol and the ports of hw, implementations only where it is wired", () => {
    refuse(
      "the firmware knows ports; main.ts knows what is behind them",
      imports.filter(({ from, to }) => {
        if (!within("firmware")(from) || !to || within("firmware")(to) || within("protocol")(to)) return false;
        return !(within("hw")(to) && (to.endsWith("/port.ts") || isMain(from)));
      }),
    );
  });

  it("keeps sockets in the firmware's line", () => {
    refuse(
      "bytes come and go through firmware/line/",
      imports.filter(
        ({ from, specifier }) =>
          within("firmware")(from) &&
          !within("firmware/line")(from) &&
          /^node:(net|dgram|tls|http|https|http2|dns)/.test(specifier),
      ),
    );
  });

  it("lets server import protocol, and the vault only in main.ts", () => {
    refuse(
      "the server knows no devices; its vault is chosen in main.ts",
      imports.filter(({ from, to }) => {
        if (!within("server")(from) || !to || within("server")(to) || within("protocol")(to)) return false;
        return !(within("hw/vault")(to) && isMain(from));
      }),
    );
  });

  it("lets nobody import the simulator, the benches, the tests and what is made at build time", () => {
    const proof = ["simulator", "bench", "test", "fonts"].map(within);
    const inProof = (file: string) => proof.some((folder) => folder(file));
    refuse(
      "the product does not know its proof",
      imports.filter(({ from, to }) => to && inProof(to) && !inProof(from)),
    );
  });

  it("leaves what only tests may do to tests", () => {
    refuse(
      "the seeds' own shapes and a vault that reveals are for tests",
      imports.filter(
        ({ from, to }) =>
          to &&
          (/^protocol\/seed-profile[./]/.test(to) || /^hw\/vault\/testing\.ts$/.test(to)) &&
          !within("test")(from) &&
          !within("bench")(from) &&
          !/^protocol\/seed-profile[./]/.test(from) &&
          from !== to,
      ),
    );
  });

  it("has no circles", () => {
    // Types are erased before anything runs, so they may point both ways; values may not.
    const graph = new Map<string, string[]>(sources.map((file) => [file, []]));
    for (const { from, to, typeOnly } of imports) if (to && !typeOnly && graph.has(to)) graph.get(from)!.push(to);
    assert.deepEqual(
      circlesOf(graph).map((circle) => circle.join(" -> ")),
      [],
    );
  });
});

/** Strongly connected components of more than one node (Tarjan 1972), and nodes that import themselves. */
function circlesOf(graph: ReadonlyMap<string, readonly string[]>): string[][] {
  const order = new Map<string, number>();
  const low = new Map<string, number>();
  const stack: string[] = [];
  const onStack = new Set<string>();
  const circles: string[][] = [];

  const visit = (node: string): void => {
    order.set(node, order.size);
    low.set(node, order.get(node)!);
    stack.push(node);
    onStack.add(node);
    for (const next of graph.get(node)!) {
      if (!order.has(next)) {
        visit(next);
        low.set(node, Math.min(low.get(node)!, low.get(next)!));
      } else if (onStack.has(next)) {
        low.set(node, Math.min(low.get(node)!, order.get(next)!));
      }
    }
    if (low.get(node) !== order.get(node)) return;
    const component: string[] = [];
    let member: string;
    do {
      member = stack.pop()!;
      onStack.delete(member);
      component.unshift(member);
    } while (member !== node);
    if (component.length > 1 || graph.get(node)!.includes(node)) circles.push(component);
  };

  for (const node of graph.keys()) if (!order.has(node)) visit(node);
  return circles;
}

describe("Architecture: workspaces", () => {
  for (const [name, folder] of WORKSPACES) {
    it(`${name} declares what it imports, and nothing else`, () => {
      const declared = readJson(`${folder}/package.json`);
      const allowed = Object.keys({ ...declared.dependencies, ...declared.optionalDependencies });
      const own = imports.filter(({ from }) => workspaceOf(from) === folder);
      const used = new Set(own.map(({ specifier }) => packageOf(specifier)).filter((used) => used !== undefined));
      used.delete(name);
      assert.deepEqual([...used].filter((used) => !allowed.includes(used)).sort(), [], "imported, not declared");
      assert.deepEqual(allowed.filter((one) => !used.has(one)).sort(), [], "declared, not imported");
    });

    it(`${name} reaches other workspaces by their names`, () => {
      refuse(
        "a relative path leaves its workspace",
        imports.filter(
          ({ from, to, specifier }) =>
            specifier.startsWith(".") && workspaceOf(from) === folder && workspaceOf(to!) !== folder,
        ),
      );
    });
  }

  it("benches and tests import what some package.json declares", () => {
    const declared = new Set<string>(Object.keys(readJson("package.json").devDependencies));
    for (const [name, folder] of WORKSPACES) {
      const { dependencies, optionalDependencies } = readJson(`${folder}/package.json`);
      for (const one of [name, ...Object.keys({ ...dependencies, ...optionalDependencies })]) declared.add(one);
    }
    refuse(
      "an undeclared package",
      imports.filter(({ from, specifier }) => {
        const used = workspaceOf(from) === undefined && packageOf(specifier);
        return used && !declared.has(used);
      }),
    );
  });
});

describe("Architecture: what stands in the repository", () => {
  const readable = files.filter((file) => !/\.(png|jpg|wav|bin|pcm|ttf|otf|woff2?)$/.test(file));

  it("has no folder or file named for what has no name yet", () => {
    const wrong = files.filter((file) => /(^|\/)(utils?|helpers?|misc|common)(\.|\/)/i.test(file));
    assert.deepEqual(wrong, []);
  });

  it("names its files in kebab-case", () => {
    const wrong = sources.filter(
      (file) => !/^([a-z0-9.-]+\/)*[a-z0-9-]+(\.test|\.config|\.d)?\.[cm]?[jt]s$/.test(file),
    );
    assert.deepEqual(wrong, []);
  });

  it("has no left-over marks", () => {
    const mark = new RegExp(`\\b(${["TO" + "DO", "FIX" + "ME", "X" + "XX", "HA" + "CK"].join("|")})\\b`);
    const looked = readable.filter((file) => /(\.([cm]?[jt]s|c|h|cc|sh|py|service|yml)|Makefile|^bin\/.*)$/.test(file));
    assert.deepEqual(
      looked.filter((file) => mark.test(text(file))),
      [],
    );
  });

  it("names no folder of one machine", () => {
    // Homes of the users our own units and images make are nobody's machine.
    const own = /(?<![\w.~$})-])\/(work|root|home\/(?!(handset|feldfon|pi)\b)[a-z]|Users\/[a-z])[\w.-]*\//;
    const wrong = readable.filter((file) => !file.startsWith("test/vectors/wycheproof/") && own.test(text(file)));
    assert.deepEqual(wrong, []);
  });

  it("keeps addresses of registries out of its lock file", () => {
    for (const file of files.filter((file) => /(^|\/)(package-lock|npm-shrinkwrap)\.json$/.test(file))) {
      assert.ok(!/"resolved":\s*"http|registry\./.test(text(file)), `${file} names a registry`);
    }
  });

  it("explains every class and every longer function that protocol exports", () => {
    const kebab = (name: string) => name.replace(/(?<=[a-z0-9])[A-Z]/g, (letter) => `-${letter}`).toLowerCase();
    const bare: string[] = [];
    for (const file of sources.filter(within("protocol"))) {
      const lines = text(file).split("\n");
      for (const [at, line] of lines.entries()) {
        const [, what, name] = /^export (?:abstract )?(?:async )?(class|function\*?) (\w+)/.exec(line) ?? [];
        if (!name || /^\s*(\*\/|\/\*\*.*\*\/)$/.test(lines[at - 1] ?? "")) continue;
        // A file's head speaks for the class the file is named after.
        const headed = lines[0]!.startsWith("/**") && kebab(name).includes(path.basename(file, ".ts"));
        if (what === "class" && headed) continue;
        // What a line does, the line says itself: up to three need no words.
        const opens = lines.findIndex((one, n) => (n === at ? /\).*\{$/ : /^[)}].*\{$/).test(one) && n >= at);
        const closes = lines.indexOf("}", opens);
        if (what === "class" || closes - opens > 4) bare.push(`${file}: ${name}`);
      }
    }
    assert.deepEqual(bare, []);
  });
});
