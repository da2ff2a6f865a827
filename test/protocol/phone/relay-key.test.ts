import assert from "node:assert/strict";
import { RelayKeys } from "@feldfon/protocol/phone/relay-key";
import { testingVault } from "@feldfon/vault/testing";

describe("telephone: relay keys of a line", () => {
  const vault = testingVault();
  const relayId = Buffer.from("0123456789abcdef", "hex");
  let derived: Uint8Array[];
  let keys: RelayKeys;
  beforeEach(() => {
    derived = [];
    keys = new RelayKeys(vault, (id) => {
      derived.push(id);
      return vault.import("mac", Buffer.alloc(32, derived.length));
    });
  });
  const slotsInUse = () => vault.status().slotsInUse;

  it("are derived when they are asked for, and once", () => {
    const key = keys.keyOf(relayId);
    assert.equal(derived.length, 0);
    const slot = key.slot();
    assert.equal(key.slot(), slot);
    assert.deepEqual(derived, [relayId]);
  });

  it("are derived before the line's keys go, when nobody has asked yet", () => {
    const [asked, unasked, over] = [keys.keyOf(relayId), keys.keyOf(relayId), keys.keyOf(relayId)];
    asked.slot();
    over.wipe();
    keys.deriveAll();
    assert.equal(derived.length, 2);
    assert.deepEqual(vault.reveal(unasked.slot()!), Buffer.alloc(32, 2));
    assert.equal(over.slot(), undefined);
  });

  it("are never derived once the line has ended at fault", () => {
    const key = keys.keyOf(relayId);
    keys.giveUp();
    assert.equal(key.slot(), undefined);
    assert.equal(derived.length, 0);
  });

  it("leave no slot behind when they are wiped", () => {
    const before = slotsInUse();
    const key = keys.keyOf(relayId);
    key.slot();
    assert.equal(slotsInUse(), before + 1);
    key.wipe();
    key.wipe();
    assert.equal(slotsInUse(), before);
    assert.equal(key.slot(), undefined);
  });
});
