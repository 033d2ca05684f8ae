"""Goal: the clients' histories show what a store did wrong, before they are
trusted to show that ours does nothing wrong. Method: a small store in memory
that keeps its word, and ones that each break it in a way that real stores
have: a replica that lags, writes lost after the answer, a compare-and-set of
two steps, a delete that does not last, a wrong byte."""
import hashlib
import http.server
import random
import threading
import time
from urllib.parse import parse_qs, urlsplit

import pytest

import history
import linear
from history import Load, judge


class Store:
    """An honest register for each key."""

    def __init__(self):
        self.lock = threading.Lock()
        self.data = {}
        self.rng = random.Random(1)

    def get(self, key):
        with self.lock:
            return self.data.get(key)

    def list(self):
        with self.lock:
            return dict(self.data)

    def put(self, key, body, allowed):
        with self.lock:
            if not allowed(self.data.get(key)):
                return False
            self.data[key] = body
            return True

    def delete(self, key):
        with self.lock:
            self.data.pop(key, None)


class Lagging(Store):
    """Some reads come from a copy that is a moment behind."""

    def __init__(self):
        super().__init__()
        self.copy = {}
        self.copied = 0.0

    def get(self, key):
        with self.lock:
            if time.monotonic() - self.copied > 0.05:
                self.copy = dict(self.data)
                self.copied = time.monotonic()
            which = self.copy if self.rng.random() < 0.1 else self.data
            return which.get(key)


class LaggingList(Lagging):
    """Only listings are behind."""

    def get(self, key):
        return Store.get(self, key)

    def list(self):
        Lagging.get(self, "")
        with self.lock:
            return dict(self.copy)


class Forgetful(Store):
    """One write of fifty is answered and not made."""

    def put(self, key, body, allowed):
        if self.rng.random() < 0.02:
            return True
        return super().put(key, body, allowed)


class TwoSteps(Store):
    """Looks, and then writes."""

    def put(self, key, body, allowed):
        if not allowed(self.get(key)):
            return False
        time.sleep(0.001)
        with self.lock:
            self.data[key] = body
        return True


class Undead(Store):
    """Some deletes are undone a little later, as by a late repair."""

    def delete(self, key):
        with self.lock:
            old = self.data.pop(key, None)
        if old is not None and self.rng.random() < 0.5:
            def back():
                with self.lock:
                    self.data.setdefault(key, old)
            threading.Timer(0.005, back).start()


class WrongByte(Store):
    def get(self, key):
        body = super().get(key)
        if body and self.rng.random() < 0.02:
            body = body[:-1] + bytes([body[-1] ^ 1])
        return body


def etag(body):
    return f'"{hashlib.md5(body).hexdigest()}"'


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def answer(self, status, body=b"", **headers):
        self.send_response(status)
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def do_PUT(self):
        store = self.server.store
        body = self.rfile.read(int(self.headers["Content-Length"]))
        match = self.headers.get("If-Match")
        if self.path.count("/") == 1:
            return self.answer(200)
        if match:
            def allowed(now):
                return now is not None and etag(now) == match
        elif self.headers.get("If-None-Match"):
            def allowed(now):
                return now is None
        else:
            def allowed(_):
                return True
        if store.put(self.path, body, allowed):
            return self.answer(200, ETag=etag(body))
        return self.answer(412)

    def do_GET(self):
        url = urlsplit(self.path)
        if "list-type" in parse_qs(url.query):
            items = "".join(
                f"<Contents><Key>{key.rpartition('/')[2]}</Key>"
                f"<ETag>{etag(body)}</ETag></Contents>"
                for key, body in self.server.store.list().items())
            return self.answer(200, (
                f"<R><IsTruncated>false</IsTruncated>{items}</R>").encode())
        body = self.server.store.get(url.path)
        if body is None:
            return self.answer(404, b"<E><Code>NoSuchKey</Code></E>")
        return self.answer(200, body, ETag=etag(body))

    def do_DELETE(self):
        self.server.store.delete(self.path)
        self.answer(204)

    def log_message(self, *_):
        pass


def told_by(store, answers=1500, **more):
    httpd = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    httpd.daemon_threads = True
    httpd.block_on_close = False
    httpd.store = store
    thread = threading.Thread(target=httpd.serve_forever, daemon=True)
    thread.start()
    try:
        load = Load([httpd.server_address], "a", "s", "bucket", clients=8,
                    keys=4, **more).make_bucket().start()
        load.wait_acked(answers)
        return load.stop()
    finally:
        httpd.shutdown()
        httpd.server_close()


def test_an_honest_store_is_believed():
    told = told_by(Store())
    judge(told, least=1500)
    kinds = {(op.kind, op.outcome) for op in told}
    assert kinds == {("get", "ok"), ("put", "ok"), ("delete", "ok"),
                     ("cas", "ok"), ("cas", "refused")}


@pytest.mark.parametrize("store", (Lagging, LaggingList, Forgetful, TwoSteps,
                                   Undead))
def test_a_store_that_breaks_its_word_is_found(store):
    for _ in range(5):  # it lies at random: now and then nobody notices
        told = told_by(store())
        violations = linear.check(told)
        if violations:
            break
    assert violations, linear.summary(told)
    small = linear.shrink([op for op in told
                           if op.key == violations[0].key])
    assert len(small) < len(told) / 4


def test_a_wrong_byte_is_found():
    with pytest.raises(AssertionError, match="wrong bytes"):
        told_by(WrongByte())


def test_a_kept_history_is_the_same(tmp_path):
    told = told_by(Store(), answers=100)
    path = history.save(told, str(tmp_path / "h"))
    again = history.load(path)
    assert sorted(map(repr, again)) == sorted(map(repr, told))
    judge(again, least=100)


def test_the_end_of_a_gap_is_the_first_write_after_it():
    def put(start, end):
        return linear.Op(0, "put", "k", start, start, end)
    told = [put(0, 1), put(1, 2), put(1.5, 7), put(6, 8)]
    assert history.gap(told, 0) == 5
    assert history.gap(told, 7) == 1
    assert history.first_write_after(told, 3) == 5
    assert history.first_write_after(told, 9) is None
