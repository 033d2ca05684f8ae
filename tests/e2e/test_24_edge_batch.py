"""Goal: a batch of a device is stored whole and once, whatever is repeated,
cut or killed; each object is answered for; nothing gets in that the device may
not put or that is not what it says (P6, P7).

Method: batches encoded in Python by the documented table, over TLS with the
device's certificate, against a real server; the versions of a bucket that keeps
them count how often something was stored.
"""
import hashlib
import json
import os
import random
import threading

import pytest

from edge_device import (BAD, DELETE, DENIED, REPEATED, RETRY, SEALED, STORED,
                         Device, Item, edge, encode, sealed_by_crc, tls_server)
from util import blob


@pytest.fixture(scope="module")
def store():
    with tls_server() as s:
        client = s.boto = s.client()
        client.create_bucket(Bucket="sensors")
        client.put_bucket_versioning(
            Bucket="sensors", VersioningConfiguration={"Status": "Enabled"})
        yield s


_count = 0


@pytest.fixture
def device(store):
    global _count
    _count += 1
    d = Device(store, f"dev{_count}", "sensors")
    yield d
    d.close()


def get(store, key):
    return store.boto.get_object(Bucket="sensors", Key=key)


def versions(store, prefix):
    pages = store.boto.get_paginator("list_object_versions").paginate(
        Bucket="sensors", Prefix=prefix)
    out = {}
    for page in pages:
        for v in page.get("Versions", []) + page.get("DeleteMarkers", []):
            out[v["Key"]] = out.get(v["Key"], 0) + 1
    return out


def test_small_and_large_objects_are_stored_as_they_are(store, device):
    sizes = (0, 1, 100, 4096, 4097, 65536, 65537, 262144)
    items = [Item(i + 1, f"{device.name}/{size}", blob(size, i),
                  content_type="text/x", meta={"unit": "C", "n": str(i)})
             for i, size in enumerate(sizes)]
    for some in items[:-1], items[-1:]:
        assert set(device.batch(some).values()) == {STORED}
    for item in items:
        reply = get(store, item.key)
        assert reply["Body"].read() == item.data
        assert reply["ETag"] == f'"{hashlib.md5(item.data).hexdigest()}"'
        assert reply["ContentType"] == "text/x"
        assert reply["Metadata"] == {
            "unit": "C", "n": item.meta["n"], "godwit-device": device.name,
            "godwit-device-time": "2023-11-14T22:13:20.000Z"}


def test_a_thousand_objects_in_one_request(store, device):
    items = [Item(i, f"{device.name}/{i:04}", b"%d" % i)
             for i in range(1, 1001)]
    assert device.batch(items) == {i: STORED for i in range(1, 1001)}
    assert versions(store, device.name + "/") == {i.key: 1 for i in items}


def test_sealed_objects_come_together_with_their_header(store, device):
    headers = [os.urandom(96) for _ in range(2)]
    wholes = {}
    items = []
    for i in range(6):
        header = headers[i % 2]
        head = b"GWSE\x01\x00" + len(header).to_bytes(2, "little") + bytes(4)
        body = blob(50 + i, i)
        items.append(Item(i + 1, f"{device.name}/s{i}", head + body,
                          flags=SEALED, segment=header))
        wholes[items[-1].key] = head + header + body
    assert set(device.batch(items).values()) == {STORED}
    for key, whole in wholes.items():
        assert get(store, key)["Body"].read() == whole


def test_what_is_sent_again_is_stored_once(store, device):
    items = [Item(i, f"{device.name}/{i}", blob(10 + 1000 * i, i))
             for i in range(1, 8)]
    assert set(device.batch(items).values()) == {STORED}
    assert set(device.batch(items).values()) == {REPEATED}
    mixed = device.batch([items[3], Item(8, f"{device.name}/8", b"new")])
    assert mixed == {4: REPEATED, 8: STORED}
    # What is below the floor is not to come any more.
    assert device.batch([Item(9, f"{device.name}/9", b"")], floor=9) == {
        9: STORED}
    assert device.batch([items[0]]) == {1: REPEATED}
    assert set(versions(store, device.name + "/").values()) == {1}


def test_the_same_twice_in_one_batch(store, device):
    item = Item(1, f"{device.name}/k", b"x")
    status, reply = device.ask("POST", "batch", encode([item, item], 1))
    assert status == 200
    assert sorted((reply[16], reply[25])) == [STORED, REPEATED]
    assert versions(store, device.name + "/") == {item.key: 1}


def test_two_connections_send_the_same_at_once(store, device):
    items = [Item(i, f"{device.name}/{i}", blob(5000, i))
             for i in range(1, 60)]
    second = Device.__new__(Device)
    second.__dict__.update(device.__dict__, _connection=None)
    answers = []
    threads = [threading.Thread(target=lambda d=d: answers.append(
        d.batch(items))) for d in (device, second)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    second.disconnect()
    for i in range(1, 60):
        assert sorted(a[i] for a in answers) == [STORED, REPEATED]
    assert versions(store, device.name + "/") == {i.key: 1 for i in items}


def test_the_bucket_encrypts_what_comes_in_batches(store):
    store.boto.create_bucket(Bucket="vault")
    store.boto.put_bucket_encryption(
        Bucket="vault", ServerSideEncryptionConfiguration={"Rules": [{
            "ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]})
    device = Device(store, "vaulter", "vault")
    try:
        mark = blob(64, "mark")
        items = [Item(i + 1, f"vaulter/{i}", (mark * 5000)[:size])
                 for i, size in enumerate((0, 64, 4096, 65536, 262144))]
        assert set(device.batch(items).values()) == {STORED}
        for item in items:
            reply = store.boto.get_object(Bucket="vault", Key=item.key)
            assert reply["Body"].read() == item.data
            assert reply["ServerSideEncryption"] == "AES256"
        for folder, _, names in os.walk(store.data):
            for name in names:
                with open(os.path.join(folder, name), "rb") as file:
                    assert mark not in file.read()
    finally:
        device.close()


def test_deletes_are_delivered_once_too(store, device):
    key = f"{device.name}/gone"
    items = [Item(1, key, b"x"), Item(2, key, flags=DELETE)]
    assert set(device.batch(items[:1]).values()) == {STORED}
    assert device.batch(items[1:]) == {2: STORED}
    assert device.batch(items[1:]) == {2: REPEATED}
    assert versions(store, key) == {key: 2}  # with one marker


def test_each_object_is_judged_by_itself(store, device):
    name = device.name
    many = {f"m{i}": "v" * 250 for i in range(9)}
    answer = device.batch([
        Item(1, f"{name}/ok", b"x"),
        Item(2, "elsewhere/k", b"x"),
        Item(3, f"{name}x/k", b"x"),
        Item(4, f"{name}/k", b"x", bucket="Not A Bucket"),
        Item(5, f"{name}/" + "k" * 1025, b"x"),
        Item(6, f"{name}/meta", b"x", meta={"Bad Name": "v"}),
        Item(7, f"{name}/meta", b"x", meta={"n": "a\nb"}),
        Item(8, f"{name}/meta", b"x", meta={"godwit-device": "other"}),
        Item(9, f"{name}/meta", b"x", meta=many),
        Item(10, f"{name}/k", b"x", bucket="not-there"),
        Item(11, "elsewhere/k", flags=DELETE),
        Item(12, f"{name}/k", b"x", bucket="sensors"),
    ])
    assert answer == {1: STORED, 2: DENIED, 3: DENIED, 4: BAD, 5: BAD, 6: BAD,
                      7: BAD, 8: BAD, 9: BAD, 10: RETRY, 11: DENIED,
                      12: STORED}
    assert set(versions(store, "elsewhere")) == set()


def test_what_is_no_batch_is_refused_whole(store, device):
    good = encode([Item(1, f"{device.name}/a", b"x"),
                   Item(2, f"{device.name}/b", b"y")], 1)
    bad = [b"", good[:-1], good + b"\0", b"x" + good[1:],
           good[:-5] + b"z" + good[-4:],  # the last object's bytes
           sealed_by_crc(good[:5] + b"\x00\x00\x00" + good[8:24]),
           encode([Item(3, f"{device.name}/c", b"x")], 4)]
    for body in bad:
        status, reply = device.ask("POST", "batch", body)
        assert status == 400 and "batch" in json.loads(reply)["error"], reply
    try:
        assert device.ask("POST", "batch", bytes((1 << 20) + 1))[0] == 413
    except OSError:  # the answer came before all was sent
        pass
    device.disconnect()
    assert versions(store, device.name + "/") == {}
    assert device.batch([Item(1, f"{device.name}/a", b"x")]) == {1: STORED}


def test_a_revoked_device_is_refused_on_a_kept_connection(store, device):
    assert device.batch([Item(1, f"{device.name}/a", b"x")]) == {1: STORED}
    edge(store, "revoke", device.name)
    for path, body in (("batch", encode([Item(2, f"{device.name}/b")], 1)),
                       ("report", "{}")):
        status, reply = device.ask("POST", path, body)
        assert status == 403 and "revoked" in json.loads(reply)["error"]
    assert list(versions(store, device.name + "/")) == [f"{device.name}/a"]


def test_nobody_without_a_certificate(store, device):
    for method, path in (("POST", "batch"), ("POST", "report"),
                         ("GET", "settings"), ("POST", "renew")):
        status, _ = device.ask(method, path, b"{}" if method == "POST" else
                               None, certificate=False)
        assert status == 403


def test_reports_and_settings(store, device):
    status, reply = device.ask("GET", "settings")
    assert status == 200 and json.loads(reply) == {
        "bucket": "sensors", "prefix": device.name + "/", "recipients": []}
    report = {"backlog_objects": 7, "backlog_bytes": 1 << 20, "shed": 3,
              "oldest_ms": 1700000000000, "skew_ms": -5000, "version": "0.1.0"}
    assert device.ask("POST", "report", json.dumps(report))[0] == 204
    shown = edge(store, "show", device.name)
    for line in ("backlog       7", "shed          3", "version       0.1.0",
                 "clock skew    -5000 ms", "oldest        2023-11-14"):
        assert line in shown
    row = next(line for line in edge(store, "ls").splitlines() if line.startswith(device.name + " "))
    assert row.split()[1] == "enrolled" and row.split()[2].endswith("s")
    assert "1 MiB" in row
    for bad in (b"", b"[1]", b"{", b'{"a":1,"a":2}', b"{}" + b" " * 5000):
        status, _ = device.ask("POST", "report", bad)
        assert status in (400, 413)
    assert "backlog       7" in edge(store, "show", device.name)


def test_each_arrives_once_though_the_server_is_killed(device, store):
    """The device sends all that it was not told about, again and again."""
    rng = random.Random(5)
    left = {i: Item(i, f"{device.name}/k{i}", blob(rng.choice((20, 6000)), i))
            for i in range(1, 301)}
    items = dict(left)
    kills = 0
    while left:
        some = [left[i] for i in sorted(left)[:rng.randint(1, 60)]]
        killer = None
        if kills < 8:
            kills += 1
            killer = threading.Timer(rng.random() * 0.05, store.kill9)
            killer.start()
        try:
            answer = device.batch(some, floor=min(left))
        except Exception:  # cut in the middle
            answer = {}
        for i, status in answer.items():
            if status in (STORED, REPEATED):
                del left[i]
        if killer:
            killer.join()
            device.disconnect()
            store.start()
    assert versions(store, device.name + "/") == {
        i.key: 1 for i in items.values()}
    for item in items.values():
        assert get(store, item.key)["Body"].read() == item.data
