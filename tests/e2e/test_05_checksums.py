"""Goal: a body that is not what its digests say is refused and changes
nothing. Method: every algorithm in a header and in a trailer, right, wrong and
malformed; aws-chunked bodies of all three kinds made by hand."""
import pytest

from s3http import b64, CHECKSUMS, checksum
from sigv4 import (STREAMING, STREAMING_TRAILER, STREAMING_UNSIGNED_TRAILER,
                   UNSIGNED)
from util import blob, content_md5, etag

ALGORITHMS = sorted(CHECKSUMS)
BODY = b"the bar-tailed godwit" * 100


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("size", (0, 1, 2100, 70000))
def test_checksum_in_a_header(raw, bucket, algorithm, size):
    body = blob(size)
    name = f"x-amz-checksum-{algorithm}"
    value = checksum(algorithm, body)
    put = raw.put(bucket, "k", body, {name: value})
    assert put.status == 200, put
    assert put.headers[name] == value
    for method in ("GET", "HEAD"):
        got = raw.request(method, bucket, "k", headers={
            "x-amz-checksum-mode": "ENABLED"})
        assert got.headers[name] == value
        assert got.headers["x-amz-checksum-type"] == "FULL_OBJECT"
        plain = raw.request(method, bucket, "k")
        assert name not in plain.headers


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_wrong_checksum_in_a_header_is_refused(raw, bucket, algorithm):
    name = f"x-amz-checksum-{algorithm}"
    for size in (10, 100000):
        reply = raw.put(bucket, "k", blob(size),
                        {name: checksum(algorithm, b"other")})
        assert (reply.status, reply.code) == (400, "BadDigest"), reply
    for bad in ("", "!!!!", b64(b"xy"), b64(b"x" * 40), "AAAA"):
        reply = raw.put(bucket, "k", b"abc", {name: bad})
        assert (reply.status, reply.code) == (400, "InvalidRequest"), (
            bad, reply)
    assert raw.get(bucket, "k").status == 404


def test_two_checksums_at_once_are_refused(raw, bucket):
    reply = raw.put(bucket, "k", BODY, {
        "x-amz-checksum-crc32": checksum("crc32", BODY),
        "x-amz-checksum-sha256": checksum("sha256", BODY)})
    assert (reply.status, reply.code) == (400, "InvalidRequest")


def test_content_md5(raw, bucket):
    for body in (BODY, blob(100000), b""):
        assert raw.put(bucket, "k", body, {
            "Content-MD5": content_md5(body)}).status == 200
        reply = raw.put(bucket, "k2", body, {
            "Content-MD5": content_md5(b"other")})
        assert (reply.status, reply.code) == (400, "BadDigest")
    for bad in ("", "x", "AAAA", "!" * 24, content_md5(b"x") + "AAAA"):
        reply = raw.put(bucket, "k2", b"abc", {"Content-MD5": bad})
        assert (reply.status, reply.code) == (400, "InvalidDigest"), bad
    assert raw.get(bucket, "k2").status == 404


def test_a_refused_body_leaves_the_old_object(raw, bucket):
    old = blob(90000, "old")
    assert raw.put(bucket, "k", old).status == 200
    for size in (10, 5000, 300000):
        body = blob(size, "new")
        for headers in ({"Content-MD5": content_md5(b"")},
                        {"x-amz-checksum-crc32c": checksum("crc32c", b"")}):
            assert raw.put(bucket, "k", body, headers).code == "BadDigest"
        tampered = raw.request("PUT", bucket, "k", body=body,
                               payload="0" * 64)
        assert tampered.code == "XAmzContentSHA256Mismatch"
        assert raw.get(bucket, "k").body == old


@pytest.mark.parametrize("mode", (STREAMING, STREAMING_TRAILER,
                                  STREAMING_UNSIGNED_TRAILER))
@pytest.mark.parametrize("size", (0, 1, 8192, 65536, 200001))
def test_aws_chunked_body(raw, bucket, mode, size):
    body = blob(size)
    trailer = []
    if mode != STREAMING:
        trailer = [("x-amz-checksum-crc32c", checksum("crc32c", body))]
    put = raw.put_chunked(bucket, "k", body, mode, trailer)
    assert put.status == 200, put
    assert put.headers["etag"] == etag(body)
    got = raw.get(bucket, "k", {"x-amz-checksum-mode": "ENABLED"})
    assert got.body == body
    assert "content-encoding" not in got.headers
    if trailer:
        assert got.headers["x-amz-checksum-crc32c"] == trailer[0][1]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("mode", (STREAMING_TRAILER,
                                  STREAMING_UNSIGNED_TRAILER))
def test_checksum_in_a_trailer(raw, bucket, mode, algorithm):
    name = f"x-amz-checksum-{algorithm}"
    good = [(name, checksum(algorithm, BODY))]
    put = raw.put_chunked(bucket, "k", BODY, mode, good)
    assert put.status == 200, put
    assert put.headers[name] == good[0][1]
    reply = raw.put_chunked(bucket, "k2", BODY, mode,
                            [(name, checksum(algorithm, b"other"))])
    assert (reply.status, reply.code) == (400, "BadDigest"), reply
    reply = raw.put_chunked(bucket, "k2", BODY, mode, [(name, "nonsense!")])
    assert reply.status == 400, reply
    assert raw.get(bucket, "k2").status == 404


def test_chunks_of_any_size(raw, bucket):
    """Chunks above 8 KiB as AWS wants them, and the whole in one."""
    body = blob(300000)
    for chunk in (8192, 8193, 65536, 131072, 300000):
        assert raw.put_chunked(bucket, "k", body, STREAMING,
                               chunk=chunk).status == 200, chunk
        assert raw.get(bucket, "k").body == body
        assert raw.put_chunked(
            bucket, "k", body, STREAMING_UNSIGNED_TRAILER,
            [("x-amz-checksum-crc32", checksum("crc32", body))],
            chunk=chunk).status == 200, chunk


def test_content_encoding_beside_aws_chunked_is_kept(raw, bucket):
    out = raw.put_chunked(bucket, "k", BODY, STREAMING,
                          headers=[("Content-Type", "text/x")])
    assert out.status == 200
    body = raw.get(bucket, "k")
    assert body.headers["content-type"] == "text/x"
    assert "aws-chunked" not in body.headers.get("content-encoding", "")


def flip(at):
    """A change of one byte of the encoded body."""
    def change(body):
        out = bytearray(body)
        out[at] ^= 1
        return bytes(out)
    return change


def test_tampered_chunks_are_refused(raw, bucket):
    for at, what in ((3000, "data"), (30, "signature")):
        reply = raw.put_chunked(bucket, "k", blob(20000), STREAMING,
                                chunk=8192, change=flip(at))
        assert (reply.status, reply.code) == (
            403, "SignatureDoesNotMatch"), (what, reply)
    # Two chunks change places: each is valid, but not there.
    def swap(body):
        size = len(b"2000;chunk-signature=") + 64 + 2 + 8192 + 2
        return body[size:2 * size] + body[:size] + body[2 * size:]
    reply = raw.put_chunked(bucket, "k", blob(20000), STREAMING, chunk=8192,
                            change=swap)
    assert (reply.status, reply.code) == (403, "SignatureDoesNotMatch")
    assert raw.get(bucket, "k").status == 404


def test_tampered_trailers_are_refused(raw, bucket):
    trailer = [("x-amz-checksum-crc32", checksum("crc32", BODY))]

    def wrong_signature(body):
        at = body.rindex(b"x-amz-trailer-signature:") + 30
        return flip(at)(body)

    reply = raw.put_chunked(bucket, "k", BODY, STREAMING_TRAILER, trailer,
                            change=wrong_signature)
    assert (reply.status, reply.code) == (403, "SignatureDoesNotMatch")
    reply = raw.put_chunked(bucket, "k", BODY, STREAMING_TRAILER, trailer,
                            sign_trailer=False)
    assert reply.status in (400, 403), reply
    # A trailer that was not announced, or announced and not sent.
    path = raw.path(bucket, "k")
    for announced, sent in (([], trailer),
                            (["x-amz-checksum-crc32"], [])):
        headers = [("Host", raw.netloc),
                   ("Content-Encoding", "aws-chunked"),
                   ("x-amz-decoded-content-length", str(len(BODY)))]
        headers += [("x-amz-trailer", n) for n in announced]
        headers, seed, date = raw.signer.headers(
            "PUT", path, [], headers, STREAMING_UNSIGNED_TRAILER)
        body = raw.signer.chunked(BODY, seed, date, trailer=sent,
                                  signed=False)
        headers.append(("Content-Length", str(len(body))))
        reply = raw.exchange("PUT", path, headers, body)
        assert reply.status == 400, (announced, sent, reply)
    assert raw.get(bucket, "k").status == 404


FRAMING = {
    "size is not hex": lambda b: b"zz" + b[2:],
    "size is too large": lambda b: b"ffffffffffffffffff" + b[3:],
    "size is negative": lambda b: b"-" + b[1:],
    "cut in the data": lambda b: b[:1000],
    "cut before the last chunk": lambda b: b[:b.rindex(b"0")],
    "no line end after data": lambda b: b.replace(b"\r\n0", b"XX0", 1),
    "bare line feeds": lambda b: b.replace(b"\r\n", b"\n"),
    "bytes after the end": lambda b: b + b"more bytes",
    "endless size line": lambda b: b"0" * 70000 + b,
    "unknown extension only": lambda b: b.replace(
        b"\r\n", b";x=" + b"y" * 20000 + b"\r\n", 1),
}


@pytest.mark.parametrize("what", FRAMING)
def test_chunk_framing_errors_are_refused(raw, bucket, what):
    trailer = [("x-amz-checksum-crc32", checksum("crc32", BODY))]
    reply = raw.put_chunked(bucket, "k", BODY, STREAMING_UNSIGNED_TRAILER,
                            trailer, change=FRAMING[what])
    assert 400 <= reply.status < 500 and reply.code, (what, reply)
    reply = raw.put_chunked(bucket, "k", BODY, STREAMING,
                            change=FRAMING[what])
    assert 400 <= reply.status < 500 and reply.code, (what, reply)
    assert raw.get(bucket, "k").status == 404


def test_decoded_length_must_be_true(raw, bucket):
    for decoded in (len(BODY) - 1, len(BODY) + 1, 0):
        for mode in (STREAMING, STREAMING_UNSIGNED_TRAILER):
            trailer = []
            if mode != STREAMING:
                trailer = [("x-amz-checksum-crc32", checksum("crc32", BODY))]
            reply = raw.put_chunked(bucket, "k", BODY, mode, trailer,
                                    decoded=decoded)
            assert reply.status == 400, (decoded, reply)
            assert reply.code in ("IncompleteBody", "InvalidRequest",
                                  "InvalidArgument", "EntityTooLarge"), reply
    assert raw.get(bucket, "k").status == 404


def test_part_upload_by_aws_chunked(raw, bucket):
    from test_04_multipart import complete, create
    upload = create(raw, bucket, "k")
    body = blob(100000)
    reply = raw.put_chunked(
        bucket, "k", body, STREAMING_TRAILER,
        [("x-amz-checksum-crc32", checksum("crc32", body))],
        query=[("partNumber", "1"), ("uploadId", upload)])
    assert reply.status == 200, reply
    reply = complete(raw, bucket, "k", upload, [(1, reply.headers["etag"])])
    assert reply.status == 200, reply
    assert raw.get(bucket, "k").body == body


def test_unsigned_payload(raw, bucket):
    body = blob(100000)
    assert raw.put(bucket, "k", body, payload=UNSIGNED).status == 200
    assert raw.get(bucket, "k").body == body
    reply = raw.put(bucket, "k2", body, {
        "x-amz-checksum-sha256": checksum("sha256", b"")}, payload=UNSIGNED)
    assert (reply.status, reply.code) == (400, "BadDigest")


def test_boto3_checksum_algorithms(s3, bucket):
    for algorithm in ("CRC32", "SHA1", "SHA256"):
        s3.put_object(Bucket=bucket, Key="k", Body=BODY,
                      ChecksumAlgorithm=algorithm)
        got = s3.get_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")
        assert got["Body"].read() == BODY  # boto3 checks it as it reads
        assert got[f"Checksum{algorithm}"] == checksum(algorithm.lower(),
                                                       BODY)
