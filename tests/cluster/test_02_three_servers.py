"""Goal: servers that joined are one store: what one has acknowledged all
have (P1, P2), whichever dies, stands still or is cut off (P3). Method: real
servers on machines of their own (netlab.py); histories of clients at all
gateways, judged by linear.py; harm in the middle. Times until service goes
on are printed, not judged."""
import os
import random
import time

import pytest

import cluster as cluster_module
import netlab
import wall_clock
from cluster import Cluster
from history import first_write_after, gap, judge
from util import blob, etag, eventually

pytestmark = pytest.mark.skipif(
    cluster_module.why_not() is not None,
    reason=str(cluster_module.why_not()))
SEED = int(os.environ.get("GODWIT_SEED", "0"))
SIZES = (0, 100, 4096, 5000, 300_000, 9 << 20)


@pytest.fixture(scope="module")
def three():
    """Three servers that tests leave as they found them."""
    with Cluster(3) as c:
        yield c


@pytest.fixture
def healthy(three):
    """The three, all alive and one, before the test and after it."""
    three.lab.heal() if three.lab.separate else None
    yield three
    for member in three.live():
        member.go_on()
    if three.lab.separate:
        three.lab.heal()
    three.start_all()
    three.settle()


@pytest.fixture
def cuttable(healthy):
    if not healthy.lab.separate:
        pytest.skip(f"links cannot be cut here: {healthy.lab.why}")
    return healthy


def bucket_of(request, s3):
    name = request.node.name.removeprefix("test_").lower()
    name = "".join(c if c.isalnum() else "-" for c in name)[:50].strip("-")
    assert s3.request("PUT", name).status == 200
    return name


def persist(request, wanted=(200, 204), timeout=60):
    """Repeat a request until it is answered well: a leader may just be
    missing. Gives the reply."""
    last = [None]

    def once():
        try:
            last[0] = request()
        except OSError as error:
            last[0] = error
            return None
        return last[0] if last[0].status in wanted else None

    try:
        return eventually(once, timeout=timeout)
    except AssertionError:
        raise AssertionError(f"not answered well: {last[0]}") from None


def judged(note, load, least=300):
    history = load.stop()
    note(judge(history, least))
    return history


# In peace.

def test_what_one_takes_all_have(healthy, request):
    name = bucket_of(request, healthy.raw(0))
    for i, size in enumerate(SIZES):
        writer = healthy.raw(i % 3)
        body = blob(size, i)
        assert writer.put(name, f"k{i}", body).status == 200
        for j in range(3):
            reply = healthy.raw(j).get(name, f"k{i}")
            assert (reply.status, reply.headers["etag"]) == (
                200, etag(body))
            assert reply.body == body
    for j in range(3):
        assert set(healthy.raw(j).list_keys(name)) == {
            f"k{i}" for i in range(len(SIZES))}
    for i in range(len(SIZES)):
        assert healthy.raw(i % 3).delete(name, f"k{i}").status == 204
        for j in range(3):
            assert healthy.raw(j).get(name, f"k{i}").status == 404
    for j in range(3):
        assert healthy.raw(j).list_keys(name) == {}


def test_versions_are_the_same_on_all(healthy, request):
    name = bucket_of(request, healthy.raw(0))
    reply = healthy.raw(1).request(
        "PUT", name, query=[("versioning", "")],
        body=b"<VersioningConfiguration><Status>Enabled</Status>"
             b"</VersioningConfiguration>")
    assert reply.status == 200, reply
    made = []
    for i, size in enumerate(SIZES[:5]):
        reply = healthy.raw(i % 3).put(name, "k", blob(size, i),
                                       {"x-amz-tagging": f"n={i}"})
        made.append((reply.headers["x-amz-version-id"], blob(size, i)))
    assert len({version for version, _ in made}) == len(made)
    reply = healthy.raw(2).delete(name, "k")
    assert reply.headers["x-amz-delete-marker"] == "true"
    marker = reply.headers["x-amz-version-id"]
    for j in range(3):
        assert healthy.raw(j).get(name, "k").headers[
            "x-amz-version-id"] == marker
        for version, body in made:
            reply = healthy.raw(j).get(name, "k",
                                       query=[("versionId", version)])
            assert (reply.status, reply.body) == (200, body)
            assert reply.headers["x-amz-tagging-count"] == "1"
        listing = healthy.raw(j).request("GET", name,
                                         query=[("versions", "")])
        assert listing.body.count(b"<Version>") == len(made)
        assert listing.body.count(b"<DeleteMarker>") == 1
    for i, version in enumerate([marker] + [v for v, _ in made]):
        reply = healthy.raw(i % 3).request("DELETE", name, "k",
                                           query=[("versionId", version)])
        assert reply.status == 204
        assert reply.headers["x-amz-version-id"] == version
    assert healthy.raw(0).request("DELETE", name).status == 204


def test_status_shows_every_server_on_every_server(healthy):
    for member in healthy.members:
        text = member.cli("status")
        assert text.returncode == 0, text
        for other in healthy.members:
            assert other.peer_address in text.stdout, text.stdout


def test_all_gateways_are_one_register(healthy, note):
    load = healthy.load(seed=(SEED, 1)).start()
    load.wait_acked(2000)
    judged(note, load)


def test_one_key_through_all_gateways(healthy, note):
    load = healthy.load(seed=(SEED, 2), keys=1, clients=9).start()
    load.wait_acked(1000)
    judged(note, load)


# Death.

def test_kill_9_of_the_leader_under_load(healthy, note):
    load = healthy.load(seed=(SEED, 3)).start()
    load.wait_acked(300)
    moments = []
    for _ in range(3):
        leader = healthy.leader()
        moments.append(time.monotonic())
        leader.kill9()
        load.wait_acked(300)
        assert healthy.leader() is not leader
        leader.start()
        load.wait_acked(100)
    history = judged(note, load)
    note("until the first write after the death of the leader: " + ", ".join(
        f"{first_write_after(history, m):.2f} s" for m in moments))


def test_kill_9_of_a_follower_under_load(healthy, note):
    load = healthy.load(seed=(SEED, 4)).start()
    load.wait_acked(300)
    leader = healthy.leader()
    victim = next(m for m in healthy.members if m is not leader)
    began = time.monotonic()
    victim.kill9()
    load.wait_acked(300)
    ended = time.monotonic()
    victim.start()
    load.wait_acked(300)
    history = judged(note, load)
    note("longest wait for a write with a follower dead: "
         f"{gap(history, began, ended):.2f} s")


@pytest.mark.parametrize("index", range(3))
def test_any_one_dead_and_the_rest_goes_on(healthy, request, index):
    name = bucket_of(request, healthy.raw(0))
    bodies = {f"before{i}": blob(size, i) for i, size in enumerate(SIZES)}
    for key, body in bodies.items():
        assert healthy.raw(0).put(name, key, body).status == 200
    healthy.members[index].kill9()
    left = [m.raw() for m in healthy.live()]
    assert len(left) == 2
    for i, size in enumerate(SIZES):
        body = bodies[f"during{i}"] = blob(size, 100 + i)
        persist(lambda: left[i % 2].put(name, f"during{i}", body))
    for s3 in left:
        for key, body in bodies.items():
            assert persist(lambda: s3.get(name, key)).body == body
        assert set(s3.list_keys(name)) == set(bodies)
    healthy.members[index].start()
    for key, body in bodies.items():
        assert persist(lambda: healthy.raw(index).get(name,
                                                      key)).body == body


def test_a_majority_dead_takes_no_write_and_loses_none(healthy, request):
    name = bucket_of(request, healthy.raw(0))
    assert healthy.raw(0).put(name, "k", b"1").status == 200
    healthy.members[1].kill9()
    healthy.members[2].kill9()
    try:
        reply = healthy.raw(0).put(name, "k", b"2", timeout=20)
        assert reply.status == 503, reply
    except OSError:
        pass  # no answer is no acknowledgement
    healthy.start_all()
    healthy.settle()
    for i in range(3):
        reply = persist(lambda: healthy.raw(i).get(name, "k"))
        assert reply.body in (b"1", b"2")
    persist(lambda: healthy.raw(2).put(name, "k", b"3"))
    assert healthy.raw(0).get(name, "k").body == b"3"


def test_all_killed_at_once_and_started_again(healthy, note):
    load = healthy.load(seed=(SEED, 5)).start()
    rng = random.Random(f"{SEED}/5")
    for _ in range(3):
        load.wait_acked(300)
        time.sleep(rng.random() * 0.1)
        healthy.kill_all()
        began = time.monotonic()
        healthy.start_all()
        note(f"all ready again in {time.monotonic() - began:.2f} s")
    load.wait_acked(200)
    judged(note, load)


def test_a_rolling_restart_under_load(healthy, note):
    load = healthy.load(seed=(SEED, 6)).start()
    began = time.monotonic()
    for member in healthy.members:
        load.wait_acked(200)
        member.stop()
        load.wait_acked(100)
        member.start()
    history = judged(note, load)
    note("longest wait for a write in a rolling restart: "
         f"{gap(history, began):.2f} s")


# Servers that stand still, and links that are cut.

def test_a_leader_that_stands_still(healthy, note):
    """It wakes up believing that it leads: it must not answer from what it
    has before it asked the others."""
    load = healthy.load(seed=(SEED, 7), timeout=1.0).start()
    for _ in range(2):
        load.wait_acked(300)
        leader = healthy.leader()
        leader.freeze()
        time.sleep(3)
        leader.go_on()
    load.wait_acked(300)
    judged(note, load)


@pytest.mark.parametrize("how", ("both ways", "from it", "to it"))
def test_a_leader_cut_off(cuttable, note, how):
    """Clients still reach all gateways: the old leader must not serve what
    the others have changed, nor acknowledge what they do not have."""
    load = cuttable.load(seed=(SEED, how)).start()
    load.wait_acked(300)
    leader = cuttable.leader()
    began = time.monotonic()
    for other in cuttable.members:
        if other is leader:
            continue
        if how in ("both ways", "from it"):
            cuttable.lab.cut(leader.host, other.host, one_way=True)
        if how in ("both ways", "to it"):
            cuttable.lab.cut(other.host, leader.host, one_way=True)
    load.wait_acked(300)
    time.sleep(2)
    cuttable.lab.heal()
    load.wait_acked(300)
    cuttable.settle()
    history = judged(note, load)
    note(f"leader cut off {how}: first write after "
         f"{first_write_after(history, began):.2f} s")


def test_a_leader_and_one_follower_that_do_not_hear_each_other(cuttable,
                                                               note):
    """The third hears both: somebody leads, and it stays so."""
    load = cuttable.load(seed=(SEED, 8)).start()
    load.wait_acked(300)
    leader = cuttable.leader()
    other = next(m for m in cuttable.members if m is not leader)
    began = time.monotonic()
    cuttable.lab.cut(leader.host, other.host)
    load.wait_acked(300)
    time.sleep(3)
    load.wait_acked(200)
    ended = time.monotonic()
    cuttable.lab.heal()
    cuttable.settle()
    history = judged(note, load)
    note("one link cut: longest wait for a write "
         f"{gap(history, began, ended):.2f} s")


def test_links_that_come_and_go(cuttable, note):
    load = cuttable.load(seed=(SEED, 9)).start()
    rng = random.Random(f"{SEED}/9")
    for _ in range(10):
        a, b = rng.sample(cuttable.members, 2)
        cuttable.lab.cut(a.host, b.host, one_way=rng.random() < 0.5)
        time.sleep(rng.random())
        if rng.random() < 0.6:
            cuttable.lab.heal()
    cuttable.lab.heal()
    cuttable.settle()
    load.wait_acked(300)
    judged(note, load)


# Clusters of another shape.

def test_two_of_five_dead_and_the_rest_goes_on(note, request):
    with Cluster(5, flags=["--ec", "3+2"]) as c:
        name = bucket_of(request, c.raw(0))
        bodies = {f"k{i}": blob(size, i) for i, size in enumerate(SIZES)}
        for key, body in bodies.items():
            assert c.raw(1).put(name, key, body).status == 200
        load = c.load(seed=(SEED, 10), clients=8).start()
        load.wait_acked(200)
        leader = c.leader()
        other = next(m for m in c.members if m is not leader)
        for victim in (leader, other):
            victim.kill9()
        load.wait_acked(200)
        for member in c.live():
            for key, body in bodies.items():
                assert persist(lambda: member.raw().get(
                    name, key)).body == body
        c.start_all()
        c.settle()
        judged(note, load)


def test_servers_whose_clocks_differ(note, tmp_path):
    """By ten minutes, and one that jumps: order does not come from
    clocks."""
    if wall_clock.why_not():
        pytest.skip(wall_clock.why_not())
    clocks = [wall_clock.WallClock(str(tmp_path)) for _ in range(3)]
    clocks[1].set(400)
    clocks[2].set(-400)
    with Cluster(3, clocks=clocks) as c:
        load = c.load(seed=(SEED, 11)).start()
        for seconds in (-800, 800, 0):
            load.wait_acked(200)
            clocks[0].set(seconds)
        load.wait_acked(200)
        c.leader().kill9()
        load.wait_acked(200)
        c.start_all()
        c.settle()
        judged(note, load)


def test_one_clock_far_ahead_does_not_make_the_time(note, tmp_path):
    """Retention goes by what a majority has on its clocks."""
    if wall_clock.why_not():
        pytest.skip(wall_clock.why_not())
    clocks = [wall_clock.WallClock(str(tmp_path)) for _ in range(3)]
    clocks[1].set(800)
    clocks[2].set(-400)
    with Cluster(3, clocks=clocks) as c:
        def latest():
            return max(m.status()["catalogue"]["clock_ms"]
                       for m in c.live()) / 1000

        start = latest()
        end = time.monotonic() + 60
        while latest() < start + 5:
            assert time.monotonic() < end, "it does not go on"
            time.sleep(0.5)
        assert abs(latest() - time.time()) < 120


@pytest.mark.parametrize("how", (
    {"delay": 0.02, "jitter": 0.005}, {"delay": 0.002, "loss": 0.02}),
    ids=("far apart", "lossy"))
def test_zones_on_bad_wires(note, how):
    """Wires between the servers, not to the clients: 40 ms there and back,
    or two packets of a hundred lost."""
    with netlab.Lab(wire=True) as lab:
        if not lab.separate:
            pytest.skip(lab.why)
        with Cluster(3, lab=lab) as c:
            for i, a in enumerate(c.members):
                for b in c.members[i + 1:]:
                    lab.link(a.host, b.host, **how)
            load = c.load(seed=(SEED, 12), timeout=5.0).start()
            load.wait_acked(300, timeout=120)
            moment = time.monotonic()
            c.leader().kill9()
            load.wait_acked(200, timeout=120)
            c.start_all()
            c.settle()
            history = judged(note, load)
            note("first write after the death of the leader: "
                 f"{first_write_after(history, moment):.2f} s")
