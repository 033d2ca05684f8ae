"""Goal: access control lists let in whom they name to what they grant, on
buckets and objects, and nobody else; who owns what is put; what switches lists
off. P7.

Method: a store of its own with users alice (who owns the buckets), bob and
carol, and one who signs nothing. Each canned list by each asker and operation
against a table; documents and headers there and back; each refusal is asked
for, and what it refuses must not have happened.
"""
import boto3
import botocore
import pytest

from users import KEYS, code, store_with_users

ALL = "http://acs.amazonaws.com/groups/global/AllUsers"
SIGNED = "http://acs.amazonaws.com/groups/global/AuthenticatedUsers"
LOGS = "http://acs.amazonaws.com/groups/s3/LogDelivery"
_count = 0


@pytest.fixture(scope="module")
def store():
    s = store_with_users()
    yield s
    s.close()


@pytest.fixture(scope="module")
def who(store):
    """Clients by name; "nobody" signs nothing."""
    out = {name: store.client(*pair) for name, pair in KEYS.items()}
    out["root"] = store.client()
    out["nobody"] = boto3.client(
        "s3", endpoint_url=store.endpoint, region_name="us-east-1",
        config=botocore.config.Config(
            signature_version=botocore.UNSIGNED,
            s3={"addressing_style": "path"}, retries={"max_attempts": 0}))
    return out


@pytest.fixture(scope="module")
def ids(who):
    return {name: who[name].list_buckets()["Owner"]["ID"]
            for name in ("alice", "bob", "carol", "root")}


@pytest.fixture
def bucket(who):
    """A fresh bucket of alice's."""
    global _count
    _count += 1
    name = f"acl-{_count}"
    who["alice"].create_bucket(Bucket=name)
    return name


def may(fn, *args, **more):
    """Is it done, or refused? Nothing else is an answer."""
    said = code(fn, *args, **more)
    assert said in ("OK", "AccessDenied", "403"), said
    return said == "OK"


def grants(answer):
    """A set of (who, permission), by id or URI."""
    return {(g["Grantee"].get("ID") or g["Grantee"]["URI"], g["Permission"])
            for g in answer["Grants"]}


def document(owner, *pairs):
    out = []
    for to, permission in pairs:
        grantee = {"Type": "Group", "URI": to} if to.startswith("http") else \
            {"Type": "CanonicalUser", "ID": to}
        out.append({"Grantee": grantee, "Permission": permission})
    return {"Owner": {"ID": owner}, "Grants": out}


# ---- what canned lists grant ----

BUCKET_LISTS = {  # list: what bob may, what nobody may
    "private": ("", ""),
    "public-read": ("l", "l"),
    "public-read-write": ("lpd", "lpd"),
    "authenticated-read": ("l", ""),
    "aws-exec-read": ("", ""),
    "bucket-owner-read": ("", ""),
    "bucket-owner-full-control": ("", ""),
    "log-delivery-write": ("", ""),
}


def bucket_rights(client, bucket, owner):
    out = ""
    if may(client.list_objects_v2, Bucket=bucket):
        out += "l"
    assert may(client.head_bucket, Bucket=bucket) == ("l" in out)
    assert may(client.list_object_versions, Bucket=bucket) == ("l" in out)
    assert may(client.list_multipart_uploads, Bucket=bucket) == ("l" in out)
    if may(client.put_object, Bucket=bucket, Key="new", Body=b"x"):
        out += "p"
    assert may(owner.get_object, Bucket=bucket, Key="k")
    if may(client.delete_object, Bucket=bucket, Key="other"):
        out += "d"
    if may(client.get_bucket_acl, Bucket=bucket):
        out += "r"
    if may(client.put_bucket_acl, Bucket=bucket, ACL="private"):
        out += "w"
    assert not may(client.put_bucket_versioning, Bucket=bucket,
                   VersioningConfiguration={"Status": "Enabled"})
    assert not may(client.get_object, Bucket=bucket, Key="k")
    return out


@pytest.mark.parametrize("name", BUCKET_LISTS)
@pytest.mark.parametrize("how", ("create", "put"))
def test_canned_lists_of_buckets(who, ids, bucket, name, how):
    alice = who["alice"]
    if how == "create":
        bucket += "-made"
        alice.create_bucket(Bucket=bucket, ACL=name)
    else:
        alice.put_bucket_acl(Bucket=bucket, ACL=name)
    alice.put_object(Bucket=bucket, Key="k", Body=b"private")
    alice.put_object(Bucket=bucket, Key="other", Body=b"private")
    have = alice.get_bucket_acl(Bucket=bucket)
    want = {(ids["alice"], "FULL_CONTROL")}
    want |= {"public-read": {(ALL, "READ")},
             "public-read-write": {(ALL, "READ"), (ALL, "WRITE")},
             "authenticated-read": {(SIGNED, "READ")},
             "log-delivery-write": {(LOGS, "WRITE"), (LOGS, "READ_ACP")}
             }.get(name, set())
    assert grants(have) == want
    assert have["Owner"]["ID"] == ids["alice"]
    for asker, rights in zip(("bob", "nobody"), BUCKET_LISTS[name]):
        assert bucket_rights(who[asker], bucket, alice) == rights, asker
    alice.put_bucket_acl(Bucket=bucket, ACL="private")
    assert bucket_rights(who["bob"], bucket, alice) == ""


OBJECT_LISTS = {  # of bob's in alice's bucket: what alice, carol, nobody may
    "private": ("", "", ""),
    "public-read": ("g", "g", "g"),
    "public-read-write": ("g", "g", "g"),
    "authenticated-read": ("g", "g", ""),
    "aws-exec-read": ("", "", ""),
    "bucket-owner-read": ("g", "", ""),
    "bucket-owner-full-control": ("grw", "", ""),
    "log-delivery-write": ("", "", ""),
}


def object_rights(client, bucket, key, acl):
    out = ""
    if may(client.get_object, Bucket=bucket, Key=key):
        out += "g"
    for fn, more in ((client.head_object, {}),
                     (client.get_object_attributes,
                      {"ObjectAttributes": ["ObjectSize"]})):
        assert may(fn, Bucket=bucket, Key=key, **more) == ("g" in out)
    if may(client.get_object_acl, Bucket=bucket, Key=key):
        out += "r"
    if may(client.put_object_acl, Bucket=bucket, Key=key, ACL=acl):
        out += "w"
    return out


@pytest.mark.parametrize("name", OBJECT_LISTS)
@pytest.mark.parametrize("how", ("put", "copy", "parts", "acl"))
def test_canned_lists_of_objects(who, ids, bucket, name, how):
    bob, key = who["bob"], "k"
    who["alice"].put_bucket_acl(Bucket=bucket, ACL="public-read-write")
    if how == "put":
        bob.put_object(Bucket=bucket, Key=key, Body=b"x", ACL=name)
    elif how == "copy":
        bob.put_object(Bucket=bucket, Key="from", Body=b"x",
                       ACL="public-read", Metadata={"a": "b"})
        bob.copy_object(Bucket=bucket, Key=key, CopySource=f"{bucket}/from",
                        ACL=name)
        assert bob.head_object(Bucket=bucket, Key=key)["Metadata"] == {
            "a": "b"}
    elif how == "parts":
        u = bob.create_multipart_upload(Bucket=bucket, Key=key, ACL=name)
        part = bob.upload_part(Bucket=bucket, Key=key, PartNumber=1,
                               UploadId=u["UploadId"], Body=b"x")
        shown = bob.list_parts(Bucket=bucket, Key=key, UploadId=u["UploadId"])
        assert shown["Initiator"]["ID"] == ids["bob"]
        bob.complete_multipart_upload(
            Bucket=bucket, Key=key, UploadId=u["UploadId"],
            MultipartUpload={"Parts": [{"PartNumber": 1,
                                        "ETag": part["ETag"]}]})
    else:
        bob.put_object(Bucket=bucket, Key=key, Body=b"x")
        bob.put_object_acl(Bucket=bucket, Key=key, ACL=name)
    have = bob.get_object_acl(Bucket=bucket, Key=key)
    assert have["Owner"]["ID"] == ids["bob"]
    want = {(ids["bob"], "FULL_CONTROL")}
    want |= {"public-read": {(ALL, "READ")},
             "public-read-write": {(ALL, "READ"), (ALL, "WRITE")},
             "authenticated-read": {(SIGNED, "READ")},
             "bucket-owner-read": {(ids["alice"], "READ")},
             "bucket-owner-full-control": {(ids["alice"], "FULL_CONTROL")},
             }.get(name, set())
    assert grants(have) == want
    for asker, rights in zip(("alice", "carol", "nobody"), OBJECT_LISTS[name]):
        assert object_rights(who[asker], bucket, key, name) == rights, asker
    assert bob.get_object(Bucket=bucket, Key=key)["Body"].read() == b"x"
    owner = who["alice"].list_objects(Bucket=bucket)["Contents"][-1]
    assert (owner["Key"], owner["Owner"]["ID"]) == (key, ids["bob"])


def test_a_list_is_not_given_back_with_the_object(who, bucket):
    alice = who["alice"]
    alice.put_object(Bucket=bucket, Key="k", Body=b"x", ACL="public-read",
                     Metadata={"a": "b"}, ContentType="text/plain")
    head = alice.head_object(Bucket=bucket, Key="k")
    assert head["Metadata"] == {"a": "b"}
    assert head["ContentType"] == "text/plain"
    assert not [n for n in head["ResponseMetadata"]["HTTPHeaders"]
                if "acl" in n or "godwit-" in n]
    # A change of the list leaves all else.
    alice.put_object_tagging(Bucket=bucket, Key="k", Tagging={
        "TagSet": [{"Key": "t", "Value": "v"}]})
    alice.put_object_acl(Bucket=bucket, Key="k", ACL="authenticated-read")
    after = alice.head_object(Bucket=bucket, Key="k")
    assert after["Metadata"] == {"a": "b"}
    assert after["ContentType"] == "text/plain"
    assert (after["ETag"], after["LastModified"]) == (
        head["ETag"], head["LastModified"])
    assert alice.get_object_tagging(Bucket=bucket, Key="k")["TagSet"] == [
        {"Key": "t", "Value": "v"}]


def test_an_overwrite_and_a_copy_have_lists_of_their_own(who, bucket):
    alice = who["alice"]
    alice.put_object(Bucket=bucket, Key="k", Body=b"x", ACL="public-read")
    alice.copy_object(Bucket=bucket, Key="copy", CopySource=f"{bucket}/k")
    assert not may(who["nobody"].get_object, Bucket=bucket, Key="copy")
    alice.copy_object(Bucket=bucket, Key="copy", CopySource=f"{bucket}/k",
                      MetadataDirective="REPLACE", ACL="public-read")
    assert may(who["nobody"].get_object, Bucket=bucket, Key="copy")
    alice.put_object(Bucket=bucket, Key="k", Body=b"y")
    assert not may(who["nobody"].get_object, Bucket=bucket, Key="k")


# ---- documents and headers ----

@pytest.mark.parametrize("permission, rights", (
    ("READ", "g"), ("WRITE", ""), ("READ_ACP", "r"), ("WRITE_ACP", "w"),
    ("FULL_CONTROL", "grw")))
def test_a_grant_of_an_object_to_a_user(who, ids, bucket, permission, rights):
    alice, key = who["alice"], "k"
    alice.put_object(Bucket=bucket, Key=key, Body=b"x")
    alice.put_object_acl(
        Bucket=bucket, Key=key, AccessControlPolicy=document(
            ids["alice"], (ids["bob"], permission)))
    assert grants(alice.get_object_acl(Bucket=bucket, Key=key)) == {
        (ids["bob"], permission)}
    for asker in ("carol", "nobody"):
        assert object_rights(who[asker], bucket, key, "private") == ""
    if "w" in rights:  # the list itself is bob's to change, the owner is not
        assert may(who["bob"].put_object_acl, Bucket=bucket, Key=key,
                   ACL="public-read")
        have = alice.get_object_acl(Bucket=bucket, Key=key)
        assert have["Owner"]["ID"] == ids["alice"]
        assert (ids["alice"], "FULL_CONTROL") in grants(have)
        assert may(who["carol"].get_object, Bucket=bucket, Key=key)
    else:
        assert object_rights(who["bob"], bucket, key, "private") == rights
    assert may(alice.get_object, Bucket=bucket, Key=key)  # though not granted


@pytest.mark.parametrize("permission, rights", (
    ("READ", "l"), ("WRITE", "pd"), ("READ_ACP", "r"), ("WRITE_ACP", "w"),
    ("FULL_CONTROL", "lpdrw")))
def test_a_grant_of_a_bucket_to_a_user(who, ids, bucket, permission, rights):
    alice = who["alice"]
    for key in ("k", "other"):
        alice.put_object(Bucket=bucket, Key=key, Body=b"x")
    alice.put_bucket_acl(Bucket=bucket, AccessControlPolicy=document(
        ids["alice"], (ids["alice"], "FULL_CONTROL"),
        (ids["bob"], permission)))
    for asker in ("carol", "nobody"):
        assert bucket_rights(who[asker], bucket, alice) == ""
    assert bucket_rights(who["bob"], bucket, alice) == rights


HEADERS = (("GrantRead", "READ"), ("GrantWrite", "WRITE"),
           ("GrantReadACP", "READ_ACP"), ("GrantWriteACP", "WRITE_ACP"),
           ("GrantFullControl", "FULL_CONTROL"))


def test_grants_by_headers_are_those_of_documents(who, ids, bucket):
    alice = who["alice"]
    bob = f'id="{ids["bob"]}"'
    both = f'id={ids["bob"]}, uri="{ALL}"'
    for header, permission in HEADERS:
        want = {(ids["bob"], permission), (ALL, permission)}
        alice.put_bucket_acl(Bucket=bucket, **{header: both})
        assert grants(alice.get_bucket_acl(Bucket=bucket)) == want
        made = f"{bucket}-{header.lower()}"
        alice.create_bucket(Bucket=made, **{header: both})
        assert grants(alice.get_bucket_acl(Bucket=made)) == want
        if header != "GrantWrite":
            alice.put_object(Bucket=bucket, Key="k", Body=b"", **{header: both})
            assert grants(alice.get_object_acl(Bucket=bucket, Key="k")) == want
            big = b"x" * 100000
            alice.put_object(Bucket=bucket, Key="k", Body=big, **{header: bob})
            assert grants(alice.get_object_acl(Bucket=bucket, Key="k")) == {
                (ids["bob"], permission)}
            alice.put_object_acl(Bucket=bucket, Key="k", **{header: both})
            assert grants(alice.get_object_acl(Bucket=bucket, Key="k")) == want
            alice.copy_object(Bucket=bucket, Key="c", **{header: both},
                              CopySource=f"{bucket}/k")
            assert grants(alice.get_object_acl(Bucket=bucket, Key="c")) == want
    alice.put_object(Bucket=bucket, Key="k", Body=b"", GrantRead=bob,
                     GrantReadACP=f'uri="{SIGNED}"')
    assert object_rights(who["bob"], bucket, "k", "private") == "gr"
    assert object_rights(who["carol"], bucket, "k", "private") == "r"
    assert object_rights(who["nobody"], bucket, "k", "private") == ""


def test_bad_lists_are_refused_and_change_nothing(store, who, ids, bucket):
    alice = who["alice"]
    alice.put_object(Bucket=bucket, Key="k", Body=b"x", ACL="public-read")
    nobody = "0" * 64
    raw = store.raw()
    for more, said in (
            ({"ACL": "public"}, "InvalidArgument"),
            ({"GrantRead": f"id={nobody}"}, "InvalidArgument"),
            ({"GrantRead": "id=bob"}, "InvalidArgument"),
            ({"GrantRead": "bob"}, "InvalidArgument"),
            ({"GrantRead": "uri=http://other"}, "InvalidArgument"),
            ({"GrantRead": "emailAddress=a@b.c"},
             "UnresolvableGrantByEmailAddress"),
            ({"ACL": "private", "GrantRead": f"id={ids['bob']}"},
             "InvalidRequest"),
            ({"AccessControlPolicy": document(
                ids["alice"], (nobody, "READ"))}, "InvalidArgument"),
            ({"AccessControlPolicy": document(
                ids["alice"], ("http://other", "READ"))}, "InvalidArgument"),
            ({"AccessControlPolicy": document(
                ids["alice"], (ids["bob"], "ALL"))}, "MalformedACLError"),
            ({"AccessControlPolicy": document(
                ids["bob"], (ids["bob"], "FULL_CONTROL"))}, "AccessDenied"),
            ({"AccessControlPolicy": {"Grants": []}}, "MalformedACLError")):
        assert code(alice.put_object_acl, Bucket=bucket, Key="k",
                    **more) == said, more
        assert code(alice.put_bucket_acl, Bucket=bucket, **more) == said, more
        if "AccessControlPolicy" not in more:
            assert code(alice.put_object, Bucket=bucket, Key="new", Body=b"",
                        **more) == said, more
            assert code(alice.create_bucket, Bucket=bucket + "-new",
                        **more) == said, more
    for body, headers, said in (
            (b"", [], "MissingSecurityHeader"),
            (b"<x/>", [], "MalformedACLError"),
            (b"<AccessControlPolicy", [], "MalformedACLError"),
            (b"<x/>", [("x-amz-acl", "private")], "UnexpectedContent")):
        for key in (None, "k"):
            assert raw.request("PUT", bucket, key, [("acl", "")], headers,
                               body).code == said
    for fn, key in ((alice.put_object_acl, "none"),
                    (alice.get_object_acl, "none")):
        more = {"ACL": "private"} if fn == alice.put_object_acl else {}
        assert code(fn, Bucket=bucket, Key=key, **more) == "NoSuchKey"
    assert grants(alice.get_object_acl(Bucket=bucket, Key="k")) == {
        (ids["alice"], "FULL_CONTROL"), (ALL, "READ")}
    assert grants(alice.get_bucket_acl(Bucket=bucket)) == {
        (ids["alice"], "FULL_CONTROL")}
    assert "Contents" not in alice.list_objects_v2(Bucket=bucket,
                                                   Prefix="new")
    assert code(alice.head_bucket, Bucket=bucket + "-new") == "404"


def test_a_form_has_a_list(store, who, ids, bucket):
    import requests
    alice = who["alice"]
    for acl, status, rights in (("public-read", 204, "g"), ("private", 204, ""),
                                ("public", 400, None)):
        post = alice.generate_presigned_post(
            bucket, "form-" + acl, Fields={"acl": acl}, Conditions=[
                {"acl": acl}])
        answer = requests.post(post["url"], data=post["fields"],
                               files={"file": b"x"}, timeout=60)
        assert answer.status_code == status, answer.text
        if rights is not None:
            assert object_rights(who["nobody"], bucket, "form-" + acl,
                                 acl) == rights


def test_a_hundred_grants_and_no_more(store, who, ids, bucket):
    alice = who["alice"]
    users = []
    for name in ("bob", "carol", "alice", "root"):
        users += [(ids[name], p) for _, p in HEADERS]
    for group in (ALL, SIGNED, LOGS):
        users += [(group, p) for _, p in HEADERS]
    alice.put_bucket_acl(Bucket=bucket, AccessControlPolicy=document(
        ids["alice"], *users))
    assert grants(alice.get_bucket_acl(Bucket=bucket)) == set(users)
    alice.put_object(Bucket=bucket, Key="k", Body=b"x")
    alice.put_object_acl(Bucket=bucket, Key="k", AccessControlPolicy=document(
        ids["alice"], *users))
    assert grants(alice.get_object_acl(Bucket=bucket, Key="k")) == set(users)


# ---- versions ----

def test_each_version_has_its_own_list(who, ids, bucket):
    alice, nobody = who["alice"], who["nobody"]
    alice.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={
        "Status": "Enabled"})
    first = alice.put_object(Bucket=bucket, Key="k", Body=b"1")["VersionId"]
    second = alice.put_object(Bucket=bucket, Key="k", Body=b"2",
                              ACL="public-read")["VersionId"]
    got = alice.put_object_acl(Bucket=bucket, Key="k", ACL="public-read",
                               VersionId=first)
    headers = got["ResponseMetadata"]["HTTPHeaders"]
    assert headers["x-amz-version-id"] == first
    alice.put_object_acl(Bucket=bucket, Key="k", ACL="private")
    assert may(nobody.get_object, Bucket=bucket, Key="k", VersionId=first)
    assert not may(nobody.get_object, Bucket=bucket, Key="k")
    assert not may(nobody.get_object, Bucket=bucket, Key="k",
                   VersionId=second)
    assert (ALL, "READ") in grants(alice.get_object_acl(
        Bucket=bucket, Key="k", VersionId=first))
    assert code(alice.put_object_acl, Bucket=bucket, Key="k", ACL="private",
                VersionId="0000000000ffffff") == "NoSuchVersion"
    alice.delete_object(Bucket=bucket, Key="k")
    assert code(alice.put_object_acl, Bucket=bucket, Key="k",
                ACL="private") == "NoSuchKey"
    assert code(nobody.get_object, Bucket=bucket, Key="k") == "AccessDenied"
    assert may(nobody.get_object, Bucket=bucket, Key="k", VersionId=first)


# ---- who owns what is put ----

def test_the_writer_owns_and_may_let_the_buckets_owner_in(who, ids, bucket):
    alice, bob = who["alice"], who["bob"]
    alice.put_bucket_acl(Bucket=bucket, GrantWrite=f"id={ids['bob']}")
    bob.put_object(Bucket=bucket, Key="k", Body=b"of bob")
    assert not may(alice.get_object, Bucket=bucket, Key="k")
    assert not may(alice.get_object_acl, Bucket=bucket, Key="k")
    assert not may(alice.put_object_acl, Bucket=bucket, Key="k",
                   ACL="public-read")
    assert not may(alice.copy_object, Bucket=bucket, Key="copy",
                   CopySource=f"{bucket}/k")
    assert may(who["root"].get_object, Bucket=bucket, Key="k")
    # A policy gives what is the bucket's owner's only.
    alice.put_object(Bucket=bucket, Key="own", Body=b"")
    alice.put_bucket_policy(Bucket=bucket, Policy="""{
        "Version": "2012-10-17", "Statement": [{"Effect": "Allow",
        "Principal": "*", "Action": "s3:GetObject",
        "Resource": "arn:aws:s3:::%s/*"}]}""" % bucket)
    assert may(who["carol"].get_object, Bucket=bucket, Key="own")
    assert not may(who["carol"].get_object, Bucket=bucket, Key="k")
    alice.delete_bucket_policy(Bucket=bucket)
    bob.put_object_acl(Bucket=bucket, Key="k", ACL="bucket-owner-full-control")
    assert may(alice.get_object, Bucket=bucket, Key="k")
    assert may(alice.copy_object, Bucket=bucket, Key="copy",
               CopySource=f"{bucket}/k")
    copy = alice.get_object_acl(Bucket=bucket, Key="copy")
    assert copy["Owner"]["ID"] == ids["alice"]
    assert may(alice.delete_object, Bucket=bucket, Key="k")


def test_what_nobody_puts_is_the_bucket_owners(who, ids, bucket):
    alice, nobody = who["alice"], who["nobody"]
    alice.put_bucket_acl(Bucket=bucket, ACL="public-read-write")
    nobody.put_object(Bucket=bucket, Key="k", Body=b"x")
    assert alice.get_object_acl(Bucket=bucket, Key="k")["Owner"]["ID"] == \
        ids["alice"]
    assert may(alice.get_object, Bucket=bucket, Key="k")
    assert not may(nobody.get_object, Bucket=bucket, Key="k")


def ownership(kind):
    return {"Rules": [{"ObjectOwnership": kind}]}


def test_the_buckets_owner_is_preferred_when_it_has_full_control(
        who, ids, bucket):
    alice, bob = who["alice"], who["bob"]
    alice.put_bucket_acl(Bucket=bucket, ACL="public-read-write")
    alice.put_bucket_ownership_controls(
        Bucket=bucket, OwnershipControls=ownership("BucketOwnerPreferred"))
    bob.put_object(Bucket=bucket, Key="given", Body=b"x",
                   ACL="bucket-owner-full-control")
    bob.put_object(Bucket=bucket, Key="kept", Body=b"x")
    owners = {o["Key"]: o["Owner"]["ID"]
              for o in alice.list_objects(Bucket=bucket)["Contents"]}
    assert owners == {"given": ids["alice"], "kept": ids["bob"]}
    assert may(alice.put_object_acl, Bucket=bucket, Key="given",
               ACL="private")
    assert not may(bob.get_object, Bucket=bucket, Key="given")
    assert not may(alice.get_object, Bucket=bucket, Key="kept")


def test_lists_do_not_count_where_the_owner_is_enforced(who, ids, bucket):
    alice, bob = who["alice"], who["bob"]
    unsupported = "AccessControlListNotSupported"
    alice.put_bucket_acl(Bucket=bucket, ACL="public-read-write")
    bob.put_object(Bucket=bucket, Key="bobs", Body=b"x")
    alice.put_object(Bucket=bucket, Key="open", Body=b"x", ACL="public-read")
    enforced = ownership("BucketOwnerEnforced")
    assert code(alice.put_bucket_ownership_controls, Bucket=bucket,
                OwnershipControls=enforced) == \
        "InvalidBucketAclWithObjectOwnership"
    alice.put_bucket_acl(Bucket=bucket, ACL="private")
    alice.put_bucket_ownership_controls(Bucket=bucket,
                                        OwnershipControls=enforced)
    assert may(alice.get_object, Bucket=bucket, Key="bobs")
    assert not may(bob.get_object, Bucket=bucket, Key="bobs")
    assert not may(who["nobody"].get_object, Bucket=bucket, Key="open")
    for key in ("bobs", "open"):
        have = alice.get_object_acl(Bucket=bucket, Key=key)
        assert (have["Owner"]["ID"], grants(have)) == (
            ids["alice"], {(ids["alice"], "FULL_CONTROL")})
    owners = {o["Owner"]["ID"]
              for o in alice.list_objects(Bucket=bucket)["Contents"]}
    assert owners == {ids["alice"]}
    for fn, more in ((alice.put_bucket_acl, {}),
                     (alice.put_object_acl, {"Key": "open"}),
                     (alice.put_object, {"Key": "new", "Body": b""}),
                     (alice.copy_object,
                      {"Key": "new", "CopySource": f"{bucket}/open"}),
                     (alice.create_multipart_upload, {"Key": "new"})):
        assert code(fn, Bucket=bucket, ACL="public-read",
                    **more) == unsupported, fn
        assert code(fn, Bucket=bucket, GrantRead=f"id={ids['bob']}",
                    **more) == unsupported, fn
        assert code(fn, Bucket=bucket, ACL="bucket-owner-full-control",
                    **more) == "OK", fn
    # All is as it was when lists count again.
    alice.delete_bucket_ownership_controls(Bucket=bucket)
    assert may(bob.get_object, Bucket=bucket, Key="bobs")
    assert may(who["nobody"].get_object, Bucket=bucket, Key="open")


def test_ownership_is_told_when_a_bucket_is_made(who, bucket):
    alice = who["alice"]
    for kind in ("BucketOwnerEnforced", "BucketOwnerPreferred",
                 "ObjectWriter"):
        name = f"{bucket}-{kind.lower()}"
        alice.create_bucket(Bucket=name, ObjectOwnership=kind)
        assert alice.get_bucket_ownership_controls(Bucket=name)[
            "OwnershipControls"] == ownership(kind)
        said = code(alice.put_bucket_acl, Bucket=name, ACL="public-read")
        assert said == ("AccessControlListNotSupported"
                        if kind == "BucketOwnerEnforced" else "OK")
    assert code(alice.create_bucket, Bucket=bucket + "-no",
                ObjectOwnership="Nobody") == "InvalidArgument"
    assert code(alice.create_bucket, Bucket=bucket + "-no", ACL="public-read",
                ObjectOwnership="BucketOwnerEnforced") == \
        "InvalidBucketAclWithObjectOwnership"
    assert code(alice.head_bucket, Bucket=bucket + "-no") == "404"


def test_a_bucket_made_again_has_its_list_anew(who, ids, bucket):
    alice = who["alice"]
    alice.put_bucket_acl(Bucket=bucket, ACL="public-read")
    alice.create_bucket(Bucket=bucket)
    assert grants(alice.get_bucket_acl(Bucket=bucket)) == {
        (ids["alice"], "FULL_CONTROL")}
    alice.create_bucket(Bucket=bucket, ACL="authenticated-read")
    assert (SIGNED, "READ") in grants(alice.get_bucket_acl(Bucket=bucket))
    assert code(who["bob"].create_bucket, Bucket=bucket,
                ACL="public-read") == "BucketAlreadyExists"
    assert (ALL, "READ") not in grants(alice.get_bucket_acl(Bucket=bucket))


# ---- what forbids ----

def test_a_deny_beats_a_list(who, bucket):
    alice, nobody = who["alice"], who["nobody"]
    alice.put_bucket_acl(Bucket=bucket, ACL="public-read")
    alice.put_object(Bucket=bucket, Key="k", Body=b"x", ACL="public-read")
    assert may(nobody.get_object, Bucket=bucket, Key="k")
    alice.put_bucket_policy(Bucket=bucket, Policy="""{
        "Version": "2012-10-17", "Statement": [{"Effect": "Deny",
        "Principal": "*", "Action": ["s3:GetObject", "s3:ListBucket"],
        "Resource": ["arn:aws:s3:::%s/*", "arn:aws:s3:::%s"]}]}""" %
                            (bucket, bucket))
    for asker in ("nobody", "bob", "alice"):
        assert not may(who[asker].get_object, Bucket=bucket, Key="k")
        assert not may(who[asker].list_objects_v2, Bucket=bucket)


def test_a_deny_of_setting_lists_holds_for_puts_too(who, ids, bucket):
    alice, bob = who["alice"], who["bob"]
    alice.put_bucket_policy(Bucket=bucket, Policy="""{
        "Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Principal": {"CanonicalUser": "%s"},
         "Action": "s3:PutObject", "Resource": "arn:aws:s3:::%s/*"},
        {"Effect": "Deny", "Principal": "*", "Action": "s3:PutObjectAcl",
         "Resource": "arn:aws:s3:::%s/closed/*"}]}""" %
                            (ids["bob"], bucket, bucket))
    full = {"ACL": "bucket-owner-full-control"}
    assert may(bob.put_object, Bucket=bucket, Key="closed/k", Body=b"")
    assert not may(bob.put_object, Bucket=bucket, Key="closed/k", Body=b"",
                   **full)
    assert not may(bob.create_multipart_upload, Bucket=bucket, Key="closed/k",
                   **full)
    assert not may(alice.put_object, Bucket=bucket, Key="closed/k", Body=b"",
                   ACL="public-read")
    assert may(bob.put_object, Bucket=bucket, Key="k", Body=b"", **full)
    assert may(alice.get_object, Bucket=bucket, Key="k")


def test_a_user_with_a_policy_sets_lists_by_it(store, who, bucket, tmp_path):
    import json
    path = tmp_path / "policy.json"

    def allow(*actions):
        path.write_text(json.dumps({"Version": "2012-10-17", "Statement": [
            {"Effect": "Allow", "Action": list(actions), "Resource": "*"}]}))

    allow("s3:CreateBucket", "s3:PutObject", "s3:GetObject")
    user = "bound-" + bucket
    store.cli("user", "add", user, "--access-key", user.upper(),
              "--secret-key", "bound-secret", "--policy", str(path))
    bound = store.client(user.upper(), "bound-secret")
    assert may(bound.create_bucket, Bucket=user)
    assert not may(bound.create_bucket, Bucket=user + "-2", ACL="public-read")
    assert may(bound.put_object, Bucket=user, Key="k", Body=b"")
    assert not may(bound.put_object, Bucket=user, Key="k", Body=b"",
                   ACL="public-read")
    assert not may(bound.put_object_acl, Bucket=user, Key="k",
                   ACL="public-read")
    assert not may(bound.put_bucket_acl, Bucket=user, ACL="public-read")
    assert not may(bound.get_object_acl, Bucket=user, Key="k")
    assert not may(bound.list_objects_v2, Bucket=user)
    allow("s3:CreateBucket", "s3:PutObject", "s3:PutObjectAcl",
          "s3:PutBucketAcl")
    store.cli("user", "policy", user, "--policy", str(path))
    assert may(bound.create_bucket, Bucket=user + "-2", ACL="public-read")
    assert may(bound.put_object, Bucket=user, Key="k", Body=b"",
               ACL="public-read")
    assert may(who["nobody"].get_object, Bucket=user, Key="k")


def test_public_lists_are_blocked_and_ignored(who, ids, bucket):
    alice, nobody, bob = who["alice"], who["nobody"], who["bob"]
    alice.put_bucket_acl(Bucket=bucket, ACL="public-read")
    alice.put_object(Bucket=bucket, Key="k", Body=b"x", ACL="public-read")

    def block(**flags):
        alice.put_public_access_block(
            Bucket=bucket, PublicAccessBlockConfiguration=flags)

    block(BlockPublicAcls=True)
    assert may(nobody.get_object, Bucket=bucket, Key="k")  # what is, stays
    for more in ({"ACL": "public-read"}, {"ACL": "authenticated-read"},
                 {"GrantRead": f'uri="{ALL}"'}):
        assert not may(alice.put_object, Bucket=bucket, Key="new", Body=b"",
                       **more)
        assert not may(alice.put_object_acl, Bucket=bucket, Key="k", **more)
        assert not may(alice.put_bucket_acl, Bucket=bucket, **more)
    alice.put_object(Bucket=bucket, Key="new", Body=b"",
                     GrantRead=f"id={ids['bob']}")
    assert may(bob.get_object, Bucket=bucket, Key="new")
    block(IgnorePublicAcls=True)
    for asker in (nobody, bob):
        assert not may(asker.get_object, Bucket=bucket, Key="k")
        assert not may(asker.list_objects_v2, Bucket=bucket)
    assert may(bob.get_object, Bucket=bucket, Key="new")
    assert may(alice.put_object, Bucket=bucket, Key="k2", Body=b"",
               ACL="public-read")
    assert not may(nobody.get_object, Bucket=bucket, Key="k2")
    alice.delete_public_access_block(Bucket=bucket)
    for key in ("k", "k2"):
        assert may(nobody.get_object, Bucket=bucket, Key=key)


def test_who_may_not_list_learns_no_keys(who, ids, bucket):
    alice = who["alice"]
    alice.put_object(Bucket=bucket, Key="k", Body=b"x")
    alice.put_object(Bucket=bucket, Key="open", Body=b"x", ACL="public-read")
    for asker in ("bob", "nobody"):
        for key in ("k", "none"):
            for fn in ("get_object", "get_object_acl"):
                assert code(getattr(who[asker], fn), Bucket=bucket,
                            Key=key) == "AccessDenied"
            assert code(who[asker].head_object, Bucket=bucket,
                        Key=key) == "403"
        assert code(who[asker].copy_object, Bucket=bucket, Key="c",
                    CopySource=f"{bucket}/none") == "AccessDenied"
        assert may(who[asker].get_object, Bucket=bucket, Key="open")
    alice.put_bucket_acl(Bucket=bucket, ACL="public-read")
    assert code(who["nobody"].get_object, Bucket=bucket,
                Key="none") == "NoSuchKey"
    assert code(who["nobody"].get_object, Bucket=bucket,
                Key="k") == "AccessDenied"
    assert code(alice.get_object, Bucket=bucket, Key="none") == "NoSuchKey"


def test_many_deletes_go_by_the_buckets_list(who, ids, bucket):
    alice, bob = who["alice"], who["bob"]
    for key in ("a", "b"):
        alice.put_object(Bucket=bucket, Key=key, Body=b"x")
    wish = {"Objects": [{"Key": "a"}, {"Key": "b"}]}
    answer = bob.delete_objects(Bucket=bucket, Delete=wish)
    assert {e["Code"] for e in answer["Errors"]} == {"AccessDenied"}
    assert code(who["nobody"].delete_objects, Bucket=bucket,
                Delete=wish) == "AccessDenied"
    alice.put_bucket_acl(Bucket=bucket, ACL="public-read-write")
    answer = who["nobody"].delete_objects(Bucket=bucket, Delete=wish)
    assert sorted(d["Key"] for d in answer["Deleted"]) == ["a", "b"]
    assert "Contents" not in alice.list_objects_v2(Bucket=bucket)


def test_lists_outlive_a_restart(store, who, ids, bucket):
    alice = who["alice"]
    alice.put_bucket_acl(Bucket=bucket, ACL="public-read")
    alice.put_object(Bucket=bucket, Key="k", Body=b"x", ACL="public-read")
    store.stop()
    store.start()
    assert may(who["nobody"].get_object, Bucket=bucket, Key="k")
    assert may(who["nobody"].list_objects_v2, Bucket=bucket)
    assert (ALL, "READ") in grants(alice.get_object_acl(Bucket=bucket,
                                                        Key="k"))
