"""What an operator does to a cluster, and what it does unasked: servers come
and go, drives are emptied, what is lost is rebuilt. P3, P5.

Method: real servers; objects are put, then the cluster is changed, and after
each change every object must read back through every server, and `godwit
explain` must find every shard where the layout has it.
"""
import json
import random
import shutil
import os
import time

import pytest

import cluster as cluster_module
import server as server_module
from cluster import Cluster
from s3http import head_bytes, read_reply

pytestmark = pytest.mark.skipif(
    cluster_module.why_not() is not None,
    reason=str(cluster_module.why_not()))

SIZES = [100, 5000, 70_000, 300_000, 3_000_000]
WAIT = 120


def body(i):
    return random.Random(i).randbytes(SIZES[i % len(SIZES)])


def fill(c, count=20):
    s3 = c.raw(0)
    assert s3.request("PUT", "bkt").status == 200
    for i in range(count):
        assert c.raw(i % 3).put("bkt", f"k{i}", body(i)).status == 200
    return count


def all_there(c, count, members=None):
    for i in range(count):
        for member in members or c.live():
            got = member.raw().get("bkt", f"k{i}")
            assert got.status == 200 and got.body == body(i), (i, member)


def explain(member, key):
    result = member.cli("explain", f"s3://bkt/{key}", "--json")
    assert result.returncode == 0, result.stdout + result.stderr
    return json.loads(result.stdout)


def shards_of(member, count):
    return [shard for i in range(count)
            for chunk in explain(member, f"k{i}")["chunks"]
            for shard in chunk["shards"]]


def until(what, say=lambda: "", timeout=WAIT):
    end = time.monotonic() + timeout
    while not what():
        assert time.monotonic() < end, say()
        time.sleep(0.2)


def at_rest(c, member=None):
    """Nothing is to be moved or missing."""
    member = member or c.live()[0]

    def quiet():
        layout = member.status()["cluster"]["layout"]
        return (layout["moves_left"] == 0 and layout["degraded"] == 0
                and layout["epoch"] > 0)
    until(quiet, lambda: member.cli("status").stdout)


def whole(c, count, member=None):
    """Every shard is where the layout has it."""
    member = member or c.live()[0]
    at_rest(c, member)
    until(lambda: all(s["state"] == "here" for s in shards_of(member, count)),
          lambda: str([s for s in shards_of(member, count)
                       if s["state"] != "here"][:5]))


def drives_of(c, number):
    return [d for d in c.live()[0].status()["cluster"]["drives"]
            if d["server"] == number]


@pytest.fixture
def three():
    with Cluster(3, flags=["--repair-after", "3s"]) as c:
        yield c


def begin_put(member, key, data):
    """A PUT whose last bytes are yet to come; its socket."""
    raw = member.raw()
    head = raw.signed_head("PUT", f"/bkt/{key}",
                           [("Content-Length", str(len(data)))])
    sock = raw.socket()
    sock.sendall(head_bytes("PUT", f"/bkt/{key}", head) + data[:-1000])
    return sock


def slow_put(member, key, data, pause):
    with begin_put(member, key, data) as sock:
        time.sleep(pause)
        sock.sendall(data[-1000:])
        return read_reply(sock).status


def test_orphans_of_one_server_are_not_puts_of_another():
    """Each server collects what the catalogue does not name, at once, while
    puts through others have stored shards that it will name."""
    with Cluster(3, flags=["--orphan-age", "50ms"]) as c:
        assert c.raw(0).request("PUT", "bkt").status == 200
        data = random.Random(1).randbytes(17 << 20)
        for i, member in enumerate(c.members):
            assert slow_put(member, f"slow{i}", data, 3) == 200
        for member in c.members:
            for i in range(3):
                chunks = explain(member, f"slow{i}")["chunks"]
                assert len(chunks) > 1
                assert all(s["state"] == "here" for chunk in chunks
                           for s in chunk["shards"])
        # And what no one will name goes.
        victim = c.members[0]
        before = c.members[1].status()["object"]["orphans_collected"]
        sock = begin_put(victim, "never", data)
        time.sleep(1)
        victim.kill9()
        time.sleep(1)
        kept = c.members[1].status()["object"]["orphans_collected"]
        assert kept == before, "it may still be in flight there"
        sock.close()
        victim.spawn()
        until(lambda: c.members[1].status()["object"]["orphans_collected"] >
              before)


def test_a_fourth_server_gets_its_share(three):
    count = fill(three)
    at_rest(three)
    fourth = three.add("z4")
    fourth.start(three.members[1].peer_address, three.members[0].token())
    at_rest(three)
    slots = [sum(d["slots"] for d in drives_of(three, n)) for n in range(1, 5)]
    assert max(slots) - min(slots) <= 0.1 * sum(slots) / 4, slots
    whole(three, count)
    all_there(three, count)


def test_a_drained_server_is_emptied_and_let_go(three):
    fourth = three.add("z4")
    fourth.start(three.members[0].peer_address, three.members[0].token())
    count = fill(three)
    at_rest(three)
    admin = three.members[0]
    result = admin.cli("node", "remove", "4")
    assert result.returncode == 1 and "slots" in result.stderr, result
    assert admin.cli("node", "drain", "4").returncode == 0
    until(lambda: all(d["slots"] == 0 and d["shards"] == 0
                      for d in drives_of(three, 4)),
          lambda: admin.cli("drive", "list").stdout)
    whole(three, count)
    until(lambda: admin.cli("node", "remove", "4").returncode == 0,
          lambda: admin.cli("node", "remove", "4").stderr)
    assert fourth.peer_address not in admin.cli("node", "list").stdout
    all_there(three, count, three.members[:3])
    # It may not come back.
    fourth.may_end = True
    if fourth.alive():
        fourth.kill9()
    fourth.spawn()
    time.sleep(3)
    assert fourth.health("ready") != 200
    all_there(three, count, three.members[:3])


def test_a_drive_is_drained_removed_and_the_rest_goes_on(three):
    count = fill(three)
    at_rest(three)
    admin = three.members[2]
    assert admin.cli("drive", "drain", "0").returncode == 0
    until(lambda: [d for d in drives_of(three, 1) if d["id"] == 0]
          [0]["shards"] == 0, lambda: admin.cli("drive", "list").stdout)
    at_rest(three)
    until(lambda: admin.cli("drive", "remove", "0").returncode == 0,
          lambda: admin.cli("drive", "remove", "0").stderr)
    assert 0 not in [d["id"] for d in drives_of(three, 1)]
    whole(three, count)
    all_there(three, count)


def test_what_a_dead_server_had_is_rebuilt(three):
    fourth = three.add("z4")
    fourth.start(three.members[0].peer_address, three.members[0].token())
    count = fill(three)
    whole(three, count)
    fourth.kill9()
    all_there(three, count)
    # Gone for longer than --repair-after: its slots go to others.
    until(lambda: all(d["slots"] == 0 for d in drives_of(three, 4)),
          lambda: three.members[0].cli("drive", "list").stdout)
    whole(three, count)
    all_there(three, count)
    # Lost for good.
    result = three.members[1].cli("node", "remove", "4", "--force")
    assert result.returncode == 0, result
    three.settle()
    all_there(three, count)


def test_a_server_that_returns_late_gets_its_share_again(three):
    fourth = three.add("z4")
    fourth.start(three.members[0].peer_address, three.members[0].token())
    count = fill(three)
    whole(three, count)
    fourth.kill9()
    until(lambda: all(d["slots"] == 0 for d in drives_of(three, 4)))
    more = three.members[0].raw()
    assert more.put("bkt", "later", b"x" * 500_000).status == 200
    fourth.start()
    until(lambda: sum(d["slots"] for d in drives_of(three, 4)) > 0)
    whole(three, count)
    three.settle()
    all_there(three, count)
    assert fourth.raw().get("bkt", "later").body == b"x" * 500_000


def test_writes_of_a_hole_come_home(three):
    """What is written while a server is down is on its drives later."""
    count = fill(three, 5)
    at_rest(three)
    gone = three.members[2]
    gone.kill9()
    raw = three.members[0].raw()
    until(lambda: raw.put("bkt", "probe", b"p" * 50_000).status == 200)
    for i in range(5, 15):
        assert three.members[i % 2].raw().put("bkt", f"k{i}",
                                              body(i)).status == 200
    gone.start()
    whole(three, 15)
    all_there(three, 15)


def test_a_drive_lost_while_its_server_runs(three):
    count = fill(three)
    whole(three, count)
    folder = os.path.join(three.members[0].data, "drives", "1")
    shutil.rmtree(folder)
    until(lambda: [d for d in drives_of(three, 1) if d["id"] == 1]
          [0]["slots"] == 0, lambda: three.members[0].cli("drive",
                                                          "list").stdout)
    whole(three, count)
    all_there(three, count)
    assert three.members[0].cli("drive", "remove", "1",
                                "--force").returncode == 0
    three.settle()


def test_a_drive_added_at_a_restart_gets_its_share(three):
    count = fill(three)
    at_rest(three)
    three.members[1].stop()
    three.flags += ["--drives", "8"]
    three.members[1].start()
    until(lambda: len(drives_of(three, 2)) == 8
          and all(d["slots"] > 0 for d in drives_of(three, 2)),
          lambda: three.members[0].cli("drive", "list").stdout)
    whole(three, count)
    all_there(three, count)


def test_bad_commands_say_why(three):
    admin = three.members[0]
    for arguments, text in (
            (["node", "drain", "9"], "no server"),
            (["node", "remove", "1"], "slots"),
            (["drive", "drain", "999"], "drive"),
            (["drive", "remove", "0"], "drain"),
            (["node", "fly", "1"], "say list"),
            (["token", "revoke", "00000000"], "no token"),
            (["explain", "s3://bkt"], "names no object"),
            (["explain", "s3://no-such/key"], "NoSuchBucket")):
        result = admin.cli(*arguments)
        assert result.returncode in (1, 2), (arguments, result)
        assert text in result.stderr, (arguments, result.stderr)
    alone = admin.cli("node", "list", "--data", "/nonexistent")
    assert alone.returncode == 1 and "no server runs" in alone.stderr


def test_force_is_for_what_is_gone(three):
    admin = three.members[0]
    for arguments, text in (
            (["node", "remove", "2", "--force"], "heard and well"),
            (["node", "remove", "1", "--force"], "heard and well"),
            (["drive", "remove", "7", "--force"], "drive 7 is well")):
        result = admin.cli(*arguments)
        assert result.returncode == 1, (arguments, result)
        assert text in result.stderr and "drain it first" in result.stderr
    assert len(three.live()) == 3
    states = {s["state"] for s in admin.status()["cluster"]["servers"]}
    assert states == {"in"}, states


def test_a_name_that_the_catalogue_refuses_ends_the_start(three):
    """It looped at "cluster not made" for ever."""
    fourth = three.add("z4")
    fourth.may_end = True
    for zone, more, text in (
            ("Rack-4", [], 'zone: "Rack-4" is not 1 to 63'),
            ("", [], 'zone: ""'),
            ("z4", ["--name", "a b"], 'name: "a b" is not 1 to 63')):
        fourth.zone, fourth.more = zone, more
        fourth.spawn(three.members[0].peer_address, "no-token")
        assert fourth.ended() == 2, fourth.log()
        assert text in fourth.log(), fourth.log()
    three.members.remove(fourth)


def test_a_wildcard_needs_an_address_to_tell(three):
    fourth = three.add("z4")
    for listen, more, text in (
            ("0.0.0.0", [], "--advertise ADDR:PORT"),
            ("[::]", [], "--advertise ADDR:PORT"),
            ("0.0.0.0", ["--advertise", "0.0.0.0:1"], "of one machine"),
            ("0.0.0.0", ["--advertise", "here"], "of one machine")):
        fourth.listen = f"{listen}:{fourth.cluster_port}"
        fourth.more = more
        fourth.may_end = True
        fourth.spawn(three.members[0].peer_address, "no-token")
        assert fourth.ended() == 2, fourth.log()
        assert text in fourth.log(), fourth.log()
    fourth.more = ["--advertise", fourth.peer_address]
    fourth.listen = f"0.0.0.0:{fourth.cluster_port}"
    fourth.start(three.members[0].peer_address, three.members[0].token())
    at_rest(three)
    def row():
        return three.members[1].status()["cluster"]["servers"][3]
    assert row()["address"] == fourth.peer_address
    until(lambda: row()["heard"])
    assert fourth.raw().put("bkt-none", "k", b"").status == 404
    # It is new: that drives are empty says nothing.
    assert "drive is empty" not in fourth.log(10_000), fourth.log()
    fourth.stop()
    fourth.start()
    three.settle()


def test_status_names_the_server_that_was_asked(three):
    second = three.members[1]
    said = server_module.run_godwit("status", "--data", second.data)
    assert said.stdout.startswith(second.endpoint), said.stdout


def test_before_it_is_ready_explain_says_503(three):
    three.members[1].kill9()
    three.members[2].kill9()
    first = three.members[0]
    first.stop()
    first.spawn()
    until(lambda: first.health("live") == 200)
    said = first.cli("explain", "s3://bkt/key").stderr
    assert "ServiceUnavailable" in said and "starting" in said, said


def knows_that_it_was_removed(member):
    until(lambda: member.health("ready") == 503, lambda: member.log())
    until(lambda: b"removed from the cluster" in
          member.raw().get("bkt", "k0").body, lambda: member.log())
    reply = member.raw().put("bkt", "k0", b"no")
    assert reply.status == 503 and b"was removed" in reply.body, reply
    assert "this server was removed from the cluster" in member.log(200)
    said = member.cli("status")
    assert said.returncode == 1 and "REMOVED" in said.stdout, said


def test_a_removed_server_knows_it(three):
    count = fill(three, 5)
    fourth = three.add("z4")
    fourth.start(three.members[0].peer_address, three.members[0].token())
    at_rest(three)
    assert fourth.health("ready") == 200
    admin = three.members[0]
    assert admin.cli("node", "drain", "4").returncode == 0
    until(lambda: admin.cli("node", "remove", "4").returncode == 0)
    knows_that_it_was_removed(fourth)
    fourth.stop()
    fourth.spawn()
    knows_that_it_was_removed(fourth)
    all_there(three, count, three.members[:3])
    # One that was away when it was removed.
    fifth = three.add("z5")
    fifth.start(admin.peer_address, admin.token())
    whole(three, count, admin)
    fifth.kill9()
    until(lambda: admin.cli("node", "remove", "5", "--force").returncode == 0)
    fifth.spawn()
    knows_that_it_was_removed(fifth)
    all_there(three, count, three.members[:3])


def test_rebalance_waits_until_nothing_is_to_move(three):
    count = fill(three)
    at_rest(three)
    fourth = three.add("z4")
    fourth.start(three.members[0].peer_address, three.members[0].token())
    for member in three.members:  # who leads and who does not
        result = member.cli("cluster", "rebalance", timeout=WAIT)
        assert result.returncode == 0, result
        assert "nothing is to move" in result.stdout
        slots = [sum(d["slots"] for d in drives_of(three, n))
                 for n in range(1, 5)]
        assert max(slots) - min(slots) <= 0.1 * sum(slots) / 4, slots
    at_rest(three)
    said = fourth.cli("cluster", "rebalance", "--no-wait")
    assert said.returncode == 0 and "new plan" in said.stdout
    assert three.members[0].cli("cluster", "fly").returncode == 2
    all_there(three, count)
    for member in three.members[1:]:
        member.kill9()
    until(lambda: "nobody leads" in
          three.members[0].cli("cluster", "rebalance").stderr)
