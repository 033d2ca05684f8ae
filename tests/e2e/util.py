"""Small helpers of the tests."""
import base64
import hashlib
import os
import random
import re
import subprocess
import time

import botocore.exceptions
import pytest

MIB = 1 << 20


def blob(size, seed=0):
    """@size bytes that differ by @seed and never repeat within themselves."""
    return random.Random(f"{size}/{seed}").randbytes(size)


def md5(data):
    return hashlib.md5(data).hexdigest()


def etag(data):
    return f'"{md5(data)}"'


def content_md5(data):
    return base64.b64encode(hashlib.md5(data).digest()).decode()


def refused(status, code=None):
    """Context: boto3 must raise with this status and error code."""
    return _Refused(status, code)


class _Refused:
    def __init__(self, status, code):
        self.status = status
        self.codes = (code,) if isinstance(code, str) else code
        self.error = None

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        assert kind is not None, (
            f"went well; expected {self.status} {self.codes}")
        if not isinstance(error, botocore.exceptions.ClientError):
            return False
        self.error = error
        got = (error.response["ResponseMetadata"]["HTTPStatusCode"],
               error.response["Error"]["Code"])
        assert got[0] == self.status, got
        # The answer to a HEAD has no body: boto3 makes the status its code.
        assert self.codes is None or got[1] in self.codes, got
        return True


def eventually(check, timeout=30, every=0.1, what="condition"):
    """Wait until @check() is true; gives its value."""
    end = time.monotonic() + timeout
    while True:
        value = check()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"{what} did not come within {timeout} s")
        time.sleep(every)


def run(*command, timeout=120, env=None, check=True, **more):
    """A program of the system, its output as text."""
    result = subprocess.run(command, stdin=subprocess.DEVNULL,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                            timeout=timeout, env=env, text=True,
                            errors="replace", **more)
    if check:
        assert result.returncode == 0, (
            f"{' '.join(command)}: status {result.returncode}\n"
            f"{result.stdout[-3000:]}")
    return result


def disk_use(path):
    """Allocated bytes below @path."""
    total = 0
    for folder, _, files in os.walk(path):
        for name in files:
            try:
                total += os.lstat(os.path.join(folder, name)).st_blocks * 512
            except FileNotFoundError:
                pass
    return total


def need(program):
    """The path of a program of the system; the test is skipped without it."""
    for folder in ("/usr/bin", "/usr/sbin", "/bin", "/sbin"):
        path = os.path.join(folder, program)
        if os.access(path, os.X_OK):
            return path
    return pytest.skip(f"{program} is not installed")


def error_field(reply, name):
    match = re.search(f"<{name}>([^<]*)</{name}>".encode(), reply.body)
    return match.group(1).decode() if match else None
