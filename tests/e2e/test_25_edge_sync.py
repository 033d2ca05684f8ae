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
import shutil
import socket
import stat
import subprocess
import threading
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


def test_an_enrolment_unheard_is_done_by_the_same_code(gateway, tmp_path):
    data = tmp_path / "data"
    code = gateway.code()

    def unheard(handler, body):
        handler.wfile, wire = open(os.devnull, "wb"), handler.wfile
        gateway.enroll(handler, json.loads(body))
        handler.wfile = wire
        cut(handler, body)

    gateway.fault = lambda h, path: unheard if path.endswith("enroll") else None
    out = enroll(data, gateway.url, code)
    assert out.returncode == 1 and "closed" in out.stderr
    assert os.listdir(data / "identity.new") == ["key.pem"]
    gateway.fault = None
    out = enroll(data, gateway.url, code)
    assert out.stdout == "enrolled as dev1\n", out.stderr
    assert gateway.numbers == 1
    # From another device the code is worth nothing.
    out = enroll(tmp_path / "thief", gateway.url, code)
    assert out.returncode == 1 and "used" in out.stderr


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
    gateway.stop()
    d.put("inbox/dev1/x", b"x")
    # What names no place goes where it may.
    path = os.path.join(d.folder, "reading")
    with open(path, "wb") as f:
        f.write(b"r")
    assert d.command("put", path).returncode == 0
    assert d.command("put", path, "named").returncode == 0
    assert re.findall(r" (\S+)$", d.command("ls").stdout, re.M) == [
        "inbox/dev1/named", "inbox/dev1/reading", "inbox/dev1/x"]
    gateway.start(gateway.port)
    d.wait(lambda: d.command("flush").returncode == 0)
    assert sorted(gateway.objects) == [
        "inbox/dev1/named", "inbox/dev1/reading", "inbox/dev1/x"]
    shown = d.command("status").stdout
    assert re.search(r"^below +inbox/dev1/$", shown, re.M)
    assert re.search("^last_error +$", shown, re.M)


# ---- a gateway that misbehaves ----

def cut(handler, body):
    """Not a byte, and the connection is closed."""
    handler.close_connection = True
    handler.connection.close()


def half(handler, body):
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nGWBA")
    cut(handler, body)


def stored_then_cut(handler, body):
    """The cluster has it, but the answer is lost."""
    handler.server.gateway.batch(handler.device(), body)
    cut(handler, body)


def answers(status, body=b"", **fields):
    return lambda handler, _: handler.answer(status, body, **fields)


def right_but(change):
    """The right answer to a batch, damaged."""
    def fault(handler, body):
        g = handler.server.gateway
        count = len(edge_gateway.read_batch(body)[1])
        out = b"".join(
            edge_gateway.struct.pack("<QB", o["sequence"], edge_gateway.STORED)
            for o in edge_gateway.read_batch(body)[1])
        out = b"GWBA" + edge_gateway.struct.pack("<I", count) + out
        out += edge_gateway.struct.pack("<I", edge_gateway.crc32c(out))
        assert g is not None
        handler.answer(200, change(out))
    return fault


def renumbered(out):
    """Another object's number, with the right checksum."""
    out = out[:8] + bytes([out[8] + 1]) + out[9:-4]
    return out + edge_gateway.struct.pack("<I", edge_gateway.crc32c(out))


@pytest.mark.parametrize("fault,word", [
    (cut, "closed"),
    (half, "ended early"),
    (stored_then_cut, "closed"),
    (answers(200, b"<html>Log in to the hotel's network</html>"), "no answer"),
    (answers(302, b"", Location="https://elsewhere/"), "302"),
    (answers(204), "204"),
    (answers(500, b"oops"), "500"),
    (answers(503, b'{"error":"too busy"}'), "too busy (503)"),
    (answers(403, b'{"error":"the device was revoked"}'), "revoked (403)"),
    (right_but(lambda out: out[:-1]), "no answer"),
    (right_but(lambda out: out + b"x"), "no answer"),
    (right_but(lambda out: out[:-1] + bytes([out[-1] ^ 1])), "no answer"),
    (right_but(lambda out: out[:12] + bytes([out[12] ^ 64]) + out[13:]),
     "no answer"),
    (right_but(renumbered), "other objects"),
    (right_but(lambda out: out[:4] + b"\0\0\0\0" + out[8:]), "no answer"),
], ids=lambda v: v if isinstance(v, str) else "")
def test_what_is_no_answer_delivers_nothing(make_device, gateway, fault, word):
    d = make_device()
    gateway.fault = lambda h, path: fault if path.endswith("batch") else None
    sent = fill(d, 20)
    out = d.command("flush")
    assert out.returncode == 1 and word in out.stderr, out.stderr
    st = d.status()
    assert st["objects"] == 20 and word in st["last_error"]
    assert st["retry_in_ms"] > 0 and st["delivered_objects"] == 0
    gateway.fault = None
    d.flush()
    d.proper(sent)
    assert d.status()["last_error"] == ""


def test_a_slow_drip_is_left(make_device, gateway):
    d = make_device("--answer-timeout", "500ms")

    def drip(handler, body):
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        for _ in range(1000):
            handler.wfile.write(b"G")
            handler.wfile.flush()
            time.sleep(0.05)
    gateway.fault = lambda h, path: drip if path.endswith("batch") else None
    sent = fill(d, 3)
    out = d.command("flush")
    assert out.returncode == 1 and "in time" in out.stderr
    gateway.fault = None
    d.flush()
    d.proper(sent)


def test_an_impostor_gets_nothing(make_device, gateway, tmp_path):
    d = make_device()
    d.flush()
    gateway.stop()
    impostor = edge_gateway.Gateway(tmp_path, port=gateway.port)
    sent = fill(d, 5)
    out = d.command("flush")
    assert out.returncode == 1 and "impostor" in out.stderr
    assert not impostor.requests and d.holds() == 5
    impostor.stop()
    gateway.start(gateway.port)
    d.flush()
    d.proper(sent)


@pytest.mark.parametrize("says", [
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", b"",
    b"\x15\x03\x03\x00\x02\x02\x28", b"\x16\x03\x03\xff\xff" + b"x" * 70000])
def test_what_speaks_no_tls_gets_nothing(make_device, gateway, says):
    d = make_device()
    d.flush()
    gateway.stop()
    heard = []
    with socket.create_server(("127.0.0.1", gateway.port)) as listener:
        def serve():
            while True:
                try:
                    with listener.accept()[0] as c:
                        c.sendall(says)
                        heard.append(c.recv(65536))
                except ConnectionError:
                    pass
                except OSError:
                    return
        threading.Thread(target=serve, daemon=True).start()
        sent = fill(d, 5)
        out = d.command("flush")
        assert out.returncode == 1 and d.holds() == 5, out.stderr
        listener.shutdown(socket.SHUT_RDWR)
    # What it heard was a ClientHello, and no more.
    assert all(h[:1] in (b"\x16", b"") for h in heard)
    gateway.start(gateway.port)
    d.wait(lambda: d.command("flush").returncode == 0)
    d.proper(sent)


def test_a_revoked_device_keeps_what_it_holds(make_device, gateway):
    d = make_device()
    gateway.revoked.add(1)
    sent = fill(d, 10)
    out = d.command("flush")
    assert out.returncode == 1 and "revoked" in out.stderr
    assert "revoked" in d.status()["last_error"]
    d.stop()
    d.start()
    assert d.holds() == 10
    # Enrolled anew, it delivers all.
    d.stop()
    assert enroll(d.data, gateway.url, gateway.code()).returncode == 0
    d.start()
    d.flush()
    d.proper(sent)
    assert d.status()["device"] == "dev2"


@pytest.mark.parametrize("size", [300, 400 * KIB])
def test_what_was_shed_does_not_come_after_what_is_newer(
        make_device, gateway, size):
    """Killed after the newer one was delivered and before the cursor's time
    had come, the agent would hold the older one again, and deliver it."""
    d = make_device("--when-full", "oldest", "--max-objects", "4")
    go = threading.Event()
    gateway.fault = lambda h, path: go.wait(30) and None \
        if path.endswith("batch") else None
    for i in range(2):  # under way, one in each flight
        d.put(f"inbox/first{i}", b"x")
        d.wait(lambda: d.status()["in_flight"] == i + 1)
    d.put("inbox/key", b"old")
    for i in range(3):
        d.put(f"inbox/more{i}", b"x")
    new = util.blob(size)
    d.put("inbox/key", new)
    assert d.status()["shed_objects"] == 3
    go.set()
    d.wait(lambda: "inbox/key" in gateway.objects)
    d.kill()
    d.start()
    d.flush()
    assert [d.open(v[1]) for v in gateway.objects["inbox/key"]] == [new]


def test_parts_that_the_cluster_lost_are_sent_again(make_device, gateway):
    """As when its catalogue was put back from a backup."""
    d = make_device()
    ends = []

    def lose(handler, body):
        handler.answer(400, b"<Error><Code>InvalidPart</Code></Error>")

    def fault(handler, path):
        if handler.command == "POST" and "uploadId=" in handler.path:
            ends.append(handler.path)
            if handler.path == ends[0]:  # that upload is not whole any more
                return lose
        return None

    gateway.fault = fault
    sent = {"inbox/large": util.blob(2 * MIB)}
    d.put("inbox/large", sent["inbox/large"])
    d.wait(lambda: d.command("flush").returncode == 0)
    assert d.status()["refused_objects"] == 0 and len(set(ends)) == 2
    d.proper(sent)


@pytest.mark.parametrize("size", [300, 400 * KIB])
def test_a_copy_of_data_gives_up_nothing(make_device, gateway, size):
    """Put back from a backup, or on a second device: the numbers of new
    objects were used before, and the cluster takes them for repeats."""
    d = make_device()
    d.put("inbox/before", b"x")
    d.flush()
    d.stop()
    shutil.copytree(d.data, d.data + ".copy")
    d.start()
    d.put("inbox/one", util.blob(size, 1))
    d.flush()
    d.stop()
    shutil.rmtree(d.data)
    os.rename(d.data + ".copy", d.data)
    d.start()
    d.put("inbox/two", util.blob(size, 2))
    for _ in range(3):
        out = d.command("flush")
        assert out.returncode == 1 and "enrol it anew" in out.stderr
    assert d.holds() == 1 and "inbox/two" not in gateway.objects
    d.stop()
    with pytest.raises(RuntimeError, match="enrol the device anew"):
        d.start()
    assert enroll(d.data, gateway.url, gateway.code()).returncode == 0
    d.start()
    d.flush()
    d.proper({"inbox/before": b"x", "inbox/one": util.blob(size, 1),
              "inbox/two": util.blob(size, 2)})


def test_what_is_refused_is_given_up_alone(make_device, gateway):
    d = make_device()
    J = edge_gateway
    verdict = {"inbox/r/00003": J.DENIED, "inbox/r/00005": J.BAD}
    gateway.judge = lambda o: verdict.get(o["key"])
    sent = fill(d, 10)
    d.wait(lambda: d.holds() == 0)
    st = d.status()
    assert st["refused_objects"] == 2 and st["shed_objects"] == 2
    assert d.text().count("the cluster refused an object") == 2
    for key in verdict:
        del sent[key]
    d.proper(sent)
    # Denied once is not refused: it may be that the device itself was.
    seen = []

    def once(o):
        seen.append(o["key"])
        return J.DENIED if len(seen) == 1 else None
    gateway.judge = once
    d.put("inbox/late", b"late")
    d.wait(lambda: d.holds() == 0)
    assert seen == ["inbox/late"] * 2 and "inbox/late" in gateway.objects


def test_busy_objects_go_once_more(make_device, gateway):
    d = make_device()
    rng = random.Random(7)
    gateway.judge = lambda o: edge_gateway.RETRY if rng.random() < .3 else None
    sent = fill(d, 50)
    d.wait(lambda: d.command("flush").returncode == 0)
    d.proper(sent)


def test_the_link_is_cut_again_and_again(make_device, gateway):
    d = make_device()
    rng = random.Random(11)
    faults = [cut, half, stored_then_cut, answers(503), None, None]
    gateway.fault = lambda h, path: rng.choice(faults) \
        if path.endswith("batch") else None
    sent = {}
    for i in range(30):
        for k in range(10):
            key = f"inbox/r/{i}-{k}"
            sent[key] = util.blob(200 + 50 * k, seed=i * 10 + k)
            d.put(key, sent[key])
        d.command("flush")
    gateway.fault = None
    d.flush()
    d.proper(sent)
    assert gateway.repeats > 0


def test_killed_at_any_moment_all_arrives_once(make_device, gateway):
    d = make_device()
    rng = random.Random(13)
    gateway.fault = lambda h, path: \
        (stored_then_cut if rng.random() < .2 else None) \
        if path.endswith("batch") else None
    sent = {}
    for i in range(12):
        for k in range(40):
            key = f"inbox/r/{i}-{k}"
            sent[key] = util.blob(100 + 90 * k, seed=i * 40 + k)
            d.put(key, sent[key])
        time.sleep(rng.random() * .1)
        d.kill()
        d.start()
    gateway.fault = None
    d.flush()
    d.proper(sent)


def test_an_agent_that_never_lives_long_gets_on(make_device, gateway):
    """What it delivered in a short life it need not send in the next: the
    first save of the cursor was due 10 s after the start."""
    d = make_device()
    sent = fill(d, 20)
    util.eventually(lambda: d.status()["delivered_through"] == 20)
    d.kill()
    d.start()
    assert d.status()["objects"] == 0
    d.flush()
    d.proper(sent)
    assert gateway.repeats == 0


# ---- large objects ----

def test_large_objects_go_in_parts_beside_small_ones(make_device, gateway):
    d = make_device()
    sent = fill(d, 50)
    sizes = {"inbox/large": 5 * MIB + 12345, "inbox/medium": 200 * KIB,
             "inbox/edge": 256 * KIB, "inbox/two": 2 * MIB}
    for key, size in sizes.items():
        sent[key] = util.blob(size)
        d.put(key, sent[key], x_amz_meta_a="b")
    d.flush()
    d.proper(sent)
    assert gateway.parts == 6 + 1 + 3
    meta = gateway.objects["inbox/large"][0][2]
    assert meta["x-amz-meta-a"] == "b"
    assert meta["x-amz-meta-godwit-device"] == "dev1"
    assert not os.path.exists(os.path.join(d.data, "upload.json"))


def test_a_large_object_goes_on_after_cuts_and_kills(make_device, gateway):
    d = make_device()
    gateway.stop()
    sent = {"inbox/large": util.blob(20 * MIB + 5)}
    d.put("inbox/large", sent["inbox/large"])
    rng = random.Random(17)
    gateway.fault = lambda h, path: \
        cut if path == "/inbox/large" and rng.random() < .2 else None
    gateway.start(gateway.port)
    for n in (3, 9, 15):
        d.wait(lambda: d.command("flush").returncode == 0 or
               gateway.parts >= n)
        d.kill()
        d.start()
    d.wait(lambda: d.command("flush").returncode == 0)
    d.proper(sent)
    # 21 parts; a part whose answer was cut away goes once more.
    assert gateway.lists > 0 and gateway.parts < 21 + 10


def test_an_upload_that_is_gone_begins_anew(make_device, gateway):
    d = make_device()
    gateway.fault = lambda h, path: \
        cut if path == "/inbox/large" and gateway.parts == 2 else None
    d.put("inbox/large", util.blob(4 * MIB))
    d.wait(lambda: gateway.parts == 2)
    gateway.uploads.clear()
    gateway.fault = None
    d.wait(lambda: d.command("flush").returncode == 0)
    d.proper({"inbox/large": util.blob(4 * MIB)})


def test_an_upload_that_was_completed_unheard_counts_once(make_device,
                                                          gateway):
    d = make_device()
    lost = []

    def complete_unheard(handler, body):
        handler.connection, real = None, handler.connection
        handler.wfile, wire = open(os.devnull, "wb"), handler.wfile
        path = edge_gateway.urllib.parse.urlsplit(handler.path)
        gateway.multipart(handler, 1, path, body)
        handler.connection, handler.wfile = real, wire
        lost.append(1)
        cut(handler, body)

    gateway.fault = lambda h, path: \
        complete_unheard if h.command == "POST" and "uploadId" in h.path \
        and not lost else None
    d.put("inbox/large", util.blob(2 * MIB))
    d.wait(lambda: lost)
    d.wait(lambda: d.holds() == 0)
    d.proper({"inbox/large": util.blob(2 * MIB)})
    assert gateway.repeats == 1 and d.status()["repeated_objects"] == 1


def test_what_is_shed_under_way_harms_nothing(make_device, gateway):
    d = make_device("--max-bytes", "4MiB", "--when-full", "oldest")
    rng = random.Random(29)

    def slow(handler, path):
        time.sleep(rng.random() * .03)
        return rng.choice([cut, None, None, None])
    gateway.fault = slow
    sent = {}
    for i in range(60):
        size = rng.choice([300, 20 * KIB, 300 * KIB, 1500 * KIB])
        key = f"inbox/s/{i}"
        sent[key] = util.blob(size, seed=i)
        d.put(key, sent[key])
    gateway.fault = None
    d.wait(lambda: d.command("flush").returncode == 0)
    shed = set(re.findall(r'shed an object.* key=(\S+)', d.text()))
    assert shed and d.holds() == 0
    assert d.status()["damaged_objects"] == 0
    stored = {k: [d.open(v[1]) for v in versions]
              for k, versions in gateway.objects.items()}
    # What was shed may have been on its way already.
    assert all(stored[k] == [sent[k]] for k in stored)
    assert set(sent) - set(stored) <= shed


# ---- time, hours, certificates, settings ----

def test_a_certificate_is_renewed_before_it_ends(make_device, gateway):
    gateway.cert_days = 2  # a day of them has passed; 2/3 has not
    d = make_device()
    sent = fill(d, 3)
    d.flush()
    assert gateway.renewals == 0
    d.stop()
    gateway.cert_days = 1.2
    assert enroll(d.data, gateway.url, gateway.code()).returncode == 0
    before = open(os.path.join(d.data, "identity/cert.pem")).read()
    d.start()
    d.wait(lambda: gateway.renewals == 1)
    d.wait(lambda: open(os.path.join(d.data, "identity/cert.pem")).read() !=
           before)
    d.put("inbox/after", b"after")
    sent["inbox/after"] = b"after"
    d.flush()
    d.proper(sent)


def test_the_clock_is_learnt_from_the_cluster(make_device, gateway):
    gateway.ahead = 3600
    d = make_device()
    d.flush()
    assert abs(d.status()["skew_ms"] - 3600_000) < 5000
    d.stop()
    with open(os.path.join(d.data, "sync.json"), encoding="ascii") as f:
        assert abs(json.load(f)["skew_ms"] - 3600_000) < 5000


def test_out_of_hours_only_what_is_urgent_goes(make_device, gateway):
    hour = datetime.datetime.utcnow().hour
    d = make_device("--hours", f"{(hour + 3) % 24}-{(hour + 4) % 24}")
    sent = fill(d, 5)
    sent["inbox/urgent"] = b"now"
    d.put("inbox/urgent", b"now", x_godwit_class="9")
    d.wait(lambda: d.holds() == 5)
    assert list(gateway.objects) == ["inbox/urgent"]
    d.flush()  # whoever asks gets it
    d.proper(sent)


def test_the_rate_is_kept(make_device, gateway):
    d = make_device("--rate", "100K")
    gateway.stop()
    sent = {f"inbox/{i}": util.blob(50 * KIB, seed=i) for i in range(5)}
    for key, body in sent.items():
        d.put(key, body)
    gateway.start(gateway.port)
    begun = time.monotonic()
    d.flush()
    assert time.monotonic() - begun > 1.8  # 250 KiB, 25 of them at once
    d.proper(sent)


def test_new_settings_are_kept_for_the_next_start(make_device, gateway):
    d = make_device()
    gateway.settings["prefix"] = "new/"
    d.stop()
    d.start()
    d.wait(lambda: "new settings" in d.text())
    d.stop()
    d.start()
    assert d.status()["below"] == "inbox/new/"


def test_another_spool_is_not_taken_for_the_one_before(make_device, gateway):
    d = make_device()
    sent = fill(d, 3)
    d.flush()
    d.proper(sent)
    d.stop()
    spool = os.path.join(d.data, "spool")
    for name in os.listdir(spool):
        os.unlink(os.path.join(spool, name))
    with pytest.raises(RuntimeError, match="enrol the device anew"):
        d.start()
    assert enroll(d.data, gateway.url, gateway.code()).returncode == 0
    d.start()
    d.put("inbox/new", b"new")
    d.flush()
    assert d.open(gateway.newest("inbox/new")) == b"new"
