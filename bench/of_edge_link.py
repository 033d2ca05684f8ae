"""Figures of delivery over a bad link: a device with objects of 1 KiB in its
spool and a store behind wires of 100 ms each way that lose one packet in a
hundred. The agent drains; then one PUT each, on one connection of the same
device, takes its turn. Bytes are those that leave the device's wire.

usage: of_edge_link.py GODWIT GODWIT-EDGE [OBJECTS]
Needs root: the wires are network namespaces. Prints a page.
"""
import http.client
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "../tests/cluster"),
                os.path.join(HERE, "../tests/e2e")]
import boto3  # noqa: E402
import netlab  # noqa: E402
from util import blob  # noqa: E402

HEADERS = 14 + 20 + 32  # of a packet: Ethernet, IP, TCP with timestamps
KEYS = ("BENCHBENCH", "bench-secret-key")
ONE_EACH = """
import http.client, ssl, sys, time
host, folder, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
context = ssl.create_default_context(cafile=folder + "/ca.pem")
context.load_cert_chain(folder + "/cert.pem", folder + "/key.pem")
c = http.client.HTTPSConnection(host, 9000, context=context)
c.connect()
start = time.monotonic()
for i in range(count):
    c.request("PUT", f"/sensors/dev/one/{i}", b"x" * 1148)
    r = c.getresponse()
    assert r.status == 200, r.read()
    r.read()
print(count / (time.monotonic() - start))
"""


class Unix(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost")
        self.unix = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self.unix)


class Bench:
    def __init__(self, godwit, edge):
        self.godwit, self.edge = godwit, edge
        self.folder = tempfile.mkdtemp(prefix="godwit-link.", dir="/tmp")
        self.lab = netlab.Lab(wire=True)
        if not self.lab.separate:
            sys.exit(f"no wires here: {self.lab.why}")
        self.store, self.device = self.lab.host(), self.lab.host()
        self.data = self.path("device")
        for host in self.store, self.device:  # as on a common link
            netlab.ip("link", "set", "eth0", "mtu", "1500",
                      namespace=host.namespace)
        self.start_store()
        self.start_agent()

    def path(self, name):
        return os.path.join(self.folder, name)

    def close(self):
        self.lab.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def start_store(self):
        ca = self.path("store/identity/ca.crt")
        self.store.spawn(
            [self.godwit, "server", "--data", self.path("store"), "--listen",
             f"{self.store.address}:9000", "--tls", "auto"], self.path("log"),
            dict(os.environ, GODWIT_ACCESS_KEY_ID=KEYS[0],
                 GODWIT_SECRET_ACCESS_KEY=KEYS[1]))
        self.url = f"https://{self.store.address}:9000"
        end = time.monotonic() + 30
        while True:
            try:
                self.client = boto3.client(
                    "s3", endpoint_url=self.url, aws_access_key_id=KEYS[0],
                    aws_secret_access_key=KEYS[1], region_name="us-east-1",
                    verify=ca)
                self.client.create_bucket(Bucket="sensors")
                return
            except Exception:
                if time.monotonic() > end:
                    raise
                time.sleep(0.1)

    def inside(self, *argv):
        return subprocess.run(
            ["ip", "netns", "exec", self.device.namespace, *argv], check=True,
            capture_output=True, text=True).stdout

    def start_agent(self):
        """In hours that are not now: it delivers when it is told to."""
        who = subprocess.run([self.godwit, "identity", "create", "--output",
                              self.path("owner")], check=True,
                             capture_output=True, text=True).stdout.split()[-1]
        code = subprocess.run(
            [self.godwit, "edge", "enroll", "dev", "--bucket", "sensors",
             "--recipient", who, "--data", self.path("store"), "--ca",
             self.path("store/identity/ca.crt")], check=True,
            capture_output=True, text=True).stdout.split()[-1]
        self.inside(self.edge, "enroll", "--gateway", self.url, "--code", code,
                    "--data", self.data)
        hour = (time.gmtime().tm_hour + 12) % 24
        self.device.spawn([self.edge, "run", "--data", self.data, "--hours",
                           f"{hour}-{(hour + 1) % 24}"], self.path("edge.log"))
        end = time.monotonic() + 20
        while not os.path.exists(os.path.join(self.data, "socket")):
            assert time.monotonic() < end
            time.sleep(0.05)

    def give(self, prefix, count, size):
        c = Unix(os.path.join(self.data, "socket"))
        for i in range(count):
            c.request("PUT", f"/sensors/dev/{prefix}/{i:06}", blob(size, i))
            r = c.getresponse()
            assert r.status == 200, r.read()
            r.read()
        c.close()

    def sent(self):
        """Bytes that left the device, and those without packets' headers."""
        size, packets = (int(self.inside("cat", "/sys/class/net/eth0/"
                                         f"statistics/tx_{what}"))
                         for what in ("bytes", "packets"))
        return size, size - HEADERS * packets

    def drain(self):
        """Seconds, and what left the device in them."""
        before, start = self.sent(), time.monotonic()
        subprocess.run([self.edge, "flush", "--data", self.data], check=True,
                       stdout=subprocess.DEVNULL)
        seconds = time.monotonic() - start
        return seconds, [b - a for a, b in zip(before, self.sent())]

    def stored(self, prefix):
        pages = self.client.get_paginator("list_objects_v2").paginate(
            Bucket="sensors", Prefix=f"dev/{prefix}/")
        return [o["Size"] for page in pages for o in page.get("Contents", [])]


def main():
    godwit, edge = (os.path.abspath(a) for a in sys.argv[1:3])
    count = int(sys.argv[3]) if len(sys.argv) > 3 else 10000
    b = Bench(godwit, edge)
    try:
        b.give("small", count, 1024)
        b.lab.link(b.device, b.store, delay=0.1, loss=0.01)
        seconds, wire = b.drain()
        sizes = b.stored("small")
        assert len(sizes) == count, (len(sizes), count)
        one = float(b.inside(sys.executable, "-c", ONE_EACH, b.store.address,
                             os.path.join(b.data, "identity"), "50"))
        b.give("large", 16, 1 << 20)
        b.lab.link(b.device, b.store, delay=0.01, loss=0)
        _, large_wire = b.drain()
        large = b.stored("large")
        assert len(large) == 16
        control = subprocess.run(
            ["sysctl", "-n", "net.ipv4.tcp_congestion_control"],
            capture_output=True, text=True).stdout.strip()
        print("# Delivery over a bad link\n")
        print(f"`bench/of_edge_link.py`, {count:,} objects of 1 KiB, 100 ms "
              f"each way, 1% of packets (1,500 bytes) lost both ways; TCP: "
              f"{control}. One run; the reference follows in the same.\n")
        print("| | objects a second | of one PUT each |\n|---|---|---|")
        print(f"| one PUT each, one connection | {one:.1f} | 1 |")
        print(f"| godwit-edge | {count / seconds:.0f} | "
              f"{count / seconds / one:.0f} |\n")
        print("For each sealed byte leave the device:\n")
        print("| | bytes | without headers of packets |\n|---|---|---|")
        for name, bytes_, sealed in (("1 KiB, losing 1%", wire, sizes),
                                     ("1 MiB, losing none", large_wire,
                                      large)):
            print(f"| {name} | {bytes_[0] / sum(sealed):.3f} | "
                  f"{bytes_[1] / sum(sealed):.3f} |")
    finally:
        b.close()


if __name__ == "__main__":
    main()
