"""Goal: what a bucket is told to be it says again and does, as AWS. Method:
boto3 for what it sends; our own client for documents and headers it does
not."""
import base64
import hashlib
import json
import os
import sys
import time

import pytest

sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)),
                             "../cluster"))

from server import Server
from wall_clock import WallClock, why_not
from util import blob, etag, eventually, md5, need, refused, run

NS = "http://s3.amazonaws.com/doc/2006-03-01/"


def put_document(raw, bucket, sub, body):
    return raw.request("PUT", bucket, query=[(sub, "")], body=body)


# ---- tagging ----

def test_tags_of_a_bucket(s3, bucket):
    with refused(404, "NoSuchTagSet"):
        s3.get_bucket_tagging(Bucket=bucket)
    tags = [{"Key": "b", "Value": "two words"}, {"Key": "ä", "Value": ""}]
    reply = s3.put_bucket_tagging(Bucket=bucket, Tagging={"TagSet": tags})
    assert reply["ResponseMetadata"]["HTTPStatusCode"] == 200
    assert s3.get_bucket_tagging(Bucket=bucket)["TagSet"] == tags
    reply = s3.delete_bucket_tagging(Bucket=bucket)
    assert reply["ResponseMetadata"]["HTTPStatusCode"] == 204
    with refused(404, "NoSuchTagSet"):
        s3.get_bucket_tagging(Bucket=bucket)
    s3.delete_bucket_tagging(Bucket=bucket)  # nothing to delete is no error


@pytest.mark.parametrize("tags, code", [
    ([("a", "1"), ("a", "2")], "InvalidTag"),
    ([("aws:a", "1")], "InvalidTag"),
    ([("a" * 129, "1")], "InvalidTag"),
    ([("a", "1" * 257)], "InvalidTag"),
    ([("a", "<")], "InvalidTag"),
    ([(str(i), "") for i in range(51)], "BadRequest"),
])
def test_tags_that_are_refused(s3, bucket, tags, code):
    with refused(400, code):
        s3.put_bucket_tagging(Bucket=bucket, Tagging={
            "TagSet": [{"Key": k, "Value": v} for k, v in tags]})
    with refused(404, "NoSuchTagSet"):
        s3.get_bucket_tagging(Bucket=bucket)


def test_tags_need_a_bucket_and_xml(s3, raw, bucket):
    for call in (s3.get_bucket_tagging, s3.delete_bucket_tagging):
        with refused(404, "NoSuchBucket"):
            call(Bucket="no-such-bucket")
    with refused(404, "NoSuchBucket"):
        s3.put_bucket_tagging(Bucket="no-such-bucket",
                              Tagging={"TagSet": []})
    reply = put_document(raw, bucket, "tagging", b"<Tagging>")
    assert (reply.status, reply.code) == (400, "MalformedXML")
    reply = raw.request("PUT", bucket, query=[("tagging", "")],
                        body=b"<Tagging><TagSet/></Tagging>",
                        headers={"Content-MD5": "AAAAAAAAAAAAAAAAAAAAAA=="})
    assert (reply.status, reply.code) == (400, "BadDigest")


def test_a_new_bucket_has_no_tags_of_its_namesake(s3, bucket):
    s3.put_bucket_tagging(Bucket=bucket, Tagging={
        "TagSet": [{"Key": "a", "Value": "1"}]})
    s3.delete_bucket(Bucket=bucket)
    s3.create_bucket(Bucket=bucket)
    with refused(404, "NoSuchTagSet"):
        s3.get_bucket_tagging(Bucket=bucket)


# ---- logging, notification ----

def test_logging_is_kept_and_given_back(s3, raw, bucket):
    assert "LoggingEnabled" not in s3.get_bucket_logging(Bucket=bucket)
    with refused(400, "InvalidTargetBucketForLogging"):
        s3.put_bucket_logging(Bucket=bucket, BucketLoggingStatus={
            "LoggingEnabled": {"TargetBucket": "no-such-bucket",
                               "TargetPrefix": "a/"}})
    to = {"TargetBucket": bucket, "TargetPrefix": "log <&>/"}
    s3.put_bucket_logging(Bucket=bucket,
                          BucketLoggingStatus={"LoggingEnabled": to})
    assert s3.get_bucket_logging(Bucket=bucket)["LoggingEnabled"] == to
    s3.put_bucket_logging(Bucket=bucket, BucketLoggingStatus={})
    reply = raw.request("GET", bucket, query=[("logging", "")])
    assert reply.status == 200
    assert list(reply.xml) == [] and reply.xml.tag == "BucketLoggingStatus"


def test_events_are_refused_and_none_is_taken(s3, bucket):
    def events():
        reply = s3.get_bucket_notification_configuration(Bucket=bucket)
        return {k: v for k, v in reply.items() if k != "ResponseMetadata"}

    assert events() == {}
    with refused(400, "InvalidArgument"):
        s3.put_bucket_notification_configuration(
            Bucket=bucket, NotificationConfiguration={
                "QueueConfigurations": [{
                    "QueueArn": "arn:aws:sqs:us-east-1:1:q",
                    "Events": ["s3:ObjectCreated:*"]}]})
    s3.put_bucket_notification_configuration(Bucket=bucket,
                                             NotificationConfiguration={})
    assert events() == {}


def test_who_pays(s3, bucket):
    assert s3.get_bucket_request_payment(Bucket=bucket)["Payer"] == (
        "BucketOwner")


# ---- CORS ----

RULES = [{"ID": "app", "AllowedOrigins": ["http://app.test",
                                         "https://*.app.test"],
          "AllowedMethods": ["GET", "PUT"], "AllowedHeaders": ["x-amz-*"],
          "ExposeHeaders": ["ETag", "x-amz-meta-a"], "MaxAgeSeconds": 600},
         {"AllowedOrigins": ["*"], "AllowedMethods": ["GET"]}]


@pytest.fixture
def cors(s3, bucket):
    s3.put_bucket_cors(Bucket=bucket,
                       CORSConfiguration={"CORSRules": RULES})
    return bucket


def preflight(raw, bucket, origin="http://app.test", method="PUT",
              headers=None, key="k"):
    out = []
    if origin:
        out.append(("Origin", origin))
    if method:
        out.append(("Access-Control-Request-Method", method))
    if headers:
        out.append(("Access-Control-Request-Headers", headers))
    return raw.request("OPTIONS", bucket, key, extra=out, sign=False)


def test_cors_rules_are_kept(s3, bucket):
    with refused(404, "NoSuchCORSConfiguration"):
        s3.get_bucket_cors(Bucket=bucket)
    s3.put_bucket_cors(Bucket=bucket,
                       CORSConfiguration={"CORSRules": RULES})
    assert s3.get_bucket_cors(Bucket=bucket)["CORSRules"] == RULES
    s3.delete_bucket_cors(Bucket=bucket)
    with refused(404, "NoSuchCORSConfiguration"):
        s3.get_bucket_cors(Bucket=bucket)
    with refused(400, "InvalidRequest"):
        s3.put_bucket_cors(Bucket=bucket, CORSConfiguration={
            "CORSRules": [{"AllowedOrigins": ["*"],
                           "AllowedMethods": ["OPTIONS"]}]})


def test_a_preflight_that_is_allowed(raw, cors):
    reply = preflight(raw, cors, headers="X-Amz-Date, x-amz-meta-a")
    assert reply.status == 200 and reply.body == b""
    h = reply.headers
    assert h["access-control-allow-origin"] == "http://app.test"
    assert h["access-control-allow-methods"] == "GET, PUT"
    assert h["access-control-allow-headers"] == "x-amz-date, x-amz-meta-a"
    assert h["access-control-expose-headers"] == "ETag, x-amz-meta-a"
    assert h["access-control-max-age"] == "600"
    assert h["access-control-allow-credentials"] == "true"
    assert h["vary"] == ("Origin, Access-Control-Request-Headers, "
                         "Access-Control-Request-Method")
    reply = preflight(raw, cors, origin="http://other.test", method="GET")
    assert reply.headers["access-control-allow-origin"] == "*"
    assert "access-control-allow-credentials" not in reply.headers


def test_preflights_that_are_refused(raw, bucket, cors, s3):
    for reply in (preflight(raw, cors, method="DELETE"),
                  preflight(raw, cors, origin="http://other.test"),
                  preflight(raw, cors, headers="range")):
        assert (reply.status, reply.code) == (403, "AccessForbidden")
        assert b"This CORS request is not allowed" in reply.body
        assert "access-control-allow-origin" not in reply.headers
    for reply in (preflight(raw, cors, origin=None),
                  preflight(raw, cors, method=None),
                  preflight(raw, cors, method="BREW")):
        assert (reply.status, reply.code) == (400, "BadRequest")
    reply = preflight(raw, "no-such-bucket")
    assert (reply.status, reply.code) == (403, "AccessForbidden")
    s3.delete_bucket_cors(Bucket=cors)
    reply = preflight(raw, cors)
    assert b"CORS is not enabled" in reply.body and reply.status == 403


def test_answers_to_pages_say_who_may_read_them(raw, cors):
    def origin(name):
        return [("Origin", name)]

    for reply in (raw.put(cors, "k", b"x", origin("https://x.app.test")),
                  raw.put(cors, "big", b"x" * 100000,
                          origin("https://x.app.test")),
                  raw.get(cors, "k", origin("https://x.app.test")),
                  raw.get(cors, "big", origin("https://x.app.test")),
                  raw.get(cors, "none", origin("https://x.app.test")),
                  raw.request("GET", cors,
                              headers=origin("https://x.app.test"))):
        assert reply.headers["access-control-allow-origin"] == (
            "https://x.app.test"), reply
        assert "Origin" in reply.headers["vary"]
    reply = raw.get(cors, "k", extra=origin("http://other.test"), sign=False)
    assert reply.status == 403
    assert reply.headers["access-control-allow-origin"] == "*"
    reply = raw.head(cors, "k", origin("http://app.test"))
    assert reply.status == 200
    assert "access-control-allow-origin" not in reply.headers
    reply = raw.get(cors, "k")
    assert not any("access-control" in name for name in reply.headers)


# ---- POST of forms ----

def form_body(fields, content, filename="f.txt", boundary="XbX", tail=""):
    out = b""
    for name, value in fields.items():
        out += (f"--{boundary}\r\nContent-Disposition: form-data; "
                f'name="{name}"\r\n\r\n{value}\r\n').encode()
    if content is not None:
        out += (f"--{boundary}\r\nContent-Disposition: form-data; "
                f'name="file"; filename="{filename}"\r\n'
                "Content-Type: text/plain\r\n\r\n").encode()
        out += content + b"\r\n"
    return out + f"--{boundary}--\r\n{tail}".encode()


def post_form(raw, bucket, fields, content, **more):
    body = form_body(fields, content, **more)
    return raw.request(
        "POST", bucket, sign=False, body=body,
        extra=[("Content-Type", "multipart/form-data; boundary=XbX")])


def signed_form(s3, bucket, key, fields=None, conditions=None):
    return s3.generate_presigned_post(bucket, key, Fields=fields,
                                      Conditions=conditions)["fields"]


@pytest.mark.parametrize("size", [0, 1, 4095, 4096, 4097, 16384, 100000,
                                  1 << 20, 5000000])
def test_a_form_brings_a_file(s3, raw, bucket, size):
    data = blob(size)
    reply = post_form(raw, bucket, signed_form(s3, bucket, "dir/${filename}"),
                      data, filename="C:\\x\\ä b.bin")
    assert (reply.status, reply.body) == (204, b"")
    assert reply.headers["etag"] == etag(data)
    assert reply.headers["location"].endswith(
        f"/{bucket}/dir/%C3%A4%20b.bin")
    got = s3.get_object(Bucket=bucket, Key="dir/ä b.bin")
    assert got["Body"].read() == data
    assert got["ContentType"] == "binary/octet-stream"


def test_a_form_of_curl(s3, server, bucket, tmp):
    post = s3.generate_presigned_post(
        bucket, "k", Fields={"success_action_status": "201",
                             "Content-Type": "text/x",
                             "x-amz-meta-a": "b c"},
        Conditions=[{"success_action_status": "201"},
                    ["starts-with", "$Content-Type", "text/"],
                    {"x-amz-meta-a": "b c"}])
    path = os.path.join(tmp, "file")
    data = blob(300000)
    with open(path, "wb") as out:
        out.write(data)
    command = [need("curl"), "-sS", "-w", "%{http_code}"]
    for name, value in post["fields"].items():
        command += ["-F", f"{name}={value}"]
    out = run(*command, "-F", f"file=@{path}", post["url"]).stdout
    assert out.endswith("201") and "<PostResponse>" in out
    assert f"<Bucket>{bucket}</Bucket><Key>k</Key>" in out
    got = s3.get_object(Bucket=bucket, Key="k")
    assert got["Body"].read() == data
    assert (got["ContentType"], got["Metadata"]) == ("text/x", {"a": "b c"})


def test_what_a_form_asks_for_as_an_answer(s3, raw, bucket):
    def post(name, value):
        fields = signed_form(s3, bucket, "k", {name: value}, [{name: value}])
        return post_form(raw, bucket, fields, b"x")

    assert post("success_action_status", "200").status == 200
    assert post("success_action_status", "302").status == 204
    reply = post("success_action_redirect", "http://app.test/done?a=1")
    assert reply.status == 303
    assert reply.headers["location"] == (
        f"http://app.test/done?a=1&bucket={bucket}&key=k&etag="
        f"%22{md5(b'x')}%22")
    assert post("success_action_redirect", "javascript:x").status == 204


def test_a_form_is_judged_by_its_key_and_its_fields(s3, raw, bucket):
    """The policy of the bucket binds a form as it binds a PUT."""
    def rule(effect, keys, **more):
        return {"Effect": effect, "Principal": "*", "Action": "s3:PutObject",
                "Resource": f"arn:aws:s3:::{bucket}{keys}", **more}

    def form(key, fields=None):
        if fields is None:
            return post_form(raw, bucket, signed_form(s3, bucket, key),
                             b"x").status
        return post_form(raw, bucket, {"key": key, **fields}, b"x").status

    s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps({
        "Version": "2012-10-17", "Statement": [
            rule("Deny", "/secret/*"), rule("Allow", ""),
            rule("Allow", "/pub/*", Condition={
                "StringEquals": {"s3:x-amz-storage-class": "STANDARD"}})]}))
    assert form("free") == 204
    assert form("secret/x") == 403
    marked = {"x-amz-storage-class": "STANDARD"}
    assert form("pub/x", marked) == 204
    assert form("pub/y", {}) == 403
    assert form("free2", marked) == 403
    s3.delete_bucket_policy(Bucket=bucket)
    keys = [o["Key"] for o in s3.list_objects_v2(Bucket=bucket)["Contents"]]
    assert keys == ["free", "pub/x"]


def test_forms_that_are_refused(s3, raw, bucket):
    fields = signed_form(s3, bucket, "k")

    def refuse(status, code, changed, content=b"x", **more):
        reply = post_form(raw, bucket, changed, content, **more)
        assert (reply.status, reply.code) == (status, code), reply

    def without(name):
        return {k: v for k, v in fields.items() if k != name}

    refuse(403, "AccessDenied", {"key": "k"})
    refuse(403, "AccessDenied", {**fields, "key": "other"})
    refuse(403, "AccessDenied", {**fields, "x-amz-meta-a": "extra"})
    refuse(403, "SignatureDoesNotMatch",
           {**fields, "x-amz-signature": "0" * 64})
    refuse(403, "InvalidAccessKeyId", {
        **fields, "x-amz-credential": "AKNOBODY/" + fields[
            "x-amz-credential"].split("/", 1)[1]})
    refuse(400, "InvalidArgument", without("x-amz-signature"))
    refuse(400, "InvalidArgument", {**fields, "x-amz-credential": "x"})
    refuse(400, "InvalidArgument", {**fields, "x-amz-meta-a": "a\x01"})
    refuse(400, "IncorrectNumberOfFilesInPostRequest", fields, None)
    refuse(400, "MaxPostPreDataLengthExceeded",
           {**fields, "x-ignore-me": "x" * 20480})
    # The file's own bytes look like a form; what follows it does not count.
    post_form(raw, bucket, fields, b"--XbX--", tail="--XbX\r\nnonsense")
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"--XbX--"
    reply = raw.request("POST", bucket, sign=False, body=b"x",
                        extra=[("Content-Type", "text/plain")])
    assert reply.code in ("AccessDenied", "PreconditionFailed")
    for kind, status, code in (
            ("multipart/form-data", 400, "MalformedPOSTRequest"),
            ("multipart/form-data; boundary=other", 400,
             "MalformedPOSTRequest")):
        reply = raw.request("POST", bucket, sign=False,
                            body=form_body(fields, b"x"),
                            extra=[("Content-Type", kind)])
        assert (reply.status, reply.code) == (status, code)
    reply = raw.request("POST", bucket, body=b"x")
    assert (reply.status, reply.code) == (412, "PreconditionFailed")
    # Only plain uploads come without a signature of their own.
    reply = raw.request("POST", bucket, query=[("delete", "")], sign=False,
                        body=form_body(fields, b"x"),
                        extra=[("Content-Type",
                                "multipart/form-data; boundary=XbX")])
    assert reply.status in (400, 403)
    assert raw.get(bucket, "k").status == 200


@pytest.mark.parametrize("size, code", [
    (99, "EntityTooSmall"), (100, None), (200000, None),
    (200001, "EntityTooLarge"), (9000000, "EntityTooLarge")])
def test_a_policy_bounds_the_file(s3, raw, bucket, size, code):
    fields = signed_form(s3, bucket, "k", None,
                         [["content-length-range", 100, 200000]])
    reply = post_form(raw, bucket, fields, blob(size))
    assert (reply.status, reply.code) == (400 if code else 204, code)
    assert raw.head(bucket, "k").status == (404 if code else 200)


# ---- lifecycle ----

def test_lifecycle_rules_are_kept(s3, bucket):
    with refused(404, "NoSuchLifecycleConfiguration"):
        s3.get_bucket_lifecycle_configuration(Bucket=bucket)
    rules = [
        {"ID": "a", "Status": "Enabled", "Filter": {"Prefix": "log/"},
         "Expiration": {"Days": 30}},
        {"ID": "b", "Status": "Disabled", "Filter": {"And": {
            "Prefix": "x", "Tags": [{"Key": "k", "Value": "v"}],
            "ObjectSizeGreaterThan": 10, "ObjectSizeLessThan": 20}},
         "NoncurrentVersionExpiration": {"NoncurrentDays": 3,
                                         "NewerNoncurrentVersions": 2}},
        {"ID": "c", "Status": "Enabled", "Filter": {},
         "Expiration": {"ExpiredObjectDeleteMarker": True},
         "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 7}},
    ]
    s3.put_bucket_lifecycle_configuration(
        Bucket=bucket, LifecycleConfiguration={"Rules": rules})
    got = s3.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]
    assert got == rules
    with refused(501, "NotImplemented"):
        s3.put_bucket_lifecycle_configuration(
            Bucket=bucket, LifecycleConfiguration={"Rules": [
                {"Status": "Enabled", "Filter": {}, "Transitions": [
                    {"Days": 1, "StorageClass": "GLACIER"}]}]})
    with refused(400, "InvalidArgument"):
        s3.put_bucket_lifecycle_configuration(
            Bucket=bucket, LifecycleConfiguration={"Rules": [
                {"Status": "Enabled", "Filter": {},
                 "Expiration": {"Days": 0}}]})
    assert s3.get_bucket_lifecycle_configuration(
        Bucket=bucket)["Rules"] == rules
    s3.delete_bucket_lifecycle(Bucket=bucket)
    with refused(404, "NoSuchLifecycleConfiguration"):
        s3.get_bucket_lifecycle_configuration(Bucket=bucket)


def lifecycle(*rules):
    return ("<LifecycleConfiguration>" + "".join(
        f"<Rule><ID>{name}</ID><Status>Enabled</Status>{body}</Rule>"
        for name, body in rules) + "</LifecycleConfiguration>").encode()


def days(prefix, n):
    return (f"<Filter><Prefix>{prefix}</Prefix></Filter>"
            f"<Expiration><Days>{n}</Days></Expiration>")


def test_answers_tell_when_an_object_expires(s3, raw, bucket):
    put_document(raw, bucket, "lifecycle", lifecycle(
        ("a b", days("log/", 3)),
        ("tagged", "<Filter><Tag><Key>k</Key><Value>v</Value></Tag></Filter>"
                   "<Expiration><Days>1</Days></Expiration>")))

    def told(n, rule):
        day = (int(time.time()) // 86400 + n + 1) * 86400
        date = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(day))
        return f'expiry-date="{date}", rule-id="{rule}"'

    for size in (1, 100000):
        reply = raw.put(bucket, "log/x", b"x" * size)
        assert reply.headers["x-amz-expiration"] == told(3, "a%20b")
        for reply in (raw.get(bucket, "log/x"), raw.head(bucket, "log/x")):
            assert reply.headers["x-amz-expiration"] == told(3, "a%20b")
    reply = raw.put(bucket, "log/y", b"x", [("x-amz-tagging", "k=v&a=b")])
    assert reply.headers["x-amz-expiration"] == told(1, "tagged")
    assert raw.head(bucket, "log/y").headers["x-amz-expiration"] == (
        told(1, "tagged"))
    assert "x-amz-expiration" not in raw.put(bucket, "x", b"x").headers
    s3.delete_bucket_lifecycle(Bucket=bucket)
    assert "x-amz-expiration" not in raw.head(bucket, "log/x").headers


class Year:
    """A store whose clock a test moves from day to day. It believes a clock
    only from its start on, so each day is a start."""

    def __init__(self, tmp):
        self.clock = WallClock(tmp)
        self.server = Server(
            flags=["--lifecycle-interval", "100ms", "--gc-interval", "100ms",
                   "--gc-delay", "0s"], env=self.clock.env())
        self.day = 0

    def go_to(self, day):
        self.server.stop()
        self.day = day
        self.clock.set(day * 86400)
        self.server.start()

    def request(self, *args, **more):
        return self.server.raw().request(
            *args, now=time.time() + self.day * 86400, **more)

    def walked(self):
        """Two rounds have begun and one has ended since this was called."""
        time.sleep(1)

    def keys(self, bucket):
        reply = self.request("GET", bucket, query=[("list-type", "2")])
        return [e.text for e in reply.xml.iter("Key")]

    def versions(self, bucket):
        root = self.request("GET", bucket, query=[("versions", "")]).xml
        return [(e.tag, e.findtext("Key"), e.findtext("IsLatest"))
                for e in root if e.tag in ("Version", "DeleteMarker")]


@pytest.fixture
def year(tmp):
    if why_not():
        pytest.skip(why_not())
    y = Year(tmp)
    yield y
    y.server.close()


def test_a_year_of_expiry(year):
    b = "plain"
    year.request("PUT", b)
    for key in ("log/a", "log/b", "keep", "year"):
        assert year.request("PUT", b, key, body=key.encode()).status == 200
    assert year.request("PUT", b, "log/big", body=b"x" * 100000).status == 200
    upload = year.request("POST", b, "up", query=[("uploads", "")])
    assert upload.status == 200
    reply = year.request("PUT", b, query=[("lifecycle", "")], body=lifecycle(
        ("month", days("log/", 30)), ("year", days("year", 365)),
        ("parts", "<Filter/><AbortIncompleteMultipartUpload>"
                  "<DaysAfterInitiation>400</DaysAfterInitiation>"
                  "</AbortIncompleteMultipartUpload>")))
    assert reply.status == 200, reply
    every = ["keep", "log/a", "log/b", "log/big", "year"]
    year.walked()
    assert year.keys(b) == every
    year.go_to(29)
    year.walked()
    assert year.keys(b) == every
    # Written again: its month begins anew.
    assert year.request("PUT", b, "log/b", body=b"log/b").status == 200
    year.go_to(32)
    eventually(lambda: year.keys(b) == ["keep", "log/b", "year"])
    year.walked()
    assert year.keys(b) == ["keep", "log/b", "year"]
    year.go_to(62)
    eventually(lambda: year.keys(b) == ["keep", "year"])
    year.go_to(367)
    eventually(lambda: year.keys(b) == ["keep"])
    assert year.request("GET", b, "keep").body == b"keep"


def test_versions_and_markers_expire(year):
    b = "kept"
    year.request("PUT", b)
    reply = year.request(
        "PUT", b, query=[("versioning", "")],
        body=b"<VersioningConfiguration><Status>Enabled</Status>"
             b"</VersioningConfiguration>")
    assert reply.status == 200, reply
    for body in (b"1", b"2", b"3"):
        year.request("PUT", b, "k", body=body)
    reply = year.request("PUT", b, query=[("lifecycle", "")], body=lifecycle(
        ("old", "<Filter/><NoncurrentVersionExpiration><NoncurrentDays>5"
                "</NoncurrentDays><NewerNoncurrentVersions>1"
                "</NewerNoncurrentVersions></NoncurrentVersionExpiration>"),
        ("new", days("", 20)),
        ))
    assert reply.status == 200, reply
    year.walked()
    assert len(year.versions(b)) == 3
    year.go_to(7)
    eventually(lambda: year.versions(b) == [("Version", "k", "true"),
                                            ("Version", "k", "false")])
    assert year.request("GET", b, "k").body == b"3"
    year.go_to(22)  # the current one expires by a marker
    eventually(lambda: year.versions(b)[:1] == [("DeleteMarker", "k", "true")])
    assert year.request("GET", b, "k").status == 404
    reply = year.request("PUT", b, query=[("lifecycle", "")], body=lifecycle(
        ("old", "<Filter/><Expiration><ExpiredObjectDeleteMarker>true"
                "</ExpiredObjectDeleteMarker></Expiration>"
                "<NoncurrentVersionExpiration><NoncurrentDays>5"
                "</NoncurrentDays></NoncurrentVersionExpiration>")))
    assert reply.status == 200, reply
    year.walked()
    eventually(lambda: len(year.versions(b)) == 2)
    year.go_to(29)  # nothing is left below the marker, so it goes too
    eventually(lambda: year.versions(b) == [])


def test_unfinished_uploads_are_aborted_by_rule(year):
    b = "uploads"
    year.request("PUT", b)
    year.server.flags += ["--upload-expiry", "3650d"]
    year.go_to(0)
    assert year.request("POST", b, "up/a", query=[("uploads", "")]).status == (
        200)
    assert year.request("POST", b, "other", query=[("uploads", "")]).status == (
        200)
    year.request("PUT", b, query=[("lifecycle", "")], body=lifecycle((
        "parts", "<Filter><Prefix>up/</Prefix></Filter>"
                 "<AbortIncompleteMultipartUpload><DaysAfterInitiation>2"
                 "</DaysAfterInitiation></AbortIncompleteMultipartUpload>")))

    def uploads():
        reply = year.request("GET", b, query=[("uploads", "")])
        return [e.findtext("Key") for e in reply.xml.iter("Upload")]

    reply = year.request("POST", b, "up/b", query=[("uploads", "")])
    day = (int(time.time()) // 86400 + 3) * 86400
    told = (time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(day)),
            "parts")
    upload = reply.xml.findtext("UploadId")
    for reply in (reply, year.request("GET", b, "up/b",
                                      query=[("uploadId", upload)])):
        assert (reply.headers["x-amz-abort-date"],
                reply.headers["x-amz-abort-rule-id"]) == told
    year.walked()
    assert uploads() == ["other", "up/a", "up/b"]
    year.go_to(4)
    eventually(lambda: uploads() == ["other"])


# ---- SSE-C ----

SSE_C = "x-amz-server-side-encryption-customer-"


def customer(secret, **change):
    md5_text = base64.b64encode(hashlib.md5(secret).digest()).decode()
    out = {"algorithm": "AES256", "key": base64.b64encode(secret).decode(),
           "key-MD5": md5_text, **change}
    return [(SSE_C + n, v) for n, v in out.items() if v is not None]


KEY = bytes(range(32))
OTHER = bytes(range(1, 33))
EDGES = [0, 1, 4096, 4097, 16368, 16369, 65535, 65536, 65537, 131072, 262144,
         1 << 20, (1 << 23) - 1, (1 << 23) + 1, 20_000_001]


@pytest.mark.parametrize("size", EDGES)
def test_sealed_objects_come_back(raw, bucket, size):
    data = blob(size)
    reply = raw.put(bucket, "k", data, customer(KEY))
    assert reply.status == 200, reply
    assert reply.headers[SSE_C + "algorithm"] == "AES256"
    assert reply.headers["etag"] != etag(data)
    got = raw.get(bucket, "k", customer(KEY))
    assert got.status == 200 and got.body == data
    assert got.headers["etag"] == reply.headers["etag"]
    assert got.headers[SSE_C + "key-md5"] == customer(KEY)[2][1]
    assert not any("godwit-" in n for n in got.headers)
    head = raw.head(bucket, "k", customer(KEY))
    assert head.headers["content-length"] == str(size)
    for first, last in ((0, 0), (1, 2), (65535, 65536), (65536, 65536),
                        (100, 200000), (8388600, 8388620), (size - 1, size)):
        if not 0 <= first < size:
            continue
        got = raw.get(bucket, "k",
                      customer(KEY) + [("Range", f"bytes={first}-{last}")])
        assert got.status == 206
        assert got.body == data[first:last + 1], (first, last)


def test_a_sealed_object_of_boto3_and_its_chunks(s3, raw, bucket):
    data = blob(300000)
    s3.put_object(Bucket=bucket, Key="k", Body=data, SSECustomerKey=KEY,
                  SSECustomerAlgorithm="AES256", Metadata={"a": "b"})
    got = s3.get_object(Bucket=bucket, Key="k", SSECustomerKey=KEY,
                        SSECustomerAlgorithm="AES256")
    assert got["Body"].read() == data and got["Metadata"] == {"a": "b"}
    reply = raw.put_chunked(bucket, "c", data,
                            "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
                            headers=customer(KEY))
    assert reply.status == 200, reply
    assert raw.get(bucket, "c", customer(KEY)).body == data
    for size in (10, 300000):
        form = signed_form(s3, bucket, "f", dict(customer(KEY)),
                           [{n: v} for n, v in customer(KEY)])
        reply = post_form(raw, bucket, form, data[:size])
        assert reply.status == 204, reply
        assert raw.get(bucket, "f", customer(KEY)).body == data[:size]


def test_sealed_objects_need_their_key(raw, bucket):
    raw.put(bucket, "k", b"secret", customer(KEY))
    raw.put(bucket, "plain", b"plain")
    for call in (raw.get, raw.head):
        assert call(bucket, "k").status == 400
        assert call(bucket, "k", customer(OTHER)).status == 403
        assert call(bucket, "plain", customer(KEY)).status == 400
    assert raw.get(bucket, "k").code == "InvalidRequest"
    assert raw.get(bucket, "k", query=[("attributes", "")], headers=[
        ("x-amz-object-attributes", "ETag")]).status == 400
    for change, code in (
            ({"algorithm": None}, "InvalidArgument"),
            ({"algorithm": "DES"}, "InvalidEncryptionAlgorithmError"),
            ({"key": None}, "InvalidArgument"),
            ({"key": "AAAA"}, "InvalidArgument"),
            ({"key-MD5": None}, "InvalidArgument"),
            ({"key-MD5": "AAAAAAAAAAAAAAAAAAAAAA=="}, "InvalidArgument")):
        reply = raw.put(bucket, "x", b"x", customer(KEY, **change))
        assert (reply.status, reply.code) == (400, code)
        reply = raw.get(bucket, "k", customer(KEY, **change))
        assert (reply.status, reply.code) == (400, code)
    assert raw.head(bucket, "x").status == 404


def test_no_disk_has_what_was_sealed(make_server, bucket_of):
    s = make_server()
    bucket = bucket_of(s)
    marks = [f"needle-{n:02}-in-the-hay".encode() for n in range(3)]
    for mark, size in zip(marks, (1, 10, 4000)):
        reply = s.raw().put(bucket, f"k{size}", mark * size, customer(KEY))
        assert reply.status == 200
    plain = b"hay-without-a-needle"
    s.raw().put(bucket, "plain", plain)
    s.stop()
    found = set()
    for folder, _, files in os.walk(s.data):
        for name in files:
            with open(os.path.join(folder, name), "rb") as file:
                data = file.read()
            found |= {m for m in marks + [plain, KEY, base64.b64encode(KEY)]
                      if m in data}
    assert found == {plain}
    s.start()
    for mark, size in zip(marks, (1, 10, 4000)):
        assert s.raw().get(bucket, f"k{size}", customer(KEY)).body == (
            mark * size)
