"""Goal: the relay harms connections as it says, and otherwise does not touch
a byte. Method: an echo server behind it."""
import socket
import threading
import time

import pytest

from relay import Relay


@pytest.fixture
def echo():
    """The address of a server that sends back what it gets."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve(sock):
        try:
            while True:
                data = sock.recv(65536)
                if not data:
                    break
                sock.sendall(data)
        except OSError:
            pass
        sock.close()

    def accept():
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(sock,),
                             daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    yield listener.getsockname()
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()


def ask(sock, data):
    sock.sendall(data)
    got = b""
    while len(got) < len(data):
        piece = sock.recv(65536)
        if not piece:
            raise ConnectionResetError("closed")
        got += piece
    return got


def test_passes_bytes_as_they_are(echo):
    with Relay(echo) as relay:
        with socket.create_connection(relay.address, 10) as sock:
            data = bytes(range(256)) * 4000
            half = threading.Thread(target=sock.sendall, args=(data,))
            half.start()
            got = b""
            while len(got) < len(data):
                got += sock.recv(65536)
            half.join()
            assert got == data
            sock.shutdown(socket.SHUT_WR)
            assert sock.recv(1) == b""
        assert relay.there.bytes == relay.back.bytes == len(data)


def test_delays_each_way(echo):
    with Relay(echo) as relay:
        relay.there.delay = 0.1
        relay.back.delay = 0.05
        with socket.create_connection(relay.address, 10) as sock:
            began = time.monotonic()
            assert ask(sock, b"x") == b"x"
            assert time.monotonic() - began >= 0.15


def test_bounds_the_rate(echo):
    with Relay(echo) as relay:
        relay.back.rate = 100_000
        with socket.create_connection(relay.address, 10) as sock:
            began = time.monotonic()
            ask(sock, b"x" * 30_000)
            assert time.monotonic() - began >= 0.29


@pytest.mark.parametrize("there, back", ((1, 1), (1, 0), (0, 1)))
def test_a_cut_holds_bytes_and_healing_lets_them_go(echo, there, back):
    with Relay(echo) as relay:
        with socket.create_connection(relay.address, 10) as sock:
            ask(sock, b"x")
            relay.cut(bool(there), bool(back))
            sock.sendall(b"y")
            sock.settimeout(0.2)
            with pytest.raises(TimeoutError):
                sock.recv(1)
            assert relay.there.bytes == (1 if there else 2)
            relay.heal()
            sock.settimeout(10)
            assert sock.recv(1) == b"y"


def test_a_connection_made_during_a_cut_waits(echo):
    with Relay(echo) as relay:
        relay.cut()
        with socket.create_connection(relay.address, 0.2) as sock:
            sock.sendall(b"z")
            with pytest.raises(TimeoutError):
                sock.recv(1)
            relay.heal()
            sock.settimeout(10)
            assert sock.recv(1) == b"z"


def test_reset_breaks_what_is_open_and_not_what_comes(echo):
    with Relay(echo) as relay:
        with socket.create_connection(relay.address, 10) as sock:
            ask(sock, b"x")
            relay.reset()
            with pytest.raises(ConnectionResetError):
                ask(sock, b"y")
        with socket.create_connection(relay.address, 10) as sock:
            assert ask(sock, b"z") == b"z"


def test_refuses_new_connections(echo):
    with Relay(echo) as relay:
        relay.refuse()
        with pytest.raises(ConnectionError):
            with socket.create_connection(relay.address, 10) as sock:
                ask(sock, b"x")
        relay.refuse(False)
        with socket.create_connection(relay.address, 10) as sock:
            assert ask(sock, b"x") == b"x"


def test_a_target_that_is_not_there_is_a_reset():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        nobody = sock.getsockname()
    with Relay(nobody) as relay:
        with pytest.raises(ConnectionError):
            with socket.create_connection(relay.address, 10) as sock:
                ask(sock, b"x")
