"""A device, as docs/EDGE.md and fleet/batch.h have it, by Python's libraries:
what it encodes and checks shares no code with the store.

    with tls_server() as s:
        d = Device(s, "dev1", "bucket")
        d.batch([Item(1, "dev1/key", b"bytes")])   # {1: 0}
"""
import http.client
import json
import os
import shutil
import ssl
import struct
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass, field

from server import Server, scratch
from util import need, run

STORED, REPEATED, DENIED, BAD, RETRY = range(5)
DELETE, SEALED = 1, 2


def _table():
    out = []
    for i in range(256):
        for _ in range(8):
            i = i >> 1 ^ (0x82f63b78 if i & 1 else 0)
        out.append(i)
    return out


_TABLE = _table()


def crc32c(data):
    crc = 0xffffffff
    for byte in data:
        crc = _TABLE[(crc ^ byte) & 0xff] ^ crc >> 8
    return crc ^ 0xffffffff


def sealed_by_crc(data):
    return data + struct.pack("<I", crc32c(data))


def text(s):
    if s is None:
        return struct.pack("<H", 0)
    raw = s.encode() + b"\0"
    return struct.pack("<H", len(raw)) + raw


@dataclass
class Item:
    sequence: int
    key: str
    data: bytes = b""
    bucket: str = None
    flags: int = 0
    content_type: str = None
    meta: dict = field(default_factory=dict)
    time_ms: int = 1700000000000
    segment: bytes = None  # the header that the envelope shares

    def encoded(self, segments):
        head = struct.pack("<QQIBBBB", self.sequence, self.time_ms,
                           len(self.data), self.flags, 5,
                           segments.index(self.segment) if self.segment else 0,
                           len(self.meta))
        head += text(self.bucket) + text(self.key) + text(self.content_type)
        for name, value in self.meta.items():
            head += text(name) + text(value)
        return (sealed_by_crc(struct.pack("<I", len(head)) + head) +
                sealed_by_crc(self.data))


def encode(items, floor, sent_ms=1700000000000):
    segments = list(dict.fromkeys(i.segment for i in items if i.segment))
    out = sealed_by_crc(b"GWEB" + struct.pack("<BBHQQ", 1, len(segments),
                                              len(items), floor, sent_ms))
    for segment in segments:
        out += sealed_by_crc(struct.pack("<H", len(segment)) + segment)
    return out + b"".join(i.encoded(segments) for i in items)


def decode_answer(data):
    assert data[:4] == b"GWBA" and sealed_by_crc(data[:-4]) == data
    count, = struct.unpack_from("<I", data, 4)
    assert len(data) == 12 + 9 * count
    return dict(struct.unpack_from("<QB", data, 8 + 9 * i)
                for i in range(count))


@contextmanager
def tls_server(flags=()):
    data = scratch()
    s = Server(data=data, flags=["--tls", "auto", *flags],
               tls_ca=os.path.join(data, "identity", "ca.crt"))
    try:
        yield s
    finally:
        s.close()
        shutil.rmtree(data, ignore_errors=True)


def edge(server, *arguments):
    """What `godwit edge` prints."""
    return server.cli("edge", *arguments, "--ca",
                      server.tls_ca).stdout.decode()


def enrolment_code(server, name, bucket, *more):
    return edge(server, "enroll", name, "--bucket", bucket, *more).split()[-1]


class Device:
    def __init__(self, server, name, bucket, *more):
        self.server = server
        self.name = name
        self.folder = tempfile.mkdtemp(prefix="godwit-device.", dir="/tmp")
        self._connection = None
        openssl = need("openssl")
        run(openssl, "req", "-new", "-newkey", "ec", "-pkeyopt",
            "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=any", "-keyout",
            self.path("key.pem"), "-out", self.path("request.pem"))
        code = enrolment_code(server, name, bucket, *more)
        with open(self.path("request.pem")) as file:
            self.request_pem = file.read()
        status, reply = self.ask("POST", "enroll", json.dumps({
            "code": code.split(".")[2], "request": self.request_pem}),
            certificate=False)
        assert status == 200, reply
        self.identity = json.loads(reply)
        with open(self.path("cert.pem"), "w") as file:
            file.write(self.identity["certificate"])

    def close(self):
        self.disconnect()
        shutil.rmtree(self.folder, ignore_errors=True)

    def path(self, name):
        return os.path.join(self.folder, name)

    def connect(self, certificate=True):
        context = ssl.create_default_context(cafile=self.server.tls_ca)
        if certificate:
            context.load_cert_chain(self.path("cert.pem"),
                                    self.path("key.pem"))
        return http.client.HTTPSConnection("127.0.0.1", self.server.port,
                                           context=context, timeout=60)

    def disconnect(self):
        if self._connection:
            self._connection.close()
        self._connection = None

    def ask(self, method, path, body=None, headers=None, certificate=True):
        """On a connection that is kept; gives status and body."""
        if not path.startswith("/"):
            path = "/-/edge/v1/" + path
        if not certificate:
            connection = self.connect(False)
        else:
            connection = self._connection = self._connection or self.connect()
        try:
            connection.request(method, path, body, headers or {})
            reply = connection.getresponse()
            return reply.status, reply.read()
        except Exception:
            self.disconnect()
            raise
        finally:
            if not certificate:
                connection.close()

    def batch(self, items, floor=1):
        """Sequence -> status."""
        status, reply = self.ask("POST", "batch", encode(items, floor))
        assert status == 200, reply
        return decode_answer(reply)
