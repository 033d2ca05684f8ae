"""What is left of a catalogue is one again: from a backup, or from one server
when the majority of the voters is lost for good. The lost ones do not come back
as what they were.

Method: real servers, killed; `godwit catalogue` on the folders of those that
are stopped; the old ones started again by their old lines.
"""
import os
import time

import pytest

import cluster as cluster_module
import server as server_module
from cluster import Cluster

pytestmark = pytest.mark.skipif(
    cluster_module.why_not() is not None,
    reason=str(cluster_module.why_not()))

WAIT = 60


def catalogue(*arguments, ok=True):
    result = server_module.run_godwit("catalogue", *arguments)
    assert (result.returncode == 0) == ok, result.stdout + result.stderr
    return result


def until(what, say=lambda: "", timeout=WAIT):
    end = time.monotonic() + timeout
    while not what():
        assert time.monotonic() < end, say()
        time.sleep(0.1)


def put_all(member, names, value=b"value"):
    for name in names:
        assert member.raw().put("bkt", name, value).status == 200


def has(member, name, value=b"value"):
    got = member.raw().get("bkt", name)
    return got.status == 200 and got.body == value


def voters(member):
    return sorted(s["id"] for s in member.status()["cluster"]["servers"]
                  if s["catalogue"] in ("votes", "leads", "voter"))


@pytest.fixture
def three():
    # 1+2: one server has a shard of everything.
    with Cluster(3, flags=["--ec", "1+2", "--drives", "2",
                            "--segment-bytes", "9MiB"]) as c:
        assert c.raw(0).request("PUT", "bkt").status == 200
        yield c


def test_one_survivor_goes_on_and_the_lost_do_not_come_back(three, note):
    first, second, third = three.members
    names = [f"k{i}" for i in range(20)]
    put_all(first, names)
    put_all(first, ["large"], b"x" * 300_000)
    first.kill9()
    second.kill9()
    until(lambda: third.raw().put("bkt", "no", b"").status == 503)
    third.stop()
    began = time.monotonic()
    catalogue("recover", "--data", third.data, ok=False)
    said = catalogue("recover", "--data", third.data, "--yes").stdout
    assert "votes alone" in said and "meta.aside-" in said
    third.start()
    note(f"{time.monotonic() - began:.1f} s from stop to ready")
    assert all(has(third, name) for name in names)
    assert has(third, "large", b"x" * 300_000)
    put_all(third, ["after"])
    # The old voters are a majority of the old members. They end.
    for old in (first, second):
        old.may_end = True
        old.spawn()
    for old in (first, second):
        assert old.ended() == 70, old.log()
        assert "godwit catalogue rejoin" in old.log()
    assert all(has(third, name) for name in names + ["after"])
    # Their copies put aside, they are members again.
    for old in (first, second):
        catalogue("rejoin", "--data", old.data, ok=False)
        assert "meta.aside-" in catalogue("rejoin", "--data", old.data,
                                          "--yes").stdout
        old.start()
    three.settle()
    for member in three.members:
        assert all(has(member, name) for name in names + ["after"]), member
    until(lambda: len(voters(first)) == 3,
          lambda: str(first.status()["cluster"]["servers"]))
    # And the majority of three may lead without the survivor.
    third.kill9()
    until(lambda: first.raw().put("bkt", "on", b"1").status == 200)
    assert has(second, "on", b"1")


def test_what_only_the_lost_had_is_lost_and_nothing_else(three):
    first, second, third = three.members
    put_all(first, ["before"])
    until(lambda: has(third, "before"))
    third.stop()
    put_all(first, ["missed"])
    first.kill9()
    second.kill9()
    catalogue("recover", "--data", third.data, "--yes")
    third.start()
    assert has(third, "before")
    assert third.raw().get("bkt", "missed").status == 404
    # A new line of log over the same indexes: no one mixes the two.
    put_all(third, [f"new{i}" for i in range(50)], b"2")
    first.may_end = True
    first.spawn()
    assert first.ended() == 70
    catalogue("rejoin", "--data", first.data, "--yes")
    first.start()
    three_live = [first, third]
    for member in three_live:
        assert all(has(member, f"new{i}", b"2") for i in range(50))
        assert member.raw().get("bkt", "missed").status == 404


def test_a_cluster_is_restored_from_a_backup(three):
    first, second, third = three.members
    put_all(first, ["kept"])
    path = os.path.join(three.folder, "backup")
    result = second.cli("catalogue", "backup", "--output", path)
    assert result.returncode == 0, result.stderr
    put_all(first, ["late"])
    refused = catalogue("restore", "--data", first.data, "--from", path,
                        ok=False)
    assert "uses this folder" in refused.stderr
    for member in three.members:
        member.stop()
    refused = catalogue("restore", "--data", first.data, "--from", path,
                        ok=False)
    assert "--force" in refused.stderr
    catalogue("restore", "--data", first.data, "--from", path, "--force")
    for other in (second, third):
        catalogue("rejoin", "--data", other.data, "--yes")
    three.start_all()
    three.settle()
    for member in three.members:
        assert has(member, "kept")
        assert member.raw().get("bkt", "late").status == 404
    until(lambda: len(voters(second)) == 3)
    # A folder without an identity is not the place for it.
    alone = os.path.join(three.folder, "alone")
    refused = catalogue("restore", "--data", alone, "--from", path, ok=False)
    assert "is of a cluster" in refused.stderr
