"""Goal: --tls auto serves https with a certificate of the store's own CA, which
stays the same; devices enrol there and do with their certificates what they
may and no more, each delivery once. Method: real servers; curl, boto3 and
Python's ssl; keys, requests and wrong CAs by openssl's and Python's libraries.
"""
import os
import shutil
import socket
import ssl
import subprocess

import pytest

from server import Server, free_port, run_godwit, scratch
from util import blob, need, run


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


def test_a_server_without_the_cas_key_gets_its_certificate_from_another():
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
        second.stop()
        second.start()  # the one of its last start is there at once
        assert shown(second, "localhost")
    finally:
        if second:
            drop(second)
        drop(first)
