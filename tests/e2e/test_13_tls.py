"""Goal: --tls-cert and --tls-key serve https and nothing else. Method: a CA and
certificate by openssl; boto3, curl and raw sockets against it."""
import os
import socket
import ssl

import pytest

from server import Server, run_godwit
from util import MIB, blob, etag, need, run


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    openssl = need("openssl")
    folder = tmp_path_factory.mktemp("tls")

    def path(name):
        return str(folder / name)

    run(openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout",
        path("ca.key"), "-out", path("ca.pem"), "-days", "2", "-subj",
        "/CN=test ca", "-addext", "keyUsage=keyCertSign")
    run(openssl, "req", "-newkey", "rsa:2048", "-nodes", "-keyout",
        path("key.pem"), "-out", path("csr.pem"), "-subj", "/CN=127.0.0.1")
    with open(path("ext"), "w") as file:
        file.write("subjectAltName=IP:127.0.0.1,DNS:localhost\n")
    run(openssl, "x509", "-req", "-in", path("csr.pem"), "-CA",
        path("ca.pem"), "-CAkey", path("ca.key"), "-CAcreateserial", "-out",
        path("cert.pem"), "-days", "1", "-extfile", path("ext"))
    return path("ca.pem"), path("cert.pem"), path("key.pem"), path("ca.key")


@pytest.fixture(scope="module")
def tls_server(certificates):
    ca, cert, key, _ = certificates
    s = Server(flags=["--tls-cert", cert, "--tls-key", key], tls_ca=ca)
    yield s
    s.close()


@pytest.mark.parametrize("size", (10, 100000, 9 * MIB))
def test_boto3_over_https(tls_server, size):
    client = tls_server.client()
    client.create_bucket(Bucket=f"tls-{size}")
    body = blob(size)
    put = client.put_object(Bucket=f"tls-{size}", Key="k", Body=body)
    assert put["ETag"] == etag(body)
    got = client.get_object(Bucket=f"tls-{size}", Key="k")
    assert got["Body"].read() == body


def test_unsigned_trailers_over_https(tls_server):
    """boto3 sends checksums in an unsigned trailer when TLS protects it."""
    client = tls_server.client()
    client.create_bucket(Bucket="tls-trailer")
    import io
    body = blob(300000)
    client.put_object(Bucket="tls-trailer", Key="k", Body=io.BytesIO(body),
                      ChecksumAlgorithm="SHA256")
    got = client.get_object(Bucket="tls-trailer", Key="k",
                            ChecksumMode="ENABLED")
    assert got["Body"].read() == body and got["ChecksumSHA256"]


def test_curl_over_https(tls_server, certificates):
    out = run(need("curl"), "--silent", "--cacert", certificates[0],
              "-o", "/dev/null", "-w", "%{http_code}",
              f"{tls_server.endpoint}/-/ready")
    assert out.stdout == "200"


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_old_protocols_are_refused(tls_server):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = ssl.TLSVersion.TLSv1
    context.maximum_version = ssl.TLSVersion.TLSv1_1
    with socket.create_connection(("127.0.0.1", tls_server.port), 10) as sock:
        with pytest.raises((ssl.SSLError, OSError)):
            context.wrap_socket(sock)


def test_plain_http_on_the_tls_port_is_refused(tls_server):
    with socket.create_connection(("127.0.0.1", tls_server.port), 10) as sock:
        sock.sendall(b"GET /-/ready HTTP/1.1\r\nHost: a\r\n\r\n")
        try:
            got = sock.recv(1000)
        except ConnectionResetError:
            got = b""
    assert b"200 OK" not in got
    assert tls_server.health("ready") == 200


def test_wrong_keys_and_certificates_are_refused_at_start(certificates, tmp):
    ca, cert, key, ca_key = certificates
    junk = os.path.join(tmp, "junk.pem")
    with open(junk, "w") as file:
        file.write("this is no certificate\n")
    data = os.path.join(tmp, "data")
    for flags in (["--tls-cert", cert], ["--tls-key", key],
                  ["--tls-cert", cert, "--tls-key", tmp + "/none"],
                  ["--tls-cert", junk, "--tls-key", key],
                  ["--tls-cert", cert, "--tls-key", junk],
                  ["--tls-cert", cert, "--tls-key", ca_key]):
        result = run_godwit("server", "--data", data, "--listen",
                            "127.0.0.1:0", *flags, timeout=20)
        assert result.returncode not in (0, -6, -11), (flags, result)
        assert "tls" in result.stderr.lower() or ".pem" in result.stderr, (
            flags, result.stderr)


def test_godwit_commands_over_https(tls_server, certificates):
    result = tls_server.cli("ls", check=False,
                            env={"AWS_CA_BUNDLE": certificates[0],
                                 "SSL_CERT_FILE": certificates[0]})
    assert result.returncode == 0, result.stderr
    result = tls_server.cli("ls", check=False)
    assert result.returncode != 0
    assert b"certificate" in result.stderr.lower(), result.stderr
