"""Goal: only who holds the keys gets in, by every way of signing. Method: valid
requests of botocore and of our own signer, then each field made wrong."""
import time
import urllib.error
import urllib.request

import botocore.auth
import botocore.awsrequest
import botocore.credentials
import pytest

from s3http import S3
from sigv4 import Signer, UNSIGNED, amz_date
from util import blob, error_field, refused


def fetch(url, method="GET", body=None, headers=None):
    request = urllib.request.Request(url, method=method, data=body,
                                     headers=headers or {})
    try:
        with urllib.request.urlopen(request, timeout=20) as reply:
            return reply.status, reply.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def test_our_signer_equals_botocores():
    path = S3.path("b", "a b+c%/é~'\"()*!")
    query = [("prefix", "x y/é"), ("list-type", "2"), ("empty", "")]
    request = botocore.awsrequest.AWSRequest(
        method="GET", url=f"http://h:1{path}?{Signer.canonical_query(query)}",
        headers={"Host": "h:1", "X-Amz-Meta-A": "  b   c "})
    botocore.auth.S3SigV4Auth(botocore.credentials.Credentials(
        "AK", "SECRET"), "s3", "us-east-1").add_auth(request)
    date = request.headers["X-Amz-Date"]
    import calendar
    now = calendar.timegm(time.strptime(date, "%Y%m%dT%H%M%SZ"))
    ours, _, _ = Signer("AK", "SECRET").headers(
        "GET", path, query, [("Host", "h:1"), ("X-Amz-Meta-A", "  b   c ")],
        request.headers["X-Amz-Content-SHA256"], now)
    assert dict(ours)["Authorization"] == request.headers["Authorization"]


def test_wrong_secret(server, raw, bucket):
    with refused(403, "SignatureDoesNotMatch"):
        server.client(secret="x" * 40).list_buckets()
    wrong = Signer(server.credentials[0], "wrong")
    reply = raw.get(bucket, "k", signer=wrong)
    assert (reply.status, reply.code) == (403, "SignatureDoesNotMatch")
    assert raw.put(bucket, "k", b"x", signer=wrong).status == 403
    assert raw.get(bucket, "k").status == 404


def test_unknown_access_key(server, raw, bucket):
    with refused(403, "InvalidAccessKeyId"):
        server.client(access="AKNOBODY").list_buckets()
    reply = raw.get(bucket, "k", signer=Signer("AKNOBODY", "x"))
    assert error_field(reply, "AWSAccessKeyId") in (None, "AKNOBODY")


def test_skewed_clock(raw, bucket):
    now = time.time()
    for skew in (-16 * 60, 16 * 60, -86400, 400 * 86400):
        reply = raw.put(bucket, "k", b"x", now=now + skew)
        assert (reply.status, reply.code) == (403, "RequestTimeTooSkewed"), (
            skew, reply)
    for skew in (-14 * 60, 14 * 60):
        assert raw.put(bucket, "k", b"x", now=now + skew).status == 200


def test_anonymous_is_denied(raw, server, bucket):
    for method, b, key in (("GET", None, None), ("GET", bucket, None),
                           ("PUT", bucket, "k"), ("GET", bucket, "k"),
                           ("DELETE", bucket, None), ("POST", bucket, None)):
        reply = raw.request(method, b, key, sign=False)
        assert (reply.status, reply.code) == (403, "AccessDenied"), method
    head = raw.request("HEAD", bucket, "k", sign=False)
    assert (head.status, head.body) == (403, b"")


def test_tampered_body(raw, bucket):
    for size in (10, 100000):
        body = blob(size)
        import hashlib
        reply = raw.request("PUT", bucket, "k", body=body[:-1] + b"!",
                            payload=hashlib.sha256(body).hexdigest())
        assert (reply.status, reply.code) == (400,
                                              "XAmzContentSHA256Mismatch")
    assert raw.get(bucket, "k").status == 404
    for bad in ("nonsense", "A" * 64, "0" * 63):
        reply = raw.request("PUT", bucket, "k", body=b"x", payload=bad)
        assert reply.status in (400, 403) and reply.code, reply


def test_changed_or_unsigned_headers(raw, bucket):
    path = f"/{bucket}/k"
    head = raw.signed_head("PUT", path, [("x-amz-meta-a", "1"),
                                         ("Content-Length", "1")])

    def send(headers, to=path, method="PUT"):
        return raw.exchange(method, to, headers, b"x")

    assert send(head).status == 200
    changed = [(n, "2" if n == "x-amz-meta-a" else v) for n, v in head]
    assert send(changed).code == "SignatureDoesNotMatch"
    gone = [(n, v) for n, v in head if n != "x-amz-meta-a"]
    assert send(gone).status == 403
    assert send(head, path + "2").code == "SignatureDoesNotMatch"
    assert send(head, path + "?x=y").code == "SignatureDoesNotMatch"
    # AWS: every x-amz-* header must be signed.
    reply = send(head + [("x-amz-meta-b", "slipped in")])
    assert (reply.status, reply.code) == (403, "AccessDenied"), reply
    host = [(n, "other.host" if n == "Host" else v) for n, v in head]
    assert send(host).status in (403, 404)
    plain = send(head + [("X-Other", "free")])
    assert plain.status == 200


def test_missing_and_malformed_authorization(raw, bucket):
    head = dict(raw.signed_head("GET", f"/{bucket}"))
    good = head["Authorization"]
    malformed = [
        "", "AWS4-HMAC-SHA256", "AWS4-HMAC-SHA256 ", "Basic YTpi",
        "AWS AK:signature", "Bearer x",
        good.replace("Credential=", "Credentia="),
        good.replace("SignedHeaders=", "Signed="),
        good.replace("Signature=", "Sig="),
        good.replace("/s3/", "/ec2/"), good.replace("us-east-1", "mars-1"),
        good.replace("aws4_request", "aws5_request"),
        good.replace("/s3/aws4_request", ""), good[:-1], good + "00",
        good.replace("host;", ""), good.replace(amz_date(time.time())[:8],
                                               "20010101"),
        "AWS4-HMAC-SHA256 " + "x" * 4000,
        "AWS4-HMAC-SHA256 Credential=,SignedHeaders=,Signature=",
    ]
    for text in malformed:
        reply = raw.exchange("GET", f"/{bucket}", list(
            {**head, "Authorization": text}.items()))
        assert reply.status in (400, 403) and reply.code, (text, reply)
        assert reply.code in (
            "AuthorizationHeaderMalformed", "AccessDenied", "InvalidArgument",
            "SignatureDoesNotMatch", "InvalidRequest",
            "InvalidAccessKeyId"), (text, reply)
    reply = raw.exchange("GET", f"/{bucket}", list(
        {**head, "Authorization": good.replace("us-east-1",
                                               "mars-1")}.items()))
    assert (reply.status, reply.code) == (400, "AuthorizationHeaderMalformed")
    assert error_field(reply, "Region") in (None, "us-east-1")
    for missing in ("x-amz-date", "x-amz-content-sha256"):
        reply = raw.exchange("GET", f"/{bucket}", [
            (n, v) for n, v in head.items() if n != missing])
        assert reply.status in (400, 403), (missing, reply)
    for date in ("yesterday", "", "20260101", "20261399T999999Z"):
        reply = raw.exchange("GET", f"/{bucket}", list(
            {**head, "x-amz-date": date}.items()))
        assert reply.status in (400, 403), (date, reply)


def test_content_sha256_is_required(raw, bucket):
    head = [(n, v) for n, v in raw.signed_head("GET", f"/{bucket}")
            if n != "x-amz-content-sha256"]
    reply = raw.exchange("GET", f"/{bucket}", head)
    assert (reply.status, reply.code) == (400, "InvalidRequest"), reply


def test_signature_over_the_date_header(raw, bucket):
    """HTTP's Date instead of x-amz-date is allowed."""
    import email.utils
    now = time.time()
    date = amz_date(now)
    headers = [("Host", raw.netloc),
               ("Date", email.utils.formatdate(now, usegmt=True)),
               ("x-amz-content-sha256", UNSIGNED)]
    signed = ["date", "host", "x-amz-content-sha256"]
    signature = raw.signer.signature("GET", f"/{bucket}", [], headers, signed,
                                     UNSIGNED, date)
    headers.append(("Authorization", (
        f"AWS4-HMAC-SHA256 Credential={raw.signer.access}/"
        f"{raw.signer.scope(date)}, SignedHeaders={';'.join(signed)}, "
        f"Signature={signature}")))
    reply = raw.exchange("GET", f"/{bucket}", headers)
    assert reply.status == 200, reply


def test_presigned_get_put_head_delete_by_boto3(s3, bucket):
    key = "a b/ü+%"
    body = blob(70000)
    url = s3.generate_presigned_url("put_object", Params={
        "Bucket": bucket, "Key": key}, ExpiresIn=60)
    assert fetch(url, "PUT", body)[0] == 200
    url = s3.generate_presigned_url("get_object", Params={
        "Bucket": bucket, "Key": key,
        "ResponseContentType": "text/x"}, ExpiresIn=60)
    assert fetch(url) == (200, body)
    assert fetch(url.replace("text%2Fx", "text%2Fy"))[0] == 403
    assert fetch(url, "HEAD")[0] == 403
    url = s3.generate_presigned_url("delete_object", Params={
        "Bucket": bucket, "Key": key}, ExpiresIn=60)
    assert fetch(url, "DELETE")[0] == 204


def test_presigned_put_with_a_signed_header(s3, bucket):
    url = s3.generate_presigned_url("put_object", Params={
        "Bucket": bucket, "Key": "k", "ContentType": "text/x"})
    assert fetch(url, "PUT", b"abc", {"Content-Type": "text/y"})[0] == 403
    assert fetch(url, "PUT", b"abc", {"Content-Type": "text/x"})[0] == 200
    assert s3.head_object(Bucket=bucket, Key="k")["ContentType"] == "text/x"


def test_presigned_urls_expire(raw, bucket):
    raw.put(bucket, "k", b"x")
    path = f"/{bucket}/k"
    now = time.time()

    def get(expires, at, change=lambda q: q):
        query = raw.signer.presign("GET", path, [], raw.netloc, expires, at)
        return raw.exchange("GET", f"{path}?{change(query)}",
                            [("Host", raw.netloc)])

    assert get(60, now).status == 200
    assert get(604800, now - 600000).status == 200
    for expires, at in ((10, now - 30), (1, now - 3), (604800,
                                                      now - 604900)):
        reply = get(expires, at)
        assert (reply.status, reply.code) == (403, "AccessDenied"), reply
        assert b"expired" in reply.body
    assert get(60, now + 3600).status == 403  # not yet valid
    for expires in (604801, -1, "x", "", "99999999999999999999"):
        reply = get(expires, now)
        assert (reply.status, reply.code) == (
            400, "AuthorizationQueryParametersError"), (expires, reply)
    for change in (lambda q: q.replace("Expires=60", "Expires=600"),
                   lambda q: q[:-1] + ("0" if q[-1] != "0" else "1"),
                   lambda q: q + "&x=y"):
        reply = get(60, now, change)
        assert (reply.status, reply.code) == (403, "SignatureDoesNotMatch")
    for gone in ("X-Amz-Date", "X-Amz-Expires", "X-Amz-Credential",
                 "X-Amz-SignedHeaders", "X-Amz-Signature"):
        reply = get(60, now, lambda q: "&".join(
            p for p in q.split("&") if not p.startswith(gone + "=")))
        assert reply.status in (400, 403) and reply.code, (gone, reply)


def test_query_and_header_signature_at_once_are_refused(raw, bucket):
    path = f"/{bucket}"
    query = raw.signer.presign("GET", path, [], raw.netloc)
    head = raw.signed_head("GET", path)
    reply = raw.exchange("GET", f"{path}?{query}", head)
    assert reply.status == 400 and reply.code == "InvalidArgument", reply


def test_virtual_host_style(server, raw, bucket):
    body = blob(5000)
    host = f"{bucket}.s3.test:{server.port}"
    put = raw.request("PUT", path="/a/b%20c", body=body, host=host)
    assert put.status == 200, put
    assert raw.get(bucket, "a/b c").body == body
    got = raw.request("GET", path="/a/b%20c", host=host)
    assert got.body == body
    listed = raw.request("GET", path="/", query={"list-type": "2"}, host=host)
    assert listed.xml.find("Contents").findtext("Key") == "a/b c"
    # The domain itself is path style.
    got = raw.request("GET", path=f"/{bucket}/a/b%20c",
                      host=f"s3.test:{server.port}")
    assert got.body == body
    other = raw.request("GET", path="/",
                        host=f"no-such-bucket-here.s3.test:{server.port}")
    assert (other.status, other.code) == (404, "NoSuchBucket")


def test_virtual_host_style_by_boto3(server, bucket):
    client = server.client(style="virtual",
                           endpoint=f"http://s3.test:{server.port}")

    def to_loopback(request, **_):
        request.url = request.url.replace(
            f"{bucket}.s3.test:{server.port}", f"127.0.0.1:{server.port}")

    seen = []

    def sign_then_move(request, **_):
        seen.append(request.url)
        request.headers["Host"] = f"{bucket}.s3.test:{server.port}"
        to_loopback(request)

    client.meta.events.register("before-send.s3", sign_then_move)
    client.put_object(Bucket=bucket, Key="k", Body=b"virtual")
    assert f"//{bucket}.s3.test" in seen[0]
    got = client.get_object(Bucket=bucket, Key="k")
    assert got["Body"].read() == b"virtual"


@pytest.mark.parametrize("path", ("/-/live", "/-/ready", "/-/metrics"))
def test_health_needs_no_signature(raw, path):
    assert raw.request("GET", path=path, sign=False).status == 200


def test_error_documents_do_not_echo_secrets(server, raw, bucket):
    reply = raw.get(bucket, "k", signer=Signer(server.credentials[0], "no"))
    assert server.credentials[1].encode() not in reply.body
    assert server.credentials[1] not in server.log(10000)
