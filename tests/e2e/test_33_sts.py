"""Goal: temporary credentials: what they may is what their user may and their
policy allows, they end when they should, and nobody makes his own. P7, P9.

Method: a store of its own with three users; boto3's client of STS, awscli and
plain requests; the clock of the server is moved past an expiry, and tokens are
tampered with byte by byte.
"""
import base64
import json
import os
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

import boto3
import botocore.config
import pytest
from botocore.exceptions import ClientError

from server import Server, environment
from sigv4 import Signer
from test_21_config import post_form
from users import KEYS, code, store_with_users
from util import need, refused, run

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "../cluster"))
import wall_clock  # noqa: E402

ROLE = "arn:aws:iam::000000000000:role/any"
FORM = ("content-type", "application/x-www-form-urlencoded; charset=utf-8")


@pytest.fixture(scope="module")
def store():
    s = store_with_users()
    s.client(*KEYS["alice"]).create_bucket(Bucket="alices")
    s.client(*KEYS["alice"]).put_object(Bucket="alices", Key="in/k",
                                        Body=b"body")
    s.client(*KEYS["alice"]).put_object(Bucket="alices", Key="out/k",
                                        Body=b"body")
    yield s
    s.close()


def sts_of(s, access, secret, token=None):
    return boto3.session.Session().client(
        "sts", endpoint_url=s.endpoint, aws_access_key_id=access,
        aws_secret_access_key=secret, aws_session_token=token,
        region_name="us-east-1",
        config=botocore.config.Config(retries={"total_max_attempts": 1}))


def assume(s, keys=KEYS["alice"], **more):
    more = {"RoleArn": ROLE, "RoleSessionName": "test", **more}
    return sts_of(s, *keys).assume_role(**more)["Credentials"]


def s3_of(s, c):
    """A client of S3 by temporary credentials."""
    return boto3.session.Session().client(
        "s3", endpoint_url=s.endpoint, aws_access_key_id=c["AccessKeyId"],
        aws_secret_access_key=c["SecretAccessKey"],
        aws_session_token=c["SessionToken"], region_name="us-east-1",
        config=botocore.config.Config(
            signature_version="s3v4", s3={"addressing_style": "path"},
            retries={"total_max_attempts": 1}))


def sts_by(s, c):
    return sts_of(s, c["AccessKeyId"], c["SecretAccessKey"],
                  c["SessionToken"])


def policy(*statements):
    return json.dumps({"Version": "2012-10-17",
                       "Statement": list(statements)})


def allow(actions, *resources, effect="Allow", **more):
    return {"Effect": effect, "Action": actions,
            "Resource": list(resources) or "*", **more}


def raw_get(s, c, bucket, key, token=None, now=None):
    """GET by hand: the token may be another, the time too."""
    token = c["SessionToken"] if token is None else token
    return s.raw().request(
        "GET", bucket, key, headers=[("x-amz-security-token", token)],
        signer=Signer(c["AccessKeyId"], c["SecretAccessKey"]), now=now)


# ---- what is given ----

def test_a_session_does_what_its_user_may(store):
    answer = sts_of(store, *KEYS["alice"]).assume_role(
        RoleArn=ROLE, RoleSessionName="it.is+me")
    c = answer["Credentials"]
    assert c["AccessKeyId"].startswith("ASIA") and len(c["AccessKeyId"]) == 20
    assert len(c["SecretAccessKey"]) == 40
    left = c["Expiration"].timestamp() - time.time()
    assert 3500 < left <= 3601, left
    assert answer["AssumedRoleUser"]["Arn"].endswith(
        ":assumed-role/alice/it.is+me")
    s3 = s3_of(store, c)
    assert s3.get_object(Bucket="alices", Key="in/k")["Body"].read() == b"body"
    s3.put_object(Bucket="alices", Key="by-session", Body=b"x")
    s3.create_bucket(Bucket="by-session")
    owner = s3.list_buckets()
    assert owner["Owner"]["DisplayName"] == "alice"
    assert {"alices", "by-session"} <= {b["Name"] for b in owner["Buckets"]}
    s3.delete_bucket(Bucket="by-session")
    bob = s3_of(store, assume(store, KEYS["bob"]))
    assert code(bob.get_object, Bucket="alices", Key="in/k") == "AccessDenied"
    assert "name=it.is+me" in store.log(500)


def test_get_session_token_and_caller_identity(store):
    alice = sts_of(store, *KEYS["alice"])
    c = alice.get_session_token()["Credentials"]
    left = c["Expiration"].timestamp() - time.time()
    assert 43100 < left <= 43201
    assert s3_of(store, c).list_objects_v2(Bucket="alices")["KeyCount"] >= 2
    me = alice.get_caller_identity()
    by_session = sts_by(store, c).get_caller_identity()
    for name in ("UserId", "Account", "Arn"):
        assert me[name] == by_session[name]
    assert me["Arn"].endswith(":user/alice") and len(me["Account"]) == 12
    root = sts_of(store, *store.credentials)
    assert root.get_caller_identity()["Arn"] != me["Arn"]
    c = root.get_session_token(DurationSeconds=900)["Credentials"]
    assert s3_of(store, c).get_object(Bucket="alices",
                                      Key="in/k")["Body"].read() == b"body"


def test_awscli_takes_and_gives_sessions(store, tmp):
    program = need("aws")
    env = environment(AWS_ACCESS_KEY_ID=KEYS["alice"][0],
                      AWS_SECRET_ACCESS_KEY=KEYS["alice"][1],
                      AWS_DEFAULT_REGION="us-east-1", AWS_PAGER="",
                      AWS_CONFIG_FILE=os.path.join(tmp, "none"),
                      AWS_SHARED_CREDENTIALS_FILE=os.path.join(tmp, "none"),
                      AWS_EC2_METADATA_DISABLED="true", HOME=tmp,
                      PATH="/usr/bin:/bin", LC_ALL="C.UTF-8")

    def aws(*arguments):
        return run(program, "--endpoint-url", store.endpoint, "--output",
                   "json", *arguments, env=env).stdout

    me = json.loads(aws("sts", "get-caller-identity"))
    c = json.loads(aws("sts", "assume-role", "--role-arn", ROLE,
                       "--role-session-name", "cli", "--duration-seconds",
                       "900"))["Credentials"]
    env.update(AWS_ACCESS_KEY_ID=c["AccessKeyId"],
               AWS_SECRET_ACCESS_KEY=c["SecretAccessKey"],
               AWS_SESSION_TOKEN=c["SessionToken"])
    assert json.loads(aws("sts", "get-caller-identity")) == me
    assert "in/" in aws("s3", "ls", "s3://alices")
    path = os.path.join(tmp, "large")
    with open(path, "wb") as file:
        file.write(os.urandom(12 << 20))
    aws("s3", "cp", "--only-show-errors", path, "s3://alices/large")
    url = aws("s3", "presign", "s3://alices/in/k").strip()
    with urllib.request.urlopen(url) as reply:
        assert reply.read() == b"body"


# ---- what narrows ----

IN_ONLY = policy(allow(["s3:GetObject", "s3:PutObject", "s3:DeleteObject"],
                       "arn:aws:s3:::alices/in/*"))


def test_a_session_policy_narrows_and_never_widens(store):
    s3 = s3_of(store, assume(store, Policy=IN_ONLY))
    assert s3.get_object(Bucket="alices", Key="in/k")["Body"].read() == b"body"
    s3.put_object(Bucket="alices", Key="in/new", Body=b"x")
    for fn, more in (
            (s3.get_object, {"Key": "out/k"}), (s3.list_objects_v2, {}),
            (s3.put_object, {"Key": "out/new", "Body": b""}),
            (s3.delete_object, {"Key": "out/k"}), (s3.get_bucket_acl, {}),
            (s3.get_bucket_policy, {}), (s3.delete_bucket_policy, {}),
            (s3.put_bucket_policy, {"Policy": "{}"}),
            (s3.get_object_acl, {"Key": "in/k"}),
            (s3.put_object_acl, {"Key": "in/k", "ACL": "public-read"}),
            (s3.put_object, {"Key": "in/x", "ACL": "public-read"}),
            (s3.put_object, {"Key": "in/x", "Tagging": "a=b"}),
            (s3.put_object_tagging,
             {"Key": "in/k", "Tagging": {"TagSet": []}}),
            (s3.copy_object,
             {"Key": "in/c", "CopySource": "alices/out/k"}),
            (s3.delete_bucket, {})):
        assert code(fn, Bucket="alices", **more) == "AccessDenied", fn
    assert code(s3.list_buckets) == "AccessDenied"
    assert code(s3.create_bucket, Bucket="of-a-session") == "AccessDenied"
    done = s3.delete_objects(Bucket="alices", Delete={"Objects": [
        {"Key": "in/new"}, {"Key": "out/k"}]})
    assert [d["Key"] for d in done["Deleted"]] == ["in/new"]
    assert [(e["Key"], e["Code"]) for e in done["Errors"]] == [
        ("out/k", "AccessDenied")]
    # What its user may not, no policy of a session gives.
    bob = s3_of(store, assume(store, KEYS["bob"], Policy=policy(allow("*"))))
    assert code(bob.get_object, Bucket="alices", Key="in/k") == "AccessDenied"


def test_what_lets_others_in_does_not_let_a_narrowed_session_in(store):
    alice = store.client(*KEYS["alice"])
    alice.create_bucket(Bucket="open")
    alice.put_object(Bucket="open", Key="k", Body=b"body", ACL="public-read")
    bob = s3_of(store, assume(store, KEYS["bob"], Policy=policy(
        allow("s3:GetObject", "arn:aws:s3:::other/*"))))
    assert code(bob.get_object, Bucket="open", Key="k") == "AccessDenied"
    alice.put_bucket_policy(Bucket="open", Policy=policy(
        {"Effect": "Allow", "Principal": "*", "Action": "s3:*",
         "Resource": ["arn:aws:s3:::open", "arn:aws:s3:::open/*"]}))
    assert code(bob.get_object, Bucket="open", Key="k") == "AccessDenied"
    assert code(bob.delete_object, Bucket="open", Key="k") == "AccessDenied"
    assert store.client(*KEYS["bob"]).get_object(
        Bucket="open", Key="k")["Body"].read() == b"body"


def test_a_session_of_root_is_narrowed_too(store):
    keys = store.credentials
    s3 = s3_of(store, assume(store, keys, Policy=IN_ONLY))
    assert s3.get_object(Bucket="alices", Key="in/k")["Body"].read() == b"body"
    assert code(s3.get_object, Bucket="alices", Key="out/k") == "AccessDenied"
    assert code(s3.list_buckets) == "AccessDenied"
    assert code(s3.create_bucket, Bucket="roots") == "AccessDenied"
    c = assume(store, keys, Policy=policy(allow("godwit:AdminKeys")))
    signer = Signer(c["AccessKeyId"], c["SecretAccessKey"])
    token = [("x-amz-security-token", c["SessionToken"])]

    def admin(method, path, **more):
        return store.raw().request(method, path=path, signer=signer,
                                   headers=token, **more)

    assert admin("GET", "/-/keys", query={"user": "bob"}).status == 200
    for method, path, more in (
            ("GET", "/-/users", {}), ("GET", "/-/status", {}),
            ("POST", "/-/users", {"body": b'{"name":"eve"}'}),
            ("DELETE", "/-/users", {"query": {"name": "carol"}})):
        reply = admin(method, path, **more)
        assert (reply.status, reply.code) == (403, "AccessDenied"), path
    whole = assume(store, keys)
    signer = Signer(whole["AccessKeyId"], whole["SecretAccessKey"])
    token = [("x-amz-security-token", whole["SessionToken"])]
    assert admin("GET", "/-/users").status == 200


def test_a_deny_of_the_user_binds_its_sessions(store, tmp):
    path = os.path.join(tmp, "policy")

    def give(text):
        with open(path, "w") as file:
            file.write(text)
        store.cli("user", "policy", "carol", "--policy", path)

    give(policy(allow("s3:*"), allow("s3:GetObject", effect="Deny")))
    c = assume(store, KEYS["carol"], Policy=policy(allow("s3:*")))
    s3 = s3_of(store, c)
    assert "KeyCount" in s3.list_objects_v2(Bucket="alices")
    assert code(s3.get_object, Bucket="alices", Key="in/k") == "AccessDenied"
    # When it was made is a condition, so an operator ends old sessions.
    give(policy(allow("s3:*"), allow(
        "s3:*", effect="Deny", Condition={"DateLessThan": {
            "aws:TokenIssueTime": "2100-01-01T00:00:00Z"}})))
    assert code(s3.list_objects_v2, Bucket="alices") == "AccessDenied"
    by_key = store.client(*KEYS["carol"])
    assert "KeyCount" in by_key.list_objects_v2(Bucket="alices")
    give(policy(allow("s3:*"), allow("sts:AssumeRole", effect="Deny")))
    sts = sts_of(store, *KEYS["carol"])
    assert code(sts.assume_role, RoleArn=ROLE,
                RoleSessionName="no") == "AccessDenied"
    assert code(sts.get_session_token) == "OK"
    store.cli("user", "policy", "carol")


def test_a_session_makes_no_session(store):
    sts = sts_by(store, assume(store))
    with refused(403, "AccessDenied"):
        sts.assume_role(RoleArn=ROLE, RoleSessionName="again")
    with refused(403, "AccessDenied"):
        sts.get_session_token()
    assert sts.get_caller_identity()["Arn"].endswith(":user/alice")


# ---- how it comes ----

def test_presigned_urls_carry_the_token_and_are_judged_by_it(store):
    c = assume(store, Policy=IN_ONLY)
    s3 = s3_of(store, c)

    def fetch(url):
        try:
            with urllib.request.urlopen(url) as reply:
                return reply.status, reply.read()
        except urllib.error.HTTPError as e:
            return e.code, e.read()

    def url(key):
        return s3.generate_presigned_url(
            "get_object", Params={"Bucket": "alices", "Key": key})

    assert fetch(url("in/k")) == (200, b"body")
    status, text = fetch(url("out/k"))
    assert status == 403 and b"AccessDenied" in text
    parts = url("in/k").split("&")
    bare = "&".join(p for p in parts
                    if not p.startswith("X-Amz-Security-Token"))
    status, text = fetch(bare)
    assert status == 403 and b"InvalidAccessKeyId" in text
    other = assume(store)["SessionToken"]
    swapped = url("in/k").replace(
        urllib.parse.quote(c["SessionToken"], safe=""),
        urllib.parse.quote(other, safe=""))
    status, text = fetch(swapped)
    assert status == 400 and b"InvalidToken" in text


def test_forms_carry_the_token_and_are_judged_by_it(store):
    s3 = s3_of(store, assume(store, Policy=IN_ONLY))

    def post(key, change=None):
        signed = s3.generate_presigned_post("alices", key)
        assert "x-amz-security-token" in signed["fields"]
        fields = dict(signed["fields"])
        if change:
            change(fields)
        return post_form(store.raw(), "alices", fields, b"from a form")

    assert post("in/form").status == 204
    got = s3.get_object(Bucket="alices", Key="in/form")
    assert got["Body"].read() == b"from a form"
    reply = post("out/form")
    assert (reply.status, reply.code) == (403, "AccessDenied")
    reply = post("in/x", lambda f: f.pop("x-amz-security-token"))
    assert (reply.status, reply.code) == (403, "InvalidAccessKeyId")
    reply = post("in/x", lambda f: f.update(
        {"x-amz-security-token": assume(store)["SessionToken"]}))
    assert (reply.status, reply.code) == (400, "InvalidToken")


def test_multipart_and_streams_by_a_session(store):
    s3 = s3_of(store, assume(store, Policy=IN_ONLY))
    up = s3.create_multipart_upload(Bucket="alices", Key="in/parts")
    sizes = [5 << 20, 100]
    parts = []
    for number, size in enumerate(sizes, 1):
        done = s3.upload_part(Bucket="alices", Key="in/parts",
                              UploadId=up["UploadId"], PartNumber=number,
                              Body=bytes(size))
        parts.append({"PartNumber": number, "ETag": done["ETag"]})
    s3.complete_multipart_upload(Bucket="alices", Key="in/parts",
                                 UploadId=up["UploadId"],
                                 MultipartUpload={"Parts": parts})
    assert s3.get_object(Bucket="alices", Key="in/parts")[
        "ContentLength"] == sum(sizes)
    assert code(s3.create_multipart_upload, Bucket="alices",
                Key="out/parts") == "AccessDenied"


# ---- when it ends ----

def test_a_session_ends_at_its_time():
    if wall_clock.why_not():
        pytest.skip(wall_clock.why_not())
    folder = os.path.join("/tmp", f"godwit-e2e-clock.{os.getpid()}")
    os.makedirs(folder)
    clock = wall_clock.WallClock(folder)
    s = Server(env=clock.env())
    try:
        s.client().create_bucket(Bucket="bkt")
        s.client().put_object(Bucket="bkt", Key="k", Body=b"body")
        c = assume(s, s.credentials, DurationSeconds=900)
        assert raw_get(s, c, "bkt", "k").status == 200
        clock.set(890)
        assert raw_get(s, c, "bkt", "k", now=time.time() + 890).status == 200
        clock.set(901)
        reply = raw_get(s, c, "bkt", "k", now=time.time() + 901)
        assert (reply.status, reply.code) == (400, "ExpiredToken")
        signer = Signer(c["AccessKeyId"], c["SecretAccessKey"], service="sts")
        reply = ask(s, b"Action=GetCallerIdentity&Version=2011-06-15",
                    signer=signer, now=time.time() + 901, headers=[
                        ("x-amz-security-token", c["SessionToken"])])
        assert (reply.status, reply.code) == (403, "ExpiredToken")
    finally:
        s.close()
        for name in os.listdir(folder):
            os.unlink(os.path.join(folder, name))
        os.rmdir(folder)


def test_a_session_ends_with_its_key_and_its_user(store):
    store.cli("user", "add", "dave", "--access-key", "DAVE1",
              "--secret-key", "dave-secret")
    store.cli("key", "add", "dave", "--access-key", "DAVE2",
              "--secret-key", "dave-secret-2")
    one = s3_of(store, assume(store, ("DAVE1", "dave-secret")))
    two = s3_of(store, assume(store, ("DAVE2", "dave-secret-2")))
    assert code(one.list_buckets) == code(two.list_buckets) == "OK"
    store.cli("key", "remove", "DAVE1")
    assert code(one.list_buckets) == "InvalidAccessKeyId"
    assert code(two.list_buckets) == "OK"
    # The same name and key, but another secret: another one.
    store.cli("key", "add", "dave", "--access-key", "DAVE1",
              "--secret-key", "dave-secret-3")
    assert code(one.list_buckets) == "InvalidAccessKeyId"
    store.cli("user", "remove", "dave")
    assert code(two.list_buckets) == "InvalidAccessKeyId"
    # Nor are the sessions of a user those of another with his key.
    store.cli("user", "add", "erin", "--access-key", "DAVE2",
              "--secret-key", "dave-secret-2")
    assert code(two.list_buckets) == "InvalidAccessKeyId"
    store.cli("user", "remove", "erin")


def test_a_session_outlives_a_restart():
    s = Server()
    try:
        c = assume(s, s.credentials)
        s.restart()
        assert code(s3_of(s, c).list_buckets) == "OK"
    finally:
        s.close()


# ---- what is refused ----

def test_a_token_is_its_makers_to_the_last_byte(store):
    c = assume(store, Policy=IN_ONLY)
    token = c["SessionToken"]
    assert raw_get(store, c, "alices", "in/k").status == 200
    raw = store.raw()
    connection = raw.connect()
    letters = ("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
               "0123456789+/")
    for i, letter in enumerate(token):
        other = letters[(letters.index(letter) + 1) % 64] \
            if letter in letters else "A"
        bad = token[:i] + other + token[i + 1:]
        reply = raw.request(
            "GET", "alices", "in/k", connection=connection,
            headers=[("x-amz-security-token", bad)],
            signer=Signer(c["AccessKeyId"], c["SecretAccessKey"]))
        assert (reply.status, reply.code) == (400, "InvalidToken"), i
    for bad in ("", "x", token[:-4], token + "AAAA", token * 2, "A" * 9000,
                base64.b64encode(bytes(100)).decode()):
        reply = raw_get(store, c, "alices", "in/k", token=bad)
        assert (reply.status, reply.code) == (400, "InvalidToken"), bad
    connection.close()


def test_keys_and_tokens_belong_together(store):
    a, b = assume(store), assume(store, KEYS["bob"])
    mixed = {**a, "SessionToken": b["SessionToken"]}
    reply = raw_get(store, mixed, "alices", "in/k")
    assert (reply.status, reply.code) == (400, "InvalidToken")
    mixed = {**a, "SecretAccessKey": b["SecretAccessKey"]}
    reply = raw_get(store, mixed, "alices", "in/k")
    assert (reply.status, reply.code) == (403, "SignatureDoesNotMatch")
    mixed = {**a, "AccessKeyId": KEYS["alice"][0],
             "SecretAccessKey": KEYS["alice"][1]}
    reply = raw_get(store, mixed, "alices", "in/k")
    assert (reply.status, reply.code) == (400, "InvalidToken")
    # No token, and one that was added on the way.
    reply = store.raw().request(
        "GET", "alices", "in/k",
        signer=Signer(a["AccessKeyId"], a["SecretAccessKey"]))
    assert (reply.status, reply.code) == (403, "InvalidAccessKeyId")
    reply = store.raw().request(
        "GET", "alices", "in/k",
        extra=[("x-amz-security-token", a["SessionToken"])],
        signer=Signer(a["AccessKeyId"], a["SecretAccessKey"]))
    assert (reply.status, reply.code) == (403, "AccessDenied")
    # Another store's.
    other = Server()
    try:
        c = assume(other, other.credentials)
        reply = raw_get(store, c, "alices", "in/k")
        assert (reply.status, reply.code) == (400, "InvalidToken")
    finally:
        other.close()


def test_no_user_has_a_key_of_that_form(store):
    done = store.cli("key", "add", "alice", "--access-key",
                     "ASIAABCDEFGHIJKLMNOP", "--secret-key", "long-enough",
                     check=False)
    assert done.returncode != 0 and b"ASIA" in done.stderr


def ask(s, body, signer=None, headers=(), now=None, content=FORM, **more):
    signer = signer or Signer(*KEYS["alice"], service="sts")
    return s.raw().request("POST", path="/", body=body, signer=signer,
                           headers=[content, *headers], now=now, **more)


def test_bad_requests_name_the_field(store):
    def form(**fields):
        return urllib.parse.urlencode(
            {"Action": "AssumeRole", "Version": "2011-06-15",
             "RoleSessionName": "test", **fields}).encode()

    for body, want, field in (
            (b"", "MissingAction", "Action"),
            (form(Action="AssumeRoleWithSAML"), "InvalidAction", "SAML"),
            (form(Version="2010-01-01"), "InvalidAction", "2010-01-01"),
            (form(DurationSeconds="899"), "ValidationError",
             "DurationSeconds"),
            (form(DurationSeconds="43201"), "ValidationError",
             "DurationSeconds"),
            (form(DurationSeconds="-1"), "ValidationError", "DurationSeconds"),
            (form(DurationSeconds="1h"), "ValidationError", "DurationSeconds"),
            (form(RoleSessionName="a"), "ValidationError", "RoleSessionName"),
            (form(RoleSessionName="a\nb"), "ValidationError",
             "RoleSessionName"),
            (form(RoleSessionName="a" * 65), "ValidationError",
             "RoleSessionName"),
            (form(RoleArn="a" * 2049), "ValidationError", "RoleArn"),
            (form(Policy=""), "ValidationError", "Policy"),
            (form(Policy=" " * 2049), "ValidationError", "Policy"),
            (form(Policy="{}"), "MalformedPolicyDocument", "Statement"),
            (form(Policy=policy(allow("x"))), "MalformedPolicyDocument",
             "Action"),
            (form(TokenCode="123456"), "ValidationError", "TokenCode"),
            (form(**{"PolicyArns.member.1.arn": "arn:aws:iam::aws:policy/x"}),
             "ValidationError", "PolicyArns"),
            (form() + b"&Action=GetCallerIdentity", "ValidationError",
             "Action"),
            (form() + b"&RoleArn=%zz", "ValidationError", "RoleArn"),
            (form() + b"&RoleArn=%00", "ValidationError", "RoleArn"),
            (form(Action="GetSessionToken"), "ValidationError",
             "RoleSessionName"),
    ):
        reply = ask(store, body)
        assert (reply.status, reply.code) == (400, want), (body, reply)
        assert field.encode() in reply.body, reply
        assert b"<ErrorResponse" in reply.body
    assert ask(store, form()).status == 200
    reply = ask(store, b"Action=AssumeRole&Padding=" + b"x" * 40000)
    assert reply.status == 400


def test_who_does_not_sign_gets_nothing(store):
    body = b"Action=GetCallerIdentity&Version=2011-06-15"
    cases = (
        ({"sign": False}, 403, "MissingAuthenticationToken"),
        ({"signer": Signer("NOBODY", "secret", service="sts")}, 403,
         "InvalidClientTokenId"),
        ({"signer": Signer(KEYS["alice"][0], "wrong", service="sts")}, 403,
         "SignatureDoesNotMatch"),
        ({"signer": Signer(*KEYS["alice"], service="s3")}, 400,
         "IncompleteSignature"),
        ({"payload": "UNSIGNED-PAYLOAD"}, 400, "InvalidArgument"),
        ({"payload": "0" * 64}, 400, "InvalidArgument"),
        ({"now": time.time() - 3600}, 403, "SignatureDoesNotMatch"))
    for more, status, want in cases:
        reply = ask(store, body, **more)
        assert (reply.status, reply.code) == (status, want), reply
    # The signature of S3 is none of STS, nor the other way round.
    reply = store.raw().request(
        "GET", "alices", "in/k", signer=Signer(*KEYS["alice"], service="sts"))
    assert (reply.status, reply.code) == (400, "AuthorizationHeaderMalformed")


def test_the_body_is_signed_though_no_header_says_its_hash(store):
    """As boto3 does it; a body that was changed on the way is refused."""
    seen = {}

    def change(request, **_):
        request.body = request.body.replace("900", "999")
        seen["body"] = request.body

    sts = sts_of(store, *KEYS["alice"])
    sts.meta.events.register_last("before-send.sts.GetSessionToken", change)
    with pytest.raises(ClientError) as e:
        sts.get_session_token(DurationSeconds=900)
    assert "999" in seen["body"]
    assert e.value.response["Error"]["Code"] == "SignatureDoesNotMatch"
