"""Fixtures of all end-to-end tests.

Files sort from basic to hard. `server` is one shared store for tests that
only speak S3 to it; who kills, fills or breaks takes one of its own by
`make_server`. GODWIT names the binary.
"""
import os
import re
import shutil
import sys

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import server as server_module  # noqa: E402

_counter = 0


@pytest.fixture(scope="session")
def server():
    """The shared store."""
    s = server_module.Server(flags=["--domain", "s3.test",
                                    "--gc-interval", "500ms",
                                    "--gc-delay", "1s"])
    yield s
    s.close()


@pytest.fixture(scope="session")
def impatient():
    """A store with short deadlines. Not for clients that keep connections:
    a request on one that idled may meet its end."""
    s = server_module.Server(flags=["--header-timeout", "5s",
                                    "--body-timeout", "5s"])
    yield s
    s.close()


@pytest.fixture(scope="session")
def small_parts_server():
    """A store that takes parts of any size."""
    s = server_module.Server(flags=["--part-min", "1"])
    yield s
    s.close()


@pytest.fixture(scope="session")
def s3(server):
    return server.client()


@pytest.fixture(scope="session")
def raw(server):
    return server.raw()


@pytest.fixture
def make_server():
    """Gives a function that starts a store; all end with the test."""
    made = []

    def make(*flags, **more):
        s = server_module.Server(flags=flags, **more)
        made.append(s)
        return s

    yield make
    problem = None
    for s in made:
        try:
            s.close()
        except AssertionError as error:
            problem = problem or error
    if problem:
        raise problem


@pytest.fixture
def tmp():
    """A folder that goes away with the test."""
    path = server_module.scratch()
    yield path
    shutil.rmtree(path, ignore_errors=True)


def new_name(test_name):
    global _counter
    _counter += 1
    name = re.sub(r"[^a-z0-9]+", "-", test_name.lower()).strip("-")
    return f"{name[:40].rstrip('-')}-{_counter}"


@pytest.fixture
def bucket(request, s3):
    """An empty bucket in the shared store, named after the test."""
    name = new_name(request.node.name.removeprefix("test_"))
    s3.create_bucket(Bucket=name)
    return name


@pytest.fixture
def bucket_of(request):
    """Gives a function that makes a new bucket in a given store."""
    def make(s):
        name = new_name(request.node.name.removeprefix("test_"))
        reply = s.raw().request("PUT", name)
        assert reply.status == 200, reply
        return name
    return make


@pytest.fixture(autouse=True)
def server_stays_up(request):
    """The shared store must outlive every test: who kills it, fails."""
    yield
    if "server" in request.fixturenames:
        s = request.getfixturevalue("server")
        if not s.alive():
            log = s.log()
            s.process = None
            s.start()
            pytest.fail(f"this test brought the server down:\n{log}")
