"""Goal: what a PUT says besides its bytes needs a permission of its own, and
policies can ask for the tags and the lock that it gives.

Method: bob is let into a bucket of alice's by one statement after another, and
asks with and without what it wants; what is refused must not be there.
"""
import datetime
import json

import pytest
from botocore.exceptions import ClientError

KEYS = {"alice": ("ALICEKEY", "alice-secret"), "bob": ("BOBKEY", "bob-secret")}
_count = 0


@pytest.fixture(scope="module")
def store():
    import server as server_module
    s = server_module.Server()
    for name, (key, secret) in KEYS.items():
        s.cli("user", "add", name, "--access-key", key,
              "--secret-key", secret)
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


def code(fn, **more):
    try:
        fn(**more)
    except ClientError as e:
        return e.response["Error"]["Code"]
    return "OK"


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


def test_conditions_on_tags_of_an_object_are_refused_not_passed_over(
        alice, bob, bucket):
    statement = {"Effect": "Deny", "Principal": "*", "Action": "s3:GetObject",
                 "Resource": f"arn:aws:s3:::{bucket}/*",
                 "Condition": {"StringEquals": {
                     "s3:ExistingObjectTag/secret": "yes"}}}
    with pytest.raises(ClientError) as refused:
        alice.put_bucket_policy(Bucket=bucket, Policy=json.dumps(
            {"Version": "2012-10-17", "Statement": [statement]}))
    assert refused.value.response["Error"]["Code"] == "MalformedPolicy"
    assert "not implemented" in refused.value.response["Error"]["Message"]
