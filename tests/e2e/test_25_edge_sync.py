"""Devices deliver to a cluster, exactly once.

The gateway is a fake of our own, which keeps the contract by itself and can
misbehave: what is not a valid answer to the last byte changes nothing, and what
the device holds stays until it was stored.
"""
import datetime
import json
import os
import random
import re
import stat
import subprocess
import time

import pytest

import edge_gateway
import seal_reference
import test_18_edge
import util

EDGE = test_18_edge.EDGE
KIB = 1024
MIB = 1 << 20


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


# ---- delivery ----

class Device(test_18_edge.Agent):
    """An agent that is enrolled: no recipient is given."""

    def __init__(self, folder, gateway, *flags):
        self.gateway = gateway
        self.identity = os.path.join(str(folder), "owner.key")
        out = subprocess.run(
            [test_18_edge.GODWIT, "identity", "create", "--output",
             self.identity], check=True, capture_output=True, text=True).stdout
        gateway.settings["recipients"] = [re.search("age1[a-z0-9]+",
                                                    out).group()]
        out = enroll(os.path.join(str(folder), "data"), gateway.url,
                     gateway.code())
        assert out.returncode == 0, out.stderr
        with open(self.identity, encoding="ascii") as f:
            secret = re.search("AGE-SECRET-KEY-1[A-Z0-9]+", f.read()).group()
        self.own = seal_reference.bech32_bytes(secret)
        super().__init__(folder, *flags)

    def arguments(self):
        return [EDGE, "run", "--data", self.data, "--listen", "127.0.0.1:0",
                *self.flags]

    def flush(self):
        out = self.command("flush")
        assert out.returncode == 0, out.stderr + self.text()

    def wait(self, what, seconds=60):
        end = time.monotonic() + seconds
        while not what():
            assert time.monotonic() < end, self.text()
            time.sleep(0.02)

    def open(self, envelope):
        flags, text = seal_reference.open_envelope(self.own, envelope)
        assert flags == 0
        return text

    def holds(self):
        return self.status()["objects"]

    def proper(self, sent):
        """All that was sent is at the gateway, once, byte for byte."""
        assert self.holds() == 0
        stored = {k: [self.open(v[1]) for v in versions]
                  for k, versions in self.gateway.objects.items()}
        assert stored == {k: [body] for k, body in sent.items()}


@pytest.fixture
def make_device(tmp_path, gateway):
    devices = []

    def make(*flags):
        devices.append(Device(tmp_path, gateway, *flags))
        return devices[-1]

    yield make
    for d in devices:
        if d.process.poll() is None:
            d.process.kill()
            d.process.wait()


def fill(device, count, size=300, **fields):
    sent = {}
    for i in range(count):
        key = f"inbox/r/{i:05}"
        sent[key] = util.blob(size + i % 7, seed=i)
        device.put(key, sent[key], **fields)
    return sent


def test_what_is_put_arrives(make_device, gateway):
    d = make_device()
    sent = fill(d, 300, Content_Type="text/x", x_amz_meta_unit="C")
    d.flush()
    d.proper(sent)
    meta = gateway.objects["inbox/r/00000"][0][2]
    assert meta == {"content-type": "text/x", "x-amz-meta-unit": "C"}
    st = d.status()
    assert st["link"] == "up" and st["last_error"] == ""
    assert st["delivered_objects"] == 300 and st["refused_objects"] == 0
    assert st["device"] == "dev1" and st["below"] == "inbox/"
    d.wait(lambda: gateway.reports and
           gateway.reports[-1]["delivered"] == 300)
    assert gateway.reports[-1]["backlog_objects"] == 0
    # Without a flush, too.
    d.put("inbox/later", b"later")
    d.wait(lambda: "inbox/later" in gateway.objects)
    # And a delete comes after what it deletes.
    d.put("inbox/gone", b"x")
    assert d.ask("DELETE", "/inbox/gone")[0] == 204
    d.flush()
    assert gateway.newest("inbox/gone") is None
    assert len(gateway.objects["inbox/gone"]) == 2


def test_a_key_keeps_its_order_whatever_the_classes(make_device, gateway):
    d = make_device()
    gateway.stop()
    for i in range(40):
        d.put("inbox/same", str(i).encode(), x_godwit_class=str(i % 10))
        d.put(f"inbox/other{i}", b"o", x_godwit_class=str(i % 10))
    gateway.start(gateway.port)
    d.flush()
    bodies = [d.open(v[1]) for v in gateway.objects["inbox/same"]]
    assert bodies == [str(i).encode() for i in range(40)]
    others = [k for k, _ in gateway.order if "other" in k]
    classes = [int(k[11:]) % 10 for k in others]
    assert classes == sorted(classes, reverse=True)


def test_a_put_outside_what_the_cluster_gave_is_refused(make_device, gateway):
    gateway.settings["prefix"] = "dev1/"
    d = make_device()
    assert d.ask("PUT", "/other/key", b"x")[0] == 403
    assert d.ask("PUT", "/inbox/other", b"x")[0] == 403
    assert d.ask("DELETE", "/inbox/other")[0] == 403
    d.put("inbox/dev1/x", b"x")
    d.flush()
    assert list(gateway.objects) == ["inbox/dev1/x"]
