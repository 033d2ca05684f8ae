"""Users of a store of the tests, and what the store says to them."""
from botocore.exceptions import ClientError

from server import Server

KEYS = {"alice": ("ALICEKEY", "alice-secret"), "bob": ("BOBKEY", "bob-secret"),
        "carol": ("CAROLKEY", "carol-secret")}


def store_with_users():
    """A store of its own that knows them; close() it."""
    s = Server()
    for name, (key, secret) in KEYS.items():
        s.cli("user", "add", name, "--access-key", key, "--secret-key", secret)
    return s


def code(fn, *args, **more):
    """The error's code, or OK."""
    try:
        fn(*args, **more)
    except ClientError as e:
        return e.response["Error"]["Code"]
    return "OK"
