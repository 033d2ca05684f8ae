"""Goal: what is erased is in no file of any server of a cluster, also of one
that was away; and it is said to be done only then. P8.

Method: three real servers; wrapped keys are read from a catalogue and looked
for in every file of all three.
"""
import json
import random
import time

import pytest

import cluster as cluster_module
from cluster import Cluster
from traces import files_with, keys_in_catalogue

pytestmark = pytest.mark.skipif(
    cluster_module.why_not() is not None,
    reason=str(cluster_module.why_not()))

SEALED = [("x-amz-server-side-encryption", "AES256")]


def await_true(check, what, seconds=60):
    until = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < until, what
        time.sleep(0.2)


def keys_of(member, prefix):
    return {text for key, text in keys_in_catalogue(member.data)
            if key.startswith(prefix)}


def show(member):
    done = member.cli("erase", "show", "1", "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["erasures"][0]


def test_no_server_keeps_a_trace():
    with Cluster(3, flags=["--drives", "2", "--ec", "2+1",
                           "--segment-bytes", "16MiB"]) as c:
        raw = c.raw(0)
        assert raw.request("PUT", "bucket").status == 200
        for i in range(60):
            for name in (f"gone/{i}", f"kept/{i}"):
                body = random.Random(name).randbytes(5000)
                assert raw.put("bucket", name, body, SEALED).status == 200
        await_true(lambda: all(len(keys_of(m, "kept/")) == 60
                               for m in c.members), "three whole copies")
        gone = keys_of(c.members[0], "gone/")
        kept = keys_of(c.members[0], "kept/")
        for member in c.members:
            assert files_with(member.data, gone)
        away = next(m for m in c.members if m is not c.leader())
        away.stop()
        there = [m for m in c.members if m is not away]
        done = there[0].cli("erase", "s3://bucket/gone/", "--recursive")
        assert done.returncode == 0, done.stderr
        await_true(lambda: show(there[0])["state"] == "done" and
                   len(show(there[0])["unclean"]) == 1, "two clean servers")
        for member in there:
            assert files_with(member.data, gone) == set(), member
            assert files_with(member.data, kept)
        # One that was away still has them: no receipt says otherwise.
        assert files_with(away.data, gone)
        assert there[0].cli("receipt", "get", "1").returncode == 1
        away.start()
        await_true(lambda: show(there[0])["clean"], "three clean servers")
        assert files_with(away.data, gone) == set()
        receipt = there[1].cli("receipt", "get", "1")
        assert receipt.returncode == 0, receipt.stderr
        for i in range(60):
            assert raw.head("bucket", f"gone/{i}").status == 404
            assert raw.get("bucket", f"kept/{i}").body == \
                random.Random(f"kept/{i}").randbytes(5000)
