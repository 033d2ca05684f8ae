"""Goal: kill -9 at any moment loses nothing that was acknowledged (P1) and
shows nothing half (P4). Method: a loop of kills under a load of puts, deletes,
copies and multipart uploads, in which each thread owns its keys and knows what
they must be: the last acknowledged state or, for the one request at hand when
the server died, that one's."""
import hashlib
import http.client
import os
import random
import threading
import time

from s3http import S3
from test_04_multipart import complete_xml, multi_etag
from util import blob, etag

KILLS = int(os.environ.get("GODWIT_KILLS", "200"))
THREADS = 4
KEYS = 10
SIZES = (0, 10, 2000, 4096, 4097, 30000, 70000, 260000, 700000)
ABSENT = None


class Writer(threading.Thread):
    """Writes its own keys until the server goes away."""

    def __init__(self, s3, index, known, seed):
        super().__init__()
        self.s3 = s3
        self.index = index
        self.known = known  # key -> (etag, md5) or ABSENT; by this thread
        self.unsure = {}    # key -> what it may be instead
        self.rng = random.Random(seed)
        self.acked = 0
        self.touched = set()
        self.problem = None

    def run(self):
        try:
            conn = self.s3.connect(timeout=30)
            while True:
                self.step(conn)
        except (OSError, http.client.HTTPException):
            pass
        except Exception as error:  # shown by the test
            self.problem = error

    def step(self, conn):
        key = f"w{self.index}/{self.rng.randrange(KEYS)}"
        self.touched.add(key)
        kind = self.rng.random()
        if kind < 0.6:
            self.put(conn, key)
        elif kind < 0.75:
            self.attempt(key, ABSENT, lambda: self.s3.delete(
                "bkt", key, connection=conn), 204)
        elif kind < 0.85:
            self.copy(conn, key)
        else:
            self.multipart(conn, key)

    def attempt(self, key, state, send, status=200):
        self.unsure[key] = state
        reply = send()
        assert reply.status == status, reply
        self.known[key] = state
        del self.unsure[key]
        self.acked += 1
        return reply

    def put(self, conn, key):
        body = blob(self.rng.choice(SIZES), self.rng.randrange(1 << 30))
        self.attempt(key, (etag(body), hashlib.md5(body).hexdigest()),
                     lambda: self.s3.put("bkt", key, body, connection=conn))

    def copy(self, conn, key):
        source = f"w{self.index}/{self.rng.randrange(KEYS)}"
        state = self.known.get(source)
        if state is ABSENT or source == key or source in self.unsure:
            return
        self.attempt(key, state, lambda: self.s3.put(
            "bkt", key, b"", {"x-amz-copy-source": f"/bkt/{source}"},
            connection=conn))

    def multipart(self, conn, key):
        request = self.s3.request
        reply = request("POST", "bkt", key, {"uploads": ""}, connection=conn)
        assert reply.status == 200, reply
        upload = reply.xml.findtext("UploadId")
        bodies = [blob(self.rng.choice((5000, 70000, 150000)),
                       self.rng.randrange(1 << 30)) for _ in range(3)]
        parts = []
        for number, body in enumerate(bodies, 1):
            reply = request("PUT", "bkt", key, {"partNumber": str(number),
                                              "uploadId": upload},
                            body=body, connection=conn)
            assert reply.status == 200, reply
            parts.append((number, reply.headers["etag"], ""))
        whole = b"".join(bodies)
        self.attempt(
            key, (multi_etag(bodies), hashlib.md5(whole).hexdigest()),
            lambda: request("POST", "bkt", key, {"uploadId": upload},
                            body=complete_xml(parts), connection=conn))


def state_of(s3, key, conn):
    reply = s3.get("bkt", key, connection=conn)
    if reply.status == 404:
        return ABSENT
    assert reply.status == 200, reply
    return (reply.headers["etag"], hashlib.md5(reply.body).hexdigest())


def settle(s3, writers, known, every):
    """Compare the store with what the writers know. Keys whose last request
    was cut off must be before or after it, and are known from then on."""
    conn = s3.connect()
    keys = set()
    for writer in writers:
        keys |= writer.touched
    if every:
        keys |= set(known)
    unsure = {}
    for writer in writers:
        unsure.update(writer.unsure)
    for key in sorted(keys):
        got = state_of(s3, key, conn)
        allowed = [known.get(key)]
        if key in unsure:
            allowed.append(unsure[key])
        assert got in allowed, (
            f"{key}: is {got}, may be {allowed}")
        known[key] = got
    conn.close()
    if every:
        listed = {k: tag for k, (tag, _) in s3.list_keys("bkt").items()}
        assert listed == {k: v[0] for k, v in known.items()
                          if v is not ABSENT}


def test_kill_9_under_load(make_server):
    s = make_server("--part-min", "1", "--gc-interval", "300ms",
                    "--gc-delay", "500ms", "--orphan-age", "3s")
    keys = s.credentials
    s3 = S3("127.0.0.1", s.port, *keys)
    assert s3.request("PUT", "bkt").status == 200
    known = {}
    rng = random.Random(11)
    acked = 0
    for kill in range(KILLS):
        before = [dict(known) for _ in range(THREADS)]
        writers = [Writer(s3, i, {k: v for k, v in before[i].items()
                                  if k.startswith(f"w{i}/")},
                          (kill, i).__hash__()) for i in range(THREADS)]
        for writer in writers:
            writer.start()
        time.sleep(rng.choice((0.01, 0.05, 0.1, 0.15, 0.25)))
        s.kill9()
        for writer in writers:
            writer.join()
            assert writer.problem is None, writer.problem
            known.update(writer.known)
            acked += writer.acked
        s.start()
        settle(s3, writers, known, every=kill % 20 == 19
               or kill == KILLS - 1)
    assert acked > KILLS, f"the load was too thin: {acked}"
    s.restart()
    settle(s3, [], known, every=True)
    s.stop()
    s.verify()


def test_kill_9_right_after_a_200(make_server):
    """The narrowest window: the kill follows the first byte of the answer."""
    s = make_server()
    s3 = s.raw()
    assert s3.request("PUT", "bkt").status == 200
    for turn in range(15):
        body = blob((100, 50000, 300000)[turn % 3], turn)
        assert s3.put("bkt", f"k{turn}", body).status == 200
        s.kill9()
        s.start()
        got = s3.get("bkt", f"k{turn}")
        assert got.body == body
        assert got.headers["etag"] == etag(body)


def test_kill_9_during_start(make_server):
    """Recovery itself may be cut off, again and again."""
    s = make_server()
    s3 = s.raw()
    assert s3.request("PUT", "bkt").status == 200
    bodies = {f"k{i}": blob(size, i) for i, size in enumerate(
        (10, 5000, 70000, 2 << 20))}
    for key, body in bodies.items():
        assert s3.put("bkt", key, body).status == 200
    s.kill9()
    for turn in range(12):
        s.start(wait=False)
        time.sleep(0.004 * turn)
        s.kill9()
    s.start()
    for key, body in bodies.items():
        assert s3.get("bkt", key).body == body
