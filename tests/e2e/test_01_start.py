"""Goal: a store starts with one command, guards its folder, and keeps what it
was given over a restart. Method: start, look at files, stop, start again."""
import os
import re
import signal
import stat
import subprocess
import time

from server import GODWIT, environment, free_port, run_godwit
from util import blob, eventually, refused


def test_help_names_every_command_and_flag():
    top = run_godwit("--help")
    assert top.returncode == 0, top
    for command in ("server", "status", "mb", "ls", "cp", "cat", "rm", "stat",
                    "verify", "bench"):
        assert re.search(rf"\b{command}\b", top.stdout), command
    server = run_godwit("server", "--help")
    assert server.returncode == 0, server
    for flag in ("data", "listen", "drives", "drive", "ec", "region",
                 "domain", "tls-cert", "tls-key", "memory", "segment-bytes",
                 "reserve", "header-timeout", "body-timeout", "gc-interval",
                 "orphan-age", "upload-expiry", "scrub-interval",
                 "lifecycle-interval"):
        assert f"--{flag}" in server.stdout, flag


def test_bad_flags_are_refused_with_the_flag_and_the_reason(tmp):
    cases = [
        (["--data", tmp, "--listne", "x"], "listne"),
        (["--data", tmp, "--ec", "4x2"], "4x2"),
        (["--data", tmp, "--ec", "40+2"], "40"),
        (["--data", tmp, "--ec", "6+4+2"], "ec"),
        (["--data", tmp, "--drives", "0"], "drives"),
        (["--data", tmp, "--drives", "none"], "drives"),
        (["--data", tmp, "--memory", "12zz"], "12zz"),
        # No segment of this size holds a shard of 8 MiB / 4.
        (["--data", tmp, "--segment-bytes", "1MiB"], "segment-bytes"),
        (["--data", tmp, "--gc-interval", "soon"], "soon"),
        (["--data", tmp, "--listen", "nowhere"], "nowhere"),
        (["--data", tmp, "--tls-cert", tmp + "/no.pem"], "tls"),
        (["--data", tmp, "--tls", "on"], "off or auto"),
        (["--data", tmp, "--tls", "auto", "--tls-cert", tmp + "/no.pem",
          "--tls-key", tmp + "/no.pem"], "auto"),
        (["--data", tmp, "--tls-name", "a.example"], "--tls auto"),
        (["--data", tmp, "--tls", "auto", "--tls-name", "a b"], "a b"),
        ([], "data"),
    ]
    for arguments, word in cases:
        result = run_godwit("server", *arguments, timeout=20)
        assert result.returncode not in (0, -signal.SIGSEGV,
                                         -signal.SIGABRT), arguments
        assert word in result.stderr + result.stdout, (arguments, result)
    result = run_godwit("sever")
    assert result.returncode != 0 and "sever" in result.stderr


def test_first_start_makes_credentials_that_only_the_owner_reads(make_server):
    s = make_server()
    mode = stat.S_IMODE(os.stat(s.credentials_path).st_mode)
    assert mode == 0o600, oct(mode)
    access, secret = s.credentials
    assert len(access) >= 16 and len(secret) >= 32
    with open(s.credentials_path) as file:
        assert file.read().lstrip().startswith("[default]")
    s.client().create_bucket(Bucket="first")
    said = s.log()
    assert s.credentials_path in said or "credentials" in said, said
    assert secret not in said


def test_credentials_from_the_environment_are_used(make_server):
    s = make_server(env={"GODWIT_ACCESS_KEY_ID": "AKFROMENVIRONMENT",
                         "GODWIT_SECRET_ACCESS_KEY": "from-the-environment"})
    assert not os.path.exists(s.credentials_path)
    s.client().create_bucket(Bucket="first")


def test_restart_keeps_credentials_buckets_and_objects(make_server):
    s = make_server()
    before = s.credentials
    client = s.client()
    client.create_bucket(Bucket="kept")
    bodies = {f"k{size}": blob(size) for size in (0, 10, 5000, 200000,
                                                  9 << 20)}
    for key, body in bodies.items():
        client.put_object(Bucket="kept", Key=key, Body=body,
                          Metadata={"a": "b"})
    for kill in (False, True):
        s.restart(kill=kill)
        assert s.credentials == before
        names = [b["Name"] for b in client.list_buckets()["Buckets"]]
        assert names == ["kept"]
        for key, body in bodies.items():
            got = client.get_object(Bucket="kept", Key=key)
            assert got["Body"].read() == body, key
            assert got["Metadata"] == {"a": "b"}


def test_sigterm_and_sigint_end_the_server_with_status_0(make_server):
    s = make_server()
    assert s.stop() == 0
    s.start()
    s.process.send_signal(signal.SIGINT)
    assert s.process.wait(30) == 0
    s.process = None


def test_sigterm_lets_a_request_at_hand_end(make_server):
    s = make_server()
    raw = s.raw()
    assert raw.request("PUT", "bkt").status == 200
    body = blob(300000)
    head = raw.signed_head("PUT", "/bkt/slow", [("Content-Length",
                                              str(len(body)))])
    from s3http import head_bytes, read_reply
    with raw.socket() as sock:
        sock.sendall(head_bytes("PUT", "/bkt/slow", head) + body[:100000])
        time.sleep(0.2)
        s.process.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        try:
            sock.sendall(body[100000:])
            reply = read_reply(sock)
        except (BrokenPipeError, ConnectionResetError):
            reply = None
    assert s.process.wait(30) == 0
    s.process = None
    s.start()
    # Either it was let through and is whole, or it never was.
    got = raw.get("bkt", "slow")
    if reply is not None and reply.status == 200:
        assert got.body == body
    else:
        assert got.status == 404


def test_a_second_server_on_one_data_folder_is_refused(make_server):
    s = make_server()
    second = subprocess.run(
        [GODWIT, "server", "--data", s.data, "--listen",
         f"127.0.0.1:{free_port()}"], stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        timeout=30, env=environment())
    assert second.returncode not in (0, -6, -11)
    assert s.data in second.stdout
    assert re.search(r"in use|lock|already|another", second.stdout), second
    assert s.health("ready") == 200
    s.client().create_bucket(Bucket="still-mine")


def test_a_second_server_on_one_port_is_refused(make_server, tmp):
    s = make_server()
    second = run_godwit("server", "--data", os.path.join(tmp, "other"),
                        "--listen", f"127.0.0.1:{s.port}", timeout=30)
    assert second.returncode not in (0, -6, -11)
    assert str(s.port) in second.stderr and "in use" in second.stderr
    assert s.health("ready") == 200


def test_health_says_live_and_ready_and_metrics_are_prometheus_text(server):
    assert server.health("live") == 200
    assert server.health("ready") == 200
    metrics = server.metrics()
    assert metrics and all(re.match(r"godwit_|process_", name)
                           for name in metrics), list(metrics)[:5]


def test_first_endpoints_are_printed(make_server):
    s = make_server()
    assert s.endpoint in s.log()
    eventually(lambda: s.health("live") == 200)


def test_starts_with_other_drive_counts_and_codes(make_server, tmp):
    for flags in (["--drives", "1", "--ec", "1+0"],
                  ["--drives", "3", "--ec", "2+1"],
                  ["--drives", "8", "--ec", "4+2"]):
        s = make_server("--segment-bytes", "16MiB", *flags)
        client = s.client()
        client.create_bucket(Bucket="bkt")
        for size in (100, 70000, 3 << 20):
            body = blob(size)
            client.put_object(Bucket="bkt", Key="k", Body=body)
            assert client.get_object(Bucket="bkt",
                                     Key="k")["Body"].read() == body
        assert s.stop() == 0
    # Fewer drives than shards: it serves, and says what that costs.
    s = make_server("--drives", "3", "--ec", "4+2")
    assert "level=warn" in s.log() and "3 drives" in s.log()
    drives = [os.path.join(tmp, f"disk{i}") for i in range(6)]
    flags = []
    for path in drives:
        os.mkdir(path)
        flags += ["--drive", path]
    s = make_server(*flags)
    client = s.client()
    client.create_bucket(Bucket="bkt")
    client.put_object(Bucket="bkt", Key="k", Body=blob(1 << 20))
    assert all(os.listdir(path) for path in drives)
    s.restart()
    assert client.get_object(Bucket="bkt", Key="k")["Body"].read() == blob(
        1 << 20)


def test_drives_of_another_store_or_in_another_order_are_refused(make_server):
    s = make_server()
    t = make_server()
    s.stop()
    t.stop()
    # A drive of t stands where one of s was.
    os.rename(s.drive(2), s.drive(2) + ".away")
    os.rename(t.drive(2), s.drive(2))
    try:
        s.start()
    except AssertionError as error:
        assert re.search(r"drive|store|cluster", str(error))
    else:
        # Or it starts without it, and says so.
        assert re.search(r"level=(warn|error)", s.log(200)), s.log()
        s.client().create_bucket(Bucket="works-on")


def test_bucket_names_follow_the_rules(s3, raw):
    for bad in ("ab", "a" * 64, "Upper", "under_score", "-start", "end-",
                "192.168.0.1", "dots..dots", "a.-b"):
        reply = raw.request("PUT", bad)
        assert (reply.status, reply.code) == (400, "InvalidBucketName"), bad
    for good in ("abc", "a" * 63, "with.dots", "1-2-3"):
        assert raw.request("PUT", good).status == 200, good
        assert raw.request("HEAD", good).status == 200
        assert raw.request("DELETE", good).status == 204
        assert raw.request("HEAD", good).status == 404


def test_bucket_life(s3, raw, bucket):
    head = s3.head_bucket(Bucket=bucket)
    assert head["ResponseMetadata"]["HTTPStatusCode"] == 200
    assert s3.get_bucket_location(Bucket=bucket)["LocationConstraint"] is None
    found = [b for b in s3.list_buckets()["Buckets"] if b["Name"] == bucket]
    assert len(found) == 1
    assert abs(found[0]["CreationDate"].timestamp() - time.time()) < 60
    again = raw.request("PUT", bucket)
    assert again.status == 200 or (again.status, again.code) == (
        409, "BucketAlreadyOwnedByYou")
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    with refused(409, "BucketNotEmpty"):
        s3.delete_bucket(Bucket=bucket)
    s3.delete_object(Bucket=bucket, Key="k")
    s3.delete_bucket(Bucket=bucket)
    with refused(404, "NoSuchBucket"):
        s3.delete_bucket(Bucket=bucket)
    with refused(404, "NoSuchBucket"):
        s3.list_objects_v2(Bucket=bucket)
    with refused(404, "NoSuchBucket"):
        s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    with refused(404):
        s3.head_bucket(Bucket=bucket)


def test_what_is_not_there_yet_is_refused_and_not_pretended(raw, bucket):
    for query, code in (("website", "NoSuchWebsiteConfiguration"),
                        ("replication",
                         "ReplicationConfigurationNotFoundError")):
        get = raw.request("GET", bucket, query={query: ""})
        assert (get.status, get.code) == (404, code)
        put = raw.request("PUT", bucket, query={query: ""}, body=b"<x/>")
        assert put.status == 501, (query, put)
        assert put.code == "NotImplemented"
    sse = raw.put(bucket, "k", b"x", {"x-amz-server-side-encryption-customer-"
                                      "algorithm": "AES256"})
    assert sse.status in (400, 501), sse
    assert raw.get(bucket, "k").status == 404
