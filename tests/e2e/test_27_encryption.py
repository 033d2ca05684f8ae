"""Goal: what is to be encrypted is, in every way that brings bytes, and comes
back as it was with the headers that AWS gives; no drive has a byte of it.
Method: boto3 and the AWS client for what they send, our own for headers; the
folders of a store are searched for marks."""
import base64
import hashlib
import json
import os

import pytest

from util import blob, etag, md5, need, refused, run

SSE = "x-amz-server-side-encryption"
KEY_ID = SSE + "-aws-kms-key-id"
BUCKET_KEY = SSE + "-bucket-key-enabled"
SSE_C = SSE + "-customer-"
S3 = [(SSE, "AES256")]
KMS = [(SSE, "aws:kms")]
EDGES = [0, 1, 4096, 4097, 65535, 65536, 65537, 1 << 20, (1 << 23) + 1]
MIB5 = 5 << 20


def customer(secret, source=False):
    prefix = ("x-amz-copy-source-server-side-encryption-customer-" if source
              else SSE_C)
    digest = base64.b64encode(hashlib.md5(secret).digest()).decode()
    return [(prefix + "algorithm", "AES256"),
            (prefix + "key", base64.b64encode(secret).decode()),
            (prefix + "key-MD5", digest)]


ONE = bytes(range(32))
TWO = bytes(range(1, 33))


def shown(reply):
    """What a reply says of encryption."""
    return {n[len(SSE):]: v for n, v in reply.headers.items()
            if n.startswith(SSE)}


def upload_parts(raw, bucket, key, parts, headers=(), of_part=()):
    """Gives the replies of create and complete."""
    made = raw.request("POST", bucket, key, query=[("uploads", "")],
                       headers=headers)
    assert made.status == 200, made
    upload = made.xml.findtext("UploadId")
    document = "<CompleteMultipartUpload>"
    for i, data in enumerate(parts):
        reply = raw.request("PUT", bucket, key, body=data, headers=of_part,
                            query=[("partNumber", str(2 * i + 1)),
                                   ("uploadId", upload)])
        assert reply.status == 200, reply
        assert shown(reply) == shown(made)
        document += (f"<Part><PartNumber>{2 * i + 1}</PartNumber>"
                     f"<ETag>{reply.headers['etag']}</ETag></Part>")
    done = raw.request("POST", bucket, key, query=[("uploadId", upload)],
                       body=(document + "</CompleteMultipartUpload>").encode())
    assert done.status == 200, done
    return made, done


def files_of(s):
    for folder, _, files in os.walk(s.data):
        for name in files:
            with open(os.path.join(folder, name), "rb") as file:
                yield os.path.join(folder, name), file.read()


def found_in(s, marks):
    return {m for _, data in files_of(s) for m in marks if m in data}


# ---- objects ----

@pytest.mark.parametrize("how", [S3, KMS, KMS + [(BUCKET_KEY, "true")]],
                         ids=["s3", "kms", "bucket-key"])
@pytest.mark.parametrize("size", EDGES)
def test_objects_come_back(raw, bucket, size, how):
    data = blob(size)
    reply = raw.put(bucket, "k", data, how)
    assert reply.status == 200, reply
    says = {"": dict(how)[SSE]}
    if how != S3:
        says["-aws-kms-key-id"] = "s3"
    if len(how) == 2:
        says["-bucket-key-enabled"] = "true"
    assert shown(reply) == says
    assert (reply.headers["etag"] == etag(data)) == (how == S3)
    got = raw.get(bucket, "k")
    assert got.status == 200 and got.body == data
    assert shown(got) == says
    assert not any("godwit-" in n for n in got.headers)
    head = raw.head(bucket, "k")
    assert head.headers["content-length"] == str(size)
    assert shown(head) == says
    for first, last in ((0, 0), (1, 2), (65535, 65536), (65536, 65536),
                        (100, 200000), (8388600, 8388620), (size - 1, size)):
        if not 0 <= first < size:
            continue
        got = raw.get(bucket, "k", [("Range", f"bytes={first}-{last}")])
        assert got.status == 206
        assert got.body == data[first:last + 1], (first, last)


def test_listings_and_attributes_have_the_plain_size(s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x" * 70000,
                  ServerSideEncryption="AES256")
    assert [o["Size"] for o in s3.list_objects_v2(Bucket=bucket)[
        "Contents"]] == [70000]
    told = s3.get_object_attributes(Bucket=bucket, Key="k",
                                    ObjectAttributes=["ObjectSize", "ETag"])
    assert told["ObjectSize"] == 70000
    assert told["ETag"] == md5(b"x" * 70000)


# ---- parts ----

@pytest.mark.parametrize("how, of_part", [
    (S3, ()), (KMS, ()), (customer(ONE), customer(ONE))],
    ids=["s3", "kms", "customer"])
def test_uploads_in_parts_come_back(raw, bucket, how, of_part):
    parts = [blob(MIB5 + 3, 1), blob(MIB5 + 70000, 2), blob(100, 3)]
    data = b"".join(parts)
    made, done = upload_parts(raw, bucket, "k", parts, how, of_part)
    assert shown(made) and shown(done) == shown(made)
    got = raw.get(bucket, "k", of_part)
    assert got.status == 200 and got.body == data
    assert shown(got) == shown(made)
    for first, last in ((0, 0), (MIB5 - 1, MIB5 + 10),
                        (2 * MIB5 + 70000, 2 * MIB5 + 70010),
                        (65536, 2 * MIB5 + 70050), (len(data) - 3, None)):
        got = raw.get(bucket, "k", list(of_part) + [
            ("Range", f"bytes={first}-{'' if last is None else last}")])
        assert got.status == 206
        assert got.body == data[first:None if last is None else last + 1]
    for i, part in enumerate(parts):
        got = raw.get(bucket, "k", of_part, query=[("partNumber", str(i + 1))])
        assert got.status == 206 and got.body == part
        assert got.headers["x-amz-mp-parts-count"] == "3"


def test_a_part_put_again_is_sealed_anew(raw, bucket):
    made = raw.request("POST", bucket, "k", query=[("uploads", "")],
                       headers=S3)
    upload = made.xml.findtext("UploadId")
    for data in (b"a" * 100000, b"b" * 100000):
        last = raw.request("PUT", bucket, "k", body=data,
                           query=[("partNumber", "1"), ("uploadId", upload)])
    listed = raw.request("GET", bucket, "k", query=[("uploadId", upload)])
    assert b"godwit" not in listed.body
    body = (f"<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>"
            f"{last.headers['etag']}</ETag></Part></CompleteMultipartUpload>")
    assert raw.request("POST", bucket, "k", query=[("uploadId", upload)],
                       body=body.encode()).status == 200
    assert raw.get(bucket, "k").body == b"b" * 100000


def test_checksums_of_parts_are_judged_as_ever(s3, bucket):
    made = s3.create_multipart_upload(Bucket=bucket, Key="k",
                                      ChecksumAlgorithm="SHA256",
                                      ServerSideEncryption="AES256")
    part = s3.upload_part(Bucket=bucket, Key="k", PartNumber=1, Body=b"abc",
                          UploadId=made["UploadId"],
                          ChecksumAlgorithm="SHA256")
    assert part["ServerSideEncryption"] == "AES256"
    named = {"PartNumber": 1, "ETag": part["ETag"],
             "ChecksumSHA256": part["ChecksumSHA256"]}
    with refused(400, "InvalidPart"):
        s3.complete_multipart_upload(
            Bucket=bucket, Key="k", UploadId=made["UploadId"],
            MultipartUpload={"Parts": [dict(named, ChecksumSHA256="A" * 44)]})
    s3.complete_multipart_upload(
        Bucket=bucket, Key="k", UploadId=made["UploadId"],
        MultipartUpload={"Parts": [named]})
    got = s3.get_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")
    assert got["Body"].read() == b"abc"
    told = s3.get_object_attributes(Bucket=bucket, Key="k",
                                    ObjectAttributes=["ObjectParts"])
    assert told["ObjectParts"]["Parts"][0]["ChecksumSHA256"] == (
        part["ChecksumSHA256"])


def test_parts_need_what_their_upload_has(raw, bucket):
    def part(upload, headers):
        reply = raw.request("PUT", bucket, "k", body=b"x", headers=headers,
                            query=[("partNumber", "1"), ("uploadId", upload)])
        return reply.status, reply.code if reply.status != 200 else None

    def create(headers):
        return raw.request("POST", bucket, "k", query=[("uploads", "")],
                           headers=headers).xml.findtext("UploadId")

    upload = create(customer(ONE))
    assert part(upload, ()) == (400, "InvalidRequest")
    assert part(upload, customer(TWO)) == (400, "InvalidRequest")
    assert part(upload, S3) == (400, "InvalidArgument")
    assert part(upload, customer(ONE)) == (200, None)
    for upload in (create(()), create(S3)):
        assert part(upload, customer(ONE)) == (400, "InvalidRequest")
        assert part(upload, ()) == (200, None)


# ---- the default of a bucket ----

def default(algorithm, key=None, bucket_key=None):
    by = {"SSEAlgorithm": algorithm}
    if key:
        by["KMSMasterKeyID"] = key
    rule = {"ApplyServerSideEncryptionByDefault": by}
    if bucket_key is not None:
        rule["BucketKeyEnabled"] = bucket_key
    return {"Rules": [rule]}


def test_the_default_of_a_bucket(s3, raw, bucket):
    with refused(404, "ServerSideEncryptionConfigurationNotFoundError"):
        s3.get_bucket_encryption(Bucket=bucket)
    wanted = default("AES256", bucket_key=True)
    s3.put_bucket_encryption(Bucket=bucket,
                             ServerSideEncryptionConfiguration=wanted)
    assert s3.get_bucket_encryption(Bucket=bucket)[
        "ServerSideEncryptionConfiguration"] == wanted
    assert shown(raw.put(bucket, "a", b"x" * 9999)) == {"": "AES256"}
    made, _ = upload_parts(raw, bucket, "parts", [b"y" * 100])
    assert shown(made) == {"": "AES256"}
    assert shown(raw.put(bucket, "c", b"z", customer(ONE))).keys() == {
        "-customer-algorithm", "-customer-key-md5"}
    s3.put_bucket_encryption(
        Bucket=bucket, ServerSideEncryptionConfiguration=default(
            "aws:kms", "s3", True))
    assert shown(raw.put(bucket, "b", b"x")) == {
        "": "aws:kms", "-aws-kms-key-id": "s3", "-bucket-key-enabled": "true"}
    assert shown(raw.put(bucket, "b", b"x", S3)) == {"": "AES256"}
    s3.delete_bucket_encryption(Bucket=bucket)
    s3.delete_bucket_encryption(Bucket=bucket)
    with refused(404, "ServerSideEncryptionConfigurationNotFoundError"):
        s3.get_bucket_encryption(Bucket=bucket)
    assert shown(raw.put(bucket, "p", b"x")) == {}
    assert raw.get(bucket, "a").body == b"x" * 9999
    assert raw.get(bucket, "parts").body == b"y" * 100


@pytest.mark.parametrize("rule, code", [
    ("", "MalformedXML"),
    ("<Rule/><Rule/>", "MalformedXML"),
    ("<Rule><Else/></Rule>", "MalformedXML"),
    ("<Rule><ApplyServerSideEncryptionByDefault><SSEAlgorithm>DES"
     "</SSEAlgorithm></ApplyServerSideEncryptionByDefault></Rule>",
     "MalformedXML"),
    ("<Rule><ApplyServerSideEncryptionByDefault><SSEAlgorithm>AES256"
     "</SSEAlgorithm><KMSMasterKeyID>s3</KMSMasterKeyID>"
     "</ApplyServerSideEncryptionByDefault></Rule>", "InvalidArgument"),
])
def test_documents_that_are_refused(raw, bucket, rule, code):
    reply = raw.request(
        "PUT", bucket, query=[("encryption", "")],
        body=(f"<ServerSideEncryptionConfiguration>{rule}"
              "</ServerSideEncryptionConfiguration>").encode())
    assert (reply.status, reply.code) == (400, code)


# ---- what is refused ----

@pytest.mark.parametrize("headers, code", [
    ([(SSE, "DES")], "InvalidEncryptionAlgorithmError"),
    (S3 + customer(ONE), "InvalidArgument"),
    (S3 + [(KEY_ID, "s3")], "InvalidArgument"),
    ([(KEY_ID, "s3")], "InvalidArgument"),
    (KMS + [(KEY_ID, "nobody")], "KMS.NotFoundException"),
    (KMS + [(KEY_ID, "no body")], "KMS.NotFoundException"),
])
def test_headers_that_are_refused(raw, bucket, headers, code):
    reply = raw.put(bucket, "k", b"x", headers)
    assert (reply.status, reply.code) == (400, code)
    reply = raw.request("POST", bucket, "k", query=[("uploads", "")],
                        headers=headers)
    assert (reply.status, reply.code) == (400, code)
    assert raw.head(bucket, "k").status == 404


def test_what_is_not_there_is_refused_and_not_pretended(raw, bucket):
    for headers in ([(SSE, "aws:kms:dsse")],
                    KMS + [(SSE + "-context", "e30=")]):
        assert raw.put(bucket, "k", b"x", headers).status == 501
    raw.put(bucket, "k", b"x", S3)
    for call in (raw.get, raw.head):
        assert call(bucket, "k", S3).status == 400
        assert call(bucket, "k", customer(ONE)).status == 400


# ---- the drives ----

def test_no_disk_has_what_was_sealed(make_server, bucket_of):
    s = make_server()
    bucket, raw = bucket_of(s), s.raw()
    marks = [f"needle-{n:02}-in-the-hay".encode() for n in range(5)]
    raw.put(bucket, "a", marks[0], S3)
    raw.put(bucket, "b", marks[1] * 9000, KMS)
    upload_parts(raw, bucket, "c", [marks[2] * 300000, marks[2]], S3)
    upload_parts(raw, bucket, "d", [marks[3]], customer(ONE), customer(ONE))
    raw.put(bucket, "plain", marks[4])
    for kill in (True, False):
        assert found_in(s, marks) == {marks[4]}
        s.restart(kill=kill)
        assert raw.get(bucket, "a").body == marks[0]
        assert raw.get(bucket, "b").body == marks[1] * 9000
        assert raw.get(bucket, "c").body == marks[2] * 300000 + marks[2]
        assert raw.get(bucket, "d", customer(ONE)).body == marks[3]


# ---- master keys ----

@pytest.fixture
def keys(server):
    """Gives `godwit kms` of the shared store."""
    def kms(*words, check=True):
        result = server.cli("kms", *words, "--data", server.data,
                            check=check)
        return (result.stdout + result.stderr).decode()
    return kms


def test_keys_of_a_name(raw, keys, bucket):
    keys("create", bucket)
    how = KMS + [(KEY_ID, bucket)]
    says = {"": "aws:kms", "-aws-kms-key-id": bucket}
    assert shown(raw.put(bucket, "k", b"x" * 5000, how)) == says
    assert shown(raw.get(bucket, "k")) == says
    for id in (f"arn:aws:kms:us-east-1:123456789012:key/{bucket}",
               f"alias/{bucket}",
               f"arn:aws:kms:us-east-1:123456789012:alias/{bucket}"):
        assert shown(raw.put(bucket, "k", b"y", KMS + [(KEY_ID, id)])) == says
    assert raw.get(bucket, "k").body == b"y"
    assert bucket in keys("ls")
    for words in (("create", bucket), ("rotate", "nobody"), ("create", "a b"),
                  ("disable", "nobody"), ("else", bucket)):
        assert "godwit kms: " in keys(*words, check=False), words


def test_a_key_is_rotated_and_disabled(make_server, bucket_of):
    s = make_server()
    bucket, raw = bucket_of(s), s.raw()

    def kms(*words):
        return s.cli("kms", *words, "--data", s.data).stdout.decode()

    kms("create", "mine")
    how = KMS + [(KEY_ID, "mine")]
    raw.put(bucket, "old", b"old" * 3000, how)
    raw.put(bucket, "s3", b"s3" * 3000, S3)
    made = raw.request("POST", bucket, "parts", query=[("uploads", "")],
                       headers=how)
    upload = made.xml.findtext("UploadId")
    assert "number 2" in kms("rotate", "mine")
    assert "number 2" in kms("rotate", "s3")
    raw.put(bucket, "new", b"new" * 3000, how)
    part = raw.request("PUT", bucket, "parts", body=b"p" * 9000,
                       query=[("partNumber", "1"), ("uploadId", upload)])
    body = (f"<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>"
            f"{part.headers['etag']}</ETag></Part></CompleteMultipartUpload>")
    assert raw.request("POST", bucket, "parts", query=[("uploadId", upload)],
                       body=body.encode()).status == 200
    wanted = {"old": b"old" * 3000, "new": b"new" * 3000,
              "s3": b"s3" * 3000, "parts": b"p" * 9000}
    for kill in (True, False):
        for key, data in wanted.items():
            assert raw.get(bucket, key).body == data
        s.restart(kill=kill)
    kms("disable", "mine")
    for key in ("old", "new", "parts"):
        reply = raw.get(bucket, key)
        assert (reply.status, reply.code) == (400, "KMS.DisabledException")
        assert raw.head(bucket, key).status == 200
    reply = raw.put(bucket, "k", b"x", how)
    assert (reply.status, reply.code) == (400, "KMS.DisabledException")
    assert raw.get(bucket, "s3").body == b"s3" * 3000
    kms("enable", "mine")
    for key, data in wanted.items():
        assert raw.get(bucket, key).body == data


def test_without_the_master_key_nothing_opens(make_server, bucket_of, tmp):
    s = make_server()
    bucket, raw = bucket_of(s), s.raw()
    raw.put(bucket, "k", b"secret" * 1000, S3)
    raw.put(bucket, "plain", b"plain")
    path = os.path.join(s.data, "master.key")
    assert os.stat(path).st_mode & 0o777 == 0o600
    aside = os.path.join(tmp, "aside.key")
    s.stop()
    os.rename(path, aside)
    s.start()
    assert raw.get(bucket, "plain").body == b"plain"
    assert raw.get(bucket, "k").status == 503
    assert raw.put(bucket, "k2", b"x", S3).status == 503
    assert not os.path.exists(path)  # another would open nothing either
    s.stop()
    with open(path, "w") as file:
        file.write("00" * 32 + "\n")
    s.start()
    assert raw.get(bucket, "k").status == 503
    assert raw.put(bucket, "k2", b"x", S3).status == 503
    s.stop()
    os.rename(aside, path)
    s.start()
    assert raw.get(bucket, "k").body == b"secret" * 1000


def test_the_master_key_may_be_elsewhere(make_server, bucket_of, tmp):
    path = os.path.join(tmp, "key")
    with open(path, "w") as file:
        file.write("5a" * 32)
    s = make_server("--master-key", path)
    bucket, raw = bucket_of(s), s.raw()
    raw.put(bucket, "k", b"secret" * 1000, S3)
    s.restart(kill=True)
    assert raw.get(bucket, "k").body == b"secret" * 1000
    assert not os.path.exists(os.path.join(s.data, "master.key"))


# ---- policies ----

def test_a_policy_may_ask_for_encryption(s3, raw, bucket):
    def deny(operator, key, value):
        s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps({
            "Version": "2012-10-17", "Statement": [{
                "Effect": "Deny", "Principal": "*", "Action": "s3:PutObject",
                "Resource": f"arn:aws:s3:::{bucket}/*",
                "Condition": {operator: {"s3:" + key: value}}}]}))

    deny("StringNotEquals", SSE, "AES256")
    assert raw.put(bucket, "k", b"x").status == 403
    assert raw.put(bucket, "k", b"x", KMS).status == 403
    assert raw.put(bucket, "k", b"x", S3).status == 200
    deny("Null", SSE, "true")
    assert raw.put(bucket, "k", b"x").status == 403
    assert raw.put(bucket, "k", b"x", KMS).status == 200
    deny("StringNotEquals", KEY_ID, "s3")
    assert raw.put(bucket, "k", b"x", KMS).status == 403
    assert raw.put(bucket, "k", b"x",
                   KMS + [(KEY_ID, "s3")]).status == 200
    deny("Null", SSE_C + "algorithm", "true")
    assert raw.put(bucket, "k", b"x").status == 403
    assert raw.put(bucket, "k", b"x", customer(ONE)).status == 200
    s3.delete_bucket_policy(Bucket=bucket)


# ---- copies ----

HOWS = {"plain": [], "s3": S3, "kms": KMS, "one": customer(ONE),
        "two": customer(TWO)}


def of_source(how):
    return customer(ONE, True) if how == "one" else []


def to_read(how):
    return HOWS[how] if how in ("one", "two") else []


def copy(raw, bucket, key, source, headers=(), query=()):
    return raw.request("PUT", bucket, key, query, [
        ("x-amz-copy-source", f"/{bucket}/{source}"), *headers])


@pytest.mark.parametrize("size", [0, 100, 200001])
@pytest.mark.parametrize("to", HOWS)
@pytest.mark.parametrize("of", ["plain", "s3", "kms", "one"])
def test_copies_are_sealed_as_is_asked(raw, bucket, of, to, size):
    data = blob(size)
    raw.put(bucket, "source", data, HOWS[of] + [
        ("x-amz-meta-a", "b"), ("x-amz-tagging", "t=u"),
        ("Content-Type", "text/x")])
    reply = copy(raw, bucket, "copy", "source", of_source(of) + HOWS[to])
    assert reply.status == 200, reply
    if to == "plain":  # what is sealed stays so
        to = {"one": "s3"}.get(of, of)
    says = shown(raw.put(bucket, "like", b"", HOWS[to]))
    assert shown(reply) == says
    raw.delete(bucket, "source")
    got = raw.get(bucket, "copy", to_read(to))
    assert got.status == 200 and got.body == data
    assert shown(got) == says
    assert got.headers["x-amz-meta-a"] == "b"
    assert got.headers["content-type"] == "text/x"
    assert got.headers["x-amz-tagging-count"] == "1"
    assert got.headers["etag"] == (
        '"%s"' % reply.xml.findtext("ETag").strip('"'))
    if to in ("plain", "s3"):
        assert got.headers["etag"] == etag(data)
    if size > 70000:
        got = raw.get(bucket, "copy",
                      to_read(to) + [("Range", "bytes=65530-65540")])
        assert got.body == data[65530:65541]


def test_copies_of_parts_and_in_parts(raw, bucket):
    parts = [blob(MIB5 + 3, 1), blob(70000, 2)]
    data = b"".join(parts)
    for of in ("plain", "s3", "one"):
        upload_parts(raw, bucket, "source", parts, HOWS[of], to_read(of))
        for to in ("plain", "s3", "kms", "two"):
            reply = copy(raw, bucket, "copy", "source",
                         of_source(of) + HOWS[to])
            assert reply.status == 200, reply
            kept = {"one": "s3"}.get(of, of) if to == "plain" else to
            assert raw.get(bucket, "copy", to_read(kept)).body == data
            made = raw.request("POST", bucket, "parts", headers=HOWS[to],
                               query=[("uploads", "")])
            upload = made.xml.findtext("UploadId")
            reply = copy(raw, bucket, "parts", "source", of_source(of) +
                         to_read(to) + [("x-amz-copy-source-range",
                                         "bytes=65530-5300000")],
                         query=[("partNumber", "1"), ("uploadId", upload)])
            assert reply.status == 200, reply
            assert shown(reply) == shown(made)
            body = ("<CompleteMultipartUpload><Part><PartNumber>1"
                    "</PartNumber><ETag>" + reply.xml.findtext("ETag") +
                    "</ETag></Part></CompleteMultipartUpload>")
            reply = raw.request("POST", bucket, "parts", body=body.encode(),
                                query=[("uploadId", upload)])
            assert reply.status == 200, reply
            assert raw.get(bucket, "parts", to_read(to)).body == (
                data[65530:5300001])


def test_copies_need_the_key_of_their_source(raw, bucket):
    raw.put(bucket, "one", b"secret", customer(ONE))
    raw.put(bucket, "plain", b"plain")
    for headers, status, code in (
            ([], 400, "InvalidRequest"),
            (customer(TWO, True), 403, "AccessDenied"),
            (customer(ONE), 400, "InvalidRequest"),
            (customer(ONE, True)[:2], 400, "InvalidArgument")):
        reply = copy(raw, bucket, "copy", "one", headers)
        assert (reply.status, reply.code) == (status, code), headers
    reply = copy(raw, bucket, "copy", "plain", customer(ONE, True))
    assert (reply.status, reply.code) == (400, "InvalidRequest")
    assert raw.head(bucket, "copy").status == 404


def test_an_object_gets_another_key_in_place(raw, keys, bucket):
    data = blob(100000)
    keys("create", bucket)
    raw.put(bucket, "k", data)
    assert copy(raw, bucket, "k", "k").status == 400
    other = KMS + [(KEY_ID, bucket)]
    for headers in (S3, KMS, other, customer(ONE)):
        assert copy(raw, bucket, "k", "k", headers).status == 200
        got = raw.get(bucket, "k", customer(ONE) if headers[0][0].endswith(
            "algorithm") else ())
        assert got.body == data
    reply = copy(raw, bucket, "k", "k", customer(ONE, True) + customer(TWO))
    assert reply.status == 200, reply
    assert raw.get(bucket, "k", customer(ONE)).status == 403
    assert raw.get(bucket, "k", customer(TWO)).body == data


def test_a_copy_by_the_default_of_its_bucket(s3, raw, bucket):
    raw.put(bucket, "plain", b"x" * 9000, [("x-amz-checksum-sha256",
            base64.b64encode(hashlib.sha256(b"x" * 9000).digest()).decode())])
    s3.put_bucket_encryption(
        Bucket=bucket,
        ServerSideEncryptionConfiguration=default("AES256"))
    reply = copy(raw, bucket, "copy", "plain")
    assert shown(reply) == {"": "AES256"}
    assert reply.xml.findtext("ChecksumSHA256")
    got = raw.get(bucket, "copy", [("x-amz-checksum-mode", "ENABLED")])
    assert got.body == b"x" * 9000
    assert got.headers["x-amz-checksum-sha256"] == (
        reply.xml.findtext("ChecksumSHA256"))


# ---- forms and clients ----

def form_of(s3, raw, bucket, key, fields, data):
    signed = s3.generate_presigned_post(
        bucket, key, Fields=fields,
        Conditions=[{n: v} for n, v in fields.items()])["fields"]
    body = b"".join(
        b'--XbX\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n'
        % (n.encode(), v.encode()) for n, v in signed.items())
    body += (b'--XbX\r\nContent-Disposition: form-data; name="file"; '
             b'filename="f"\r\n\r\n' + data + b"\r\n--XbX--\r\n")
    return raw.request(
        "POST", bucket, sign=False, body=body,
        extra=[("Content-Type", "multipart/form-data; boundary=XbX")])


@pytest.mark.parametrize("size", [0, 10, 4097, 300000])
def test_forms_are_sealed_as_they_ask(s3, raw, bucket, size):
    data = blob(size)
    for fields in (dict(S3), dict(KMS), dict(KMS + [(KEY_ID, "s3")])):
        reply = form_of(s3, raw, bucket, "f", fields, data)
        assert reply.status == 204, reply
        assert shown(reply)[""] == fields[SSE]
        got = raw.get(bucket, "f")
        assert got.body == data and shown(got) == shown(reply)
    reply = form_of(s3, raw, bucket, "g",
                    dict(KMS + [(KEY_ID, "nobody")]), data)
    assert (reply.status, reply.code) == (400, "KMS.NotFoundException")
    s3.put_bucket_encryption(
        Bucket=bucket, ServerSideEncryptionConfiguration=default("AES256"))
    assert shown(form_of(s3, raw, bucket, "h", {}, data)) == {"": "AES256"}
    assert raw.get(bucket, "h").body == data


def test_chunked_bodies_are_sealed(raw, bucket):
    for size in (10, 300000):
        reply = raw.put_chunked(bucket, "c", blob(size),
                                "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
                                headers=S3)
        assert reply.status == 200 and shown(reply) == {"": "AES256"}
        assert raw.get(bucket, "c").body == blob(size)


def test_versions_have_keys_of_their_own(s3, raw, bucket):
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={
        "Status": "Enabled"})
    made = {}
    for how in ([], S3, KMS, customer(ONE)):
        data = blob(5000, len(made))
        reply = raw.put(bucket, "k", data, how)
        made[reply.headers["x-amz-version-id"]] = (how, data)
    for version, (how, data) in made.items():
        got = raw.get(bucket, "k", how if how and how[0][0] != SSE else (),
                      query=[("versionId", version)])
        assert got.body == data
    old = next(v for v, (how, _) in made.items() if how == S3)
    reply = raw.put(bucket, "k", b"", [
        ("x-amz-copy-source", f"/{bucket}/k?versionId={old}")])
    assert shown(reply) == {"": "AES256"}
    assert raw.get(bucket, "k").body == made[old][1]


def test_the_client_of_aws(server, keys, raw, bucket, tmp):
    need("aws")
    access, secret = server.credentials
    env = dict(os.environ, AWS_ACCESS_KEY_ID=access,
               AWS_SECRET_ACCESS_KEY=secret, AWS_DEFAULT_REGION="us-east-1",
               AWS_CONFIG_FILE="/dev/null")

    def aws(*words):
        return run("aws", "--endpoint-url", server.endpoint, *words, env=env)

    keys("create", bucket)
    data = blob(20_000_000)  # in parts
    path = os.path.join(tmp, "file")
    with open(path, "wb") as file:
        file.write(data)
    with open(os.path.join(tmp, "key"), "wb") as file:
        file.write(ONE)
    client = ["--sse-c", "AES256", "--sse-c-key",
              "fileb://" + os.path.join(tmp, "key")]
    for name, flags, back in (
            ("s3", ["--sse", "AES256"], []),
            ("kms", ["--sse", "aws:kms", "--sse-kms-key-id", bucket], []),
            ("client", client, client)):
        aws("s3", "cp", "--quiet", path, f"s3://{bucket}/{name}", *flags)
        aws("s3", "cp", "--quiet", f"s3://{bucket}/{name}", path + ".back",
            *back)
        with open(path + ".back", "rb") as file:
            assert file.read() == data
    aws("s3", "cp", "--quiet", f"s3://{bucket}/s3", f"s3://{bucket}/copy",
        "--sse", "aws:kms", "--sse-kms-key-id", bucket)
    assert raw.get(bucket, "copy").body == data
    assert raw.head(bucket, "copy").headers[KEY_ID] == bucket
    told = aws("s3api", "head-object", "--bucket", bucket, "--key", "kms")
    assert json.loads(told.stdout)["SSEKMSKeyId"] == bucket
