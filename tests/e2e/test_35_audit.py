"""Goal: what was allowed, denied and changed stands in the audit log, as far as
its level says; nothing of it can be removed or changed unseen, and a crash
loses no more than docs/OPERATE.md says. Method: boto3 with good and bad keys;
the chain of an export is computed here from the fields of its lines."""
import hashlib
import json
import re
import struct
import time
import urllib.parse

import botocore.exceptions
import pytest

from server import run_godwit
from util import eventually

KINDS = {"decision": 1, "change": 2, "lost": 3, "cut": 4}
RULES = ["", "root", "user policy", "bucket policy", "owner", "bucket acl",
         "object acl", "signature", "lock", "public access block",
         "no rule allows", "other"]
TEXTS = ("request", "operation", "user", "access_key", "address", "bucket",
         "key", "detail")
POLICY = ('{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":'
          '"s3:*","Resource":["arn:aws:s3:::open","arn:aws:s3:::open/*"]}]}')


def bytes_of(e):
    """What is hashed, as meta/audit_entry.h says."""
    out = struct.pack("<QQBBBBHIQQQQ", e["number"], e["clock_ms"], 1,
                      KINDS[e["kind"]], e["denied"], RULES.index(e["rule"]),
                      e["status"], e["server"], e["time_ms"], e["version"],
                      e["device"], e["count"])
    for name in TEXTS:
        text = e[name].encode()
        out += struct.pack("<H", len(text)) + text
    return out


def check_chain(lines):
    """The same as godwit audit verify does, without the signatures."""
    hashed, number = bytes(32), 0
    for line in lines[1:]:
        if line["type"] == "checkpoint":
            if number == 0:
                number = line["number"]
                hashed = bytes.fromhex(line["hash"])
            assert line["number"] == number
            assert line["hash"] == hashed.hex()
            continue
        assert line["number"] == number + 1
        number += 1
        hashed = hashlib.sha256(hashed + bytes_of(line)).digest()
        assert line["hash"] == hashed.hex()
    return number


def export(s, path):
    s.cli("audit", "export", str(path))
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def entries(s, *more):
    out = s.cli("audit", "ls", "--json", *more).stdout.decode()
    return [json.loads(line) for line in out.splitlines()]


def told(s, **want):
    """Entries that have all this; waits for the first."""
    def find():
        return [e for e in entries(s)
                if all(e[k] == v for k, v in want.items())]
    return eventually(find, timeout=10)


def denied(call, *args, **more):
    with pytest.raises(botocore.exceptions.ClientError) as error:
        call(*args, **more)
    assert error.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    import server as server_module
    s = server_module.Server()
    path = tmp_path_factory.mktemp("policy") / "policy.json"
    path.write_text(POLICY)
    s.client().create_bucket(Bucket="open")
    s.client().create_bucket(Bucket="shut")
    s.cli("user", "add", "ann", "--access-key", "ANNKEY", "--secret-key",
          "annsecret", "--policy", str(path))
    yield s
    s.close()


@pytest.fixture(scope="module")
def ann(store):
    return store.client(access="ANNKEY", secret="annsecret")


def test_denials_are_told_with_their_rule(store, ann):
    wrong = store.client(access="ANNKEY", secret="not her secret")
    stranger = store.client(access="NOBODY", secret="whatever")
    ann.put_object(Bucket="open", Key="mine", Body=b"x")
    denied(ann.put_object, Bucket="shut", Key="secret", Body=b"x")
    denied(wrong.get_object, Bucket="open", Key="mine")
    denied(stranger.get_object, Bucket="open", Key="mine")
    found, = told(store, operation="PutObject", denied=True)
    assert (found["user"], found["bucket"], found["key"], found["rule"],
            found["status"], found["address"]) == (
                "ann", "shut", "secret", "no rule allows", 403, "127.0.0.1")
    # Whoever has no good signature is not who the key says.
    bad = told(store, rule="signature")
    assert {(e["user"], e["access_key"]) for e in bad} == {
        ("", "ANNKEY"), ("", "NOBODY")}
    # Allowed ones are not told at this level.
    assert not [e for e in entries(store)
                if e["kind"] == "decision" and not e["denied"]]


def test_a_lock_that_denies_is_the_rule(store):
    s3 = store.client()
    s3.create_bucket(Bucket="locked", ObjectLockEnabledForBucket=True)
    version = s3.put_object(Bucket="locked", Key="kept",
                            Body=b"x")["VersionId"]
    s3.put_object_legal_hold(Bucket="locked", Key="kept",
                             LegalHold={"Status": "ON"})
    denied(s3.delete_object, Bucket="locked", Key="kept", VersionId=version)
    reply = s3.delete_objects(Bucket="locked", Delete={
        "Objects": [{"Key": "kept", "VersionId": version}]})
    assert reply["Errors"][0]["Code"] == "AccessDenied"
    found = eventually(lambda: (
        lambda got: got if len(got) == 2 else None)(
            [e for e in entries(store) if e["rule"] == "lock"]))
    assert {e["key"] for e in found} == {"kept"}
    hold, = told(store, operation="OBJECT_HOLD")
    assert (hold["kind"], hold["detail"], hold["user"]) == (
        "change", "hold=on", store.credentials[0])
    s3.put_object_legal_hold(Bucket="locked", Key="kept",
                             LegalHold={"Status": "OFF"})


def test_changes_tell_who_made_them(store):
    made = told(store, kind="change", operation="USER_PUT")[0]
    assert made["detail"].startswith("name=ann value=sha256:")
    assert made["user"] == store.credentials[0]
    assert made["address"] == "127.0.0.1" and made["request"]
    key, = told(store, kind="change", operation="KEY_PUT")
    assert "ANNKEY" in key["detail"]
    s3 = store.client()
    s3.put_bucket_policy(Bucket="shut", Policy=json.dumps({
        "Version": "2012-10-17", "Statement": [{
            "Effect": "Deny", "Principal": "*", "Action": "s3:GetObject",
            "Resource": "arn:aws:s3:::shut/*"}]}))
    change = told(store, kind="change", operation="BUCKET_CONFIG",
                  bucket="shut")[-1]
    assert change["detail"].startswith("kind=POLICY value=sha256:")
    denied(s3.get_object, Bucket="shut", Key="any")
    assert told(store, rule="bucket policy")[0]["user"] == (
        store.credentials[0])
    text = json.dumps(entries(store))
    assert "annsecret" not in text


def test_levels_tell_what_they_say(store, ann):
    def since(number):
        return [e for e in entries(store) if e["number"] > number
                and e["kind"] == "decision"
                and not e["operation"].startswith("Admin")]

    def do(level):
        store.cli("audit", "level", level)
        first = entries(store)[-1]["number"]
        ann.put_object(Bucket="open", Key="k " + level, Body=b"x")
        ann.get_object(Bucket="open", Key="k " + level)
        denied(ann.get_object, Bucket="shut", Key="k")
        time.sleep(0.5)
        return {(e["operation"], e["denied"]) for e in since(first)}

    assert do("none") == set()
    assert do("denied") == {("GetObject", True)}
    assert do("writes") == {("PutObject", False), ("GetObject", True)}
    assert do("all") == {("PutObject", False), ("GetObject", False),
                         ("GetObject", True)}
    allowed = told(store, operation="GetObject", denied=False)[0]
    assert (allowed["rule"], allowed["user"], allowed["key"]) == (
        "user policy", "ann", "k all")
    assert told(store, operation="AUDIT_SETTINGS")[0]["detail"].startswith(
        "level=none")
    store.cli("audit", "level", "all", "--keys", "hashed", "--keep", "90d")
    ann.put_object(Bucket="open", Key="name of a patient", Body=b"x")
    digest = hashlib.sha256(b"open/name of a patient").hexdigest()
    assert told(store, key="sha256:" + digest)
    assert "name of a patient" not in json.dumps(entries(store))
    store.cli("audit", "level", "denied", "--keys", "plain", "--keep", "365d")


def test_ls_shows_what_is_asked_for(store):
    shown = store.cli("audit", "ls", "--bucket", "shut", "--user",
                      "ann").stdout.decode()
    assert shown and all("  ann  " in line and "  shut" in line
                         for line in shown.splitlines())
    assert store.cli("audit", "ls", "--since", "2100-01-01T00:00:00Z"
                     ).stdout == b""
    assert len(entries(store, "--since", "1h")) == len(entries(store))
    level = json.loads(store.cli("audit", "level", "--json").stdout)
    assert (level["level"], level["keys"]) == ("denied", "plain")


def test_what_is_asked_wrongly_is_refused(store):
    for args, why in ((("level", "loud"), b"none, denied, writes or all"),
                      (("level", "--keys", "some"), b"plain or hashed"),
                      (("level", "--keep", "soon"), b"is no time"),
                      (("ls", "--since", "then"), b"neither a time"),
                      (("verify", "--key", "abc"), b"64 hex digits"),
                      (("show",), b"say ls")):
        done = store.cli("audit", *args, check=False)
        assert done.returncode != 0 and why in done.stderr, (args, done)


def test_reading_the_log_needs_a_permission(store):
    got = store.cli("audit", "ls", check=False, env={
        "AWS_ACCESS_KEY_ID": "ANNKEY", "AWS_SECRET_ACCESS_KEY": "annsecret"})
    assert got.returncode == 1 and b"godwit:AdminAudit" in got.stderr


def test_an_export_is_whole_and_no_line_of_it_can_be_another(store, tmp_path):
    path = tmp_path / "log"
    lines = export(store, path)
    assert check_chain(lines) >= len(
        [x for x in lines if x["type"] == "entry"]) > 20
    key = json.loads(store.cli("audit", "level", "--json").stdout)["key"]
    assert run_godwit("audit", "verify", str(path), "--key",
                      key).returncode == 0
    assert b"are whole" in store.cli("audit", "verify").stdout
    other = run_godwit("audit", "verify", str(path), "--key", "0" * 64)
    assert other.returncode == 1 and "not trusted" in other.stderr
    text = path.read_text(encoding="utf-8").splitlines(keepends=True)
    at = next(i for i, x in enumerate(lines) if x.get("denied"))
    for name, changed in {
            "removed": text[:at] + text[at + 1:],
            "changed": text[:at] + [text[at].replace('"denied":true',
                                                     '"denied":false')] +
            text[at + 1:],
            "moved": text[:at] + [text[at + 1], text[at]] + text[at + 2:],
            "cut": text[:-1],
            "begun late": text[:1] + text[at + 1:]}.items():
        bad = tmp_path / "bad"
        bad.write_text("".join(changed), encoding="utf-8")
        got = run_godwit("audit", "verify", str(bad), "--key", key)
        assert got.returncode == 1, (name, got)


def test_a_crash_loses_no_change_and_no_decision_of_a_second_ago(
        make_server, tmp_path):
    s = make_server()
    s.cli("audit", "level", "all")
    s3 = s.client()
    s3.create_bucket(Bucket="bucket")
    for i in range(20):
        s3.put_object(Bucket="bucket", Key=f"old {i}", Body=b"x")
    time.sleep(1)
    for i in range(20):
        s3.put_object(Bucket="bucket", Key=f"new {i}", Body=b"x")
    s.cli("user", "add", "late")
    s.restart(kill=True)
    got = entries(s)
    keys = {e["key"] for e in got}
    assert {f"old {i}" for i in range(20)} <= keys
    assert any(e["operation"] == "USER_PUT" for e in got)
    lines = export(s, tmp_path / "log")
    check_chain(lines)
    assert b"are whole" in s.cli("audit", "verify").stdout
    # A server that is stopped in order loses none.
    s3 = s.client()
    for i in range(20):
        s3.put_object(Bucket="bucket", Key=f"last {i}", Body=b"x")
    s.restart()
    assert {f"last {i}" for i in range(20)} <= {e["key"] for e in entries(s)}


def test_a_flood_of_strangers_is_counted_not_told(make_server):
    s = make_server()
    stranger = s.raw()
    for i in range(200):
        reply = stranger.request("GET", path=f"/bucket/{i}", sign=False)
        assert reply.status in (403, 404)
    lost = told(s, kind="lost")
    assert sum(e["count"] for e in lost) > 0
    assert b"counted, and not told" in s.cli("audit", "verify").stdout


# ---- PutBucketLogging: AWS's access logs ----

FIELD = re.compile(r'"[^"]*"|\[[^\]]*\]|\S+')
NAMES = ("owner bucket time ip requester request operation key uri status "
         "error sent size total turn referer agent version host_id signature "
         "cipher auth host tls point acl").split()


def log_lines(s3, target, prefix):
    """The lines of all logs, in order of their names."""
    out = []
    for page in s3.get_paginator("list_objects_v2").paginate(
            Bucket=target, Prefix=prefix):
        for item in page.get("Contents", []):
            body = s3.get_object(Bucket=target, Key=item["Key"])["Body"].read()
            for line in body.decode().splitlines():
                fields = FIELD.findall(line)
                assert len(fields) == len(NAMES), line
                out.append(dict(zip(NAMES, fields)))
    return out


@pytest.fixture(scope="module")
def logging_store():
    import server as server_module
    s = server_module.Server(flags=["--log-interval", "300ms"])
    yield s
    s.close()


def enable(s3, bucket, target, prefix):
    s3.put_bucket_logging(Bucket=bucket, BucketLoggingStatus={
        "LoggingEnabled": {"TargetBucket": target, "TargetPrefix": prefix}})


def test_access_logs_are_delivered_as_aws_writes_them(logging_store):
    s = logging_store
    s3 = s.client()
    s3.create_bucket(Bucket="source")
    s3.create_bucket(Bucket="target")
    s3.put_object(Bucket="source", Key="before", Body=b"not logged")
    enable(s3, "source", "target", "logs/")
    key = 'a key with "quotes" & caf\xe9'
    s3.put_object(Bucket="source", Key=key, Body=b"x" * 5000)
    assert len(s3.get_object(Bucket="source", Key=key)["Body"].read()) == 5000
    with pytest.raises(botocore.exceptions.ClientError):
        s3.get_object(Bucket="source", Key="missing")
    s.raw().request("GET", path="/source/before", sign=False)
    s3.copy_object(Bucket="source", Key="copy",
                   CopySource={"Bucket": "source", "Key": "before"})
    s3.get_bucket_versioning(Bucket="source")
    s3.list_objects_v2(Bucket="source", Prefix="a")
    s3.delete_objects(Bucket="source", Delete={
        "Objects": [{"Key": "copy"}, {"Key": "never was"}]})
    want = {("REST.PUT.OBJECT", "200"), ("REST.GET.OBJECT", "200"),
            ("REST.GET.OBJECT", "404"), ("REST.GET.OBJECT", "403"),
            ("REST.COPY.OBJECT", "200"), ("REST.GET.VERSIONING", "200"),
            ("REST.GET.BUCKET", "200"), ("BATCH.DELETE.OBJECT", "204"),
            ("REST.POST.MULTI_OBJECT_DELETE", "200")}

    def seen():
        lines = log_lines(s3, "target", "logs/")
        got = {(x["operation"], x["status"]) for x in lines}
        return lines if want <= got else None

    lines = eventually(seen, timeout=15)
    owner = s3.list_buckets()["Owner"]["ID"]
    put = next(x for x in lines if x["operation"] == "REST.PUT.OBJECT")
    assert (put["owner"], put["bucket"], put["requester"], put["ip"]) == (
        owner, "source", owner, "127.0.0.1")
    assert re.fullmatch(r"\[\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d \+0000\]",
                        put["time"])
    assert put["key"] == urllib.parse.quote(key, safe="/~")
    assert put["uri"].startswith('"PUT /source/a%20key')
    assert put["uri"].endswith(' HTTP/1.1"')
    assert (put["size"], put["error"], put["signature"], put["auth"]) == (
        "5000", "-", "SigV4", "AuthHeader")
    assert put["host"] == f"127.0.0.1:{s.port}" and "Boto3" in put["agent"]
    assert int(put["total"]) >= int(put["turn"]) >= 0
    get = next(x for x in lines if x["operation"] == "REST.GET.OBJECT"
               and x["status"] == "200")
    assert (get["sent"], get["size"]) == ("5000", "5000")
    missing = next(x for x in lines if x["status"] == "404")
    assert missing["error"] == "NoSuchKey"
    nobody = next(x for x in lines if x["status"] == "403")
    assert (nobody["requester"], nobody["signature"], nobody["auth"]) == (
        "-", "-", "-")
    assert {x["key"] for x in lines
            if x["operation"] == "BATCH.DELETE.OBJECT"} == {
        "copy", "never%20was"}
    assert not [x for x in lines if x["key"] == "before"
                and x["operation"] == "REST.PUT.OBJECT"]
    name = s3.list_objects_v2(Bucket="target")["Contents"][0]["Key"]
    assert re.fullmatch(r"logs/\d{4}(-\d\d){5}-[0-9A-F]{16}", name)
    assert s3.head_object(Bucket="target", Key=name)[
        "ContentType"] == "text/plain"
    s3.put_bucket_logging(Bucket="source", BucketLoggingStatus={})
    time.sleep(1)
    count = len(log_lines(s3, "target", "logs/"))
    s3.list_objects_v2(Bucket="source")
    time.sleep(1)
    assert len(log_lines(s3, "target", "logs/")) == count


def test_access_logs_are_encrypted_and_partitioned_as_told(logging_store):
    s3 = logging_store.client()
    s3.create_bucket(Bucket="parted")
    s3.create_bucket(Bucket="sealed")
    s3.put_bucket_encryption(
        Bucket="sealed", ServerSideEncryptionConfiguration={"Rules": [{
            "ApplyServerSideEncryptionByDefault": {
                "SSEAlgorithm": "AES256"}}]})
    reply = logging_store.raw().request(  # boto3 here is older than this
        "PUT", "parted", query=[("logging", "")], body=(
            b"<BucketLoggingStatus><LoggingEnabled><TargetBucket>sealed"
            b"</TargetBucket><TargetPrefix>p/</TargetPrefix>"
            b"<TargetObjectKeyFormat><PartitionedPrefix><PartitionDateSource>"
            b"DeliveryTime</PartitionDateSource></PartitionedPrefix>"
            b"</TargetObjectKeyFormat></LoggingEnabled></BucketLoggingStatus>"))
    assert reply.status == 200, reply
    for i in range(300):  # more than is kept in a row
        s3.head_bucket(Bucket="parted")
    found = eventually(lambda: s3.list_objects_v2(
        Bucket="sealed", Prefix="p/").get("Contents"), timeout=15)
    owner = s3.list_buckets()["Owner"]["ID"]
    assert re.fullmatch(
        rf"p/{owner}/us-east-1/parted/\d{{4}}/\d\d/\d\d/"
        r"\d{4}(-\d\d){5}-[0-9A-F]{16}", found[0]["Key"])
    assert s3.head_object(Bucket="sealed", Key=found[0]["Key"])[
        "ServerSideEncryption"] == "AES256"
    eventually(lambda: len(log_lines(s3, "sealed", "p/")) >= 300, timeout=15)


def test_access_logs_go_to_no_one_elses_bucket(logging_store):
    s = logging_store
    s.cli("user", "add", "eve", "--access-key", "EVEKEY", "--secret-key",
          "evesecret")
    eve = s.client(access="EVEKEY", secret="evesecret")
    eve.create_bucket(Bucket="eves")
    s.client().create_bucket(Bucket="roots")
    with pytest.raises(botocore.exceptions.ClientError) as error:
        enable(eve, "eves", "roots", "")
    assert error.value.response["Error"]["Code"] == (
        "InvalidTargetBucketForLogging")


def test_a_server_that_stops_delivers_what_it_has(make_server):
    s = make_server("--log-interval", "1h")
    s3 = s.client()
    s3.create_bucket(Bucket="one")
    enable(s3, "one", "one", "log")
    s3.list_objects_v2(Bucket="one")
    s.restart()
    lines = log_lines(s.client(), "one", "log")
    assert "REST.GET.BUCKET" in {x["operation"] for x in lines}
