"""Goal: bad input gets a clear error, changes nothing and stops nobody (P9).
Method: requests written byte by byte on sockets; after each the same server
must still serve others."""
import concurrent.futures
import hashlib
import socket
import time

import pytest

from s3http import head_bytes, read_all, read_reply
from sigv4 import UNSIGNED
from util import MIB, blob, content_md5, error_field, eventually

BODY = b"0123456789" * 100


def status_of(data):
    """The status of the first answer; None when none came."""
    if not data.startswith(b"HTTP/1."):
        return None
    return int(data.split(b" ", 2)[1])


def put_head(raw, bucket, key="k", length=None, headers=(), payload=UNSIGNED):
    """A signed PUT head with this Content-Length, which is not signed."""
    head = raw.signed_head("PUT", f"/{bucket}/{key}", headers, payload)
    if length is not None:
        head.append(("Content-Length", str(length)))
    return head_bytes("PUT", f"/{bucket}/{key}", head)


def refuse(raw, bucket, data, key="k", more=None, statuses=(400,),
           or_close=True):
    """@data must be answered with one of @statuses or a closed connection,
    and must not make the key."""
    got, ended = raw.raw(data, timeout=15, more=more)
    status = status_of(got)
    if status is None:
        assert or_close and ended != "timeout", (got[:200], ended)
    else:
        assert status in statuses, got[:500]
    assert raw.get(bucket, key).status == 404
    return got


def test_body_shorter_than_declared(raw, bucket):
    for size in (len(BODY) + 1, 10 * MIB):
        refuse(raw, bucket, put_head(raw, bucket, length=size) + BODY,
               more=lambda s: s.shutdown(socket.SHUT_WR))


def test_connection_cut_in_a_body_changes_nothing(raw, bucket):
    old = blob(50000)
    raw.put(bucket, "kept", old)
    for sent in (0, 10, 100000, 3 * MIB):
        with raw.socket() as sock:
            sock.sendall(put_head(raw, bucket, "kept", 4 * MIB)
                         + blob(sent))
    time.sleep(0.3)
    assert raw.get(bucket, "kept").body == old


def test_connection_cut_in_a_body_is_noticed(make_server):
    """Though the last bytes and the end come at once: what the request held
    is given back long before its deadline."""
    s = make_server("--body-timeout", "10m", "--header-timeout", "10m")
    raw = s.raw()
    assert raw.request("PUT", "bkt").status == 200
    for sent in (0, 1000, 100000, 3 * MIB):
        with raw.socket() as sock:
            sock.sendall(put_head(raw, "bkt", "k", 4 * MIB) + blob(sent))
    with raw.socket() as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n")
    eventually(lambda: s.metrics()["godwit_connections"] <= 1)


def test_body_longer_than_declared(impatient, bucket_of):
    """The declared bytes are the object; the rest is no request."""
    raw, bucket = impatient.raw(), bucket_of(impatient)
    got, _ = raw.raw(put_head(raw, bucket, length=10) + BODY, timeout=10)
    assert status_of(got) == 200
    rest = got[got.index(b"\r\n\r\n") + 4:]
    assert rest == b"" or status_of(rest) in (400, 501), rest[:200]
    assert raw.get(bucket, "k").body == BODY[:10]


def test_length_and_chunked_at_once(raw, bucket):
    for order in (("Content-Length: 5", "Transfer-Encoding: chunked"),
                  ("Transfer-Encoding: chunked", "Content-Length: 5")):
        head = put_head(raw, bucket)[:-2] + "\r\n".join(
            order).encode() + b"\r\n\r\n"
        refuse(raw, bucket, head + b"5\r\nhello\r\n0\r\n\r\n",
               statuses=(400, 501))


def test_two_lengths(raw, bucket):
    for pair in (("5", "6"), ("5, 6", None), ("5", "x")):
        lines = "".join(f"Content-Length: {v}\r\n" for v in pair if v)
        head = put_head(raw, bucket)[:-2] + lines.encode() + b"\r\n"
        refuse(raw, bucket, head + b"helloX")


def test_length_that_is_no_number(raw, bucket):
    for value in ("-1", "x", "0x10", "1e3", "", "99999999999999999999999",
                  "+5", "5 5"):
        refuse(raw, bucket, put_head(raw, bucket, length=value) + b"hello",
               statuses=(400, 411, 413))


def test_length_above_the_limit_of_one_put(raw, bucket):
    got = refuse(raw, bucket, put_head(raw, bucket, length=5 * 1024**3 + 1),
                 or_close=False)
    assert b"EntityTooLarge" in got


def test_missing_length(impatient, bucket_of):
    raw, bucket = impatient.raw(), bucket_of(impatient)
    got = refuse(raw, bucket, put_head(raw, bucket), statuses=(411,),
                 or_close=False)
    assert b"MissingContentLength" in got


def test_chunked_transfer_encoding_without_aws_chunked(raw, bucket):
    """S3 wants a length: plain HTTP chunks get 411 or 501, never a guess."""
    head = put_head(raw, bucket)[:-2] + b"Transfer-Encoding: chunked\r\n\r\n"
    refuse(raw, bucket, head + b"5\r\nhello\r\n0\r\n\r\n",
           statuses=(400, 411, 501))


def test_bare_line_feeds_in_the_head(raw, bucket):
    """RFC 9112, 2.2 lets a server take them; what it must not do is to see
    another request than the one that was signed."""
    good = put_head(raw, bucket, length=5, headers=[("Connection", "close")])
    first = good.index(b"\r\n")
    for data in (good.replace(b"\r\n", b"\n"),
                 good[:first] + b"\n" + good[first + 2:]):
        got, _ = raw.raw(data + b"hello", timeout=15)
        assert status_of(got) in (None, 200, 400), got[:300]
        stored = raw.get(bucket, "k")
        assert (stored.status, stored.body) == (200, b"hello") or (
            stored.status == 404 and status_of(got) != 200)
        raw.delete(bucket, "k")


def test_folded_headers_are_unfolded_and_never_headers_of_their_own(
        raw, bucket):
    """RFC 9112 section 5.2: refuse, or put blanks in place of the fold."""
    head = put_head(raw, bucket, length=5)[:-2]
    for fold in (b"X-Long: a\r\n Content-Length: 1\r\n\r\nhello",
                 b"X-Long: a\r\n\tContent-Length: 1\r\n\r\nhello"):
        got, _ = raw.raw(head + fold, timeout=15)
        assert status_of(got) in (200, 400), got[:500]
        if status_of(got) == 200:
            assert raw.get(bucket, "k").body == b"hello"


def test_blank_before_the_colon(raw, bucket):
    head = put_head(raw, bucket)[:-2]
    refuse(raw, bucket, head + b"Content-Length : 5\r\n\r\nhello",
           statuses=(400, 411))
    head = put_head(raw, bucket, length=5)[:-2]
    refuse(raw, bucket, head + b"X-Other : a\r\n\r\nhello")
    refuse(raw, bucket, head + b"X-Other\t: a\r\n\r\nhello")


def test_broken_request_lines(raw, bucket):
    for line in (b"GET\r\n\r\n", b"\r\n\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n",
                 b"GET /\r\n\r\n", b"GET / HTTP/1.1 x\r\nHost: a\r\n\r\n",
                 b"\x00\x01\x02\x03\r\n\r\n", b"\x16\x03\x01\x02\x00\x01",
                 b"G" * 100 + b" / HTTP/1.1\r\nHost: a\r\n\r\n",
                 b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"):
        got, ended = raw.raw(line, timeout=10,
                             more=lambda s: s.shutdown(socket.SHUT_WR))
        status = status_of(got)
        assert ended != "timeout", line
        assert status is None or 400 <= status < 600, (line, got[:200])


def test_request_without_host(raw, bucket):
    head = [h for h in raw.signed_head("GET", f"/{bucket}")
            if h[0] != "Host"]
    got, _ = raw.raw(head_bytes("GET", f"/{bucket}", head)
                     .replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
    assert status_of(got) in (400, 403)


def test_oversize_headers(raw, bucket):
    reply = raw.get(bucket, "k", extra=[("X-Large", "x" * 20000)])
    assert reply.status in (400, 431), reply
    reply = raw.get(bucket, "k", extra=[(f"X-H{i}", "x") for i in range(500)])
    assert reply.status in (400, 431), reply
    got, ended = raw.raw(b"GET / HTTP/1.1\r\nX: " + b"y" * (4 * MIB),
                         timeout=15)
    assert ended != "timeout" and status_of(got) in (None, 400, 413, 431)
    got, ended = raw.raw(b"GET /" + b"y" * MIB + b" HTTP/1.1\r\n\r\n",
                         timeout=15)
    assert ended != "timeout" and status_of(got) in (None, 400, 413, 414,
                                                     431)


def test_oversize_queries(raw, bucket):
    reply = raw.request("GET", bucket, query={"prefix": "x" * 20000})
    assert 400 <= reply.status < 500, reply
    reply = raw.request("GET", bucket,
                        query=[(f"a{i}", "") for i in range(1000)])
    assert 400 <= reply.status < 500, reply


def test_bad_percent_encodings(raw, bucket):
    for path in (f"/{bucket}/a%00b", f"/{bucket}/a%", f"/{bucket}/a%4",
                 f"/{bucket}/a%zz", f"/{bucket}%00/k", f"/{bucket}/%ff"):
        reply = raw.request("PUT", path=path, body=b"x")
        assert reply.status in (400, 403), (path, reply)
        assert reply.code, path
    for query in ("prefix=%00", "prefix=%ff", "prefix=%", "%00=x"):
        path = f"/{bucket}"
        reply = raw.request("GET", bucket, raw_query=query)
        assert 400 <= reply.status < 500, (query, reply)
    assert raw.list_keys(bucket) == {}


def delete_xml(raw, bucket, body):
    return raw.request("POST", bucket, query={"delete": ""},
                       headers={"Content-MD5": content_md5(body)}, body=body)


MALFORMED = {
    "empty": b"",
    "no xml": b"hello",
    "not closed": b"<Delete><Object><Key>k</Key></Object>",
    "other root": b"<Erase><Object><Key>k</Key></Object></Erase>",
    "no key": b"<Delete><Object></Object></Delete>",
    "crossed tags": b"<Delete><Object><Key>k</Object></Key></Delete>",
    "nul": b"<Delete><Object><Key>a\x00b</Key></Object></Delete>",
    "not utf-8": b"<Delete><Object><Key>\xff\xfe</Key></Object></Delete>",
    "two roots": b"<Delete><Object><Key>k</Key></Object></Delete><x/>",
    "entity bomb": (
        b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaaaaaaaa">'
        + b"".join(b'<!ENTITY %c "%s">' % (
            c, b"&%c;" % (c - 1) * 10) for c in range(ord("b"), ord("k")))
        + b"]><Delete><Object><Key>&j;</Key></Object></Delete>"),
    "external entity": (
        b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a SYSTEM '
        b'"file:///etc/passwd">]><Delete><Object><Key>&a;</Key></Object>'
        b"</Delete>"),
    "doctype": (b'<!DOCTYPE Delete SYSTEM "http://127.0.0.1:1/x.dtd">'
                b"<Delete><Object><Key>k</Key></Object></Delete>"),
    "deep nesting": b"<a>" * 100000,
    "deep and closed": b"<a>" * 2000 + b"</a>" * 2000,
    "many attributes": b"<Delete " + b" ".join(
        b'a%d="x"' % i for i in range(50000)) + b"></Delete>",
    "long name": b"<" + b"D" * 500000 + b"/>",
}


@pytest.mark.parametrize("what", MALFORMED)
def test_malformed_xml(server, raw, bucket, what):
    raw.put(bucket, "k", b"stays")
    body = MALFORMED[what]
    started = time.monotonic()
    rss = server.rss_bytes()
    reply = delete_xml(raw, bucket, body)
    assert reply.status == 400, reply
    assert reply.code in ("MalformedXML", "MissingRequestBodyError",
                          "InvalidRequest"), reply
    assert b"root:" not in reply.body
    assert time.monotonic() - started < 10
    assert server.rss_bytes() - rss < 64 * MIB
    assert raw.get(bucket, "k").body == b"stays"


def test_xml_above_its_bound(raw, bucket):
    body = b"<Delete>" + b" " * (6 * MIB) + b"</Delete>"
    reply = delete_xml(raw, bucket, body)
    assert reply.status in (400, 413), reply


def test_unknown_methods_and_resources(raw, bucket):
    for method in ("PATCH", "TRACE", "CONNECT", "OPTIONS", "MOVE", "BREW"):
        reply = raw.request(method, bucket, "k")
        assert 400 <= reply.status <= 501, (method, reply)
    reply = raw.request("POST", bucket, "k", body=b"x")
    assert reply.status in (400, 405, 501), reply
    reply = raw.request("PUT", body=b"x")  # PUT /
    assert reply.status in (400, 405), reply
    reply = raw.request("DELETE")
    assert reply.status in (400, 405), reply


def slow_connection(raw, data, seconds):
    """Send @data and then nothing: how long the server keeps it."""
    started = time.monotonic()
    with raw.socket(seconds) as sock:
        sock.sendall(data)
        got, ended = read_all(sock)
    return got, ended, time.monotonic() - started


def slow_connections(raw, datas, seconds):
    """The same for several at once."""
    with concurrent.futures.ThreadPoolExecutor(len(datas)) as pool:
        return list(pool.map(lambda d: (d, *slow_connection(raw, d, seconds)),
                             datas))


def test_slow_headers_time_out(impatient):
    for data, got, ended, took in slow_connections(
            impatient.raw(), (b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: a\r\n"), 20):
        assert ended != "timeout", (data, took)
        assert 3 <= took < 15, (data, took)
        assert status_of(got) in (None, 400, 408), got


def test_headers_that_trickle_time_out_all_the_same(impatient):
    started = time.monotonic()
    with impatient.raw().socket(20) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nX-Slow: ")
        try:
            while time.monotonic() - started < 20:
                sock.sendall(b"x")
                time.sleep(0.25)
                sock.setblocking(False)
                try:
                    if sock.recv(100) == b"":
                        break
                except BlockingIOError:
                    pass
                sock.setblocking(True)
        except (BrokenPipeError, ConnectionResetError):
            pass
    assert time.monotonic() - started < 15


def test_slow_bodies_time_out(impatient, bucket_of):
    raw, bucket = impatient.raw(), bucket_of(impatient)
    for _, got, ended, took in slow_connections(raw, [
            put_head(raw, bucket, length=200000) + first
            for first in (b"", b"x" * 100, b"x" * 70000)], 25):
        assert ended != "timeout", took
        assert took < 20, took
        assert status_of(got) in (None, 400, 408), got[:200]
    assert raw.get(bucket, "k").status == 404


def test_half_open_connections_do_not_stop_service(server, raw, bucket):
    body = blob(100000)
    socks = []
    try:
        for i in range(200):
            sock = raw.socket()
            kind = i % 4
            if kind == 1:
                sock.sendall(b"GET / HTTP/1.1\r\nHost:")
            elif kind == 2:
                sock.sendall(put_head(raw, bucket, "half", MIB) + b"x" * 1000)
            elif kind == 3:
                sock.sendall(put_head(raw, bucket, "half", 9 * MIB)
                             + b"x" * 200000)
            socks.append(sock)
        started = time.monotonic()
        for i in range(20):
            assert raw.put(bucket, f"k{i}", body).status == 200
            assert raw.get(bucket, f"k{i}").body == body
        assert time.monotonic() - started < 20
        assert server.health("ready") == 200
    finally:
        for sock in socks:
            sock.close()
    assert raw.get(bucket, "half").status == 404


def test_a_reader_that_stops_reading_does_not_stop_service(raw, bucket):
    body = blob(20 * MIB)
    raw.put(bucket, "large", body)
    head = head_bytes("GET", f"/{bucket}/large",
                      raw.signed_head("GET", f"/{bucket}/large"))
    socks = []
    try:
        for _ in range(20):
            sock = raw.socket()
            sock.sendall(head)
            socks.append(sock)
        for i in range(10):
            assert raw.get(bucket, "large").body == body
            assert raw.put(bucket, f"k{i}", body[:100000]).status == 200
    finally:
        for sock in socks:
            sock.close()


def test_pipelined_requests_are_answered_in_order(raw, bucket):
    raw.put(bucket, "a", b"first")
    raw.put(bucket, "b", b"second")
    data = b"".join(head_bytes("GET", f"/{bucket}/{k}",
                               raw.signed_head("GET", f"/{bucket}/{k}"))
                    for k in "ab" * 5)
    with raw.socket() as sock:
        sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)
        got, _ = read_all(sock)
    bodies = [part.split(b"HTTP/1.1")[0]
              for part in got.split(b"\r\n\r\n")[1:]]
    assert bodies == [b"first", b"second"] * 5


def test_a_refused_upload_says_why_before_it_closes(raw, bucket):
    """A client that sends on must be able to read the refusal."""
    body = blob(8 * MIB)
    reply = raw.put("no-such-bucket-here", "k", body)
    assert (reply.status, reply.code) == (404, "NoSuchBucket")
    reply = raw.put(bucket, "k", body, payload=UNSIGNED,
                    headers={"Content-MD5": "wrong"})
    assert reply.code == "InvalidDigest"
    reply = raw.put(bucket, "k", body, sign=False)
    assert reply.status == 403


def test_errors_name_the_field(raw, bucket):
    reply = raw.request("GET", bucket, query={"max-keys": "many"})
    assert b"max-keys" in reply.body, reply
    upload = raw.request("POST", bucket, "k", {"uploads": ""}).xml.findtext(
        "UploadId")
    reply = raw.request("PUT", bucket, "k", {"partNumber": "0",
                                             "uploadId": upload}, body=b"x")
    assert b"art number" in reply.body or b"partNumber" in reply.body, reply
    assert error_field(reply, "RequestId")


def test_http_1_0_is_answered_and_closed(raw, bucket):
    raw.put(bucket, "k", b"abc")
    head = raw.signed_head("GET", f"/{bucket}/k")
    got, ended = raw.raw(head_bytes("GET", f"/{bucket}/k", head, "HTTP/1.0"))
    assert status_of(got) == 200 and got.endswith(b"abc")
    assert ended == "closed"


def test_random_bytes_never_bring_it_down(server, raw, bucket):
    import random
    rng = random.Random(8)
    good = put_head(raw, bucket, length=len(BODY), payload=hashlib.sha256(
        BODY).hexdigest()) + BODY
    for _ in range(150):
        data = bytearray(good)
        for _ in range(rng.randint(1, 8)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        if rng.random() < 0.3:
            data = data[:rng.randrange(len(data))]
        with raw.socket(5) as sock:
            try:
                sock.sendall(bytes(data))
                sock.shutdown(socket.SHUT_WR)
                sock.recv(4096)
            except OSError:
                pass
    eventually(lambda: server.health("ready") == 200)
    got = raw.get(bucket, "k")
    assert got.status == 404 or got.body == BODY
    with raw.socket() as sock:
        sock.sendall(head_bytes("GET", "/-/ready", [("Host", "a")]))
        assert read_reply(sock).status == 200
