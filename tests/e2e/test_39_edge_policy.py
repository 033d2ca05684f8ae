"""Goal: a device does what its operator says: a policy that the cluster signed,
the newest, and no other; what each field of it means.

Method: an agent at a real store for what travels and what is delivered; one at
a fake gateway that signs by itself for what must not count.
"""
import json
import os
import time

import pytest

import edge_device
import edge_gateway
import seal_reference
import test_18_edge
import test_25_edge_sync
import test_26_edge_store
from test_26_edge_store import store  # noqa: F401, a fixture

KIB = 1024
MIB = 1 << 20


@pytest.fixture
def device(tmp_path, store):
    d = test_26_edge_store.Device(tmp_path, store)
    yield d
    d.process.kill()
    d.process.wait()


def edge(store, *arguments, given=None):
    path = None
    if given is not None:
        path = os.path.join(store.data, "given.json")
        with open(path, "w", encoding="utf-8") as f:
            f.write(given if isinstance(given, str) else json.dumps(given))
        arguments = (*arguments, "--set", path)
    return store.cli("edge", "policy", *arguments, "--ca", store.tls_ca,
                     check=False)


def wait_for(what, seconds=20):
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end
        time.sleep(0.05)


def give(device, policy):
    """Until the device obeys it."""
    out = edge(device.store, device.name, given=policy)
    assert out.returncode == 0, out.stderr
    version = int(out.stdout.split()[-1])
    device.flush()  # a report comes with it
    wait_for(lambda: device.status()["policy_version"] == version)
    return version


def show(device):
    out = edge(device.store, device.name, "show")
    assert out.returncode == 0, out.stderr
    return out.stdout.decode()


def refused(device, name, body, status, *words, **fields):
    fields = {k.replace("_", "-"): v for k, v in fields.items()}
    got, text, _ = device.ask(
        "PUT", f"/sensors/{device.key(name)}", body, fields)
    assert got == status, text
    for word in words:
        assert word in text.decode()


# ---- how it travels ----

def test_a_policy_is_shown_set_obeyed_and_cleared(device, store):
    assert show(device) == f"{device.name}: no policy\n"
    # As the operator wrote it, blanks and escapes and all.
    text = '{\n  "rate": "1M",\t"redact":{"json":["gr\\u00fcn \\"x\\"","grün"]}}'
    version = give(device, text)
    assert version == 1
    device.flush()
    wait_for(lambda: "obeys 1" in show(device))
    assert show(device).endswith(text + "\n")
    out = store.cli("edge", "show", device.name, "--ca", store.tls_ca)
    assert b"policy        version 1, obeys 1" in out.stdout
    out = edge(store, device.name, "clear")
    assert out.stdout.decode() == f"{device.name}: version 2\n"
    device.flush()
    wait_for(lambda: device.status()["policy_version"] == 2)
    assert show(device).endswith("\n{}\n")


@pytest.mark.parametrize("policy, reason", [
    ('{"rate":', "byte"),
    ({"colour": 1}, "policy: colour: not known"),
    ({"classes": {"3": {"deadline": "soon"}}}, "classes.3.deadline: a time"),
    ({"max_bytes": 5}, "max_bytes: 4MiB"),
])
def test_a_bad_policy_is_refused_at_once(device, store, policy, reason):
    out = edge(store, device.name, given=policy)
    assert out.returncode == 2 and reason in out.stderr.decode()
    assert show(device) == f"{device.name}: no policy\n"


def test_what_is_asked_wrongly_is_refused(store, device):
    for arguments, word in [((), "say policy"), (("x",), "say policy"),
                            ((device.name, "drop"), "say policy"),
                            (("nobody", "show"), "nobody"),
                            (("nobody", "clear"), "nobody")]:
        out = edge(store, *arguments)
        assert out.returncode != 0 and word in out.stderr.decode()
    out = store.cli("edge", "policy", device.name, "--set", "/nowhere",
                    check=False)
    assert out.returncode != 0 and "/nowhere" in out.stderr.decode()


def test_all_devices_get_it_and_a_new_enrolment_keeps_it(store, device):
    other = "spare"
    edge_device.enrolment_code(store, other, "sensors")
    out = edge(store, "--all", given={"order": "newest"})
    lines = out.stdout.decode().splitlines()
    assert f"{device.name}: version 1" in lines
    assert f"{other}: version 1" in lines
    edge_device.enrolment_code(store, other, "sensors")
    out = edge(store, "--all", "show").stdout.decode()
    assert f"{other}: version 1, the device obeys none\n" in out
    device.flush()
    wait_for(lambda: device.status()["policy_version"] == 1)
    store.cli("edge", "remove", other, "--ca", store.tls_ca)


def test_a_policy_counts_from_the_start_without_a_link(device):
    give(device, {"redact": {"json": ["gps"]}})
    device.stop()
    device.flags = ["--gateway", "https://127.0.0.1:1"]
    device.start()
    assert device.status()["policy_version"] == 1
    refused(device, "x", b"no json", 400, "cannot be left out",
            Content_Type="application/json")


# ---- what must not count ----

@pytest.fixture
def fake(tmp_path):
    g = edge_gateway.Gateway(tmp_path)
    d = test_25_edge_sync.Device(tmp_path, g)
    yield d, g
    d.process.kill()
    d.process.wait()
    g.stop()


def told(device, gateway):
    """What the device says once it has seen the present settings."""
    asked = gateway.requests.count(("GET", "/-/edge/v1/settings"))
    device.put("inbox/x", b"1")
    device.flush()
    wait_for(lambda: gateway.requests.count(
        ("GET", "/-/edge/v1/settings")) > asked)
    reports = len(gateway.reports)
    device.put("inbox/x", b"2")
    device.flush()
    wait_for(lambda: len(gateway.reports) > reports)
    report = gateway.reports[-1]
    status = device.status()
    assert status["policy_version"] == report["policy_version"]
    assert status.get("policy_error") == report.get("policy_error")
    return report["policy_version"], report.get("policy_error")


def test_what_is_not_signed_for_this_device_or_not_newer(fake, tmp_path):
    device, gateway = fake
    gateway.order_policy(5, {"order": "newest"})
    assert told(device, gateway) == (5, None)
    kept = open(os.path.join(device.data, "policy.json"), "rb").read()

    gateway.order_policy(4, {"order": "oldest"})
    assert told(device, gateway) == (
        5, "policy 4 refused: version: 5 counts, and there is no way back")
    gateway.order_policy(6, {}, ca=edge_gateway.Ca(tmp_path))
    assert told(device, gateway) == (
        5, "policy 6 refused: the signature is not by the cluster's CA")
    gateway.order_policy(7, {}, device="dev2")
    assert told(device, gateway) == (
        5, "policy 7 refused: device: it is for another one")
    gateway.order_policy(8, {"classes": {"3": {"deadline": "never"}}})
    version, error = told(device, gateway)
    assert version == 5
    assert error.startswith("policy 8 refused: classes.3.deadline: ")
    # A version outside that is not the one inside: the one inside counts.
    gateway.order_policy(3, {})
    gateway.settings["policy"]["version"] = 9
    assert told(device, gateway) == (
        5, "policy 3 refused: version: 5 counts, and there is no way back")
    gateway.order_policy(10, {})
    gateway.settings["policy"]["document"] += " "
    assert told(device, gateway)[0] == 5
    gateway.settings["policy"] = {"version": 11, "document": "{}",
                                  "signature": "?"}
    assert told(device, gateway) == (
        5, "policy 11 refused: signature: not one in base64")
    assert open(os.path.join(device.data, "policy.json"), "rb").read() == kept
    device.stop()
    device.start()
    assert device.status()["policy_version"] == 5

    gateway.order_policy(12, {})
    assert told(device, gateway) == (12, None)


def test_a_policy_file_that_was_changed_does_not_count(fake):
    device, gateway = fake
    gateway.order_policy(5, {"order": "newest"})
    assert told(device, gateway) == (5, None)
    device.stop()
    gateway.stop()
    path = os.path.join(device.data, "policy.json")
    with open(path, encoding="utf-8") as f:
        text = f.read()
    for changed in (text.replace("newest", "oldest"), text[:-20], "",
                    text.replace('"number":1', '"number":2')):
        with open(path, "w", encoding="utf-8") as f:
            f.write(changed)
        settings = os.path.join(device.data, "identity", "settings.json")
        with open(settings, "w", encoding="utf-8") as f:
            json.dump({k: v for k, v in gateway.settings.items()
                       if k != "policy"}, f)
        device.start()
        assert device.status()["policy_version"] == 0
        device.stop()
    gateway.start(gateway.port)
    device.start()


# ---- what the fields mean ----

def test_what_is_to_be_left_out_never_reaches_the_disk(device):
    give(device, {"redact": {"metadata": ["Serial"], "json": ["gps", "who"]}})
    device.ask("PUT", f"/sensors/{device.key('a')}",
               b'{"t": 21.5, "gps":[1,2], "wh\\u006f":"ann", "n":{"gps":3}}',
               {"Content-Type": "application/json; charset=utf-8",
                "x-amz-meta-serial": "SECRET-SERIAL",
                "x-amz-meta-site": "north"})
    device.give("b", b'{"gps":1}', Content_Type="text/plain")
    assert b"SECRET-SERIAL" not in device.spool()
    refused(device, "c", b'{"gps":1', 400, "cannot be left out",
            Content_Type="application/json")
    refused(device, "c", b'{"gps":1,"gps":2}', 400, "cannot be left out",
            Content_Type="application/json")
    refused(device, "c", b'{"a":"' + b"x" * 70000 + b'"}', 400, "at most",
            Content_Type="application/json")
    device.flush()
    body, o = device.read("a")
    assert body == b'{"t": 21.5,"n":{"gps":3}}'
    assert o["Metadata"]["site"] == "north" and "serial" not in o["Metadata"]
    assert device.read("b")[0] == b'{"gps":1}'
    assert device.status()["objects"] == 0


def test_the_days_flash_is_for_reserved_classes_once_it_is_used_up(device):
    device.give("a", b"1")  # its segment of 1 MiB is zeroed first
    give(device, {"flash_budget": "1MiB",
                  "classes": {"8": {"reserved": 10}}})
    refused(device, "b", b"2", 503, "SlowDown", "flash budget of today")
    device.give("c", b"3", x_godwit_class="8")
    assert device.status()["budget_refused_objects"] == 1
    device.stop()
    device.start()
    refused(device, "b", b"2", 503, "flash budget of today")
    give(device, {"flash_budget": "100MiB"})
    device.give("b", b"2")
    device.flush()
    assert device.versions() == {"a": 1, "b": 1, "c": 1}


def test_a_link_that_costs_is_for_what_matters(device, tmp_path):
    path = tmp_path / "metered"
    path.write_text("yes\n")
    give(device, {"metered": {"file": str(path), "priority": 7},
                  "classes": {"2": {"priority": 8}}})
    device.give("low", b"1", x_godwit_class="6")
    device.give("high", b"2", x_godwit_class="7")
    device.give("raised", b"3", x_godwit_class="2")
    device.give("large", b"4" * 3000 * KIB)
    wait_for(lambda: device.status()["objects"] == 2)
    time.sleep(0.5)
    assert device.versions() == {"high": 1, "raised": 1}
    path.write_text("no\n")
    wait_for(lambda: device.status()["objects"] == 0)
    assert device.versions() == {"low": 1, "high": 1, "raised": 1, "large": 1}


def test_an_upload_waits_while_the_link_costs(device, tmp_path):
    path = tmp_path / "metered"
    path.write_text("no\n")
    give(device, {"metered": {"file": str(path), "priority": 7},
                  "rate": "1M"})
    device.give("large", os.urandom(9 << 20))
    wait_for(lambda: device.status()["sent_bytes"] > 2 << 20)
    path.write_text("yes\n")
    time.sleep(6)
    device.give("high", b"2", x_godwit_class="7")
    wait_for(lambda: "high" in device.versions())
    sent = device.status()["sent_bytes"]
    time.sleep(1.5)
    assert device.status()["sent_bytes"] < sent + 64 * KIB
    assert device.versions() == {"high": 1}
    path.write_text("no\n")
    wait_for(lambda: device.status()["objects"] == 0)


def test_full_is_as_the_policy_says(device):
    give(device, {"max_bytes": "4MiB", "when_full": "oldest", "hours": "0-1"
                  if time.gmtime().tm_hour != 0 else "5-6",
                  "classes": {"1": {"reserved": 25}}})
    for i in range(12):
        device.give(f"keep{i}", b"k" * 60 * KIB, x_godwit_class="1")
    for i in range(100):
        device.give(f"more{i}", b"m" * 60 * KIB)
    held = device.keys("sensors", prefix=device.key(""))
    assert len([k for k in held if "keep" in k]) == 12
    assert len(held) < 112
    st = device.status()
    assert st["shed_objects"] == 112 - len(held)
    assert "shed an object for room" in device.text()
    give(device, {})  # flushes, at any hour
    wait_for(lambda: device.status()["objects"] == 0)


def test_what_is_past_its_deadline_is_shed_first_and_reported(device):
    hour = "0-1" if time.gmtime().tm_hour != 0 else "5-6"
    give(device, {"max_bytes": "4MiB", "hours": hour,
                  "classes": {"3": {"deadline": "1s"}}})
    for i in range(30):
        device.give(f"late{i}", b"l" * 60 * KIB, x_godwit_class="3")
    time.sleep(1.1)
    full = 0
    for i in range(90):
        status = device.ask("PUT", f"/sensors/{device.key(f'new{i}')}",
                            b"n" * 60 * KIB)[0]
        full += status == 507
    st = device.status()
    assert st["expired_objects"] == 30 == st["shed_objects"]
    assert full > 0
    assert "shed an object for its deadline" in device.text()
    device.flush()

    def reported():
        out = device.store.cli("edge", "show", device.name, "--json", "--ca",
                               device.store.tls_ca).stdout
        report = json.loads(out)["devices"][0]["report"]
        return report and report.get("expired") == 30 == report["shed"]
    wait_for(reported)


# ---- zstd ----

def stored(device, name):
    return device.store.boto.get_object(
        Bucket="sensors", Key=device.key(name))["Body"].read()


def test_what_pays_is_shrunk_and_opens_as_it_was(device):
    give(device, {"zstd": True})
    text = b"".join(b'{"sensor":%d,"t":21.5}\n' % i for i in range(40000))
    noise = os.urandom(300 * KIB)
    bodies = {"small": text[:3000], "edge": text[:64 * KIB],
              "over": text[:64 * KIB + 1], "large": text + text,
              "noise": noise, "little": noise[:3000], "tiny": b"a" * 63,
              "none": b"", "mixed": text[:100000] + noise}
    for name, body in bodies.items():
        device.give(name, body)
    device.flush()
    for name, body in bodies.items():
        pays = name in ("small", "edge", "over", "large", "mixed")
        raw = stored(device, name)
        assert (raw[5] & 1 == 1) is pays, name
        assert (len(raw) < len(body) // 4) is (pays and name != "mixed"), name
        result = device.store.cli(
            "cat", f"s3://sensors/{device.key(name)}", "--identity",
            device.owner, "--ca", device.store.tls_ca, check=False)
        assert result.returncode == 0, result.stderr
        assert result.stdout == body, name
    assert len(stored(device, "mixed")) < len(bodies["mixed"]) + KIB
    give(device, {"zstd": False})
    device.give("plain", text[:3000])
    device.flush()
    assert stored(device, "plain")[5] == 0


def test_what_was_shrunk_is_read_locally(tmp_path):
    agent = test_18_edge.Agent(tmp_path, "--local-read", "--zstd")
    for size in 0, 3000, 64 * KIB, 64 * KIB + 1, 5 << 20:
        body = (b"0123456789abcdef" * (size // 16 + 1))[:size]
        agent.put("box/k", body)
        status, got, fields = agent.ask("GET", "/box/k")
        assert status == 200 and got == body
        assert fields["Content-Length"] == str(size)
    assert agent.status()["bytes"] < MIB
    agent.stop()


def test_many_large_texts_at_once_are_all_kept(device):
    give(device, {"zstd": True})
    text = b"the same again and again\n" * 20000
    parts = []
    for i in range(9):
        c = test_18_edge.Unix(os.path.join(device.data, "socket"))
        c.putrequest("PUT", f"/sensors/{device.key(str(i))}")
        c.putheader("Content-Length", str(len(text)))
        c.endheaders()
        c.send(text[:200000])
        parts.append(c)
    for c in parts:
        c.send(text[200000:])
    for c in parts:
        assert c.getresponse().status == 200
        c.close()
    device.flush()
    small = 0
    for i in range(9):
        raw = stored(device, str(i))
        small += raw[5] & 1
        flags, body = seal_reference.open_envelope(device.own, raw)
        assert flags == raw[5] and (flags == 1 or body == text)
    assert small == 4
