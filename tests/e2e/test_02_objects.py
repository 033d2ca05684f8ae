"""Goal: what is put comes back byte for byte with its headers, under every key
that S3 allows. Method: boto3 where it can say it, hand-made requests else."""
import datetime
import email.header
import io
import re

import pytest

from util import MIB, blob, content_md5, error_field, etag, md5, refused

SIZES = (0, 1, 4095, 4096, 4097, 65535, 65536, 65537, 131073, MIB,
         4 * 65536 * 3 + 5, 8 * MIB - 1, 8 * MIB, 8 * MIB + 1, 20 * MIB)


@pytest.mark.parametrize("size", SIZES)
def test_object_comes_back_byte_for_byte(s3, bucket, size):
    body = blob(size)
    put = s3.put_object(Bucket=bucket, Key="k", Body=body)
    assert put["ETag"] == etag(body)
    got = s3.get_object(Bucket=bucket, Key="k")
    assert got["ContentLength"] == size
    assert got["ETag"] == etag(body)
    assert got["Body"].read() == body
    assert got["AcceptRanges"] == "bytes"
    head = s3.head_object(Bucket=bucket, Key="k")
    assert head["ContentLength"] == size
    assert head["ETag"] == etag(body)
    assert head["LastModified"] == got["LastModified"]
    assert head["ContentType"] == "binary/octet-stream"


def test_overwrite_gives_the_new_bytes(s3, bucket):
    for size in (70000, 10, 3 * MIB, 0, 4096, 5000):
        body = blob(size, "new")
        s3.put_object(Bucket=bucket, Key="k", Body=body)
        assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == body
    assert len(s3.list_objects_v2(Bucket=bucket)["Contents"]) == 1


def test_missing_objects_are_404(s3, raw, bucket):
    with refused(404, "NoSuchKey"):
        s3.get_object(Bucket=bucket, Key="none")
    with refused(404):
        s3.head_object(Bucket=bucket, Key="none")
    with refused(404, "NoSuchBucket"):
        s3.get_object(Bucket="no-such-bucket-here", Key="none")
    reply = raw.get(bucket, "no&ne")
    assert error_field(reply, "Key") in (None, "no&amp;ne")
    assert reply.headers["content-type"].startswith("application/xml")
    assert reply.headers["x-amz-request-id"] == error_field(
        reply, "RequestId")


RANGES = [
    (0, 0), (0, 9), (1, 1), (65535, 65536), (65536, 131071), (99, 200000),
]


@pytest.mark.parametrize("size", (100, 5000, 65537, 300000, 9 * MIB + 17))
def test_ranges_give_their_bytes(s3, bucket, size):
    body = blob(size)
    s3.put_object(Bucket=bucket, Key="k", Body=body)

    def check(text, first, last):
        got = s3.get_object(Bucket=bucket, Key="k", Range=text)
        assert got["ResponseMetadata"]["HTTPStatusCode"] == 206
        assert got["Body"].read() == body[first:last + 1], text
        assert got["ContentRange"] == f"bytes {first}-{last}/{size}"
        assert got["ContentLength"] == last + 1 - first
        head = s3.head_object(Bucket=bucket, Key="k", Range=text)
        assert head["ContentLength"] == last + 1 - first

    spans = list(RANGES) + [(size - 1, size - 1), (size // 2, size - 1)]
    # Over the borders of cells, pieces and chunks.
    spans += [(8 * MIB - 1, 8 * MIB), (2 * MIB - 1, 6 * MIB + 1),
              (4 * MIB - 70000, 4 * MIB + 70000)]
    for first, last in spans:
        if first < size:
            check(f"bytes={first}-{last}", first, min(last, size - 1))
    check("bytes=0-", 0, size - 1)
    check("bytes=7-", 7, size - 1)
    check(f"bytes=5-{size * 10}", 5, size - 1)
    check("bytes=-1", size - 1, size - 1)
    check("bytes=-50", size - 50, size - 1)
    check(f"bytes=-{size * 2}", 0, size - 1)


def test_unsatisfiable_ranges_are_416(s3, raw, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"0123456789")
    s3.put_object(Bucket=bucket, Key="empty", Body=b"")
    for text in ("bytes=10-", "bytes=10-20", "bytes=99999999999-", "bytes=-0"):
        reply = raw.get(bucket, "k", {"Range": text})
        assert (reply.status, reply.code) == (416, "InvalidRange"), text
        assert reply.headers.get("content-range") in (None, "bytes */10")
        assert raw.head(bucket, "k", {"Range": text}).status == 416
    assert raw.get(bucket, "empty", {"Range": "bytes=0-"}).status == 416


def test_ranges_that_are_none_are_ignored(raw, bucket):
    raw.put(bucket, "k", b"0123456789")
    for text in ("bytes=5-2", "bytes=a-b", "bytes=", "bytes", "lines=0-1",
                 "bytes=-", "bytes=1-2-3", "bytes=18446744073709551616-x"):
        reply = raw.get(bucket, "k", {"Range": text})
        assert (reply.status, reply.body) == (200, b"0123456789"), text


def test_conditional_get_and_head(s3, raw, bucket):
    body = b"some bytes"
    tag = s3.put_object(Bucket=bucket, Key="k", Body=body)["ETag"]
    changed = s3.head_object(Bucket=bucket, Key="k")["LastModified"]

    def http_date(seconds):
        return (changed + datetime.timedelta(seconds=seconds)).strftime(
            "%a, %d %b %Y %H:%M:%S GMT")

    other = '"00000000000000000000000000000000"'
    cases = [
        ({"If-Match": tag}, 200),
        ({"If-Match": tag.strip('"')}, 200),
        ({"If-Match": "*"}, 200),
        ({"If-Match": other}, 412),
        ({"If-Match": f"{other}, {tag}"}, 200),
        ({"If-None-Match": tag}, 304),
        ({"If-None-Match": "*"}, 304),
        ({"If-None-Match": other}, 200),
        ({"If-None-Match": f"{other}, {tag}"}, 304),
        ({"If-Modified-Since": http_date(-10)}, 200),
        ({"If-Modified-Since": http_date(0)}, 304),
        ({"If-Unmodified-Since": http_date(0)}, 200),
        ({"If-Unmodified-Since": http_date(-10)}, 412),
        # AWS documents these two pairs.
        ({"If-Match": tag, "If-Unmodified-Since": http_date(-10)}, 200),
        ({"If-None-Match": tag, "If-Modified-Since": http_date(-10)}, 304),
        ({"If-None-Match": other, "If-Modified-Since": http_date(0)}, 200),
        ({"If-Modified-Since": "yesterday"}, 200),
    ]
    for headers, status in cases:
        get = raw.get(bucket, "k", headers)
        assert get.status == status, (headers, get)
        assert raw.head(bucket, "k", headers).status == status, headers
        if status == 304:
            assert get.body == b"" and get.headers["etag"] == tag
        elif status == 412:
            assert get.code == "PreconditionFailed"
        else:
            assert get.body == body
    part = raw.get(bucket, "k", {"Range": "bytes=0-3", "If-Match": tag})
    assert (part.status, part.body) == (206, body[:4])


def test_response_overrides(s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x", ContentType="a/b")
    got = s3.get_object(
        Bucket=bucket, Key="k", ResponseContentType="text/x; charset=utf-8",
        ResponseContentLanguage="de", ResponseCacheControl="no-store",
        ResponseContentDisposition='attachment; filename="a b.txt"',
        ResponseContentEncoding="gzip",
        ResponseExpires=datetime.datetime(2030, 1, 2))
    headers = got["ResponseMetadata"]["HTTPHeaders"]
    assert headers["content-type"] == "text/x; charset=utf-8"
    assert headers["content-language"] == "de"
    assert headers["cache-control"] == "no-store"
    assert headers["content-disposition"] == 'attachment; filename="a b.txt"'
    assert headers["content-encoding"] == "gzip"
    assert headers["expires"] == "Wed, 02 Jan 2030 00:00:00 GMT"
    assert s3.get_object(Bucket=bucket, Key="k")["ContentType"] == "a/b"


def test_response_overrides_cannot_split_a_header(raw, bucket):
    raw.put(bucket, "k", b"x")
    reply = raw.get(bucket, "k", query={
        "response-content-type": "a/b\r\nX-Injected: yes"})
    assert "x-injected" not in reply.headers
    assert reply.status in (200, 400)


def test_content_headers_are_kept(s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x", ContentType="text/plain",
                  CacheControl="max-age=60", ContentDisposition="inline",
                  ContentEncoding="identity", ContentLanguage="en, de",
                  Expires=datetime.datetime(2031, 5, 6, 7, 8, 9))
    for got in (s3.get_object(Bucket=bucket, Key="k"),
                s3.head_object(Bucket=bucket, Key="k")):
        headers = got["ResponseMetadata"]["HTTPHeaders"]
        assert headers["content-type"] == "text/plain"
        assert headers["cache-control"] == "max-age=60"
        assert headers["content-disposition"] == "inline"
        assert headers["content-encoding"] == "identity"
        assert headers["content-language"] == "en, de"
        assert headers["expires"] == "Tue, 06 May 2031 07:08:09 GMT"


def test_user_metadata_is_kept(s3, raw, bucket):
    metadata = {"simple": "value", "with-dash": "a, b; c", "UPPER": "Mixed",
                "empty": "", "spaces": "a  b"}
    s3.put_object(Bucket=bucket, Key="k", Body=b"x", Metadata=metadata)
    got = s3.head_object(Bucket=bucket, Key="k")["Metadata"]
    want = {k.lower(): v for k, v in metadata.items()}
    assert {k: " ".join(v.split()) for k, v in got.items()} == {
        k: " ".join(v.split()) for k, v in want.items()}


def test_user_metadata_beyond_ascii_comes_back_the_same(raw, bucket):
    """AWS: not US-ASCII is decoded and encoded as RFC 2047."""
    text = "Möwe \u4e2d\u6587"
    put = raw.put(bucket, "k", b"x", {"x-amz-meta-bird": text})
    assert put.status == 200, put
    value = raw.head(bucket, "k").headers["x-amz-meta-bird"]
    if value.startswith("=?"):
        value = "".join(
            part.decode(charset or "ascii") if isinstance(part, bytes)
            else part for part, charset in email.header.decode_header(value))
    else:
        value = value.encode("latin-1").decode("utf-8")
    assert value == text


def test_user_metadata_above_2_kib_is_refused(raw, bucket):
    name = "x-amz-meta-m"
    fits = 2048 - len("m")
    assert raw.put(bucket, "k", b"x", {name: "v" * fits}).status == 200
    reply = raw.put(bucket, "k2", b"x", {name: "v" * 2049})
    assert (reply.status, reply.code) == (400, "MetadataTooLarge")
    many = {f"x-amz-meta-{i:02}": "v" * 100 for i in range(25)}
    reply = raw.put(bucket, "k2", b"x", many)
    assert (reply.status, reply.code) == (400, "MetadataTooLarge")
    assert raw.head(bucket, "k2").status == 404


def test_storage_class_of_other_names_is_refused(raw, bucket):
    assert raw.put(bucket, "k", b"x",
                   {"x-amz-storage-class": "STANDARD"}).status == 200
    reply = raw.put(bucket, "k", b"x", {"x-amz-storage-class": "PAPER"})
    assert (reply.status, reply.code) == (400, "InvalidStorageClass")


@pytest.mark.parametrize("size", (100, 100000, 9 * MIB))
def test_copy_keeps_bytes_and_metadata(s3, bucket, size):
    body = blob(size)
    s3.put_object(Bucket=bucket, Key="from", Body=body,
                  ContentType="text/x", Metadata={"a": "1"})
    done = s3.copy_object(Bucket=bucket, Key="to",
                          CopySource={"Bucket": bucket, "Key": "from"})
    assert done["CopyObjectResult"]["ETag"] == etag(body)
    got = s3.get_object(Bucket=bucket, Key="to")
    assert got["Body"].read() == body
    assert got["ContentType"] == "text/x" and got["Metadata"] == {"a": "1"}
    # A copy lives on when its source goes.
    s3.delete_object(Bucket=bucket, Key="from")
    s3.put_object(Bucket=bucket, Key="other", Body=blob(size, "other"))
    assert s3.get_object(Bucket=bucket, Key="to")["Body"].read() == body


def test_copy_with_metadata_directives(s3, raw, bucket):
    s3.put_object(Bucket=bucket, Key="from", Body=b"abc",
                  ContentType="text/x", Metadata={"a": "1"})
    source = {"Bucket": bucket, "Key": "from"}
    s3.copy_object(Bucket=bucket, Key="to", CopySource=source,
                   MetadataDirective="REPLACE", ContentType="text/y",
                   Metadata={"b": "2"})
    got = s3.head_object(Bucket=bucket, Key="to")
    assert got["ContentType"] == "text/y" and got["Metadata"] == {"b": "2"}
    s3.copy_object(Bucket=bucket, Key="to", CopySource=source,
                   MetadataDirective="COPY", ContentType="text/z",
                   Metadata={"c": "3"})
    got = s3.head_object(Bucket=bucket, Key="to")
    assert got["ContentType"] == "text/x" and got["Metadata"] == {"a": "1"}
    with refused(400, "InvalidRequest"):
        s3.copy_object(Bucket=bucket, Key="from", CopySource=source)
    s3.copy_object(Bucket=bucket, Key="from", CopySource=source,
                   MetadataDirective="REPLACE", Metadata={"d": "4"})
    got = s3.get_object(Bucket=bucket, Key="from")
    assert got["Metadata"] == {"d": "4"} and got["Body"].read() == b"abc"
    reply = raw.put(bucket, "x", b"", {
        "x-amz-copy-source": f"/{bucket}/from",
        "x-amz-metadata-directive": "KEEP"})
    assert (reply.status, reply.code) == (400, "InvalidArgument")


def test_copy_between_buckets_and_odd_sources(s3, raw, bucket, bucket_of,
                                              server):
    other = bucket_of(server)
    key = "a b+c/%41 é.txt"
    s3.put_object(Bucket=bucket, Key=key, Body=b"odd")
    s3.copy_object(Bucket=other, Key=key,
                   CopySource={"Bucket": bucket, "Key": key})
    assert s3.get_object(Bucket=other, Key=key)["Body"].read() == b"odd"
    for source, status, code in (
            (f"/{bucket}/none", 404, "NoSuchKey"),
            ("/no-such-bucket-at-all/k", 404, "NoSuchBucket"),
            ("nokey", 400, "InvalidArgument"),
            ("", 400, "InvalidArgument")):
        reply = raw.put(other, "x", b"", {"x-amz-copy-source": source})
        assert (reply.status, reply.code) == (status, code), source


def test_copy_conditions(s3, bucket):
    tag = s3.put_object(Bucket=bucket, Key="from", Body=b"abc")["ETag"]
    source = {"Bucket": bucket, "Key": "from"}
    s3.copy_object(Bucket=bucket, Key="to", CopySource=source,
                   CopySourceIfMatch=tag)
    with refused(412, "PreconditionFailed"):
        s3.copy_object(Bucket=bucket, Key="to2", CopySource=source,
                       CopySourceIfMatch='"0"')
    with refused(412, "PreconditionFailed"):
        s3.copy_object(Bucket=bucket, Key="to2", CopySource=source,
                       CopySourceIfNoneMatch=tag)
    with refused(412, "PreconditionFailed"):
        s3.copy_object(Bucket=bucket, Key="to2", CopySource=source,
                       CopySourceIfUnmodifiedSince=datetime.datetime(
                           2001, 1, 1))
    with refused(404):
        s3.head_object(Bucket=bucket, Key="to2")


KEYS = [
    "plain", "a b", "a+b", "a%20b", "a%2Fb", "100%", "q?mark", "h#ash",
    "amp&er", "eq=ual", "semi;colon", "comma,", "quote'", 'dq"', "<tag>",
    "back\\slash", "~tilde", "(paren)", "*", "[x]", "{y}", "|", "^", "`",
    "@", ":", "$", "!", "\u00e9", "e\u0301", "\u4e2d\u6587/\u0444",
    "\U0001f426", "a//b", "//", "trailing/", "/leading", "...", "a/.../b",
    ".hidden", "\t tab", " lead", "trail ", "new\nline", "\r", "\x01\x02\x1f",
    "\x7f", "\u0080\u009f", "\ufffd", "\uffff", "x" * 1024, "é" * 512,
    "p/" + "y" * 1022,
]


def test_keys_with_odd_bytes(s3, raw, bucket):
    for index, key in enumerate(KEYS):
        body = f"{index}".encode()
        put = raw.put(bucket, key, body)
        assert put.status == 200, (key, put)
    for index, key in enumerate(KEYS):
        got = raw.get(bucket, key)
        assert (got.status, got.body) == (200, f"{index}".encode()), key
    listed = raw.list_keys(bucket)
    assert sorted(listed) == sorted(KEYS)
    ours = [k for k in KEYS if not k.startswith("/") and "//" not in k]
    for key in ours:  # boto3 sees the same
        assert s3.head_object(Bucket=bucket, Key=key)["ContentLength"] > 0
    for key in KEYS:
        assert raw.delete(bucket, key).status == 204, key
    assert raw.list_keys(bucket) == {}


def test_keys_with_dots_are_names_and_not_paths(raw, bucket):
    keys = ["a/../b", "..", ".", "a/..", "./a", "../a", "a/./b"]
    for key in keys:
        reply = raw.put(bucket, key, key.encode())
        assert reply.status in (200, 400), (key, reply)
    stored = raw.list_keys(bucket)
    assert "a/../b" in stored and "b" not in stored
    for key in stored:
        assert raw.get(bucket, key).body == key.encode()
    assert set(stored) <= set(keys)


def test_key_length_limit(raw, bucket):
    for key in ("x" * 1025, "é" * 512 + "x", "y" * 4000):
        reply = raw.put(bucket, key, b"x")
        assert (reply.status, reply.code) == (400, "KeyTooLongError"), len(key)
        assert raw.get(bucket, key).status in (400, 404)


def test_keys_that_are_not_utf8_are_refused(raw, bucket):
    for tail in ("%FF", "a%C3", "%ED%A0%80", "%C0%AF", "a%00b"):
        reply = raw.request("PUT", path=f"/{bucket}/{tail}", body=b"x")
        assert reply.status == 400, (tail, reply)
        assert reply.code in ("InvalidURI", "InvalidArgument",
                              "InvalidRequest", "BadRequest"), reply
    assert raw.list_keys(bucket) == {}


def test_delete(s3, raw, bucket):
    for size in (10, 100000):
        s3.put_object(Bucket=bucket, Key="k", Body=blob(size))
        reply = raw.delete(bucket, "k")
        assert (reply.status, reply.body) == (204, b"")
        with refused(404, "NoSuchKey"):
            s3.get_object(Bucket=bucket, Key="k")
    assert raw.delete(bucket, "never-was").status == 204
    reply = raw.delete("no-such-bucket-here", "k")
    assert (reply.status, reply.code) == (404, "NoSuchBucket")


def test_delete_objects(s3, bucket):
    keys = ["a", "b/c", "ü & <x>", "large"]
    for key in keys:
        s3.put_object(Bucket=bucket, Key=key,
                      Body=blob(100000 if key == "large" else 10))
    s3.put_object(Bucket=bucket, Key="stays", Body=b"")
    named = [{"Key": k} for k in keys + ["never-was"]]
    done = s3.delete_objects(Bucket=bucket, Delete={"Objects": named})
    assert sorted(d["Key"] for d in done["Deleted"]) == sorted(
        keys + ["never-was"])
    assert "Errors" not in done
    for key in keys:
        s3.put_object(Bucket=bucket, Key=key, Body=b"x")
    done = s3.delete_objects(Bucket=bucket, Delete={"Objects": named,
                                                    "Quiet": True})
    assert "Deleted" not in done and "Errors" not in done
    left = s3.list_objects_v2(Bucket=bucket)["Contents"]
    assert [o["Key"] for o in left] == ["stays"]


def test_delete_objects_bounds(raw, bucket):
    def post(count, headers=None, key="k"):
        body = b"<Delete>" + b"".join(
            f"<Object><Key>{key}{i}</Key></Object>".encode()
            for i in range(count)) + b"</Delete>"
        if headers is None:
            headers = {"Content-MD5": content_md5(body)}
        return raw.request("POST", bucket, query={"delete": ""},
                           headers=headers, body=body)

    assert post(1000).status == 200
    for reply in (post(1001), post(0)):
        assert (reply.status, reply.code) == (400, "MalformedXML")
    reply = post(3, {})
    assert (reply.status, reply.code) == (400, "InvalidRequest")
    reply = post(3, {"Content-MD5": content_md5(b"other")})
    assert (reply.status, reply.code) == (400, "BadDigest")
    long = post(1, key="x" * 1030)
    assert long.status in (200, 400) and b"KeyTooLong" in long.body or (
        long.code == "MalformedXML"), long


def test_upload_fileobj_and_download_fileobj(s3, bucket):
    """boto3's own transfer: multipart above 8 MiB, ranged gets."""
    body = blob(21 * MIB + 3)
    s3.upload_fileobj(io.BytesIO(body), bucket, "k")
    out = io.BytesIO()
    s3.download_fileobj(bucket, "k", out)
    assert out.getvalue() == body
    assert re.fullmatch(r'"[0-9a-f]{32}-3"',
                        s3.head_object(Bucket=bucket, Key="k")["ETag"])


def test_get_object_attributes(s3, bucket):
    body = blob(5000)
    s3.put_object(Bucket=bucket, Key="k", Body=body)
    got = s3.get_object_attributes(
        Bucket=bucket, Key="k",
        ObjectAttributes=["ETag", "ObjectSize", "StorageClass"])
    assert got["ETag"].strip('"') == md5(body)
    assert got["ObjectSize"] == 5000


def test_keep_alive_serves_many_requests_on_one_connection(raw, bucket):
    conn = raw.connect()
    for i in range(50):
        body = blob(i * 900)
        assert raw.put(bucket, f"k{i}", body, connection=conn).status == 200
        assert raw.get(bucket, f"k{i}", connection=conn).body == body
        assert raw.get(bucket, "none", connection=conn).status == 404
    conn.close()


def test_expect_100_continue_is_answered_before_the_body(raw, bucket):
    from s3http import head_bytes, read_reply
    body = blob(200000)
    head = raw.signed_head("PUT", f"/{bucket}/k",
                           [("Content-Length", str(len(body)))])
    with raw.socket() as sock:
        sock.sendall(head_bytes("PUT", f"/{bucket}/k",
                                head + [("Expect", "100-continue")]))
        first = read_reply(sock)
        assert first.status == 100
        sock.sendall(body)
        assert read_reply(sock).status == 200
    assert raw.get(bucket, "k").body == body
    # A refusal comes without asking for the body.
    bad = [(n, v) for n, v in head if n != "Authorization"]
    with raw.socket() as sock:
        sock.sendall(head_bytes("PUT", f"/{bucket}/k",
                                bad + [("Expect", "100-continue")]))
        assert read_reply(sock).status == 403
