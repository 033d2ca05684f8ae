"""The audit log of a cluster: entries of every server stand in one chain, which
is whole when the leader was killed, and checkpoints of any server are good.

Method: three real servers; denied requests to each; godwit audit verify.
"""
import json
import time

import pytest

import cluster as cluster_module
from cluster import Cluster

pytestmark = pytest.mark.skipif(
    cluster_module.why_not() is not None,
    reason=str(cluster_module.why_not()))


def audit(member, *words):
    done = member.cli("audit", *words)
    assert done.returncode == 0, done.stderr
    return done.stdout


def entries(member):
    return [json.loads(line)
            for line in audit(member, "ls", "--json").splitlines()]


def deny(c, index, name):
    reply = c.raw(index).request("GET", "bee", name, sign=False)
    assert reply.status == 403, reply


def test_servers_write_one_chain_that_survives_the_leader():
    with Cluster(3, flags=["--drives", "4", "--segment-bytes", "16MiB"]) as c:
        reply = c.raw(0).request("PUT", "bee")
        assert reply.status == 200, reply
        for i in range(3):
            deny(c, i, f"before {i}")
        time.sleep(1)
        key = json.loads(audit(c.members[0], "level", "--json"))["key"]
        for member in c.members:  # each signs by the same key
            assert "are whole" in audit(member, "verify", "--key", key)
        leader = c.leader()
        leader.kill9()
        others = [i for i in range(3) if c.members[i] is not leader]
        c.leader()
        audit(c.members[others[0]], "level", "all")
        time.sleep(0.5)  # the other one has heard of it
        for i in others:
            deny(c, i, f"after {i}")
            assert c.raw(i).request("GET", "bee").status == 200
        time.sleep(1)
        got = entries(c.members[others[1]])
        assert {e["key"] for e in got if e["denied"]} == {
            *(f"before {i}" for i in range(3)), *(f"after {i}" for i in others)}
        assert len({e["server"] for e in got if e["denied"]}) == 3
        assert [e["number"] for e in got] == list(range(1, len(got) + 1))
        assert len([e for e in got if e["operation"].startswith("ListObjects")
                    ]) == 2
        leader.start()
        for member in c.members:
            assert "are whole" in audit(member, "verify", "--key", key)
