import assert from "node:assert/strict";
import { ProtocolError } from "@feldfon/protocol/errors";
import { MAX_BODY_BYTES } from "@feldfon/protocol/frames";
import { parseUid } from "@feldfon/protocol/identity";
import {
  encodeSip,
  hex,
  MAX_HEAD_BYTES,
  METHODS,
  type Method,
  type Party,
  parseSip,
  REASONS,
  type SipMessage,
  type SipRequest,
  type SipResponse,
} from "@feldfon/protocol/sip";
import fc from "fast-check";

const alice = parseUid("a1".repeat(32));
const bob = parseUid("b0".repeat(32));
const body = Buffer.from([0, 13, 10, 13, 10, 255]); // line ends and zeros inside a body mean nothing
const none = Buffer.alloc(0);

const addresses = {
  branch: "0123456789abcdef",
  from: { party: alice as Party, tag: "00000000000000aa" },
  callId: "00112233445566778899aabbccddeeff",
};

function request(method: Method, uri: Party, content: Partial<SipRequest>, number = 4): SipRequest {
  return { type: "request", method, uri, ...addresses, to: { party: uri }, cseq: { number, method }, body, ...content };
}

function answer(status: number, method: Method, content: Partial<SipResponse>, number = 4): SipResponse {
  const to = status === 100 ? { party: bob } : { party: bob, tag: "00000000000000bb" };
  return { type: "response", status, ...addresses, to, cseq: { number, method }, body: none, ...content };
}

const badSip = (error: unknown) => error instanceof ProtocolError && error.code === "bad-sip";

describe("a SIP message", () => {
  describe("of each row of wire.md 2", () => {
    const authenticate = 'Feldfon realm="feldfon"';
    const rows: [row: string, message: SipMessage, startLine: string, headers?: string[]][] = [
      [
        "1 M1",
        request("REGISTER", "server", { feldfon: "m1" }, 1),
        "REGISTER sip:server@feldfon SIP/2.0",
        ["Feldfon: m1"],
      ],
      [
        "1 M2 M3",
        answer(401, "REGISTER", { feldfon: "m1", wwwAuthenticate: true, body }, 1),
        "SIP/2.0 401 Unauthorized",
        [`WWW-Authenticate: ${authenticate}`, "Feldfon: m1"],
      ],
      [
        "1 refused",
        answer(400, "REGISTER", { feldfon: "key-bad" }, 1),
        "SIP/2.0 400 Bad Request",
        ["Feldfon: key-bad"],
      ],
      [
        "1 under load",
        answer(503, "REGISTER", { feldfon: "m1", retryAfterS: 5 }, 1),
        "SIP/2.0 503 Service Unavailable",
        ["Retry-After: 5", "Feldfon: m1"],
      ],
      [
        "1.1 M4",
        request("REGISTER", "server", { feldfon: "m4", authorization: true }, 2),
        "REGISTER sip:server@feldfon SIP/2.0",
        [`Authorization: ${authenticate}`, "Feldfon: m4"],
      ],
      [
        "1.1 join",
        request("REGISTER", "server", { feldfon: "join" }, 3),
        "REGISTER sip:server@feldfon SIP/2.0",
        ["Feldfon: join"],
      ],
      ["1.1 joined", answer(200, "REGISTER", { feldfon: "join" }, 3), "SIP/2.0 200 OK", ["Feldfon: join"]],
      ...["name-bad", "name-taken", "key-known", "code-bad"].map((feldfon): (typeof rows)[number] => [
        `1.1 ${feldfon}`,
        answer(403, "REGISTER", { feldfon }, 3),
        "SIP/2.0 403 Forbidden",
        [`Feldfon: ${feldfon}`],
      ]),
      ...["head", "secret", "phonebook", "delta", "ping"].flatMap((feldfon): typeof rows => [
        [
          feldfon,
          request("MESSAGE", alice, { feldfon }),
          `MESSAGE sip:${alice}@feldfon SIP/2.0`,
          [`Feldfon: ${feldfon}`],
        ],
        [`${feldfon}, answered`, answer(200, "MESSAGE", { feldfon, body }), "SIP/2.0 200 OK", [`Feldfon: ${feldfon}`]],
      ]),
      ...["ping", "update", "proof", "snapshot", "path", "sync"].flatMap((feldfon): typeof rows => [
        [
          `${feldfon} to the server`,
          request("MESSAGE", "server", { feldfon, body: none }),
          "MESSAGE sip:server@feldfon SIP/2.0",
          [`Feldfon: ${feldfon}`],
        ],
        [
          `${feldfon} from the server, answered`,
          answer(200, "MESSAGE", { feldfon }),
          "SIP/2.0 200 OK",
          [`Feldfon: ${feldfon}`],
        ],
      ]),
      ["path unknown", answer(404, "MESSAGE", { feldfon: "path" }), "SIP/2.0 404 Not Found", ["Feldfon: path"]],
      [
        "resume",
        request("REGISTER", "server", { feldfon: "r1" }, 1),
        "REGISTER sip:server@feldfon SIP/2.0",
        ["Feldfon: r1"],
      ],
      [
        "resume refused",
        answer(481, "REGISTER", { feldfon: "r1" }, 1),
        "SIP/2.0 481 Call/Transaction Does Not Exist",
        ["Feldfon: r1"],
      ],
      [
        "leave",
        request("BYE", "server", { feldfon: "leave", body: none }),
        "BYE sip:server@feldfon SIP/2.0",
        ["Feldfon: leave"],
      ],
      ["call 1", request("INVITE", bob, {}), `INVITE sip:${bob}@feldfon SIP/2.0`],
      ["call 2", answer(100, "INVITE", { body }), "SIP/2.0 100 Trying"],
      ["call 3", answer(180, "INVITE", {}), "SIP/2.0 180 Ringing"],
      ["call 4", answer(200, "INVITE", { body }), "SIP/2.0 200 OK"],
      ["refused 404", answer(404, "INVITE", {}), "SIP/2.0 404 Not Found"],
      ["refused 408", answer(408, "INVITE", {}), "SIP/2.0 408 Request Timeout"],
      ["refused 480", answer(480, "INVITE", {}), "SIP/2.0 480 Temporarily Unavailable"],
      ["refused 481", answer(481, "INVITE", {}), "SIP/2.0 481 Call/Transaction Does Not Exist"],
      ["refused 482", answer(482, "INVITE", {}), "SIP/2.0 482 Loop Detected"],
      ["refused 486", answer(486, "INVITE", {}), "SIP/2.0 486 Busy Here"],
      ["refused 487", answer(487, "INVITE", {}), "SIP/2.0 487 Request Terminated"],
      ["refused 503", answer(503, "INVITE", {}), "SIP/2.0 503 Service Unavailable"],
      ["refused 603", answer(603, "INVITE", {}), "SIP/2.0 603 Decline"],
      ["call 5", request("ACK", bob, {}), `ACK sip:${bob}@feldfon SIP/2.0`],
      ["cancel", request("CANCEL", bob, { body: none }), `CANCEL sip:${bob}@feldfon SIP/2.0`],
      ["hang up", request("BYE", bob, {}), `BYE sip:${bob}@feldfon SIP/2.0`],
      ["hang up, answered", answer(200, "BYE", { body }), "SIP/2.0 200 OK"],
      ["way", request("INFO", bob, {}), `INFO sip:${bob}@feldfon SIP/2.0`],
    ];

    for (const [row, message, startLine, headers = []] of rows) {
      it(`is written and read: ${row}`, () => {
        const bytes = encodeSip(message);
        const lines = bytes.toString("latin1").split("\r\n");
        const fixed = /^(Via|Max-Forwards|From|To|Call-ID|CSeq|Content-Type|Content-Length): /;
        assert.equal(lines[0], startLine);
        assert.deepEqual(
          lines.slice(1, lines.indexOf("")).filter((line) => !fixed.test(line)),
          headers,
        );
        assert.deepEqual(parseSip(bytes), message);
      });
    }
  });

  const m4 = [
    "REGISTER sip:server@feldfon SIP/2.0",
    "Via: SIP/2.0/TCP feldfon;branch=z9hG4bK0123456789abcdef",
    "Max-Forwards: 70",
    `From: <sip:${alice}@feldfon>;tag=00000000000000aa`,
    "To: <sip:server@feldfon>",
    "Call-ID: 00112233445566778899aabbccddeeff",
    "CSeq: 2 REGISTER",
    'Authorization: Feldfon realm="feldfon"',
    "Feldfon: m4",
    "Content-Type: application/octet-stream",
    "Content-Length: 6",
    "",
    body.toString("latin1"),
  ].join("\r\n");
  const busyOn503 = [
    "SIP/2.0 503 Service Unavailable",
    "Via: SIP/2.0/TCP feldfon;branch=z9hG4bK0123456789abcdef",
    `From: <sip:${alice}@feldfon>;tag=00000000000000aa`,
    "To: <sip:server@feldfon>;tag=00000000000000bb",
    "Call-ID: 00112233445566778899aabbccddeeff",
    "CSeq: 1 REGISTER",
    "Retry-After: 5",
    "Feldfon: m1",
    "Content-Length: 0",
    "",
    "",
  ].join("\r\n");
  const bytesOf = (text: string) => Buffer.from(text, "latin1");

  it("has every byte where wire.md puts it, in a request", () => {
    const message = request("REGISTER", "server", { feldfon: "m4", authorization: true }, 2);
    assert.equal(encodeSip(message).toString("latin1"), m4);
  });

  it("has every byte where wire.md puts it, in an answer", () => {
    const to = { party: "server" as Party, tag: "00000000000000bb" };
    const message = answer(503, "REGISTER", { to, feldfon: "m1", retryAfterS: 5 }, 1);
    assert.equal(encodeSip(message).toString("latin1"), busyOn503);
  });

  it("lends its body without a copy", () => {
    const bytes = bytesOf(m4);
    assert.equal(parseSip(bytes).body.buffer, bytes.buffer);
  });

  it("carries as large a body as a frame does", () => {
    const large = request("MESSAGE", "server", { body: Buffer.alloc(MAX_BODY_BYTES - MAX_HEAD_BYTES, 7) });
    assert.deepEqual(parseSip(encodeSip(large)), large);
  });

  describe("is refused as bad-sip for", () => {
    const requestCases: [why: string, from: string | RegExp, to: string][] = [
      // Adapted from RFC 4475; the section stands behind each.
      ["a folded header (3.1.1.1)", "Feldfon: m4", "Feldfon:\r\n m4"],
      ["a folded value (3.1.1.1)", "70\r\n", "70\r\n \r\n"],
      ["a compact header name (3.1.1.1)", "Via: ", "v: "],
      ["a header name in lower case (3.1.1.1)", "Call-ID", "call-id"],
      ["a header name in capitals (3.1.1.1)", "Feldfon: m4", "FELDFON: m4"],
      ["no space behind the colon (3.1.1.1)", "CSeq: ", "CSeq:"],
      ["a space before the colon (3.1.1.1)", "CSeq: ", "CSeq : "],
      ["two spaces behind the colon (3.1.1.1)", "CSeq: ", "CSeq:  "],
      ["a tab for a space (3.1.1.1)", "CSeq: ", "CSeq:\t"],
      ["leading zeros (3.1.1.1)", "CSeq: 2", "CSeq: 02"],
      ["Max-Forwards with leading zeros (3.1.1.1)", ": 70", ": 0070"],
      ["two values in one Via (3.1.1.1)", "cdef\r\n", "cdef, SIP/2.0/TCP feldfon;branch=z9hG4bK0123456789abcdef\r\n"],
      ["a method of odd characters (3.1.1.2)", "REGISTER sip", "!interesting-Method0123456789_*+`.%indeed'~ sip"],
      ["an escaped address (3.1.1.3)", "sip:server@", "sip:%73erver@"],
      ["an escaped zero (3.1.1.4)", "<sip:server@", "<sip:server%00@"],
      ["an escaped method (3.1.1.5)", "REGISTER sip", "RE%47ISTER sip"],
      ["a display name (3.1.1.6)", "From: <", "From: caller<"],
      ["a display name in quotes (3.1.1.6)", "From: <", 'From: "Bell, Alexander" <'],
      ["a very long value (3.1.1.7)", "Feldfon: m4", `Feldfon: ${"m".repeat(33)}`],
      ["a second message behind the body (3.1.1.8)", /$/, m4],
      ["a parameter in the address (3.1.1.9)", "To: <sip:server@feldfon>", "To: <sip:server@feldfon;user=phone>"],
      ["another transport (3.1.1.10)", "SIP/2.0/TCP", "SIP/2.0/UDP"],
      ["superfluous separators (3.1.2.1)", "Feldfon: m4", "Feldfon: m4;;,"],
      ["a Content-Length above the body (3.1.2.2)", "Length: 6", "Length: 7"],
      ["a Content-Length below the body (3.1.1.8)", "Length: 6", "Length: 5"],
      ["a negative Content-Length (3.1.2.3)", "Length: 6", "Length: -6"],
      ["a signed Content-Length (3.1.2.3)", "Length: 6", "Length: +6"],
      ["a CSeq of 2^65 (3.1.2.4)", "CSeq: 2 ", "CSeq: 36893488147419103232 "],
      ["a CSeq of 2^31 (3.1.2.4)", "CSeq: 2 ", "CSeq: 2147483648 "],
      ["a CSeq of 0", "CSeq: 2 ", "CSeq: 0 "],
      ["an open quote (3.1.2.6)", "To: <", 'To: "server <'],
      ["angle brackets around the Request-URI (3.1.2.7)", "sip:server@feldfon SIP", "<sip:server@feldfon> SIP"],
      ["a space in the Request-URI (3.1.2.8)", "sip:server@feldfon SIP", "sip:server@feldfon; lr SIP"],
      ["two spaces in the first line (3.1.2.9)", "REGISTER sip", "REGISTER  sip"],
      ["a space behind the first line (3.1.2.10)", "SIP/2.0\r\nVia", "SIP/2.0 \r\nVia"],
      ["headers in the Request-URI (3.1.2.11)", "sip:server@feldfon SIP", "sip:server@feldfon?Route=%3Csip:x%3E SIP"],
      ["an address without brackets (3.1.2.13)", "To: <sip:server@feldfon>", "To: sip:server@feldfon"],
      ["another protocol version (3.1.2.16)", "SIP/2.0\r\nVia", "SIP/7.0\r\nVia"],
      ["a CSeq of another method (3.1.2.17)", "2 REGISTER", "2 INVITE"],
      ["an unknown method in CSeq (3.1.2.18)", "2 REGISTER", "2 NEWMETHOD"],
      ["an unknown method (3.1.2.18)", "REGISTER sip", "OPTIONS sip"],
      ["a branch of the cookie alone (3.2.1)", "0123456789abcdef", ""],
      ["a header missing (3.3.1)", /Max-Forwards: 70\r\n/, ""],
      ["an unknown scheme (3.3.2)", "sip:server@feldfon SIP", "nobodyKnowsThisScheme:server SIP"],
      ["a tel address (3.3.3)", "<sip:server@feldfon>", "<tel:12>"],
      ["an unknown extension (3.3.5)", "Feldfon: m4", "Require: nothing\r\nFeldfon: m4"],
      ["another body type (3.3.6)", "application/octet-stream", "application/sdp"],
      ["another way to authenticate (3.3.7)", "Authorization: Feldfon", "Authorization: Digest"],
      ["a header twice (3.3.8)", "Call-ID: ", "Call-ID: 00112233445566778899aabbccddeeff\r\nCall-ID: "],
      ["Content-Length twice (3.3.9)", "Content-Length: 6", "Content-Length: 6\r\nContent-Length: 6"],
      ["two different Content-Lengths (3.3.9)", "Content-Length: 6", "Content-Length: 6\r\nContent-Length: 9"],
      ["Max-Forwards 0 (3.3.11)", ": 70", ": 0"],
      ["no branch at all (3.4.1)", ";branch=z9hG4bK0123456789abcdef", ""],
      // Our own.
      ["headers in another order", /(Max-Forwards: 70\r\n)(From: .*?\r\n)/s, "$2$1"],
      ["a header called constructor", "Feldfon: ", "constructor: "],
      ["a header called __proto__", "Feldfon: ", "__proto__: "],
      ["a header called toString beside the others", "Feldfon: ", "toString: x\r\nFeldfon: "],
      ["a header without a name", "Feldfon: ", ": "],
      ["a header behind the last", "Length: 6", "Length: 6\r\nX-Extra: 1"],
      ["a bare line feed", "Feldfon: m4\r\n", "Feldfon: m4\n"],
      ["a bare carriage return", "Feldfon: m4\r\n", "Feldfon: m4\r"],
      ["line feeds everywhere", /\r\n/g, "\n"],
      ["a zero byte in the head", "Feldfon: m4", "Feldfon: m4\0"],
      ["bytes that are not UTF-8", "Feldfon: m4", "Feldfon: \xff\xfe"],
      ["a letter outside ASCII", "Feldfon: m4", "Feldfon: m\xe4"],
      ["an empty value", "Feldfon: m4", "Feldfon: "],
      ["capitals in the word", "Feldfon: m4", "Feldfon: M4"],
      ["a uid in capitals", "a1a1", "A1A1"],
      ["a uid of 63 digits", "a1a1", "a1a"],
      ["another domain", "To: <sip:server@feldfon>", "To: <sip:server@example>"],
      ["a tag in To of a request", "To: <sip:server@feldfon>", "To: <sip:server@feldfon>;tag=00000000000000bb"],
      ["no tag in From", ";tag=00000000000000aa", ""],
      ["a Call-ID of 30 digits", "Call-ID: 00", "Call-ID: "],
      ["a challenge in a request", "Authorization", "WWW-Authenticate"],
      ["Retry-After in a request", "Feldfon: m4", "Retry-After: 5\r\nFeldfon: m4"],
      ["no Content-Type before a body", /Content-Type: .*?\r\n/s, ""],
      ["Content-Length in hex", "Length: 6", "Length: 0x6"],
      ["Content-Length as 6.0", "Length: 6", "Length: 6.0"],
      ["Content-Length with leading zeros", "Length: 6", "Length: 06"],
      ["no Content-Length", /Content-Length: 6\r\n/, ""],
      ["two names before one value", "Content-Length", "FeldfonContent-Length"],
      ["a name glued to the header before", "Feldfon: m4\r\nContent-Type", "Feldfon: m4Content-Type"],
      ["an empty line before the first", /^/, "\r\n"],
      ["no empty line behind the headers", /\r\n\r\n[\s\S]*$/, "\r\n"],
      ["nothing but the first line", /\r\n[\s\S]*$/, "\r\n\r\n"],
    ];
    for (const [why, from, to] of requestCases) {
      it(why, () => {
        const text = m4.replace(from, to);
        assert.notEqual(text, m4);
        assert.throws(() => parseSip(bytesOf(text)), badSip);
      });
    }

    const answerCases: [why: string, from: string | RegExp, to: string][] = [
      ["another phrase (RFC 4475 3.1.1.12)", "Service Unavailable", "= 2**3 * 5**2"],
      ["no phrase (RFC 4475 3.1.1.13)", " Service Unavailable", ""],
      ["an empty phrase (RFC 4475 3.1.1.13)", "Service Unavailable", ""],
      ["a status of ten digits (RFC 4475 3.1.2.19)", "503", "4294967301"],
      ["a second Via (RFC 4475 3.3.10)", /(Via: .*?\r\n)/s, "$1$1"],
      ["an unknown status", "503 Service Unavailable", "599 Service Unavailable"],
      ["the phrase of another status", "503 Service Unavailable", "503 Decline"],
      ["a phrase in other letters", "Service Unavailable", "service unavailable"],
      [
        "the seed's 200 OK in the method's place",
        "SIP/2.0 503 Service Unavailable",
        "200 OK sip:server@feldfon SIP/2.0",
      ],
      ["Max-Forwards in an answer", "From: ", "Max-Forwards: 70\r\nFrom: "],
      ["no tag in To", ";tag=00000000000000bb", ""],
      ["a challenge in a 503", "Retry-After: 5", 'WWW-Authenticate: Feldfon realm="feldfon"'],
      ["credentials in an answer", "Retry-After: 5", 'Authorization: Feldfon realm="feldfon"'],
      ["a Retry-After of 100,000 s", "After: 5", "After: 100000"],
      ["a Retry-After with a comment", "After: 5", "After: 5 (in a meeting)"],
      ["Retry-After behind Feldfon", /(Retry-After: 5\r\n)(Feldfon: m1\r\n)/, "$2$1"],
      ["Retry-After in a 486", "503 Service Unavailable", "486 Busy Here"],
      ["a 401 without its challenge", /503 Service Unavailable([\s\S]*)Retry-After: 5\r\n/, "401 Unauthorized$1"],
      ["a tag in a 100", /503 Service Unavailable([\s\S]*)Retry-After: 5\r\n/, "100 Trying$1"],
      [
        "Content-Type before an empty body",
        "Content-Length",
        "Content-Type: application/octet-stream\r\nContent-Length",
      ],
      ["a body behind Content-Length: 0", /$/, "x"],
    ];
    for (const [why, from, to] of answerCases) {
      it(why, () => {
        const text = busyOn503.replace(from, to);
        assert.notEqual(text, busyOn503);
        assert.throws(() => parseSip(bytesOf(text)), badSip);
      });
    }

    it("a head that does not end within 4,096 bytes, however much follows", () => {
      const expected = { code: "bad-sip", message: /no empty line came within 4096 bytes/ };
      const text = m4.replace("Feldfon: m4", `Feldfon: ${"m".repeat(MAX_HEAD_BYTES)}`);
      assert.throws(() => parseSip(bytesOf(text)), expected);
      assert.throws(() => parseSip(Buffer.alloc(MAX_BODY_BYTES, "x")), expected);
    });

    it("being nothing at all or the beginning of a message", () => {
      for (let bytes = 0; bytes < m4.length; bytes++) {
        assert.throws(() => parseSip(bytesOf(m4.slice(0, bytes))), badSip);
      }
    });
  });

  it("repeats nothing of what came in its error", () => {
    for (const secret of [alice, "00112233445566778899aabbccddeeff", "some-other-word"]) {
      const text = m4.replace("Feldfon: m4", `Feldfon: m4\r\nsome-other-word: ${secret}`);
      assert.throws(
        () => parseSip(bytesOf(text)),
        (error: Error) => badSip(error) && !error.message.includes(secret),
      );
    }
  });

  it("gets a refusal that says what came and what was expected", () => {
    const sentence = (text: string) => {
      try {
        parseSip(bytesOf(text));
      } catch (error) {
        return (error as Error).message;
      }
      return "";
    };
    assert.match(sentence(m4.replace(/Max-Forwards: 70\r\n/, "")), /line 3 is From, Max-Forwards was expected/);
    assert.match(
      sentence(m4.replace("Feldfon: m4", "Subject: x")),
      /line 9 is something else, Content-Type was expected/,
    );
    assert.match(sentence(m4.replace("Length: 6", "Length: 6\r\nVia: x")), /line 12 is Via/);
  });

  describe("is not written", () => {
    const good = request("MESSAGE", "server", { feldfon: "ping" });
    const cases: [why: string, message: object][] = [
      ["with a line end in its word", { ...good, feldfon: "ping\r\nX: y" }],
      ["with an empty word", { ...good, feldfon: "" }],
      ["with a word of 33 letters", { ...good, feldfon: "a".repeat(33) }],
      ["with a line end in its branch", { ...good, branch: "0123456789abcde\n" }],
      ["with a name for a uid", { ...good, uri: "alice" }],
      ["with a name in From", { ...good, from: { party: "alice\r\n", tag: good.from.tag } }],
      ["with a tag in capitals", { ...good, from: { party: alice, tag: "00000000000000AA" } }],
      ["with a tag in To of a request", { ...good, to: { party: bob, tag: "00000000000000bb" } }],
      ["with half a Call-ID", { ...good, callId: "00112233" }],
      ["with CSeq 0", { ...good, cseq: { number: 0, method: "MESSAGE" } }],
      ["with CSeq 1.5", { ...good, cseq: { number: 1.5, method: "MESSAGE" } }],
      ["with CSeq 2^31", { ...good, cseq: { number: 2 ** 31, method: "MESSAGE" } }],
      ["with CSeq 1e21", { ...good, cseq: { number: 1e21, method: "MESSAGE" } }],
      ["with CSeq NaN", { ...good, cseq: { number: Number.NaN, method: "MESSAGE" } }],
      ["with the CSeq of another method", { ...good, cseq: { number: 1, method: "INFO" } }],
      ["with an unknown method", { ...good, method: "OPTIONS", cseq: { number: 1, method: "OPTIONS" } }],
      ["with credentials outside REGISTER", { ...good, authorization: true }],
      ["with Retry-After in a request", { ...good, retryAfterS: 5 }],
      ["with an unknown status", answer(499, "MESSAGE", {})],
      ["with a status that is no number", { ...answer(200, "MESSAGE", {}), status: "constructor" }],
      ["with Retry-After in a 200", answer(200, "MESSAGE", { retryAfterS: 5 })],
      ["with a negative Retry-After", answer(503, "MESSAGE", { retryAfterS: -5 })],
      ["with a challenge in a 403", answer(403, "REGISTER", { wwwAuthenticate: true })],
      ["as a 401 without its challenge", answer(401, "REGISTER", {})],
      ["as a 200 without a tag in To", answer(200, "MESSAGE", { to: { party: bob } })],
      ["as a 100 with a tag in To", answer(100, "INVITE", { to: { party: bob, tag: "00000000000000bb" } })],
    ];
    for (const [why, message] of cases) {
      it(why, () => assert.throws(() => encodeSip(message as SipMessage), badSip));
    }
  });

  describe("whatever happens to it", () => {
    const digits = (length: number) =>
      fc.string({ unit: fc.constantFrom(..."0123456789abcdef"), minLength: length, maxLength: length });
    const maybe = <T>(value: fc.Arbitrary<T>) => fc.option(value, { nil: undefined });
    const party: fc.Arbitrary<Party> = fc.oneof(fc.constant<Party>("server"), digits(64).map(parseUid));
    const number = fc.integer({ min: 1, max: 2 ** 31 - 1 });
    const head = {
      branch: digits(16),
      from: fc.record({ party, tag: digits(16) }, { noNullPrototype: true }),
      callId: digits(32),
      body: fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes)),
      feldfon: maybe(fc.stringMatching(/^[a-z0-9-]{1,32}$/)),
    };
    /** A field without a value is a field that is not there. */
    const clean = <T extends object>(message: T): T =>
      Object.fromEntries(Object.entries(message).filter(([, value]) => value !== undefined)) as T;
    const anyRequest = fc
      .record({ ...head, method: fc.constantFrom(...METHODS), uri: party, to: party, number, proof: fc.boolean() })
      .map(({ method, to, number, proof, ...rest }) =>
        clean({
          type: "request",
          method,
          ...rest,
          to: { party: to },
          cseq: { number, method },
          authorization: proof && method === "REGISTER" ? true : undefined,
        } as SipRequest),
      );
    const anyAnswer = fc
      .record({
        ...head,
        status: fc.constantFrom(...Object.keys(REASONS).map(Number)),
        to: party,
        tag: digits(16),
        cseq: fc.record({ number, method: fc.constantFrom(...METHODS) }, { noNullPrototype: true }),
        seconds: maybe(fc.integer({ min: 0, max: 99_999 })),
      })
      .map(({ status, to, tag, seconds, ...rest }) =>
        clean({
          type: "response",
          status,
          ...rest,
          to: status === 100 ? { party: to } : { party: to, tag },
          wwwAuthenticate: status === 401 ? true : undefined,
          retryAfterS: status === 503 ? seconds : undefined,
        } as SipResponse),
      );
    const anyMessage: fc.Arbitrary<SipMessage> = fc.oneof(anyRequest, anyAnswer);

    /** Reads bytes that may be anything: refused as bad-sip, or the one way to write what was read. */
    function assertReadOrRefused(bytes: Uint8Array): void {
      let message: SipMessage;
      try {
        message = parseSip(bytes);
      } catch (error) {
        assert.ok(badSip(error), String(error));
        return;
      }
      assert.deepEqual(encodeSip(message), Buffer.from(bytes));
    }

    it("is read as it was written", () => {
      fc.assert(fc.property(anyMessage, (message) => assert.deepEqual(parseSip(encodeSip(message)), message)));
    });

    it("has one way to be written: bytes that are read are written again byte for byte", () => {
      fc.assert(
        fc.property(anyMessage, (message) => {
          const bytes = encodeSip(message);
          assert.deepEqual(encodeSip(parseSip(bytes)), bytes);
        }),
      );
    });

    it("gives bad-sip and nothing else for random bytes", () => {
      fc.assert(
        fc.property(fc.uint8Array({ maxLength: 5000 }), (bytes) => assert.throws(() => parseSip(bytes), badSip)),
      );
      fc.assert(
        fc.property(fc.string({ unit: "grapheme" }), (text) =>
          assert.throws(() => parseSip(Buffer.from(`${text}\r\n\r\n`)), badSip),
        ),
      );
    });

    it("is refused or read exactly after any few changes", () => {
      const change = fc.record({
        at: fc.nat(),
        remove: fc.nat({ max: 3 }),
        insert: fc.oneof(fc.constantFrom("\r\n", " ", ":", "\0", "0", "a", ";tag="), fc.string({ maxLength: 4 })),
      });
      fc.assert(
        fc.property(anyMessage, fc.array(change, { minLength: 1, maxLength: 4 }), (message, changes) => {
          let text = encodeSip(message).toString("latin1");
          for (const { at, remove, insert } of changes) {
            const place = at % text.length;
            text = text.slice(0, place) + insert + text.slice(place + remove);
          }
          assertReadOrRefused(bytesOf(text));
        }),
      );
    });

    it("is refused or read exactly after any one bit flipped in its head", () => {
      for (const text of [m4, busyOn503]) {
        for (let bit = 0; bit < text.length * 8; bit++) {
          const bytes = bytesOf(text);
          bytes[bit >> 3]! ^= 1 << (bit & 7);
          assertReadOrRefused(bytes);
        }
      }
    });

    it("is refused or read exactly with any two lines exchanged or one left out or doubled", () => {
      const lines = m4.split("\r\n");
      for (let i = 0; i < lines.length - 2; i++) {
        assert.throws(() => parseSip(bytesOf(lines.toSpliced(i, 1, lines[i]!, lines[i]!).join("\r\n"))), badSip);
        assertReadOrRefused(bytesOf(lines.toSpliced(i, 1).join("\r\n")));
        for (let j = i + 1; j < lines.length - 2; j++) {
          const swapped = lines.with(i, lines[j]!).with(j, lines[i]!);
          assert.throws(() => parseSip(bytesOf(swapped.join("\r\n"))), badSip);
        }
      }
    });

    it("is not written when a field holds any text that would not be read back", () => {
      const field = fc.constantFrom("branch", "callId", "feldfon", "uri", "tag", "party");
      const text = fc.oneof(
        fc.string({ unit: "grapheme" }),
        fc.constantFrom("x\r\nX: y", "server\r\n", "\n", "server>"),
      );
      fc.assert(
        fc.property(anyRequest, field, text, (message, field, text) => {
          const changed =
            field === "tag" || field === "party"
              ? { ...message, from: { ...message.from, [field]: text } }
              : { ...message, [field]: text };
          let bytes: Buffer;
          try {
            bytes = encodeSip(changed as SipRequest);
          } catch (error) {
            assert.ok(badSip(error), String(error));
            return;
          }
          assert.deepEqual(parseSip(bytes), changed);
        }),
      );
    });
  });
});

describe("hex", () => {
  it("makes two digits of each random byte", () => {
    assert.equal(
      hex(8, (bytes) => Buffer.alloc(bytes, 0xab)),
      "ab".repeat(8),
    );
    assert.match(hex(16), /^[0-9a-f]{32}$/);
    assert.notEqual(hex(16), hex(16));
  });
});
