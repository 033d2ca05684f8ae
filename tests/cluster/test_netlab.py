"""Goal: the lab's hosts reach each other, a cut is silent and heals, and
nothing of a lab outlives it, not even when the tests are killed. Method:
small Python programs on the hosts; a lab in a child that is killed."""
import os
import signal
import socket
import subprocess
import sys
import time

import pytest

import netlab
from netlab import Lab

HERE = os.path.dirname(os.path.abspath(__file__))
ECHO = """
import socket, sys
s = socket.create_server((sys.argv[1], int(sys.argv[2])))
while True:
    c, _ = s.accept()
    c.sendall(c.recv(100))
    c.close()
"""
ASK = """
import socket, sys
s = socket.create_connection((sys.argv[1], int(sys.argv[2])), 0.7)
s.settimeout(0.7)
s.sendall(b"hello")
assert s.recv(100) == b"hello"
"""


def eventually(check, timeout=20):
    end = time.monotonic() + timeout
    while not check():
        assert time.monotonic() < end, "did not come in time"
        time.sleep(0.02)


@pytest.fixture
def lab():
    with Lab() as made:
        if not made.separate:
            pytest.skip(made.why)
        yield made


def echo_on(host, tmp_path, port=7000):
    port = host.port(port)
    process = host.spawn([sys.executable, "-c", ECHO, host.address,
                          str(port)], str(tmp_path / f"{host.number}.log"))
    eventually(lambda: reaches(None, host, tmp_path, port))
    return process, port


def reaches(a, b, tmp_path, port):
    argv = [sys.executable, "-c", ASK, b.address, str(port)]
    if a is None:
        return subprocess.run(argv, stderr=subprocess.DEVNULL).returncode == 0
    process = a.spawn(argv, str(tmp_path / "ask.log"))
    return process.popen.wait(20) == 0


def test_hosts_reach_each_other_until_cut(lab, tmp_path):
    a, b, c = lab.host(), lab.host(), lab.host()
    port = echo_on(b, tmp_path)[1]
    assert reaches(a, b, tmp_path, port)
    lab.cut(a, b)
    assert not reaches(a, b, tmp_path, port)
    assert reaches(c, b, tmp_path, port)
    assert reaches(None, b, tmp_path, port)
    lab.heal()
    assert reaches(a, b, tmp_path, port)


@pytest.mark.parametrize("towards", (True, False))
def test_one_way_is_enough_to_break_tcp(lab, tmp_path, towards):
    a, b = lab.host(), lab.host()
    port = echo_on(b, tmp_path)[1]
    lab.cut(*((a, b) if towards else (b, a)), one_way=True)
    assert not reaches(a, b, tmp_path, port)
    lab.heal()
    assert reaches(a, b, tmp_path, port)


def test_an_isolated_host_still_has_clients(lab, tmp_path):
    a, b, c = lab.host(), lab.host(), lab.host()
    port = echo_on(a, tmp_path)[1]
    lab.isolate(a)
    assert not reaches(b, a, tmp_path, port)
    assert not reaches(c, a, tmp_path, port)
    assert reaches(None, a, tmp_path, port)


def test_what_stands_still_answers_when_it_goes_on(lab, tmp_path):
    a = lab.host()
    process, port = echo_on(a, tmp_path)
    process.stop()
    with socket.create_connection((a.address, port), 5) as sock:
        sock.sendall(b"x")
        sock.settimeout(0.2)
        with pytest.raises(TimeoutError):
            sock.recv(1)
        process.go_on()
        sock.settimeout(10)
        assert sock.recv(1) == b"x"
    process.kill9()
    assert not process.alive()


@pytest.fixture
def wired():
    with Lab(wire=True) as made:
        if not made.separate:
            pytest.skip(made.why)
        yield made


def test_wires_delay(wired, tmp_path):
    a, b = wired.host(), wired.host()
    port = echo_on(b, tmp_path)[1]
    assert reaches(a, b, tmp_path, port)
    wired.link(None, b, delay=0.05)
    began = time.monotonic()
    assert reaches(None, b, tmp_path, port)
    assert time.monotonic() - began >= 0.2  # there and back, twice
    wired.link(a, b, delay=0.5)
    assert not reaches(a, b, tmp_path, port)
    wired.link(a, b)
    assert reaches(a, b, tmp_path, port)
    wired.cut(a, b)
    assert not reaches(a, b, tmp_path, port)


def test_wires_lose_and_bound_the_rate_and_tcp_gets_through(wired, tmp_path):
    b = wired.host()
    port = b.port(7000)
    b.spawn([sys.executable, "-c", SINK, b.address, str(port)],
            str(tmp_path / "log"))
    wired.link(None, b, loss=0.02, delay=0.001)
    assert sink(b, port, 300_000) == b" 300000"
    wired.link(None, b, rate=1_000_000)
    began = time.monotonic()
    assert sink(b, port, 500_000) == b" 500000"
    assert time.monotonic() - began > 0.4


SINK = """
import socket, sys
s = socket.create_server((sys.argv[1], int(sys.argv[2])))
while True:
    c, _ = s.accept()
    n = 0
    while d := c.recv(65536):
        n += len(d)
    c.sendall(b"%7d" % n)
    c.close()
"""


def sink(host, port, size):
    """Send so much; gives what the other end counted."""
    def connected():
        try:
            return socket.create_connection((host.address, port), 20)
        except ConnectionRefusedError:
            return None
    end = time.monotonic() + 20
    while not (sock := connected()):
        assert time.monotonic() < end
        time.sleep(0.02)
    with sock:
        sock.sendall(b"x" * size)
        sock.shutdown(socket.SHUT_WR)
        return sock.recv(100)


def test_loopback_where_nothing_else_is_allowed(tmp_path):
    with Lab(loopback=True) as lab:
        assert not lab.separate
        a, b = lab.host(), lab.host()
        ports = [echo_on(host, tmp_path)[1] for host in (a, b)]
        assert ports[0] != ports[1]
        with pytest.raises(AssertionError, match="no cuts here"):
            lab.cut(a, b)
        left = list(a.processes)
    assert not any(process.alive() for process in left)


def left_of(name):
    return [line for line in (netlab.ip("netns", "list")
                              + netlab.ip("-o", "link")).splitlines()
            if name in line]


def test_two_labs_do_not_collide(lab):
    with Lab() as other:
        assert lab.host().address != other.host().address
        name = other.name
        assert left_of(name)
    assert not left_of(name)
    assert left_of(lab.name)


def lab_of_another():
    """A lab of a process that sleeps: it, the lab's name, the process in the
    lab and the one that watches."""
    child = subprocess.Popen(
        [sys.executable, "-c", "import netlab, time\n"
         "lab = netlab.Lab()\n"
         "p = lab.host().spawn(['sleep', '1000'], '/dev/null')\n"
         "p.stop()\n"
         "print(lab.name, p.pid, lab._watcher.pid, flush=True)\n"
         "time.sleep(1000)\n"],
        cwd=HERE, stdout=subprocess.PIPE, text=True)
    name, pid, watcher = child.stdout.readline().split()
    assert left_of(name)
    return child, name, int(pid), int(watcher)


def test_nothing_is_left_when_the_tests_are_killed(lab):
    child, name, pid, _ = lab_of_another()
    child.send_signal(signal.SIGKILL)
    child.communicate()
    eventually(lambda: not left_of(name))
    eventually(lambda: not os.path.exists(f"/proc/{pid}"))


def test_the_next_lab_removes_what_nobody_watched_over(lab):
    child, name, _, watcher = lab_of_another()
    os.kill(watcher, signal.SIGKILL)
    child.send_signal(signal.SIGKILL)
    child.communicate()
    assert left_of(name)
    with Lab():
        eventually(lambda: not left_of(name))  # the kernel takes a moment
    assert left_of(lab.name)
