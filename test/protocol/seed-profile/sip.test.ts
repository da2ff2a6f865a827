import assert from "node:assert/strict";
import { hash } from "node:crypto";
import { readFileSync } from "node:fs";
import { encodeFrame } from "@feldfon/protocol/frames";
import {
  buildSipAnswer,
  buildSipMessage,
  buildSipRequest,
  type Content,
  type Parsed,
  parseSipMessage,
  senderOf,
} from "@feldfon/protocol/seed-profile/sip";
import { parseSip } from "@feldfon/protocol/sip";
import fc from "fast-check";

const vectors = JSON.parse(readFileSync(new URL("../../vectors/seeds.json", import.meta.url), "utf8")).ping;
const badSip = { name: "ProtocolError", code: "bad-sip" };
const alice = { name: "alice", ip: "127.0.0.1" };

function request(message: Uint8Array | string): Extract<Parsed, { kind: "request" }> {
  const parsed = parseSipMessage(message);
  assert.equal(parsed.kind, "request", JSON.stringify(parsed));
  return parsed as Extract<Parsed, { kind: "request" }>;
}

const dataOf = ({ data }: Content) => Object.fromEntries(data);

describe("the seed's SIP message", () => {
  it("is the recorded PING, frame and all", () => {
    const body = buildSipMessage(vectors.method, vectors.recipient, { PING: true }, vectors.from);
    const frame = encodeFrame(body);
    assert.equal(body.length, vectors.bodyBytes);
    assert.equal(frame.subarray(0, 4).toString("hex"), vectors.header);
    assert.equal(hash("sha256", frame, "hex"), vectors.sha256OfFrame);
  });

  it("has lines of KEY: value when every value fits in one", () => {
    const message = buildSipMessage(
      "MESSAGE",
      "server",
      { CALL_SETUP: "request", CALLER_ID: "0", CALLEE_ID: 10 },
      alice,
    );
    const parsed = request(message);
    assert.equal(parsed.headers.get("CONTENT-TYPE"), "text/plain");
    assert.equal(parsed.body.toString(), "CALL_SETUP: request\r\nCALLER_ID: 0\r\nCALLEE_ID: 10");
    assert.deepEqual(dataOf(parsed), { CALL_SETUP: "request", CALLER_ID: "0", CALLEE_ID: "10" });
  });

  it("has one compact JSON object when a value is a list, an object or several lines", () => {
    for (const value of [["a", "b"], { a: 1 }, "two\r\nlines", null]) {
      const parsed = request(
        buildSipMessage("MESSAGE", "alice", { MERKLE_ROOT: "ab", VALUE: value }, { server: "127.0.0.1" }),
      );
      assert.equal(parsed.headers.get("CONTENT-TYPE"), "application/json");
      assert.equal(parsed.body.toString(), JSON.stringify({ MERKLE_ROOT: "ab", VALUE: value }));
      assert.deepEqual(dataOf(parsed), { MERKLE_ROOT: "ab", VALUE: value });
    }
  });

  it("carries the bare key of a REGISTER", () => {
    const pem = "-----BEGIN PUBLIC KEY-----\nMIIC\n-----END PUBLIC KEY-----\n";
    const parsed = request(buildSipMessage("REGISTER", "server", pem, alice));
    assert.equal(parsed.body.toString(), pem);
    assert.equal(parsed.data.size, 0);
  });

  it("counts bytes, where the origin counted characters", () => {
    const parsed = request(buildSipMessage("MESSAGE", "server", { NAME: "Jürgen" }, alice));
    assert.equal(parsed.headers.get("CONTENT-LENGTH"), "13");
    assert.deepEqual(dataOf(parsed), { NAME: "Jürgen" });
  });

  it("keeps every line of its body, where the origin kept the last", () => {
    const data = { A: "1", B: "two: and: more", C: " three ", D: "", E: "a\u2028b" };
    assert.deepEqual(dataOf(request(buildSipMessage("MESSAGE", "server", data, alice))), data);
  });

  it("says who sent it, client or server", () => {
    const from = (sender: { name: string; ip: string } | { server: string }) =>
      senderOf(request(buildSipMessage("MESSAGE", "server", {}, sender)));
    assert.deepEqual(from({ name: "Jürgen", ip: "10.0.0.7" }), { name: "Jürgen", host: "10.0.0.7" });
    assert.deepEqual(from({ server: "127.0.0.1" }), { name: "server", host: "127.0.0.1" });
    assert.equal(senderOf(request("MESSAGE sip:server SIP/2.0\r\n\r\n")), undefined);
  });

  it("answers with a status line of its own", () => {
    for (const [status, reason] of [
      [200, "OK"],
      [401, "Unauthorized"],
      [486, "Busy Here"],
      [500, "Server Internal Error"],
      [603, "Decline"],
    ] as const) {
      const message = buildSipAnswer(status, "alice", { STATUS: "REJECTED" }, { server: "127.0.0.1" });
      assert.equal(message.toString().split("\r\n")[0], `SIP/2.0 ${status} ${reason}`);
      const parsed = parseSipMessage(message);
      assert.ok(parsed.kind === "answer" && parsed.status === status && parsed.reason === reason);
    }
    assert.throws(() => buildSipAnswer(418, "alice", {}, { server: "127.0.0.1" }), badSip);
  });

  it("is not what travels: the product refuses it", () => {
    const message = buildSipMessage("MESSAGE", "server", { PING: true }, alice);
    assert.throws(() => parseSip(message), badSip);
  });

  it("comes back as it was built, for any values", () => {
    const key = fc.stringMatching(/^[A-Z0-9_]{1,12}$/);
    fc.assert(
      fc.property(
        fc.dictionary(key, fc.oneof(fc.string({ unit: "grapheme" }), fc.jsonValue()), { maxKeys: 6 }),
        (values) => {
          // Through JSON once, so that -0 and the like are what JSON makes of them.
          const data = JSON.parse(JSON.stringify({ LIST: [], ...values }));
          assert.deepEqual(dataOf(request(buildSipMessage("MESSAGE", "server", data, alice))), data);
        },
      ),
    );
    fc.assert(
      fc.property(fc.dictionary(key, fc.string({ unit: "grapheme" }), { maxKeys: 6 }), (data) => {
        const parsed = request(buildSipMessage("MESSAGE", "server", data, alice));
        assert.deepEqual(dataOf(parsed), { ...data });
      }),
    );
  });

  it("lets no name, host or key break out of its line", () => {
    for (const text of ["a\r\nX: y", "a b", "a>", "<a", "a@b", "a;tag=1", "a:b", "", "\u202ea", "a".repeat(65)]) {
      assert.throws(() => buildSipMessage("MESSAGE", text, {}, alice), badSip, text);
      assert.throws(() => buildSipMessage("MESSAGE", "server", {}, { name: text, ip: "127.0.0.1" }), badSip, text);
    }
    for (const text of ["127.0.0.1\r\nX: y", "a b", "", "a>"]) {
      assert.throws(() => buildSipMessage("MESSAGE", "server", {}, { server: text }), badSip, text);
    }
    assert.throws(() => buildSipMessage("MESSAGE", "server", { "A\r\nB": 1 }, alice), badSip);
    assert.throws(() => buildSipMessage("MESSAGE", "server", { "A: B": 1 }, alice), badSip);
  });
});

describe("the seed's full SIP request", () => {
  const build = () =>
    buildSipRequest("OPTIONS", "bob", { name: "alice", ip: "10.0.0.7" }, { ip: "10.0.0.1", port: 5060 });

  it("has Via, From, To, Call-ID, CSeq and Contact as RFC 3261 wants them", () => {
    const uuid = "[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}";
    const expected = [
      "OPTIONS sip:bob@10\\.0\\.0\\.1:5060 SIP/2\\.0",
      `Via: SIP/2\\.0/UDP 10\\.0\\.0\\.7:\\d{5};rport;branch=z9hG4bK${uuid}`,
      "Max-Forwards: 70",
      `From: <sip:alice@10\\.0\\.0\\.7>;tag=${uuid}`,
      "To: <sip:bob@10\\.0\\.0\\.1:5060>",
      `Call-ID: ${uuid}@10\\.0\\.0\\.1`,
      "CSeq: 1 OPTIONS",
      "Contact: <sip:alice@10\\.0\\.0\\.7:\\d{5}>",
      "Content-Length: 0",
    ];
    assert.match(build().toString(), new RegExp(`^${expected.join("\r\n")}\r\n\r\n$`));
    assert.equal(request(build()).method, "OPTIONS");
  });

  it("takes another port from 32768 to 60999 each time, the same in Via and Contact", () => {
    const ports = Array.from({ length: 50 }, () => {
      const { headers } = request(build());
      const [via, contact] = ["VIA", "CONTACT"].map((name) => Number(/:(\d{5})[;>]/.exec(headers.get(name)!)![1]));
      assert.equal(via, contact);
      return via!;
    });
    assert.ok(ports.every((port) => port >= 32_768 && port <= 60_999));
    assert.ok(new Set(ports).size > 10);
  });

  it("lets no name break out of its line", () => {
    assert.throws(() => buildSipRequest("INVITE", "bob\r\n", alice, { ip: "10.0.0.1", port: 5060 }), badSip);
    assert.throws(
      () => buildSipRequest("INVITE", "bob", { name: "a\nb", ip: "::1" }, { ip: "10.0.0.1", port: 5060 }),
      badSip,
    );
  });
});

describe("reading the seed's SIP", () => {
  it("takes bytes and text, other line ends, other letters and missing headers", () => {
    const texts = [
      "MESSAGE sip:server SIP/2.0\r\nContent-Length: 10\r\n\r\nPING: true",
      "MESSAGE sip:server SIP/2.0\ncontent-length:10\n\nPING: true",
      "MESSAGE sip:server SIP/2.0\r\n\r\nPING: true",
    ];
    for (const text of texts) {
      for (const message of [text, Buffer.from(text)]) assert.deepEqual(dataOf(request(message)), { PING: "true" });
    }
    assert.equal(request("MESSAGE sip:server SIP/2.0\r\nFrom: x").body.length, 0);
  });

  it("knows the origin's 200 OK in the method's place", () => {
    const parsed = parseSipMessage("200 OK sip:alice SIP/2.0\r\n\r\nCLIENT_ID: 0");
    assert.ok(parsed.kind === "answer" && parsed.status === 200 && parsed.reason === "OK");
    assert.deepEqual(dataOf(parsed), { CLIENT_ID: "0" });
  });

  it("keeps a body that is neither text nor JSON as it is", () => {
    const binary = Buffer.from([0xff, 0, 13, 10, 13, 10, 1]);
    const parsed = request(
      Buffer.concat([Buffer.from("MESSAGE sip:server SIP/2.0\r\nContent-Length: 7\r\n\r\n"), binary]),
    );
    assert.deepEqual(parsed.body, binary);
    assert.equal(parsed.data.size, 0);
    for (const other of ["[1,2]", "7", "null"])
      assert.equal(request(`MESSAGE sip:server SIP/2.0\r\n\r\n${other}`).data.size, 0);
  });

  it("makes a key of __proto__ a key like any other", () => {
    const parsed = request('MESSAGE sip:server SIP/2.0\r\n__proto__: x\r\n\r\n{"__proto__":{"a":1},"constructor":2}');
    assert.equal(parsed.headers.get("__PROTO__"), "x");
    assert.deepEqual(
      [...parsed.data],
      [
        ["__proto__", { a: 1 }],
        ["constructor", 2],
      ],
    );
    assert.equal(({} as { a?: number }).a, undefined);
  });

  it("says what is wrong instead of throwing", () => {
    const why = (message: string | Uint8Array) => {
      const parsed = parseSipMessage(message);
      return parsed.kind === "bad" ? parsed.why : parsed.kind;
    };
    assert.match(why("hello"), /first line/);
    assert.match(why("MESSAGE server SIP/2.0\r\n\r\n"), /first line/);
    assert.match(why("message sip:server SIP/2.0\r\n\r\n"), /first line/);
    assert.match(why("MESSAGE sip:server SIP/2.0\r\nno header\r\n\r\n"), /no header/);
    assert.match(why("MESSAGE sip:server SIP/2.0\r\nSubject: a\r\n folded\r\n\r\n"), /no header/);
    assert.match(why("MESSAGE sip:server SIP/2.0\r\nTo: a\r\nTO: b\r\n\r\n"), /twice/);
    for (const length of ["3", "05", "-1", "4,4", ""]) {
      assert.match(why(`MESSAGE sip:server SIP/2.0\r\nContent-Length: ${length}\r\n\r\nfour`), /4 bytes/);
    }
    assert.match(why(Buffer.from([0xff, 0xfe])), /UTF-8/);
    for (const nothing of ["", Buffer.alloc(0), undefined])
      assert.deepEqual(parseSipMessage(nothing), { kind: "empty" });
  });

  it("never throws, whatever comes", () => {
    const kinds = new Set<string>();
    const line = fc.oneof(
      fc.constantFrom("MESSAGE sip:server SIP/2.0", "SIP/2.0 200 OK", "Content-Length: 2", "", "{}", "A: b"),
      fc.uint8Array().map((bytes) => Buffer.from(bytes).toString("latin1")),
    );
    const lines = fc.array(line).map((lines) => lines.join("\r\n"));
    const message = fc.oneof(
      fc.uint8Array(),
      lines,
      lines.map((rest) => `MESSAGE sip:server SIP/2.0\r\n\r\n${rest}`),
    );
    fc.assert(
      fc.property(message, (message) => void kinds.add(parseSipMessage(message).kind)),
      { numRuns: 500 },
    );
    assert.ok(kinds.has("bad") && kinds.has("request"));
  });
});
