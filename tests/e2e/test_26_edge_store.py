"""An agent and a real store: what a device takes is in the store exactly once,
byte for byte, after kills of both sides.

The bucket keeps its versions, so whatever is stored twice is seen.
"""
import os
import random
import re
import shutil
import subprocess
import time
import urllib.parse

import pytest

import edge_device
import seal_reference
import test_18_edge
import util
from test_25_edge_sync import enroll

GODWIT = os.environ["GODWIT"]
EDGE = test_18_edge.EDGE
KIB = 1024
MIB = 1 << 20
SIZES = [0, 1, 300, 4096, 65536, 65537, 200 * KIB, 256 * KIB, 3 * MIB + 17]


@pytest.fixture(scope="module")
def store():
    with edge_device.tls_server() as s:
        client = s.boto = s.client()
        client.create_bucket(Bucket="sensors")
        client.put_bucket_versioning(
            Bucket="sensors", VersioningConfiguration={"Status": "Enabled"})
        yield s


class Device(test_18_edge.Agent):
    """An agent that is enrolled at a real store."""

    count = 0

    def __init__(self, folder, store, *flags, form="godwit"):
        self.form = form
        Device.count += 1
        self.store = store
        self.name = f"dev{Device.count}"
        self.owner = os.path.join(str(folder), "owner.key")
        self.identity = self.owner
        out = subprocess.run([GODWIT, "identity", "create", "--output",
                              self.owner], check=True, capture_output=True,
                             text=True).stdout
        self.recipient = re.search("age1[a-z0-9]+", out).group()
        with open(self.owner, encoding="ascii") as f:
            secret = re.search("AGE-SECRET-KEY-1[A-Z0-9]+", f.read()).group()
        self.own = seal_reference.bech32_bytes(secret)
        self.url = f"https://127.0.0.1:{store.port}"
        out = enroll(os.path.join(str(folder), "data"), self.url, self.code())
        assert out.returncode == 0, out.stderr
        assert out.stdout == f"enrolled as {self.name}\n"
        super().__init__(folder, *flags)

    def code(self):
        return edge_device.enrolment_code(self.store, self.name, "sensors",
                                          "--recipient", self.recipient,
                                          "--format", self.form)

    def arguments(self):
        return [EDGE, "run", "--data", self.data, "--listen", "127.0.0.1:0",
                *self.flags]

    def key(self, name):
        return f"{self.name}/{name}"

    def give(self, name, body, **fields):
        self.put("sensors/" + self.key(name), body, **fields)

    def flush(self, seconds=120):
        """Until it is done: either side may have been killed meanwhile."""
        end = time.monotonic() + seconds
        while True:
            out = self.command("flush")
            if out.returncode == 0:
                return
            assert time.monotonic() < end, out.stderr + self.text()
            time.sleep(0.05)

    def versions(self):
        """Name -> count of versions and delete markers."""
        out = {}
        pages = self.store.boto.get_paginator("list_object_versions").paginate(
            Bucket="sensors", Prefix=self.name + "/")
        for page in pages:
            for v in page.get("Versions", []) + page.get("DeleteMarkers", []):
                name = v["Key"].removeprefix(self.name + "/")
                out[name] = out.get(name, 0) + 1
        return out

    def read(self, name):
        o = self.store.boto.get_object(Bucket="sensors", Key=self.key(name))
        flags, body = seal_reference.open_envelope(self.own, o["Body"].read())
        assert flags == 0
        return body, o

    def proper(self, sent):
        assert self.status()["objects"] == 0
        assert self.versions() == dict.fromkeys(sent, 1)
        for name, body in sent.items():
            assert self.read(name)[0] == body, name


@pytest.fixture
def make_device(tmp_path, store):
    devices = []

    def make(*flags, **more):
        devices.append(Device(tmp_path, store, *flags, **more))
        return devices[-1]

    yield make
    for d in devices:
        if d.process.poll() is None:
            d.process.kill()
            d.process.wait()


def test_what_a_device_takes_is_in_the_store(make_device, store, tmp_path):
    d = make_device()
    sent = {f"{size}": util.blob(size) for size in SIZES}
    for name, body in sent.items():
        d.give(name, body, Content_Type="text/x", x_amz_meta_Unit="C")
    d.flush()
    d.proper(sent)
    for name in ("300", str(3 * MIB + 17)):
        _, o = d.read(name)
        assert o["ContentType"] == "text/x"
        assert o["Metadata"]["unit"] == "C"
        assert o["Metadata"]["godwit-device"] == d.name
        assert re.fullmatch(r"20\d\d-\d\d-\d\dT.*Z",
                            o["Metadata"]["godwit-device-time"])
        out = store.cli("cat", f"sensors/{d.key(name)}", "--identity", d.owner,
                        "--ca", store.tls_ca)
        assert out.stdout == sent[name]
    # A delete is a delete there.
    assert d.ask("DELETE", "/sensors/" + d.key("300"))[0] == 204
    d.flush()
    assert d.versions()["300"] == 2
    # The operator sees it.
    end = time.monotonic() + 30
    while not re.search(f"delivered +{len(SIZES) + 1}\n",
                        edge_device.edge(store, "show", d.name)):
        assert time.monotonic() < end, edge_device.edge(store, "show", d.name)
        time.sleep(0.1)


def test_files_of_age_that_any_age_opens(make_device, store, tmp_path):
    d = make_device(form="age")
    assert b"age-encryption" not in d.spool()
    sent = {f"{size}": util.blob(size) for size in SIZES}
    for name, body in sent.items():
        d.give(name, body)
    d.kill()
    d.start()
    assert b"age-encryption.org/v1" in d.spool()
    d.flush()
    assert d.versions() == dict.fromkeys(sent, 1)
    for name, body in sent.items():
        stored = store.boto.get_object(
            Bucket="sensors", Key=d.key(name))["Body"].read()
        out = subprocess.run([util.need("age"), "-d", "-i", d.owner],
                             input=stored, capture_output=True, check=True)
        assert out.stdout == body
    out = store.cli("cat", f"sensors/{d.key('300')}", "--identity", d.owner,
                    "--ca", store.tls_ca)
    assert out.stdout == sent["300"]
    d.stop()
    out = d.command("run", "--format", "zip")
    assert out.returncode == 2 and "godwit or age" in out.stderr


def test_odd_keys_arrive_in_a_batch_and_in_parts(make_device, store):
    d = make_device()
    odd = ["a//b", "./x", "../x", "/", "x/", "+", "a b", "%41", "?", "#x", "&=",
           "'\"<>", "\u00e4\u20ac\U0001f600", "\x01\x7f", "a\nb", ";:@$,!~*()",
           "k" * (1023 - len(d.name))]
    sent = {}
    for name in odd:
        for tail, size in ("", 300), ("L", 300 * KIB):
            sent[tail + name] = util.blob(size, len(sent))
    sent.pop("L" + odd[-1])
    for name, body in sent.items():
        d.ask("PUT", "/" + urllib.parse.quote("sensors/" + d.key(name)), body)
    assert d.status()["accepted_objects"] == len(sent)
    d.flush()
    assert d.status()["refused_objects"] == 0, d.text()
    d.proper(sent)


def test_metadata_arrive_in_a_batch_and_in_parts(make_device, store):
    """As much as S3 allows, and what the agent adds does not count."""
    d = make_device()
    meta = {f"x-amz-meta-m{i:02}": "v" * 61 for i in range(32)}
    assert sum(len(k) - 11 + len(v) for k, v in meta.items()) == 2048
    sent = {"small": util.blob(300), "large": util.blob(300 * KIB)}
    for name, body in sent.items():
        d.give(name, body, **meta)
    d.flush()
    assert d.status()["refused_objects"] == 0, d.text()
    d.proper(sent)
    for name in sent:
        have = d.read(name)[1]["Metadata"]
        assert have["m31"] == "v" * 61 and len(have) == 34


def test_below_its_prefix_alone(make_device):
    d = make_device()
    assert d.ask("PUT", "/sensors/other/key", b"x")[0] == 403
    assert d.status()["below"] == f"sensors/{d.name}/"


def test_a_revoked_device_keeps_its_objects(make_device, store):
    d = make_device()
    d.flush()
    edge_device.edge(store, "revoke", d.name)
    sent = {f"r{i}": util.blob(300, i) for i in range(20)}
    for name, body in sent.items():
        d.give(name, body)
    out = d.command("flush")
    assert out.returncode == 1 and "403" in out.stderr, out.stderr
    st = d.status()
    assert st["objects"] == 20 and st["refused_objects"] == 0
    assert st["last_error"] != ""
    d.stop()
    assert enroll(d.data, d.url, d.code()).returncode == 0
    d.start()
    d.flush()
    d.proper(sent)


def test_a_revoked_device_keeps_its_large_objects(make_device, store):
    """What is refused is the device, not the object: not even after many
    tries is it given up."""
    d = make_device()
    d.flush()
    edge_device.edge(store, "revoke", d.name)
    sent = {"large": util.blob(MIB, 5)}
    d.give("large", sent["large"])
    for _ in range(4):
        d.command("flush")
    st = d.status()
    assert st["objects"] == 1 and st["refused_objects"] == 0, st
    d.stop()
    assert enroll(d.data, d.url, d.code()).returncode == 0
    d.start()
    d.flush()
    d.proper(sent)


def test_all_arrives_once_when_both_are_killed(make_device, store):
    d = make_device()
    rng = random.Random(23)
    sent = {}
    for i in range(10):
        for k in range(60):
            name = f"{i}/{k}"
            sent[name] = util.blob(50 + 150 * k, seed=i * 60 + k)
            d.give(name, sent[name], x_godwit_class=str(rng.randrange(10)))
        if i % 4 == 1:
            name = f"{i}/large"
            sent[name] = util.blob(2 * MIB + i)
            d.give(name, sent[name])
        time.sleep(rng.random() * .2)
        if i % 3 == 0:
            store.restart(kill=True)
        d.kill()
        d.start()
    d.flush()
    d.proper(sent)
