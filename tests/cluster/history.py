"""Clients that write down what a store told them, for linear.py to judge.

Each client is a thread with a socket of its own and asks one endpoint after
the other. What it sends is S3 as in tests/e2e/s3http.py. Every value is
unique and names itself, so a wrong byte shows at once; times are those of
the monotonic clock, taken before the first byte goes and after the last one
came.

    load = Load([("127.0.0.1", 9000)], access, secret, "bucket").start()
    ... harm is done ...
    judge(load.stop())
"""
import hashlib
import json
import os
import random
import socket
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "../e2e"))

import linear  # noqa: E402
from linear import ABSENT, FAILED, OK, REFUSED, UNKNOWN, Op  # noqa: E402
from s3http import Reply, unquote_key  # noqa: E402
from sigv4 import Signer, uri_encode  # noqa: E402

EMPTY = hashlib.sha256(b"").hexdigest()
# Mostly rows of the catalogue, and some in shards of one piece and of more.
SIZES = (0,) * 12 + (300, 300, 4000, 5000, 20000, 70000)
MIX = {"get": 38, "put": 30, "cas": 12, "create": 6, "delete": 8, "list": 6}


def expand(label):
    """The bytes that a label stands for: its size is its last field."""
    size = int(label.rpartition(".")[2])
    head = label.encode() + b"\n"
    if size <= len(head):
        return head
    seed = hashlib.sha256(head).digest()
    return head + (seed * (size // 32 + 1))[:size - len(head)]


def label_of(body):
    """The label of bytes that a GET gave, or None for wrong bytes."""
    label = body.partition(b"\n")[0].decode("latin-1")
    try:
        return label if expand(label) == body else None
    except ValueError:
        return None


def etag_of(label):
    return f'"{hashlib.md5(expand(label)).hexdigest()}"'


class NotSent(Exception):
    """No byte of the request went out."""


class Cut(Exception):
    """The request went out, at least in part, and no answer came."""


class Wire:
    """One S3 connection: knows whether a request may have arrived."""

    def __init__(self, access, secret, timeout):
        self.signer = Signer(access, secret)
        self.timeout = timeout
        self.sock = None
        self.peer = None

    def close(self):
        if self.sock:
            self.sock.close()
        self.sock = None

    def request(self, peer, method, path, query=(), headers=(), body=b""):
        if self.sock is None or self.peer != peer:
            self.close()
            try:
                self.sock = socket.create_connection(peer, self.timeout)
            except OSError as error:
                raise NotSent(str(error)) from None
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.peer = peer
        digest = hashlib.sha256(body).hexdigest() if body else EMPTY
        out, _, _ = self.signer.headers(
            method, path, list(query),
            [("Host", f"{peer[0]}:{peer[1]}"), *headers], digest)
        if method == "PUT":
            out.append(("Content-Length", str(len(body))))
        target = path
        if query:
            target += "?" + Signer.canonical_query(query)
        lines = [f"{method} {target} HTTP/1.1"]
        lines += [f"{name}: {value}" for name, value in out]
        head = ("\r\n".join(lines) + "\r\n\r\n").encode()
        try:
            self.sock.sendall(head + body)
            reply = self._reply()
        except OSError as error:
            self.close()
            raise Cut(str(error) or type(error).__name__) from None
        if reply.headers.get("connection", "").lower() == "close":
            self.close()
        return reply

    def _reply(self):
        """One answer, within the timeout as a whole."""
        deadline = time.monotonic() + self.timeout
        data = b""
        while b"\r\n\r\n" not in data:
            data += self._some(deadline)
        head, _, body = data.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        headers = {}
        for line in lines[1:]:
            name, _, value = line.partition(":")
            headers[name.strip().lower()] = value.strip()
        if headers.get("transfer-encoding", "").lower() == "chunked":
            return Reply(int(lines[0].split(" ")[1]), headers,
                         self._chunked(body, deadline))
        want = int(headers.get("content-length", "0"))
        while len(body) < want:
            body += self._some(deadline)
        return Reply(int(lines[0].split(" ")[1]), headers, body)

    def _chunked(self, data, deadline):
        out = b""
        while True:
            while b"\r\n" not in data:
                data += self._some(deadline)
            size, _, data = data.partition(b"\r\n")
            size = int(size.split(b";")[0], 16)
            while len(data) < size + 2:
                data += self._some(deadline)
            out, data = out + data[:size], data[size + 2:]
            if size == 0:
                return out

    def _some(self, deadline):
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("no answer in time")
        self.sock.settimeout(left)
        piece = self.sock.recv(262144)
        if not piece:
            raise ConnectionResetError("closed before the answer was whole")
        return piece


class Client(threading.Thread):
    def __init__(self, load, number):
        super().__init__(daemon=True)
        self.load = load
        self.number = number
        self.rng = random.Random(f"{load.seed}/{number}")
        self.wire = Wire(load.access, load.secret, load.timeout)
        self.peer = load.endpoints[number % len(load.endpoints)]
        self.known = {}  # key -> what it held when last looked at
        self.ops = []
        self.listings = []
        self.count = 0
        self.problem = None

    def run(self):
        kinds, weights = zip(*self.load.mix.items())
        try:
            while not self.load.ending.is_set():
                kind = self.rng.choices(kinds, weights)[0]
                key = f"{self.load.prefix}{self.rng.randrange(self.load.keys)}"
                getattr(self, kind)(key)
                if self.rng.random() < 0.05:
                    self.move()
                if self.load.pause:
                    time.sleep(self.rng.random() * 2 * self.load.pause)
        except Exception as error:  # shown by stop()
            self.problem = error
        finally:
            self.wire.close()

    def move(self):
        self.peer = self.rng.choice(self.load.endpoints)

    # One function for each kind.
    def get(self, key):
        op, reply = self.ask(Op(self.number, "get", key), "GET")
        if reply is None:
            return
        if reply.status == 404 and reply.code == "NoSuchKey":
            op.outcome = OK
        elif reply.status == 200:
            op.outcome, op.value = OK, label_of(reply.body)
            if op.value is None:
                raise AssertionError(f"wrong bytes: {op} {reply}")
            if reply.headers.get("etag") != etag_of(op.value):
                raise AssertionError(f"wrong ETag: {op} {reply}")
        if op.outcome == OK:
            self.known[key] = op.value

    def put(self, key):
        self.write(Op(self.number, "put", key, self.fresh()))

    def cas(self, key):
        if self.known.get(key) is ABSENT:
            return self.get(key)
        expect = self.known[key]
        self.write(Op(self.number, "cas", key, self.fresh(), expect=expect),
                   [("If-Match", etag_of(expect))])

    def create(self, key):
        self.write(Op(self.number, "cas", key, self.fresh()),
                   [("If-None-Match", "*")])

    def delete(self, key):
        op, reply = self.ask(Op(self.number, "delete", key), "DELETE")
        if reply is not None and reply.status == 204:
            op.outcome = OK
            self.known[key] = ABSENT

    def list(self, _):
        """A listing reads every key at once."""
        op = Op(self.number, "get", "")
        _, reply = self.ask(op, "GET", query=[
            ("list-type", "2"), ("prefix", self.load.prefix)])
        self.ops.pop()
        if reply is not None and reply.status == 200:
            root = reply.xml
            assert root.findtext("IsTruncated") == "false", reply
            found = {unquote_key(item.findtext("Key")): item.findtext("ETag")
                     for item in root.findall("Contents")}
            self.listings.append((op, found))

    # What they share.
    def fresh(self):
        self.count += 1
        size = self.rng.choice(self.load.sizes)
        return f"{self.load.run}.{self.number}.{self.count}.{size}"

    def write(self, op, headers=()):
        _, reply = self.ask(op, "PUT", headers, expand(op.value))
        if reply is None:
            return
        if reply.status == 200:
            op.outcome = OK
            self.known[op.key] = op.value
            tag = reply.headers.get("etag")
            assert tag == etag_of(op.value), f"wrong ETag: {op} {reply}"
        elif reply.status == 412 and headers:
            op.outcome = REFUSED
        elif reply.status == 409 and headers:
            op.outcome = FAILED
        elif reply.status == 404 and reply.code == "NoSuchKey" and headers:
            op.outcome, op.seen = REFUSED, ABSENT
            self.known[op.key] = ABSENT

    def ask(self, op, method, headers=(), body=b"", query=()):
        """Send, and set times and the outcome of whatever went wrong. Gives
        the reply of what did not."""
        path = "/" + self.load.bucket
        if op.key:
            path += "/" + uri_encode(op.key, safe="/")
        op.outcome = FAILED if method == "GET" else UNKNOWN
        self.ops.append(op)
        reply = None
        op.start = time.monotonic()
        try:
            reply = self.wire.request(self.peer, method, path, query,
                                      headers, body)
            op.note = f"{self.peer[1]}: {reply.status}"
        except NotSent as error:
            op.outcome = FAILED
            op.note = f"{self.peer[1]}: {error}"
        except Cut as error:
            op.note = f"{self.peer[1]}: {error}"
        if reply is None or reply.status >= 500:
            self.move()
            time.sleep(self.rng.random() * 0.04)
            if op.outcome == FAILED:
                op.end = time.monotonic()
            return op, None
        op.end = time.monotonic()
        if reply.status not in (200, 204, 404, 409, 412):
            raise AssertionError(f"strange answer to {op}: {reply}")
        return op, reply


class Load:
    """Many clients on a few keys, and the history that they make."""
    runs = 0

    def __init__(self, endpoints, access, secret, bucket, *, clients=16,
                 keys=20, seed=0, timeout=5.0, mix=None, sizes=SIZES,
                 pause=0.0, prefix="k"):
        self.endpoints = list(endpoints)
        self.access = access
        self.secret = secret
        self.keys = keys
        self.seed = seed
        self.timeout = timeout
        self.mix = dict(mix or MIX)
        self.sizes = sizes
        self.pause = pause
        self.prefix = prefix
        self.ending = threading.Event()
        Load.runs += 1
        self.run = f"r{Load.runs}"
        # One of its own: a history begins with keys that hold nothing.
        self.bucket = f"{bucket}-{Load.runs}"
        self.clients = [Client(self, n) for n in range(clients)]

    def make_bucket(self, tries=1):
        """A PUT of the bucket; repeated, since it may be there by then."""
        wire = Wire(self.access, self.secret, self.timeout)
        for left in reversed(range(tries)):
            try:
                reply = wire.request(self.endpoints[0], "PUT",
                                     "/" + self.bucket)
                if reply.status in (200, 409) or not left:
                    break
            except (Cut, NotSent):
                if not left:
                    raise
            time.sleep(0.2)
        wire.close()
        assert reply.status in (200, 409), reply
        return self

    def start(self):
        for client in self.clients:
            client.start()
        return self

    def acked(self):
        """How many operations have been answered by now."""
        return sum(1 for c in self.clients for op in list(c.ops)
                   if op.outcome in (OK, REFUSED))

    def wait_acked(self, more, timeout=60):
        """Wait until so many further operations were answered."""
        want = self.acked() + more
        end = time.monotonic() + timeout
        while self.acked() < want:
            assert any(c.is_alive() for c in self.clients), self._problems()
            assert time.monotonic() < end, (
                f"{want - self.acked()} of {more} answers did not come "
                f"within {timeout} s")
            time.sleep(0.01)

    def _problems(self):
        return [str(c.problem) for c in self.clients if c.problem]

    def stop(self, final=True):
        """End, read every key once more, and give the history."""
        self.ending.set()
        for client in self.clients:
            client.join(self.timeout * 3 + 30)
            assert not client.is_alive(), "a client does not end"
        assert not self._problems(), "\n".join(self._problems())
        if final:
            self.clients.append(self._last_look())
        history = [op for c in self.clients for op in c.ops]
        history += self._listed(history)
        return history

    def _last_look(self):
        client = Client(self, len(self.clients))
        for peer in self.endpoints:
            client.peer = peer
            for number in range(self.keys):
                end = time.monotonic() + 60  # wires may still be bad
                client.get(f"{self.prefix}{number}")
                while (client.ops[-1].outcome != OK
                       and time.monotonic() < end):
                    client.get(f"{self.prefix}{number}")
                assert client.ops[-1].outcome == OK, client.ops[-1]
            client.peer = peer
            client.list(None)
            assert client.listings, "the last listing failed"
        client.wire.close()
        return client

    def _listed(self, history):
        """The reads that listings were: one for each key."""
        labels = {etag_of(op.value): op.value for op in history
                  if op.kind in ("put", "cas")}
        out = []
        for client in self.clients:
            for listing, found in client.listings:
                for number in range(self.keys):
                    key = f"{self.prefix}{number}"
                    tag = found.get(key)
                    out.append(listing.copy(
                        key=key, outcome=OK, note=f"listed {listing.note}",
                        value=ABSENT if tag is None else labels.get(
                            tag, f"unknown ETag {tag}")))
        return out


def gap(history, since, until=float("inf")):
    """The longest time without an acknowledged write in a window."""
    ends = sorted(op.end for op in history if op.outcome == OK
                  and op.kind != "get" and since <= op.end <= until)
    longest = 0.0
    last = since
    for end in ends:
        longest = max(longest, end - last)
        last = end
    return longest


def first_write_after(history, moment):
    """Seconds from @moment to the end of the first write that began after
    it and was acknowledged; None when there was none."""
    ends = [op.end for op in history if op.outcome == OK
            and op.kind != "get" and op.start >= moment]
    return min(ends) - moment if ends else None


def save(history, path=None):
    """The history as lines of JSON; gives the path."""
    if path is None:
        handle, path = tempfile.mkstemp(prefix="godwit-history.",
                                        suffix=".jsonl", dir="/tmp")
        os.close(handle)
    with open(path, "w") as file:
        for op in sorted(history, key=lambda op: op.start):
            file.write(json.dumps({name: getattr(op, name)
                                   for name in Op.__slots__}) + "\n")
    return path


def load(path):
    """What save() wrote."""
    out = []
    with open(path) as file:
        for line in file:
            fields = json.loads(line)
            if fields["seen"] == []:
                fields["seen"] = ()
            out.append(Op(**fields))
    return out


def judge(history, least=0):
    """Fail unless the history is linearizable. A bad one is kept in a file,
    and the first key's told as short as it gets."""
    done = sum(op.outcome in (OK, REFUSED) for op in history)
    assert done >= least, (
        f"the load was too thin: {linear.summary(history)}")
    violations = linear.check(history)
    if violations:
        first = violations[0]
        small = linear.shrink([op for op in history if op.key == first.key])
        raise AssertionError(
            f"{len(violations)} keys are not linearizable; the history is "
            f"in {save(history)}\n{first}\nreduced:\n  " + "\n  ".join(
                map(repr, sorted(small, key=lambda op: op.start))))
    return linear.summary(history)


if __name__ == "__main__":
    ops = load(sys.argv[1])
    for violation in linear.check(ops):
        print(violation)
        print("reduced:", *linear.shrink(
            [op for op in ops if op.key == violation.key]), sep="\n  ")
    print(linear.summary(ops))
