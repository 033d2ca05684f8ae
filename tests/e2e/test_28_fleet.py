"""Goal: an operator lets devices in, sees and ends them by `godwit edge`, and
what is asked wrongly is refused with its reason and changes nothing.

Method: a store that is a cluster of one, whose CA the codes name; what devices
then do over TLS is for other files.
"""
import base64
import hashlib
import json
import re

import pytest

from server import Server, free_port, run_godwit

CODE = re.compile(r"gwe1\.([\w-]{43})\.([\w-]{22})")
AGE = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"


@pytest.fixture(scope="module")
def store():
    s = Server(flags=("--cluster", f"127.0.0.1:{free_port()}"))
    s.client().create_bucket(Bucket="sensors")
    yield s
    s.close()


def edge(store, *arguments):
    result = store.cli("edge", *arguments, check=False)
    return (result.returncode, result.stdout.decode(),
            result.stderr.decode())


def devices(store):
    return {d["name"]: d for d in
            json.loads(edge(store, "ls", "--json")[1])["devices"]}


def test_a_code_is_the_last_line_and_names_the_ca(store):
    status, out, _ = edge(store, "enroll", "dev1", "--bucket", "sensors",
                          "--recipient", AGE)
    assert status == 0
    ca, secret = CODE.fullmatch(out.splitlines()[-1]).groups()
    with open(f"{store.data}/identity/ca.crt") as file:
        pem = "".join(file.read().split("-----")[2].split())
    want = hashlib.sha256(base64.b64decode(pem)).digest()
    assert base64.urlsafe_b64decode(ca + "=") == want
    assert secret not in edge(store, "ls", "--json")[1]
    d = devices(store)["dev1"]
    assert d["state"] == "new" and d["number"] == 0
    assert d["settings"] == {"bucket": "sensors", "prefix": "dev1/",
                             "recipients": [AGE]}
    allowed = json.loads(d["policy"])["Statement"][0]
    assert allowed["Resource"] == "arn:aws:s3:::sensors/dev1/*"
    assert "s3:GetObject" not in allowed["Action"]


def test_each_enrolment_has_a_code_of_its_own(store):
    codes = {edge(store, "enroll", "dev2", "--bucket", "sensors", "--prefix",
                  "a/b/", "--read")[1].splitlines()[-1] for _ in range(3)}
    assert len(codes) == 3
    assert len([d for d in devices(store) if d == "dev2"]) == 1
    allowed = json.loads(devices(store)["dev2"]["policy"])["Statement"][0]
    assert allowed["Resource"] == "arn:aws:s3:::sensors/a/b/*"
    assert "s3:GetObject" in allowed["Action"]


def test_revoked_shown_and_forgotten(store):
    edge(store, "enroll", "dev3", "--bucket", "sensors")
    assert "state         new" in edge(store, "show", "dev3")[1]
    assert edge(store, "revoke", "dev3")[0] == 0
    status, out, _ = edge(store, "show", "dev3")
    assert status == 0 and "state         revoked" in out
    assert "code until" not in out
    assert edge(store, "remove", "dev3")[0] == 0
    assert "dev3" not in devices(store)
    for verb in "show", "revoke", "remove":
        status, _, complaint = edge(store, verb, "dev3")
        assert status == 1 and "dev3" in complaint


@pytest.mark.parametrize("arguments, reason", [
    (("enroll", "a b", "--bucket", "sensors"), "name: 1 to 64"),
    (("enroll", "x" * 65, "--bucket", "sensors"), "name: 1 to 64"),
    (("enroll", "dev9", "--bucket", "none"), "NoSuchBucket"),
    (("enroll", "dev9"), "--bucket"),
    (("enroll", "dev9", "--bucket", "sensors", "--recipient", "age1x"),
     "recipients:"),
    (("enroll", "dev9", "--bucket", "sensors", "--prefix", "*"), "prefix:"),
    (("enroll", "dev9", "--bucket", "sensors", "--prefix", "${aws:x}"),
     "prefix:"),
    (("enroll", "dev9", "--bucket", "sensors") + ("--recipient", AGE) * 8,
     "at most 7"),
    (("enroll", "dev9", "--bucket", "sensors", "--format", "zip"), "format:"),
    (("frob", "dev9"), "say ls"),
    (("ls", "dev9"), "say ls"),
])
def test_what_is_asked_wrongly_is_refused_with_its_reason(store, arguments,
                                                          reason):
    status, _, complaint = edge(store, *arguments)
    assert status != 0 and reason in complaint
    assert "dev9" not in devices(store)


def test_users_do_not_let_devices_in(store):
    store.cli("user", "add", "eve", "--access-key", "EVEKEY",
              "--secret-key", "eve-secret")
    for arguments in (("ls",), ("enroll", "dev8", "--bucket", "sensors")):
        result = run_godwit("edge", *arguments, env={
            "GODWIT_ENDPOINT": store.endpoint, "AWS_ACCESS_KEY_ID": "EVEKEY",
            "AWS_SECRET_ACCESS_KEY": "eve-secret"})
        assert result.returncode != 0 and "AccessDenied" in result.stderr
    assert "dev8" not in devices(store)


def test_a_long_list_comes_whole(store):
    raw = store.raw()
    for i in range(1010):
        reply = raw.request("POST", "-", "devices", body=json.dumps(
            {"name": f"many{i:04}", "bucket": "sensors"}).encode())
        assert reply.status == 200
    rows = [line for line in edge(store, "ls")[1].splitlines()
            if line.startswith("many")]
    assert len(rows) == 1010 and rows == sorted(rows)


def test_a_store_without_a_ca_says_how_to_get_one():
    s = Server()
    try:
        s.client().create_bucket(Bucket="sensors")
        status, _, complaint = edge(s, "enroll", "d", "--bucket", "sensors")
        assert status == 1 and "--tls auto" in complaint
        assert devices(s) == {}
    finally:
        s.close()
