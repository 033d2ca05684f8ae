"""Goal: --tls auto serves https with a certificate of the store's own CA, which
stays the same; devices enrol there and do with their certificates what they
may and no more, each delivery once. Method: real servers; curl, boto3 and
Python's ssl; keys, requests and wrong CAs by openssl's and Python's libraries.
"""
import datetime
import http.client
import json
import os
import shutil
import socket
import ssl
import subprocess
import time

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from s3http import Reply
from server import Server, free_port, run_godwit, scratch
from util import blob, etag, need, run


def auto(data=None, flags=(), **more):
    data = data or scratch()
    return Server(data=data, flags=["--tls", "auto", *flags],
                  tls_ca=os.path.join(data, "identity", "ca.crt"), **more)


def drop(s):
    s.close()
    shutil.rmtree(s.data, ignore_errors=True)


@pytest.fixture(scope="module")
def server():
    s = auto(flags=["--domain", "s3.test", "--tls-name", "edge.test"])
    yield s
    drop(s)


def shown(s, name, version=None):
    """The certificate that the port shows to who checks for @name."""
    context = ssl.create_default_context(cafile=s.tls_ca)
    if version:
        context.minimum_version = context.maximum_version = version
    with socket.create_connection(("127.0.0.1", s.port), 10) as plain:
        with context.wrap_socket(plain, server_hostname=name) as tls:
            return tls.getpeercert()


@pytest.mark.parametrize("name", ("127.0.0.1", "localhost", "::1", "s3.test",
                                  "b.s3.test", "edge.test",
                                  socket.gethostname()))
def test_the_port_is_certified_for_what_it_is_reached_by(server, name):
    assert shown(server, name)


def test_no_other_name_passes(server):
    with pytest.raises(ssl.SSLCertVerificationError):
        shown(server, "other.test")


@pytest.mark.parametrize("version", (ssl.TLSVersion.TLSv1_2,
                                     ssl.TLSVersion.TLSv1_3))
def test_both_versions_of_tls(server, version):
    assert shown(server, "localhost", version)


def test_boto3_and_curl_trust_the_ca_file(server):
    client = server.client()
    client.create_bucket(Bucket="auto")
    body = blob(6_000_000)
    client.put_object(Bucket="auto", Key="k", Body=body)
    assert client.get_object(Bucket="auto", Key="k")["Body"].read() == body
    out = run(need("curl"), "-sS", "--cacert", server.tls_ca,
              f"{server.endpoint}/-/live")
    assert "live" in str(out.stdout if hasattr(out, "stdout") else out)
    refused = subprocess.run([need("curl"), "-sS", f"{server.endpoint}/-/live"],
                             capture_output=True, check=False)
    assert refused.returncode == 60  # curl: it knows no such CA


def test_plain_http_is_not_served(server):
    with socket.create_connection(("127.0.0.1", server.port), 10) as s:
        s.sendall(b"GET /-/live HTTP/1.1\r\nHost: x\r\n\r\n")
        try:
            assert b"200 OK" not in s.recv(1000)
        except ConnectionResetError:
            pass


def test_the_command_line_of_this_machine_trusts_it(server):
    result = run_godwit("status", "--data", server.data)
    assert result.returncode == 0, result


def test_the_start_says_where_the_ca_is(server):
    assert f"CA to trust: {os.path.realpath(server.tls_ca)}" in server.log()


def test_a_store_alone_keeps_its_ca_over_starts_and_into_a_cluster():
    s = auto()
    try:
        with open(s.tls_ca, "rb") as file:
            ca = file.read()
        first = shown(s, "localhost")["serialNumber"]
        s.stop()
        s.start()
        assert shown(s, "localhost")["serialNumber"] != first  # made anew
        s.client().create_bucket(Bucket="kept")
        s.stop()
        s.flags += ["--cluster", f"127.0.0.1:{free_port()}"]
        s.start()
        assert shown(s, "localhost")
        names = [b["Name"] for b in s.client().list_buckets()["Buckets"]]
        assert names == ["kept"]
        with open(s.tls_ca, "rb") as file:
            assert file.read() == ca
    finally:
        drop(s)


# Devices.
def new_key(curve=ec.SECP256R1()):
    return ec.generate_private_key(curve)


def request_of(key, name="x"):
    return (x509.CertificateSigningRequestBuilder()
            .subject_name(x509.Name(
                [x509.NameAttribute(NameOID.COMMON_NAME, name)]))
            .sign(key, hashes.SHA256())
            .public_bytes(serialization.Encoding.PEM).decode())


class Device:
    """Who connects with a certificate, or without one."""

    def __init__(self, s, folder, key=None):
        self.server = s
        self.folder = str(folder)
        self.key = key or new_key()
        self.certificate = None
        self.answer = None
        self.key_path = os.path.join(self.folder, f"{id(self)}.key")
        self.certificate_path = self.key_path[:-3] + "crt"
        with open(self.key_path, "wb") as file:
            file.write(self.key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption()))

    def wear(self, certificate):
        self.certificate = certificate
        with open(self.certificate_path, "w") as file:
            file.write(certificate)

    def connect(self, version=None):
        s = self.server
        context = ssl.create_default_context(cafile=s.tls_ca)
        if version:
            context.minimum_version = context.maximum_version = version
        if self.certificate:
            context.load_cert_chain(self.certificate_path, self.key_path)
        return http.client.HTTPSConnection("127.0.0.1", s.port, timeout=60,
                                           context=context)

    def ask(self, method, path, body=b"", headers=(), connection=None):
        c = connection or self.connect()
        c.request(method, path, body=body, headers=dict(headers))
        reply = c.getresponse()
        out = Reply(reply.status,
                    {k.lower(): v for k, v in reply.getheaders()},
                    reply.read())
        if not connection:
            c.close()
        return out

    def post(self, what, connection=None, **members):
        return self.ask("POST", f"/-/edge/v1/{what}",
                        json.dumps(members).encode(), connection=connection)

    def enroll(self, code, key=None):
        reply = self.post("enroll", code=code.split(".")[-1],
                          request=request_of(key or self.key))
        if reply.status == 200:
            self.answer = json.loads(reply.body)
            self.wear(self.answer["certificate"])
        return reply

    def put(self, key, body, sequence=None, floor=None, **more):
        headers = dict(more.pop("headers", {}))
        if sequence is not None:
            headers["x-godwit-sequence"] = str(sequence)
        if floor is not None:
            headers["x-godwit-floor"] = str(floor)
        return self.ask("PUT", f"/fleet/{key}", body, headers, **more)


def error(reply):
    return json.loads(reply.body)["error"]


def edge(s, *arguments):
    return s.cli("edge", *arguments, env={"GODWIT_CA_BUNDLE": s.tls_ca})


def code_of(s, name, *flags):
    s.client().create_bucket(Bucket="fleet")
    result = edge(s, "enroll", name, "--bucket", "fleet", *flags)
    return result.stdout.decode().splitlines()[-1]


def enrolled(s, folder, name, *flags):
    d = Device(s, folder)
    assert d.enroll(code_of(s, name, *flags)).status == 200
    return d


def stored(s, key):
    return s.client().get_object(Bucket="fleet", Key=key)["Body"].read()


def test_a_device_enrols_and_puts_below_its_prefix_only(server, tmp_path):
    d = enrolled(server, tmp_path, "dev1")
    assert d.answer["device"] == "dev1" and d.answer["number"] > 0
    assert d.answer["settings"]["prefix"] == "dev1/"
    with open(server.tls_ca) as file:
        assert d.answer["ca"] == file.read()
    cert = x509.load_pem_x509_certificate(d.answer["certificate"].encode())
    name = cert.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value
    assert name == f"device-{d.answer['number']}"
    assert d.put("dev1/a", b"one").status == 200
    assert d.put("dev1/big", blob(3_000_000)).status == 200
    assert stored(server, "dev1/a") == b"one"
    for path in ("/fleet/dev2/a", "/fleet/dev1", "/other/dev1/a"):
        reply = d.ask("PUT", path, b"no")
        assert reply.status in (403, 404), (path, reply)
    for method, path in (("GET", "/fleet/dev1/a"), ("GET", "/fleet"),
                         ("GET", "/"), ("DELETE", "/fleet"),
                         ("GET", "/-/status"), ("GET", "/-/devices"),
                         ("PUT", "/fleet/dev1/a?tagging")):
        assert d.ask(method, path).status == 403, (method, path)
    assert d.ask("DELETE", "/fleet/dev1/a").status == 204


@pytest.mark.parametrize("version", (ssl.TLSVersion.TLSv1_2,
                                     ssl.TLSVersion.TLSv1_3))
def test_devices_by_both_versions_of_tls(server, tmp_path, version):
    d = enrolled(server, tmp_path, "versions")
    c = d.connect(version)
    assert d.put("versions/a", b"1", connection=c).status == 200
    assert d.put("versions/b", b"2", connection=c).status == 200
    c.close()


def test_curl_with_the_certificate(server, tmp_path):
    d = enrolled(server, tmp_path, "curl1")
    path = tmp_path / "body"
    path.write_bytes(b"by curl")
    done = subprocess.run(
        [need("curl"), "-sS", "--fail", "--cacert", server.tls_ca, "--cert",
         d.certificate_path, "--key", d.key_path, "-T", str(path),
         f"{server.endpoint}/fleet/curl1/x"], capture_output=True, check=False)
    assert done.returncode == 0, done
    assert stored(server, "curl1/x") == b"by curl"


def test_a_code_serves_one_key_once(server, tmp_path):
    code = code_of(server, "once")
    d = Device(server, tmp_path)
    first = d.enroll(code)
    assert first.status == 200
    number = d.answer["number"]
    again = d.enroll(code)  # the answer was lost
    assert again.status == 200 and d.answer["number"] == number
    thief = Device(server, tmp_path).enroll(code)
    assert thief.status == 403 and "used" in error(thief)


def test_a_new_enrolment_ends_the_old_certificate(server, tmp_path):
    old = enrolled(server, tmp_path, "twice")
    assert old.put("twice/a", b"1", 1, 1).status == 200
    new = enrolled(server, tmp_path, "twice")
    assert new.answer["number"] != old.answer["number"]
    assert old.put("twice/b", b"1").status == 403
    assert "x-godwit-repeated" not in new.put("twice/a", b"2", 1, 1).headers
    assert stored(server, "twice/a") == b"2"


def test_wrong_enrolments_are_refused_with_the_reason(server, tmp_path):
    d = Device(server, tmp_path)
    code = code_of(server, "wrong")
    secret = code.split(".")[-1]
    good = request_of(d.key)
    p384 = request_of(new_key(ec.SECP384R1()))
    lines = good.splitlines()
    lines[2] = lines[2][:10] + ("A" if lines[2][10] != "A" else "B") + \
        lines[2][11:]
    for status, word, body in (
            (403, "not known", {"code": "A" * 22, "request": good}),
            (400, "code", {"code": "A" * 21, "request": good}),
            (400, "code", {"code": code, "request": good}),
            (400, "code", {"code": 7, "request": good}),
            (400, "code", {"request": good}),
            (400, "request", {"code": secret}),
            (400, "request", {"code": secret, "request": "none"}),
            (400, "P-256", {"code": secret, "request": p384}),
            (400, "request", {"code": secret, "request": "\n".join(lines)}),
            (400, "request", {"code": secret, "request": good + good}),
            (400, "request", {"code": secret, "request":
                              open(server.tls_ca).read()})):
        reply = d.post("enroll", **body)
        assert reply.status == status and word in error(reply), (body, reply)
    for body in b"", b"{", b"[]", b"\xff":
        reply = d.ask("POST", "/-/edge/v1/enroll", body)
        assert reply.status == 400, (body, reply)
    try:
        assert d.ask("POST", "/-/edge/v1/enroll", b" " * 80000).status == 413
    except OSError:
        pass  # answered and closed before all was sent
    assert d.ask("GET", "/-/edge/v1/enroll").status == 405
    assert d.enroll(code).status == 200  # none of these used it


def test_an_expired_code_is_refused(server, tmp_path):
    code = code_of(server, "late", "--expires", "1s")
    time.sleep(1.2)
    reply = Device(server, tmp_path).enroll(code)
    assert reply.status == 403 and "expired" in error(reply)


def test_a_revoked_device_is_refused_on_the_connection_that_stays(server,
                                                                  tmp_path):
    d = enrolled(server, tmp_path, "gone")
    c = d.connect()
    assert d.put("gone/a", b"1", connection=c).status == 200
    sock = c.sock
    assert sock is not None
    edge(server, "revoke", "gone")
    reply = d.put("gone/b", b"2", connection=c)
    assert reply.status == 403 and reply.code == "InvalidAccessKeyId"
    assert c.sock is sock or c.sock is None  # it was no new connection
    reply = d.post("renew", request=request_of(d.key))
    assert reply.status == 403 and "revoked" in error(reply)
    assert d.enroll(code_of(server, "gone"), new_key()).status == 200


def forge(issuer_key, issuer_name, key, cluster, number):
    now = datetime.datetime.utcnow()
    return (x509.CertificateBuilder()
            .subject_name(x509.Name([
                x509.NameAttribute(NameOID.ORGANIZATION_NAME, cluster),
                x509.NameAttribute(NameOID.COMMON_NAME, f"device-{number}")]))
            .issuer_name(issuer_name).public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(hours=1))
            .add_extension(x509.BasicConstraints(False, None), True)
            .add_extension(x509.ExtendedKeyUsage(
                [ExtendedKeyUsageOID.CLIENT_AUTH]), False)
            .sign(issuer_key, hashes.SHA256())
            .public_bytes(serialization.Encoding.PEM).decode())


def test_a_certificate_of_another_ca_is_refused(server, tmp_path):
    """Also one whose names are all as they should be."""
    d = enrolled(server, tmp_path, "real")
    with open(server.tls_ca, "rb") as file:
        ca = x509.load_pem_x509_certificate(file.read())
    cluster = ca.subject.get_attributes_for_oid(
        NameOID.ORGANIZATION_NAME)[0].value
    for key in (d.key, new_key()):
        other = Device(server, tmp_path, key)
        other.wear(forge(new_key(), ca.subject, key, cluster,
                         d.answer["number"]))
        reply = other.put("real/a", b"no")
        assert reply.status == 403 and reply.code == "InvalidAccessKeyId"
        reply = other.post("renew", request=request_of(key))
        assert reply.status == 403, reply
    device = Device(server, tmp_path)  # another store's, properly enrolled
    second = auto()
    try:
        foreign = enrolled(second, tmp_path, "real")
        device.key_path = foreign.key_path
        device.certificate_path = foreign.certificate_path
        device.certificate = foreign.certificate
        assert device.put("real/a", b"no").status == 403
    finally:
        drop(second)


def test_the_ports_own_certificate_is_no_device(server, tmp_path):
    folder = os.path.join(server.data, "identity")
    d = Device(server, tmp_path)
    d.certificate = "yes"
    d.certificate_path = os.path.join(folder, "https.crt")
    d.key_path = os.path.join(folder, "https.key")
    reply = d.put("x/a", b"no")
    assert reply.status == 403 and "not that of a device" in str(reply.body)


def test_renewal_by_the_same_and_by_another_key(server, tmp_path):
    d = enrolled(server, tmp_path, "renew")
    first = d.certificate
    reply = d.post("renew", request=request_of(d.key))
    assert reply.status == 200
    d.wear(json.loads(reply.body)["certificate"])
    assert d.certificate != first and d.put("renew/a", b"1").status == 200
    fresh = Device(server, tmp_path)
    reply = d.post("renew", request=request_of(fresh.key))
    fresh.wear(json.loads(reply.body)["certificate"])
    assert fresh.put("renew/b", b"2").status == 200
    assert d.put("renew/c", b"3").status == 403  # its key is no more
    reply = d.post("renew", request="none")
    assert reply.status == 403
    reply = fresh.post("renew", request="none")
    assert reply.status == 400 and "request" in error(reply)


def test_without_a_certificate_nobody_is_a_device(server, tmp_path):
    d = Device(server, tmp_path)
    reply = d.post("renew", request=request_of(d.key))
    assert reply.status == 403 and "certificate" in error(reply)
    assert d.put("dev1/a", b"no").status == 403
    assert d.post("nothing").status == 404


def test_plain_servers_take_no_devices():
    s = Server()
    try:
        reply = s.raw().request("POST", path="/-/edge/v1/enroll", body=b"{}",
                                sign=False)
        assert reply.status == 403 and b"--tls auto" in reply.body
    finally:
        s.close()


@pytest.mark.parametrize("size", (10, 3_000_000))
def test_a_delivery_that_comes_again_changes_nothing(server, tmp_path, size):
    d = enrolled(server, tmp_path, f"seq{size}")
    key = f"seq{size}/a"
    first, other = blob(size), b"other" + blob(size)
    one = d.put(key, first, 1, 1)
    assert one.status == 200 and "x-godwit-repeated" not in one.headers
    again = d.put(key, other, 1, 1)
    assert again.status == 200
    assert again.headers["x-godwit-repeated"] == "true"
    assert stored(server, key) == first
    assert d.put(key, other, 3, 1).status == 200  # out of order
    assert d.put(key + "2", first, 2, 3).status == 400  # floor above it
    assert "x-godwit-repeated" not in d.put(key + "2", first, 2, 2).headers
    assert stored(server, key + "2") == first
    assert d.put(key + "3", first, 9, 9).status == 200
    late = d.put(key + "4", first, 4, 4)  # below a floor that was told
    assert late.status == 200 and late.headers["x-godwit-repeated"] == "true"
    gone = d.ask("DELETE", f"/fleet/{key}", headers={
        "x-godwit-sequence": "10", "x-godwit-floor": "9"})
    assert gone.status == 204 and "x-godwit-repeated" not in gone.headers
    assert d.put(key, first, 11, 9).status == 200
    gone = d.ask("DELETE", f"/fleet/{key}", headers={
        "x-godwit-sequence": "10", "x-godwit-floor": "9"})
    assert gone.status == 204
    assert gone.headers["x-godwit-repeated"] == "true"
    assert stored(server, key) == first


def test_odd_sequences_are_refused(server, tmp_path):
    d = enrolled(server, tmp_path, "odd")
    for sequence, floor in (("0", None), ("-1", None), ("x", None), ("", None),
                            ("1", "x"), (str(1 << 63), None), (None, "1")):
        reply = d.put("odd/a", b"no", sequence, floor)
        assert reply.status == 400 and reply.code == "InvalidArgument", reply
        assert b"x-godwit" in reply.body
    # Not the object's fault: the floor rises, and then it may go.
    reply = d.put("odd/a", b"no", 1 << 21, 1)
    assert reply.status == 503 and b"above the floor" in reply.body, reply
    raw = server.raw()
    for method in "PUT", "DELETE":
        for name in "x-godwit-sequence", "x-godwit-floor":
            reply = raw.request(method, "fleet", "odd/a",
                                headers={name: "1"}, body=b"")
            assert reply.status == 400 and reply.code == "InvalidArgument"


def multipart(d, key, parts, sequence, keep=None):
    begun = d.ask("POST", f"/fleet/{key}?uploads")
    assert begun.status == 200, begun
    upload = keep or begun.xml.find("UploadId").text
    rows = ""
    for number, body in enumerate(parts, 1):
        if not keep:
            reply = d.ask("PUT", f"/fleet/{key}?partNumber={number}"
                          f"&uploadId={upload}", body)
            assert reply.status == 200, reply
        rows += (f"<Part><PartNumber>{number}</PartNumber>"
                 f"<ETag>{etag(body)}</ETag></Part>")
    return upload, d.ask(
        "POST", f"/fleet/{key}?uploadId={upload}",
        f"<CompleteMultipartUpload>{rows}</CompleteMultipartUpload>".encode(),
        {"x-godwit-sequence": str(sequence), "x-godwit-floor": "1"})


def test_uploads_of_small_parts_are_delivered_once(server, tmp_path):
    d = enrolled(server, tmp_path, "parts")
    parts = [blob(1 << 20), blob((1 << 20) + 1), blob(10)]
    upload, done = multipart(d, "parts/a", parts, 5)
    assert done.status == 200 and "x-godwit-repeated" not in done.headers
    assert stored(server, "parts/a") == b"".join(parts)
    name = done.xml.find("ETag").text
    server.client().put_object(Bucket="fleet", Key="parts/a", Body=b"newer")
    _, again = multipart(d, "parts/a", parts, 5, keep=upload)
    assert again.status == 200 and again.xml.find("ETag").text == name
    assert again.headers["x-godwit-repeated"] == "true"
    _, anew = multipart(d, "parts/a", parts, 5)  # from its start
    assert anew.status == 200 and anew.headers["x-godwit-repeated"] == "true"
    assert stored(server, "parts/a") == b"newer"
    left = server.client().list_multipart_uploads(Bucket="fleet")
    kept = [u for u in left.get("Uploads", []) if u["Key"] == "parts/a"]
    assert len(kept) == 1  # that which was begun for the second try only
    raw = server.raw()
    reply = raw.request("POST", "fleet", "parts/a",
                        query={"uploadId": kept[0]["UploadId"]},
                        headers={"x-godwit-sequence": "1"}, body=b"<x/>")
    assert reply.status == 400 and reply.code == "InvalidArgument"


def test_what_is_signed_is_of_who_signed(server, tmp_path):
    """Also on a connection that showed a device's certificate."""
    d = enrolled(server, tmp_path, "both")
    raw = server.raw()
    raw.connect = lambda timeout=60: d.connect()
    assert raw.request("PUT", "fleet", "elsewhere", body=b"1").status == 200
    assert raw.request("GET", path="/-/status").status == 200


def test_devices_are_known_after_a_restart(tmp_path):
    s = auto()
    try:
        d = enrolled(s, tmp_path, "stays")
        assert d.put("stays/a", b"1", 1, 1).status == 200
        s.stop()
        s.start()
        assert d.put("stays/b", b"2", 2, 1).status == 200
        again = d.put("stays/a", b"3", 1, 1)
        assert again.headers["x-godwit-repeated"] == "true"
    finally:
        drop(s)


def test_a_server_without_the_cas_key_has_its_certificate_of_another(tmp_path):
    """And enrols devices, who are known at both, and revoked at both."""
    port = free_port()
    first = auto(flags=["--cluster", f"127.0.0.1:{port}"])
    second = None
    try:
        token = run_godwit("token", "create", "--data", first.data)
        assert token.returncode == 0, token
        text = next(w for w in token.stdout.split() if w.startswith("gwj1."))
        second = auto(flags=[
            "--cluster", f"127.0.0.1:{free_port()}", "--join",
            f"127.0.0.1:{port}", "--token", text, "--roles", "gateway,node"])
        assert not os.path.exists(
            os.path.join(second.data, "identity", "ca.key"))
        assert shown(second, "localhost")["issuer"] == \
            shown(first, "localhost")["issuer"]
        code = code_of(first, "far")
        at_second = Device(second, tmp_path)
        assert at_second.enroll(code).status == 200
        assert at_second.put("far/a", b"1", 1, 1).status == 200
        at_first = Device(first, tmp_path, at_second.key)
        at_first.wear(at_second.certificate)
        again = at_first.put("far/a", b"2", 1, 1)
        assert again.headers["x-godwit-repeated"] == "true"
        reply = at_second.post("renew", request=request_of(at_second.key))
        assert reply.status == 200
        second.stop()
        second.start()  # the certificate of its last start is there at once
        c = at_second.connect()
        assert at_second.put("far/b", b"3", 2, 1, connection=c).status == 200
        edge(first, "revoke", "far")
        end = time.monotonic() + 30
        while at_second.put("far/c", b"4", connection=c).status != 403:
            assert time.monotonic() < end
        assert at_first.put("far/d", b"5").status == 403
    finally:
        if second:
            drop(second)
        drop(first)
