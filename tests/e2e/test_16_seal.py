"""Goal: what is sealed comes back through a store for its recipients, and for
nobody else. Method: godwit identity, seal, open, cp and cat against a running
server; age and a reader of docs/SEAL.md in Python as second opinions."""
import os
import shutil
import stat
import subprocess

import pytest
import seal_reference
from server import GODWIT
from util import MIB, blob

needs_age = pytest.mark.skipif(shutil.which("age") is None,
                               reason="NO age PROGRAM")


def godwit(*args, stdin=None, status=0):
    done = subprocess.run([GODWIT, *args], input=stdin, capture_output=True,
                          check=False)
    assert done.returncode == status, done.stderr
    return done


@pytest.fixture(name="key")
def fixture_key(tmp):
    """An identity file and its recipient."""
    path = os.path.join(tmp, "key")
    to = godwit("identity", "create", "--output", path).stdout.decode().strip()
    return path, to


def secret_of(path):
    with open(path, encoding="ascii") as file:
        return next(line.strip() for line in file
                    if line.startswith("AGE-SECRET-KEY-1"))


def write(tmp, name, body):
    path = os.path.join(tmp, name)
    with open(path, "wb") as file:
        file.write(body)
    return path


def read(path):
    with open(path, "rb") as file:
        return file.read()


def left_in(folder):
    return sorted(os.listdir(folder))


def test_key_makes_a_private_file_and_never_replaces_one(tmp, key):
    path, to = key
    assert to.startswith("age1") and len(to) == 62
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    before = read(path)
    assert b"AGE-SECRET-KEY-1" in before and to.encode() in before
    again = godwit("identity", "create", "--output", path, status=1)
    assert b"is there already" in again.stderr
    assert read(path) == before
    assert godwit("identity", "show", path).stdout.decode().split() == [to]
    printed = godwit("identity", "create").stdout
    assert b"AGE-SECRET-KEY-1" in printed and to.encode() not in printed


@pytest.mark.parametrize("size", [0, 1, 65536, 3 * MIB + 7])
@pytest.mark.parametrize("algorithm", ["aes-256-gcm", "chacha20-poly1305"])
def test_a_sealed_file_opens_and_is_as_documented(tmp, key, size, algorithm):
    path, to = key
    body = blob(size)
    plain = write(tmp, "plain", body)
    godwit("seal", plain, "-r", to, "--algorithm", algorithm)
    sealed = read(plain + ".sealed")
    assert len(sealed) == size + 124 + 16 * max(1, -(-size // 65536))
    own = seal_reference.bech32_bytes(secret_of(path))
    assert seal_reference.open_envelope(own, sealed) == (0, body)
    os.unlink(plain)
    godwit("open", plain + ".sealed", "--identity", path)
    assert read(plain) == body
    piped = godwit("open", "-", "--identity", path, stdin=sealed)
    assert piped.stdout == body


def test_compressed_files_are_smaller_and_open(server, tmp, key):
    path, to = key
    for body in (b"", b"x", b'{"celsius": 23.5}\n' * 100000, blob(MIB)):
        plain = write(tmp, "plain", body)
        godwit("seal", plain, "--compress", "-r", to)
        sealed = read(plain + ".sealed")
        own = seal_reference.bech32_bytes(secret_of(path))
        flags, frame = seal_reference.open_envelope(own, sealed)
        assert flags == 1 and frame[:4] == b"\x28\xb5\x2f\xfd"
        if len(body) == 1800000:
            assert len(sealed) < 5000
        piped = godwit("open", "-", "--identity", path, stdin=sealed)
        assert piped.stdout == body
        cut = godwit("open", "-", "--identity", path, stdin=sealed[:-1],
                     status=1)
        assert b"tag does not match" in cut.stderr
    server.cli("mb", "s3://packed")
    server.cli("cp", plain + ".sealed", "s3://packed/o")
    assert server.cli("cat", "--identity", path,
                      "s3://packed/o").stdout == body
    both = godwit("seal", plain, "--age", "--compress", "-r", to, status=2)
    assert b"no age tool" in both.stderr


@needs_age
def test_age_opens_ours_and_we_open_ages(tmp, key):
    path, to = key
    body = blob(300000)
    plain = write(tmp, "plain", body)
    godwit("seal", plain, "--age", "-r", to)
    opened = subprocess.run(["age", "-d", "-i", path, plain + ".age"],
                            capture_output=True, check=True)
    assert opened.stdout == body
    made = subprocess.run(["age", "-r", to], input=body, capture_output=True,
                          check=True).stdout
    assert godwit("open", "-", "--identity", path, stdin=made).stdout == body


def test_cp_and_cat_open_what_they_download(server, tmp, key):
    path, to = key
    body = blob(5 * MIB + 3)
    plain = write(tmp, "plain", body)
    server.cli("mb", "s3://sealed")
    for options in ([], ["--age"]):
        sealed = plain + (".age" if options else ".sealed")
        godwit("seal", plain, "-r", to, *options)
        server.cli("cp", sealed, "s3://sealed/object")
        assert server.cli("cat", "s3://sealed/object").stdout == read(sealed)
        back = os.path.join(tmp, "back")
        server.cli("cp", "--identity", path, "s3://sealed/object", back)
        assert read(back) == body
        assert server.cli("cat", "--identity", path,
                          "s3://sealed/object").stdout == body
        assert server.cli("cp", "--identity", path, "s3://sealed/object",
                          "-").stdout == body
    server.cli("cp", "-r", "--identity", path, "s3://sealed",
               os.path.join(tmp, "all"))
    assert read(os.path.join(tmp, "all", "object")) == body


def test_what_does_not_open_leaves_no_file(server, raw, tmp, key):
    path, to = key
    other = os.path.join(tmp, "other")
    godwit("identity", "create", "--output", other)
    plain = write(tmp, "plain", blob(MIB))
    godwit("seal", plain, "-r", to)
    sealed = read(plain + ".sealed")
    changed = bytearray(sealed)
    changed[len(sealed) // 2] ^= 1
    server.cli("mb", "s3://shut")
    for name, body in (("right", sealed), ("changed", bytes(changed)),
                       ("cut", sealed[:-70000]), ("plain", blob(100000))):
        assert raw.put("shut", name, body).status == 200
    folder = os.path.join(tmp, "out")
    os.mkdir(folder)
    back = os.path.join(folder, "back")
    for name, identity, why in (
            ("right", other, b"not sealed to this identity"),
            ("changed", path, b"tag does not match"),
            ("cut", path, b"tag does not match"),
            ("plain", path, b"not sealed: neither an envelope")):
        for command in (("cp", "--identity", identity, "s3://shut/" + name,
                         back),
                        ("cat", "--identity", identity, "s3://shut/" + name)):
            done = server.cli(*command, check=False)
            assert done.returncode != 0 and why in done.stderr, done.stderr
            assert b"s3://shut/" + name.encode() in done.stderr
        assert left_in(folder) == []
    local = write(folder, "changed.sealed", bytes(changed))
    done = godwit("open", local, "--identity", path, status=1)
    assert b"tag does not match" in done.stderr
    assert left_in(folder) == ["changed.sealed"]


def test_names_are_sealed_and_listed_by_folder(server, raw, tmp, key):
    path, _ = key
    server.cli("mb", "s3://names")
    for name in ("site/7/a.json", "site/7/b.json", "site/8/a.json", "top"):
        server.cli("cp", "--names", path, write(tmp, "f", name.encode()),
                   "s3://names/" + name)
    shown = server.cli("ls", "-r", "s3://names").stdout
    assert b"site" not in shown and b"json" not in shown
    assert b"top" not in shown

    def listed(prefix, *options):
        out = server.cli("ls", "--names", path, *options,
                         "s3://names/" + prefix).stdout.decode()
        return sorted(line.split()[-1] for line in out.splitlines())

    assert listed("") == ["site/", "top"]
    assert listed("site/7/") == ["a.json", "b.json"]
    assert listed("", "-r") == ["site/7/a.json", "site/7/b.json",
                                "site/8/a.json", "top"]
    assert server.cli("cat", "--names", path,
                      "s3://names/site/8/a.json").stdout == b"site/8/a.json"
    back = os.path.join(tmp, "back/")
    server.cli("cp", "--names", path, "s3://names/site/7/b.json", back)
    assert read(back + "b.json") == b"site/7/b.json"
    assert raw.put("names", "plain", b"x").status == 200
    assert b"(not sealed by this identity) plain" in server.cli(
        "ls", "--names", path, "s3://names").stdout
    half = server.cli("ls", "--names", path, "s3://names/si", check=False)
    assert half.returncode == 2 and b"must end in '/'" in half.stderr
    many = server.cli("cp", "-r", "--names", path, "s3://names", tmp,
                      check=False)
    assert many.returncode == 2 and b"--names" in many.stderr


def test_wrong_questions_are_answered(tmp, key):
    path, to = key
    plain = write(tmp, "plain", b"text")
    for args, why in (
            (("seal", plain), b"--recipient"),
            (("seal", plain, "-r", to[:-1] + "x"), b"not a recipient"),
            (("seal", plain, "-r", to, "--algorithm", "rot13"), b"rot13"),
            (("open", plain, "--identity", path), b"say --output FILE"),
            (("open", plain + ".sealed"), b"say --identity FILE"),
            (("open", "-", "--identity", plain), b"plain:1: not an identity"),
            (("identity", "destroy"), b"say create")):
        assert why in godwit(*args, status=2).stderr
    assert b"No such file" in godwit("open", "x.age", "--identity",
                                     "/nowhere/key", status=1).stderr
