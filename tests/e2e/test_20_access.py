"""Goal: who may do what: users and their keys, policies of buckets and users,
what is blocked for the public, and nobody at all. P7, P9.

Method: a store of its own with three users, asked through boto3 and by plain
requests; each refusal is asked for, and what it refuses must not have happened.
"""
import json

import pytest

from server import run_godwit
from users import KEYS, code, store_with_users

_count = 0


@pytest.fixture(scope="module")
def store():
    s = store_with_users()
    yield s
    s.close()


@pytest.fixture
def names(store):
    """A bucket of alice's with the object k."""
    global _count
    _count += 1
    name = f"access-{_count}"
    alice = store.client(*KEYS["alice"])
    alice.create_bucket(Bucket=name)
    alice.put_object(Bucket=name, Key="k", Body=b"body")
    return name


@pytest.fixture
def alice(store):
    return store.client(*KEYS["alice"])


@pytest.fixture
def bob(store):
    return store.client(*KEYS["bob"])


def policy(*statements):
    return json.dumps({"Version": "2012-10-17",
                       "Statement": list(statements)})


def allow(actions, bucket, principal="*", effect="Allow", **more):
    return {"Effect": effect, "Principal": principal, "Action": actions,
            "Resource": [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"],
            **more}


def test_buckets_are_their_makers(store, alice, bob, names):
    assert code(bob.create_bucket, Bucket=names) == "BucketAlreadyExists"
    assert code(alice.create_bucket, Bucket=names) == "OK"
    for fn, more in ((bob.get_object, {"Key": "k"}),
                     (bob.put_object, {"Key": "x", "Body": b""}),
                     (bob.delete_object, {"Key": "k"}),
                     (bob.list_objects_v2, {}), (bob.delete_bucket, {}),
                     (bob.get_bucket_acl, {}), (bob.get_bucket_policy, {}),
                     (bob.put_bucket_policy, {"Policy": "{}"})):
        assert code(fn, Bucket=names, **more) == "AccessDenied", fn
    assert code(bob.head_bucket, Bucket=names) == "403"
    assert alice.get_object(Bucket=names, Key="k")["Body"].read() == b"body"
    mine = [b["Name"] for b in alice.list_buckets()["Buckets"]]
    assert names in mine
    assert names not in [b["Name"] for b in bob.list_buckets()["Buckets"]]
    root = [b["Name"] for b in store.client().list_buckets()["Buckets"]]
    assert set(mine) <= set(root)
    owner = alice.list_buckets()["Owner"]
    assert owner["DisplayName"] == "alice" and len(owner["ID"]) == 64
    listed = alice.list_objects(Bucket=names)["Contents"][0]["Owner"]
    assert listed == owner


def test_a_missing_bucket_is_missing_for_all_who_sign(alice, names):
    assert code(alice.list_objects_v2, Bucket="none-" + names) == "NoSuchBucket"
    assert code(alice.get_object, Bucket="none-" + names,
                Key="k") == "NoSuchBucket"


def test_a_bucket_policy_lets_others_in(store, alice, bob, names):
    text = policy(allow(["s3:GetObject"], names,
                        {"AWS": "arn:aws:iam:::user/bob"}))
    alice.put_bucket_policy(Bucket=names, Policy=text)
    assert alice.get_bucket_policy(Bucket=names)["Policy"] == text
    assert bob.get_object(Bucket=names, Key="k")["Body"].read() == b"body"
    assert code(bob.put_object, Bucket=names, Key="x", Body=b"") == \
        "AccessDenied"
    carol = store.client(*KEYS["carol"])
    assert code(carol.get_object, Bucket=names, Key="k") == "AccessDenied"
    alice.delete_bucket_policy(Bucket=names)
    assert code(bob.get_object, Bucket=names, Key="k") == "AccessDenied"
    assert code(alice.get_bucket_policy, Bucket=names) == "NoSuchBucketPolicy"


def test_nobody_gets_what_is_public_and_no_more(store, alice, names):
    raw = store.raw()
    assert raw.request("GET", names, "k", sign=False).status == 403
    alice.put_bucket_policy(Bucket=names,
                            Policy=policy(allow("s3:GetObject", names)))
    assert raw.request("GET", names, "k", sign=False).body == b"body"
    assert raw.request("PUT", names, "k", sign=False,
                       body=b"other").status == 403
    assert raw.request("GET", names, sign=False).status == 403
    assert raw.request("GET", sign=False).status == 403
    assert alice.get_bucket_policy_status(Bucket=names)["PolicyStatus"][
        "IsPublic"] is True


def test_a_deny_binds_the_owner_and_root_but_not_about_the_policy(
        store, alice, names):
    alice.put_bucket_policy(Bucket=names, Policy=policy(
        allow("s3:*", names, effect="Deny")))
    for client in (alice, store.client()):
        assert code(client.get_object, Bucket=names,
                    Key="k") == "AccessDenied"
        assert code(client.list_objects_v2, Bucket=names) == "AccessDenied"
    alice.delete_bucket_policy(Bucket=names)
    assert code(alice.get_object, Bucket=names, Key="k") == "OK"


@pytest.mark.parametrize("condition, header, good, bad", (
    ({"StringEquals": {"s3:x-amz-storage-class": "STANDARD"}},
     "StorageClass", "STANDARD", None),
    ({"Null": {"s3:x-amz-storage-class": "true"}},
     "StorageClass", None, "STANDARD"),
    ({"IpAddress": {"aws:SourceIp": "127.0.0.0/8"}}, None, None, None),
    ({"Bool": {"aws:SecureTransport": "false"}}, None, None, None),
    ({"StringLike": {"aws:username": "b?b"}}, None, None, None),
))
def test_conditions_are_of_the_request(alice, bob, names, condition, header,
                                       good, bad):
    alice.put_bucket_policy(Bucket=names, Policy=policy(
        allow("s3:PutObject", names, Condition=condition)))

    def put(value):
        more = {header: value} if header and value else {}
        return code(bob.put_object, Bucket=names, Key="c", Body=b"", **more)

    assert put(good) == "OK"
    if header:
        assert put(bad) == "AccessDenied"


def test_an_address_that_is_not_named_is_refused(alice, bob, names):
    alice.put_bucket_policy(Bucket=names, Policy=policy(allow(
        "s3:GetObject", names,
        Condition={"IpAddress": {"aws:SourceIp": "192.0.2.0/24"}})))
    assert code(bob.get_object, Bucket=names, Key="k") == "AccessDenied"


def test_listing_may_be_bound_to_a_prefix(alice, bob, names):
    alice.put_bucket_policy(Bucket=names, Policy=policy(
        {"Effect": "Allow", "Principal": "*", "Action": "s3:ListBucket",
         "Resource": f"arn:aws:s3:::{names}",
         "Condition": {"StringLike": {"s3:prefix": "pub/*"}}}))
    assert code(bob.list_objects_v2, Bucket=names, Prefix="pub/a") == "OK"
    assert code(bob.list_objects_v2, Bucket=names) == "AccessDenied"


def test_malformed_policies_are_refused_and_change_nothing(alice, names):
    good = policy(allow("s3:GetObject", names))
    alice.put_bucket_policy(Bucket=names, Policy=good)
    for bad in ("", "{", "{}", "[]", policy(),
                policy(allow("s3:GetObject", "another")),
                policy({**allow("s3:GetObject", names), "Effect": "Maybe"}),
                policy({**allow("s3:GetObject", names), "Extra": 1}),
                policy(allow("s3:GetObject", names, Condition={
                    "StringEqual": {"a": "b"}})),
                policy(allow("iam:GetUser", names)),
                policy({"Effect": "Allow", "Action": "s3:*",
                        "Resource": "*"})):
        assert code(alice.put_bucket_policy, Bucket=names, Policy=bad) in (
            "MalformedPolicy",), bad
    assert alice.get_bucket_policy(Bucket=names)["Policy"] == good


def test_what_is_blocked_for_the_public(store, alice, bob, names):
    public = policy(allow("s3:GetObject", names))
    alice.put_bucket_policy(Bucket=names, Policy=public)
    assert code(bob.get_object, Bucket=names, Key="k") == "OK"
    block = {"BlockPublicAcls": True, "IgnorePublicAcls": False,
             "BlockPublicPolicy": True, "RestrictPublicBuckets": True}
    alice.put_public_access_block(Bucket=names,
                                  PublicAccessBlockConfiguration=block)
    assert alice.get_public_access_block(Bucket=names)[
        "PublicAccessBlockConfiguration"] == block
    assert code(bob.get_object, Bucket=names, Key="k") == "AccessDenied"
    assert store.raw().request("GET", names, "k", sign=False).status == 403
    assert code(alice.get_object, Bucket=names, Key="k") == "OK"
    assert code(alice.put_bucket_policy, Bucket=names,
                Policy=public) == "AccessDenied"
    alice.delete_public_access_block(Bucket=names)
    assert code(alice.get_public_access_block, Bucket=names) == \
        "NoSuchPublicAccessBlockConfiguration"
    assert code(bob.get_object, Bucket=names, Key="k") == "OK"


def test_ownership_controls_are_kept(alice, names):
    assert code(alice.get_bucket_ownership_controls, Bucket=names) == \
        "OwnershipControlsNotFoundError"
    for kind in ("BucketOwnerEnforced", "BucketOwnerPreferred",
                 "ObjectWriter"):
        want = {"Rules": [{"ObjectOwnership": kind}]}
        alice.put_bucket_ownership_controls(Bucket=names,
                                            OwnershipControls=want)
        assert alice.get_bucket_ownership_controls(Bucket=names)[
            "OwnershipControls"] == want
    assert code(alice.put_bucket_ownership_controls, Bucket=names,
                OwnershipControls={"Rules": [
                    {"ObjectOwnership": "Nobody"}]}) == "MalformedXML"
    alice.delete_bucket_ownership_controls(Bucket=names)
    assert code(alice.get_bucket_ownership_controls, Bucket=names) == \
        "OwnershipControlsNotFoundError"


def test_deleting_many_is_judged_key_by_key(alice, bob, names):
    alice.put_object(Bucket=names, Key="free/x", Body=b"")
    alice.put_bucket_policy(Bucket=names, Policy=policy(
        {"Effect": "Allow", "Principal": "*", "Action": "s3:DeleteObject",
         "Resource": f"arn:aws:s3:::{names}/free/*"}))
    answer = bob.delete_objects(Bucket=names, Delete={
        "Objects": [{"Key": "k"}, {"Key": "free/x"}]})
    assert [d["Key"] for d in answer["Deleted"]] == ["free/x"]
    assert [(e["Key"], e["Code"]) for e in answer["Errors"]] == [
        ("k", "AccessDenied")]
    assert code(alice.head_object, Bucket=names, Key="k") == "OK"


def test_a_copy_needs_its_source(alice, bob, names):
    own = "of-bob-" + names
    bob.create_bucket(Bucket=own)
    assert code(bob.copy_object, Bucket=own, Key="c",
                CopySource=f"{names}/k") == "AccessDenied"
    upload = bob.create_multipart_upload(Bucket=own, Key="c")["UploadId"]
    assert code(bob.upload_part_copy, Bucket=own, Key="c", UploadId=upload,
                PartNumber=1, CopySource=f"{names}/k") == "AccessDenied"
    alice.put_bucket_policy(Bucket=names,
                            Policy=policy(allow("s3:GetObject", names)))
    assert code(bob.copy_object, Bucket=own, Key="c",
                CopySource=f"{names}/k") == "OK"


def test_a_policy_of_a_user_bounds_and_widens(store, alice, names, tmp_path):
    path = tmp_path / "policy.json"
    path.write_text(policy(
        {"Effect": "Allow", "Action": ["s3:GetObject", "s3:ListBucket"],
         "Resource": ["arn:aws:s3:::access-*"]},
        {"Effect": "Deny", "Action": "*",
         "Resource": "arn:aws:s3:::access-*/secret*"}))
    key = "KEY" + names
    store.cli("user", "add", "reader-" + names, "--access-key", key,
              "--secret-key", "reader-secret", "--policy", str(path))
    reader = store.client(key, "reader-secret")
    alice.put_object(Bucket=names, Key="secret", Body=b"")
    assert code(reader.get_object, Bucket=names, Key="k") == "OK"
    assert code(reader.list_objects_v2, Bucket=names) == "OK"
    assert code(reader.get_object, Bucket=names, Key="secret") == \
        "AccessDenied"
    assert code(reader.put_object, Bucket=names, Key="x",
                Body=b"") == "AccessDenied"
    assert code(reader.create_bucket, Bucket="of-reader") == "AccessDenied"
    path.write_text("{}")
    done = store.cli("user", "policy", "reader-" + names, "--policy",
                     str(path), check=False)
    assert done.returncode != 0 and b"Statement" in done.stderr
    store.cli("user", "policy", "reader-" + names)  # none: as any user
    assert code(reader.get_object, Bucket=names, Key="k") == "AccessDenied"
    assert code(reader.create_bucket, Bucket="of-reader") == "OK"


def test_a_key_ends_at_once_and_a_user_with_its_last_bucket(store, names):
    user, key = "temp-" + names, "TEMP" + names
    store.cli("user", "add", user, "--access-key", key,
              "--secret-key", "temp-secret")
    temp = store.client(key, "temp-secret")
    temp.create_bucket(Bucket=user)
    assert store.cli("key", "list", user).stdout.split()[0] == key.encode()
    done = store.cli("user", "remove", user, check=False)
    assert done.returncode != 0 and b"owns buckets" in done.stderr
    store.cli("key", "remove", key)
    assert code(temp.list_buckets) == "InvalidAccessKeyId"
    store.client().delete_bucket(Bucket=user)
    store.cli("user", "remove", user)
    assert user.encode() not in store.cli("user", "list").stdout


def test_bad_users_and_keys_are_refused_by_field(store):
    for args, said in (
            (("user", "add", "x y"), b"name"),
            (("user", "add", "u" * 65), b"name"),
            (("user", "add", "alice"), b"alice"),
            (("user", "add", "dave", "--access-key", "DAVE"), b"secret key"),
            (("user", "add", "dave", "--access-key", "DA",
              "--secret-key", "long-enough"), b"access key"),
            (("user", "add", "dave", "--access-key", "DAVE",
              "--secret-key", "short"), b"secret key"),
            (("user", "add", "dave", "--access-key", KEYS["bob"][0],
              "--secret-key", "long-enough"), b"taken"),
            (("user", "remove", "dave"), b"none"),
            (("key", "add", "dave"), b"dave"),
            (("key", "remove", "NOKEY"), b"NOKEY")):
        done = store.cli(*args, check=False)
        assert done.returncode != 0, args
        assert said in done.stderr, (args, done.stderr)
    assert b"dave" not in store.cli("user", "list").stdout


def test_operators_commands_are_for_root(store):
    for name in ("alice", "bob"):
        key, secret = KEYS[name]
        for command in (("status",), ("user", "list"), ("key", "list", "bob")):
            done = run_godwit(*command, env={
                "GODWIT_ENDPOINT": store.endpoint, "AWS_ACCESS_KEY_ID": key,
                "AWS_SECRET_ACCESS_KEY": secret})
            assert done.returncode != 0, (name, command)
            assert "AccessDenied" in str(done.stderr), done.stderr


def test_users_outlive_a_restart(store, alice, names):
    store.stop()
    store.start()
    alice = store.client(*KEYS["alice"])
    assert alice.get_object(Bucket=names, Key="k")["Body"].read() == b"body"
