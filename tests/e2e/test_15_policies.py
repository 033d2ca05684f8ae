"""Goal: local groups (K+L+G) and copies (1+M) keep what they promise: with any
G + 1, or M, drives gone or damaged every object reads byte for byte (P3), and
once repaired as many others may go. Method: as test_10_drives.py, over each
policy, with objects of no, one and many chunks."""
import http.client
import os
import random
import shutil

import pytest

from server import run_godwit
from test_10_drives import check, damage, defects, fill
from util import MIB, blob

SIZES = (0, 1, 100, 4096, MIB, 8 * MIB + 1)

# Policy, drives, how many may be lost.
POLICIES = [("4+2+1", 8, 2), ("6+2+2", 10, 3), ("1+2", 3, 2)]


@pytest.fixture(params=POLICIES, ids=[p[0] for p in POLICIES])
def store(request, make_server):
    """A filled store, its count of drives, and of those that may be lost."""
    ec, drives, may = request.param
    # A copy of a whole chunk takes 8 MiB of a segment.
    segment = "16MiB" if ec.startswith("1+") else "4MiB"
    s = make_server("--ec", ec, "--drives", str(drives), "--segment-bytes",
                    segment)
    fill(s.client(), SIZES)
    return s, drives, may


def move_away(s, drives):
    for drive in drives:
        os.rename(s.drive(drive), s.drive(drive) + ".away")


def move_back(s, drives):
    for drive in drives:
        shutil.rmtree(s.drive(drive), ignore_errors=True)
        os.rename(s.drive(drive) + ".away", s.drive(drive))


def test_as_many_drives_as_promised_may_be_gone(store):
    s, drives, may = store
    for first in range(0, drives, 2):
        lost = [(first + i * 3) % drives for i in range(may)]
        if len(set(lost)) < may:
            lost = list(range(may))
        s.kill9()
        move_away(s, lost)
        s.start()
        check(s.client(), SIZES)
        s.stop()
        move_back(s, lost)
        s.start()
    check(s.client(), SIZES)


def test_ranges_read_with_drives_gone(store):
    s, drives, may = store
    s.stop()
    move_away(s, range(may))
    s.start()
    client = s.client()
    size = SIZES[-1]
    whole = blob(size)
    rng = random.Random(5)
    for _ in range(25):
        first = rng.randrange(size)
        last = min(first + rng.choice([0, 10, 70000, 3 * MIB]), size - 1)
        got = client.get_object(Bucket="bkt", Key=f"k{size}",
                                Range=f"bytes={first}-{last}")
        assert got["Body"].read() == whole[first:last + 1], (first, last)


def test_drives_lost_are_rebuilt_and_as_many_others_may_go(store):
    s, drives, may = store
    s.stop()
    for drive in range(may):
        shutil.rmtree(s.drive(drive))
    s.start()  # they come back empty
    check(s.client(), SIZES)
    s.stop()
    defects(s, "--repair")
    status, said = defects(s)
    assert status == 0, said
    move_away(s, range(drives - may, drives))
    s.start()
    check(s.client(), SIZES)


def test_damage_is_not_served_and_repaired(store):
    s, drives, may = store
    s.stop()
    for drive in range(may):
        damage(s.drive(drive), drive)
    status, said = defects(s)
    assert status != 0, said
    s.start()
    check(s.client(), SIZES)
    s.stop()
    defects(s, "--repair")
    status, said = defects(s)
    assert status == 0, said
    move_away(s, range(drives - may, drives))
    s.start()
    check(s.client(), SIZES)


def test_writes_go_on_with_a_drive_gone(store):
    s, drives, may = store
    s.stop()
    move_away(s, [drives - 1])
    s.start()
    fill(s.client(), SIZES, name="during")
    shutil.rmtree(s.drive(0))  # while it serves
    fill(s.client(), SIZES, name="after")
    for name in ("k", "during", "after"):
        check(s.client(), SIZES, name=name)
    s.restart(kill=True)
    for name in ("k", "during", "after"):
        check(s.client(), SIZES, name=name)


def test_more_gone_than_can_be_borne_is_never_wrong_bytes(make_server):
    s = make_server("--ec", "4+2+1", "--drives", "7")
    raw = s.raw()
    fill(s.client(), SIZES)
    s.stop()
    move_away(s, range(4))
    s.start()
    for size in SIZES:
        try:
            reply = raw.get("bkt", f"k{size}")
        except (http.client.HTTPException, OSError):
            continue  # cut off where the bytes end
        assert reply.status in (200, 500, 503), reply
        assert reply.status != 200 or reply.body == blob(size), size
    s.stop()
    move_back(s, range(4))
    s.start()
    check(s.client(), SIZES)


def test_status_and_help_name_the_policy(make_server):
    s = make_server("--ec", "4+2+1", "--drives", "7")
    assert "4+2+1" in s.cli("status").stdout.decode()
    assert "K+L+G" in run_godwit("server", "--help").stdout


@pytest.mark.parametrize("ec", ["6+4+1", "6+1+2", "6+2+3", "6+2+0", "6+2+2+1",
                                "6+2+", "5+2+1"])
def test_what_is_no_policy_is_refused(ec, tmp_path):
    done = run_godwit("server", "--data", str(tmp_path), "--ec", ec)
    assert done.returncode != 0
    assert ec in done.stderr, done.stderr
