"""Goal: a bucket stores its bytes as it is told, and whatever it is told, what
was put reads byte for byte: whole, in ranges, copied, in parts, with drives
gone, after a restart. Method: godwit bucket, then boto3 against bytes that are
known; explain shows how they lie."""
import json
import time
import os
import random
import shutil

import pytest

from util import MIB, blob, eventually

CHUNK = 8 * MIB


def readings(size, seed=0):
    """JSON lines of sensors, @size bytes of them."""
    rng = random.Random(seed)
    lines, length = [], 0
    while length < size:
        line = (f'{{"device":"pump-{rng.randrange(500)}","time":'
                f'{1700000000000 + length},"temperature":'
                f'{rng.gauss(20, 3):.2f},"pressure":{rng.gauss(3, 1):.3f},'
                f'"state":"{rng.choice(["on", "off", "idle"])}"}}\n')
        lines.append(line)
        length += len(line)
    return "".join(lines).encode()[:size]


def show(s, bucket):
    return json.loads(s.cli("bucket", "show", bucket, "--json").stdout)


def chunks(s, bucket, key):
    return json.loads(s.cli("explain", f"s3://{bucket}/{key}",
                            "--json").stdout)["chunks"]


def sizes(s, bucket, key):
    """Bytes stored, without parity, and put."""
    found = chunks(s, bucket, key)
    return (sum(c["bytes"] for c in found),
            sum(c["plain_bytes"] for c in found))


def test_compression_is_set_and_shown(server, bucket):
    default = show(server, bucket)
    assert not default["compression_set"]
    for value in ("off", "zstd"):
        out = server.cli("bucket", "set", bucket, "--compression", value)
        assert value.encode() in out.stdout
        got = show(server, bucket)
        assert (got["compression"], got["compression_set"]) == (value, True)
    server.cli("bucket", "set", f"s3://{bucket}", "--compression", "default")
    assert show(server, bucket) == default


def test_what_cannot_be_set_is_refused(server, bucket):
    def says(*args):
        done = server.cli("bucket", *args, check=False)
        assert done.returncode != 0
        return done.stderr
    assert b"zstd or off" in says("set", bucket, "--compression", "gzip")
    assert b"what to set" in says("set", bucket)
    assert b"bucket" in says("show", "no-such-bucket")
    assert b"not the name" in says("show", f"s3://{bucket}/key")
    assert b"say show" in says("drop", bucket)


def test_readings_are_stored_shorter_and_noise_as_it_is(server, s3, bucket):
    server.cli("bucket", "set", bucket, "--compression", "zstd")
    body, noise = readings(5 * MIB), blob(5 * MIB)
    s3.put_object(Bucket=bucket, Key="readings", Body=body)
    s3.put_object(Bucket=bucket, Key="noise", Body=noise)
    stored, plain = sizes(server, bucket, "readings")
    assert plain == len(body) and stored < len(body) / 3
    assert sizes(server, bucket, "noise") == (len(noise), len(noise))
    for key, want in (("readings", body), ("noise", noise)):
        got = s3.get_object(Bucket=bucket, Key=key)
        assert got["ContentLength"] == len(want)
        assert got["Body"].read() == want
        assert s3.head_object(Bucket=bucket, Key=key)[
            "ContentLength"] == len(want)
    assert b"zstd, of 5242880" in server.cli(
        "explain", f"s3://{bucket}/readings").stdout
    server.cli("bucket", "set", bucket, "--compression", "off")
    s3.put_object(Bucket=bucket, Key="plain", Body=body)
    assert sizes(server, bucket, "plain") == (len(body), len(body))


def test_ranges_at_random(server, s3, bucket):
    server.cli("bucket", "set", bucket, "--compression", "zstd")
    rng = random.Random(22)
    size = 2 * CHUNK + 12345
    body = readings(size // 2) + blob(MIB) + readings(size - MIB - size // 2)
    s3.put_object(Bucket=bucket, Key="k", Body=body)
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == body
    for _ in range(60):
        first = rng.randrange(size)
        last = min(size - 1, first + rng.choice([0, 10, 5000, 300000, 9 * MIB]))
        got = s3.get_object(Bucket=bucket, Key="k",
                            Range=f"bytes={first}-{last}")["Body"].read()
        assert got == body[first:last + 1], (first, last)


@pytest.mark.parametrize("size", [1, 4096, 4097, 65536, 262144, 262145, MIB])
def test_sizes_at_the_edges(server, s3, bucket, size):
    server.cli("bucket", "set", bucket, "--compression", "zstd")
    body = b"a" * size
    s3.put_object(Bucket=bucket, Key="k", Body=body)
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == body


def test_parts_and_copies(server, s3, bucket):
    server.cli("bucket", "set", bucket, "--compression", "zstd")
    parts = [readings(5 * MIB, 1), blob(5 * MIB), readings(6 * MIB + 7, 3)]
    body = b"".join(parts)
    upload = s3.create_multipart_upload(Bucket=bucket, Key="k")["UploadId"]
    done = []
    for number, part in enumerate(parts, 1):
        etag = s3.upload_part(Bucket=bucket, Key="k", UploadId=upload,
                              PartNumber=number, Body=part)["ETag"]
        done.append({"PartNumber": number, "ETag": etag})
    s3.complete_multipart_upload(Bucket=bucket, Key="k", UploadId=upload,
                                 MultipartUpload={"Parts": done})
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == body
    stored, plain = sizes(server, bucket, "k")
    assert plain == len(body) and stored < 8 * MIB
    s3.copy_object(Bucket=bucket, Key="copy",
                   CopySource={"Bucket": bucket, "Key": "k"})
    upload = s3.create_multipart_upload(Bucket=bucket, Key="again")["UploadId"]
    etag = s3.upload_part_copy(
        Bucket=bucket, Key="again", UploadId=upload, PartNumber=1,
        CopySource={"Bucket": bucket, "Key": "k"},
        CopySourceRange=f"bytes=1000-{12 * MIB}")["CopyPartResult"]["ETag"]
    s3.complete_multipart_upload(
        Bucket=bucket, Key="again", UploadId=upload,
        MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": etag}]})
    s3.delete_object(Bucket=bucket, Key="k")
    assert s3.get_object(Bucket=bucket, Key="copy")["Body"].read() == body
    assert s3.get_object(Bucket=bucket, Key="again")["Body"].read() == body[
        1000:12 * MIB + 1]


def test_packed_objects_outlive_drives_damage_and_restarts(make_server):
    s = make_server("--drives", "6")
    client = s.client()
    client.create_bucket(Bucket="bkt")
    s.cli("bucket", "set", "bkt", "--compression", "zstd")
    body = readings(CHUNK + 3 * MIB)
    client.put_object(Bucket="bkt", Key="k", Body=body)
    s.stop()
    for drive in (1, 4):
        os.rename(s.drive(drive), s.drive(drive) + ".away")
    s.start()
    assert show(s, "bkt")["compression"] == "zstd"
    client = s.client()
    assert client.get_object(Bucket="bkt", Key="k")["Body"].read() == body
    s.stop()
    for drive in (1, 4):
        shutil.rmtree(s.drive(drive), ignore_errors=True)
    s.start()
    client = s.client()

    def whole():
        return all(shard["state"] == "here" for c in chunks(s, "bkt", "k")
                   for shard in c["shards"])
    eventually(whole)
    s.stop()
    s.verify()
    s.start()
    assert s.client().get_object(Bucket="bkt", Key="k")["Body"].read() == body


# Policies.

def policies(s, bucket, key):
    return {c["ec"] for c in chunks(s, bucket, key)}


@pytest.fixture
def six(make_server):
    """A store of 4+2 over six drives, with a bucket."""
    s = make_server("--drives", "6", "--segment-bytes", "16MiB")
    s.client().create_bucket(Bucket="bkt")
    return s


def test_a_bucket_is_stored_by_its_own_policy(six):
    client = six.client()
    body = blob(3 * MIB)
    client.put_object(Bucket="bkt", Key="before", Body=body)
    assert show(six, "bkt")["ec"] == "4+2"
    assert not show(six, "bkt")["ec_set"]
    for ec in ("1+2", "2+2", "3+3", "4+1"):
        six.cli("bucket", "set", "bkt", "--ec", ec)
        assert show(six, "bkt")["ec"] == ec
        for size in (100, 70000, 3 * MIB, CHUNK + 5):
            client.put_object(Bucket="bkt", Key=f"{ec}-{size}",
                              Body=blob(size))
        assert policies(six, "bkt", f"{ec}-{3 * MIB}") == {ec}
    client.create_bucket(Bucket="other")
    client.put_object(Bucket="other", Key="k", Body=body)
    assert policies(six, "other", "k") == {"4+2"}
    six.restart()
    client = six.client()
    assert client.get_object(Bucket="bkt", Key="before")["Body"].read() == body
    for ec in ("1+2", "2+2", "3+3", "4+1"):
        for size in (100, 70000, 3 * MIB, CHUNK + 5):
            assert client.get_object(Bucket="bkt", Key=f"{ec}-{size}")[
                "Body"].read() == blob(size), (ec, size)
    six.stop()
    six.verify()
    six.start()


def test_each_policy_bears_what_it_promises(six):
    client = six.client()
    for ec in ("1+2", "3+3", "4+1"):
        bucket = f"b{ec[0]}{ec[2]}"
        client.create_bucket(Bucket=bucket)
        six.cli("bucket", "set", bucket, "--ec", ec)
        client.put_object(Bucket=bucket, Key=ec, Body=blob(5 * MIB))
    for ec, may in (("1+2", 2), ("3+3", 3), ("4+1", 1)):
        six.stop()
        for drive in range(may):
            os.rename(six.drive(drive), six.drive(drive) + ".away")
        six.start()
        assert six.client().get_object(Bucket=f"b{ec[0]}{ec[2]}", Key=ec)[
            "Body"].read() == blob(5 * MIB), ec
        six.stop()
        for drive in range(may):
            shutil.rmtree(six.drive(drive), ignore_errors=True)
            os.rename(six.drive(drive) + ".away", six.drive(drive))
        six.start()


def test_what_the_drives_cannot_hold_is_refused_with_what_it_would_bear(six):
    done = six.cli("bucket", "set", "bkt", "--ec", "6+2+2", check=False)
    assert done.returncode != 0
    assert b"wants 10 of them" in done.stderr, done.stderr
    assert b"survives the loss of any 1 drive" in done.stderr
    for bad in ("4", "17+2", "4+2+9", "x"):
        assert six.cli("bucket", "set", "bkt", "--ec", bad,
                       check=False).returncode != 0
    assert not show(six, "bkt")["ec_set"]


# Recoding.

@pytest.fixture
def recoder(make_server):
    s = make_server("--drives", "6", "--segment-bytes", "16MiB",
                    "--gc-interval", "200ms", "--gc-delay", "500ms")
    s.client().create_bucket(Bucket="bkt")
    return s


def recoded(s, timeout=90):
    eventually(lambda: not show(s, "bkt")["recoding"]["wanted"],
               timeout=timeout, what="recoding")


def put_all_kinds(client):
    """Objects of all kinds, and what they hold."""
    objects = {"empty": b"", "row": blob(4000), "short": readings(70000),
               "readings": readings(3 * MIB), "noise": blob(CHUNK + 3 * MIB)}
    for key, body in objects.items():
        client.put_object(Bucket="bkt", Key=key, Body=body)
    parts = [readings(5 * MIB, 7), blob(5 * MIB, 7), b"tail" * 3000]
    upload = client.create_multipart_upload(Bucket="bkt",
                                            Key="parts")["UploadId"]
    done = [{"PartNumber": n, "ETag": client.upload_part(
        Bucket="bkt", Key="parts", UploadId=upload, PartNumber=n,
        Body=part)["ETag"]} for n, part in zip((2, 5, 9), parts)]
    client.complete_multipart_upload(Bucket="bkt", Key="parts",
                                     UploadId=upload,
                                     MultipartUpload={"Parts": done})
    objects["parts"] = b"".join(parts)
    for key in ("parts", "noise"):
        client.copy_object(Bucket="bkt", Key=f"copy of {key}",
                           CopySource={"Bucket": "bkt", "Key": key})
        objects[f"copy of {key}"] = objects[key]
    return objects


def check_objects(client, objects):
    for key, body in objects.items():
        got = client.get_object(Bucket="bkt", Key=key)
        assert got["ContentLength"] == len(body), key
        assert got["Body"].read() == body, key


def test_what_is_there_is_recoded(recoder):
    client = recoder.client()
    objects = put_all_kinds(client)
    etags = {k: client.head_object(Bucket="bkt", Key=k) for k in objects}
    for ec, compression in (("2+2", "off"), ("1+2", "zstd"), ("3+3", "zstd"),
                            ("default", "off")):
        recoder.cli("bucket", "set", "bkt", "--ec", ec, "--compression",
                    compression)
        assert show(recoder, "bkt")["recoding"]["wanted"]
        check_objects(client, objects)
        recoded(recoder)
        check_objects(client, objects)
        want = "4+2" if ec == "default" else ec
        for key, body in objects.items():
            if len(body) > 4096:
                assert policies(recoder, "bkt", key) == {want}, key
                stored, plain = sizes(recoder, "bkt", key)
                assert plain == len(body)
                if compression == "off" or "noise" in key:
                    assert stored == plain, key
                else:
                    assert stored < plain * 0.7, key
    for key, before in etags.items():
        now = client.head_object(Bucket="bkt", Key=key)
        assert (now["ETag"], now["LastModified"]) == (
            before["ETag"], before["LastModified"])
    status = json.loads(recoder.cli("status", "--json").stdout)
    assert status["recoding"]["bucket"] == ""
    # The runs of before are collected: what is left is what verify counts.
    eventually(lambda: json.loads(recoder.cli("status", "--json").stdout)[
        "catalogue"]["garbage"] == 0)
    recoder.stop()
    recoder.verify()
    recoder.start()
    check_objects(recoder.client(), objects)


def test_recoding_keeps_to_its_rate(make_server):
    s = make_server("--drives", "6", "--segment-bytes", "16MiB",
                    "--recode-rate", "1")
    client = s.client()
    client.create_bucket(Bucket="bkt")
    objects = {f"k{i}": blob(MIB, i) for i in range(6)}
    for key, body in objects.items():
        client.put_object(Bucket="bkt", Key=key, Body=body)
    s.cli("bucket", "set", "bkt", "--ec", "2+2")
    start = time.monotonic()
    recoded(s)
    assert time.monotonic() - start >= 5  # 6 MiB at 1 MiB a second
    check_objects(client, objects)


def test_what_is_overwritten_or_deleted_meanwhile_is_left_alone(recoder):
    client = recoder.client()
    objects = {f"k{i:02}": blob(4 * MIB, i) for i in range(40)}
    for key, body in objects.items():
        client.put_object(Bucket="bkt", Key=key, Body=body)
    recoder.cli("bucket", "set", "bkt", "--ec", "2+2")
    rng = random.Random(4)
    changes = 0
    while show(recoder, "bkt")["recoding"]["wanted"]:
        key = f"k{rng.randrange(40):02}"
        if rng.random() < 0.3:
            client.delete_object(Bucket="bkt", Key=key)
            objects.pop(key, None)
        else:
            objects[key] = blob(100000 + changes, changes)
            client.put_object(Bucket="bkt", Key=key, Body=objects[key])
        changes += 1
    assert changes > 10
    check_objects(client, objects)
    listed = {o["Key"] for o in client.list_objects_v2(
        Bucket="bkt")["Contents"]}
    assert listed == set(objects)
    for key in objects:
        assert policies(recoder, "bkt", key) == {"2+2"}, key
    recoder.stop()
    recoder.verify()
    recoder.start()


def test_recoding_goes_on_after_kill_9(recoder):
    client = recoder.client()
    objects = {f"k{i:02}": blob(CHUNK, i) for i in range(24)}
    for key, body in objects.items():
        client.put_object(Bucket="bkt", Key=key, Body=body)
    recoder.cli("bucket", "set", "bkt", "--ec", "3+3")

    def under_way():
        p = show(recoder, "bkt")["recoding"]
        assert p["wanted"], "too quick for this test"
        return p["objects_done"] >= 4 and p["objects"] == 24
    eventually(under_way)
    out = recoder.cli("bucket", "show", "bkt").stdout
    assert b"of 24 objects" in out and b"s left" in out, out
    assert b"Recoding   bkt: " in recoder.cli("status").stdout
    recoder.kill9()
    recoder.start()
    client = recoder.client()
    done = sum(policies(recoder, "bkt", key) == {"3+3"} for key in objects)
    assert 3 <= done < 24, done
    recoded(recoder)
    check_objects(client, objects)
    assert all(policies(recoder, "bkt", k) == {"3+3"} for k in objects)
    recoder.stop()
    recoder.verify()
    recoder.start()
