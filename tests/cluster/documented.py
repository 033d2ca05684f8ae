"""The commands that the documents show, and machines that run them.

    docs = Documents()
    text = docs.take("OPERATE.md", "godwit node drain")   # as it stands there
    docs.left()            # (document, command) that nobody took

A command is a line of an indented block that begins with a program of PROGRAMS
(or sets variables before one), with the lines that a backslash joins to it,
less its comment. So one that is changed, added or removed in a document is run
as it is there, or found to be run nowhere.
"""
import glob
import os
import re
import subprocess
import time

import server as server_module
from netlab import Process

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "../.."))
PROGRAMS = ("godwit", "godwit-edge", "aws", "curl", "make", "openssl", "sudo",
            "sudoedit", "podman", "kubectl", "export", "s3fs", "rclone", "age")
COMMAND = re.compile(r"([A-Z_]+=\S+ )*(build/)?(%s)( |$)" % "|".join(PROGRAMS))


def commands_of(text):
    out, joined, fence_before = [], None, True
    for line in text.splitlines():
        shown = line.startswith("    ")
        if joined is not None and shown:
            joined += " " + line.strip()
        elif shown and (out or fence_before) and COMMAND.match(line.strip()):
            joined = line.strip()
        else:
            joined = None
        if joined is not None:
            if joined.endswith("\\"):
                joined = joined[:-1].rstrip()
                continue
            out.append(re.sub(r"\s+#\s.*$", "", joined))
            joined = None
    return out


class Documents:
    def __init__(self):
        self.commands = {}
        for path in [os.path.join(ROOT, "README.md"),
                     *sorted(glob.glob(os.path.join(ROOT, "docs/*.md")))]:
            with open(path, encoding="utf-8") as f:
                self.commands[os.path.basename(path)] = commands_of(f.read())
        self.taken = set()

    def take(self, document, start):
        found = sorted({c for c in self.commands[document]
                        if c.startswith(start)})
        assert found, f"{document} shows no command that begins: {start}"
        exact = [c for c in found if c == start]
        command = (exact or found)[0]
        assert exact or len(found) == 1, f"which one of {document}: {found}"
        self.taken.add((document, command))
        return command

    def left(self):
        return sorted({(d, c) for d, commands in self.commands.items()
                       for c in commands} - self.taken)


class Machine:
    """A host with a folder of its own; @here maps what a document writes (a
    folder, an address) to what that is here."""

    def __init__(self, docs, host, folder, here=()):
        self.docs, self.host, self.folder = docs, host, str(folder)
        self.here = dict(here)
        build = os.path.join(self.folder, "build")
        os.makedirs(build)
        programs = os.path.dirname(os.path.abspath(server_module.GODWIT))
        edge = os.environ.get("GODWIT_EDGE") or os.path.join(programs,
                                                             "godwit-edge")
        os.symlink(os.path.abspath(server_module.GODWIT), f"{build}/godwit")
        os.symlink(os.path.abspath(edge), f"{build}/godwit-edge")
        self.env = server_module.environment(
            PATH=f"{build}:{os.environ['PATH']}", AWS_PAGER="",
            HOME=self.folder, AWS_DEFAULT_REGION="us-east-1")
        self.started = 0

    def text(self, document, start, replaced):
        command = self.docs.take(document, start)
        for old, new in {**self.here, **replaced}.items():
            command = command.replace(old, str(new))
        return command

    def _argv(self, command):
        enter = ["ip", "netns", "exec", self.host.namespace] \
            if self.host.namespace else []
        return [*enter, "bash", "-c", command]

    def sh(self, command, ok=True):
        """Any command; its standard output."""
        done = subprocess.run(self._argv(command), cwd=self.folder,
                              env=self.env, text=True, timeout=120,
                              stdin=subprocess.DEVNULL, capture_output=True)
        assert ok is None or (done.returncode == 0) == ok, (
            f"{command}\nended with {done.returncode}:\n"
            f"{done.stdout}{done.stderr}")
        return done.stdout

    def run(self, document, start, replaced=None, ok=True):
        """The command of @document that begins with @start, where words
        stand for something with these @replaced."""
        return self.sh(self.text(document, start, replaced or {}), ok)

    def export(self, document, start):
        for name, value in re.findall(
                r"([A-Z_]+)=(\S+)", self.text(document, start, {})):
            self.env[name] = value

    def daemon(self, document, start, replaced=None):
        command = self.text(document, start, replaced or {}).rstrip("& ")
        self.started += 1
        log = os.path.join(self.folder, f"log-{self.started}")
        process = Process(self._argv("exec " + command), log, self.env,
                          self.folder)
        process.log = log
        self.host.processes.append(process)
        return process

    def until(self, command, timeout=60):
        """Until the command succeeds."""
        end = time.monotonic() + timeout
        while True:
            done = subprocess.run(self._argv(command), cwd=self.folder,
                                  env=self.env, stdin=subprocess.DEVNULL,
                                  text=True, capture_output=True, timeout=60)
            if done.returncode == 0:
                return
            assert time.monotonic() < end, (
                f"{command}\n{done.stdout}{done.stderr}{self.logs()}")
            time.sleep(0.1)

    def logs(self):
        out = ""
        for number in range(1, self.started + 1):
            with open(os.path.join(self.folder, f"log-{number}")) as f:
                out += f"\n{number}:\n" + f.read()[-2000:]
        return out
