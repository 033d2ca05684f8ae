"""Goal: the manifests for Kubernetes are right, and what they start is a cluster.

Method: kubectl reads them offline and must give back every field; probes, ports
and options are compared with what the program has; the start script of the
StatefulSet runs as three pods would run it, with their names in a hosts file,
and a pod that comes back on its volume needs no token any more.
"""
import json
import os
import shutil
import signal
import subprocess
import time
import urllib.request

import pytest
import yaml

from server import GODWIT

HERE = os.path.dirname(os.path.abspath(__file__))
MANIFEST = os.path.join(HERE, "../../packaging/kubernetes/godwit.yaml")
BASE = 31  # 127.0.0.31: the first pod


def documents():
    with open(MANIFEST, encoding="utf-8") as file:
        return list(yaml.safe_load_all(file))


def of_kind(kind, name="godwit"):
    [found] = [d for d in documents() if d["kind"] == kind and
               d["metadata"]["name"] == name]
    return found


def container():
    [one] = of_kind("StatefulSet")["spec"]["template"]["spec"]["containers"]
    return one


def lost(sent, given, path=""):
    """What of @sent is not in @given."""
    if isinstance(sent, dict):
        return [x for k, v in sent.items()
                for x in (lost(v, given[k], f"{path}.{k}") if
                          isinstance(given, dict) and k in given
                          else [f"{path}.{k}"])]
    if isinstance(sent, list):
        if not isinstance(given, list) or len(given) != len(sent):
            return [path]
        return [x for i, v in enumerate(sent)
                for x in lost(v, given[i], f"{path}[{i}]")]
    return [] if sent == given else [f"{path}: {sent} became {given}"]


def test_kubectl_knows_every_field():
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("kubectl is not installed")
    sent = documents()
    for document in sent:
        done = subprocess.run(
            [kubectl, "annotate", "--local", "-f", "-", "-o", "json", "a=b"],
            input=yaml.safe_dump(document), capture_output=True, text=True,
            timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        assert lost(document, json.loads(done.stdout)) == []
    assert len(sent) == 5


def test_ports_and_names_agree():
    ports = {p["name"]: p["containerPort"] for p in container()["ports"]}
    assert ports == {"s3": 9000, "cluster": 9100}
    spec = of_kind("StatefulSet")["spec"]
    servers = of_kind("Service", spec["serviceName"])["spec"]
    assert servers["ports"][0]["port"] == ports["cluster"]
    assert servers["publishNotReadyAddresses"] is True
    assert of_kind("Service")["spec"]["ports"][0]["port"] == ports["s3"]
    env = {e["name"]: e.get("value") for e in container()["env"]}
    assert env["SERVICE"] == spec["serviceName"]
    mounts = {m["name"]: m["mountPath"] for m in container()["volumeMounts"]}
    assert env["DATA"] == mounts["data"]
    assert os.path.dirname(env["TOKEN"]) == mounts["token"]


class Pod:
    """One of them, on 127.0.0.(BASE + number)."""

    def __init__(self, tmp, number):
        self.name = f"godwit-{number}"
        self.address = f"127.0.0.{BASE + number}"
        self.tmp = tmp
        self.data = os.path.join(tmp, self.name)
        self.process = None

    def start(self, token):
        env = {"GODWIT": GODWIT, "DATA": self.data, "LISTEN": self.address,
               "SERVICE": "godwit-servers", "TOKEN": token, "POD": self.name,
               "NODE": f"Node.{self.name}", "PATH": "/usr/bin:/bin:/usr/sbin"}
        with open(os.path.join(self.tmp, self.name + ".log"), "ab") as log:
            self.process = subprocess.Popen(
                ["unshare", "-m", "sh", "-c",
                 f"mount --bind {self.tmp}/hosts /etc/hosts && "
                 f"exec sh {self.tmp}/start \"$@\"", "pod",
                 *container()["args"]], stdout=log, stderr=log, env=env)

    def stop(self):
        if self.process is not None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(90)
            self.process = None

    def get(self, path):
        try:
            with urllib.request.urlopen(f"http://{self.address}:9000{path}",
                                        timeout=5) as reply:
                return reply.status
        except urllib.error.HTTPError as e:
            return e.code
        except OSError:
            return None

    def is_ready(self):
        return self.get(container()["readinessProbe"]["httpGet"]["path"]) == 200

    def log(self):
        with open(os.path.join(self.tmp, self.name + ".log"),
                  encoding="utf-8") as file:
            return file.read()


def wait(what, pods, seconds=60):
    until = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < until, "\n".join(p.log()[-1500:]
                                                   for p in pods)
        time.sleep(0.2)


@pytest.fixture
def pods(tmp_path):
    tmp = str(tmp_path)
    if os.geteuid() != 0 or subprocess.run(
            ["unshare", "-m", "true"], check=False).returncode != 0:
        pytest.skip("no namespaces here")
    all_pods = [Pod(tmp, n) for n in range(3)]
    with open(os.path.join(tmp, "start"), "w", encoding="utf-8") as file:
        file.write(of_kind("ConfigMap")["data"]["start"])
    with open(os.path.join(tmp, "hosts"), "w", encoding="utf-8") as file:
        for pod in all_pods:
            file.write(f"{pod.address} {pod.name}.godwit-servers\n")
    yield all_pods
    for pod in all_pods:
        pod.stop()


def test_three_pods_become_a_cluster(pods, tmp_path):
    token = str(tmp_path / "token")
    for pod in pods:
        pod.start(token)
    wait(pods[0].is_ready, pods)
    assert pods[0].get(container()["livenessProbe"]["httpGet"]["path"]) == 200
    wait(lambda: all("waiting for a token" in p.log() for p in pods[1:]), pods)
    made = subprocess.run([GODWIT, "token", "create", "--uses", "100",
                           "--expires", "1d", "--data", pods[0].data],
                          capture_output=True, text=True, check=True)
    (tmp_path / "token").write_text(made.stdout.splitlines()[-1] + "\n")
    wait(lambda: all(p.is_ready() for p in pods), pods)

    def status():
        done = subprocess.run([GODWIT, "status", "--json", "--data",
                               pods[1].data], capture_output=True, text=True,
                              check=False)
        return json.loads(done.stdout)["cluster"]

    servers = status()["servers"]
    assert sorted(s["name"] for s in servers) == [p.name for p in pods]
    assert sorted(s["zone"] for s in servers) == [
        f"node-{p.name}" for p in pods]
    # A pod that is made anew on its volume is who it was, without a token.
    pods[2].stop()
    os.remove(token)
    pods[2].start(token)
    wait(pods[2].is_ready, pods)
    assert len(status()["servers"]) == 3
