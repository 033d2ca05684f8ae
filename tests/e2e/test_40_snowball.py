"""Goal: a tar that is put with x-amz-meta-snowball-auto-extract becomes the
objects that are in it, and nothing else; what is wrong with one is told.

Method: tars of Python's tarfile in its three formats, and some made by hand.
"""
import hashlib
import io
import json
import os
import random
import tarfile

import pytest
from botocore.exceptions import ClientError

from server import Server

KIB = 1024
AUTO = {"snowball-auto-extract": "true"}


@pytest.fixture(scope="module")
def store():
    s = Server()
    s.boto = s.client()
    yield s
    s.close()


@pytest.fixture
def bucket(store, request):
    name = "snow-" + str(abs(hash(request.node.name)))[:12]
    store.boto.create_bucket(Bucket=name)
    return name


def tar_of(files, form=tarfile.PAX_FORMAT, more=()):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as t:
        for name, body in files:
            info = tarfile.TarInfo(name)
            info.size = len(body)
            t.addfile(info, io.BytesIO(body))
        for info in more:
            t.addfile(info)
    return out.getvalue()


def put(store, bucket, tar, key="any.tar", **metadata):
    meta = {**AUTO, **{k.replace("_", "-"): v for k, v in metadata.items()}}
    return store.boto.put_object(Bucket=bucket, Key=key, Body=tar,
                                 Metadata=meta)


def keys(store, bucket):
    out = []
    for page in store.boto.get_paginator("list_objects_v2").paginate(
            Bucket=bucket):
        out += [o["Key"] for o in page.get("Contents", [])]
    return out


def get(store, bucket, key):
    return store.boto.get_object(Bucket=bucket, Key=key)["Body"].read()


def refused(store, bucket, tar, code, words, **metadata):
    with pytest.raises(ClientError) as e:
        put(store, bucket, tar, **metadata)
    assert e.value.response["Error"]["Code"] == code, e.value
    assert words in str(e.value)


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT,
                                  tarfile.PAX_FORMAT])
def test_each_file_is_an_object(store, bucket, form):
    rng = random.Random(7)
    files = {f"a/{i:04}.json": rng.randbytes(rng.choice(
        [0, 1, 100, 511, 512, 513, 4096, 4097, 20000])) for i in range(500)}
    files["big"] = rng.randbytes(3 << 20)
    files["mid"] = rng.randbytes(700 * KIB)
    long = "/".join(["long" * 12] * 4)  # ustar splits it
    files[long] = b"long"
    if form != tarfile.USTAR_FORMAT:
        files["grün/" + "x" * 300] = b"name"
    reply = put(store, bucket, tar_of(files.items(), form))
    headers = reply["ResponseMetadata"]["HTTPHeaders"]
    assert headers["x-godwit-extracted"] == str(len(files))
    assert headers["x-godwit-skipped"] == "0"
    assert keys(store, bucket) == sorted(files, key=str.encode)
    for name, body in files.items():
        assert get(store, bucket, name) == body, name
    head = store.boto.head_object(Bucket=bucket, Key="mid",
                                  ChecksumMode="ENABLED")
    assert head["ETag"].strip('"') == hashlib.md5(files["mid"]).hexdigest()
    assert head["ContentType"] == "binary/octet-stream"
    assert "snowball-auto-extract" not in head["Metadata"]


def test_without_the_header_a_tar_is_a_tar(store, bucket):
    tar = tar_of([("a", b"1")])
    store.boto.put_object(Bucket=bucket, Key="x.tar", Body=tar,
                          Metadata={"snowball-auto-extract": "false"})
    assert keys(store, bucket) == ["x.tar"]
    assert get(store, bucket, "x.tar") == tar


def test_a_prefix_folders_and_paths(store, bucket):
    folder = tarfile.TarInfo("d")
    folder.type = tarfile.DIRTYPE
    tar = tar_of([("./a", b"1"), ("/etc/b", b"2"), ("d/c", b"3")],
                 more=[folder])
    put(store, bucket, tar, snowball_prefix="in/", snowball_ignore_dirs="true")
    assert keys(store, bucket) == ["in/a", "in/d/c", "in/etc/b"]
    put(store, bucket, tar, minio_snowball_prefix="too")
    assert keys(store, bucket)[3:] == ["too/a", "too/d/", "too/d/c",
                                       "too/etc/b"]


def test_an_empty_tar_makes_nothing(store, bucket):
    assert put(store, bucket, tar_of([]))["ResponseMetadata"]["HTTPHeaders"][
        "x-godwit-extracted"] == "0"
    put(store, bucket, b"")
    assert keys(store, bucket) == []


@pytest.mark.parametrize("path", ["../x", "a/../../x", "a/..", "..", "/../x"])
def test_no_path_leads_out(store, bucket, path):
    tar = tar_of([("a", b"1"), (path, b"2"), ("z", b"3")])
    refused(store, bucket, tar, "InvalidArgument", "a part of the path is ..")
    assert keys(store, bucket) == ["a"]  # what came before stays
    reply = put(store, bucket, tar, snowball_ignore_errors="true")
    headers = reply["ResponseMetadata"]["HTTPHeaders"]
    assert headers["x-godwit-extracted"] == "2"
    assert headers["x-godwit-skipped"] == "1"
    assert keys(store, bucket) == ["a", "z"]


def test_links_are_told(store, bucket):
    link = tarfile.TarInfo("l")
    link.type = tarfile.SYMTYPE
    link.linkname = "/etc/passwd"
    tar = tar_of([("a", b"1")], more=[link])
    refused(store, bucket, tar, "InvalidArgument",
            "l: neither a file nor a folder")
    refused(store, bucket, tar_of([("k" * 1025, b"1")]), "InvalidArgument",
            "kkk")


def test_what_is_no_tar_is_refused_and_nothing_of_it_stays(store, bucket):
    tar = tar_of([("a", b"1" * 5000), ("b", b"2")])
    refused(store, bucket, os.urandom(5000), "InvalidArgument",
            "byte 0 of the tar")
    assert keys(store, bucket) == []
    refused(store, bucket, tar[:3000], "InvalidArgument", "is cut")
    changed = bytearray(tar)
    at = 512 + 5120  # the header of b
    changed[at] ^= 1
    refused(store, bucket, bytes(changed), "InvalidArgument",
            f"byte {at} of the tar")
    assert keys(store, bucket) == ["a"]


def test_rights_are_those_of_each_key(store, bucket, tmp_path):
    policy = tmp_path / "policy.json"
    policy.write_text(json.dumps({
        "Version": "2012-10-17", "Statement": [{
            "Effect": "Allow", "Action": "s3:PutObject",
            "Resource": f"arn:aws:s3:::{bucket}/mine/*"}]}))
    store.cli("user", "add", "snowman", "--access-key", "SNOWMAN",
              "--secret-key", "snow-secret", "--policy", str(policy))
    store.boto.put_bucket_policy(Bucket=bucket, Policy=json.dumps({
        "Version": "2012-10-17", "Statement": [{
            "Effect": "Allow", "Principal": "*", "Action": "s3:PutObject",
            "Resource": f"arn:aws:s3:::{bucket}/mine/*"}]}))
    client = store.client("SNOWMAN", "snow-secret")
    tar = tar_of([("mine/a", b"1"), ("yours/b", b"2"), ("mine/c", b"3")])
    with pytest.raises(ClientError) as e:
        client.put_object(Bucket=bucket, Key="mine/t", Body=tar, Metadata=AUTO)
    assert e.value.response["Error"]["Code"] == "AccessDenied"
    client.put_object(Bucket=bucket, Key="mine/t", Body=tar, Metadata={
        **AUTO, "snowball-ignore-errors": "true"})
    assert keys(store, bucket) == ["mine/a", "mine/c"]


def test_versions_tags_and_conditions(store, bucket):
    store.boto.put_bucket_versioning(
        Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    tar = tar_of([("a", b"1"), ("a", b"22"), ("b", b"3" * 9000)])
    store.boto.put_object(Bucket=bucket, Key="t", Body=tar, Metadata=AUTO,
                          Tagging="site=north")
    found = store.boto.list_object_versions(Bucket=bucket)["Versions"]
    assert sorted(v["Key"] for v in found) == ["a", "a", "b"]
    assert get(store, bucket, "a") == b"22"
    for key in "a", "b":
        assert store.boto.get_object_tagging(Bucket=bucket, Key=key)[
            "TagSet"] == [{"Key": "site", "Value": "north"}]
    reply = store.raw().request(
        "PUT", bucket, "t", body=tar, headers=[
            ("x-amz-meta-snowball-auto-extract", "true"),
            ("If-None-Match", "*")])
    assert reply.status == 501 and b"conditions" in reply.body


def test_many_members_come_whole(store, bucket):
    files = [(f"m/{i:05}", b"%d" % i) for i in range(3001)]
    put(store, bucket, tar_of(files, tarfile.USTAR_FORMAT))
    assert keys(store, bucket) == [name for name, _ in files]
    assert get(store, bucket, "m/02999") == b"2999"


def test_members_are_sealed_with_the_clients_key(store, bucket):
    key = os.urandom(32)
    sealed = {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": key}
    files = [("small", b"s" * 100), ("large", b"l" * (2 << 20))]
    store.boto.put_object(Bucket=bucket, Key="t", Body=tar_of(files),
                          Metadata=AUTO, **sealed)
    for name, body in files:
        assert store.boto.get_object(Bucket=bucket, Key=name, **sealed)[
            "Body"].read() == body
        with pytest.raises(ClientError):
            store.boto.get_object(Bucket=bucket, Key=name)
