import assert from "node:assert/strict";
import { isIPv4, isIPv6 } from "node:net";
import { hostOf, parseAddress } from "@feldfon/protocol/media/address";
import fc from "fast-check";

const refused = { name: "ProtocolError", code: "bad-address" };

describe("Addresses", () => {
  const forms: [text: string, host: string][] = [
    ["192.0.2.1", "192.0.2.1"],
    ["::", "::"],
    ["::1", "::1"],
    ["1::", "1::"],
    ["2001:DB8:0:0:1:0:0:1", "2001:db8::1:0:0:1"],
    ["2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"],
    ["fe80::1%eth0", "fe80::1"],
    ["::ffff:192.0.2.1", "192.0.2.1"],
    ["64:ff9b::192.0.2.33", "64:ff9b::c000:221"],
  ];
  for (const [text, host] of forms) {
    it(`reads ${text} as ${host}`, () => assert.equal(hostOf(parseAddress(text, 5060)), host));
  }

  for (const text of [
    "",
    "example.org",
    "1.2.3",
    "1.2.3.256",
    "01.2.3.4",
    "1.2.3.4::",
    "::1.2.3.4:5",
    ":::",
    "1::2::3",
    "12345::",
    "1:2:3:4:5:6:7",
    "1:2:3:4:5:6:7:8:9",
    "1:2:3:4::5:6:7:8",
    "g::",
    "1.2.3.4\n",
  ]) {
    it(`refuses ${JSON.stringify(text)}`, () => assert.throws(() => parseAddress(text, 5060), refused));
  }

  for (const port of [0, -1, 65536, 1.5, Number.NaN]) {
    it(`refuses port ${port}`, () => assert.throws(() => parseAddress("192.0.2.1", port), refused));
  }

  it("agrees with the sockets on what an address is, and on how it is written", () => {
    const nearly = fc.string({ unit: fc.constantFrom(..."0123456789abcf:::."), maxLength: 20 });
    fc.assert(
      fc.property(fc.oneof(fc.ipV4(), fc.ipV6(), nearly), (text) => {
        if (!isIPv4(text) && !isIPv6(text)) {
          assert.throws(() => parseAddress(text, 1), refused);
          return;
        }
        const address = parseAddress(text, 1);
        if (isIPv6(text) && address.family === 6) {
          assert.equal(`[${hostOf(address)}]`, new URL(`http://[${text}]/`).hostname);
        }
        assert.deepEqual(parseAddress(hostOf(address), 1), address);
      }),
      { numRuns: 500 },
    );
  });
});
