"""Goal: what one server tells its clients is a linearizable history of each
key (P2), also when it is killed (P1), when it stands still, and when the
network cuts connections in the middle. Method: clients that put, get, list,
delete and compare-and-set a few keys write down what they were told
(history.py), harm is done meanwhile, and linear.py judges. This is what a
cluster must pass too; one server shows that the tests are right."""
import email.utils
import os
import random
import re
import socket
import struct
import time

import pytest

import server as server_module
import wall_clock
from history import Load, judge
from relay import Relay
from s3http import head_bytes

# Another number, other histories: for long searches.
SEED = int(os.environ.get("GODWIT_SEED", "0"))
FLAGS = ["--gc-interval", "200ms", "--gc-delay", "300ms", "--orphan-age",
         "3s"]


@pytest.fixture
def server():
    s = server_module.Server(flags=FLAGS)
    yield s
    s.close()


def load_of(server, address=None, **more):
    more["seed"] = (SEED, more.get("seed", 1))
    return Load([address or ("127.0.0.1", server.port)], *server.credentials,
                "history", **more).make_bucket().start()


def told(note, history):
    note(judge(history, least=500))


def test_in_peace(server, note):
    load = load_of(server)
    load.wait_acked(3000)
    told(note, load.stop())


def test_one_key_that_all_want(server, note):
    load = load_of(server, keys=1, seed=2)
    load.wait_acked(2000)
    told(note, load.stop())


def test_kill_9_and_restart_again_and_again(server, note):
    load = load_of(server, seed=3)
    rng = random.Random(f"{SEED}/3")
    for _ in range(6):
        load.wait_acked(300)
        time.sleep(rng.random() * 0.1)
        server.kill9()
        server.start()
    load.wait_acked(300)
    history = load.stop()
    server.stop()
    server.verify()
    told(note, history)


def test_kill_9_of_large_values(server, note):
    """Values in shards rather than rows: the order of the two matters."""
    load = load_of(server, seed=4, sizes=(5000, 70000, 200000), clients=8)
    rng = random.Random(f"{SEED}/4")
    for _ in range(4):
        load.wait_acked(150)
        time.sleep(rng.random() * 0.1)
        server.kill9()
        server.start()
    load.wait_acked(100)
    history = load.stop()
    server.stop()
    server.verify()
    told(note, history)


def test_a_server_that_stands_still(server, note):
    """SIGSTOP for longer than the clients wait: what they gave up on may
    come true when it wakes, and no earlier answer may be undone by it."""
    load = load_of(server, seed=5, timeout=1.0)
    for _ in range(2):
        load.wait_acked(500)
        server.process.send_signal(server_module.signal.SIGSTOP)
        time.sleep(3)
        server.process.send_signal(server_module.signal.SIGCONT)
    load.wait_acked(500)
    told(note, load.stop())


def test_connections_cut_in_the_middle(server, note):
    """Through a relay that resets, holds and refuses connections. A request
    that is cut may have come true, and may still."""
    rng = random.Random(f"{SEED}/6")
    with Relay(("127.0.0.1", server.port)) as relay:
        relay.there.jitter = relay.back.jitter = 0.01
        load = load_of(server, relay.address, seed=6, timeout=0.5)
        for turn in range(12):
            load.wait_acked(120)
            harm = turn % 4
            if harm == 0:
                relay.reset()
            elif harm == 1:
                relay.cut(there=False)  # requests arrive, answers do not
            elif harm == 2:
                relay.cut(back=False)
            else:
                relay.cut()
                relay.reset()
                relay.refuse()
            time.sleep(rng.random() * 0.8)
            relay.refuse(False)
            relay.heal()
        load.wait_acked(200)
        told(note, load.stop())


def test_a_wall_clock_that_jumps(note, tmp_path):
    """Minutes ahead and back, less than a signature may be off: what came
    later is later, whatever the clock says."""
    if wall_clock.why_not():
        pytest.skip(wall_clock.why_not())
    clock = wall_clock.WallClock(str(tmp_path))
    s = server_module.Server(flags=FLAGS, env=clock.env())
    try:
        load = load_of(s, seed=7)
        for seconds in (600, -600, 300, -800, 0):
            load.wait_acked(200)
            clock.set(seconds)
        load.wait_acked(100)
        clock.set(-700)
        s.restart(kill=True)
        load.wait_acked(200)
        told(note, load.stop())
        reply = s.raw().put(load.bucket, "dated")
        seen = email.utils.parsedate_to_datetime(
            s.raw().head(load.bucket, "dated").headers["last-modified"])
        assert reply.status == 200
        assert 650 < time.time() - seen.timestamp() < 760, "no other clock"
    finally:
        s.close()


def test_readers_that_go_away_leave_nothing_behind(server):
    """A GET whose client resets while the drives are read. Found by the
    relay and the leak sanitizer; each left 256 KiB."""
    if wall_clock.why_not():
        pytest.skip("a sanitizer has its own figures, and finds it itself")
    s3 = server.raw()
    assert s3.request("PUT", "gone").status == 200
    assert s3.put("gone", "k", b"x" * 300_000).status == 200
    head = head_bytes("GET", "/gone/k", s3.signed_head("GET", "/gone/k"))

    def data_bytes():
        with open(f"/proc/{server.pid}/status") as file:
            return int(re.search(r"VmData:\s+(\d+)", file.read()).group(1))

    def ask_and_reset(times):
        for _ in range(times):
            sock = s3.socket()
            sock.sendall(head)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                            struct.pack("ii", 1, 0))
            sock.close()
        assert s3.get("gone", "k").status == 200

    ask_and_reset(300)
    before = data_bytes()
    ask_and_reset(1000)
    assert data_bytes() - before < 100 << 10, "KiB"
