"""Encryption in a cluster: what is put through one server is read through the
other, by keys that only one of them made; a disabled key is disabled on both.

Method: two real servers; raw requests, godwit kms through either.
"""
import os
import random

import pytest

import cluster as cluster_module
from cluster import Cluster

pytestmark = pytest.mark.skipif(
    cluster_module.why_not() is not None,
    reason=str(cluster_module.why_not()))

SSE = "x-amz-server-side-encryption"
S3 = [(SSE, "AES256")]
MINE = [(SSE, "aws:kms"), (SSE + "-aws-kms-key-id", "mine")]


def blob(size):
    return random.Random(size).randbytes(size)


def key_file(member):
    with open(os.path.join(member.data, "master.key"), encoding="ascii") as f:
        return f.read()


def put_parts(first, second, bucket, key, parts, headers):
    """Create through one server, send parts through both in turns."""
    reply = first.request("POST", bucket, key, query=[("uploads", "")],
                          headers=headers)
    assert reply.status == 200, reply
    upload = reply.xml.findtext("UploadId")
    body = "<CompleteMultipartUpload>"
    for i, data in enumerate(parts):
        reply = (second, first)[i % 2].request(
            "PUT", bucket, key, body=data,
            query=[("partNumber", str(i + 1)), ("uploadId", upload)])
        assert reply.status == 200, reply
        assert reply.headers.get(SSE) == dict(headers).get(SSE)
        body += (f"<Part><PartNumber>{i + 1}</PartNumber>"
                 f"<ETag>{reply.headers['etag']}</ETag></Part>")
    body += "</CompleteMultipartUpload>"
    reply = second.request("POST", bucket, key, body=body.encode(),
                           query=[("uploadId", upload)])
    assert reply.status == 200, reply


def test_what_one_server_seals_the_other_opens():
    with Cluster(2, flags=["--drives", "4", "--part-min", "1",
                           "--segment-bytes", "16MiB"]) as c:
        one, two = c.members
        assert key_file(one) == key_file(two)
        first, second = c.raw(0), c.raw(1)
        assert first.request("PUT", "bee").status == 200

        def kms(member, *words):
            done = member.cli("kms", *words)
            assert done.returncode == 0, done.stderr
            return done.stdout

        kms(one, "create", "mine")
        want = {}
        for size in (0, 5, 5000, 3_000_000):
            for how in (S3, MINE):  # the key is known at once
                key = f"{how[0][1]}{size}"
                want[key] = blob(size)
                reply = second.put("bee", key, want[key], how)
                assert reply.status == 200, reply
                assert reply.headers[SSE] == how[0][1]
                reply = first.get("bee", key)
                assert reply.status == 200 and reply.body == want[key]
        parts = [blob(100_000), b"small", blob(70_000), b""]
        for name, headers in (("parts", MINE), ("s3", S3), ("plain", [])):
            put_parts(first, second, "bee", name, parts, headers)
            for raw in (first, second):
                reply = raw.get("bee", name)
                assert reply.body == b"".join(parts), name
        reply = first.put("bee", "copy", b"", [
            ("x-amz-copy-source", "/bee/parts"), *S3])
        assert reply.status == 200, reply
        assert second.get("bee", "copy").body == b"".join(parts)
        reply = second.put("bee", "k", b"x", [
            (SSE, "aws:kms"), (SSE + "-aws-kms-key-id", "nobody")])
        assert (reply.status, reply.code) == (400, "KMS.NotFoundException")
        assert "number 2" in kms(two, "rotate", "mine")
        assert second.put("bee", "rotated", b"x" * 9999, MINE).status == 200
        assert first.get("bee", "rotated").body == b"x" * 9999
        c.kill_all()
        c.start_all()
        for key, data in want.items():
            for raw in (c.raw(0), c.raw(1)):
                assert raw.get("bee", key).body == data
