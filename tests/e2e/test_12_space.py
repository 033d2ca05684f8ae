"""Goal: space comes back, and a full disk is an error and not an end. Method:
overwrite and delete and look at what the drives take; a small file system
mounted for the drives is filled and emptied again."""
import concurrent.futures
import json
import os
import subprocess
import time

import pytest

from s3http import head_bytes, S3
from server import Server, scratch
from util import MIB, blob, disk_use, eventually

SEGMENT = 4 << 20
# Segments of each drive that may stand ready or half full beside the data.
READY = 6 * 6 * SEGMENT


def drives_use(s):
    return sum(disk_use(s.drive(i)) for i in range(6))


def make(make_server, *more):
    return make_server("--segment-bytes", "4MiB", "--gc-interval", "200ms",
                       "--gc-delay", "300ms", "--orphan-age", "2s", *more)


def test_overwriting_the_same_keys_100_times_keeps_one_copy(make_server):
    s = make(make_server)
    s3 = s.raw()
    assert s3.request("PUT", "bkt").status == 200
    conn = s3.connect()
    count, size = 20, 700000
    for turn in range(100):
        body = blob(size, turn)
        for key in range(count):
            reply = s3.put("bkt", f"k{key}", body, connection=conn)
            assert reply.status == 200, (turn, reply)
    one_copy = count * size * 6 // 4
    bound = one_copy * 1.2 + READY
    eventually(lambda: drives_use(s) <= bound, timeout=60,
               what=f"use of the drives ({drives_use(s)}) within {bound}")
    for key in range(count):
        assert s3.get("bkt", f"k{key}", connection=conn).body == blob(size, 99)
    conn.close()
    s.restart()
    for key in range(count):
        assert s3.get("bkt", f"k{key}").body == blob(size, 99)


def test_deleting_everything_frees_the_drives(make_server):
    s = make(make_server)
    s3 = s.raw()
    assert s3.request("PUT", "bkt").status == 200
    for key in range(40):
        assert s3.put("bkt", f"k{key}", blob(2 * MIB, key)).status == 200
    assert drives_use(s) >= 40 * 2 * MIB * 6 // 4
    for key in range(40):
        assert s3.delete("bkt", f"k{key}").status == 204
    eventually(lambda: drives_use(s) <= READY, timeout=60,
               what="the drives to be empty again")


def test_shared_data_goes_with_its_last_name(make_server):
    """A copy shares the bytes of its source: they stay until both go."""
    s = make(make_server)
    s3 = s.raw()
    assert s3.request("PUT", "bkt").status == 200
    body = blob(30 * MIB)
    assert s3.put("bkt", "a", body).status == 200
    assert s3.put("bkt", "c", b"",
                  {"x-amz-copy-source": "/bkt/a"}).status == 200
    assert s3.delete("bkt", "a").status == 204
    time.sleep(2)
    assert s3.get("bkt", "c").body == body
    assert s3.delete("bkt", "c").status == 204
    eventually(lambda: drives_use(s) <= READY, timeout=60,
               what="the drives to be empty again")


def test_aborted_and_expired_uploads_are_collected(make_server):
    s = make(make_server, "--upload-expiry", "3s")
    s3 = s.raw()
    assert s3.request("PUT", "bkt").status == 200
    for turn in range(2):
        reply = s3.request("POST", "bkt", f"k{turn}", {"uploads": ""})
        upload = reply.xml.findtext("UploadId")
        for part in range(1, 5):
            assert s3.request("PUT", "bkt", f"k{turn}", {
                "partNumber": str(part), "uploadId": upload},
                body=blob(5 * MIB, part)).status == 200
        # A part put again frees the first.
        assert s3.request("PUT", "bkt", f"k{turn}", {
            "partNumber": "1", "uploadId": upload},
            body=blob(5 * MIB, 9)).status == 200
        if turn == 0:
            assert s3.request("DELETE", "bkt", "k0",
                              {"uploadId": upload}).status == 204
    eventually(lambda: drives_use(s) <= READY, timeout=60,
               what="the parts to be collected")


def test_orphans_of_cut_uploads_and_kills_are_collected(make_server):
    s = make(make_server)
    s3 = s.raw()
    assert s3.request("PUT", "bkt").status == 200
    for turn in range(4):
        head = s3.signed_head("PUT", "/bkt/cut")
        head.append(("Content-Length", str(60 * MIB)))
        with s3.socket() as sock:
            sock.sendall(head_bytes("PUT", "/bkt/cut", head))
            sock.sendall(blob(20 * MIB, turn))
            if turn % 2:
                s.kill9()
        if turn % 2:
            s.start()
    assert s3.get("bkt", "cut").status == 404
    eventually(lambda: drives_use(s) <= READY, timeout=60,
               what="the orphans to be collected")


def test_restarts_do_not_grow_the_catalogue(make_server):
    """The log of the catalogue is cut below what is applied and durable: a
    start costs the same after many of them."""
    s = make_server()
    s3 = s.raw()
    assert s3.request("PUT", "bkt").status == 200
    meta = os.path.join(s.data, "meta")
    use = []
    for turn in range(16):
        for key in range(5):
            assert s3.put("bkt", f"k{key}", blob(100, turn)).status == 200
        s.restart(kill=turn % 2 == 0)
        use.append(disk_use(meta))
    # A page of the database more or less is no growth; a segment would be.
    assert use[-1] <= use[5] + MIB, [u // MIB for u in use]
    assert s3.get("bkt", "k0").body == blob(100, 15)


@pytest.fixture
def small_disk():
    """A file system of its own for a store: a loop mount, else a tmpfs."""
    folder = scratch()
    image = os.path.join(folder, "image")
    mount = os.path.join(folder, "mount")
    os.mkdir(mount)
    size = 192 * MIB
    with open(image, "wb") as file:
        file.truncate(size)
    made = subprocess.run(["/usr/sbin/mkfs.ext4", "-q", "-m", "0", image],
                          capture_output=True).returncode == 0
    ways = [["mount", "-o", "loop", image, mount],
            ["mount", "-t", "tmpfs", "-o", f"size={size}", "godwit-e2e",
             mount]]
    for way in ways if made else ways[1:]:
        if subprocess.run(way, capture_output=True).returncode == 0:
            break
    else:
        subprocess.run(["rm", "-rf", folder])
        pytest.skip("no file system can be mounted here")
    yield mount
    for _ in range(50):
        if subprocess.run(["umount", mount],
                          capture_output=True).returncode == 0:
            break
        time.sleep(0.2)
    subprocess.run(["rm", "-rf", "--one-file-system", folder])


def fill_until_refused(s3, size, prefix, most=2000):
    """Put until the store refuses; gives the bodies' keys and the refusal."""
    keys = []
    for i in range(most):
        reply = s3.put("bkt", f"{prefix}{i}", blob(size, i))
        if reply.status != 200:
            return keys, reply
        keys.append(f"{prefix}{i}")
    raise AssertionError(f"{most} objects of {size} fit on a small disk")


def check_refusal(reply):
    assert reply.status in (503, 507), reply
    assert reply.code in ("StorageFull", "SlowDown", "ServiceUnavailable",
                          "InsufficientStorage"), reply


def drive_flags(mount):
    out = []
    for i in range(6):
        out += ["--drive", os.path.join(mount, f"drive{i}")]
        os.makedirs(out[-1], exist_ok=True)
    return out


def waiting_repairs(s):
    return s.metrics()["godwit_repairs_waiting"]


def test_full_drives_refuse_and_recover(small_disk):
    """The drives fill; the catalogue has room."""
    s = Server(flags=["--segment-bytes", "4MiB", "--gc-interval", "200ms",
                      "--gc-delay", "200ms", "--orphan-age", "2s",
                      "--reserve", "16MiB", *drive_flags(small_disk)])
    try:
        s3 = S3("127.0.0.1", s.port, *s.credentials)
        assert s3.request("PUT", "bkt").status == 200
        keys, refusal = fill_until_refused(s3, MIB, "k")
        check_refusal(refusal)
        assert len(keys) > 40, len(keys)
        stat = os.statvfs(small_disk)
        assert stat.f_bavail * stat.f_frsize > 4 * MIB, "no reserve"
        assert s3.get("bkt", f"k{len(keys)}").status == 404
        assert s.health("live") == 200
        for i, key in enumerate(keys):
            assert s3.get("bkt", key).body == blob(MIB, i)
        # It starts full, reads, and says the same.
        s.restart(kill=True)
        assert s3.get("bkt", keys[-1]).body == blob(MIB, len(keys) - 1)
        check_refusal(s3.put("bkt", "more", blob(3 * MIB)))
        # Deleting works, and then there is room.
        for key in keys[:len(keys) // 2]:
            assert s3.delete("bkt", key).status == 204
        eventually(lambda: s3.put("bkt", "again", blob(MIB, 7)).status == 200,
                   timeout=60, every=0.5, what="room after deleting")
        for i in range(10):
            body = blob(MIB, 100 + i)
            eventually(lambda: s3.put("bkt", f"new{i}", body).status == 200,
                       timeout=30, every=0.3, what="room for more")
            assert s3.get("bkt", f"new{i}").body == body
        for i, key in list(enumerate(keys))[len(keys) // 2:]:
            assert s3.get("bkt", key).body == blob(MIB, i)
        # What full drives missed is brought to them, now that there is room.
        eventually(lambda: waiting_repairs(s) == 0, timeout=120, every=0.5,
                   what="repairs")
        s.stop()
        s.verify()
    finally:
        s.close()


def test_a_disk_that_others_fill_is_survived(small_disk):
    """All of the store is on a disk that somebody else fills to the brim:
    clear errors, and all goes on when the space returns."""
    data = os.path.join(small_disk, "data")
    s = Server(data=data, flags=["--segment-bytes", "4MiB", "--gc-interval",
                                 "200ms", "--reserve", "16MiB"])
    try:
        s3 = S3("127.0.0.1", s.port, *s.credentials)
        assert s3.request("PUT", "bkt").status == 200
        kept = {}
        for i in range(10):
            kept[f"k{i}"] = blob(300000, i)
            assert s3.put("bkt", f"k{i}", kept[f"k{i}"]).status == 200
        filler = os.path.join(small_disk, "filler")
        with open(filler, "wb") as file:
            try:
                while True:
                    file.write(b"x" * MIB)
                    file.flush()
            except OSError:
                pass

        def refused():
            reply = s3.put("bkt", "more", blob(2 * MIB, time.time_ns()))
            return reply.status != 200 and reply

        check_refusal(eventually(refused, timeout=20, every=0.05,
                                 what="a refusal"))
        for i in range(30):  # small ones and rows too
            reply = s3.put("bkt", f"small{i}", blob(3000, i))
            assert reply.status in (200, 503, 507), reply
            if reply.status == 200:
                kept[f"small{i}"] = blob(3000, i)
        for key, body in kept.items():
            assert s3.get("bkt", key).body == body
        os.unlink(filler)
        eventually(lambda: s3.put("bkt", "again", blob(MIB)).status == 200,
                   timeout=30, every=0.3, what="recovery")
        s.restart(kill=True)
        kept["again"] = blob(MIB)
        for key, body in kept.items():
            assert s3.get("bkt", key).body == body
    finally:
        s.close()


def test_uploads_that_wait_for_memory_and_a_worker_at_once(make_server):
    """The worker's end must not wake an upload that stands in line for
    memory: it stood there twice, and the server crashed."""
    s = make(make_server, "--memory", "32MiB")
    raw = s.raw()
    assert raw.request("PUT", "bkt").status == 200
    body = blob(3 * MIB)
    with concurrent.futures.ThreadPoolExecutor(64) as pool:
        statuses = list(pool.map(
            lambda i: raw.put("bkt", f"k{i}", body).status, range(192)))
    assert statuses == [200] * 192
    for i in range(0, 192, 16):
        assert raw.get("bkt", f"k{i}").body == body


def test_memory_stays_within_its_budget(make_server):
    """Sixteen uploads at once of more bytes than the budget, and one that
    does not move."""
    import threading
    s = make(make_server, "--memory", "64MiB")
    s3 = s.raw()
    assert s3.request("PUT", "bkt").status == 200
    idle = s.rss_bytes()
    body = blob(24 * MIB)
    statuses = []
    stuck = s3.socket()
    head = s3.signed_head("PUT", "/bkt/stuck")
    head.append(("Content-Length", str(64 * MIB)))
    stuck.sendall(head_bytes("PUT", "/bkt/stuck", head) + body[:9 * MIB])

    def put(i):
        statuses.append(s3.put("bkt", f"k{i}", body).status)

    threads = [threading.Thread(target=put, args=(i,)) for i in range(16)]
    for thread in threads:
        thread.start()
    most = 0
    while any(t.is_alive() for t in threads):
        most = max(most, s.rss_bytes())
        time.sleep(0.05)
    stuck.close()
    assert statuses == [200] * 16
    assert most - idle < 64 * MIB + 64 * MIB, (idle, most)
    for i in (0, 15):
        assert s3.get("bkt", f"k{i}").body == body
