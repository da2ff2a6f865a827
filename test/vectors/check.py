#!/usr/bin/python3
"""
Recomputes every recorded vector of the wire. Written from wire.md and what it cites (RFC 3711, 6188, 6962, 7714; for
seed root and uid the seeds), not from our TypeScript, so that a mistake would have to be made twice.

    python3 test/vectors/check.py [folder]

Needs Debian's python3 and python3-cryptography (38 or newer). ML-KEM is in neither: `ssMlkemHex` is taken as recorded,
and test/vectors.test.ts computes it from the recorded seed of the decapsulation key. One line per vector; the last line
counts; status 1 when anything differs or a recorded value was left unread.
"""

import base64
import json
import re
import struct
import sys
import unicodedata
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256, sha3_256
from hmac import digest as hmac_digest
from pathlib import Path

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, OAEP, PSS
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_private_key,
    load_der_public_key,
)

# ---------------------------------------------------------------------------------------------- what differs, and where


class Difference(Exception):
    """A recorded value is not what wire.md gives; the text names it."""


def shown(value):
    text = value.hex() if isinstance(value, bytes) else repr(value)
    return text if len(text) <= 96 else f"{text[:96]}.. ({len(value)})"


def same(what, recorded, computed):
    if recorded != computed:
        raise Difference(f"{what}: recorded {shown(recorded)}, wire.md gives {shown(computed)}")


def holds(what, truth):
    if not truth:
        raise Difference(f"{what} does not hold")


class Report:
    def __init__(self):
        self.passed = 0
        self.failed = 0

    @contextmanager
    def part(self, name):
        """Whatever a wrong vector makes of what follows: said, counted, and on to the next one."""
        try:
            yield
        except Difference as difference:
            self.fail(name, difference)
        except Exception as error:
            self.fail(name, f"{type(error).__name__}: {error}")

    @contextmanager
    def vector(self, name):
        before = self.failed
        with self.part(name):
            yield
        if self.failed == before:
            self.passed += 1
            print(f"ok      {name}")

    def fail(self, name, why):
        self.failed += 1
        print(f"DIFFERS {name}: {why}")


report = Report()


class Recorded:
    """One object of a vector file. Bytes are hex where the name ends in Hex, else base64; who reads what is kept."""

    def __init__(self, values, place):
        self.values = values
        self.place = place
        self.unread = set(values)
        self.inner = []

    def text(self, name):
        self.unread.discard(name)
        return self.values[name]

    number = text

    def bytes(self, name):
        if f"{name}Hex" in self.values:
            return bytes.fromhex(self.text(f"{name}Hex"))
        return base64.b64decode(self.text(name), validate=True)

    def has(self, name):
        return name in self.values or f"{name}Hex" in self.values

    def object(self, name):
        inner = Recorded(self.text(name), f"{self.place} {name}")
        self.inner.append(inner)
        return inner

    def objects(self, name):
        objects = [Recorded(each, f"{self.place} {name}[{i}]") for i, each in enumerate(self.text(name))]
        self.inner += objects
        return objects

    def leftovers(self):
        yield from (f"{self.place} {name}" for name in sorted(self.unread))
        for inner in self.inner:
            yield from inner.leftovers()


# ------------------------------------------------------------------------------------------ 1. Transcripts and labels


def u8(n):
    return struct.pack(">B", n)


def u16(n):
    return struct.pack(">H", n)


def u32(n):
    return struct.pack(">I", n)


def u64(n):
    return struct.pack(">Q", n)


def LP(x):
    return u32(len(x)) + x


def H(x):
    return sha3_256(x).digest()


def label(word):
    return b"feldfon/1 " + word.encode("ascii")


def T(word, *parts):
    return H(LP(label(word)) + b"".join(LP(part) for part in parts))


def KDF(word, t, n, *keys):
    hkdf = HKDF(algorithm=hashes.SHA256(), length=n, salt=t, info=label(word) + b"\0" + t)
    return hkdf.derive(b"".join(keys))


def MAC(word, t, k):
    return hmac_digest(k, label(word) + b"\0" + t, "sha256")


def PAIR(word, t, k):
    return {"client": KDF(f"{word} c2s", t, 44, k), "server": KDF(f"{word} s2c", t, 44, k)}


def xor(a, b):
    return bytes(x ^ y for x, y in zip(a, b, strict=True))


def gcm_seal(k44, counter, aad, clear):
    """AES-256-GCM; k44 = key 32 | iv 12; nonce = iv XOR (0^4 | c)."""
    return AESGCM(k44[:32]).encrypt(xor(k44[32:], bytes(4) + u64(counter)), clear, aad)


def gcm_open(what, k44, counter, aad, sealed):
    try:
        return AESGCM(k44[:32]).decrypt(xor(k44[32:], bytes(4) + u64(counter)), sealed, aad)
    except InvalidTag:
        raise Difference(f"{what}: the tag does not hold") from None


def x25519(private, public):
    return X25519PrivateKey.from_private_bytes(private).exchange(X25519PublicKey.from_public_bytes(public))


def x25519_public(private):
    return X25519PrivateKey.from_private_bytes(private).public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


class Owner:
    """Somebody's RSA-4096 key: the public half from DER, with the private half when the vectors bring it."""

    def __init__(self, spki, pkcs8=None):
        self.spki = spki
        self.key = load_der_public_key(spki)
        holds("RSA-4096 with exponent 65537", self.key.key_size == 4096 and self.key.public_numbers().e == 65537)
        canonical = self.key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        same("canonical DER SPKI", spki, canonical)
        same("SPKI bytes", len(spki), 550)
        # Seed 001: SHA-256 of the key's OpenSSH line without comment.
        self.uid = sha256(self.key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)).digest()
        self.private = None
        if pkcs8:
            self.private = load_der_private_key(pkcs8, password=None)
            same("public half of the test key", spki, Owner(self.public_of_private()).spki)

    def public_of_private(self):
        return self.private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)

    def check_signature(self, what, word, t, signature):
        """SIGN_X(l, t): RSASSA-PSS, SHA-256, MGF1-SHA-256, salt exactly 32, over l | 00 | t."""
        same(f"{what}: bytes", len(signature), 512)
        pss = PSS(mgf=MGF1(hashes.SHA256()), salt_length=32)
        try:
            self.key.verify(signature, label(word) + b"\0" + t, pss, hashes.SHA256())
        except InvalidSignature:
            raise Difference(f"{what}: the signature does not hold") from None

    def unwrap(self, what, word, t, wrapped):
        """WRAP_X(l, t, s): RSAES-OAEP, SHA-256, MGF1-SHA-256, label l | 00 | t, of "+++secret+++" | s(48)."""
        oaep = OAEP(mgf=MGF1(hashes.SHA256()), algorithm=hashes.SHA256(), label=label(word) + b"\0" + t)
        try:
            clear = self.private.decrypt(wrapped, oaep)
        except ValueError:
            raise Difference(f"{what}: OAEP does not open") from None
        same(f"{what}: prefix", clear[:12], b"+++secret+++")
        same(f"{what}: bytes of the secret", len(clear[12:]), 48)
        return clear[12:]


class Reader:
    """Takes bytes from the front; `end` refuses left-over bytes."""

    def __init__(self, what, data):
        self.what = what
        self.data = data
        self.at = 0

    def take(self, n):
        piece = self.data[self.at : self.at + n]
        if len(piece) != n:
            raise Difference(f"{self.what}: {n} bytes wanted at {self.at}, {len(piece)} left")
        self.at += n
        return piece

    def u8(self):
        return self.take(1)[0]

    def u16(self):
        return struct.unpack(">H", self.take(2))[0]

    def u32(self):
        return struct.unpack(">I", self.take(4))[0]

    def u64(self):
        return struct.unpack(">Q", self.take(8))[0]

    def lp(self):
        return self.take(self.u32())

    def rest(self):
        return self.take(len(self.data) - self.at)

    def more(self):
        return self.at < len(self.data)

    def end(self):
        same(f"{self.what}: left-over bytes", len(self.data) - self.at, 0)


# ------------------------------------------------------------------------------------------------------ RFC 6962 shape


def half_of(size):
    """The largest power of two below size."""
    return 1 << (size - 1).bit_length() - 1


def merkle_root(leaves):
    """RFC 9162 2.1.1 over leaf hashes, node H(01|l|r)."""
    if len(leaves) == 1:
        return leaves[0]
    half = half_of(len(leaves))
    return H(b"\1" + merkle_root(leaves[:half]) + merkle_root(leaves[half:]))


def depth_of(index, size):
    """Entries in the path of a leaf."""
    if size == 1:
        return 0
    half = half_of(size)
    return 1 + (depth_of(index, half) if index < half else depth_of(index - half, size - half))


def root_by_path(what, leaf, index, size, path):
    """RFC 9162 2.1.3.2, read backwards from 2.1.3.1: lowest entry first, exactly as many as the shape asks."""
    holds(f"{what}: index {index} < size {size}", index < size)
    same(f"{what}: entries", len(path), depth_of(index, size))
    if size == 1:
        return leaf
    half = half_of(size)
    if index < half:
        return H(b"\1" + root_by_path(what, leaf, index, half, path[:-1]) + path[-1])
    return H(b"\1" + path[-1] + root_by_path(what, leaf, index - half, size - half, path[:-1]))


def entries(what, path):
    same(f"{what}: path in 32-byte entries", len(path) % 32, 0)
    return [path[i : i + 32] for i in range(0, len(path), 32)]


def seed_root(keys):
    """Seeds 000 and 003, definition A: SHA3-256 over text, hex digits joined, the last of an odd level doubled."""
    level = [sha3_256(key.encode()).hexdigest() for key in keys]
    while len(level) > 1:
        if len(level) % 2:
            level.append(level[-1])
        level = [sha3_256((level[i] + level[i + 1]).encode()).hexdigest() for i in range(0, len(level), 2)]
    return bytes.fromhex(level[0])


# ----------------------------------------------------------------------------------------------------------- DIRECTORY


@dataclass
class Row:
    uid: bytes
    name: str
    spki: bytes
    flags: int

    def encoded(self):
        return self.uid + LP(self.name.encode()) + LP(self.spki) + u32(self.flags)

    def leaf(self):
        return H(b"\0" + self.encoded())


def read_name(reader):
    name = reader.lp().decode("utf-8")
    same("name in NFC", name, unicodedata.normalize("NFC", name))
    return name


def read_row(reader):
    row = Row(reader.take(32), read_name(reader), reader.lp(), reader.u32())
    same("uid of a row's key", row.uid, Owner(row.spki).uid)
    return row


@dataclass
class Head:
    data: bytes
    uid: bytes
    epoch: int
    rows: int
    seed_root: bytes
    dir_root: bytes
    prev: bytes
    log_root: bytes
    hash: bytes


def read_head(data, signature, server):
    """HEAD and its signature."""
    reader = Reader("HEAD", data)
    same("HEAD: magic", reader.take(4), b"FFH1")
    uid, epoch, rows = reader.take(32), reader.u64(), reader.u32()
    roots = [reader.take(32) for _ in range(4)]
    reader.u64()  # time: shown, never judged
    reader.end()
    head = Head(data, uid, epoch, rows, *roots, hash=T("head", data))
    same("HEAD: uid_S", uid, server.uid)
    server.check_signature(f"head {epoch}", "head", head.hash, signature)
    return head


def check_roots(head, spkis, leaves):
    same("HEAD: rows", head.rows, len(leaves))
    same("HEAD: seed_root", head.seed_root, seed_root([base64.b64encode(spki).decode() for spki in spkis]))
    same("HEAD: dir_root", head.dir_root, merkle_root(leaves))


def check_first_row(server, row):
    same("row 0", (row.uid, row.name, row.spki, row.flags), (server.uid, "server", server.spki, 1))


def log_leaf(head_hash):
    return H(b"\0" + head_hash)


def check_log_root(head, older_hashes):
    """`prev` and `log_root` of a head whose predecessors are all known."""
    same("heads before this one", len(older_hashes), head.epoch)
    if head.epoch == 0:
        same("HEAD: prev and log_root at epoch 0", head.prev + head.log_root, bytes(64))
        return
    same("HEAD: prev", head.prev, older_hashes[-1])
    same("HEAD: log_root", head.log_root, merkle_root([log_leaf(each) for each in older_hashes]))


def check_chain(head, last_epoch, last_hash, path):
    """What a handset that holds (epoch, hash) makes of a newer head; no last head is epoch 0 with hash 0^32."""
    if last_hash == bytes(32) or last_epoch == head.epoch or last_epoch + 1 == head.epoch:
        same("log path is empty", path, b"")
        if last_hash == bytes(32):
            same("epoch without a last head", last_epoch, 0)
        elif last_epoch == head.epoch:
            same("hash of the same epoch", head.hash, last_hash)
        else:
            same("prev of the next epoch", head.prev, last_hash)
        return
    root = root_by_path("log path", log_leaf(last_hash), last_epoch, head.epoch, entries("log path", path))
    same("log_root by path", head.log_root, root)


def read_step2(body, server, own, last):
    """Step 2: roots, own and server row, chain. @returns the head, [(spki, leaf)]"""
    reader = Reader("step 2", body)
    head = read_head(reader.lp(), reader.take(512), server)
    rows = [(reader.lp(), reader.take(32)) for _ in range(reader.u32())]
    path = reader.lp()
    reader.end()
    check_roots(head, [spki for spki, _ in rows], [leaf for _, leaf in rows])
    same("key of row 0", rows[0][0], server.spki)
    same("rows with the own key", sum(spki == own.spki for spki, _ in rows), 1)
    check_chain(head, *last, path)
    return head, rows


def read_step6(body, server, offered):
    """Step 6: each row must hash to its leaf of step 2. @returns the rows"""
    reader = Reader("step 6", body)
    rows = []
    for spki, leaf in offered:
        row = Row(reader.take(32), read_name(reader), spki, reader.u32())
        same("uid of a row's key", row.uid, Owner(spki).uid)
        same(f"leaf of {row.name}", leaf, row.leaf())
        rows.append(row)
    reader.end()
    check_first_row(server, rows[0])
    return rows


def read_delta(body, server, rows, last):
    """A delta upon the rows held so far. @returns the new head, the new rows"""
    reader = Reader("delta", body)
    same("delta: from", reader.u64(), last[0])
    head = read_head(reader.lp(), reader.take(512), server)
    path = reader.lp()
    rows = list(rows)
    ops = 0
    while reader.more():
        kind, ops = reader.u8(), ops + 1
        if kind == 0:
            index = reader.u32()
            holds(f"delta: index {index} names a client's row", 0 < index < len(rows))
            del rows[index]
        else:
            same("delta: op", kind, 1)
            rows.append(read_row(reader))
    if head.epoch == last[0]:
        same("delta to the same epoch: ops", ops, 0)
    check_chain(head, *last, path)
    check_first_row(server, rows[0])
    check_roots(head, [row.spki for row in rows], [row.leaf() for row in rows])
    return head, rows


def read_evidence(body, server):
    """@returns older or equal head, newer head: both signed by one server, and they contradict each other"""
    reader = Reader("evidence", body)
    same("evidence: magic", reader.take(4), b"FFE1")
    same("evidence: server key", reader.lp(), server.spki)
    first = read_head(reader.lp(), reader.take(512), server)
    second = read_head(reader.lp(), reader.take(512), server)
    path = reader.lp()
    reader.end()
    holds("evidence: two heads", first.hash != second.hash)
    if first.epoch == second.epoch:
        same("evidence: path for one epoch", path, b"")
    return first, second, path


# ------------------------------------------------------------------------------------------------------ 2. SIP mapping

ID = r"(server|[0-9a-f]{64})"
SIP = re.compile(
    rf"""(?:(?P<method>REGISTER|MESSAGE|INVITE|ACK|BYE|CANCEL|INFO)[ ]
        sip:{ID.replace("(", "(?P<uri>", 1)}@feldfon[ ]SIP/2\.0
      |SIP/2\.0[ ](?P<status>[1-6][0-9][0-9])[ ](?P<reason>[A-Z][A-Za-z /]+))\r\n
    Via:[ ](?P<via>SIP/2\.0/TCP[ ]feldfon;branch=z9hG4bK[0-9a-f]{{16}})\r\n
    (?P<forwards>Max-Forwards:[ ]70\r\n)?
    From:[ ](?P<from><sip:{ID.replace("(", "(?P<from_id>", 1)}@feldfon>;tag=[0-9a-f]{{16}})\r\n
    To:[ ]<sip:{ID.replace("(", "(?P<to_id>", 1)}@feldfon>(?P<to_tag>;tag=[0-9a-f]{{16}})?\r\n
    Call-ID:[ ](?P<call_id>[0-9a-f]{{32}})\r\n
    CSeq:[ ](?P<cseq>[1-9][0-9]*)[ ](?P<cseq_method>[A-Z]+)\r\n
    (?P<asks>WWW-Authenticate:[ ]Feldfon[ ]realm="feldfon"\r\n)?
    (?P<answers>Authorization:[ ]Feldfon[ ]realm="feldfon"\r\n)?
    (?:Retry-After:[ ](?P<retry>[0-9]+)\r\n)?
    (?:Feldfon:[ ](?P<word>[a-z0-9-]+)\r\n)?
    (?P<type>Content-Type:[ ]application/octet-stream\r\n)?
    Content-Length:[ ](?P<length>0|[1-9][0-9]*)\r\n
    \r\n""",
    re.VERBOSE,
)
REASONS = {  # RFC 3261 21
    100: "Trying",
    180: "Ringing",
    200: "OK",
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    408: "Request Timeout",
    480: "Temporarily Unavailable",
    481: "Call/Transaction Does Not Exist",
    482: "Loop Detected",
    486: "Busy Here",
    487: "Request Terminated",
    503: "Service Unavailable",
    603: "Decline",
}


@dataclass
class Sip:
    method: str  # of the request, also in its answer
    status: int  # 0 for a request
    uri: str
    sender: str
    to: str
    call_id: bytes
    cseq: int
    word: str
    asks: bool  # WWW-Authenticate
    answers: bool  # Authorization
    retry_after: str
    copied: tuple  # what an answer repeats
    body: bytes


def read_sip(data):
    """wire.md 2 and 3 "Form": exactly these headers, once each, in this order and spelling."""
    head_bytes = data.find(b"\r\n\r\n") + 4
    holds("SIP: a head of at most 4,096 bytes", 4 <= head_bytes <= 4096)
    match = SIP.fullmatch(data[:head_bytes].decode("ascii"))
    holds("SIP: form of the head", match)
    row = match.groupdict()
    body = data[head_bytes:]
    same("SIP: Content-Length", int(row["length"]), len(body))
    same("SIP: Content-Type with a body only", bool(row["type"]), len(body) > 0)
    status = int(row["status"] or 0)
    same("SIP: Max-Forwards in requests only", bool(row["forwards"]), status == 0)
    same("SIP: To tag in answers but 100", bool(row["to_tag"]), status > 100)
    if status == 0:
        same("SIP: method in CSeq", row["cseq_method"], row["method"])
        same("SIP: To is the Request-URI", row["to_id"], row["uri"])
    else:
        same("SIP: reason phrase", row["reason"], REASONS.get(status))
    return Sip(
        method=row["cseq_method"],
        status=status,
        uri=row["uri"],
        sender=row["from_id"],
        to=row["to_id"],
        call_id=bytes.fromhex(row["call_id"]),
        cseq=int(row["cseq"]),
        word=row["word"],
        asks=bool(row["asks"]),
        answers=bool(row["answers"]),
        retry_after=row["retry"],
        copied=(row["via"], row["from"], row["to_id"], row["call_id"], row["cseq"], row["cseq_method"]),
        body=body,
    )


def check_clear(what, sip, method, status, word, cseq, sender, to):
    """A message outside the seal: start line, word, CSeq, parties."""
    same(f"{what}: start line", (sip.method, sip.status), (method, status))
    same(f"{what}: Feldfon", sip.word, word)
    same(f"{what}: CSeq", sip.cseq, cseq)
    same(f"{what}: From and To", (sip.sender, sip.to), (sender, to))
    same(f"{what}: WWW-Authenticate, Authorization", (sip.asks, sip.answers), (status == 401, word == "m4"))


# ------------------------------------------------------------------------------------------------------------- CHANNEL


@dataclass
class Held:
    """What a handset holds of the directory, over all its lines."""

    last: tuple = (0, bytes(32))  # epoch and hash of its last head
    rows: list = field(default_factory=list)
    offered: tuple = ()  # head and rows of step 2
    shown_root: bytes = b""  # at the update's proof


@dataclass
class Line:
    """A client's connection: who, and its keys."""

    name: str
    client: Owner
    server: Owner
    held: Held
    call_id: bytes = b""
    th: bytes = b""
    j: bytes = b""
    rm: bytes = b""
    rk: bytes = b""
    resume_id: bytes = b""
    server_secret: bytes = b""
    keys: dict = field(default_factory=dict)  # "connect", "joined" -> {"client": k44, "server": k44}
    cseq: dict = field(default_factory=lambda: {"client": 0, "server": 0})
    counters: dict = field(default_factory=dict)  # (keys, from) -> last counter seen
    asked: dict = field(default_factory=dict)  # (call_id, cseq, from, method) -> request
    joined: set = field(default_factory=set)  # who seals under "joined" by now
    nonce: bytes = b""  # of the update's challenge

    def k44(self, keys, sender, counter):
        """Frame c is under generation c div 1,024."""
        k44 = self.keys[keys][sender]
        for _ in range(counter // 1024):
            k44 = KDF("rekey", self.th, 44, k44)
        return k44


def resume_keys(line):
    line.rm = KDF("resume mac", line.th, 32, line.j)
    line.rk = KDF("resume key", line.th, 32, line.j)
    line.resume_id = MAC("resume id", line.th, line.rm)[:16]


def agree(recorded, line, client_public, server_public):
    """X25519 from both ends. @returns ss_mlkem, ss_x25519"""
    client, server = recorded.bytes("clientX25519"), recorded.bytes("serverX25519")
    same("client's X25519", client_public, x25519_public(client))
    same("server's X25519", server_public, x25519_public(server))
    shared = x25519(client, server_public)
    same("ss_x25519, both ends", shared, x25519(server, client_public))
    same("ss_x25519", recorded.bytes("ssX25519"), shared)
    recorded.bytes("clientMlkem")  # for the TypeScript side
    return recorded.bytes("ssMlkem"), shared


def check_pairs(recorded, line, name):
    for sender, direction in (("client", "C2s"), ("server", "S2c")):
        same(f"{name} {direction.lower()}", recorded.bytes(f"{name}{direction}"), line.keys[name][sender])


def check_resume_keys(recorded, line):
    resume_keys(line)
    same("rm", recorded.bytes("resumeMac"), line.rm)
    same("rk", recorded.bytes("resumeKey"), line.rk)
    same("resume id", recorded.bytes("resumeId"), line.resume_id)


def check_m3(what, m3, leaf, server):
    reader = Reader(what, m3)
    signature, index, size = reader.take(512), reader.u32(), reader.u32()
    path = entries(what, reader.take(16 * 32))
    reader.end()
    holds(f"{what}: {index} of a batch of 1..65,536", index < size <= 65536)
    depth = depth_of(index, size)
    same(f"{what}: unused path entries", b"".join(path[depth:]), bytes(32 * (16 - depth)))
    root = root_by_path(what, leaf, index, size, path[:depth])
    server.check_signature(what, "m3", T("m3", u32(size), root), signature)
    return index, size


def check_batch(recorded, server):
    leaves = [bytes.fromhex(leaf) for leaf in recorded.text("leavesHex")]
    with report.vector(f"channel: batch of {len(leaves)}"):
        for index, m3 in enumerate(recorded.text("m3")):
            place = check_m3(f"M3 {index}", base64.b64decode(m3), leaves[index], server)
            same("index, size", place, (index, len(leaves)))


def check_handshake(recorded, owners, held):
    """M1..M4 and every key up to "joined". @returns the line"""
    client, server = owners[recorded.text("client")], owners["server"]
    line = Line(recorded.text("line"), client, server, held)
    name = f"channel {line.name}:"
    m1, answer, m4 = recorded.bytes("m1"), recorded.bytes("unauthorized"), recorded.bytes("m4")
    m2, m3 = answer[:-1032], answer[-1032:]

    with report.vector(f"{name} M1"):
        sip = read_sip(m1)
        check_clear("M1", sip, "REGISTER", 0, "m1", 1, client.uid.hex(), "server")
        line.call_id = sip.call_id
        body = Reader("M1", sip.body)
        same("version, suite", body.take(2), b"\1\1")
        body.take(32)  # nonce
        client_public = body.take(32)
        body.take(1184)  # ek
        same("SPKI_C", body.lp(), client.spki)
        body.end()

    with report.vector(f"{name} M2 in the 401"):
        sip = read_sip(answer)
        check_clear("401", sip, "REGISTER", 401, "m1", 1, client.uid.hex(), "server")
        same("401 repeats M1's Via, From, To, Call-ID, CSeq", sip.copied, read_sip(m1).copied)
        body = Reader("401", sip.body)
        same("version, suite", body.take(2), b"\1\1")
        body.take(32)  # nonce
        server_public = body.take(32)
        body.take(1088)  # ct
        same("SPKI_S", body.lp(), server.spki)
        same("M3 behind it", body.rest(), m3)

    with report.vector(f"{name} M3"):
        t2 = T("m2", m1, m2)
        index, size = check_m3("M3", m3, H(b"\0" + t2), server)
        same("place in the batch", (recorded.number("batchIndex"), recorded.number("batchSize")), (index, size))

    with report.vector(f"{name} M4"):
        sip = read_sip(m4)
        check_clear("M4", sip, "REGISTER", 0, "m4", 2, client.uid.hex(), "server")
        same("M4: Call-ID", sip.call_id, line.call_id)
        t4 = T("m4", t2, m3)
        client.check_signature("M4", "m4", t4, sip.body)
        line.cseq["client"] = 2

    with report.vector(f"{name} th, ch, keys"):
        line.th = T("channel", t4, m4)
        same("th", recorded.bytes("th"), line.th)
        shared = agree(recorded, line, client_public, server_public)
        ch = KDF("channel", line.th, 32, *shared)
        same("ch", recorded.bytes("ch"), ch)
        line.keys["connect"] = PAIR("connect", line.th, ch)
        check_pairs(recorded, line, "connect")

    with report.vector(f"{name} step 5, joined and resume keys"):
        line.server_secret = recorded.bytes("serverSecret")
        line.j = KDF("joined", line.th, 32, ch, line.server_secret)
        same("j", recorded.bytes("j"), line.j)
        line.keys["joined"] = PAIR("joined", line.th, line.j)
        check_pairs(recorded, line, "joined")
        check_resume_keys(recorded, line)
    return line


def check_frame(recorded, line):
    """Opens a frame and makes it anew. @returns the SIP message in it"""
    keys, sender, counter = recorded.text("keys"), recorded.text("from"), recorded.number("counter")
    frame, message = recorded.bytes("frame"), recorded.bytes("message")
    same("keys", keys, "joined" if sender in line.joined else "connect")
    k44 = line.k44(keys, sender, counter)
    aad = u32(len(frame)) + u64(counter)
    same("frame: counter", frame[:8], u64(counter))
    clear = gcm_open("frame", k44, counter, aad, frame[8:])
    padded = LP(message)
    padded += bytes(-len(padded) % 256)
    same("clear", clear, padded)
    same("frame", frame, u64(counter) + gcm_seal(k44, counter, aad, padded))
    last = line.counters.get((keys, sender), -1)
    gap_allowed = recorded.has("skipped") and recorded.number("skipped")
    same("counter goes on", counter, last + 1 + gap_allowed)
    line.counters[keys, sender] = counter
    return read_sip(message)


def check_envelope(sip, line, sender):
    """Parties, Call-ID, CSeq. @returns the request an answer belongs to"""
    other = {"client": "server", "server": "client"}[sender]
    party = {"client": line.client.uid.hex(), "server": "server"}
    if sip.status:
        request = line.asked.get((sip.call_id, sip.cseq, other, sip.method))
        holds("SIP: an answer to a request of the other end", request)
        same("SIP: what an answer copies", sip.copied, request.copied)
        if sip.status == 200:
            same("SIP: a 200 repeats its request's word", sip.word, request.word)
        return request
    same("SIP: From is the sender on this line", sip.sender, party[sender])
    if sip.word:
        same("SIP: To is the line's other end", sip.to, party[other])
        same("SIP: the line's Call-ID", sip.call_id, line.call_id)
    elif sender == "server":
        same("SIP: To, from the server", sip.to, party["client"])
    if sip.method in ("ACK", "CANCEL"):
        invite = line.asked.get((sip.call_id, sip.cseq, sender, "INVITE"))
        holds(f"SIP: {sip.method} with its INVITE's number", invite)
        if sip.method == "CANCEL":
            same("SIP: CANCEL with its INVITE's Via", sip.copied[0], invite.copied[0])
    else:
        holds(f"SIP: CSeq {sip.cseq} rises", sip.cseq > line.cseq[sender])
        line.cseq[sender] = sip.cseq
    line.asked[sip.call_id, sip.cseq, sender, sip.method] = sip
    return None


def check_body(line, sip, request, heads):
    """A message of the line itself (the rows of wire.md 2 with a Feldfon word): its body, and what it changes."""
    word, asked, held = (request or sip).word, request is None, line.held
    body = Reader(f"{word} {'' if asked else sip.status}", sip.body)
    if asked:
        methods = {"join": "REGISTER", "leave": "BYE"}
        same("SIP: method", sip.method, methods.get(word, "MESSAGE"))
    match word, asked:
        case "join", True:
            same("CSeq of join", sip.cseq, 3)
            read_name(body)
            same("join: last head", (body.u64(), body.take(32)), held.last)
            body.lp().decode("utf-8")  # enrolment code
        case "head", True:
            held.offered = read_step2(body.rest(), line.server, line.client, held.last)
            same("a head of the log", held.offered[0].hash, heads[held.offered[0].epoch])
        case "head", False:
            same("head 200: headhash", body.take(32), held.offered[0].hash)
            line.joined.add("client")
        case "secret", True:
            secret = line.client.unwrap("secret", "server secret", line.th, body.rest())
            same("server secret", line.server_secret, secret)
            line.joined.add("server")
        case "secret", False:
            same("stored", body.take(32), T("stored", line.th))
        case "phonebook", True:
            held.rows = read_step6(body.rest(), line.server, held.offered[1])
            held.last = (held.offered[0].epoch, held.offered[0].hash)
        case "phonebook", False:
            same("phonebook 200: headhash", body.take(32), held.last[1])
        case "delta", True:
            if Reader("delta", sip.body).u64() == held.last[0]:
                head, held.rows = read_delta(body.rest(), line.server, held.rows, held.last)
                held.last = (head.epoch, head.hash)
                same("a head of the log", head.hash, heads[head.epoch])
                if held.shown_root:
                    same("update: seed root at the proof", held.shown_root, head.seed_root)
                held.shown_root = b""
            else:  # a gap: answered with the unchanged headhash, then snapshot
                body.rest()
        case "delta", False:
            same("delta 200: headhash held now", body.take(32), held.last[1])
        case "update", False:
            line.nonce = body.take(32)
        case "proof", True:
            same("proof: epoch, headhash", (body.u64(), body.take(32)), held.last)
            signed = T("update", line.th, line.nonce, held.last[1])
            line.client.check_signature("proof", "update", signed, body.take(512))
        case "proof", False:
            held.shown_root = body.take(32)  # compared with the head of the delta behind it
        case ("snapshot" | "sync"), True:
            same(f"{word}: epoch, headhash", (body.u64(), body.take(32)), held.last)
        case "path", True:
            older, newer = body.u64(), body.u64()
            holds("path: older is older", older < newer)
        case "path", False:
            asked_for = Reader("path", request.body)
            older, newer = asked_for.u64(), asked_for.u64()
            path = entries("path", body.rest())
            root = root_by_path("path", log_leaf(heads[older]), older, newer, path)
            log = [log_leaf(heads[epoch]) for epoch in range(newer)]
            same("path: log root", root, merkle_root(log))
        case ("join" | "ping" | "snapshot" | "sync" | "leave"), False:
            pass  # without body
        case ("ping" | "update" | "leave"), True:
            pass
        case _:
            raise Difference(f"Feldfon: {word} is no word of wire.md 2")
    body.end()


def check_messages(place, recorded, lines, heads, calls):
    """Every sealed message in order: the frame, the SIP form, the body. Calls are told apart by Call-ID."""
    for each in recorded.objects("messages"):
        line, sender = lines[each.text("line")], each.text("from")
        where = f"{place} {line.name}: {sender} {each.text('keys')} {each.number('counter')}"
        with report.vector(f"{where} {each.text('what')}"):
            sip = check_frame(each, line)
            request = check_envelope(sip, line, sender)
            same("what", each.text("what"), f"{sip.word or sip.method}{f' {sip.status}' if sip.status else ''}")
            if sip.call_id in calls:
                calls[sip.call_id].check_message(line, sender, sip)
            elif sip.status <= 200:
                check_body(line, sip, request, heads)


# ----------------------------------------------------------------------------------------------------- CHANNEL, resume


def check_resume(recorded, lines):
    """R1, R2 and the keys behind them. @returns the resumed line"""
    old = lines[recorded.text("before")]
    line = Line(recorded.text("line"), old.client, old.server, old.held, joined={"client", "server"})
    name = f"resume {line.name}:"
    r1_frame, r2_frame = recorded.bytes("r1"), recorded.bytes("r2")

    with report.vector(f"{name} R1"):
        sip = read_sip(r1_frame)
        check_clear("R1", sip, "REGISTER", 0, "r1", 1, line.client.uid.hex(), "server")
        line.call_id, line.cseq["client"] = sip.call_id, 1
        r1 = sip.body
        body = Reader("R1", r1)
        same("version, suite", body.take(2), b"\1\1")
        same("id", body.take(16), old.resume_id)
        body.take(32)  # nonce
        client_public = body.take(32)
        body.take(1184)  # ek
        t1 = T("r1", r1[:-32])
        same("MAC of R1", body.take(32), MAC("r1", t1, old.rm))
        body.end()

    with report.vector(f"{name} R2"):
        sip = read_sip(r2_frame)
        check_clear("R2", sip, "REGISTER", 200, "r1", 1, line.client.uid.hex(), "server")
        same("R2 repeats R1's Via, From, To, Call-ID, CSeq", sip.copied, read_sip(r1_frame).copied)
        r2 = sip.body
        body = Reader("R2", r2)
        same("version, suite", body.take(2), b"\1\1")
        body.take(32)  # nonce
        server_public = body.take(32)
        body.take(1088)  # ct
        t2 = T("r2", t1, r1[-32:], r2[:-32])
        same("MAC of R2", body.take(32), MAC("r2", t2, old.rm))
        body.end()

    with report.vector(f"{name} th, joined and resume keys"):
        line.th = T("resumed", t2, r2[-32:])
        same("th", recorded.bytes("th"), line.th)
        shared = agree(recorded, line, client_public, server_public)
        line.j = KDF("resumed", line.th, 32, *shared, old.rk)
        same("j", recorded.bytes("j"), line.j)
        line.keys["joined"] = PAIR("joined", line.th, line.j)
        check_pairs(recorded, line, "joined")
        check_resume_keys(recorded, line)
    return line


def check_refusal(recorded, owners):
    """400 and 503 to M1, 481 to R1: in clear, without body."""
    with report.vector(f"{recorded.place}: {recorded.number('status')} in clear"):
        client = owners[recorded.text("client")].uid.hex()
        status, word = recorded.number("status"), recorded.text("word")
        asked, refused = read_sip(recorded.bytes("asked")), read_sip(recorded.bytes("refused"))
        check_clear("asked", asked, "REGISTER", 0, "r1" if status == 481 else "m1", 1, client, "server")
        check_clear("refused", refused, "REGISTER", status, word, 1, client, "server")
        same("Retry-After in a 503 only", refused.retry_after, "5" if status == 503 else None)
        same("a refusal repeats Via, From, To, Call-ID, CSeq", refused.copied, asked.copied)
        same("a refusal has no body", refused.body, b"")


# ---------------------------------------------------------------------------------------------------------------- CALL


def read_lps(body):
    """SIP body = LP(e2e) | LP(hop)"""
    reader = Reader("call body", body)
    parts = reader.lp(), reader.lp()
    reader.end()
    return parts


def read_candidates(data):
    """u8 n | n x (u8 family 4 or 6 | address | u16 port)"""
    reader = Reader("candidates", data)
    found = []
    for _ in range(reader.u8()):
        address = reader.take({4: 4, 6: 16}[reader.u8()])
        found.append((address, reader.u16()))
    reader.end()
    return found


class Call:
    """One call as both lines saw it. What passes end to end must be the same bytes on both."""

    def __init__(self, recorded, lines):
        self.recorded = recorded
        self.id = recorded.bytes("callId")
        self.line = {"A": lines[recorded.text("caller")], "B": lines[recorded.text("callee")]}
        self.uid = {side: line.client.uid for side, line in self.line.items()}
        self.server = self.line["A"].server
        self.ended = recorded.text("ended")
        self.invite = self.answer = self.th = None
        self.head_hash, self.seen, self.keys = {}, {}, {}
        infos = recorded.objects("infos") if recorded.has("infos") else []
        self.infos = {(info.text("sender"), info.number("counter")): info for info in infos}

    def check_message(self, line, sender, sip):
        """`side`: whose line this is; `origin`: which end the message comes from, if a handset made it."""
        side = "A" if line is self.line["A"] else "B"
        other = {"A": "B", "B": "A"}[side]
        origin = side if sender == "client" else other
        if sip.status == 0 and sender == "client":
            same("SIP: To is the other handset", sip.to, self.uid[other].hex())
        same("SIP: no Feldfon in a call", sip.word, None)
        end_to_end, hop = read_lps(sip.body) if sip.body else (b"", b"")
        if sender == "client":
            same("hop from a handset", hop, b"")
        if end_to_end:
            # Of INFO there are many, told apart by their counters.
            part = (origin, sip.method, sip.status, end_to_end[:8] if sip.method == "INFO" else b"")
            same("end to end, the same on both lines", end_to_end, self.seen.setdefault(part, end_to_end))
        match sip.method, sip.status:
            case "INVITE", 0:
                self.check_invite(end_to_end)
                if sender == "server":
                    self.check_hop("B", hop)
            case "INVITE", 100:
                same("100: end to end", end_to_end, b"")
                self.check_hop("A", hop)
            case "INVITE", 200:
                self.check_answer(end_to_end)
            case "ACK", 0:
                if self.th is None:
                    self.open_ack(end_to_end)
                self.check_ack(end_to_end)
            case "BYE", (0 | 200):
                self.check_end(sip.status, origin, end_to_end)
            case "INFO", 0:
                self.check_info(origin, end_to_end)
            case "INVITE", (180 | 404 | 408 | 480 | 481 | 482 | 486 | 487 | 503 | 603):
                same("no body", sip.body, b"")
            case ("CANCEL", 0 | 200) | ("INFO", 200):
                same("no body", sip.body, b"")
            case _:
                raise Difference(f"{sip.method} {sip.status} has no row in wire.md 2")

    def check_hop(self, opener, hop):
        reader = Reader("hop", hop)
        wrapped, relay_id = reader.take(512), reader.take(8)
        reader.end()
        t = T("wrap", self.id, self.uid["A"], self.uid["B"], self.uid[opener])
        secret = self.line[opener].client.unwrap("hop", "call", t, wrapped)
        same("S_ab", self.recorded.bytes("sAb"), secret)
        same("relay id", self.recorded.bytes(f"relay{opener}"), relay_id)

    def check_invite(self, invite):
        reader = Reader("I", invite)
        same("version, suite", reader.take(2), b"\1\1")
        same("call_id", reader.take(16), self.id)
        same("uid_A", reader.take(32), self.uid["A"])
        same("uid_B", reader.take(32), self.uid["B"])
        head = read_head(reader.take(184), reader.take(512), self.server)
        self.commit = reader.take(32)
        before = invite[: reader.at]
        self.line["A"].client.check_signature("I", "invite", T("invite", before), reader.take(512))
        reader.end()
        same("head A holds", head.hash, self.line["A"].held.last[1])
        self.invite, self.head_hash["A"] = invite, head.hash
        if self.recorded.has("xA"):
            xa, na = x25519_public(self.recorded.bytes("xA")), self.recorded.bytes("nA")
            self.check_commit(xa, na)

    def check_commit(self, xa, na):
        commit = T("commit", self.id, self.uid["A"], self.uid["B"], self.head_hash["A"], xa, na)
        same("commit", self.commit, commit)

    def check_answer(self, answer):
        reader = Reader("R", answer)
        same("call_id", reader.take(16), self.id)
        self.xb, self.ek, self.nb = reader.take(32), reader.take(1184), reader.take(32)
        head = read_head(reader.take(184), reader.take(512), self.server)
        before = answer[: reader.at]
        signed = T("answer", self.invite, before)
        self.line["B"].client.check_signature("R", "answer", signed, reader.take(512))
        reader.end()
        same("XB", self.xb, x25519_public(self.recorded.bytes("xB")))
        self.recorded.bytes("calleeMlkem")  # for the TypeScript side
        same("head B holds", head.hash, self.line["B"].held.last[1])
        self.answer, self.head_hash["B"] = answer, head.hash

    def open_ack(self, ack):
        """What both ends derive from I, R and k."""
        self.xa, self.na = ack[16:48], ack[48:80]
        k = ack[: 16 + 32 + 32 + 1088]
        self.th = T("call", self.invite, self.answer, k)
        xa, xb = self.recorded.bytes("xA"), self.recorded.bytes("xB")
        shared = x25519(xb, self.xa)
        same("ss_x25519, both ends", x25519(xa, self.xb), shared)
        same("ss_x25519", self.recorded.bytes("ssX25519"), shared)
        cm = KDF("call", self.th, 32, self.recorded.bytes("ssMlkem"), shared, self.recorded.bytes("sAb"))
        self.keys["cm"] = cm
        for side in "AB":
            self.keys[f"confirm{side}"] = KDF(f"confirm {side}", self.th, 32, cm)
            self.keys[f"media{side}"] = KDF(f"media {side}", self.th, 44, cm)
            self.keys[f"way{side}"] = KDF(f"way {side}", self.th, 44, cm)

    def check_ack(self, ack):
        reader = Reader("K", ack)
        same("call_id", reader.take(16), self.id)
        same("XA", reader.take(32), x25519_public(self.recorded.bytes("xA")))
        self.check_commit(self.xa, reader.take(32))
        reader.take(1088)  # ct
        self.line["A"].client.check_signature("K", "ack", self.th, reader.take(512))
        same("MAC of K", reader.take(32), MAC("ack", self.th, self.keys["confirmA"]))
        reader.end()

    def check_end(self, status, origin, end_to_end):
        if self.ended == "here" and status == 200 and not end_to_end:
            return  # a BYE that crossed the end of the call: absorbed, 200 without body
        reader = Reader("BYE", end_to_end)
        same("call_id", reader.take(16), self.id)
        if self.ended == "keys":
            word = "gone" if status else "bye"
            same(f"MAC of {word}", reader.take(32), MAC(word, self.th, self.keys[f"confirm{origin}"]))
        reader.end()

    def check_info(self, origin, info):
        reader = Reader("INFO", info)
        counter, sealed = reader.u64(), reader.rest()
        clear = gcm_open("INFO", self.keys[f"way{origin}"], counter, self.id + u64(counter), sealed)
        same("INFO", sealed, gcm_seal(self.keys[f"way{origin}"], counter, self.id + u64(counter), clear))
        same("candidates", self.infos[origin, counter].bytes("candidates"), clear)
        read_candidates(clear)

    def sas(self):
        """Five numbers 00..63 from the first 30 bits."""
        parts = [self.uid["A"], self.uid["B"], self.head_hash["A"], self.head_hash["B"]]
        parts += [self.xa, self.na, self.xb + self.ek, self.nb]
        bits = int.from_bytes(T("sas", self.id, *parts)[:4], "big") >> 2
        return [bits >> shift & 63 for shift in (24, 18, 12, 6, 0)]

    def check_keys(self, name):
        if not self.recorded.has("th"):
            same("keys without ACK", self.th, None)
            return
        with report.vector(f"{name} TH and keys"):
            same("TH", self.recorded.bytes("th"), self.th)
            for key, value in self.keys.items():
                same(key, self.recorded.bytes(key), value)
        with report.vector(f"{name} SAS"):
            same("SAS", self.recorded.text("sas"), self.sas())


# --------------------------------------------------------------------------------------------------------------- VOICE


def srtp_session(k44):
    """RFC 3711 4.3 with AES-256 (RFC 6188, RFC 7714 12): master key 32 | master salt 12 | two zero bytes; kdr 0."""
    key, salt = k44[:32], k44[32:] + bytes(2)

    def stream(kind, n):
        x = salt[:7] + bytes([salt[7] ^ kind]) + salt[8:]
        encryptor = Cipher(algorithms.AES(key), modes.CTR(x + bytes(2))).encryptor()
        return encryptor.update(bytes(n)) + encryptor.finalize()

    return stream(0, 32), stream(2, 12)


def srtp_packet(mk, sender, th, index, timestamp, payload):
    """RFC 7714 8 and 9: the header is the AAD; nonce = (00 00 | SSRC | ROC | SEQ) XOR session salt."""
    for _ in range(index // 3000):
        mk = KDF(f"ratchet {sender}", th, 44, mk)
    key, salt = srtp_session(mk)
    ssrc, roc, seq = {"A": 1, "B": 2}[sender], index >> 16, index & 0xFFFF
    header = bytes([0x80, 96]) + u16(seq) + u32(timestamp) + u32(ssrc)
    return header + AESGCM(key).encrypt(xor(bytes(2) + u32(ssrc) + u32(roc) + u16(seq), salt), payload, header)


def check_voice(recorded, lines, call):
    first_packets = check_packets(recorded, call)
    for each in recorded.objects("relays"):
        check_relay(each, lines, call)
    for each in recorded.objects("passedOn"):
        with report.vector(f"voice: data from {each.text('sender')} to {each.text('receiver')} through the relay"):
            check_passed_on(each, call, first_packets)


def check_packets(recorded, call):
    """@returns the first packet of each sender"""
    first_packets = {}
    for sender in recorded.objects("senders"):
        side = sender.text("sender")
        with report.vector(f"voice {side}: media key of the call"):
            same("mk", sender.bytes("mk"), call.keys[f"media{side}"])
        for packet in sender.objects("packets"):
            index = packet.number("index")
            with report.vector(f"voice {side}: packet {index}, epoch {index // 3000}, ROC {index >> 16}"):
                timestamp, payload = packet.number("timestamp"), packet.bytes("payload")
                same("time stamp: samples sent", timestamp, index * 320)
                same("payload: 20 ms of 16 kHz s16", len(payload), 640)
                made = srtp_packet(call.keys[f"media{side}"], side, call.th, index, timestamp, payload)
                same("packet", packet.bytes("packet"), made)
                first_packets.setdefault(side, made)
    return first_packets


def check_relay(recorded, lines, call):
    line, relay_id = lines[recorded.text("line")], recorded.bytes("relayId")
    side = recorded.text("side")
    with report.vector(f"voice {line.name}: relay key"):
        same("line of this side", line, call.line[side])
        same("relay id", relay_id, call.recorded.bytes(f"relay{side}"))
        key = KDF("relay", T("relay", line.th, relay_id), 32, line.j)
        same("bk", recorded.bytes("bk"), key)
    for datagram in recorded.objects("datagrams"):
        counter = datagram.number("counter")
        for word in ("bind", "bound"):
            with report.vector(f"voice {line.name}: {word.upper()} {counter}"):
                mac = MAC(word, T(word, relay_id, u64(counter)), key)[:16]
                same(word, datagram.bytes(word), relay_id + b"\0" + u64(counter) + mac)


def check_passed_on(recorded, call, packets):
    """Data = relay id | SRTP packet; the relay puts the receiver's id before what it passes on."""
    sent, passed, sender = recorded.bytes("sent"), recorded.bytes("passed"), recorded.text("sender")
    same("sender's id", sent[:8], call.recorded.bytes(f"relay{sender}"))
    same("receiver's id", passed[:8], call.recorded.bytes(f"relay{recorded.text('receiver')}"))
    same("sender's first packet", sent[8:], packets[sender])
    same("packet passed on", passed[8:], sent[8:])


# ---------------------------------------------------------------------------------------------------------------- main


def check_directory(recorded):
    """Heads, step 2 and 6, deltas, path and evidence of one server's directory, epoch by epoch from its changes."""
    server = Owner(recorded.bytes("serverSpki"))
    members = [Owner(each.bytes("spki")) for each in recorded.objects("members")]
    server_row = Row(server.uid, "server", server.spki, 1)
    log, held, heads = [], [], []
    for number, (member, each) in enumerate(zip(members, recorded.inner, strict=True)):
        with report.vector(f"directory: uid of member {number}"):
            same("uid", each.bytes("uid"), member.uid)
    for number, epoch in enumerate(recorded.objects("epochs")):
        with report.vector(f"directory: epoch {number}, head and roots from its changes"):
            rows = [Row(members[n].uid, name, members[n].spki, 0) for name, n in epoch.text("rows")]
            changed = list(held)
            for op in epoch.text("ops"):
                if "leave" in op:
                    del changed[op["leave"] - 1]
                else:
                    changed.append(next(row for row in rows if row.name == op["append"]))
            same("rows after the changes", [row.name for row in rows], [row.name for row in changed])
            head = read_head(epoch.bytes("head"), epoch.bytes("signature"), server)
            same("epoch", head.epoch, number)
            check_roots(head, [row.spki for row in [server_row, *rows]], [row.leaf() for row in [server_row, *rows]])
            check_log_root(head, log)
            same("headhash", epoch.bytes("headHash"), head.hash)
            same("time", struct.unpack(">Q", head.data[-8:])[0], recorded.number("firstTimeMs") + number)
            log.append(head.hash)
            heads.append((head, [server_row, *rows]))
            held = rows
    with report.vector("directory: step 2 for one who holds head 0"):
        head, offered = read_step2(recorded.bytes("step2"), server, members[1], (0, log[0]))
        same("head", head.hash, log[-1])
    with report.vector("directory: step 6"):
        same("rows", read_step6(recorded.bytes("step6"), server, offered), heads[-1][1])
    for start in (0, 2):
        with report.vector(f"directory: delta from {start}"):
            last = (start, log[start])
            head, rows = read_delta(recorded.bytes(f"deltaFrom{start}"), server, heads[start][1], last)
            same("head and rows", (head.hash, rows), (log[-1], heads[-1][1]))
    with report.vector("directory: path of 0 in 3"):
        path = entries("path", recorded.bytes("pathOf0In3"))
        same("log root", heads[3][0].log_root, root_by_path("path", log_leaf(log[0]), 0, 3, path))
    with report.vector("directory: evidence, two heads of one epoch"):
        first, second, _ = read_evidence(recorded.bytes("evidence"), server)
        same("epochs", (first.epoch, second.epoch), (2, 2))
        holds("one of them in the log", log[2] in (first.hash, second.hash))
    with report.vector("directory: evidence, a path that shows another head"):
        older, newer, path = read_evidence(recorded.bytes("evidenceOfPath"), server)
        same("epochs", (older.epoch, newer.epoch), (1, 3))
        leaf = log_leaf(older.hash)
        root = root_by_path("path", leaf, older.epoch, newer.epoch, entries("path", path))
        holds("another head in the log", root != newer.log_root)
        leaf = log_leaf(log[1])
        root = root_by_path("path", leaf, older.epoch, newer.epoch, entries("path", path))
        same("the head the path leads from", newer.log_root, root)


def check_heads(recorded, server):
    """Every head the server of the conversations made. @returns their hashes by epoch"""
    known = []
    for number, each in enumerate(recorded.objects("heads")):
        with report.vector(f"channel: head {number} of the server"):
            head = read_head(each.bytes("head"), each.bytes("signature"), server)
            same("epoch", head.epoch, number)
            same("headhash", each.bytes("headHash"), head.hash)
            check_log_root(head, known)
            known.append(head.hash)
    return known


def main(folder):
    files = {name: Recorded(json.loads((folder / f"{name}.json").read_text("utf-8")), name) for name in FILES}
    channel, resume, call, voice = files["channel"], files["resume"], files["call"], files["voice"]
    owners, lines, calls, heads = {}, {}, {}, []
    for recorded in files.values():
        recorded.text("source")

    with report.part("keys"):
        test_keys = files["keys"].object("testKeys")
        for name in test_keys.values:
            with report.vector(f"keys: {name}, a test key"):
                each = test_keys.object(name)
                owners[name] = Owner(each.bytes("spki"), each.bytes("pkcs8"))
                same("uid", each.bytes("uid"), owners[name].uid)

    with report.part("channel"):
        heads += check_heads(channel, owners["server"])
        held = {name: Held() for name in owners}
        for each in channel.objects("lines"):
            line = check_handshake(each, owners, held[each.text("client")])
            lines[line.name] = line
        for batch in channel.objects("batches"):
            check_batch(batch, owners["server"])
        for each in channel.objects("refusals"):
            check_refusal(each, owners)
        check_messages("channel", channel, lines, heads, calls)

    with report.part("directory"):
        check_directory(files["directory"])
        check_messages("directory", files["directory"], lines, heads, calls)

    with report.part("call"):
        calls.update({each.id: each for each in (Call(recorded, lines) for recorded in call.objects("calls"))})
        check_messages("call", call, lines, heads, calls)
        for each in calls.values():
            each.check_keys(f"call {each.recorded.text('name')}:")

    with report.part("voice"):
        check_voice(voice, lines, calls[voice.bytes("callId")])

    with report.part("resume"):
        for each in resume.objects("lines"):
            lines[each.text("line")] = check_resume(each, lines)
        for each in resume.objects("refusals"):
            check_refusal(each, owners)
        check_messages("resume", resume, lines, heads, calls)

    for recorded in files.values():
        for place in recorded.leftovers():
            report.fail(place, "recorded, but nobody computes it")
    print(f"{report.passed} vectors hold, {report.failed} differ")
    return 1 if report.failed else 0


FILES = ("keys", "channel", "directory", "call", "voice", "resume")

if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent))
