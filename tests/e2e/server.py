"""A Godwit server of the test's own: start, stop, kill, look inside."""
import configparser
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

import boto3
import botocore.config

from s3http import S3

GODWIT = os.environ.get("GODWIT") or os.path.join(
    os.path.dirname(os.path.abspath(__file__)), "../../build/godwit")
# Segments small enough that a store of tests takes little of the disk.
SEGMENT = "4MiB"


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def scratch():
    """A new folder; whoever asks removes it."""
    return tempfile.mkdtemp(prefix="godwit-e2e.", dir="/tmp")


def environment(**more):
    """The environment of a child: no credentials or settings of the user."""
    env = {k: v for k, v in os.environ.items()
           if not k.startswith(("AWS_", "GODWIT_", "S3_"))
           and k.lower() not in ("http_proxy", "https_proxy", "all_proxy")}
    env.update(more)
    return env


class Server:
    def __init__(self, data=None, flags=(), env=None, port=None, tls_ca=None,
                 start=True):
        self.own_data = data is None
        self.data = data or scratch()
        self.flags = list(flags)
        self.env = dict(env or {})
        self.port = port or free_port()
        self.tls_ca = tls_ca
        self.process = None
        handle, self.log_path = tempfile.mkstemp(prefix="godwit-e2e-log.",
                                                 dir="/tmp")
        os.close(handle)
        if start:
            try:
                self.start()
            except BaseException:
                self.kill9()
                self.remove()
                raise

    # Life.
    def command(self, *more):
        out = [GODWIT, "server", "--data", self.data, "--listen",
               f"127.0.0.1:{self.port}"]
        if not any(f.startswith("--segment-bytes") for f in self.flags):
            out += ["--segment-bytes", SEGMENT]
        return out + self.flags + list(more)

    def start(self, timeout=60, wait=True):
        assert self.process is None
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                self.command(), stdin=subprocess.DEVNULL, stdout=log,
                stderr=log, env=environment(**self.env),
                start_new_session=True)
        if wait:
            self.wait_ready(timeout)
        return self

    def wait_ready(self, timeout=60):
        end = time.monotonic() + timeout
        while True:
            if self.process.poll() is not None:
                status = self.process.returncode
                self.process = None
                raise AssertionError(
                    f"server ended with {status} at start:\n{self.log()}")
            if self.health("ready") == 200:
                return
            if time.monotonic() > end:
                raise AssertionError(f"server not ready after {timeout} s:\n"
                                     f"{self.log()}")
            time.sleep(0.01)

    def health(self, what):
        """The status of /-/live or /-/ready; 0 when nothing answers."""
        context = None
        if self.tls_ca:
            import ssl
            if not os.path.exists(self.tls_ca):  # the server makes it
                return 0
            context = ssl.create_default_context(cafile=self.tls_ca)
        try:
            with urllib.request.urlopen(f"{self.endpoint}/-/{what}",
                                        timeout=5, context=context) as reply:
                return reply.status
        except urllib.error.HTTPError as error:
            return error.code
        except (OSError, ValueError):
            return 0
        except Exception:  # a half answer of a server that goes
            return 0

    def stop(self, timeout=30):
        """SIGTERM; gives the exit status."""
        if self.process is None:
            return None
        self.process.send_signal(signal.SIGTERM)
        try:
            status = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill9()
            raise AssertionError(
                f"server did not stop within {timeout} s of SIGTERM:\n"
                f"{self.log()}") from None
        self.process = None
        return status

    def kill9(self):
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def restart(self, kill=False):
        if kill:
            self.kill9()
        else:
            assert self.stop() == 0
        return self.start()

    def alive(self):
        return self.process is not None and self.process.poll() is None

    def close(self):
        """End and remove everything; complains about a server that died."""
        died = None
        if self.process is not None and self.process.poll() is not None:
            died = self.process.returncode
            self.process = None
        try:
            status = self.stop()
        finally:
            log = self.log()
            self.remove()
        assert died is None, f"server died by itself, status {died}:\n{log}"
        assert status in (None, 0), f"server ended with {status}:\n{log}"

    def remove(self):
        """Its folder, unless a caller's, and its log."""
        if self.own_data:
            shutil.rmtree(self.data, ignore_errors=True)
        try:
            os.unlink(self.log_path)
        except FileNotFoundError:
            pass

    # A look inside.
    @property
    def pid(self):
        return self.process.pid

    @property
    def endpoint(self):
        scheme = "https" if self.tls_ca else "http"
        return f"{scheme}://127.0.0.1:{self.port}"

    def log(self, lines=40):
        with open(self.log_path, errors="replace") as file:
            return "".join(file.readlines()[-lines:])

    def drive(self, index):
        return os.path.join(self.data, "drives", str(index))

    @property
    def credentials_path(self):
        return os.path.join(self.data, "credentials")

    @property
    def credentials(self):
        if "GODWIT_ACCESS_KEY_ID" in self.env:
            return (self.env["GODWIT_ACCESS_KEY_ID"],
                    self.env["GODWIT_SECRET_ACCESS_KEY"])
        parser = configparser.RawConfigParser()
        assert parser.read(self.credentials_path), "no credentials file"
        return (parser.get("default", "aws_access_key_id"),
                parser.get("default", "aws_secret_access_key"))

    def rss_bytes(self):
        with open(f"/proc/{self.pid}/status") as file:
            match = re.search(r"VmRSS:\s+(\d+) kB", file.read())
        return int(match.group(1)) * 1024

    def metrics(self):
        """Lines of /-/metrics as {name{labels}: value}."""
        reply = self.raw().request("GET", path="/-/metrics", sign=False)
        assert reply.status == 200, reply
        out = {}
        for line in reply.body.decode().splitlines():
            if line and not line.startswith("#"):
                name, _, value = line.rpartition(" ")
                out[name] = float(value)
        return out

    # Clients.
    def client(self, access=None, secret=None, style="path", endpoint=None,
               read_timeout=60, **more):
        keys = self.credentials
        return boto3.session.Session().client(
            "s3", endpoint_url=endpoint or self.endpoint,
            aws_access_key_id=access or keys[0],
            aws_secret_access_key=secret or keys[1],
            region_name="us-east-1", verify=self.tls_ca,
            config=botocore.config.Config(
                signature_version="s3v4", s3={"addressing_style": style},
                retries={"total_max_attempts": 1}, connect_timeout=10,
                read_timeout=read_timeout, max_pool_connections=32, **more))

    def raw(self):
        keys = self.credentials
        return S3("127.0.0.1", self.port, keys[0], keys[1], ca=self.tls_ca)

    def cli(self, *arguments, timeout=120, check=True, env=None, **more):
        """Run a godwit client command against this server."""
        keys = self.credentials
        result = subprocess.run(
            [GODWIT, *arguments], stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=timeout,
            env=environment(**{"GODWIT_ENDPOINT": self.endpoint,
                               "AWS_ACCESS_KEY_ID": keys[0],
                               "AWS_SECRET_ACCESS_KEY": keys[1],
                               **(env or {})}), **more)
        if check:
            assert result.returncode == 0, (
                f"godwit {' '.join(arguments)}: {result.returncode}\n"
                f"{result.stdout[-2000:]}\n{result.stderr[-2000:]}")
        return result

    def verify(self, *more, check=True, timeout=300):
        """`godwit verify` on the stopped store. Gives the process result."""
        assert self.process is None, "verify wants a stopped store"
        flags = [f for f in self.flags]
        keep = []
        while flags:
            flag = flags.pop(0)
            name = flag.split("=")[0]
            value = [] if "=" in flag or not flags else [flags.pop(0)]
            if name in ("--drive", "--drives", "--ec"):
                keep += [flag] + value
        result = subprocess.run(
            [GODWIT, "verify", "--data", self.data, *keep, *more],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, timeout=timeout, env=environment())
        if check:
            assert result.returncode == 0, result.stdout.decode(
                errors="replace")[-4000:]
        return result


def run_godwit(*arguments, env=None, timeout=60, **more):
    """The binary, without a server: status, output and errors as text."""
    return subprocess.run([GODWIT, *arguments], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          timeout=timeout, text=True,
                          env=environment(**(env or {})), **more)


if __name__ == "__main__":
    server = Server(flags=sys.argv[1:])
    print(server.endpoint, server.data, server.credentials)
