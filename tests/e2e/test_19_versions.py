"""Goal: versions of objects as S3 has them: kept, listed, read, hidden by
delete markers, brought back and removed; tags and locks on each of them.
Method: boto3 against a store, with raw HTTP where headers are the point;
listings are compared with a model."""
import datetime
import random
import time

import pytest

from util import MIB, blob, etag, refused


def keep(s3, bucket, status="Enabled"):
    s3.put_bucket_versioning(Bucket=bucket,
                             VersioningConfiguration={"Status": status})


@pytest.fixture
def versioned(s3, bucket):
    keep(s3, bucket)
    return bucket


def read(s3, bucket, key, version=None):
    more = {"VersionId": version} if version else {}
    return s3.get_object(Bucket=bucket, Key=key, **more)["Body"].read()


def put(s3, bucket, key, body=b"x", **more):
    return s3.put_object(Bucket=bucket, Key=key, Body=body, **more).get(
        "VersionId")


def listed(s3, bucket, **more):
    """All (key, version, marker?, latest?) in order of the answer."""
    page = s3.list_object_versions(Bucket=bucket, **more)
    both = ([(v["Key"], v["VersionId"], False, v["IsLatest"])
             for v in page.get("Versions", [])] +
            [(v["Key"], v["VersionId"], True, v["IsLatest"])
             for v in page.get("DeleteMarkers", [])])
    return page, both


# ---- versioning ----


def test_the_state_of_a_bucket(s3, raw, bucket):
    assert "Status" not in s3.get_bucket_versioning(Bucket=bucket)
    keep(s3, bucket)
    assert s3.get_bucket_versioning(Bucket=bucket)["Status"] == "Enabled"
    keep(s3, bucket, "Suspended")
    assert s3.get_bucket_versioning(Bucket=bucket)["Status"] == "Suspended"
    with refused(501, "NotImplemented"):
        s3.put_bucket_versioning(
            Bucket=bucket, VersioningConfiguration={
                "Status": "Enabled", "MFADelete": "Enabled"})
    for body, code in ((b"<VersioningConfiguration/>",
                        "IllegalVersioningConfigurationException"),
                       (b"<VersioningConfiguration><Status>On</Status>"
                        b"</VersioningConfiguration>", "MalformedXML"),
                       (b"<Versioning/>", "MalformedXML"),
                       (b"", "MissingRequestBodyError")):
        reply = raw.request("PUT", bucket, query=[("versioning", "")],
                            body=body)
        assert (reply.status, reply.code) == (400, code), reply
    with refused(404, "NoSuchBucket"):
        keep(s3, "no-such-bucket-here")
    assert s3.get_bucket_versioning(Bucket=bucket)["Status"] == "Suspended"


def test_a_bucket_that_never_kept_versions_names_none(raw, bucket):
    for reply in (raw.put(bucket, "k", b"1"), raw.get(bucket, "k"),
                  raw.head(bucket, "k"), raw.delete(bucket, "k")):
        assert "x-amz-version-id" not in reply.headers
        assert "x-amz-delete-marker" not in reply.headers


@pytest.mark.parametrize("size", (3, 100000))
def test_every_version_is_kept(s3, versioned, size):
    bodies = [blob(size, i) for i in range(4)]
    ids = [put(s3, versioned, "k", b) for b in bodies]
    assert len(set(ids)) == 4 and None not in ids
    assert read(s3, versioned, "k") == bodies[3]
    for version, body in zip(ids, bodies):
        got = s3.get_object(Bucket=versioned, Key="k", VersionId=version)
        assert got["Body"].read() == body
        assert got["VersionId"] == version
        head = s3.head_object(Bucket=versioned, Key="k", VersionId=version)
        assert (head["VersionId"], head["ETag"]) == (version, etag(body))
    s3.delete_object(Bucket=versioned, Key="k", VersionId=ids[3])
    assert read(s3, versioned, "k") == bodies[2]
    s3.delete_object(Bucket=versioned, Key="k", VersionId=ids[0])
    with refused(404, "NoSuchVersion"):
        read(s3, versioned, "k", ids[0])
    assert read(s3, versioned, "k") == bodies[2]


def test_a_delete_marker_hides_and_goes(s3, raw, versioned):
    first = put(s3, versioned, "k", b"1")
    gone = s3.delete_object(Bucket=versioned, Key="k")
    assert gone["DeleteMarker"] is True
    marker = gone["VersionId"]
    for reply in (raw.get(versioned, "k"), raw.head(versioned, "k")):
        assert reply.status == 404, reply
        assert reply.headers["x-amz-delete-marker"] == "true"
        assert reply.headers["x-amz-version-id"] == marker
    assert raw.get(versioned, "k").code == "NoSuchKey"
    reply = raw.get(versioned, "k", query=[("versionId", marker)])
    assert (reply.status, reply.code) == (405, "MethodNotAllowed")
    assert reply.headers["x-amz-delete-marker"] == "true"
    assert "last-modified" in reply.headers
    reply = raw.head(versioned, "k", query=[("versionId", marker)])
    assert reply.status == 405
    assert read(s3, versioned, "k", first) == b"1"
    assert "Contents" not in s3.list_objects_v2(Bucket=versioned)
    back = s3.delete_object(Bucket=versioned, Key="k", VersionId=marker)
    assert (back["DeleteMarker"], back["VersionId"]) == (True, marker)
    assert read(s3, versioned, "k") == b"1"
    done = s3.delete_object(Bucket=versioned, Key="k", VersionId=first)
    assert done["VersionId"] == first and "DeleteMarker" not in done
    # Nothing there: a marker all the same.
    assert s3.delete_object(Bucket=versioned, Key="none")["DeleteMarker"]


def test_null_versions(s3, bucket):
    put(s3, bucket, "k", b"old")
    keep(s3, bucket)
    assert s3.get_object(Bucket=bucket, Key="k")["VersionId"] == "null"
    new = put(s3, bucket, "k", b"new")
    assert read(s3, bucket, "k", "null") == b"old"
    keep(s3, bucket, "Suspended")
    assert put(s3, bucket, "k", b"null 2") is None
    assert s3.head_object(Bucket=bucket, Key="k")["VersionId"] == "null"
    put(s3, bucket, "k", b"null 3")
    _, both = listed(s3, bucket)
    assert both == [("k", "null", False, True), ("k", new, False, False)]
    gone = s3.delete_object(Bucket=bucket, Key="k")
    assert (gone["DeleteMarker"], gone["VersionId"]) == (True, "null")
    _, both = listed(s3, bucket)
    assert both == [("k", new, False, False), ("k", "null", True, True)]
    s3.delete_object(Bucket=bucket, Key="k", VersionId="null")
    assert read(s3, bucket, "k") == b"new"


def test_ids_that_are_none(s3, raw, versioned):
    put(s3, versioned, "k")
    for text in ("", "x", "0" * 16, "g" * 16, "1" * 17):
        for method in ("GET", "HEAD", "DELETE"):
            reply = raw.request(method, versioned, "k",
                                query=[("versionId", text)])
            assert reply.status == 400, (text, reply)
        assert reply.code == "InvalidArgument"
    missing = "0000000012345678"
    with refused(404, "NoSuchVersion"):
        read(s3, versioned, "k", missing)
    s3.delete_object(Bucket=versioned, Key="k", VersionId=missing)
    assert read(s3, versioned, "k") == b"x"


def test_many_are_deleted(s3, raw, versioned):
    one, two = put(s3, versioned, "a", b"1"), put(s3, versioned, "a", b"2")
    put(s3, versioned, "b")
    reply = s3.delete_objects(Bucket=versioned, Delete={"Objects": [
        {"Key": "a", "VersionId": one}, {"Key": "b"}, {"Key": "none"},
        {"Key": "a", "VersionId": "junk"}]})
    done = {d["Key"]: d for d in reply["Deleted"]}
    assert done["a"]["VersionId"] == one and "DeleteMarker" not in done["a"]
    assert done["b"]["DeleteMarker"] and "VersionId" not in done["b"]
    marker = done["b"]["DeleteMarkerVersionId"]
    assert marker != done["none"]["DeleteMarkerVersionId"]
    assert reply["Errors"][0]["Code"] == "NoSuchVersion"
    with refused(405):
        s3.head_object(Bucket=versioned, Key="b", VersionId=marker)
    reply = s3.delete_objects(Bucket=versioned, Delete={"Objects": [
        {"Key": "b", "VersionId": marker}]})
    assert reply["Deleted"] == [{"Key": "b", "VersionId": marker,
                                 "DeleteMarker": True,
                                 "DeleteMarkerVersionId": marker}]
    assert read(s3, versioned, "b") == b"x"
    assert read(s3, versioned, "a", two) == b"2"


def test_copies_of_versions(s3, versioned):
    one = put(s3, versioned, "k", b"1", Metadata={"n": "1"})
    two = put(s3, versioned, "k", b"22")
    source = {"Bucket": versioned, "Key": "k", "VersionId": one}
    reply = s3.copy_object(Bucket=versioned, Key="c", CopySource=source)
    assert reply["CopySourceVersionId"] == one
    assert reply["VersionId"] not in (one, two)
    assert read(s3, versioned, "c") == b"1"
    assert s3.head_object(Bucket=versioned, Key="c")["Metadata"] == {"n": "1"}
    # Onto itself: the old version is the newest again, as a new one.
    back = s3.copy_object(Bucket=versioned, Key="k", CopySource=source)
    assert read(s3, versioned, "k") == b"1"
    assert read(s3, versioned, "k", back["VersionId"]) == b"1"
    assert read(s3, versioned, "k", two) == b"22"
    s3.delete_object(Bucket=versioned, Key="k", VersionId=one)
    assert read(s3, versioned, "c") == b"1"
    with refused(404, "NoSuchVersion"):
        s3.copy_object(Bucket=versioned, Key="c", CopySource=source)
    marker = s3.delete_object(Bucket=versioned, Key="k")["VersionId"]
    with refused(404, "NoSuchKey"):
        s3.copy_object(Bucket=versioned, Key="c",
                       CopySource={"Bucket": versioned, "Key": "k"})
    with refused(400, "InvalidRequest"):
        s3.copy_object(Bucket=versioned, Key="c",
                       CopySource={**source, "VersionId": marker})


def test_multipart_and_attributes(s3, versioned):
    first = put(s3, versioned, "k", b"1")
    upload = s3.create_multipart_upload(Bucket=versioned, Key="k")["UploadId"]
    name = dict(Bucket=versioned, Key="k", UploadId=upload)
    body = blob(5 * MIB)
    s3.put_object(Bucket=versioned, Key="source", Body=b"copied")
    source = s3.put_object(Bucket=versioned, Key="source", Body=b"newer")
    old = s3.list_object_versions(Bucket=versioned, Prefix="source")
    old = [v["VersionId"] for v in old["Versions"]
           if v["VersionId"] != source["VersionId"]][0]
    parts = [s3.upload_part(PartNumber=1, Body=body, **name)["ETag"]]
    copied = s3.upload_part_copy(
        PartNumber=2, CopySource={"Bucket": versioned, "Key": "source",
                                  "VersionId": old}, **name)
    assert copied["CopySourceVersionId"] == old
    parts.append(copied["CopyPartResult"]["ETag"])
    done = s3.complete_multipart_upload(MultipartUpload={"Parts": [
        {"PartNumber": i + 1, "ETag": tag} for i, tag in enumerate(parts)]},
        **name)
    assert done["VersionId"] != first
    assert read(s3, versioned, "k", done["VersionId"]) == body + b"copied"
    assert read(s3, versioned, "k", first) == b"1"
    got = s3.get_object_attributes(Bucket=versioned, Key="k", VersionId=first,
                                   ObjectAttributes=["ObjectSize"])
    assert (got["ObjectSize"], got["VersionId"]) == (1, first)


def test_conditions_over_versions(s3, raw, versioned):
    put(s3, versioned, "k", b"1")
    reply = raw.put(versioned, "k", b"2", {"If-None-Match": "*"})
    assert reply.status == 412
    assert raw.put(versioned, "k", b"2",
                   {"If-Match": etag(b"1")}).status == 200
    s3.delete_object(Bucket=versioned, Key="k")
    assert raw.put(versioned, "k", b"3", {"If-Match": etag(b"2")}).status == (
        404)
    assert raw.put(versioned, "k", b"3", {"If-None-Match": "*"}).status == 200


def test_a_bucket_with_versions_is_not_empty(s3, versioned):
    version = put(s3, versioned, "k")
    marker = s3.delete_object(Bucket=versioned, Key="k")["VersionId"]
    for left in (version, marker):
        with refused(409, "BucketNotEmpty"):
            s3.delete_bucket(Bucket=versioned)
        s3.delete_object(Bucket=versioned, Key="k", VersionId=left)
    s3.delete_bucket(Bucket=versioned)


# ---- ListObjectVersions ----


class Model:
    """What a listing must say: keys to [(version, marker?)], newest first."""

    def __init__(self):
        self.keys = {}

    def all(self, prefix="", delimiter=""):
        out = []
        for key in sorted(self.keys, key=lambda k: k.encode()):
            if not key.startswith(prefix):
                continue
            rest = key[len(prefix):]
            if delimiter and delimiter in rest:
                common = prefix + rest[:rest.index(delimiter)] + delimiter
                if ("", common) not in out:
                    out.append(("", common))
                continue
            for i, (version, marker) in enumerate(self.keys[key]):
                out.append((key, version, marker, i == 0))
        return out


def pages(s3, bucket, size, **more):
    out = []
    while True:
        page, both = listed(s3, bucket, MaxKeys=size, **more)
        names = both + [("", p["Prefix"])
                        for p in page.get("CommonPrefixes", [])]
        assert len(names) <= size
        out += names
        if not page["IsTruncated"]:
            assert "NextKeyMarker" not in page
            return out
        assert len(names) == size
        more["KeyMarker"] = page["NextKeyMarker"]
        more.pop("VersionIdMarker", None)
        if "NextVersionIdMarker" in page:
            more["VersionIdMarker"] = page["NextVersionIdMarker"]


def test_pages_of_versions_agree_with_a_model(s3, bucket):
    rng = random.Random(19)
    names = ["a", "a/1", "a/2", "a/b/1", "b", "\u00e4/1", "z" * 200]
    model = Model()
    for key in names[:4]:
        put(s3, bucket, key)
        model.keys[key] = [("null", False)]
    keep(s3, bucket)
    for _ in range(60):
        key = rng.choice(names)
        if rng.random() < 0.3:
            version = s3.delete_object(Bucket=bucket, Key=key)["VersionId"]
            model.keys.setdefault(key, []).insert(0, (version, True))
        else:
            version = put(s3, bucket, key)
            model.keys.setdefault(key, []).insert(0, (version, False))
    for more in ({}, {"Prefix": "a"}, {"Delimiter": "/"}, {"Prefix": "none"},
                 {"Prefix": "a/", "Delimiter": "/"},
                 {"Prefix": "a", "Delimiter": "b/"}):
        want = sorted(model.all(more.get("Prefix", ""),
                                more.get("Delimiter", "")))
        for size in (1, 2, 3, 7, 1000):
            assert sorted(pages(s3, bucket, size, **more)) == want, more
    # In order: newest first within a key.
    page, _ = listed(s3, bucket)
    for key in names:
        order = [v["VersionId"] for v in page["Versions"] if v["Key"] == key]
        assert order == [v for v, marker in model.keys.get(key, [])
                         if not marker]


def test_markers_of_pages(s3, raw, versioned):
    ids = [put(s3, versioned, "k", str(i).encode()) for i in range(4)]
    other = put(s3, versioned, "l")
    _, both = listed(s3, versioned, KeyMarker="k")
    assert both == [("l", other, False, True)]
    _, both = listed(s3, versioned, KeyMarker="k", VersionIdMarker=ids[2])
    assert both == [("k", ids[1], False, False), ("k", ids[0], False, False),
                    ("l", other, False, True)]
    # The marker's version may be gone by then.
    s3.delete_object(Bucket=versioned, Key="k", VersionId=ids[2])
    _, both = listed(s3, versioned, KeyMarker="k", VersionIdMarker=ids[2])
    assert [b[1] for b in both] == [ids[1], ids[0], other]
    s3.delete_object(Bucket=versioned, Key="k", VersionId=ids[3])
    _, both = listed(s3, versioned, KeyMarker="k", VersionIdMarker=ids[2])
    assert both[0] == ("k", ids[1], False, True)
    for query in ([("version-id-marker", ids[0])],
                  [("key-marker", "k"), ("version-id-marker", "junk")],
                  [("max-keys", "-1")], [("encoding-type", "x")]):
        reply = raw.request("GET", versioned, query=[("versions", "")] + query)
        assert (reply.status, reply.code) == (400, "InvalidArgument"), query
    page = s3.list_object_versions(Bucket=versioned, MaxKeys=0)
    assert page["IsTruncated"] is False and "Versions" not in page
    reply = raw.request("GET", versioned, query=[
        ("versions", ""), ("encoding-type", "url"), ("prefix", "\u00e4 b")])
    assert b"<Prefix>%C3%A4%20b</Prefix>" in reply.body or (
        b"<Prefix>%C3%A4+b</Prefix>" in reply.body), reply.body


# ---- tags of objects ----


def tags(s3, bucket, key, version=None):
    more = {"VersionId": version} if version else {}
    got = s3.get_object_tagging(Bucket=bucket, Key=key, **more)
    return {t["Key"]: t["Value"] for t in got["TagSet"]}


def tag(s3, bucket, key, values, **more):
    return s3.put_object_tagging(
        Bucket=bucket, Key=key,
        Tagging={"TagSet": [{"Key": k, "Value": v}
                            for k, v in values.items()]}, **more)


def test_tags_are_set_and_deleted(s3, raw, bucket):
    put(s3, bucket, "k")
    assert tags(s3, bucket, "k") == {}
    assert "x-amz-tagging-count" not in raw.head(bucket, "k").headers
    modified = raw.head(bucket, "k").headers["last-modified"]
    values = {"a": "1", "b b+&=": "", "\u00e4" * 128: "\u00f6" * 256}
    values.pop("b b+&=")
    values["b b+=:/@._-"] = ""
    assert "VersionId" not in tag(s3, bucket, "k", values)
    assert tags(s3, bucket, "k") == values
    for reply in (raw.head(bucket, "k"), raw.get(bucket, "k")):
        assert reply.headers["x-amz-tagging-count"] == "3"
        assert reply.headers["last-modified"] == modified
    tag(s3, bucket, "k", {"other": "x"})
    assert tags(s3, bucket, "k") == {"other": "x"}
    reply = s3.delete_object_tagging(Bucket=bucket, Key="k")
    assert reply["ResponseMetadata"]["HTTPStatusCode"] == 204
    assert tags(s3, bucket, "k") == {}
    tag(s3, bucket, "k", {"a": "1"})
    put(s3, bucket, "k")  # a new object has none
    assert tags(s3, bucket, "k") == {}
    for call in (tags, lambda *a: tag(*a, {"a": "b"})):
        with refused(404, "NoSuchKey"):
            call(s3, bucket, "none")
        with refused(404, "NoSuchBucket"):
            call(s3, "no-such-bucket-here", "k")


def test_limits_of_tags(s3, raw, bucket):
    put(s3, bucket, "k")
    tag(s3, bucket, "k", {f"k{i}": "v" for i in range(10)})
    with refused(400, "BadRequest"):
        tag(s3, bucket, "k", {f"k{i}": "v" for i in range(11)})
    for values in ({"k" * 129: "v"}, {"k": "v" * 257},
                   {"aws:x": "v"}, {"k": "a\tb"}):
        with refused(400, "InvalidTag"):
            tag(s3, bucket, "k", values)
    with refused(400, "InvalidTag"):
        s3.put_object_tagging(Bucket=bucket, Key="k", Tagging={"TagSet": [
            {"Key": "a", "Value": "1"}, {"Key": "a", "Value": "2"}]})
    reply = raw.request("PUT", bucket, "k", query=[("tagging", "")],
                        body=b"<Tagging><Other/></Tagging>")
    assert (reply.status, reply.code) == (400, "MalformedXML")
    assert len(tags(s3, bucket, "k")) == 10


def test_tags_at_put(s3, raw, bucket):
    put(s3, bucket, "k", Tagging="a=1&b=x%20y%2B&c=")
    assert tags(s3, bucket, "k") == {"a": "1", "b": "x y+", "c": ""}
    for text, code in (("a=1&a=2", "InvalidTag"), ("=1", "InvalidTag"),
                       ("a=%zz", "InvalidArgument"),
                       ("&".join(f"k{i}=v" for i in range(11)),
                        "BadRequest")):
        reply = raw.put(bucket, "k", b"", {"x-amz-tagging": text})
        assert (reply.status, reply.code) == (400, code), text
    assert read(s3, bucket, "k") == b"x"
    upload = s3.create_multipart_upload(Bucket=bucket, Key="m",
                                        Tagging="up=load")["UploadId"]
    name = dict(Bucket=bucket, Key="m", UploadId=upload)
    part = s3.upload_part(PartNumber=1, Body=b"m", **name)["ETag"]
    s3.complete_multipart_upload(MultipartUpload={"Parts": [
        {"PartNumber": 1, "ETag": part}]}, **name)
    assert tags(s3, bucket, "m") == {"up": "load"}


def test_tags_of_copies(s3, raw, bucket):
    put(s3, bucket, "k", Tagging="a=1")
    source = {"Bucket": bucket, "Key": "k"}
    s3.copy_object(Bucket=bucket, Key="c1", CopySource=source)
    assert tags(s3, bucket, "c1") == {"a": "1"}
    s3.copy_object(Bucket=bucket, Key="c2", CopySource=source,
                   TaggingDirective="REPLACE", Tagging="b=2")
    assert tags(s3, bucket, "c2") == {"b": "2"}
    s3.copy_object(Bucket=bucket, Key="c3", CopySource=source,
                   TaggingDirective="REPLACE")
    assert tags(s3, bucket, "c3") == {}
    reply = raw.put(bucket, "c4", b"", {
        "x-amz-copy-source": f"{bucket}/k", "x-amz-tagging-directive": "X"})
    assert (reply.status, reply.code) == (400, "InvalidArgument")


def test_tags_are_of_a_version(s3, raw, versioned):
    one = put(s3, versioned, "k", Tagging="n=1")
    two = put(s3, versioned, "k", Tagging="n=2")
    assert tags(s3, versioned, "k") == {"n": "2"}
    assert tags(s3, versioned, "k", one) == {"n": "1"}
    assert tag(s3, versioned, "k", {"n": "3"}, VersionId=one)[
        "VersionId"] == one
    assert tags(s3, versioned, "k", one) == {"n": "3"}
    assert tags(s3, versioned, "k", two) == {"n": "2"}
    gone = s3.delete_object_tagging(Bucket=versioned, Key="k", VersionId=two)
    assert gone["VersionId"] == two
    assert tags(s3, versioned, "k") == {}
    assert len(listed(s3, versioned)[1]) == 2
    copy = s3.copy_object(Bucket=versioned, Key="c", CopySource={
        "Bucket": versioned, "Key": "k", "VersionId": one})
    assert tags(s3, versioned, "c", copy["VersionId"]) == {"n": "3"}
    marker = s3.delete_object(Bucket=versioned, Key="k")["VersionId"]
    with refused(404, "NoSuchKey"):
        tags(s3, versioned, "k")
    with refused(405, "MethodNotAllowed"):
        tags(s3, versioned, "k", marker)
    with refused(405, "MethodNotAllowed"):
        tag(s3, versioned, "k", {"a": "b"}, VersionId=marker)
    with refused(404, "NoSuchVersion"):
        tags(s3, versioned, "k", "0000000012345678")
    s3.delete_object(Bucket=versioned, Key="k", VersionId=marker)
    s3.delete_object(Bucket=versioned, Key="k", VersionId=two)
    assert tags(s3, versioned, "k") == {"n": "3"}  # back with its version


# ---- Object Lock ----


def soon(seconds=3600):
    """A time to come, in whole seconds as S3 says it."""
    return (datetime.datetime.now(datetime.timezone.utc).replace(
        microsecond=0) + datetime.timedelta(seconds=seconds))


@pytest.fixture
def locked(s3, bucket):
    """A bucket that was made with Object Lock."""
    name = f"{bucket}-lock"
    s3.create_bucket(Bucket=name, ObjectLockEnabledForBucket=True)
    return name


def retain(s3, bucket, key, version, mode, until, bypass=False):
    values = {"Mode": mode, "RetainUntilDate": until} if mode else {}
    return s3.put_object_retention(
        Bucket=bucket, Key=key, VersionId=version, Retention=values,
        BypassGovernanceRetention=bypass)


def remove(s3, bucket, key, version, bypass=False):
    return s3.delete_object(Bucket=bucket, Key=key, VersionId=version,
                            BypassGovernanceRetention=bypass)


def test_lock_of_a_bucket(s3, raw, bucket, locked):
    with refused(404, "ObjectLockConfigurationNotFoundError"):
        s3.get_object_lock_configuration(Bucket=bucket)
    assert s3.get_bucket_versioning(Bucket=locked)["Status"] == "Enabled"
    got = s3.get_object_lock_configuration(Bucket=locked)
    assert got["ObjectLockConfiguration"] == {"ObjectLockEnabled": "Enabled"}
    with refused(409, "InvalidBucketState"):
        keep(s3, locked, "Suspended")

    def configure(name, **rule):
        value = {"ObjectLockEnabled": "Enabled"}
        if rule:
            value["Rule"] = {"DefaultRetention": rule}
        s3.put_object_lock_configuration(Bucket=name,
                                         ObjectLockConfiguration=value)
        return s3.get_object_lock_configuration(Bucket=name)[
            "ObjectLockConfiguration"]
    with refused(409, "InvalidBucketState"):
        configure(bucket, Mode="GOVERNANCE", Days=1)
    for rule in ({"Mode": "COMPLIANCE", "Years": 2},
                 {"Mode": "GOVERNANCE", "Days": 36500}):
        assert configure(locked, **rule)["Rule"] == {"DefaultRetention": rule}
    for rule, code in (({"Mode": "GOVERNANCE"}, "MalformedXML"),
                       ({"Mode": "NONE", "Days": 1}, "MalformedXML"),
                       ({"Mode": "GOVERNANCE", "Days": 1, "Years": 1},
                        "MalformedXML"),
                       ({"Mode": "GOVERNANCE", "Days": 0}, "InvalidArgument"),
                       ({"Mode": "GOVERNANCE", "Days": -1}, "InvalidArgument"),
                       ({"Mode": "GOVERNANCE", "Days": 36501},
                        "InvalidArgument")):
        with refused(400, code):
            configure(locked, **rule)
    assert configure(locked) == {"ObjectLockEnabled": "Enabled"}
    keep(s3, bucket)
    assert "Rule" in configure(bucket, Mode="GOVERNANCE", Days=1)
    reply = raw.request("PUT", bucket, headers={
        "x-amz-bucket-object-lock-enabled": "true"})
    assert (reply.status, reply.code) == (409, "BucketAlreadyOwnedByYou")


def test_compliance_holds_against_all(s3, locked):
    until = soon()
    version = put(s3, locked, "k", b"1", ObjectLockMode="COMPLIANCE",
                  ObjectLockRetainUntilDate=until)
    head = s3.head_object(Bucket=locked, Key="k")
    assert head["ObjectLockMode"] == "COMPLIANCE"
    assert head["ObjectLockRetainUntilDate"] == until
    for bypass in (False, True):
        with refused(403, "AccessDenied"):
            remove(s3, locked, "k", version, bypass)
        for mode, date in (("COMPLIANCE", soon(60)), ("GOVERNANCE", until),
                           ("GOVERNANCE", soon(9999)), (None, None)):
            with refused(403, "AccessDenied"):
                retain(s3, locked, "k", version, mode, date, bypass)
    reply = s3.delete_objects(Bucket=locked, BypassGovernanceRetention=True,
                              Delete={"Objects": [
                                  {"Key": "k", "VersionId": version}]})
    assert reply["Errors"][0]["Code"] == "AccessDenied"
    assert reply["Errors"][0]["VersionId"] == version
    retain(s3, locked, "k", version, "COMPLIANCE", soon(7200))
    got = s3.get_object_retention(Bucket=locked, Key="k")["Retention"]
    assert got["RetainUntilDate"] > until
    # A marker hides it, and takes nothing.
    marker = s3.delete_object(Bucket=locked, Key="k")["VersionId"]
    assert read(s3, locked, "k", version) == b"1"
    remove(s3, locked, "k", marker)
    put(s3, locked, "k", b"2")
    assert read(s3, locked, "k", version) == b"1"
    with refused(409, "BucketNotEmpty"):
        s3.delete_bucket(Bucket=locked)


def test_governance_can_be_bypassed(s3, locked):
    until = soon()
    version = put(s3, locked, "k")
    retain(s3, locked, "k", version, "GOVERNANCE", until)
    assert s3.get_object_retention(
        Bucket=locked, Key="k", VersionId=version)["Retention"] == {
            "Mode": "GOVERNANCE", "RetainUntilDate": until}
    retain(s3, locked, "k", version, "GOVERNANCE", soon(7200))
    for mode, date in (("GOVERNANCE", soon(60)), ("COMPLIANCE", soon(9999)),
                       (None, None)):
        with refused(403, "AccessDenied"):
            retain(s3, locked, "k", version, mode, date)
    with refused(403, "AccessDenied"):
        remove(s3, locked, "k", version)
    retain(s3, locked, "k", version, "GOVERNANCE", soon(60), bypass=True)
    remove(s3, locked, "k", version, bypass=True)
    version = put(s3, locked, "k", ObjectLockMode="GOVERNANCE",
                  ObjectLockRetainUntilDate=until)
    retain(s3, locked, "k", version, None, None, bypass=True)
    with refused(404, "NoSuchObjectLockConfiguration"):
        s3.get_object_retention(Bucket=locked, Key="k")
    remove(s3, locked, "k", version)


def test_legal_hold(s3, locked):
    def hold(status, **more):
        s3.put_object_legal_hold(Bucket=locked, Key="k",
                                 LegalHold={"Status": status}, **more)
    version = put(s3, locked, "k")
    with refused(404, "NoSuchObjectLockConfiguration"):
        s3.get_object_legal_hold(Bucket=locked, Key="k")
    hold("ON")
    assert s3.get_object_legal_hold(
        Bucket=locked, Key="k")["LegalHold"] == {"Status": "ON"}
    assert s3.head_object(Bucket=locked, Key="k")[
        "ObjectLockLegalHoldStatus"] == "ON"
    with refused(403, "AccessDenied"):
        remove(s3, locked, "k", version, bypass=True)
    hold("OFF", VersionId=version)
    assert s3.get_object_legal_hold(
        Bucket=locked, Key="k")["LegalHold"] == {"Status": "OFF"}
    with refused(400, "MalformedXML"):
        hold("MAYBE")
    remove(s3, locked, "k", version)
    version = put(s3, locked, "k", ObjectLockLegalHoldStatus="ON")
    with refused(403, "AccessDenied"):
        remove(s3, locked, "k", version)
    hold("OFF")
    remove(s3, locked, "k", version)


def test_the_default_retention(s3, locked):
    put(s3, locked, "before")
    s3.put_object_lock_configuration(
        Bucket=locked, ObjectLockConfiguration={
            "ObjectLockEnabled": "Enabled",
            "Rule": {"DefaultRetention": {"Mode": "GOVERNANCE", "Days": 2}}})
    until = soon(60)
    put(s3, locked, "put")
    s3.copy_object(Bucket=locked, Key="copy",
                   CopySource={"Bucket": locked, "Key": "before"})
    upload = s3.create_multipart_upload(Bucket=locked, Key="parts")["UploadId"]
    name = dict(Bucket=locked, Key="parts", UploadId=upload)
    part = s3.upload_part(PartNumber=1, Body=b"m", **name)["ETag"]
    s3.complete_multipart_upload(MultipartUpload={"Parts": [
        {"PartNumber": 1, "ETag": part}]}, **name)
    for key in ("put", "copy", "parts"):
        got = s3.get_object_retention(Bucket=locked, Key=key)["Retention"]
        assert got["Mode"] == "GOVERNANCE"
        left = got["RetainUntilDate"] - datetime.datetime.now(
            datetime.timezone.utc)
        assert datetime.timedelta(days=1.9) < left < (
            datetime.timedelta(days=2.1))
    with refused(404, "NoSuchObjectLockConfiguration"):
        s3.get_object_retention(Bucket=locked, Key="before")
    version = put(s3, locked, "put", ObjectLockMode="COMPLIANCE",
                  ObjectLockRetainUntilDate=until)
    assert s3.get_object_retention(Bucket=locked, Key="put")[
        "Retention"]["RetainUntilDate"] == until
    assert version


def test_retention_ends(s3, locked):
    version = put(s3, locked, "k", ObjectLockMode="COMPLIANCE",
                  ObjectLockRetainUntilDate=soon(3))
    with refused(403, "AccessDenied"):
        remove(s3, locked, "k", version)
    time.sleep(4)
    assert s3.head_object(Bucket=locked, Key="k")["ObjectLockMode"] == (
        "COMPLIANCE")
    remove(s3, locked, "k", version)


def test_what_is_wrong_with_a_lock(s3, raw, versioned, locked):
    date = soon().strftime("%Y-%m-%dT%H:%M:%SZ")
    past = soon(-5).strftime("%Y-%m-%dT%H:%M:%SZ")
    mode, until = ("x-amz-object-lock-mode",
                   "x-amz-object-lock-retain-until-date")
    for headers in ({mode: "COMPLIANCE"}, {until: date},
                    {mode: "compliance", until: date},
                    {mode: "COMPLIANCE", until: past},
                    {mode: "COMPLIANCE", until: "tomorrow"},
                    {"x-amz-object-lock-legal-hold": "on"}):
        reply = raw.put(locked, "k", b"", headers)
        assert (reply.status, reply.code) == (400, "InvalidArgument"), headers
    for headers in ({mode: "COMPLIANCE", until: date},
                    {"x-amz-object-lock-legal-hold": "ON"}):
        reply = raw.put(versioned, "k", b"", headers)
        assert (reply.status, reply.code) == (400, "InvalidRequest"), headers
    version = put(s3, versioned, "k")
    for call in (lambda: retain(s3, versioned, "k", version, "COMPLIANCE",
                                soon()),
                 lambda: s3.get_object_retention(Bucket=versioned, Key="k"),
                 lambda: s3.get_object_legal_hold(Bucket=versioned, Key="k"),
                 lambda: s3.put_object_legal_hold(
                     Bucket=versioned, Key="k", LegalHold={"Status": "ON"})):
        with refused(400, "InvalidRequest"):
            call()
    put(s3, locked, "k")
    marker = s3.delete_object(Bucket=locked, Key="k")["VersionId"]
    with refused(405, "MethodNotAllowed"):
        retain(s3, locked, "k", marker, "COMPLIANCE", soon())
    with refused(404, "NoSuchKey"):
        s3.get_object_retention(Bucket=locked, Key="none")
    with refused(404, "NoSuchVersion"):
        retain(s3, locked, "k", "0000000012345678", "COMPLIANCE", soon())
    version = put(s3, locked, "k")
    with refused(400, "InvalidArgument"):
        retain(s3, locked, "k", version, "COMPLIANCE", soon(-60))
    for body in (b"<Retention><Mode>COMPLIANCE</Mode></Retention>",
                 b"<Retention><Mode>NO</Mode><RetainUntilDate>" +
                 date.encode() + b"</RetainUntilDate></Retention>"):
        reply = raw.request("PUT", locked, "k", query=[("retention", "")],
                            body=body)
        assert (reply.status, reply.code) == (400, "MalformedXML")


# ---- the store ----


def test_versions_outlive_a_crash_and_leave_nothing(make_server):
    s = make_server("--gc-interval", "200ms", "--gc-delay", "300ms")
    s3 = s.client()
    s3.create_bucket(Bucket="bkt")
    keep(s3, "bkt")
    bodies = [blob(200000, i) for i in range(5)]
    ids = [put(s3, "bkt", "k", body, Tagging=f"n={i}")
           for i, body in enumerate(bodies)]
    marker = s3.delete_object(Bucket="bkt", Key="k")["VersionId"]
    s.restart(kill=True)
    for i, version in enumerate(ids):
        assert read(s3, "bkt", "k", version) == bodies[i]
        assert tags(s3, "bkt", "k", version) == {"n": str(i)}
    assert s.stop() == 0
    s.verify()
    s.start()
    s3.delete_objects(Bucket="bkt", Delete={"Objects": [
        {"Key": "k", "VersionId": v} for v in ids[:4] + [marker]]})
    assert read(s3, "bkt", "k") == bodies[4]
    s3.delete_object(Bucket="bkt", Key="k", VersionId=ids[4])
    time.sleep(2)  # garbage is collected
    s3.delete_bucket(Bucket="bkt")
    assert s.stop() == 0
    s.verify()


def test_the_command_line_shows_and_removes_versions(server, s3, versioned):
    one, two = put(s3, versioned, "a b", b"1"), put(s3, versioned, "a b",
                                                    b"22")
    marker = s3.delete_object(Bucket=versioned, Key="a b")["VersionId"]
    put(s3, versioned, "other", Tagging="a=1")
    lines = server.cli("ls", "--versions", f"s3://{versioned}").stdout.decode(
        ).splitlines()
    assert [line.split()[2:] for line in lines[:3]] == [
        ["DELETED", "*", marker, "a", "b"], ["2", two, "a", "b"],
        ["1", one, "a", "b"]]
    assert len(lines) == 4
    target = f"s3://{versioned}/a b"
    assert server.cli("stat", target, check=False).returncode == 1
    out = server.cli("stat", "--version-id", one, target).stdout
    assert one.encode() in out and b"1 (1 B)" in out, out
    assert b"x-amz-tagging-count: 1" in server.cli(
        "stat", f"s3://{versioned}/other").stdout.lower()
    server.cli("rm", "--version-id", marker, target)
    assert read(s3, versioned, "a b") == b"22"
    server.cli("rm", "--version-id", two, target)
    assert read(s3, versioned, "a b") == b"1"
    for more in (["--recursive"], ["--bucket"]):
        result = server.cli("rm", *more, "--version-id", one,
                            f"s3://{versioned}/a b", check=False)
        assert result.returncode == 2
