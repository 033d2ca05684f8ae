"""What Godwit is for, in some ninety seconds: `make demo`.

Three servers, a device, a cable that is pulled, a server that is killed, an
object that nobody may delete and one that nobody can ever read again. Nothing
is staged: each line after "$" is a command that runs then and there, and the
demonstration ends with an error where one does not do what is said of it.

    demo.py [--pace SECONDS] [--keep]      with $GODWIT and $GODWIT_EDGE
"""
import argparse
import datetime
import hashlib
import json
import os
import pathlib
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent / "cluster"))
from relay import Relay  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parents[1]
PATIENCE = 120  # seconds for what comes by itself


def paint(code, text):
    return f"\033[{code}m{text}\033[0m" if sys.stdout.isatty() else text


class Failed(Exception):
    pass


class Demo:
    def __init__(self, folder, pace):
        self.folder = folder
        self.pace = pace
        self.processes = {}
        self.env = {k: v for k, v in os.environ.items()
                    if not k.startswith(("AWS_", "GODWIT_"))
                    and not k.lower().endswith("_proxy")}
        bin_folder = folder / "bin"
        bin_folder.mkdir()
        for name, variable in (("godwit", "GODWIT"),
                               ("godwit-edge", "GODWIT_EDGE")):
            program = os.environ.get(variable, ROOT / "build" / name)
            (bin_folder / name).symlink_to(program)
        self.env["PATH"] = f"{bin_folder}:{self.env['PATH']}"
        self.env["AWS_DEFAULT_REGION"] = "us-east-1"
        self.env["AWS_PAGER"] = ""

    # The narration.
    def chapter(self, title):
        print(paint("1;36", f"\n== {title}"), flush=True)
        time.sleep(self.pace)

    def say(self, text):
        print(paint("3", text), flush=True)
        time.sleep(self.pace)

    def show(self, command):
        print(paint("1", f"$ {command}"), flush=True)

    # What is run.
    def run(self, command, *, ok=True, quiet=False, shown=None):
        """Run it; its standard output. @ok None: however it ends."""
        self.show(shown or command)
        done = subprocess.run(["/bin/bash", "-c", command], cwd=self.folder,
                              env=self.env, text=True, timeout=PATIENCE,
                              stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT)
        if not quiet and done.stdout.strip():
            print(done.stdout.rstrip(), flush=True)
        if ok is not None and (done.returncode == 0) != ok:
            raise Failed(f"exit status {done.returncode} of: {command}\n"
                         f"{done.stdout}")
        time.sleep(self.pace / 2)
        return done.stdout

    def ask(self, command):
        """As run, unseen; for what is waited for and checked."""
        return subprocess.run(["/bin/bash", "-c", command], cwd=self.folder,
                              env=self.env, text=True, timeout=PATIENCE,
                              stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL).stdout

    def well(self):
        """Status finds nothing that needs anybody."""
        return self.ask("godwit status --data A >&2 && echo well") != ""

    def start(self, name, command):
        self.show(command + " &")
        with open(self.folder / f"{name}.log", "ab") as log:
            self.processes[name] = subprocess.Popen(
                shlex.split(command), cwd=self.folder, env=self.env,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                executable=str(self.folder / "bin" / command.split()[0]))

    def kill(self, name):
        process = self.processes.pop(name)
        self.show(f"kill -9 {process.pid}    # {name}")
        process.kill()
        process.wait()

    def stop(self):
        for process in self.processes.values():
            process.send_signal(signal.SIGTERM)
        for process in self.processes.values():
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def until(self, what, condition):
        """Wait for what comes by itself."""
        since = time.monotonic()
        while not condition():
            for name, process in self.processes.items():
                if process.poll() is not None:
                    log = (self.folder / f"{name}.log").read_text()[-2000:]
                    raise Failed(f"{name} ended by itself:\n{log}")
            if time.monotonic() - since > PATIENCE:
                raise Failed(f"waited {PATIENCE} s for: {what}")
            time.sleep(0.2)
        self.say(f"   ... {what}: after {time.monotonic() - since:.1f} s.")

    def expect(self, true, what):
        if not true:
            raise Failed(f"not so: {what}")


def free_ports(count):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


def a_cluster(d):
    d.chapter("A cluster of three servers, one binary, four drives each")
    s3 = d.s3 = dict(zip("ABC", free_ports(3)))
    port = dict(zip("ABC", free_ports(3)))
    d.server = {
        name: f"godwit server --data {name} --listen 127.0.0.1:{s3[name]} "
              f"--cluster 127.0.0.1:{port[name]} --zone z{name.lower()} --name {name} "
              f"--drives 4 --tls auto --repair-after 5s"
        for name in "ABC"}
    d.start("A", d.server["A"])
    d.until("the first server is ready",
            d.well)
    token = d.run("godwit token create --uses 2 --data A",
                  quiet=True).split()[-1]
    for name in "BC":
        d.start(name, d.server[name] +
                f" --join 127.0.0.1:{port['A']} --token {token}")
    d.until("three servers vote, and the drives have their shares",
            lambda: len(servers(d)) == 3 and d.well())
    d.run("godwit status --data A")
    d.env.update(AWS_SHARED_CREDENTIALS_FILE=str(d.folder / "A/credentials"),
                 AWS_CA_BUNDLE=str(d.folder / "A/identity/ca.crt"),
                 GODWIT_CA_BUNDLE=str(d.folder / "A/identity/ca.crt"),
                 GODWIT_ENDPOINT=f"https://127.0.0.1:{s3['A']}")
    d.aws = f"aws --endpoint-url https://127.0.0.1:{s3['B']}"


def servers(d):
    return [line for line in d.ask("godwit node list --data A").splitlines()
            if "127.0.0.1:" in line]


def delivered(d):
    listed = d.ask("godwit ls --recursive s3://sensors")
    return sum("reading-" in line for line in listed.splitlines())


def a_device(d):
    d.chapter("A device: it seals what it takes, before its disk sees it")
    d.link = Relay(("127.0.0.1", d.s3["A"]))
    gateway = f"https://127.0.0.1:{d.link.address[1]}"
    listen = free_ports(1)[0]
    d.run("godwit mb s3://sensors")
    d.run(f"{d.aws} s3api put-bucket-versioning --bucket sensors "
          "--versioning-configuration Status=Enabled")
    recipient = d.run("godwit identity create --output owner.key",
                      quiet=True).split()[-1]
    code = d.run("godwit edge enroll dev42 --bucket sensors "
                 f"--recipient {recipient}", quiet=True).split()[-1]
    d.run(f"godwit-edge enroll --gateway {gateway} --code {code} --data E",
          shown=f"godwit-edge enroll --gateway {gateway} "
                f"--code {code[:10]}... --data E")
    d.agent = f"godwit-edge run --data E --listen 127.0.0.1:{listen}"
    d.local = f"http://127.0.0.1:{listen}/sensors/dev42"
    d.start("agent", d.agent)
    d.until("the agent takes objects", lambda: d.ask(
        "godwit-edge status --data E"))
    put_readings(d, 1, 50)
    d.until("50 readings are in the cluster", lambda: delivered(d) == 50)
    d.say("The cluster has them, but cannot read them. Their owner can:")
    d.run("godwit cat s3://sensors/dev42/reading-7.json | head -c 16 | "
          "od -An -tx1")
    opened = d.run("godwit cat --identity owner.key "
                   "s3://sensors/dev42/reading-7.json")
    d.expect(json.loads(opened) == {"reading": 7}, "the owner reads it")


def put_readings(d, first, last):
    text = (f"for i in $(seq {first} {last}); do echo \"{{\\\"reading\\\": "
            f"$i}}\" | curl -fsS -T - {d.local}/reading-$i.json; done")
    d.run(text)


def no_link(d):
    d.chapter("The cable is pulled, and then the power")
    d.link.cut()
    d.say("(the relay between agent and cluster passes nothing on)")
    put_readings(d, 51, 150)
    d.say("Each PUT got its 200: it is on the device's disk.")
    d.kill("agent")
    d.expect(delivered(d) == 50, "nothing came through")
    d.link.reset()
    d.start("agent", d.agent)
    d.until("the agent is back", lambda: d.ask(
        "godwit-edge status --data E"))
    d.run("godwit-edge status --data E")
    d.link.heal()
    d.say("The cable is plugged in again.")
    d.until("150 readings are in the cluster", lambda: delivered(d) == 150)
    d.run("godwit edge ls")
    versions = json.loads(d.ask(f"{d.aws} s3api list-object-versions "
                                "--bucket sensors --output json"))
    d.expect(len(versions["Versions"]) == 150, "each was delivered once")
    d.say("150 versions of 150 objects: each came exactly once.")


def a_dead_server(d):
    d.chapter("A server dies")
    data = os.urandom(32 << 20)
    (d.folder / "film").write_bytes(data)
    d.run("godwit mb s3://films")
    d.run("godwit cp film s3://films/film", quiet=True)
    d.run("godwit explain s3://films/film | head -n 12")
    d.kill("C")
    d.run("godwit cp s3://films/film back", quiet=True)
    same = hashlib.sha256((d.folder / "back").read_bytes()).digest()
    d.expect(same == hashlib.sha256(data).digest(), "it reads, byte for byte")
    d.say("A third of its shards are gone; it reads, byte for byte.")
    d.run("godwit cp film s3://films/another", quiet=True)
    d.say("Writes go on, too. After --repair-after, 5 seconds here, what was "
          "on it is rebuilt on the others.")
    d.until("nothing misses a shard", lambda: whole(d))
    d.run("godwit explain s3://films/film | head -n 12")
    d.start("C", d.server["C"])
    d.until("it is back and has its share again", d.well)


def whole(d):
    told = json.loads(d.ask("godwit explain --json s3://films/film"))
    text = json.dumps(told)
    return "MISSING" not in text.upper() and "SILENT" not in text.upper()


def retention(d):
    d.chapter("An object that nobody may delete, root neither")
    d.run(f"{d.aws} s3api create-bucket --bucket books "
          "--object-lock-enabled-for-bucket", quiet=True)
    (d.folder / "ledger").write_text("2026: 42\n")
    until = (datetime.datetime.now(datetime.timezone.utc) +
             datetime.timedelta(seconds=25)).strftime("%Y-%m-%dT%H:%M:%SZ")
    put = json.loads(d.run(
        f"{d.aws} s3api put-object --bucket books --key ledger --body ledger "
        "--server-side-encryption AES256 --object-lock-mode COMPLIANCE "
        f"--object-lock-retain-until-date {until}"))
    refused = d.run(f"{d.aws} s3api delete-object --bucket books --key ledger "
                    f"--version-id {put['VersionId']} "
                    "--bypass-governance-retention", ok=False)
    d.expect("AccessDenied" in refused, "the deletion is refused")
    d.say("Not by root's keys, not by a clock that jumps: the time of retention "
          "is voted on. An order to erase it waits:")
    d.run("godwit erase s3://books/ledger --reason 'Art. 17 GDPR'")
    d.run("godwit erase ls")


def erasure(d):
    d.chapter("An object that nobody can ever read again")
    (d.folder / "scan").write_bytes(os.urandom(1 << 20))
    d.run("godwit mb s3://clinic")
    d.run(f"{d.aws} s3 cp scan s3://clinic/ann/scan --sse AES256 "
          "--metadata patient=ann", quiet=True)
    d.run("godwit erase s3://clinic --subject patient=ann --dry-run")
    asked = d.run("godwit erase s3://clinic --subject patient=ann "
                  "--reason 'Art. 17 GDPR' --wait")
    d.expect("erasure" in asked, "the erasure has a number")
    listed = json.loads(d.ask("godwit erase ls --json"))["erasures"]
    number = max(e["id"] for e in listed)
    d.run("godwit receipt key > key")
    d.run(f"godwit receipt get {number} > receipt")
    d.run("godwit receipt verify receipt --key \"$(cat key)\"")
    d.say("Its key is gone from the catalogue, its log and its spare files, on "
          "every server; the receipt is checked without asking one.")


def at_last(d):
    d.chapter("What waited goes on by itself")
    d.until("the retention of the ledger has ended and it is erased",
            lambda: not any(
                e["state"] != "done" for e in
                json.loads(d.ask("godwit erase ls --json"))["erasures"]))
    d.run("godwit erase ls")
    d.run("godwit audit verify --data A")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--pace", type=float, default=0.6,
                        help="seconds to read each line (0.6)")
    parser.add_argument("--keep", action="store_true",
                        help="leave the folder of the demonstration")
    options = parser.parse_args()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="godwit-demo-"))
    d = Demo(folder, options.pace)
    d.link = None
    since = time.monotonic()
    status = 1
    try:
        for part in (a_cluster, a_device, no_link, a_dead_server, retention,
                     erasure, at_last):
            part(d)
        print(paint("1;32", f"\nAll of it happened, in "
                    f"{time.monotonic() - since:.0f} seconds."))
        status = 0
    except Failed as failure:
        print(paint("1;31", f"demo: {failure}"), file=sys.stderr)
    except KeyboardInterrupt:
        print()
    finally:
        d.stop()
        if d.link:
            d.link.close()
        if options.keep or status:
            print(f"What is left is in {folder}")
        else:
            subprocess.run(["rm", "-rf", "--", str(folder)], check=True)
    return status


if __name__ == "__main__":
    sys.exit(main())
