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
