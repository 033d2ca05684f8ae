"""N Godwit servers that are one store, on the machines of a Lab.

    with Cluster(3) as c:
        c.raw(0).put("bucket", "key", b"value")
        c.leader().kill9()
        load = c.load("bucket").start()

Command lines are those of the manual: the first server makes the cluster,
`godwit token create` on it prints a token, and the others join with one
each. All have the same root credentials by their environment.
"""
import json
import os
import shutil
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

import netlab
import server as server_module
from history import Load
from s3http import S3

ACCESS, SECRET = "GODWITTESTS", "godwit-tests-secret-key"
S3_PORT, CLUSTER_PORT = 9000, 9100
_no_proxy = urllib.request.build_opener(urllib.request.ProxyHandler({}))
living = []  # clusters, for the logs that a failure shows


def why_not():
    """Why there can be no cluster, or None."""
    help_text = server_module.run_godwit("server", "--help").stdout
    missing = [flag for flag in ("--cluster", "--join", "--token", "--zone")
               if flag not in help_text]
    if missing:
        return f"godwit server knows no {', '.join(missing)} yet"
    return None


class Member:
    """One server. It keeps its machine, ports and folder over restarts."""

    def __init__(self, cluster, number, zone, host=None, clock=None):
        self.cluster = cluster
        self.number = number
        self.zone = zone
        self.host = host or cluster.lab.host()
        self.port = self.host.port(S3_PORT)
        self.cluster_port = self.host.port(CLUSTER_PORT)
        self.clock = clock
        self.listen = None  # --cluster, if it is not peer_address
        self.more = []  # flags of its own
        self.folder = os.path.join(cluster.folder, f"s{number}")
        self.data = os.path.join(self.folder, "data")
        self.log_path = os.path.join(self.folder, "log")
        os.makedirs(self.folder)
        self.process = None
        self.may_end = False  # one that is to be refused

    def __repr__(self):
        return f"server {self.number} at {self.peer_address}"

    @property
    def address(self):
        return self.host.address, self.port

    @property
    def peer_address(self):
        return f"{self.host.address}:{self.cluster_port}"

    @property
    def endpoint(self):
        return f"http://{self.host.address}:{self.port}"

    # Life.
    def command(self, join=None, token=None):
        out = [os.path.abspath(server_module.GODWIT), "server",
               "--data", self.data,
               "--listen", f"{self.host.address}:{self.port}",
               "--cluster", self.listen or self.peer_address,
               "--zone", self.zone,
               "--segment-bytes", server_module.SEGMENT]
        if join:
            out += ["--join", join, "--token", token]
        return out + list(self.cluster.flags) + self.more

    def spawn(self, join=None, token=None):
        """Start, and do not wait."""
        assert self.process is None or not self.process.alive()
        env = server_module.environment(
            GODWIT_ACCESS_KEY_ID=ACCESS, GODWIT_SECRET_ACCESS_KEY=SECRET,
            **(self.clock.env() if self.clock else {}))
        self.process = self.host.spawn(self.command(join, token),
                                       self.log_path, env)
        return self

    def start(self, join=None, token=None, timeout=60):
        return self.spawn(join, token).wait_ready(timeout)

    def wait_ready(self, timeout=60):
        end = time.monotonic() + timeout
        while self.health("ready") != 200:
            assert self.process.alive(), (
                f"{self} ended with {self.process.popen.returncode}:\n"
                f"{self.log()}")
            assert time.monotonic() < end, (
                f"{self} is not ready after {timeout} s:\n{self.log()}")
            time.sleep(0.02)
        return self

    def health(self, what):
        """The status of /-/health/ready or live; 0 when nothing answers."""
        for path in (f"/-/health/{what}", f"/-/{what}"):
            try:
                with _no_proxy.open(self.endpoint + path, timeout=2) as reply:
                    return reply.status
            except urllib.error.HTTPError as error:
                if error.code != 404:
                    return error.code
            except Exception:  # nothing, or half an answer
                return 0
        return 404

    def kill9(self):
        self.process.kill9()

    def stop(self):
        """SIGTERM; the server must end well."""
        status = self.process.term(60)
        assert status == 0, f"{self} ended with {status}:\n{self.log()}"

    def freeze(self):
        self.process.stop()

    def go_on(self):
        self.process.go_on()

    def alive(self):
        return self.process is not None and self.process.alive()

    def ended(self, timeout=60):
        """Wait until it ends by itself; gives the exit status."""
        try:
            return self.process.popen.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self} goes on:\n{self.log()}") from None

    def log(self, lines=30):
        try:
            with open(self.log_path, errors="replace") as file:
                return "".join(file.readlines()[-lines:])
        except FileNotFoundError:
            return ""

    # What it says.
    def raw(self):
        return S3(self.host.address, self.port, ACCESS, SECRET)

    def cli(self, *arguments, timeout=60):
        return server_module.run_godwit(*arguments, timeout=timeout, env={
            "GODWIT_ENDPOINT": self.endpoint, "AWS_ACCESS_KEY_ID": ACCESS,
            "AWS_SECRET_ACCESS_KEY": SECRET})

    def status(self):
        """What `godwit status --json` prints."""
        result = self.cli("status", "--json")
        assert result.stdout.strip(), f"{self}: {result.stderr}"
        return json.loads(result.stdout)

    def token(self, *more):
        """A join token made on this server."""
        result = server_module.run_godwit("token", "create", "--data",
                                          self.data, *more)
        assert result.returncode == 0, result.stdout + result.stderr
        return result.stdout.split()[-1]


class Cluster:
    def __init__(self, count=3, flags=(), zones=None, lab=None, clocks=None,
                 start=True):
        self.flags = list(flags)
        self.folder = tempfile.mkdtemp(prefix="godwit-cluster.", dir="/tmp")
        self.own_lab = lab is None
        self.lab = lab or netlab.Lab()
        self.members = []
        living.append(self)
        try:
            for i in range(count):
                self.add(zones[i] if zones else f"z{i + 1}",
                         clocks[i] if clocks else None)
            if start:
                self.start()
        except BaseException:
            self.close(complain=False)
            raise

    def add(self, zone, clock=None):
        """A further server, not started."""
        member = Member(self, len(self.members) + 1, zone, clock=clock)
        self.members.append(member)
        return member

    def start(self):
        first = self.members[0].start()
        for member in self.members[1:]:
            member.start(first.peer_address, first.token())
        self.settle()

    def settle(self, timeout=60):
        """Wait until all that live are ready and find nothing wrong."""
        end = time.monotonic() + timeout
        for member in self.live():
            member.wait_ready(timeout)
        for member in self.live():
            while True:
                result = member.cli("status")
                if result.returncode == 0:
                    break
                assert time.monotonic() < end, (
                    f"{member}: status says\n{result.stdout}{result.stderr}")
                time.sleep(0.1)

    def live(self):
        return [m for m in self.members if m.alive()]

    def kill_all(self):
        """As when the power goes: none sees another one go."""
        for member in self.live():
            member.process.popen.kill()
        for member in self.members:
            if member.process:
                member.process.popen.wait()

    def start_all(self, timeout=60):
        """What does not run, all at once, by the line without --join."""
        started = [m for m in self.members if not m.alive()]
        for member in started:
            member.spawn()
        for member in started:
            member.wait_ready(timeout)

    def leader(self, timeout=30):
        """The member that leads the catalogue, as most say."""
        end = time.monotonic() + timeout
        while True:
            votes = [self._led_by(m) for m in self.live()]
            for member in self.live():
                if votes.count(member) * 2 > len(self.members):
                    return member
            assert time.monotonic() < end, (
                f"no leader that most agree on: {votes}")
            time.sleep(0.05)

    def _led_by(self, member):
        try:
            said = find(member.status(), "leader")
        except (AssertionError, ValueError, subprocess.SubprocessError):
            return None
        for m in self.members:
            if said in (m.number, str(m.number), m.peer_address,
                        m.endpoint) or (said is True and m is member):
                return m
        return None

    def raw(self, index):
        return self.members[index].raw()

    def load(self, bucket="history", members=None, **more):
        """A Load over all gateways."""
        more.setdefault("timeout", 2.0)
        return Load([m.address for m in members or self.members], ACCESS,
                    SECRET, bucket, **more).make_bucket(tries=50)

    def logs(self, lines=30):
        return "\n".join(f"--- {m}\n{m.log(lines)}" for m in self.members
                         if m.log(1))

    def close(self, complain=True):
        """End all and remove all; complains of one that died by itself."""
        living.remove(self)
        died = []
        for member in self.members:
            for process in () if member.may_end else member.host.processes:
                code = process.popen.poll()
                if code is not None and code not in (0, -9):
                    died.append(f"{member} ended with {code}:\n"
                                f"{member.log()}")
        if self.own_lab:
            self.lab.close()
        else:
            for member in self.live():
                member.kill9()
        shutil.rmtree(self.folder, ignore_errors=True)
        assert not complain or not died, "\n".join(died)

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        self.close(complain=kind is None)


def find(tree, name):
    """The first value of @name anywhere in a JSON document."""
    if isinstance(tree, dict):
        if name in tree and not isinstance(tree[name], (dict, list)):
            return tree[name]
        tree = list(tree.values())
    if isinstance(tree, list):
        for item in tree:
            value = find(item, name)
            if value is not None:
                return value
    return None
