"""Goal: what a PUT says besides its bytes needs a permission of its own, and
policies can ask for the tags and the lock that it gives.

Method: bob is let into a bucket of alice's by one statement after another, and
asks with and without what it wants; what is refused must not be there.
"""
import datetime
import json

import pytest

from users import KEYS, code, store_with_users

_count = 0


@pytest.fixture(scope="module")
def store():
    s = store_with_users()
    yield s
    s.close()


@pytest.fixture
def alice(store):
    return store.client(*KEYS["alice"])


@pytest.fixture
def bob(store):
    return store.client(*KEYS["bob"])


@pytest.fixture
def bucket(alice):
    global _count
    _count += 1
    name = f"tags-{_count}"
    alice.create_bucket(Bucket=name, ObjectLockEnabledForBucket=True)
    return name


def let(alice, bucket, *statements):
    alice.put_bucket_policy(Bucket=bucket, Policy=json.dumps({
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Principal": "*",
                       "Resource": f"arn:aws:s3:::{bucket}/*", **s}
                      for s in statements]}))


def keys(alice, bucket):
    return {o["Key"]
            for o in alice.list_objects_v2(Bucket=bucket).get("Contents", [])}


def until():
    return datetime.datetime.now(datetime.timezone.utc) + \
        datetime.timedelta(days=5)


@pytest.mark.parametrize("action, headers", [
    ("s3:PutObjectTagging", lambda: {"Tagging": "a=b"}),
    ("s3:PutObjectRetention", lambda: {
        "ObjectLockMode": "GOVERNANCE",
        "ObjectLockRetainUntilDate": until()}),
    ("s3:PutObjectLegalHold", lambda: {"ObjectLockLegalHoldStatus": "OFF"})])
def test_a_header_needs_its_own_permission(alice, bob, bucket, action,
                                           headers):
    let(alice, bucket, {"Action": "s3:PutObject"})
    assert code(bob.put_object, Bucket=bucket, Key="plain", Body=b"") == "OK"
    assert code(bob.put_object, Bucket=bucket, Key="k", Body=b"x",
                **headers()) == "AccessDenied"
    assert code(bob.create_multipart_upload, Bucket=bucket, Key="k",
                **headers()) == "AccessDenied"
    assert keys(alice, bucket) == {"plain"}
    let(alice, bucket, {"Action": ["s3:PutObject", action]})
    assert code(bob.put_object, Bucket=bucket, Key="k", Body=b"x",
                **headers()) == "OK"
    assert keys(alice, bucket) == {"plain", "k"}


def test_tags_that_are_put_can_be_asked_for(alice, bob, bucket):
    let(alice, bucket, {"Action": "s3:PutObjectTagging"},
        {"Action": "s3:PutObject", "Condition": {
            "StringEquals": {"s3:RequestObjectTag/Project": "x"},
            "ForAllValues:StringEquals": {
                "s3:RequestObjectTagKeys": ["Project", "Team"]}}})
    for tags, said in (("Project=x", "OK"), ("Project=x&Team=t", "OK"),
                       ("Project=y", "AccessDenied"),
                       ("Project=x&Other=o", "AccessDenied"),
                       ("Team=x", "AccessDenied")):
        assert code(bob.put_object, Bucket=bucket, Key=tags, Body=b"",
                    Tagging=tags) == said, tags
    assert code(bob.put_object, Bucket=bucket, Key="k") == "AccessDenied"
    assert keys(alice, bucket) == {"Project=x", "Project=x&Team=t"}


def test_no_number_of_headers_hides_what_is_denied(alice, bob, bucket):
    let(alice, bucket, {"Action": ["s3:PutObject", "s3:PutObjectAcl"]},
        {"Action": "s3:PutObject", "Effect": "Deny", "Condition": {
            "StringEquals": {"s3:x-amz-storage-class": "STANDARD"}}})
    many = {f"a{i:02}": "v" for i in range(60)}
    assert code(bob.put_object, Bucket=bucket, Key="k", Metadata=many,
                StorageClass="STANDARD") == "AccessDenied"
    assert code(bob.put_object, Bucket=bucket, Key="k", Metadata=many) == "OK"


def test_days_of_retention_can_be_bounded(alice, bob, bucket):
    let(alice, bucket, {"Action": ["s3:PutObject", "s3:PutObjectRetention"]},
        {"Action": "s3:PutObjectRetention", "Effect": "Deny", "Condition": {
            "NumericGreaterThan": {
                "s3:object-lock-remaining-retention-days": "3"}}},
        {"Action": "s3:PutObjectRetention", "Effect": "Deny", "Condition": {
            "StringEquals": {"s3:object-lock-mode": "COMPLIANCE"}}})
    now = datetime.datetime.now(datetime.timezone.utc)
    for mode, days, said in (("GOVERNANCE", 2, "OK"),
                             ("GOVERNANCE", 6, "AccessDenied"),
                             ("COMPLIANCE", 1, "AccessDenied")):
        assert code(bob.put_object, Bucket=bucket, Key="k", Body=b"",
                    ObjectLockMode=mode, ObjectLockRetainUntilDate=now +
                    datetime.timedelta(days=days)) == said, (mode, days)


def test_tags_of_a_body_are_judged_too(store, alice, bob, bucket):
    alice.put_object(Bucket=bucket, Key="k", Body=b"x", Tagging="old=1")
    let(alice, bucket, {"Action": "s3:PutObjectTagging", "Condition": {
        "StringEquals": {"s3:RequestObjectTag/Project": "x"}}})

    def put(client, key, value):
        return code(client.put_object_tagging, Bucket=bucket, Key="k",
                    Tagging={"TagSet": [{"Key": key, "Value": value}]})

    def tags():
        return alice.get_object_tagging(Bucket=bucket, Key="k")["TagSet"]
    assert put(bob, "Project", "y") == "AccessDenied"
    assert put(bob, "Other", "x") == "AccessDenied"
    assert store.raw().request("PUT", bucket, "k", query=[("tagging", "")],
                               body=b"no tags", sign=False).status == 403
    assert tags() == [{"Key": "old", "Value": "1"}]
    assert put(bob, "Project", "x") == "OK"
    assert tags() == [{"Key": "Project", "Value": "x"}]
    alice.delete_bucket_policy(Bucket=bucket)
    assert put(bob, "Project", "x") == "AccessDenied"
    assert put(alice, "Project", "z") == "OK"


# ---- tags that the object has ----

HAS = "s3:ExistingObjectTag/"


def tagged(alice, bucket):
    """Objects with tags; "none" has none."""
    for key, tags in (("open", "security=public"), ("shut", "security=secret"),
                      ("none", "")):
        alice.put_object(Bucket=bucket, Key=key, Body=b"body", Tagging=tags)


READS = [
    ("s3:GetObject", lambda c, b, k: code(c.get_object, Bucket=b, Key=k)),
    ("s3:GetObject", lambda c, b, k: code(c.head_object, Bucket=b, Key=k)),
    ("s3:GetObjectAttributes", lambda c, b, k: code(
        c.get_object_attributes, Bucket=b, Key=k, ObjectAttributes=["ETag"])),
    ("s3:GetObjectAcl", lambda c, b, k: code(
        c.get_object_acl, Bucket=b, Key=k)),
    ("s3:GetObjectTagging", lambda c, b, k: code(
        c.get_object_tagging, Bucket=b, Key=k)),
    ("s3:GetObject", lambda c, b, k: code(
        c.copy_object, Bucket=b, Key="copy", CopySource=f"{b}/{k}")),
]


@pytest.mark.parametrize("n", range(len(READS)))
def test_tags_that_an_object_has_let_in(alice, bob, bucket, n):
    action, ask = READS[n]
    refused = "403" if n == 1 else "AccessDenied"
    tagged(alice, bucket)
    let(alice, bucket, {"Action": ["s3:PutObject", "s3:GetObjectAttributes"]
                        if action != "s3:GetObjectAttributes"
                        else "s3:PutObject"},
        {"Action": action,
         "Condition": {"StringEquals": {HAS + "security": "public"}}})
    assert ask(bob, bucket, "open") == "OK"
    for key in ("shut", "none", "missing"):
        assert ask(bob, bucket, key) == refused, key
    # The decision follows the tags at once.
    alice.put_object_tagging(Bucket=bucket, Key="shut", Tagging={
        "TagSet": [{"Key": "security", "Value": "public"}]})
    assert ask(bob, bucket, "shut") == "OK"
    alice.delete_object_tagging(Bucket=bucket, Key="open")
    assert ask(bob, bucket, "open") == refused
    # Where there is no such policy, all is as ever.
    alice.delete_bucket_policy(Bucket=bucket)
    assert ask(alice, bucket, "open") == "OK"
    assert ask(bob, bucket, "shut") == refused


def test_tags_that_an_object_has_keep_out(store, alice, bob, bucket):
    tagged(alice, bucket)
    let(alice, bucket, {"Action": "s3:GetObject*"},
        {"Effect": "Deny", "Action": "s3:GetObject*",
         "Condition": {"StringEquals": {HAS + "Security": "secret"}}})
    for client in (alice, bob, store.client()):
        assert code(client.get_object, Bucket=bucket, Key="open") == "OK"
        assert code(client.get_object, Bucket=bucket, Key="none") == "OK"
        assert code(client.get_object, Bucket=bucket,
                    Key="shut") == "AccessDenied"
    versions = {v["Key"]: v["VersionId"] for v in
                alice.list_object_versions(Bucket=bucket)["Versions"]}
    alice.put_object(Bucket=bucket, Key="shut", Body=b"now open")
    assert code(bob.get_object, Bucket=bucket, Key="shut") == "OK"
    assert code(bob.get_object, Bucket=bucket, Key="shut",
                VersionId=versions["shut"]) == "AccessDenied"


def test_changes_are_judged_by_tags_that_are_there(alice, bob, bucket):
    new = {"TagSet": [{"Key": "security", "Value": "secret"}]}
    tagged(alice, bucket)
    let(alice, bucket,
        {"Action": ["s3:PutObjectTagging", "s3:DeleteObjectTagging",
                    "s3:PutObjectAcl"],
         "Condition": {"StringEquals": {HAS + "security": "public"}}})

    def put(key):
        return code(bob.put_object_tagging, Bucket=bucket, Key=key,
                    Tagging=new)

    def tags(key):
        return alice.get_object_tagging(Bucket=bucket, Key=key)["TagSet"]

    for key in ("shut", "none", "missing"):
        assert put(key) == "AccessDenied", key
        assert code(bob.delete_object_tagging, Bucket=bucket,
                    Key=key) == "AccessDenied", key
        assert code(bob.put_object_acl, Bucket=bucket, Key=key,
                    ACL="public-read") == "AccessDenied", key
    assert tags("shut") == new["TagSet"] and tags("none") == []
    assert code(bob.put_object_acl, Bucket=bucket, Key="open",
                ACL="private") == "OK"
    assert put("open") == "OK"
    assert tags("open") == new["TagSet"]
    assert put("open") == "AccessDenied"  # by the tags that it has now


def test_a_key_that_is_not_there_is_told_who_may_list(alice, bob, bucket):
    only = {"StringEquals": {HAS + "security": "public"}}
    let(alice, bucket, {"Action": "s3:GetObject", "Condition": only})
    assert code(bob.get_object, Bucket=bucket, Key="k") == "AccessDenied"
    let(alice, bucket, {"Action": "s3:GetObject", "Condition": only},
        {"Action": "s3:ListBucket", "Resource": f"arn:aws:s3:::{bucket}"})
    assert code(bob.get_object, Bucket=bucket, Key="k") == "NoSuchKey"


def test_a_tag_may_stand_for_a_variable(alice, bob, bucket):
    for key, tag in (("red/1", "team=red"), ("red/2", "team=blue"),
                     ("blue/1", "team=blue")):
        alice.put_object(Bucket=bucket, Key=key, Body=b"", Tagging=tag)
    let(alice, bucket, {
        "Action": "s3:GetObject",
        "Resource": f"arn:aws:s3:::{bucket}/${{{HAS}team}}/*"})
    got = {key: code(bob.get_object, Bucket=bucket, Key=key)
           for key in ("red/1", "red/2", "blue/1")}
    assert got == {"red/1": "OK", "red/2": "AccessDenied", "blue/1": "OK"}


def test_a_users_own_policy_may_ask_for_tags(store, alice, bucket, tmp_path):
    tagged(alice, bucket)
    text = json.dumps({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Action": "s3:*", "Resource": "*",
         "Condition": {"StringEquals": {HAS + "security": "public"}}}]})
    policy = tmp_path / "dora.json"
    policy.write_text(text)
    store.cli("user", "add", "dora", "--access-key", "DORAKEY",
              "--secret-key", "dora-secret", "--policy", str(policy))
    dora = store.client("DORAKEY", "dora-secret")
    assert code(dora.get_object, Bucket=bucket, Key="open") == "OK"
    for key in ("shut", "none"):
        assert code(dora.get_object, Bucket=bucket, Key=key) == "AccessDenied"
    # What reads no object has no tags of one.
    assert code(dora.list_objects_v2, Bucket=bucket) == "AccessDenied"
    assert code(dora.delete_object, Bucket=bucket,
                Key="open") == "AccessDenied"
