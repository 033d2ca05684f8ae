"""A fake gateway for agents, written from the contract alone: a CA, TLS with
client certificates, enrolment, batches, reports, uploads in parts. It keeps
what it stored and how often, and can be told to misbehave."""
import base64
import datetime
import hashlib
import http.server
import ipaddress
import json
import re
import secrets
import socket
import ssl
import struct
import threading
import time
import urllib.parse

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

DAY = datetime.timedelta(days=1)


def url64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def pem(thing):
    return thing.public_bytes(serialization.Encoding.PEM)


def key_pem(key):
    return key.private_bytes(serialization.Encoding.PEM,
                             serialization.PrivateFormat.PKCS8,
                             serialization.NoEncryption())


class Ca:
    """A cluster's CA and what it issues."""

    def __init__(self, folder):
        self.folder = folder
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.cert = self.build("CA", self.key.public_key(), ca=True)
        self.path = str(folder / f"ca-{secrets.token_hex(4)}.pem")
        with open(self.path, "wb") as f:
            f.write(pem(self.cert))
        self.pin = self.cert.fingerprint(hashes.SHA256())

    def build(self, name, public, ca=False, purpose=None, names=(), days=365,
              start=None):
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "CA")])
        start = start or datetime.datetime.utcnow() - DAY
        b = (x509.CertificateBuilder().subject_name(subject)
             .issuer_name(issuer).public_key(public)
             .serial_number(x509.random_serial_number())
             .not_valid_before(start).not_valid_after(start + days * DAY)
             .add_extension(x509.BasicConstraints(ca, None), True))
        if purpose:
            b = b.add_extension(x509.ExtendedKeyUsage([purpose]), False)
        if names:
            b = b.add_extension(x509.SubjectAlternativeName([
                x509.IPAddress(ipaddress.ip_address(n)) if n[0].isdigit()
                else x509.DNSName(n) for n in names]), False)
        return b.sign(self.key, hashes.SHA256())

    def server(self, names=("127.0.0.1", "localhost"), **more):
        """Path of a file with key, certificate and CA."""
        key = ec.generate_private_key(ec.SECP256R1())
        more.setdefault("purpose", ExtendedKeyUsageOID.SERVER_AUTH)
        cert = self.build("https", key.public_key(), names=names, **more)
        path = str(self.folder / f"server-{secrets.token_hex(4)}.pem")
        with open(path, "wb") as f:
            f.write(key_pem(key) + pem(cert) + pem(self.cert))
        return path

    def device(self, request, number, days=365):
        csr = x509.load_pem_x509_csr(request.encode())
        assert csr.is_signature_valid
        return pem(self.build(f"device-{number}", csr.public_key(), days=days,
                              purpose=ExtendedKeyUsageOID.CLIENT_AUTH))


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 60

    def log_message(self, *args):
        pass

    def body(self):
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def answer(self, status, body=b"", **fields):
        self.send_response(status)
        for name, value in fields.items():
            self.send_header(name.replace("_", "-"), value)
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def date_time_string(self, timestamp=None):
        return super().date_time_string(
            (timestamp or time.time()) + self.server.gateway.ahead)

    def device(self):
        """The device's number by its certificate; None."""
        der = self.connection.getpeercert(True)
        if not der:
            return None
        cert = x509.load_der_x509_certificate(der)
        name = cert.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0]
        return int(name.value.removeprefix("device-"))

    def serve(self):
        gateway = self.server.gateway
        body = self.body()
        path = urllib.parse.urlsplit(self.path)
        gateway.requests.append((self.command, self.path))
        if gateway.fault:
            fault = gateway.fault(self, path.path)
            if fault:
                fault(self, body)
                return
        if path.path == "/-/edge/v1/enroll":
            gateway.enroll(self, json.loads(body))
            return
        number = self.device()
        if number is None:
            self.answer(403, b'{"error":"a device has a certificate"}')
        elif number in gateway.revoked:
            self.answer(403, b'{"error":"the device was revoked"}')
        else:
            gateway.route(self, number, path, body)

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = serve


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True

    def get_request(self):
        request, address = super().get_request()
        self.gateway.connections.append(request)
        return request, address

    def handle_error(self, request, client_address):
        pass  # cut connections are what is tested


class Gateway:
    def __init__(self, folder, ca=None, port=0, server_pem=None):
        self.ca = ca or Ca(folder)
        self.codes = {}
        self.numbers = 0
        self.revoked = set()
        self.requests, self.connections = [], []
        self.reports = []
        self.settings = {"bucket": "inbox", "prefix": "", "recipients": []}
        self.fault = None
        self.judge = None  # gives a status, or None
        self.delivered, self.objects, self.order = set(), {}, []
        self.floors, self.repeats, self.renewals = {}, 0, 0
        self.batches, self.uploads, self.parts, self.lists = [], {}, 0, 0
        self.ahead = 0
        self.cert_days = 365
        self.lock = threading.RLock()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(server_pem or self.ca.server())
        context.load_verify_locations(self.ca.path)
        context.verify_mode = ssl.CERT_OPTIONAL
        self.context = context
        self.start(port)

    def start(self, port=0):
        self.server = Server(("127.0.0.1", port), Handler,
                             bind_and_activate=False)
        self.server.gateway = self
        self.server.server_bind()
        self.server.server_activate()
        self.server.socket = self.context.wrap_socket(
            self.server.socket, server_side=True,
            do_handshake_on_connect=False)
        self.port = self.server.server_address[1]
        self.url = f"https://127.0.0.1:{self.port}"
        threading.Thread(target=self.server.serve_forever, args=(0.05,),
                         daemon=True).start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()
        for connection in self.connections:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # it is closed
        self.connections.clear()

    def code(self):
        secret = secrets.token_bytes(16)
        self.codes[url64(secret)] = None  # the key that used it
        return f"gwe1.{url64(self.ca.pin)}.{url64(secret)}"

    def enroll(self, handler, ask):
        csr = x509.load_pem_x509_csr(ask["request"].encode())
        key = csr.public_key().public_numbers()
        used = self.codes.get(ask["code"], False)
        if used not in (None, key):
            handler.answer(403, b'{"error":"the code is unknown or used"}')
            return
        if used is None:
            self.codes[ask["code"]] = key
            self.numbers += 1
        handler.answer(200, json.dumps({
            "device": f"dev{self.numbers}", "number": self.numbers,
            "certificate": self.ca.device(ask["request"], self.numbers,
                                          self.cert_days).decode(),
            "ca": pem(self.ca.cert).decode(),
            "settings": self.settings}).encode())

    def order_policy(self, version, policy, device="dev1", ca=None, **more):
        """A policy in the settings, signed as docs/EDGE.md has it."""
        document = json.dumps({"device": device, "version": version,
                               "policy": policy, **more})
        signature = (ca or self.ca).key.sign(
            b"godwit edge policy 1\n" + document.encode(),
            ec.ECDSA(hashes.SHA256()))
        self.settings["policy"] = {
            "version": version, "document": document,
            "signature": base64.b64encode(signature).decode()}

    # ---- what a device may ask ----

    def route(self, handler, number, path, body):
        """One request of an enrolled device."""
        if path.path == "/-/edge/v1/batch":
            handler.answer(200, self.batch(number, body))
        elif path.path == "/-/edge/v1/report":
            self.reports.append(json.loads(body))
            version = self.settings.get("policy", {}).get("version", 0)
            handler.answer(204, x_godwit_policy=str(version))
        elif path.path == "/-/edge/v1/settings":
            handler.answer(200, json.dumps(self.settings).encode())
        elif path.path == "/-/edge/v1/renew":
            self.renewals += 1
            handler.answer(200, json.dumps({
                "certificate": self.ca.device(
                    json.loads(body)["request"], number).decode()}).encode())
        elif path.path.startswith("/-/"):
            handler.answer(404, b'{"error":"no such path"}')
        else:
            self.multipart(handler, number, path, body)

    def store(self, number, sequence, floor, key, body, meta):
        """True when it was stored; False when it had been before."""
        with self.lock:
            assert 0 < floor <= sequence
            self.floors[number] = max(self.floors.get(number, 0), floor)
            if sequence < self.floors[number] or \
                    (number, sequence) in self.delivered:
                self.repeats += 1
                return False
            self.delivered.add((number, sequence))
            self.objects.setdefault(key, []).append((sequence, body, meta))
            self.order.append((key, sequence))
            return True

    def batch(self, number, body):
        headers, objects, floor = read_batch(body)
        self.batches.append(len(objects))
        out = b"GWBA" + struct.pack("<I", len(objects))
        for o in objects:
            status = self.judge(o) if self.judge else None
            if status is None:
                stored = self.store(number, o["sequence"], floor, o["key"],
                                    o["envelope"], o["meta"])
                status = STORED if stored else REPEATED
            out += struct.pack("<QB", o["sequence"], status)
        return out + struct.pack("<I", crc32c(out))

    def multipart(self, handler, number, path, body):
        key = urllib.parse.unquote(path.path[1:])
        query = urllib.parse.parse_qs(path.query, keep_blank_values=True)
        upload = query.get("uploadId", [None])[0]
        etag = '"' + hashlib.md5(body).hexdigest() + '"'
        if upload is not None and upload not in self.uploads:
            handler.answer(404, b"<Error><Code>NoSuchUpload</Code></Error>")
        elif handler.command == "POST" and "uploads" in query:
            upload = secrets.token_urlsafe(12) + "+/="
            meta = {k.lower(): v for k, v in handler.headers.items()
                    if k.lower().startswith("x-amz-meta-")
                    or k == "Content-Type"}
            self.uploads[upload] = (key, {}, meta)
            handler.answer(200, f"<R><UploadId>{upload}</UploadId></R>".encode())
        elif handler.command == "PUT":
            number = int(query["partNumber"][0])
            assert base64.b64decode(handler.headers["Content-MD5"]) == \
                hashlib.md5(body).digest()
            self.parts += 1
            self.uploads[upload][1][number] = body
            handler.answer(200, ETag=etag)
        elif handler.command == "GET":
            after = int(query["part-number-marker"][0])
            have = sorted(n for n in self.uploads[upload][1] if n > after)
            page = have[:7]
            text = "".join(
                f"<Part><PartNumber>{n}</PartNumber><ETag>&quot;"
                f"{hashlib.md5(self.uploads[upload][1][n]).hexdigest()}&quot;"
                f"</ETag><Size>{len(self.uploads[upload][1][n])}</Size></Part>"
                for n in page)
            more = "true" if len(have) > len(page) else "false"
            self.lists += 1
            handler.answer(
                200, f"<ListPartsResult>{text}<IsTruncated>{more}</IsTruncated>"
                "</ListPartsResult>".encode())
        else:
            key, parts, meta = self.uploads[upload]
            listed = re.findall(r"<PartNumber>(\d+)</PartNumber><ETag>(\w+)<",
                                body.decode())
            assert [int(n) for n, _ in listed] == sorted(parts)
            for n, tag in listed:
                assert hashlib.md5(parts[int(n)]).hexdigest() == tag
            whole = b"".join(parts[n] for n in sorted(parts))
            stored = self.store(number, int(handler.headers["x-godwit-sequence"]),
                                int(handler.headers["x-godwit-floor"]), key,
                                whole, meta)
            if stored:
                handler.answer(200, b"<CompleteMultipartUploadResult>"
                               b"</CompleteMultipartUploadResult>")
            else:
                handler.answer(200, x_godwit_repeated="true")

    def newest(self, key):
        """Envelope of the newest; None when it is deleted."""
        return self.objects[key][-1][1]


STORED, REPEATED, DENIED, BAD, RETRY = range(5)
MIB = 1 << 20


def crc_table():
    for i in range(256):
        for _ in range(8):
            i = i >> 1 ^ (0x82F63B78 if i & 1 else 0)
        yield i


TABLE = list(crc_table())


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = TABLE[(crc ^ byte) & 0xFF] ^ crc >> 8
    return crc ^ 0xFFFFFFFF


class Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, count):
        self.at += count
        assert self.at <= len(self.data)
        return self.data[self.at - count:self.at]

    def get(self, form):
        return struct.unpack("<" + form, self.take(struct.calcsize("<" + form)))

    def checked(self, count):
        """Bytes and the CRC after them."""
        data = self.take(count)
        assert self.get("I") == (crc32c(data),)
        return data

    def text(self):
        size, = self.get("H")
        if size == 0:
            return None
        text = self.take(size)
        assert text[-1] == 0
        return text[:-1].decode()


def read_object(r, segments):
    size, = struct.unpack_from("<I", r.data, r.at)
    h = Reader(r.checked(4 + size))
    h.take(4)
    sequence, time_ms, length, flags, class_id, segment, pairs = h.get(
        "QQIBBBB")
    bucket, key, content_type = h.text(), h.text(), h.text()
    meta = {"content-type": content_type} if content_type else {}
    for _ in range(pairs):
        name = h.text()
        meta["x-amz-meta-" + name] = h.text()
    assert h.at == len(h.data)
    data = r.checked(length)
    if flags & 2:
        header = segments[segment]
        assert struct.unpack_from("<H", data, 6)[0] == len(header)
        data = data[:12] + header + data[12:]
    return dict(sequence=sequence, time_ms=time_ms, key=f"{bucket}/{key}",
                meta=meta, envelope=None if flags & 1 else data)


def read_batch(body):
    """As fleet/batch.h says."""
    r = Reader(body)
    magic, version, count, objects, floor, _ = struct.unpack(
        "<4sBBHQQ", r.checked(24))
    assert magic == b"GWEB" and version == 1 and 1 <= objects <= 1000
    segments = []
    for _ in range(count):
        size, = struct.unpack_from("<H", body, r.at)
        segments.append(r.checked(2 + size)[2:])
    out = [read_object(r, segments) for _ in range(objects)]
    assert r.at == len(body) <= MIB
    return segments, out, floor
