"""A small S3 client over sockets: each byte of a request is the test's own.

boto3 is the client of most tests; this one is for what boto3 does not send:
newer headers, odd paths, hand-made signatures and broken HTTP.
"""
import base64
import hashlib
import http.client
import re
import socket
import ssl
import struct
import zlib
from xml.etree import ElementTree

from sigv4 import Signer, UNSIGNED, uri_encode

NS = "{http://s3.amazonaws.com/doc/2006-03-01/}"


class Reply:
    def __init__(self, status, headers, body):
        self.status = status
        self.headers = headers  # lower-case names; doubled ones joined by ", "
        self.body = body

    @property
    def xml(self):
        """The root element, without namespaces."""
        root = ElementTree.fromstring(self.body)
        for element in root.iter():
            element.tag = element.tag.split("}")[-1]
        return root

    @property
    def code(self):
        """The Code of an error document, or None."""
        match = re.search(rb"<Code>([^<]*)</Code>", self.body)
        return match.group(1).decode() if match else None

    def __repr__(self):
        return f"<{self.status} {self.code} {self.headers} {self.body[:300]}>"


class S3:
    def __init__(self, host, port, access, secret, region="us-east-1",
                 ca=None):
        self.host = host
        self.port = port
        self.signer = Signer(access, secret, region)
        self.ca = ca

    @property
    def netloc(self):
        return f"{self.host}:{self.port}"

    def connect(self, timeout=60):
        if self.ca:
            return http.client.HTTPSConnection(
                self.host, self.port, timeout=timeout,
                context=ssl.create_default_context(cafile=self.ca))
        return http.client.HTTPConnection(self.host, self.port,
                                          timeout=timeout)

    @staticmethod
    def path(bucket=None, key=None):
        out = "/" + (bucket or "")
        if key is not None:
            out += "/" + uri_encode(key, safe="/")
        return out

    def request(self, method, bucket=None, key=None, query=(), headers=(),
                body=b"", *, path=None, sign=True, payload=None, now=None,
                signer=None, extra=(), host=None, raw_query=None,
                connection=None, timeout=60):
        """One request. @headers are signed, @extra are not; @payload replaces
        the SHA-256 of @body; @raw_query goes out as it is, not signed."""
        if isinstance(query, dict):
            query = list(query.items())
        if isinstance(headers, dict):
            headers = list(headers.items())
        path = path or self.path(bucket, key)
        if payload is None:
            payload = hashlib.sha256(body).hexdigest()
        out = [("Host", host or self.netloc)] + list(headers)
        signer = signer or self.signer
        if sign:
            out, _, _ = signer.headers(method, path, query, out, payload, now)
        out += list(extra)
        target = path
        if query:
            target += "?" + Signer.canonical_query(query)
        if raw_query:
            target += ("&" if query else "?") + raw_query
        names = {n.lower() for n, _ in out}
        if (body or method in ("PUT", "POST")) and not names & {
                "content-length", "transfer-encoding"}:
            out.append(("Content-Length", str(len(body))))
        return self.exchange(method, target, out, body, connection, timeout)

    def exchange(self, method, target, headers, body=b"", connection=None,
                 timeout=60):
        """Send exactly these headers; Host must be among them."""
        conn = connection or self.connect(timeout)
        try:
            conn.putrequest(method, target, skip_host=True,
                            skip_accept_encoding=True)
            for name, value in headers:
                if isinstance(value, str):
                    value = value.encode("utf-8", "surrogateescape")
                conn.putheader(name, value)
            conn.endheaders()
            try:
                if body:
                    conn.send(body)
            except (BrokenPipeError, ConnectionResetError):
                pass  # refused early: the answer may still be there
            response = conn.getresponse()
            data = response.read()
            got = {}
            for name, value in response.getheaders():
                name = name.lower()
                got[name] = got[name] + ", " + value if name in got else value
            return Reply(response.status, got, data)
        finally:
            if connection is None:
                conn.close()

    # The usual requests, for brevity.
    def put(self, bucket, key, body=b"", headers=(), **more):
        return self.request("PUT", bucket, key, (), headers, body, **more)

    def get(self, bucket, key, headers=(), query=(), **more):
        return self.request("GET", bucket, key, query, headers, **more)

    def head(self, bucket, key, headers=(), query=(), **more):
        return self.request("HEAD", bucket, key, query, headers, **more)

    def delete(self, bucket, key, headers=(), **more):
        return self.request("DELETE", bucket, key, (), headers, **more)

    def put_chunked(self, bucket, key, data, mode, trailer=(), headers=(),
                    chunk=65536, query=(), decoded=None, change=None,
                    sign_trailer=True):
        """PUT by aws-chunked; @mode is one of sigv4.STREAMING*. @change
        edits the encoded body before it is sent."""
        path = self.path(bucket, key)
        decoded = len(data) if decoded is None else decoded
        out = [("Host", self.netloc), ("Content-Encoding", "aws-chunked"),
               ("x-amz-decoded-content-length", str(decoded))]
        out += list(headers)
        if trailer:
            out.append(("x-amz-trailer", ",".join(n for n, _ in trailer)))
        out, seed, date = self.signer.headers("PUT", path, list(query), out,
                                              mode)
        body = self.signer.chunked(
            data, seed, date, chunk, trailer,
            signed=mode.startswith("STREAMING-AWS4"),
            sign_trailer=sign_trailer)
        if change:
            body = change(body)
        out.append(("Content-Length", str(len(body))))
        target = path
        if query:
            target += "?" + Signer.canonical_query(query)
        return self.exchange("PUT", target, out, body)

    def list_keys(self, bucket):
        """Every key of a bucket with its ETag and size, by ListObjectsV2."""
        out = {}
        query = {"list-type": "2", "encoding-type": "url"}
        while True:
            reply = self.request("GET", bucket, query=query)
            assert reply.status == 200, reply
            root = reply.xml
            for item in root.findall("Contents"):
                key = unquote_key(item.findtext("Key"))
                assert key not in out, f"{key} listed twice"
                out[key] = (item.findtext("ETag"), int(item.findtext("Size")))
            if root.findtext("IsTruncated") != "true":
                return out
            query["continuation-token"] = root.findtext(
                "NextContinuationToken")

    # Raw bytes.
    def socket(self, timeout=20):
        return socket.create_connection((self.host, self.port), timeout)

    def raw(self, data, timeout=20, more=None):
        """Send bytes, then what @more(sock) does, and read to the end: all
        that came back, and whether the server closed."""
        with self.socket(timeout) as sock:
            try:
                sock.sendall(data)
                if more:
                    more(sock)
            except (BrokenPipeError, ConnectionResetError):
                pass
            return read_all(sock)

    def signed_head(self, method, path, headers=(), payload=UNSIGNED,
                    query=(), now=None):
        """Header pairs of a valid signature, for hand-made requests."""
        out, _, _ = self.signer.headers(
            method, path, list(query),
            [("Host", self.netloc)] + list(headers), payload, now)
        return out


def unquote_key(text):
    from urllib.parse import unquote_plus
    return unquote_plus(text or "")


def head_bytes(method, target, headers, version="HTTP/1.1"):
    """A request head as bytes."""
    lines = [f"{method} {target} {version}"]
    lines += [f"{name}: {value}" for name, value in headers]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("utf-8",
                                                    "surrogateescape")


def read_all(sock):
    """Everything until close, timeout or reset, and how it ended."""
    data = b""
    try:
        while True:
            piece = sock.recv(65536)
            if not piece:
                return data, "closed"
            data += piece
    except socket.timeout:
        return data, "timeout"
    except ConnectionResetError:
        return data, "reset"


def read_reply(sock):
    """One HTTP answer with Content-Length, as a Reply; None when the server
    closed without one."""
    data = b""
    while b"\r\n\r\n" not in data:
        try:
            piece = sock.recv(65536)
        except ConnectionResetError:
            piece = b""
        if not piece:
            return None
        data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    status = int(lines[0].split(" ")[1])
    headers = {}
    for line in lines[1:]:
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    want = int(headers.get("content-length", "0"))
    while len(body) < want:
        piece = sock.recv(65536)
        if not piece:
            break
        body += piece
    return Reply(status, headers, body)


# Checksums, each as S3 writes it: base64 of the big-endian value.

def _table(polynomial, bits):
    out = []
    for i in range(256):
        value = i
        for _ in range(8):
            value = (value >> 1) ^ (polynomial if value & 1 else 0)
        out.append(value)
    assert max(out) < 1 << bits
    return out


_CRC32C = _table(0x82F63B78, 32)
_CRC64NVME = _table(0x9A6C9329AC4BC9B5, 64)


def crc32c(data):
    value = 0xFFFFFFFF
    for byte in data:
        value = (value >> 8) ^ _CRC32C[(value ^ byte) & 0xFF]
    return value ^ 0xFFFFFFFF


def crc64nvme(data):
    value = 0xFFFFFFFFFFFFFFFF
    for byte in data:
        value = (value >> 8) ^ _CRC64NVME[(value ^ byte) & 0xFF]
    return value ^ 0xFFFFFFFFFFFFFFFF


def b64(data):
    return base64.b64encode(data).decode()


CHECKSUMS = {
    "crc32": lambda d: struct.pack(">I", zlib.crc32(d)),
    "crc32c": lambda d: struct.pack(">I", crc32c(d)),
    "crc64nvme": lambda d: struct.pack(">Q", crc64nvme(d)),
    "sha1": lambda d: hashlib.sha1(d).digest(),
    "sha256": lambda d: hashlib.sha256(d).digest(),
}


def checksum(algorithm, data):
    return b64(CHECKSUMS[algorithm](data))
