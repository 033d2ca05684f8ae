"""Access control lists in a cluster: set through any server, obeyed by all, of
buckets that a server has not heard of yet, and by many at once. P7.

Method: three real servers; root makes buckets through one and puts with lists
through another at once; then lists of one object are set through all three
while it is replaced, and what comes out must be one of them, whole.
"""
import hashlib
import threading
import time

import pytest

import cluster as cluster_module
from cluster import Cluster

pytestmark = pytest.mark.skipif(
    cluster_module.why_not() is not None,
    reason=str(cluster_module.why_not()))

ALL = "http://acs.amazonaws.com/groups/global/AllUsers"


def until(what, timeout=60):
    end = time.monotonic() + timeout
    while not what():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_lists_through_any_server_hold_in_all():
    with Cluster(3) as c:
        members = c.live()
        raws = [m.raw() for m in members]
        done = members[0].cli("user", "add", "bob", "--access-key", "BOBKEY",
                              "--secret-key", "bob-secret")
        assert done.returncode == 0, done.stderr
        bob = hashlib.sha256(b"bob").hexdigest()
        for i, raw in enumerate(raws):
            other = raws[(i + 1) % 3]
            bucket = f"acl-{i}"
            # The other server need not have heard of the bucket.
            assert raw.request("PUT", bucket).status == 200
            assert other.put(bucket, "open", b"x", [
                ("x-amz-acl", "public-read")]).status == 200
            assert other.put(bucket, "bobs", b"y", [
                ("x-amz-grant-read", f"id={bob}")]).status == 200
            assert other.request("PUT", bucket, "open", [("acl", "")], [
                ("x-amz-acl", "public-read")]).status == 200
            assert other.request("PUT", bucket, None, [("acl", "")], [
                ("x-amz-acl", "public-read")]).status == 200
            for reader in raws:
                until(lambda: reader.request(
                    "GET", bucket, sign=False).status == 200)
                answer = reader.request("GET", bucket, "open", sign=False)
                assert (answer.status, answer.body) == (200, b"x")
                assert reader.request("GET", bucket, "bobs",
                                      sign=False).status == 403
                # Who may list may know that a key is not there.
                assert reader.request("GET", bucket, "none",
                                      sign=False).status == 404
                shown = reader.request("GET", bucket, "bobs", [("acl", "")])
                assert bob.encode() in shown.body, shown


def test_lists_that_are_set_at_once_do_not_mix_with_what_is_put():
    with Cluster(3) as c:
        raws = [m.raw() for m in c.live()]
        assert raws[0].request("PUT", "race").status == 200
        assert raws[0].put("race", "k", b"0").status == 200
        failures, stop = [], threading.Event()

        def check(answer, *good):
            if answer.status not in good:
                failures.append(answer)

        def put():
            raw = c.live()[0].raw()
            try:
                for n in range(40):
                    check(raw.put("race", "k", b"%d" % n, [
                        ("x-amz-meta-n", str(n))]), 200)
            finally:
                stop.set()

        def grant(member, acl):
            raw = member.raw()
            while not stop.is_set():
                check(raw.request("PUT", "race", "k", [("acl", "")], [
                    ("x-amz-acl", acl)]), 200, 503)
                answer = raw.get("race", "k")
                # The metadata are of the bytes, whoever set a list meanwhile.
                if answer.body != b"0" and answer.headers.get(
                        "x-amz-meta-n") != answer.body.decode():
                    failures.append(answer)

        threads = [threading.Thread(target=put)] + [
            threading.Thread(target=grant, args=(m, acl)) for m, acl in zip(
                c.live(), ("public-read", "authenticated-read", "private"))]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        assert not failures, failures[:3]
        answer = raws[1].get("race", "k")
        assert answer.body == b"39"
