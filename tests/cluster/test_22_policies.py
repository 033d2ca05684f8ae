"""Buckets of several policies in a cluster: puts through every server are by
the bucket's policy, the mover plans each map, and a server that is lost costs
none of them. P3, P5.

Method: real servers; godwit bucket through one of them, puts through all, then
a server drains, which must empty it of the slots of all maps.
"""
import json
import random
import time

import pytest

import cluster as cluster_module
from cluster import Cluster

pytestmark = pytest.mark.skipif(
    cluster_module.why_not() is not None,
    reason=str(cluster_module.why_not()))


def body(name):
    return random.Random(name).randbytes(1_500_000)


def policies(member, bucket, key):
    result = member.cli("explain", f"s3://{bucket}/{key}", "--json")
    assert result.returncode == 0, result.stdout + result.stderr
    return {chunk["ec"] for chunk in json.loads(result.stdout)["chunks"]}


def until(what, timeout=120):
    end = time.monotonic() + timeout
    while not what():
        assert time.monotonic() < end
        time.sleep(0.2)


def test_each_bucket_has_its_policy_and_the_mover_sees_to_all():
    with Cluster(4, flags=["--drives", "2", "--segment-bytes", "16MiB"]) as c:
        members = c.live()
        put = {}
        for bucket, ec in (("one", None), ("two", "1+2"), ("three", "3+3")):
            assert c.raw(0).request("PUT", bucket).status == 200
            if ec is not None:
                done = members[0].cli("bucket", "set", bucket, "--ec", ec)
                assert done.returncode == 0, done.stderr
                time.sleep(2)  # all servers have heard
            for i, member in enumerate(members):
                key = f"{bucket}{i}"
                assert member.raw().put(bucket, key,
                                        body(key)).status == 200
                assert policies(member, bucket, key) == {ec or "4+2"}
                put[bucket, key] = body(key)
        refused = members[1].cli("bucket", "set", "one", "--ec", "12+2+2")
        assert refused.returncode != 0
        assert "wants 16 of them" in refused.stdout + refused.stderr

        def reads(from_members):
            for (bucket, key), want in put.items():
                for member in from_members:
                    got = member.raw().get(bucket, key)
                    assert got.status == 200 and got.body == want, key

        reads(members)
        drained = members[3]
        done = members[0].cli("node", "drain", "4")
        assert done.returncode == 0, done.stdout + done.stderr

        def empty():
            drives = members[0].status()["cluster"]["drives"]
            mine = [d for d in drives if d["server"] == 4]
            return all(d["slots"] == 0 for d in mine)
        until(empty)
        reads(members)
        drained.kill9()
        reads(members[:3])


def test_recoding_goes_on_under_a_new_leader():
    with Cluster(3, flags=["--drives", "2", "--segment-bytes", "16MiB"]) as c:
        assert c.raw(0).request("PUT", "bkt").status == 200
        put = {f"k{i:02}": random.Random(i).randbytes(6_000_000)
               for i in range(24)}
        for key, want in put.items():
            assert c.raw(0).put("bkt", key, want).status == 200
        done = c.live()[0].cli("bucket", "set", "bkt", "--ec", "1+1")
        assert done.returncode == 0, done.stderr
        leader = c.leader()

        def under_way():
            recoding = leader.status()["recoding"]
            return recoding["bucket"] == "bkt" and recoding[
                "runs_recoded"] >= 3
        until(under_way)
        leader.kill9()
        others = c.live()

        def some(member):
            return sum(policies(member, "bkt", key) == {"1+1"} for key in put)
        until(lambda: others[0].raw().get("bkt", "k00").status == 200)
        before = some(others[0])
        assert 3 <= before < len(put), before
        leader.start()

        def through():
            shown = others[0].cli("bucket", "show", "bkt", "--json")
            return (shown.returncode == 0 and
                    not json.loads(shown.stdout)["recoding"]["wanted"])
        until(through)
        for member in c.live():
            for key, want in put.items():
                got = member.raw().get("bkt", key)
                assert got.status == 200 and got.body == want, key
        assert some(others[1]) == len(put)
