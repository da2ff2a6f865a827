/**
 * Loaded into a watched process before everything else (`node --import`): whatever vault it opens then tells each secret
 * at its birth to the pipe FELDFON_LEAKSCAN_BIRTHS. In place of the shipped addon stands the testing build, which writes
 * straight from the arena; the vault on node:crypto writes from the slot's own buffer. Neither leaves a copy behind.
 * A watched process may leave a core file, so that one can be read; a shipped one may not.
 */
import { openSync, writevSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { HandleTable } from "@feldfon/vault/handles";
import type { NativeAddon, NativeRealm } from "@feldfon/vault/native";

let pipe: number | undefined;

function births(): number {
  pipe ??= openSync(process.env.FELDFON_LEAKSCAN_BIRTHS!, "w");
  return pipe;
}

const load = process.dlopen;
process.dlopen = (module, filename, ...flags) => {
  if (basename(filename) !== "vault.node") return load.call(process, module, filename, ...flags);
  load.call(process, module, join(dirname(filename), "vault-testing.node"), ...flags);
  const loaded = module as { exports: NativeAddon };
  const addon = loaded.exports;
  loaded.exports = {
    ...addon,
    harden: () => ({ dumpable: true, coreLimitBytes: 0, newPrivileges: true, sigusr1Ignored: true }),
    open(...args) {
      const realm = addon.open(...args);
      if (typeof realm !== "string") (realm as NativeRealm & { tellBirths(pipe: number): void }).tellBirths(births());
      return realm;
    },
  };
};

const put = HandleTable.prototype.put;
HandleTable.prototype.put = function <Handle extends object>(
  this: HandleTable<object>,
  handle: Handle,
  content: object,
) {
  if ("bytes" in content && Buffer.isBuffer(content.bytes)) {
    writevSync(births(), [Buffer.from([content.bytes.length & 0xff, content.bytes.length >> 8]), content.bytes]);
  }
  return put.call(this, handle, content) as Handle;
};
