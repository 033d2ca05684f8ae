"""Goal: what the documents show works as it stands there. Method: every command
of the documents is run, on machines of our own, with what only stands for
something (TOKEN, age1...) replaced; the last test finds those that were not.
"""
import json
import os
import re
import shutil
import time

import pytest

import netlab
from documented import ROOT, Documents, Machine

pytestmark = pytest.mark.skipif(netlab.why_not() is not None,
                                reason=str(netlab.why_not()))

docs = Documents()
ran = set()

# What is not run here, and why.
ELSEWHERE = {
    "make": "CI, and tests/package.sh",
    "sudo": "tests/package.sh installs the package in a fresh Debian",
    "sudoedit": "opens an editor",
    "podman": "needs an image of Debian",
    "kubectl": "needs a Kubernetes; test_28_kubernetes reads its manifest",
    "s3fs": "tests/e2e/test_29_mounts.py",
    "rclone": "tests/e2e/test_29_mounts.py",
}


@pytest.fixture
def lab():
    with netlab.Lab() as made:
        yield made


@pytest.fixture
def machines(lab, tmp_path):
    """Makes machines, which know each other as a document's 10.0.0.N."""
    made = []

    def make(**here):
        host = lab.host()
        folder = tmp_path / f"machine-{host.number}"
        folder.mkdir()
        machine = Machine(docs, host, folder,
                          {**{f"10.0.0.{m.host.number}": m.host.address
                              for m in made},
                           f"10.0.0.{host.number}": host.address, **here})
        made.append(machine)
        return machine

    yield make
    for machine in made:
        for process in machine.host.processes:
            process.term()


def ready(machine, words=""):
    machine.until(f"godwit status {words}")


def stop(process):
    assert process.term() == 0, open(process.log).read()[-3000:]


def secrets(machine, path="data/credentials"):
    with open(os.path.join(machine.folder, path)) as f:
        text = f.read()
    return {name: re.search(rf"{name} = (\S+)", text).group(1)
            for name in ("aws_access_key_id", "aws_secret_access_key")}


def test_readme_a_store(machines):
    ran.add("a store")
    m = machines()
    shutil.copy(os.path.join(ROOT, "README.md"), m.folder)
    m.sh("mkdir data")
    server = m.host.spawn(["bash", "-c", "exec build/godwit server --data "
                           "./data 2> log-1"], os.path.join(m.folder, "log-0"),
                          m.env, m.folder)
    ready(m, "--data ./data")
    m.export("README.md", "export AWS_SHARED_CREDENTIALS_FILE=./data")
    for words in ("mb s3://photos", "cp README.md s3://photos/"):
        m.run("README.md", f"aws --endpoint-url http://127.0.0.1:9000 s3 "
              f"{words}")
    assert "README.md" in m.run("README.md", "aws --endpoint-url "
                                "http://127.0.0.1:9000 s3 ls s3://photos")
    keys = secrets(m)
    keys = {"$KEY": keys["aws_access_key_id"],
            "$SECRET": keys["aws_secret_access_key"]}
    curls = [c for c in docs.commands["README.md"] if "--aws-sigv4" in c]
    assert len(curls) == 2, curls
    m.run("README.md", curls[0], keys)
    got = m.run("README.md", curls[1], keys)
    with open(os.path.join(ROOT, "README.md"), encoding="utf-8") as f:
        assert got == f.read()
    m.sh("aws --endpoint-url http://127.0.0.1:9000 s3 rb --force s3://photos")
    m.run("README.md", "build/godwit mb photos")
    m.run("README.md", "build/godwit cp README.md s3://photos/")
    assert "README.md" in m.run("README.md", "build/godwit ls s3://photos")
    m.run("README.md", "build/godwit status")
    assert server.term() == 0


def test_readme_a_cluster(machines):
    ran.add("a cluster")
    m = machines()
    m.daemon("README.md", "build/godwit server --data A --listen")
    ready(m, "--data A")
    token = m.run("README.md", "build/godwit token create --data A").split()[-1]
    m.daemon("README.md", "build/godwit server --data B --listen",
             {"TOKEN": token})
    m.until("test $(godwit node list --data A | grep -c 127.0.0.1:91) = 2")
    m.until("curl -sf http://127.0.0.1:9001/-/ready")
    ready(m, "--data A")
    m.run("README.md", "build/godwit status --data A")


def a_device(m, document, gateway, code, more=""):
    """Enrolled and running, with one reading put; gives its process."""
    with open(os.path.join(m.folder, "reading.json"), "w") as f:
        f.write('{"reading": 7}\n')
    m.run(document, f"{gateway} --code gwe1...", {"gwe1...": code})
    agent = m.daemon(document, more)
    m.until("curl -s http://127.0.0.1:9080/")
    m.run(document, "curl -T reading.json")
    return agent


def test_readme_a_device(machines):
    ran.add("a device")
    m = machines()
    m.daemon("README.md", "build/godwit server --data S")
    m.export("README.md", "export AWS_SHARED_CREDENTIALS_FILE=S")
    ready(m)
    m.run("README.md", "build/godwit mb s3://sensors")
    recipient = m.run("README.md", "build/godwit identity create").split()[-1]
    code = m.run("README.md", "build/godwit edge enroll",
                 {"age1...": recipient}).split()[-1]
    a_device(m, "README.md", "build/godwit-edge enroll --gateway "
             "https://127.0.0.1:9443", code, "build/godwit-edge run")
    m.until("godwit-edge flush --data E")
    assert m.run("README.md", "build/godwit cat --identity") == \
        '{"reading": 7}\n'


def test_edge(machines, tmp_path):
    ran.add("edge")
    m = machines()
    m.here.update({"s3.example.org:9000": "127.0.0.1:9443",
                   "s3.example.org": "127.0.0.1:9443"})
    m.env["GODWIT_CA_BUNDLE"] = "S/identity/ca.crt"
    m.env["GODWIT_ENDPOINT"] = "https://127.0.0.1:9443"
    m.env["AWS_SHARED_CREDENTIALS_FILE"] = "S/credentials"
    m.daemon("README.md", "build/godwit server --data S")
    ready(m)
    m.sh("godwit mb s3://sensors")
    recipient = m.run("EDGE.md", "godwit identity create").split()[-1]
    code = m.run("EDGE.md", "godwit edge enroll dev42",
                 {"age1...": recipient}).split()[-1]
    # The agent's folder is DATA wherever none is named.
    data = " --data " + os.path.join(m.folder, "E")
    m.here["godwit-edge "] = "godwit-edge" + data + " "
    with open(os.path.join(m.folder, "build/edge"), "w") as f:
        f.write(f"#!/bin/sh\nw=$1; shift\nexec godwit-edge-real $w \"$@\"{data}\n")
    os.chmod(os.path.join(m.folder, "build/edge"), 0o755)
    os.rename(os.path.join(m.folder, "build/godwit-edge"),
              os.path.join(m.folder, "build/godwit-edge-real"))
    os.rename(os.path.join(m.folder, "build/edge"),
              os.path.join(m.folder, "build/godwit-edge"))
    del m.here["godwit-edge "]
    agent = a_device(m, "EDGE.md", "godwit-edge enroll --gateway "
                     "https://s3.example.org:9000", code,
                     "godwit-edge run --listen")
    m.run("EDGE.md", "godwit-edge put reading.json sensors")
    m.run("EDGE.md", "godwit-edge put reading.json")
    usage = docs.take("EDGE.md", "godwit-edge ls sensors/dev42/ |")
    words = [w.strip() for w in usage.removeprefix("godwit-edge ").split("|")]
    for word in words:
        if word == "status [--json]":
            assert "objects" in m.sh("godwit-edge status")
            json.loads(m.sh("godwit-edge status --json"))
        elif word not in ("get", "verify"):  # --local-read; when it stands
            m.sh(f"godwit-edge {word}")
    m.until("godwit cat --identity owner.key "
            "s3://sensors/dev42/reading.json | grep reading")
    with open(os.path.join(m.folder, "policy.json"), "w") as f:
        f.write('{"version": 1, "rate": 1000000}')
    with open(os.path.join(ROOT, "docs/EDGE.md"), encoding="utf-8") as f:
        shown = re.search(r"\n    (\{\n(?:    .*\n|\n)*?    \})\n", f.read())
    if shown:  # the document's own example
        with open(os.path.join(m.folder, "policy.json"), "w") as f:
            f.write(shown.group(1))
    m.run("EDGE.md", "godwit edge ls")
    m.run("EDGE.md", "godwit edge show dev42")
    m.run("EDGE.md", "godwit edge policy dev42 --set policy.json")
    m.run("EDGE.md", "godwit edge policy dev42 show")
    m.run("EDGE.md", "godwit edge policy dev42 clear")
    m.run("EDGE.md", "godwit edge revoke dev42")
    m.run("EDGE.md", "godwit edge remove dev42")
    stop(agent)
    assert "objects" in m.sh("godwit-edge verify")
    # Another store: here it is ours, which speaks S3.
    os.rename(os.path.join(m.folder, "E"), os.path.join(m.folder, "E-old"))
    keys = secrets(m, "S/credentials")
    with open(os.path.join(m.folder, "keys"), "w") as f:
        f.write(f"{keys['aws_access_key_id']}\n"
                f"{keys['aws_secret_access_key']}\n")
    os.chmod(os.path.join(m.folder, "keys"), 0o600)
    command = m.text("EDGE.md", "godwit-edge run --recipient",
                     {"age1...": recipient, "[": "", "]": "",
                      "eu-central-1": "us-east-1", "dev42/": '""'})
    command = re.sub(r"--access-key-file \S+", "--access-key-file keys",
                     command)
    m.host.spawn(["bash", "-c", f"exec {command} --listen 127.0.0.1:9081 "
                  "--s3-ca S/identity/ca.crt"],
                 os.path.join(m.folder, "log-s3"), m.env, m.folder)
    m.until("curl -s http://127.0.0.1:9081/")
    m.sh("curl -fsT reading.json http://127.0.0.1:9081/sensors/other")
    m.until("godwit cat --identity owner.key s3://sensors/other | grep read")


def test_seal(machines):
    ran.add("seal")
    m = machines()
    m.sh("mkdir data; echo report > report.pdf; echo log > log.json; "
         "echo a > a.json")
    m.host.spawn(["bash", "-c", "exec godwit server --data ./data"],
                 os.path.join(m.folder, "log-0"), m.env, m.folder)
    ready(m, "--data ./data")
    m.sh("godwit mb bucket")
    recipient = {"age1...": m.run("SEAL.md",
                                  "godwit identity create").split()[-1]}
    m.run("SEAL.md", "godwit seal report.pdf", recipient)
    m.run("SEAL.md", "godwit seal --compress", recipient)
    m.sh("mv report.pdf original")
    m.run("SEAL.md", "godwit open report.pdf.sealed")
    assert m.sh("cat report.pdf") == "report\n"
    m.sh("godwit cp report.pdf.sealed s3://bucket/; rm report.pdf")
    m.run("SEAL.md", "godwit cp --identity key")
    assert m.sh("cat report.pdf") == "report\n"
    assert m.run("SEAL.md", "godwit cat --identity key") == "report\n"
    m.run("SEAL.md", "godwit cp --names key a.json")
    assert "a.json" in m.run("SEAL.md", "godwit ls --names key")
    assert "a.json" not in m.sh("godwit ls --recursive s3://bucket/")


def a_cluster(machines, count):
    """As OPERATE.md makes one; gives the machines and their processes."""
    made = [machines() for _ in range(count)]
    for m in made:
        m.sh("mkdir backup keys srv")
        m.here.update({f"10.0.0.{o.host.number}": o.host.address
                       for o in made})
        m.here.update({"/srv/godwit": f"{m.folder}/srv/godwit",
                       "/backup/": f"{m.folder}/backup/",
                       "/run/keys/": f"{m.folder}/keys/"})
    first = made[0]
    lines = [{}]
    processes = [first.daemon("OPERATE.md", "godwit server --data /srv/godwit "
                              "--listen 10.0.0.1:9000")]
    ready(first, "--data srv/godwit")
    for m in made[1:]:
        token = first.run("OPERATE.md", "godwit token create --data "
                          "/srv/godwit").split()[-1]
        number = m.host.number
        lines.append({"10.0.0.2": m.host.address, "rack2": f"rack{number}",
                      "TOKEN": token})
        processes.append(m.daemon(
            "OPERATE.md", "godwit server --data /srv/godwit --listen "
            "10.0.0.2:9000", lines[-1]))
        m.until(f"curl -sf http://{m.host.address}:9000/-/ready")
    for m in made:
        m.env["GODWIT_ENDPOINT"] = f"http://{m.host.address}:9000"
        m.env["AWS_ENDPOINT_URL"] = m.env["GODWIT_ENDPOINT"]
        m.env["AWS_SHARED_CREDENTIALS_FILE"] = \
            f"{first.folder}/srv/godwit/credentials"
    ready(first)
    return made, processes, lines


def again(m, lines):
    """Start it by the line it had."""
    if not lines:
        return m.daemon("OPERATE.md", "godwit server --data /srv/godwit "
                        "--listen 10.0.0.1:9000")
    return m.daemon("OPERATE.md", "godwit server --data /srv/godwit "
                    "--listen 10.0.0.2:9000", lines)


def test_operate_day_by_day(machines):
    ran.add("operate")
    made, processes, lines = a_cluster(machines, 4)
    m = made[0]
    m.sh("set -e; for b in bucket photos readings videos pay clinic; do "
         "godwit mb $b; done; "
         "head -c 300000 /dev/urandom > file; echo k > key1; "
         "godwit cp file s3://bucket/key")

    def op(start, replaced=None, ok=True):
        return m.run("OPERATE.md", start, replaced, ok)

    for start in ("godwit status", "godwit node list", "godwit drive list",
                  "godwit explain", "godwit bucket show photos",
                  "godwit bucket set readings", "godwit bucket set videos",
                  "godwit cluster rebalance"):
        assert op(start).strip() or "set" in start, start
    # Users.
    with open(os.path.join(m.folder, "policy.json"), "w") as f:
        json.dump({"Version": "2012-10-17", "Statement": [
            {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}, f)
    op("godwit user add alice")
    op("godwit user add ci", {"--access-key K": "--access-key KEYOFTHECI",
                              "--secret-key S": "--secret-key secret-of-ci"})
    assert "alice" in op("godwit user list")
    op("godwit user show alice")
    op("godwit key add alice")
    op("godwit user remove alice")
    # Audit.
    key = re.search(r"[0-9a-f]{64}", op("godwit audit level --data")).group(0)
    op("godwit audit level all --keep 365d")
    op("godwit audit ls --since 24h")
    follow = m.daemon("OPERATE.md", "godwit audit ls --follow")
    assert "whole" in op("godwit audit verify")
    op("godwit audit export")
    exported = os.path.join(m.folder, "backup",
                            os.listdir(os.path.join(m.folder, "backup"))[0])
    op("godwit audit verify FILE", {"FILE": exported, "HEX": key})
    assert os.path.getsize(follow.log) > 0
    follow.kill9()
    # Encryption.
    op("godwit kms ls")
    op("godwit kms create payroll")
    op("aws s3api put-bucket-encryption")
    m.until("godwit cp key1 s3://pay/k && aws s3api head-object --bucket pay "
            "--key k | grep -q payroll")
    op("godwit kms rotate payroll")
    op("godwit kms disable payroll")
    m.until("! godwit cat s3://pay/k")
    # Erasures.
    m.sh("for k in ann/a ann/b k; do aws s3api put-object --bucket clinic "
         "--key $k --body key1 --server-side-encryption AES256 --metadata "
         "patient=ann; done; godwit mb s3://sensors")
    op("godwit erase s3://clinic/ann/ --recursive --dry-run")
    op("godwit erase s3://clinic/ann/ --recursive --reason")
    version = json.loads(m.sh("aws s3api list-object-versions --bucket clinic")
                         )["Versions"][0]["VersionId"]
    op("godwit erase s3://clinic/k --version", {"ID": version})
    op("godwit erase s3://clinic --subject")
    op("godwit erase s3://sensors --device")
    number = re.search(r"^ +(\d+) .*ann/", op("godwit erase ls"), re.M)[1]
    op("godwit receipt key")
    m.until(f"godwit receipt get {number}")
    op("godwit receipt get", {" 7 ": f" {number} "})
    assert "Keys destroyed: 2" in op("godwit receipt verify")
    # Drives and servers go.
    op("godwit node drain 4")
    m.until("godwit node remove 4")
    docs.take("OPERATE.md", "godwit node remove 4")
    processes[3].term()
    drive = m.sh("godwit drive list | awk '$1 == 17 || $1 == 11 {print $1}' "
                 "| head -n 1").strip()
    op("godwit drive drain 17", {"17": drive})
    docs.take("OPERATE.md", "godwit drive remove 17")
    m.until(f"godwit drive remove {drive}")
    ready(m)
    for process in processes[:3]:
        stop(process)


def test_operate_the_catalogue(machines):
    ran.add("catalogue")
    made, processes, lines = a_cluster(machines, 3)
    m = made[0]
    m.sh("godwit mb s3://kept; echo kept > file; godwit cp file s3://kept/k")
    m.run("OPERATE.md", "godwit catalogue backup --data /srv/godwit")
    m.run("OPERATE.md", "godwit catalogue backup --endpoint",
          {"FILE": "other-backup"})
    backup = os.path.join(m.folder, "backup",
                          os.listdir(os.path.join(m.folder, "backup"))[0])
    m.sh("godwit mb s3://after")
    for process in processes:
        stop(process)
    m.run("OPERATE.md", "godwit catalogue restore", {"FILE": backup})
    for other in made[1:]:
        other.run("OPERATE.md", "godwit catalogue rejoin")
    processes = [again(x, y) for x, y in zip(made, lines)]
    m.until("godwit cat s3://kept/k")
    ready(m)
    assert "after" not in m.sh("godwit ls")
    m.until("test $(godwit status | grep -cE ' (votes|leads) ') = 3")
    # The majority is lost for good, but for the drives of one.
    for process in processes[:2]:
        process.kill9()
    left = made[2]
    stop(processes[2])
    left.run("OPERATE.md", "godwit catalogue recover")
    again(left, lines[2])
    made[1].run("OPERATE.md", "godwit catalogue rejoin")
    again(made[1], lines[1])
    left.until("godwit cat s3://kept/k")
    lost = left.sh(f"godwit node list | awk '/{made[0].host.address}:/ "
                   "{print $1}'").strip()
    docs.take("OPERATE.md", "godwit node remove N --force")
    left.until(f"godwit node remove {lost} --force")


def test_operate_https_and_a_key_of_ones_own(machines):
    ran.add("https")
    m = machines()
    m.sh("mkdir -p srv keys")
    m.here.update({"/srv/godwit": "srv/godwit", "/run/keys/": "keys/",
                   "ca.crt": "srv/godwit/identity/ca.crt"})
    m.run("OPERATE.md", "openssl rand")
    m.sh("chmod 400 keys/godwit")
    words = m.text("OPERATE.md", "godwit server --master-key", {"...": ""})
    command = m.text("OPERATE.md", "godwit server --data /srv/godwit --listen "
                     "0.0.0.0:9000 --tls auto", {})
    command = command.replace("godwit server", words, 1)
    m.host.spawn(["bash", "-c", f"exec {command}"],
                 os.path.join(m.folder, "log-0"), m.env, m.folder)
    ready(m, "--data srv/godwit")
    assert not os.path.exists(os.path.join(m.folder, "srv/godwit/master.key"))
    m.env["AWS_SHARED_CREDENTIALS_FILE"] = "srv/godwit/credentials"
    url = f"https://{m.host.address}:9000"
    m.run("OPERATE.md", "curl --cacert", {"...": f"-sf {url}/-/ready"})
    m.run("OPERATE.md", "GODWIT_CA_BUNDLE=",
          {"...": f"mb s3://here --endpoint {url}"})
    m.run("OPERATE.md", "AWS_CA_BUNDLE=",
          {"...": f"--endpoint-url {url} s3 ls s3://here"})


def test_nothing_is_left():
    if len(ran) < 8:
        pytest.skip("only some of the tests above ran")
    left = [(document, command) for document, command in docs.left()
            if command.split()[0] not in ELSEWHERE
            and not command.startswith("aws_")]
    assert not left, "\n".join(f"{d}: {c}" for d, c in left)
