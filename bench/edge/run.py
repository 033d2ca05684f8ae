#!/usr/bin/python3
"""Measure the agent beside what the disk and SQLite can do, in one run.

usage: bench/edge/run.py [SECONDS [ROUNDS]] > bench/results/edge.md
Builds are expected in build/ and, for its size, where STATIC says. Each figure is
the median of ROUNDS, and the three kinds take turns within each of them.
"""
import json
import os
import re
import signal
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
EDGE = os.path.join(ROOT, "build", "godwit-edge")
STATIC = os.environ.get("STATIC", os.path.join(
    ROOT, "build-static-x86_64", "godwit-edge"))
BENCH = os.path.join(ROOT, "build", "bench", "edge", "bench_edge")
GODWIT = os.path.join(ROOT, "build", "godwit")
SECONDS = float(sys.argv[1]) if len(sys.argv) > 1 else 3
ROUNDS = int(sys.argv[2]) if len(sys.argv) > 2 else 5


def run(*args):
    return subprocess.run(args, check=True, capture_output=True,
                          text=True).stdout


class Agent:
    def __init__(self, folder, recipient, *flags, binary=EDGE):
        self.data = os.path.join(folder, "data")
        self.log = os.path.join(folder, "log")
        with open(self.log, "w", encoding="utf-8") as log:
            self.process = subprocess.Popen(
                [binary, "run", "--data", self.data, "--recipient", recipient,
                 "--listen", "127.0.0.1:0", *flags], stderr=log)
        while "ready" not in self.text():
            time.sleep(0.01)
        self.port = re.search(r"port=(\d+)", self.text()).group(1)

    def text(self):
        with open(self.log, encoding="utf-8") as f:
            return f.read()

    def status(self):
        return json.loads(run(EDGE, "status", "--data", self.data, "--json"))

    def memory(self, name="VmRSS"):
        with open(f"/proc/{self.process.pid}/status", encoding="utf-8") as f:
            return int(re.search(name + r":\s+(\d+)", f.read()).group(1)) / 1024

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait()


def sqlite_full(folder, n):
    """Objects a second: WAL, synchronous FULL, n inserts a transaction."""
    path = os.path.join(folder, "db")
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("PRAGMA synchronous=FULL")
    db.execute("CREATE TABLE o(id INTEGER PRIMARY KEY, k TEXT, b BLOB)")
    body = os.urandom(1024)
    begin = time.monotonic()
    done = 0
    while time.monotonic() - begin < SECONDS:
        db.execute("BEGIN")
        db.executemany("INSERT INTO o(k, b) VALUES(?, ?)",
                       [(f"c/{done + i}", body) for i in range(n)])
        db.execute("COMMIT")
        done += n
    rate = done / (time.monotonic() - begin)
    db.close()
    for suffix in ("", "-wal", "-shm"):
        if os.path.exists(path + suffix):
            os.unlink(path + suffix)
    return rate


def throughput(folder, recipient, n):
    rows = {"bare": [], "sqlite": [], "agent": []}
    amplification = []
    for _ in range(ROUNDS):
        rows["bare"].append(float(run(BENCH, "bare", str(n), str(SECONDS),
                                      folder)))
        rows["sqlite"].append(sqlite_full(folder, n))
        # Recycled segments, as after some days: the first run zeroes them.
        a = Agent(folder, recipient, "--max-bytes", "8MiB", "--when-full",
                  "oldest")
        run(BENCH, "load", str(n), str(SECONDS), "127.0.0.1", a.port)
        before = a.status()
        rows["agent"].append(float(run(BENCH, "load", str(n), str(SECONDS),
                                       "127.0.0.1", a.port)))
        after = a.status()
        count = after["accepted_objects"] - before["accepted_objects"]
        amplification.append((after["flash_bytes"] - before["flash_bytes"]) /
                             (count * 1024))
        a.stop()
        subprocess.run(["rm", "-rf", a.data], check=True)
    return ({k: statistics.median(v) for k, v in rows.items()},
            statistics.median(amplification))


def many(folder, recipient, binary, objects=100000):
    """Memory idle and with many objects held, and the time to start."""
    flags = ("--max-bytes", "1GiB")
    a = Agent(folder, recipient, *flags, binary=binary)
    time.sleep(0.2)
    idle = a.memory()
    while a.status()["objects"] < objects:
        run(BENCH, "load", "64", "2", "127.0.0.1", a.port)
    held, full = a.status()["objects"], a.memory()
    a.stop()
    a = Agent(folder, recipient, *flags, binary=binary)
    started = int(re.search(r"start_ms=(\d+)", a.text()).group(1))
    after = a.memory()
    a.stop()
    subprocess.run(["rm", "-rf", a.data], check=True)
    return idle, held, full, started, after


def main():
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_DIR")) as d:
        out = run(GODWIT, "identity", "create", "--output",
                  os.path.join(d, "id"))
        recipient = re.search("age1[a-z0-9]+", out).group()
        print("# The agent: durable 1 KiB objects\n")
        print(f"`bench/edge/run.py {SECONDS:g} {ROUNDS}`: median of {ROUNDS} "
              f"rounds of {SECONDS:g} s; the three kinds take turns. Objects a "
              "second. Load and agent share the machine's "
              f"{os.cpu_count()} cores.\n")
        print("| at a time | one write and fdatasync each round | SQLite FULL, "
              "as many a transaction | agent, over HTTP, sealed | of bare | of "
              "SQLite | bytes to disk for each accepted |")
        print("|---|---|---|---|---|---|---|")
        for n in (1, 16, 64):
            r, amp = throughput(d, recipient, n)
            print(f"| {n} | {r['bare']:.0f} | {r['sqlite']:.0f} | "
                  f"{r['agent']:.0f} | {r['agent'] / r['bare']:.2f} | "
                  f"{r['agent'] / r['sqlite']:.2f} | {amp:.2f} |", flush=True)
        print("\nThe bare rounds and SQLite neither speak HTTP nor seal, and "
              "have no load program beside them. For each object the agent "
              "has one receive and one send over TCP, an MD5, the ratchet's "
              "and the seal's HKDF (20 blocks of SHA-256), AES-GCM, and a "
              "call for random bytes.")
        print("\n| build | bytes, stripped | MiB resident idle | objects held | "
              "MiB then | ms to start | MiB after |")
        print("|---|---|---|---|---|---|---|")
        for name, binary in (("dynamic", EDGE), ("static", STATIC)):
            if not os.path.exists(binary):
                continue
            stripped = os.path.join(d, "stripped")
            run("strip", "-o", stripped, binary)
            idle, held, full, started, after = many(d, recipient, binary)
            print(f"| {name} | {os.path.getsize(stripped)} | {idle:.1f} | "
                  f"{held} | {full:.1f} | {started} | {after:.1f} |",
                  flush=True)


main()
