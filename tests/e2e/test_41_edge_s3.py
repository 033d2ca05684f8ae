"""Goal: an agent delivers to any store that speaks S3, with nothing of ours on
the other side: one PUT each, tars, uploads in parts; what fails is sent again.

Method: our own store as one that knows S3 alone (signatures are judged by it,
and by no code of the agent), and a fake one that misbehaves.
"""
import hashlib
import http.server
import os
import re
import subprocess
import threading
import time

import pytest

import edge_device
import seal_reference
import test_18_edge

EDGE = test_18_edge.EDGE
GODWIT = os.environ["GODWIT"]
KIB = 1024
MIB = 1 << 20


@pytest.fixture(scope="module")
def store():
    with edge_device.tls_server() as s:
        s.boto = s.client()
        yield s


class Agent(test_18_edge.Agent):
    def __init__(self, folder, endpoint, bucket, keys, *flags):
        self.bucket = bucket
        self.keys_file = os.path.join(str(folder), "keys")
        with open(self.keys_file, "w", encoding="ascii") as f:
            f.write("\n".join(keys) + "\n")
        super().__init__(folder, "--s3-endpoint", endpoint, "--bucket", bucket,
                         "--access-key-file", self.keys_file, *flags)
        with open(self.identity, encoding="ascii") as f:
            secret = re.search("AGE-SECRET-KEY-1[A-Z0-9]+", f.read()).group()
        self.own = seal_reference.bech32_bytes(secret)

    def give(self, key, body, **fields):
        self.put(f"{self.bucket}/{key}", body, **fields)

    def flush(self):
        out = self.command("flush")
        assert out.returncode == 0, out.stderr + self.text()

    def opened(self, raw):
        return seal_reference.open_envelope(self.own, raw)[1]


@pytest.fixture
def make(tmp_path, store, request):
    agents = []

    def start(*flags, keys=None, versions=True):
        bucket = "s3-" + hashlib.md5(
            request.node.name.encode()).hexdigest()[:12]
        store.boto.create_bucket(Bucket=bucket)
        if versions:
            store.boto.put_bucket_versioning(
                Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
        agents.append(Agent(tmp_path, f"https://127.0.0.1:{store.port}", bucket,
                            keys or store.credentials, "--s3-ca", store.tls_ca,
                            *flags))
        return agents[-1]

    yield start
    for a in agents:
        a.process.kill()
        a.process.wait()


def versions(store, bucket):
    out = {}
    for page in store.boto.get_paginator("list_object_versions").paginate(
            Bucket=bucket):
        for v in page.get("Versions", []) + page.get("DeleteMarkers", []):
            out[v["Key"]] = out.get(v["Key"], 0) + 1
    return out


def read(store, agent, key):
    o = store.boto.get_object(Bucket=agent.bucket, Key=key)
    return agent.opened(o["Body"].read()), o


@pytest.mark.parametrize("flags", [(), ("--snowball",)])
def test_all_arrives_as_it_was(make, store, flags):
    agent = make(*flags)
    sent = {f"a/{size}": os.urandom(size) for size in
            (0, 1, 4096, 65536, 65537, 300 * KIB, 3 * MIB, 6 * MIB,
             12 * MIB + 5)}
    sent["odd key/ü?&=+ %/x"] = b"odd"
    sent.update({f"many/{i}": b"%d" % i for i in range(300)})
    for key, body in sent.items():
        agent.give(re.sub("[^A-Za-z0-9/]",
                          lambda m: "".join(f"%{c:02X}" for c in
                                            m.group().encode()), key), body)
    agent.give("meta", b"m", Content_Type="text/plain",
               x_amz_meta_site="north  west", x_amz_meta_a="grün".encode())
    sent["meta"] = b"m"
    agent.flush()
    assert agent.status()["objects"] == 0
    assert versions(store, agent.bucket) == dict.fromkeys(sent, 1)
    for key, body in sent.items():
        assert read(store, agent, key)[0] == body, key
    o = read(store, agent, "meta")[1]
    assert o["ContentType"] == "text/plain"
    assert o["Metadata"]["site"] == "north  west"


def test_many_small_ones_go_in_few_tars(make, store):
    agent = make("--snowball", "--hours",
                 "0-1" if time.gmtime().tm_hour else "5-6")
    for i in range(500):
        agent.give(f"k/{i}", b"%d" % i)
    agent.flush()
    assert agent.status()["batches"] <= 5
    assert versions(store, agent.bucket) == {f"k/{i}": 1 for i in range(500)}


@pytest.mark.parametrize("flags", [(), ("--snowball",)])
def test_the_order_of_a_key_is_kept_and_deletes_are_told(make, store, flags):
    agent = make(*flags)
    for i in range(20):
        agent.give("k", b"%d" % i)
        agent.give(f"gone{i}", b"x")
    for i in range(20):
        status, _, _ = agent.ask("DELETE", f"/{agent.bucket}/gone{i}")
        assert status == 204
    agent.flush()
    assert read(store, agent, "k")[0] == b"19"
    listed = store.boto.list_objects_v2(Bucket=agent.bucket)["Contents"]
    assert [o["Key"] for o in listed] == ["k"]


def test_kills_lose_nothing_and_a_large_one_goes_on(make, store):
    agent = make("--rate", "8M")
    sent = {"large": os.urandom(24 * MIB)}
    agent.give("large", sent["large"])
    for i in range(60):
        sent[f"k{i}"] = os.urandom(2000)
        agent.give(f"k{i}", sent[f"k{i}"])
        if i % 20 == 19:
            time.sleep(0.9)
            agent.kill()
            agent.start()
    agent.flush()
    for key, body in sent.items():
        assert read(store, agent, key)[0] == body
    assert versions(store, agent.bucket)["large"] == 1
    uploads = store.boto.list_multipart_uploads(Bucket=agent.bucket)
    assert "Uploads" not in uploads


def test_wrong_keys_keep_all_and_say_so(make, store):
    agent = make(keys=(store.credentials[0], "wrong"))
    agent.give("k", b"1")
    out = agent.command("flush")
    assert out.returncode == 1
    assert "403 SignatureDoesNotMatch" in out.stderr
    assert agent.status()["objects"] == 1
    agent.stop()
    with open(agent.keys_file, "w", encoding="ascii") as f:
        f.write("\n".join(store.credentials))
    agent.start()
    agent.flush()
    assert read(store, agent, "k")[0] == b"1"


def test_only_its_bucket_is_taken(make):
    agent = make("--prefix", "in/")
    status, body, _ = agent.ask("PUT", "/other/k", b"1")
    assert status == 403, body
    assert agent.ask("PUT", f"/{agent.bucket}/out/k", b"1")[0] == 403
    assert agent.ask("PUT", f"/{agent.bucket}/in/k", b"1")[0] == 200


def test_another_ca_is_refused(make, store, tmp_path):
    other = tmp_path / "other.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                    "ec_paramgen_curve:P-256", "-nodes", "-keyout",
                    str(tmp_path / "k.pem"), "-out", str(other), "-subj",
                    "/CN=x"], check=True, capture_output=True)
    agent = make("--s3-ca", str(other))
    agent.give("k", b"1")
    out = agent.command("flush")
    assert out.returncode == 1 and "impostor" in out.stderr
    assert agent.status()["objects"] == 1


class Odd(http.server.BaseHTTPRequestHandler):
    """A store that answers what it is told to."""
    protocol_version = "HTTP/1.1"
    script, seen = [], []

    def log_message(self, *args):
        pass

    def do_PUT(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        status = Odd.script.pop(0) if Odd.script else 200
        Odd.seen.append((self.path, len(body), dict(self.headers), status))
        answer = b"" if status == 200 else b"<Error><Code>Odd</Code></Error>"
        self.send_response(status)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)


@pytest.fixture
def odd():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Odd)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    Odd.script, Odd.seen = [], []
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def test_what_fails_is_kept_and_what_is_refused_twice_is_given_up(tmp_path,
                                                                  odd):
    agent = Agent(tmp_path, odd, "box", ("A", "S"))
    Odd.script = [500, 503, 403, 404, 400, 400]
    agent.give("bad", b"1")
    end = time.monotonic() + 60
    while agent.status()["objects"] and time.monotonic() < end:
        agent.command("flush")
    assert [s for _, _, _, s in Odd.seen][:6] == [500, 503, 403, 404, 400, 400]
    assert agent.status()["refused_objects"] == 1
    agent.give("good", b"2")
    agent.flush()
    assert Odd.seen[-1][0] == "/box/good" and Odd.seen[-1][3] == 200
    assert "Signature=" in Odd.seen[-1][2]["Authorization"]
    agent.stop()


def test_a_store_that_takes_no_tars_gets_one_put_each(tmp_path, odd):
    agent = Agent(tmp_path, odd, "box", ("A", "S"), "--snowball")
    Odd.script = [501] * 3
    agent.stop()
    agent.flags += ["--hours", "0-1" if time.gmtime().tm_hour else "5-6"]
    agent.start()
    for i in range(10):
        agent.give(f"k{i}", b"1")
    end = time.monotonic() + 60
    while agent.status()["objects"] and time.monotonic() < end:
        agent.command("flush")
    assert Odd.seen[0][0].startswith("/box/godwit-edge-")
    stored = [p for p, _, _, s in Odd.seen if s == 200]
    assert sorted(stored) == [f"/box/k{i}" for i in range(10)]
    assert "one PUT each" in agent.text()
    agent.stop()


@pytest.mark.parametrize("flags,word", [
    (("--access-key-file", "/nowhere"), "/nowhere"),
    ((), "--access-key-file"),
])
def test_what_is_missing_is_told(tmp_path, flags, word):
    out = subprocess.run(
        [GODWIT, "identity", "create", "--output", str(tmp_path / "id")],
        check=True, capture_output=True, text=True).stdout
    recipient = re.search("age1[a-z0-9]+", out).group()
    out = subprocess.run(
        [EDGE, "run", "--data", str(tmp_path / "d"), "--recipient", recipient,
         "--s3-endpoint", "https://127.0.0.1:1", "--bucket", "box", *flags],
        capture_output=True, text=True, timeout=20)
    assert out.returncode != 0 and word in out.stderr
