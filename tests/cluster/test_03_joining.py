"""Goal: only who holds a good token of this cluster joins it, a refusal
changes nothing on either side (P9), and strangers on the cluster port get
nowhere and harm nobody. Method: tokens that are wrong, expired, used and of
another cluster; then bytes, TLS and crowds on the port."""
import contextlib
import os
import random
import resource
import shutil
import socket
import ssl
import time

import pytest

import cluster as cluster_module
import server as server_module
from cluster import Cluster
from history import judge
from util import eventually

pytestmark = pytest.mark.skipif(
    cluster_module.why_not() is not None,
    reason=str(cluster_module.why_not()))


@pytest.fixture(scope="module")
def two():
    """Two servers; the third place is for who wants to join."""
    with Cluster(2) as c:
        assert c.raw(0).request("PUT", "bkt").status == 200
        yield c


def addresses(c):
    """The servers that the first one's status names."""
    text = c.members[0].cli("status").stdout
    return {m for m in c.members if m.peer_address in text}


def refused(c, token, member=None, join=None):
    """Start one that wants to join; gives what it said when it ended."""
    member = member or c.add("z9")
    member.may_end = True
    before = addresses(c)
    member.spawn(join or c.members[0].peer_address, token)
    status = member.ended()
    said = member.log()
    assert status not in (0, -6, -11, -9), f"{status}:\n{said}"
    assert token not in said or not token, "the token stands in the log"
    assert addresses(c) - {member} == before - {member}
    assert member not in addresses(c)
    assert c.raw(1).put("bkt", "still", b"here").status == 200
    return said


def option_of_token(*names):
    """The name of an option of `godwit token create`, or a skip."""
    text = server_module.run_godwit("token", "create", "--help").stdout
    for name in names:
        if name in text:
            return name
    return pytest.skip(f"godwit token create has none of {names}")


# Tokens.

@pytest.mark.parametrize("token", ("x", "0" * 64, "a" * 4000, "../../x",
                                   "%s%n"))
def test_what_is_no_token_is_refused(two, token):
    assert "token" in refused(two, token)


def test_a_token_with_one_letter_changed_is_refused(two):
    good = two.members[0].token()
    rng = random.Random(1)
    for at in sorted(rng.sample(range(len(good)), 4)):
        wrong = good[:at] + ("b" if good[at] != "b" else "c") + good[at + 1:]
        refused(two, wrong)


def test_an_expired_token_is_refused(two):
    flag = option_of_token("--expires", "--ttl", "--expiry", "--valid")
    token = two.members[0].token(flag, "1s")
    time.sleep(2.5)
    assert "expired" in refused(two, token)


def test_a_used_token_is_refused_and_a_fresh_one_is_not(two):
    token = two.members[0].token()
    third = two.add("z3")
    third.start(two.members[0].peer_address, token)
    assert third in addresses(two)
    assert "used" in refused(two, token)
    # The same line again, as an init system would: it is a member.
    third.stop()
    third.start(two.members[0].peer_address, token)
    two.settle()
    assert third.raw().get("bkt", "still").body == b"here"


def test_who_was_refused_may_come_back_with_a_good_token(two):
    member = two.add("z4")
    refused(two, "0" * 64, member)
    member.start(two.members[1].peer_address, two.members[0].token())
    assert member in addresses(two)
    two.settle()


# Other clusters.

def test_a_token_of_another_cluster_is_refused(two):
    with Cluster(1, lab=two.lab) as other:
        refused(two, other.members[0].token())


def test_a_server_of_another_cluster_is_refused_and_keeps_its_data(two):
    with Cluster(1, lab=two.lab) as other:
        stray = other.members[0]
        assert other.raw(0).request("PUT", "own").status == 200
        assert other.raw(0).put("own", "k", b"mine").status == 200
        stray.stop()
        refused(two, two.members[0].token(), stray)
        stray.start()
        assert other.raw(0).get("own", "k").body == b"mine"


def test_a_single_store_that_has_data_does_not_join_by_accident(two):
    member = two.add("z5")
    keys = {"GODWIT_ACCESS_KEY_ID": cluster_module.ACCESS,
            "GODWIT_SECRET_ACCESS_KEY": cluster_module.SECRET}
    store = server_module.Server(data=member.data, env=keys)
    raw = store.raw()
    assert raw.request("PUT", "own").status == 200
    assert raw.put("own", "k", b"mine").status == 200
    store.close()
    refused(two, two.members[0].token(), member)
    store = server_module.Server(data=member.data, env=keys)
    assert store.raw().get("own", "k").body == b"mine"
    store.close()


def test_a_copy_of_a_member_does_not_split_it(two):
    """A folder restored beside the original: two with one identity. Which
    of them serves is not judged; that nothing acknowledged is lost is."""
    original = two.members[1]
    original.stop()
    copy = two.add(original.zone)
    copy.may_end = True
    shutil.copytree(original.data, copy.data)
    original.start()
    copy.spawn()
    load = two.load("copied", [two.members[0], original]).start()
    load.wait_acked(300)
    if copy.alive():
        copy.kill9()
    judge(load.stop(), least=300)


# Strangers.

@contextlib.contextmanager
def connected(member, timeout=20):
    with socket.create_connection(
            (member.host.address, member.cluster_port), timeout) as sock:
        yield sock


def all_of(sock):
    """What comes until the end; TimeoutError when none does."""
    out = b""
    with contextlib.suppress(ConnectionResetError, ssl.SSLError):
        while piece := sock.recv(65536):
            out += piece
    return out


def stranger_context():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def unharmed(c):
    for member in c.live():
        assert member.health("ready") == 200
    assert c.raw(1).put("bkt", "after", b"x").status == 200
    assert c.raw(0).get("bkt", "after").body == b"x"


@pytest.mark.parametrize("data", (
    b"\0" * 5000, b"\xff" * 5000, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    b"\x16\x03\x01\xff\xff" + b"A" * 70000,
    b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x03"), ids=(
        "zeros", "ones", "http", "huge record", "cut hello"))
def test_bytes_that_are_no_tls(two, data):
    with connected(two.members[0]) as sock:
        with contextlib.suppress(ConnectionError):
            sock.sendall(data)
        with contextlib.suppress(ConnectionError, OSError):
            sock.shutdown(socket.SHUT_WR)
        with contextlib.suppress(ConnectionError):
            assert b"HTTP/1" not in all_of(sock)
    unharmed(two)


def test_old_tls_is_refused(two):
    context = stranger_context()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with connected(two.members[0]) as sock:
        with pytest.raises((ssl.SSLError, ConnectionError)):
            context.wrap_socket(sock)
    unharmed(two)


def test_a_certificate_of_ones_own_is_refused(two, tmp_path):
    pem = str(tmp_path / "own.pem")
    assert os.system(
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 "
        f"-nodes -keyout {pem}.key -out {pem} -subj /CN=1 -days 1 "
        "2>/dev/null") == 0
    context = stranger_context()
    context.load_cert_chain(pem, pem + ".key")
    with connected(two.members[0]) as raw:
        with contextlib.suppress(ssl.SSLError, ConnectionError):
            with context.wrap_socket(raw) as sock:
                sock.sendall(b"x" * 100)
                assert all_of(sock) == b""
    unharmed(two)


def test_frames_of_strangers_get_nothing(two):
    """TLS without a certificate may only join; what else it sends ends the
    connection."""
    rng = random.Random(3)
    for size in (1, 30, 4096, 1 << 20):
        for data in (rng.randbytes(size), b"\xff" * size, b"\0" * size):
            with connected(two.members[0]) as raw:
                with contextlib.suppress(ssl.SSLError, ConnectionError):
                    with stranger_context().wrap_socket(raw) as sock:
                        sock.sendall(data)
                        assert b"bkt" not in all_of(sock)
    unharmed(two)


def rss_bytes(member):
    with open(f"/proc/{member.process.pid}/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


def test_a_crowd_of_silent_strangers_goes_away(two):
    """10,000 come to the 256 places for strangers and are thrown out;
    meanwhile the members talk, memory stays, and a token still works
    afterwards."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    before = rss_bytes(two.members[0])
    with contextlib.ExitStack() as crowd:
        socks = []
        for _ in range(min(10000, most - 1000)):
            with contextlib.suppress(OSError):
                socks.append(crowd.enter_context(
                    connected(two.members[0], 5)))
        unharmed(two)
        assert rss_bytes(two.members[0]) - before < 32 << 20

        def gone():
            left = 0
            for sock in socks:
                sock.setblocking(False)
                try:
                    left += sock.recv(1) != b""
                except BlockingIOError:
                    left += 1
                except OSError:
                    pass
            return left == 0
        eventually(gone, timeout=60, what="the end of the crowd")
    late = two.add("z6")
    late.start(two.members[0].peer_address, two.members[0].token())
    two.settle()


def test_s3_does_not_answer_on_the_cluster_port(two):
    with connected(two.members[0]) as raw:
        with contextlib.suppress(ssl.SSLError, ConnectionError):
            with stranger_context().wrap_socket(raw) as sock:
                sock.sendall(b"GET /bkt HTTP/1.1\r\nHost: x\r\n\r\n")
                assert b"HTTP/1" not in all_of(sock)
    unharmed(two)
