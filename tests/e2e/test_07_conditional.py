"""Goal: a conditional write is a compare-and-set (P2): of N racing writers
exactly one wins. Method: single steps first, then threads and processes that
race, and the primer this project grew from: five workers that put squares,
then five that race on one key."""
import os
import subprocess
import sys
import threading

import pytest

from s3http import S3
from util import blob, etag

HERE = os.path.dirname(os.path.abspath(__file__))
LOST = (409, 412)


def test_if_none_match_star(raw, bucket):
    for size in (10, 100000):
        key = f"k{size}"
        first = raw.put(bucket, key, blob(size), {"If-None-Match": "*"})
        assert first.status == 200, first
        second = raw.put(bucket, key, blob(size, 2), {"If-None-Match": "*"})
        assert (second.status, second.code) == (412, "PreconditionFailed")
        assert raw.get(bucket, key).body == blob(size)
        raw.delete(bucket, key)
        assert raw.put(bucket, key, blob(size, 3),
                       {"If-None-Match": "*"}).status == 200


def test_if_match(raw, bucket):
    assert raw.put(bucket, "none", b"x", {"If-Match": etag(b"x")}).code == (
        "NoSuchKey")
    assert raw.put(bucket, "none", b"x",
                   {"If-Match": etag(b"x")}).status == 404
    raw.put(bucket, "k", b"1")
    reply = raw.put(bucket, "k", b"2", {"If-Match": etag(b"0")})
    assert (reply.status, reply.code) == (412, "PreconditionFailed")
    assert raw.put(bucket, "k", b"2", {"If-Match": etag(b"1")}).status == 200
    assert raw.put(bucket, "k", b"3",
                   {"If-Match": etag(b"2").strip('"')}).status == 200
    reply = raw.put(bucket, "k", b"4", {"If-Match": etag(b"1")})
    assert reply.status == 412
    assert raw.get(bucket, "k").body == b"3"


def test_if_none_match_of_an_etag_is_not_implemented(raw, bucket):
    """AWS: If-None-Match on a write expects the star."""
    raw.put(bucket, "k", b"1")
    reply = raw.put(bucket, "k", b"2", {"If-None-Match": etag(b"0")})
    assert (reply.status, reply.code) == (501, "NotImplemented"), reply
    assert raw.get(bucket, "k").body == b"1"


def race(workers):
    """Run the functions at once; gives their results."""
    results = [None] * len(workers)
    gate = threading.Barrier(len(workers))

    def run(index):
        gate.wait()
        results[index] = workers[index]()

    threads = [threading.Thread(target=run, args=(i,))
               for i in range(len(workers))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


@pytest.mark.parametrize("size", (20, 70000))
def test_of_racing_creators_exactly_one_wins(raw, bucket, size):
    for turn in range(10):
        key = f"k{turn}"
        bodies = [blob(size, f"{turn}/{i}") for i in range(12)]
        replies = race([
            lambda b=b: raw.put(bucket, key, b, {"If-None-Match": "*"})
            for b in bodies])
        won = [i for i, r in enumerate(replies) if r.status == 200]
        assert len(won) == 1, replies
        assert all(r.status in LOST for i, r in enumerate(replies)
                   if i != won[0]), replies
        assert raw.get(bucket, key).body == bodies[won[0]]


def test_a_counter_by_compare_and_set_loses_no_step(raw, bucket):
    raw.put(bucket, "counter", b"0")

    def add(times=12):
        done = 0
        while done < times:
            now = raw.get(bucket, "counter")
            reply = raw.put(bucket, "counter",
                            str(int(now.body) + 1).encode(),
                            {"If-Match": now.headers["etag"]})
            assert reply.status in (200, *LOST), reply
            done += reply.status == 200
        return done

    assert sum(race([add] * 5)) == 60
    assert raw.get(bucket, "counter").body == b"60"


def start(server, *arguments):
    access, secret = server.credentials
    worker = subprocess.Popen(
        [sys.executable, os.path.join(HERE, "race_worker.py"), "127.0.0.1",
         str(server.port), access, secret, *arguments],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    return worker


def go(workers):
    """Let all go at once; gives the statuses."""
    for worker in workers:
        assert worker.stdout.readline() == "here\n"
    for worker in workers:
        worker.stdin.write("\n")
        worker.stdin.flush()
    out = []
    for worker in workers:
        out.append(int(worker.communicate(timeout=30)[0].split()[0]))
        assert worker.returncode == 0
    return out


def test_five_workers_put_squares_and_all_read_back(server, raw, bucket):
    workers = [start(server, "square", bucket, str(i)) for i in range(5)]
    assert go(workers) == [200] * 5
    assert raw.get(bucket, "0").body == b"0"
    assert raw.get(bucket, "1").body == b"1"
    for i in range(5):
        assert raw.get(bucket, str(i)).body == str(i * i).encode()


def test_five_workers_race_on_one_key_and_one_value_is_chosen(server, raw,
                                                             bucket):
    for turn in range(3):
        key = f"chosen{turn}"
        workers = [start(server, "choose", bucket, key, str(i * i))
                   for i in range(5)]
        statuses = go(workers)
        assert sorted(s == 200 for s in statuses) == [False] * 4 + [True], (
            statuses)
        assert all(s in (200, *LOST) for s in statuses)
        chosen = str(statuses.index(200) ** 2).encode()
        readers = [S3(raw.host, raw.port, raw.signer.access,
                      raw.signer.secret) for _ in range(5)]
        assert race([lambda r=r: r.get(bucket, key).body
                     for r in readers]) == [chosen] * 5


def test_readers_see_only_whole_values_while_writers_race(raw, bucket):
    """P4, P5 under load: each body names itself, so a mix would show."""
    bodies = {etag(b): b for b in (blob(150000 + i, i) for i in range(6))}
    raw.put(bucket, "k", next(iter(bodies.values())))

    def write(body):
        return all(raw.put(bucket, "k", body).status == 200
                   for _ in range(8))

    def read():
        for _ in range(25):
            got = raw.get(bucket, "k")
            assert got.status == 200, got
            assert got.body == bodies[got.headers["etag"]]
        return True

    assert all(race([lambda b=b: write(b) for b in bodies.values()]
                    + [read] * 4))
