"""Goal: what is erased is unreadable for ever, on request, unless something
keeps it; and a receipt proves it. P7, P8.

Method: a store of its own; the wrapped keys of encrypted objects are read from
the catalogue and looked for in every file of the store, before and after;
receipts are checked by an independent implementation of their signature.
"""
import base64
import datetime
import hashlib
import json
import os
import re
import struct

import pytest
from botocore.exceptions import ClientError
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from s3http import S3
from server import run_godwit
from traces import files_with, keys_in_catalogue
from util import blob, eventually

SEALED = {"ServerSideEncryption": "AES256"}


@pytest.fixture(scope="module")
def store():
    import server as server_module
    s = server_module.Server()
    yield s
    s.close()


@pytest.fixture(scope="module")
def s3(store):
    return store.client()


@pytest.fixture
def bucket(s3, request):
    name = "erase-" + hashlib.sha256(request.node.name.encode()
                                     ).hexdigest()[:12]
    s3.create_bucket(Bucket=name, ObjectLockEnabledForBucket=True)
    return name


def erase(store, *arguments, check=True):
    result = run_godwit("erase", *arguments, "--data", store.data, timeout=120)
    if check:
        assert result.returncode == 0, result
    return result


def show(store, number):
    listed = erase(store, "show", str(number), "--json").stdout
    return json.loads(listed)["erasures"][0]


def number_of(result):
    return int(re.search(r"erasure (\d+)", result.stdout).group(1))


def receipt(store, number):
    result = run_godwit("receipt", "get", str(number), "--data", store.data)
    assert result.returncode == 0, result
    return result.stdout.strip()


def unbase64(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def verified(token):
    """What was signed, by another implementation."""
    header, payload, signature = token.split(".")
    jwk = json.loads(unbase64(header))["jwk"]
    Ed25519PublicKey.from_public_bytes(unbase64(jwk["x"])).verify(
        unbase64(signature), f"{header}.{payload}".encode())
    return json.loads(unbase64(payload)), jwk["x"]


def names(s3, bucket):
    listed = s3.list_object_versions(Bucket=bucket)
    return {v["Key"] for part in ("Versions", "DeleteMarkers")
            for v in listed.get(part, [])}


def test_the_keys_of_what_is_erased_are_nowhere(store, s3, bucket):
    for i in range(40):
        s3.put_object(Bucket=bucket, Key=f"gone/{i}", Body=blob(5000, i),
                      **SEALED)
        s3.put_object(Bucket=bucket, Key=f"kept/{i}", Body=blob(5000, i),
                      **SEALED)
    s3.put_object(Bucket=bucket, Key="gone/1", Body=b"newer", **SEALED)
    s3.delete_object(Bucket=bucket, Key="gone/2")
    upload = s3.create_multipart_upload(Bucket=bucket, Key="gone/u", **SEALED)
    s3.upload_part(Bucket=bucket, Key="gone/u", PartNumber=1, Body=b"part",
                   UploadId=upload["UploadId"])
    before = keys_in_catalogue(store.data)
    gone = {text for key, text in before if key.startswith("gone/")}
    kept = {text for key, text in before if key.startswith("kept/")}
    assert len(gone) == 41 and len(kept) == 40
    assert files_with(store.data, gone)
    dry = erase(store, f"s3://{bucket}/gone/", "--recursive", "--dry-run")
    assert "42 versions" in dry.stdout and "1 unfinished" in dry.stdout
    assert len(names(s3, bucket)) == 80
    done = erase(store, f"s3://{bucket}/gone/", "--recursive", "--wait",
                 "--reason", "Art. 17")
    assert names(s3, bucket) == {f"kept/{i}" for i in range(40)}
    assert "Uploads" not in s3.list_multipart_uploads(Bucket=bucket)
    assert files_with(store.data, gone) == set()
    for text in kept:
        assert files_with(store.data, {text}), "the test looks at nothing"
    assert s3.get_object(Bucket=bucket, Key="kept/7")["Body"].read() == \
        blob(5000, 7)
    said = show(store, number_of(done))
    assert (said["versions"], said["keys_destroyed"]) == (42, 41)
    assert said["state"] == "done" and said["clean"] is True
    # Nor does it come back by a backup, or a start.
    backup = os.path.join(store.data, "..", os.path.basename(store.data) + "-b")
    store.cli("catalogue", "backup", "--output", backup)
    with open(backup, "rb") as file:
        content = file.read()
    os.unlink(backup)
    assert not any(g in content or base64.b64decode(g) in content
                   for g in gone)
    store.restart(kill=True)
    assert files_with(store.data, gone) == set()


def test_what_is_kept_blocks_and_goes_when_it_may(store, s3, bucket):
    until = datetime.datetime.now(datetime.timezone.utc) + \
        datetime.timedelta(seconds=6)
    s3.put_object(Bucket=bucket, Key="free", Body=b"1")
    s3.put_object(Bucket=bucket, Key="held", Body=b"2",
                  ObjectLockLegalHoldStatus="ON")
    s3.put_object(Bucket=bucket, Key="kept", Body=b"3",
                  ObjectLockMode="COMPLIANCE",
                  ObjectLockRetainUntilDate=until)
    dry = erase(store, f"s3://{bucket}", "--recursive", "--dry-run").stdout
    assert "1 on hold and 1 retained" in dry
    asked = erase(store, f"s3://{bucket}", "--recursive", "--wait",
                  check=False)
    assert asked.returncode == 1 and "blocked" in asked.stderr
    number = number_of(asked)
    said = show(store, number)
    assert (said["state"], said["held"], said["retained"]) == ("blocked", 1, 1)
    assert names(s3, bucket) == {"held", "kept"}
    refused = run_godwit("receipt", "get", str(number), "--data", store.data)
    assert refused.returncode == 1 and "not done" in refused.stderr
    # The retention ends by itself, the hold when it is taken away.
    eventually(lambda: names(s3, bucket) == {"held"}, timeout=60,
               what="the end of the retention")
    assert show(store, number)["state"] == "blocked"
    s3.put_object_legal_hold(Bucket=bucket, Key="held",
                             LegalHold={"Status": "OFF"})
    eventually(lambda: show(store, number)["clean"], timeout=60,
               what="the end of the hold")
    assert names(s3, bucket) == set()
    assert show(store, number)["versions"] == 3


def test_of_whom_it_is_and_no_one_else(store, s3, bucket):
    for key, who in (("a", "ann"), ("b/1", "bob"), ("b/2", "ann"),
                     ("c", "Ann"), ("d", None)):
        s3.put_object(Bucket=bucket, Key=key, Body=b"x",
                      Metadata={"patient": who} if who else {})
    s3.put_object(Bucket=bucket, Key="c", Body=b"x",
                  Metadata={"patient": "ann"})
    done = erase(store, f"s3://{bucket}", "--subject", "patient=ann", "--wait")
    assert show(store, number_of(done))["versions"] == 3
    assert names(s3, bucket) == {"b/1", "c", "d"}


def test_one_version_or_all_of_a_key(store, s3, bucket):
    versions = [s3.put_object(Bucket=bucket, Key="k", Body=b"%d" % i)
                ["VersionId"] for i in range(3)]
    s3.put_object(Bucket=bucket, Key="kk", Body=b"other")
    erase(store, f"s3://{bucket}/k", "--version", versions[2], "--wait")
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"1"
    erase(store, f"s3://{bucket}/k", "--wait")
    assert names(s3, bucket) == {"kk"}
    later = erase(store, f"s3://{bucket}/none", "--wait")
    assert show(store, number_of(later))["versions"] == 0


def test_a_receipt_says_what_was_erased_and_cannot_be_changed(
        store, s3, bucket, tmp_path):
    s3.put_object(Bucket=bucket, Key="a\n\"ü", Body=blob(9000, 1), **SEALED)
    s3.put_object(Bucket=bucket, Key="b", Body=b"plain")
    number = number_of(erase(store, f"s3://{bucket}", "--recursive", "--wait",
                             "--reason", "he asked"))
    token = receipt(store, number)
    said, key = verified(token)
    own = run_godwit("receipt", "key", "--data", store.data).stdout.strip()
    assert key == own
    assert said["godwit"] == "erasure receipt" and said["id"] == number
    assert (said["bucket"], said["reason"]) == (bucket, "he asked")
    assert said["servers"] == [1]
    assert [(e["key"], e["size"], e["how"]) for e in said["erased"]] == [
        ("a\n\"ü", 9000, "key destroyed"), ("b", 5, "bytes released")]
    digest = bytes(32)
    for e in said["erased"]:
        name, etag = e["key"].encode(), e["etag"].encode()
        how = {"key destroyed": 1, "bytes released": 2}[e["how"]]
        digest = hashlib.sha256(
            digest + struct.pack("<H", len(name)) + name +
            struct.pack("<QQH", int(e["version"], 16), e["size"], len(etag)) +
            etag + bytes([how])).digest()
    assert said["sha256"] == digest.hex()
    path = tmp_path / "receipt"
    path.write_text(token + "\n")
    good = run_godwit("receipt", "verify", str(path), "--key", own)
    assert good.returncode == 0 and "Keys destroyed: 1" in good.stdout
    # Another key, another list, another signature.
    other = run_godwit("receipt", "verify", str(path), "--key", "A" * 43)
    assert other.returncode == 1 and "signed by" in other.stderr
    header, payload, signature = token.split(".")
    changed = json.loads(unbase64(payload))
    changed["erased"].pop()
    payload = base64.urlsafe_b64encode(
        json.dumps(changed).encode()).decode().rstrip("=")
    path.write_text(f"{header}.{payload}.{signature}")
    with pytest.raises(InvalidSignature):
        verified(path.read_text())
    bad = run_godwit("receipt", "verify", str(path))
    assert bad.returncode == 1 and "changed" in bad.stderr


def test_an_erasure_goes_on_after_kill_9(store, s3, bucket):
    raw = store.raw()
    for i in range(1500):
        raw.put(bucket, f"k{i}", b"")
    number = number_of(erase(store, f"s3://{bucket}", "--recursive"))
    store.restart(kill=True)
    eventually(lambda: show(store, number)["clean"], timeout=60,
               what="the erasure")
    assert show(store, number)["versions"] == 1500
    assert names(s3, bucket) == set()


def test_what_is_asked_wrongly_is_refused_by_name(store, s3, bucket):
    for arguments, said in (
            ((f"s3://{bucket}",), "--recursive"),
            (("s3://",), "bucket"),
            ((f"s3://{bucket}/k", "--subject", "a=b"), "of a bucket"),
            ((f"s3://{bucket}", "--subject", "ab"), "FIELD=VALUE"),
            ((f"s3://{bucket}", "--subject", "A B=c"), "field"),
            ((f"s3://{bucket}/k", "--version", "zz"), "version id"),
            ((f"s3://{bucket}/k", "--version", "null", "--recursive"), "one"),
            (("show", "999999"), "no erasure"),
            (("cancel", "999999"), "no erasure"),
            (("nothing",), "s3://")):
        result = erase(store, *arguments, check=False)
        assert result.returncode in (1, 2) and said in result.stderr, result
    missing = erase(store, "s3://no-such-bucket/k", check=False)
    assert missing.returncode == 1 and "NoSuchBucket" in missing.stderr


def test_a_cancelled_request_erases_no_more(store, s3, bucket):
    s3.put_object(Bucket=bucket, Key="held", Body=b"2",
                  ObjectLockLegalHoldStatus="ON")
    asked = erase(store, f"s3://{bucket}/held", "--wait", check=False)
    number = number_of(asked)
    erase(store, "cancel", str(number))
    again = erase(store, "cancel", str(number), check=False)
    assert again.returncode == 1 and "cancelled" in again.stderr
    assert show(store, number)["state"] == "cancelled"
    s3.put_object_legal_hold(Bucket=bucket, Key="held",
                             LegalHold={"Status": "OFF"})
    erase(store, f"s3://{bucket}/other", "--wait")
    assert names(s3, bucket) == {"held"}


def test_who_may_ask(store, s3, bucket, tmp_path):
    policy = tmp_path / "eraser.json"
    policy.write_text(json.dumps({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Action": "godwit:AdminErase*",
         "Resource": "*"}]}))
    store.cli("user", "add", "nobody", "--access-key", "NOBODYKEY",
              "--secret-key", "nobody-secret")
    store.cli("user", "add", "eraser", "--access-key", "ERASERKEY",
              "--secret-key", "eraser-secret", "--policy", str(policy))
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")

    def ask(access, secret):
        return S3("127.0.0.1", store.port, access, secret).request(
            "POST", "-/erasures", query=[("bucket", bucket), ("key", "k")])

    denied = ask("NOBODYKEY", "nobody-secret")
    assert (denied.status, denied.code) == (403, "AccessDenied")
    assert names(s3, bucket) == {"k"}
    allowed = ask("ERASERKEY", "eraser-secret")
    assert allowed.status == 200, allowed
    eventually(lambda: names(s3, bucket) == set(), timeout=30, what="erasure")
    with pytest.raises(ClientError):
        s3.get_object(Bucket=bucket, Key="k")
