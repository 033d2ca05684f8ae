"""Goal: a listing shows exactly the keys that are there, in the order of their
UTF-8 bytes, page by page. Method: a model in Python says what each page must
hold; random sets of keys, prefixes, delimiters and page sizes compare."""
import random

import pytest

from s3http import unquote_key
from util import content_md5, etag, refused


def fill(raw, bucket, keys):
    for key in keys:
        reply = raw.put(bucket, key, key.encode())
        assert reply.status == 200, (key, reply)


def model(keys, prefix="", delimiter="", after=""):
    """What a listing without page limit shows after @after: ordered pairs
    (kind, name), kind "key" or "prefix"."""
    out = []
    for key in sorted(keys, key=lambda k: k.encode()):
        if not key.startswith(prefix):
            continue
        if delimiter and delimiter in key[len(prefix):]:
            end = key.index(delimiter, len(prefix)) + len(delimiter)
            item = ("prefix", key[:end])
        else:
            item = ("key", key)
        if out and out[-1] == item:
            continue
        if item[0] == "key" and key.encode() <= after.encode():
            continue
        # A common prefix is behind us when the marker is it or within it.
        if item[0] == "prefix" and (
                item[1].encode() <= after.encode()
                and not after == "" and (after.startswith(item[1])
                                         or item[1].encode()
                                         < after.encode())):
            continue
        out.append(item)
    return out


def items(root, encoded):
    def text(value):
        return unquote_key(value) if encoded else value or ""
    out = [("key", text(c.findtext("Key"))) for c in root.findall("Contents")]
    out += [("prefix", text(c.findtext("Prefix")))
            for c in root.findall("CommonPrefixes")]
    return sorted(out, key=lambda i: i[1].encode())


def walk_v2(raw, bucket, max_keys=None, encoded=True, **query):
    """All pages of ListObjectsV2, each checked by itself."""
    query = {k.replace("_", "-"): v for k, v in query.items()}
    query["list-type"] = "2"
    if encoded:
        query["encoding-type"] = "url"
    if max_keys is not None:
        query["max-keys"] = str(max_keys)
    out = []
    while True:
        reply = raw.request("GET", bucket, query=query)
        assert reply.status == 200, reply
        root = reply.xml
        assert root.tag == "ListBucketResult"
        page = items(root, encoded)
        assert int(root.findtext("KeyCount")) == len(page)
        assert len(page) <= min(max_keys or 1000, 1000)
        out += page
        if root.findtext("IsTruncated") == "false":
            assert root.findtext("NextContinuationToken") is None
            return out
        assert page, "a truncated page is empty"
        query["continuation-token"] = root.findtext("NextContinuationToken")


def walk_v1(raw, bucket, max_keys=None, **query):
    query["encoding-type"] = "url"
    if max_keys is not None:
        query["max-keys"] = str(max_keys)
    out = []
    while True:
        reply = raw.request("GET", bucket, query=query)
        assert reply.status == 200, reply
        root = reply.xml
        page = items(root, True)
        out += page
        if root.findtext("IsTruncated") == "false":
            return out
        marker = root.findtext("NextMarker")
        if query.get("delimiter"):
            assert marker is not None, "NextMarker is due with a delimiter"
        query["marker"] = (unquote_key(marker) if marker is not None
                           else page[-1][1])


KEYS = ["a", "a/b", "a/b/c", "a/b/d", "a/c", "a-b", "a0", "b/", "b//c", "b/c",
        "c", "ä/ö", "ä/ü", "z z/+", "z z/&x", "\U0001f426", "\uffee"]


@pytest.fixture
def filled(raw, bucket):
    fill(raw, bucket, KEYS)
    return bucket


def test_keys_come_in_the_order_of_their_bytes(s3, filled):
    got = [o["Key"] for o in s3.list_objects_v2(Bucket=filled)["Contents"]]
    assert got == sorted(KEYS, key=lambda k: k.encode())
    got = [o["Key"] for o in s3.list_objects(Bucket=filled)["Contents"]]
    assert got == sorted(KEYS, key=lambda k: k.encode())


def test_entries_name_etag_size_time_and_class(s3, filled):
    for item in s3.list_objects_v2(Bucket=filled)["Contents"]:
        body = item["Key"].encode()
        assert item["ETag"] == etag(body)
        assert item["Size"] == len(body)
        assert item["StorageClass"] == "STANDARD"
        assert "Owner" not in item
        head = s3.head_object(Bucket=filled, Key=item["Key"])
        assert head["LastModified"] == item["LastModified"].replace(
            microsecond=0)
    for item in s3.list_objects_v2(Bucket=filled,
                                   FetchOwner=True)["Contents"]:
        assert item["Owner"]["ID"]
    for item in s3.list_objects(Bucket=filled)["Contents"]:
        assert item["Owner"]["ID"]


def test_prefix_and_delimiter(s3, filled):
    got = s3.list_objects_v2(Bucket=filled, Delimiter="/")
    assert [o["Key"] for o in got["Contents"]] == [
        "a", "a-b", "a0", "c", "\uffee", "\U0001f426"]
    assert [p["Prefix"] for p in got["CommonPrefixes"]] == [
        "a/", "b/", "z z/", "ä/"]
    assert got["KeyCount"] == 10 and got["Delimiter"] == "/"
    got = s3.list_objects_v2(Bucket=filled, Prefix="a/", Delimiter="/")
    assert [o["Key"] for o in got["Contents"]] == ["a/b", "a/c"]
    assert [p["Prefix"] for p in got["CommonPrefixes"]] == ["a/b/"]
    got = s3.list_objects_v2(Bucket=filled, Prefix="b/", Delimiter="/")
    assert [o["Key"] for o in got["Contents"]] == ["b/", "b/c"]
    assert [p["Prefix"] for p in got["CommonPrefixes"]] == ["b//"]
    got = s3.list_objects_v2(Bucket=filled, Prefix="none")
    assert "Contents" not in got and got["KeyCount"] == 0
    got = s3.list_objects_v2(Bucket=filled, Delimiter="b")
    assert [p["Prefix"] for p in got["CommonPrefixes"]] == [
        "a-b", "a/b", "b"]


def test_start_after_and_marker(s3, raw, filled):
    for after in ("", "a", "a/", "a/b", "a/b/cc", "b/", "zzz", "\U0001f426"):
        want = model(KEYS, after=after)
        assert walk_v2(raw, filled, start_after=after) == want, after
        assert walk_v1(raw, filled, marker=after) == want, after
    got = s3.list_objects_v2(Bucket=filled, StartAfter="a/b")
    assert got["StartAfter"] == "a/b"
    got = s3.list_objects(Bucket=filled, Marker="a/b")
    assert got["Marker"] == "a/b"


def test_max_keys(s3, raw, filled):
    for count in (1, 2, 3, len(KEYS) - 1, len(KEYS), len(KEYS) + 1, 1000,
                  2000, 2147483647):
        assert walk_v2(raw, filled, max_keys=count) == model(KEYS), count
        assert walk_v1(raw, filled, max_keys=count) == model(KEYS), count
        assert walk_v2(raw, filled, max_keys=count, delimiter="/") == model(
            KEYS, delimiter="/"), count
    for query in ({}, {"list-type": "2"}):
        reply = raw.request("GET", filled, query={"max-keys": "0", **query})
        assert reply.status == 200
        assert reply.xml.findtext("IsTruncated") == "false"
        assert not reply.xml.findall("Contents")
        for bad in ("-1", "x", "1x", "99999999999999999999"):
            reply = raw.request("GET", filled,
                                query={"max-keys": bad, **query})
            assert (reply.status, reply.code) == (400, "InvalidArgument"), bad


def test_more_than_a_page_of_keys(server, s3, raw, bucket):
    keys = [f"k{i:05}" for i in range(2100)]
    conn = raw.connect()
    for key in keys:
        assert raw.put(bucket, key, b"", connection=conn).status == 200
    conn.close()
    for query in ({}, {"list-type": "2"}, {"max-keys": "2000"}):
        root = raw.request("GET", bucket, query=query).xml
        assert len(root.findall("Contents")) == 1000
        assert root.findtext("IsTruncated") == "true"
    assert [k for _, k in walk_v2(raw, bucket)] == keys
    assert [k for _, k in walk_v1(raw, bucket)] == keys
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket)
    assert [o["Key"] for p in pages for o in p["Contents"]] == keys
    root = raw.request("GET", bucket, query={"delimiter": "k00"}).xml
    assert [p.findtext("Prefix") for p in root.findall("CommonPrefixes")] == [
        "k00"]
    # Away again, by thousands.
    for first in range(0, len(keys), 1000):
        s3.delete_objects(Bucket=bucket, Delete={"Quiet": True, "Objects": [
            {"Key": k} for k in keys[first:first + 1000]]})
    assert walk_v2(raw, bucket) == []


def test_encoding_type(s3, raw, bucket):
    keys = ["a b", "a+b", "a/b", "ä", "<&>", "new\nline", "\x01"]
    fill(raw, bucket, keys)
    assert [k for _, k in walk_v2(raw, bucket)] == sorted(
        keys, key=lambda k: k.encode())
    reply = raw.request("GET", bucket, query={
        "list-type": "2", "encoding-type": "url", "prefix": "a ",
        "start-after": "a "})
    root = reply.xml
    assert root.findtext("EncodingType") == "url"
    assert unquote_key(root.findtext("Prefix")) == "a "
    assert unquote_key(root.findtext("StartAfter")) == "a "
    reply = raw.request("GET", bucket, query={"list-type": "2",
                                              "prefix": "<"})
    assert reply.xml.find("Contents").findtext("Key") == "<&>"
    reply = raw.request("GET", bucket, query={"encoding-type": "base64"})
    assert (reply.status, reply.code) == (400, "InvalidArgument")


def test_bad_tokens_and_missing_buckets_are_refused(raw, s3, filled):
    for token in ("nonsense", "", "AAAA", "%00"):
        reply = raw.request("GET", filled, query={
            "list-type": "2", "continuation-token": token})
        assert (reply.status, reply.code) == (400, "InvalidArgument"), token
    for query in ({}, {"list-type": "2"}, {"uploads": ""}):
        reply = raw.request("GET", "no-such-bucket-here", query=query)
        assert (reply.status, reply.code) == (404, "NoSuchBucket")
    reply = raw.request("GET", filled, query={"list-type": "3"})
    assert (reply.status, reply.code) == (400, "InvalidArgument")


def test_a_listing_shows_each_write_at_once(s3, bucket):
    """P2: list-after-write."""
    for i in range(40):
        s3.put_object(Bucket=bucket, Key=f"k{i:02}", Body=b"x" * i)
        got = s3.list_objects_v2(Bucket=bucket)
        assert got["KeyCount"] == i + 1
        assert got["Contents"][-1]["Size"] == i
    for i in range(40):
        s3.delete_object(Bucket=bucket, Key=f"k{i:02}")
        assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 39 - i


def random_key(rng, alphabet):
    return "".join(rng.choice(alphabet)
                   for _ in range(rng.randint(1, 8))) or "x"


@pytest.mark.parametrize("seed", range(6))
def test_random_listings_equal_the_model(raw, bucket, seed):
    rng = random.Random(seed)
    alphabet = rng.choice([["a", "b", "/"], ["a", "/", "\u00ff", "\u4e2d"],
                           ["a", "b", "-", "/", "0"], ["x", "//", "/", "%"],
                           ["\U0010ffff", "a", "\U0001f426", "/"]])
    keys = {random_key(rng, alphabet) for _ in range(80)}
    fill(raw, bucket, keys)
    for _ in range(40):
        prefix = rng.choice(["", "", random_key(rng, alphabet)[:3]])
        delimiter = rng.choice(["", "/", alphabet[0], alphabet[-1], "a/",
                                "\u4e2d"])
        after = rng.choice(["", "", random_key(rng, alphabet)])
        count = rng.choice([1, 2, 5, 1000])
        query = {}
        if prefix:
            query["prefix"] = prefix
        if delimiter:
            query["delimiter"] = delimiter
        about = (sorted(keys), prefix, delimiter, after, count)
        if not (delimiter and after):
            want = model(keys, prefix, delimiter, after)
            more = {"start_after": after} if after else {}
            assert walk_v2(raw, bucket, count, **query,
                           **more) == want, about
            more = {"marker": after} if after else {}
            assert walk_v1(raw, bucket, count, **query,
                           **more) == want, about
        else:
            # A marker within a common prefix: what lies behind it is the
            # same keys and prefixes; whether the prefix around the marker is
            # shown again is not documented.
            got = walk_v2(raw, bucket, count, start_after=after, **query)
            want = model(keys, prefix, delimiter, after)
            around = [i for i in model(keys, prefix, delimiter)
                      if i[0] == "prefix" and after.startswith(i[1])]
            assert [i for i in got if i not in around] == [
                i for i in want if i not in around], about


def test_md5_of_an_empty_page_of_uploads(raw, bucket):
    root = raw.request("GET", bucket, query={"uploads": ""}).xml
    assert root.tag == "ListMultipartUploadsResult"
    assert root.findtext("IsTruncated") == "false"
    assert not root.findall("Upload")


def test_listing_of_an_empty_bucket(s3, bucket):
    got = s3.list_objects_v2(Bucket=bucket)
    assert got["KeyCount"] == 0 and not got["IsTruncated"]
    assert got["Name"] == bucket
    with refused(404, "NoSuchBucket"):
        s3.list_objects(Bucket="no-such-bucket-here")
    assert content_md5(b"")
