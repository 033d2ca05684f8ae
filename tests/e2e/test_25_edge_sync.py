"""Devices deliver to a cluster, exactly once.

The gateway is a fake of our own, which keeps the contract by itself and can
misbehave: what is not a valid answer to the last byte changes nothing, and what
the device holds stays until it was stored.
"""
import datetime
import json
import os
import stat
import subprocess

import pytest

import edge_gateway
import test_18_edge

EDGE = test_18_edge.EDGE


@pytest.fixture
def gateway(tmp_path):
    g = edge_gateway.Gateway(tmp_path)
    yield g
    g.stop()


def enroll(data, url, code, *flags):
    return subprocess.run(
        [EDGE, "enroll", "--data", str(data), "--gateway", url, "--code", code,
         *flags], capture_output=True, text=True, timeout=60)


def test_a_device_is_enrolled_once_by_a_code(gateway, tmp_path):
    data = tmp_path / "data"
    code = gateway.code()
    out = enroll(data, gateway.url, code)
    assert out.returncode == 0, out.stderr
    assert out.stdout == "enrolled as dev1\n"
    identity = data / "identity"
    assert sorted(os.listdir(identity)) == [
        "ca.pem", "cert.pem", "device.json", "key.pem", "settings.json"]
    assert stat.S_IMODE(os.stat(identity / "key.pem").st_mode) == 0o600
    assert json.loads((identity / "settings.json").read_text()) == \
        gateway.settings
    assert json.loads((identity / "device.json").read_text()) == {
        "gateway": gateway.url, "device": "dev1", "number": 1}
    assert not (data / "identity.new").exists()
    before = (identity / "key.pem").read_bytes()
    # The same code again: refused, and what is there stays.
    out = enroll(data, gateway.url, code)
    assert out.returncode == 1 and "the code is unknown or used" in out.stderr
    assert (identity / "key.pem").read_bytes() == before
    # A new code replaces all.
    out = enroll(data, gateway.url, gateway.code())
    assert out.stdout == "enrolled as dev2\n", out.stderr
    assert (identity / "key.pem").read_bytes() != before
    assert not (data / "identity.new").exists()


def test_an_impostor_learns_nothing(gateway, tmp_path):
    impostor = edge_gateway.Gateway(tmp_path)
    out = enroll(tmp_path / "data", impostor.url, gateway.code())
    assert out.returncode == 1 and "impostor" in out.stderr
    assert ("POST", "/-/edge/v1/enroll") not in impostor.requests
    impostor.stop()


@pytest.mark.parametrize("what,word", [
    (dict(names=("127.0.0.2",)), "does not name the host"),
    (dict(names=()), "does not name the host"),
    (dict(purpose=edge_gateway.ExtendedKeyUsageOID.CLIENT_AUTH),
     "not for servers"),
    (dict(start=datetime.datetime(2020, 1, 1)), "has expired"),
    (dict(start=datetime.datetime.utcnow() + edge_gateway.DAY * 30),
     "not yet valid"),
])
def test_a_certificate_must_be_for_this_server(tmp_path, what, word):
    ca = edge_gateway.Ca(tmp_path)
    g = edge_gateway.Gateway(tmp_path, ca, server_pem=ca.server(**what))
    out = enroll(tmp_path / "data", g.url, g.code())
    assert out.returncode == 1 and word in out.stderr, out.stderr
    assert ("POST", "/-/edge/v1/enroll") not in g.requests
    g.stop()


def test_enrolment_says_what_is_wrong(gateway, tmp_path):
    good = gateway.code()
    data = tmp_path / "data"
    for url, code, word, status in [
            (gateway.url, "gwj1" + good[4:], "gwe1.", 2),
            (gateway.url, good[:-1], "characters", 2),
            (gateway.url, good[:20] + "!" + good[21:], "wrong", 2),
            ("http://example.org", good, "--insecure", 2),
            ("https://127.0.0.1:1", good, "Connection refused", 1),
            (f"http://127.0.0.1:{gateway.port}", good, "", 1)]:
        out = enroll(data, url, code)
        assert out.returncode == status, out.stderr
        assert word in out.stderr
        assert good[-22:] not in out.stderr  # the secret is never shown

    def html(handler, path):
        return path.endswith("enroll") and (
            lambda h, body: h.answer(200, b"<html>Please log in</html>"))
    gateway.fault = html
    out = enroll(data, gateway.url, good)
    assert out.returncode == 2 and "something else" in out.stderr
    assert not (data / "identity").exists()
    gateway.fault = None
    assert enroll(data, gateway.url, good).returncode == 0
