"""The agent of a device: takes objects, seals them, keeps them.

What is acknowledged is there after any kill; no plaintext is ever in the
spool's folder; what it cannot do as asked it refuses.
"""
import base64
import http.client
import json
import os
import random
import re
import signal
import socket
import subprocess
import threading
import time

import pytest

import util

GODWIT = os.environ["GODWIT"]
EDGE = os.environ.get("GODWIT_EDGE") or os.path.join(
    os.path.dirname(GODWIT), "godwit-edge")
MIB = 1 << 20


class Unix(http.client.HTTPConnection):
    """HTTP over a socket file."""

    def __init__(self, path):
        super().__init__("agent", timeout=30)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(30)
        self.sock.connect(self.path)


class Agent:
    """One agent over a folder of its own."""

    def __init__(self, folder, *flags):
        self.folder = str(folder)
        self.data = os.path.join(self.folder, "data")
        self.identity = os.path.join(self.folder, "identity")
        self.flags = list(flags)
        self.process = None
        if not os.path.exists(self.identity):
            out = subprocess.run(
                [GODWIT, "identity", "create", "--output", self.identity],
                check=True, capture_output=True, text=True).stdout
            self.recipient = re.search("age1[a-z0-9]+", out).group()
        self.start()

    def arguments(self):
        return [EDGE, "run", "--data", self.data, "--recipient",
                self.recipient, "--listen", "127.0.0.1:0", *self.flags]

    def start(self):
        self.log = open(os.path.join(self.folder, "log"), "a+b")
        self.process = subprocess.Popen(self.arguments(), stderr=self.log)
        for _ in range(600):
            if self.process.poll() is not None:
                raise RuntimeError("the agent ended: " + self.text())
            try:
                if self.ask("GET", "/-/ready")[0] == 200:
                    break
            except OSError:
                pass
            time.sleep(0.01)
        else:
            raise RuntimeError("the agent is not ready: " + self.text())
        self.port = int(re.findall(r"port=(\d+)", self.text())[-1])

    def text(self):
        with open(self.log.name, encoding="utf-8", errors="replace") as f:
            return f.read()

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.log.close()

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            assert self.process.wait(20) == 0, self.text()
        self.log.close()

    def ask(self, method, path, body=None, headers=None):
        c = Unix(os.path.join(self.data, "socket"))
        try:
            c.request(method, path, body, headers or {})
            r = c.getresponse()
            return r.status, r.read(), dict(r.getheaders())
        finally:
            c.close()

    def put(self, key, body, **headers):
        status, answer, fields = self.ask(
            "PUT", "/" + key, body,
            {k.replace("_", "-"): v for k, v in headers.items()})
        assert status == 200, answer
        return fields

    def raw(self, data, wait=5):
        """Send bytes to the port; gives all that comes until the end."""
        with socket.create_connection(("127.0.0.1", self.port), wait) as s:
            s.sendall(data)
            got = b""
            try:
                while True:
                    run = s.recv(65536)
                    if not run:
                        return got
                    got += run
            except TimeoutError:
                return got

    def status(self):
        return json.loads(self.ask("GET", "/-/status")[1])

    def keys(self, bucket, **query):
        out = []
        token = ""
        while True:
            q = "&".join(f"{k}={v}" for k, v in query.items())
            status, body, _ = self.ask(
                "GET", f"/{bucket}?list-type=2&{q}"
                f"&continuation-token={token.replace('=', '%3D')}")
            assert status == 200, body
            text = body.decode()
            out += re.findall("<Key>(.*?)</Key>", text)
            more = re.search("<NextContinuationToken>(.*?)<", text)
            if not more:
                return out
            token = more.group(1).replace("+", "%2B")

    def command(self, *args):
        return subprocess.run([EDGE, args[0], "--data", self.data, *args[1:]],
                              capture_output=True, text=True)

    def spool(self):
        """All bytes of the spool's folder."""
        folder = os.path.join(self.data, "spool")
        out = b""
        for name in sorted(os.listdir(folder)):
            with open(os.path.join(folder, name), "rb") as f:
                out += f.read()
        return out


@pytest.fixture
def make_agent(tmp_path):
    agents = []

    def make(*flags):
        agents.append(Agent(tmp_path, *flags))
        return agents[-1]

    yield make
    for a in agents:
        if a.process.poll() is None:
            a.process.kill()
            a.process.wait()


def test_help_and_version():
    out = subprocess.run([EDGE, "--help"], capture_output=True, text=True)
    assert out.returncode == 0 and "--when-full" in out.stdout
    out = subprocess.run([EDGE, "--version"], capture_output=True, text=True)
    assert re.fullmatch(r"godwit-edge \d+\.\d+\.\d+\n", out.stdout)
    assert subprocess.run([EDGE, "fly"], capture_output=True).returncode == 2


def test_it_does_not_run_without_a_recipient(tmp_path):
    out = subprocess.run([EDGE, "run", "--data", str(tmp_path)],
                         capture_output=True, text=True)
    assert out.returncode == 2 and "--recipient" in out.stderr


def test_two_do_not_run_over_one_folder(make_agent):
    a = make_agent()
    out = subprocess.run([EDGE, "run", "--data", a.data, "--recipient",
                          a.recipient], capture_output=True, text=True)
    assert out.returncode == 1 and "lock" in out.stderr


def test_put_head_list_delete(make_agent):
    a = make_agent()
    body = util.blob(5000)
    fields = a.put("sensors/a/b c".replace(" ", "%20"), body,
                   Content_Type="text/x", x_amz_meta_unit="C")
    assert fields["ETag"] == util.etag(body)
    status, answer, fields = a.ask("HEAD", "/sensors/a/b%20c")
    assert status == 200 and answer == b""
    assert fields["Content-Length"] == "5000"
    assert fields["Content-Type"] == "text/x"
    assert fields["x-amz-meta-unit"] == "C"
    assert fields["ETag"] == util.etag(body)
    assert a.keys("sensors") == ["a/b c"]
    assert a.keys("other") == []
    assert a.ask("DELETE", "/sensors/a/b%20c")[0] == 204
    assert a.ask("HEAD", "/sensors/a/b%20c")[0] == 404
    assert a.keys("sensors") == []


def test_pages_prefixes_and_delimiters(make_agent):
    a = make_agent()
    want = sorted(f"{d}/{i:03}" for d in "abc" for i in range(20))
    for key in random.Random(1).sample(want, len(want)):
        a.put("bucket/" + key, b"x")
    assert a.keys("bucket", **{"max-keys": 7}) == want
    assert a.keys("bucket", prefix="b/01") == [k for k in want
                                              if k.startswith("b/01")]
    assert a.keys("bucket", **{"start-after": "c/010"}) == [
        k for k in want if k > "c/010"]
    _, body, _ = a.ask("GET", "/bucket?list-type=2&delimiter=%2F&max-keys=2")
    assert re.findall("<CommonPrefixes><Prefix>(.*?)<", body.decode()) == [
        "a/", "b/"]
    assert b"<IsTruncated>true<" in body


def test_reads_need_a_local_key(make_agent):
    a = make_agent()
    a.put("bucket/key", b"x")
    status, body, _ = a.ask("GET", "/bucket/key")
    assert status == 403 and b"keeps no key" in body
    a.stop()
    a.flags = ["--local-read"]
    a.start()
    status, body, _ = a.ask("GET", "/bucket/key")
    assert status == 403 and b"last start" in body
    for size in (0, 1, 65535, 65536, 65537, 3 * MIB + 17):
        data = util.blob(size)
        assert a.put("bucket/again", data)["ETag"] == util.etag(data)
        status, body, _ = a.ask("GET", "/bucket/again")
        assert status == 200 and body == data


def test_no_plaintext_is_ever_in_the_spool(make_agent):
    a = make_agent("--local-read")
    secret = b"the quick brown fox 0123456789"
    small = secret * 20
    large = secret * 20000
    a.put("bucket/small", small)
    a.put("bucket/large", large)
    assert a.ask("GET", "/bucket/large")[1] == large
    a.kill()
    spool = a.spool()
    for i in range(0, len(secret) - 8):
        assert secret[i:i + 8] not in spool
    for md5 in (util.md5(small), util.md5(large)):  # it confirms a guess
        assert bytes.fromhex(md5) not in spool
    assert b"AGE-SECRET" not in spool


def envelopes(a):
    """(key, envelope) of all small objects, read from the spool by docs."""
    folder = os.path.join(a.data, "spool")
    for name in sorted(os.listdir(folder)):
        with open(os.path.join(folder, name), "rb") as f:
            p = f.read()
        if p[:4] != b"GWSS":
            continue
        n = int.from_bytes(p[10:12], "little")
        header, sequence = p[24:24 + n], p[16:24]
        at = (24 + n + 7) // 8 * 8
        while at + 88 <= len(p):
            if p[at:at + 4] != b"GWSR" or p[at + 16:at + 24] != sequence:
                at = at // 4096 * 4096 + 4096
                continue
            payload = int.from_bytes(p[at + 8:at + 12], "little")
            key = int.from_bytes(p[at + 12:at + 14], "little")
            meta = int.from_bytes(p[at + 14:at + 16], "little")
            body = at + 88 + key + meta
            if p[at + 48] == 1 and p[at + 50] == 0:
                head = (b"GWSE\x01" + p[at + 51:at + 52] +
                        n.to_bytes(2, "little") + p[at + 52:at + 56])
                yield (p[at + 88:at + 88 + key].decode(),
                       head + header + p[body:body + payload])
            at = (body + payload + 7) // 8 * 8


def test_the_owner_opens_what_was_sealed(make_agent, tmp_path):
    a = make_agent()
    want = {f"bucket/{i}": util.blob(i * 997 % 60000) for i in range(20)}
    for key, body in want.items():
        a.put(key, body)
    a.kill()
    got = {}
    for key, envelope in envelopes(a):
        path = tmp_path / "envelope"
        path.write_bytes(envelope)
        text = tmp_path / f"text-{len(got)}"
        out = subprocess.run([GODWIT, "open", "--identity", a.identity,
                              "--output", str(text), str(path)],
                             capture_output=True, text=True)
        assert out.returncode == 0, out.stderr
        got[key] = text.read_bytes()
    assert got == want


def test_what_an_agent_cannot_do_it_refuses(make_agent):
    a = make_agent()
    md5 = base64.b64encode(b"0" * 16).decode()
    rows = [
        ("PUT", "/bucket/k", {"Content-MD5": md5}, 400, b"BadDigest"),
        ("PUT", "/bucket/k", {"Content-MD5": "x"}, 400, b"Content-MD5"),
        ("PUT", "/bucket/k", {"x-godwit-class": "10"}, 400, b"class"),
        ("PUT", "/bucket/k", {"x-amz-copy-source": "/a/b"}, 501, b"copy"),
        ("PUT", "/bucket/k", {"If-None-Match": "*"}, 501, b"If-None"),
        ("PUT", "/bucket/k",
         {"x-amz-content-sha256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER"}, 501,
         b"aws-chunked"),
        ("PUT", "/bucket/k?partNumber=1&uploadId=x", {}, 501, b"parameters"),
        ("PUT", "/bucket/" + "k" * 1025, {}, 400, b"1024"),
        ("PUT", "/bucket/k%00", {}, 400, b"path"),
        ("PUT", "/bucket/%ff", {}, 400, b"path"),
        ("PUT", "/Bucket/k", {}, 400, b"a-z"),
        ("PUT", "/b/k", {}, 400, b"3 to 63"),
        ("PUT", "/bucket", {}, 501, b"cluster"),
        ("POST", "/bucket/k", {}, 405, b"PUT"),
        ("GET", "/bucket?list-type=1", {}, 501, b"list-type"),
        ("GET", "/bucket?list-type=2&max-keys=x", {}, 400, b"parameter"),
        ("GET", "/bucket?list-type=2&continuation-token=%21", {}, 400,
         b"token"),
        ("GET", "/-/nothing", {}, 404, b"no such path"),
        ("PUT", "/bucket/k", {"Origin": "http://evil.test"}, 403, b"web"),
    ]
    for method, path, headers, status, text in rows:
        got, body, _ = a.ask(method, path, b"x" if method == "PUT" else None,
                             headers)
        assert (got, text in body) == (status, True), (path, got, body)
    assert a.status()["objects"] == 0


def test_bad_http_is_answered_and_changes_nothing(make_agent):
    a = make_agent()
    rows = [
        (b"PUT /bucket/k HTTP/1.1\r\nHost: h\r\n\r\n", b"411"),
        (b"PUT /bucket/k HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n"
         b"Transfer-Encoding: chunked\r\n\r\n", b"400"),
        (b"PUT /bucket/k HTTP/1.1\r\nHost: h\r\n"
         b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", b"400"),
        (b"GET / HTTP/1.1\nHost: h\n\n\r\n\r\n", b"400"),
        (b"A" * 20000, b"431"),
        (b"PUT /bucket/k HTTP/1.1\r\nHost: h\r\n"
         b"Content-Length: 9999999999\r\n\r\n", b"400"),
    ]
    for request, status in rows:
        assert a.raw(request).startswith(b"HTTP/1.1 " + status), request[:60]
    # A body that does not end is no object.
    with socket.create_connection(("127.0.0.1", a.port)) as s:
        s.sendall(b"PUT /bucket/k HTTP/1.1\r\nHost: h\r\n"
                  b"Content-Length: 10\r\n\r\n12345")
        time.sleep(0.1)
    assert a.status()["objects"] == 0
    # Requests that come at once are answered in their order.
    got = a.raw(b"PUT /bucket/a HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n"
                b"\r\n1PUT /bucket/b HTTP/1.1\r\nHost: h\r\n"
                b"Transfer-Encoding: chunked\r\n\r\n2\r\n22\r\n0\r\n\r\n"
                b"HEAD /bucket/b HTTP/1.1\r\nHost: h\r\n"
                b"Connection: close\r\n\r\n")
    assert re.findall(b"HTTP/1.1 (\\d+)", got) == [b"200"] * 3
    assert b"Content-Length: 2\r\n" in got
    # 100-continue is said before the body comes, and an error instead of it.
    with socket.create_connection(("127.0.0.1", a.port)) as s:
        s.settimeout(10)
        head = (b"PUT /bucket/%s HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n"
                b"Expect: 100-continue\r\n\r\n")
        s.sendall(head % b"c")
        assert s.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        s.sendall(b"333")
        assert s.recv(1000).startswith(b"HTTP/1.1 200")
        s.sendall(head % b"%zz")
        assert s.recv(1000).startswith(b"HTTP/1.1 400")


def test_boto3_puts_heads_lists_and_deletes(make_agent):
    boto3 = pytest.importorskip("boto3")
    import botocore.config
    a = make_agent("--local-read")
    s3 = boto3.client(
        "s3", endpoint_url=f"http://127.0.0.1:{a.port}", region_name="x",
        aws_access_key_id="a", aws_secret_access_key="b",
        config=botocore.config.Config(s3={"addressing_style": "path"}))
    s3.put_object(Bucket="bucket", Key="a/ü", Body=b"hello",
                  Metadata={"unit": "C"})
    got = s3.get_object(Bucket="bucket", Key="a/ü")
    assert got["Body"].read() == b"hello"
    assert got["Metadata"] == {"unit": "C"}
    assert [o["Key"] for o in s3.list_objects_v2(Bucket="bucket")["Contents"]
            ] == ["a/ü"]
    s3.delete_object(Bucket="bucket", Key="a/ü")
    assert "Contents" not in s3.list_objects_v2(Bucket="bucket")


def test_another_machine_needs_the_token(make_agent, tmp_path):
    out = subprocess.run(
        [EDGE, "run", "--data", str(tmp_path / "d"), "--listen", "0.0.0.0:0",
         "--recipient", "age1" + "q" * 58], capture_output=True, text=True)
    assert out.returncode == 2, out.stderr
    address = next((ip for ip in subprocess.run(
        ["hostname", "-I"], capture_output=True, text=True).stdout.split()
        if ":" not in ip and not ip.startswith("127.")), None)
    if address is None:
        pytest.skip("this machine has loopback alone")
    token = tmp_path / "token"
    token.write_text("0123456789abcdef\n")
    a = make_agent("--token-file", str(token), "--listen", "0.0.0.0:0")
    for header, want in (({}, 403), ({"Authorization": "Bearer wrong"}, 403),
                         ({"Authorization": "Bearer 0123456789abcdef"}, 200)):
        c = http.client.HTTPConnection(address, a.port, timeout=10)
        c.request("PUT", "/bucket/k", b"x", header)
        assert c.getresponse().status == want
        c.close()


def test_commands(make_agent, tmp_path):
    a = make_agent("--local-read")
    path = tmp_path / "reading.json"
    path.write_bytes(util.blob(200000))
    assert a.command("put", str(path)).returncode == 0
    assert a.command("put", str(path), "sensors/x/y").returncode == 0
    out = a.command("ls", "sensors")
    assert out.stdout.split()[1:] == ["200000", "sensors/x/y"], out
    assert "inbox/reading.json" in a.command("ls").stdout
    assert a.command("get", "sensors/x/y",
                     str(tmp_path / "back")).returncode == 0
    assert (tmp_path / "back").read_bytes() == path.read_bytes()
    out = a.command("get", "sensors/none", str(tmp_path / "none"))
    assert out.returncode == 1 and "404" in out.stderr
    assert not (tmp_path / "none").exists()
    out = a.command("status", "--json")
    assert json.loads(out.stdout)["objects"] == 2
    assert re.search(r"^objects +2$", a.command("status").stdout, re.M)
    out = a.command("flush")
    assert out.returncode == 1 and "not enrolled" in out.stderr
    assert a.command("put", "/nowhere").returncode == 1
    out = a.command("verify")
    assert out.returncode == 1 and "stop the agent" in out.stderr
    a.stop()
    out = a.command("verify")
    assert out.returncode == 0 and out.stdout == "2 objects, 0 damaged\n"
    out = a.command("status")
    assert out.returncode == 1 and "no agent" in out.stderr


def test_a_full_agent_refuses_or_sheds_by_policy(make_agent):
    a = make_agent("--max-objects", "5")
    for i in range(5):
        a.put(f"bucket/{i}", b"x")
    status, body, _ = a.ask("PUT", "/bucket/5", b"x")
    assert status == 507 and b"InsufficientStorage" in body
    a.stop()
    a.flags = ["--max-objects", "5", "--when-full", "oldest"]
    a.start()
    a.put("bucket/5", b"x")
    assert a.keys("bucket") == ["1", "2", "3", "4", "5"]
    assert a.status()["shed_objects"] == 1
    assert "shed an object for room" in a.text() and "key=bucket/0" in a.text()
    a.stop()
    a.flags = ["--max-objects", "5", "--when-full", "class"]
    a.start()
    a.put("bucket/high", b"x", x_godwit_class="9")
    assert a.keys("bucket") == ["2", "3", "4", "5", "high"]
    status, _, _ = a.ask("PUT", "/bucket/low", b"x", {"x-godwit-class": "1"})
    assert status == 507
    assert a.status()["shed_objects"] == 2


def test_a_bounded_spool_stays_within_its_bound(make_agent):
    a = make_agent("--max-bytes", "4MiB", "--when-full", "oldest")
    body = util.blob(50000)
    for i in range(200):
        a.put(f"bucket/{i:03}", body)
    files = [os.path.getsize(os.path.join(a.data, "spool", f))
             for f in os.listdir(os.path.join(a.data, "spool"))]
    assert sum(files) <= 4 * MIB + 8192
    s = a.status()
    assert s["objects"] + s["shed_objects"] == 200 and s["objects"] > 40
    assert "bucket/199" not in a.text()


def wait_for(what, seconds=20):
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it does not come"
        time.sleep(0.05)


def test_watched_files_are_taken_and_deleted(make_agent, tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "there").write_bytes(util.blob(300000))
    (folder / ".hidden").write_bytes(b"x")
    (folder / "half.part").write_bytes(b"x")
    (folder / "link").symlink_to("/etc/passwd")
    (folder / "sub").mkdir()
    a = make_agent("--watch", str(folder), "--bucket", "files", "--prefix",
                   "dev/", "--local-read")
    body = util.blob(1000)
    (folder / "x.tmp").write_bytes(body)
    began = time.monotonic()
    (folder / "x.tmp").rename(folder / "x")
    wait_for(lambda: not (folder / "x").exists())
    assert time.monotonic() - began < 1.5  # complete: no need to wait
    assert a.ask("GET", "/files/dev/x")[1] == body
    # A writer that goes on is waited for.
    with open(folder / "slow", "wb") as f:
        for _ in range(6):
            f.write(b"y" * 1000)
            f.flush()
            time.sleep(0.5)
            assert "dev/slow" not in a.keys("files")
    wait_for(lambda: not (folder / "slow").exists())
    assert a.ask("GET", "/files/dev/slow")[1] == b"y" * 6000
    wait_for(lambda: not (folder / "there").exists())
    assert a.keys("files") == ["dev/slow", "dev/there", "dev/x"]
    assert sorted(p.name for p in folder.iterdir()) == [
        ".hidden", "half.part", "link", "sub"]
    assert a.status()["watch_taken"] == 3


def test_what_never_fits_sheds_nothing(make_agent, tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "huge").write_bytes(b"x" * (5 << 20))
    a = make_agent("--max-bytes", "4MiB", "--when-full", "oldest", "--watch",
                   str(folder), "--bucket", "files")
    for i in range(3):
        a.put(f"files/{i}", b"kept")
    assert a.ask("PUT", "/files/huge", b"x" * (5 << 20))[0] == 507
    wait_for(lambda: a.status()["watch_refused"] > 0)
    assert a.status()["shed_objects"] == 0
    assert a.keys("files") == ["0", "1", "2"]
    a.put("files/large", b"x" * (3 << 20))  # sheds when it must


def test_a_watched_file_whose_name_is_no_key_stays(make_agent, tmp_path):
    """Taken, it would be deleted here and refused by the cluster."""
    folder = tmp_path / "in"
    folder.mkdir()
    path = os.path.join(os.fsencode(folder), b"M\xe4rz.csv")  # ISO 8859-1
    with open(path, "wb") as f:
        f.write(b"1;2\n")
    a = make_agent("--watch", str(folder), "--bucket", "files")
    wait_for(lambda: a.status()["watch_refused"] +
             a.status()["watch_taken"] > 0)
    assert os.path.exists(path)
    assert a.status()["watch_taken"] == 0


def test_many_watched_files_and_kills_lose_none(make_agent, tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    a = make_agent("--watch", str(folder), "--bucket", "files")
    want = set()
    for cycle in range(4):
        for i in range(700):
            name = f"{cycle}-{i}"
            (folder / (name + ".tmp")).write_bytes(name.encode() * 50)
            (folder / (name + ".tmp")).rename(folder / name)
            want.add(name)
        if cycle < 3:
            a.kill()
            assert want == (set(a_keys_after(a)) |
                            {p.name for p in folder.iterdir()})
    wait_for(lambda: not list(folder.iterdir()), 60)
    assert set(a.keys("files")) == want


def a_keys_after(a):
    a.start()
    return a.keys("files")


def writer(a, name, stop, acked, sizes):
    """Put until it fails; each acknowledged key is recorded."""
    rng = random.Random(name)
    c = Unix(os.path.join(a.data, "socket"))
    i = 0
    try:
        while not stop.is_set():
            body = rng.randbytes(rng.choice(sizes))
            c.request("PUT", f"/bucket/{name}-{i}", body)
            r = c.getresponse()
            r.read()
            if r.status != 200:
                return
            acked[f"{name}-{i}"] = body
            i += 1
    except (OSError, http.client.HTTPException):
        pass
    finally:
        c.close()


def test_what_is_acknowledged_survives_kill_9_under_load(make_agent):
    a = make_agent("--max-bytes", "512MiB")
    acked = {}
    rng = random.Random(17)
    for cycle in range(25):
        stop = threading.Event()
        threads = [threading.Thread(
            target=writer, args=(a, f"{cycle}-{n}", stop, acked,
                                 [0, 10, 1000, 5000, 70000, 200000]))
            for n in range(6)]
        for t in threads:
            t.start()
        time.sleep(0.02 + rng.random() * 0.15)
        a.kill()
        stop.set()
        for t in threads:
            t.join()
        a.start()
        have = set(a.keys("bucket"))
        missing = set(acked) - have
        assert not missing, (cycle, sorted(missing)[:5])
        # Nobody was told so, but each was about to be.
        assert len(have - set(acked)) <= 6 * (cycle + 1)
    assert len(acked) > 200
    for key in rng.sample(sorted(acked), 50):
        status, _, fields = a.ask("HEAD", "/bucket/" + key)
        assert (status, int(fields["Content-Length"])) == (200,
                                                          len(acked[key]))
    a.stop()
    out = a.command("verify")
    assert out.returncode == 0, out.stderr
