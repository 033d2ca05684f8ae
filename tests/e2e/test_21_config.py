"""Goal: what a bucket is told to be it says again and does, as AWS. Method:
boto3 for what it sends; our own client for documents and headers it does
not."""
import pytest

from util import refused

NS = "http://s3.amazonaws.com/doc/2006-03-01/"


def put_document(raw, bucket, sub, body):
    return raw.request("PUT", bucket, query=[(sub, "")], body=body)


# ---- tagging ----

def test_tags_of_a_bucket(s3, bucket):
    with refused(404, "NoSuchTagSet"):
        s3.get_bucket_tagging(Bucket=bucket)
    tags = [{"Key": "b", "Value": "two words"}, {"Key": "ä", "Value": ""}]
    reply = s3.put_bucket_tagging(Bucket=bucket, Tagging={"TagSet": tags})
    assert reply["ResponseMetadata"]["HTTPStatusCode"] == 204
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
