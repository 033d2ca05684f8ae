"""A network of machines for servers: one namespace each on a bridge.

    with Lab() as lab:
        a, b = lab.host(), lab.host()
        process = a.spawn(["godwit", "server", ...], log_path)
        lab.cut(a, b)              # both ways; lab.cut(a, b, one_way=True)
        lab.heal()
        process.kill9(); process.stop(); process.go_on()

Clients run outside and reach every host by its address. A cut is silent, as
on a real wire: packets go to a machine that is not there. Lab(wire=True) has
wires that delay, lose and slow packets (wire.py, since kernels may lack
netem): lab.link(a, b, delay=0.05, loss=0.01). Without the right to make
namespaces all hosts are 127.0.0.1, differ by port, and cannot be cut: lab.why
says so.

Names carry the process id, and subnets are claimed, so runs do not collide.
All goes away at the end; if the tests die, a child that watches over them
removes what is left, and their servers die with them. If that child is killed
too, the next lab removes it.
"""
import ctypes
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time

_count = 0
_libc = ctypes.CDLL(None, use_errno=True)
PR_SET_PDEATHSIG = 1
HERE = os.path.dirname(os.path.abspath(__file__))
OUTSIDE = "02:00:00:00:00:00"
NOWHERE = "02:00:00:00:00:fe"  # a machine that is not there


def ip(*arguments, check=True, namespace=None):
    """Run ip(8); gives its output."""
    command = ["ip"] + (["-n", namespace] if namespace else [])
    result = subprocess.run([*command, *arguments], stdin=subprocess.DEVNULL,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                            text=True)
    if check and result.returncode != 0:
        raise OSError(f"ip {' '.join(arguments)}: {result.stdout.strip()}")
    return result.stdout


def why_not():
    """Why there can be no namespaces here, or None."""
    if os.environ.get("GODWIT_LOOPBACK"):
        return "GODWIT_LOOPBACK is set"
    if os.geteuid() != 0:
        return "network namespaces need root"
    name = f"gw{os.getpid():x}try"
    try:
        ip("netns", "add", name)
        try:
            ip("link", "add", name[:12] + "a", "type", "veth", "peer", "name",
               name[:12] + "b")
            ip("link", "del", name[:12] + "a")
        finally:
            ip("netns", "del", name, check=False)
    except OSError as error:
        return f"no network namespaces: {error}"
    return None


class Process:
    """A program on a host. Dies with the tests."""

    def __init__(self, argv, log_path, env=None, cwd=None):
        with open(log_path, "ab") as log:
            self.popen = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env=env, cwd=cwd, start_new_session=True,
                preexec_fn=_die_with_parent)

    @property
    def pid(self):
        return self.popen.pid

    def alive(self):
        return self.popen.poll() is None

    def kill9(self):
        self.popen.kill()
        self.popen.wait()

    def term(self, timeout=30):
        """SIGTERM; gives the exit status, or kills and says None."""
        self.popen.terminate()
        try:
            return self.popen.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill9()
            return None

    def stop(self):
        self.popen.send_signal(signal.SIGSTOP)

    def go_on(self):
        self.popen.send_signal(signal.SIGCONT)


def _die_with_parent():
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Host:
    def __init__(self, lab, number, address, namespace):
        self.lab = lab
        self.number = number
        self.address = address
        self.namespace = namespace  # None on loopback
        self.processes = []

    def spawn(self, argv, log_path, env=None, cwd=None):
        if self.namespace:
            argv = ["ip", "netns", "exec", self.namespace, *argv]
        process = Process(argv, log_path, env, cwd)
        self.processes.append(process)
        return process

    def port(self, wanted):
        """@wanted where the host has an address of its own, else a free
        one."""
        if self.namespace:
            return wanted
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            return sock.getsockname()[1]

    def __repr__(self):
        return f"host {self.number} ({self.address})"


class Lab:
    def __init__(self, loopback=False, wire=False):
        global _count
        _count += 1
        self.hosts = []
        self.why = "asked for" if loopback else why_not()
        self.name = f"gw{os.getpid():x}l{_count}"
        self._cuts = set()
        self._watcher = None
        self._switch = None
        if self.why is None and wire and not os.access("/dev/net/tun",
                                                       os.W_OK):
            self.why = "there is no /dev/net/tun for wires"
        if self.why is None:
            self._claim = None
            remove_orphans()
            try:
                self._make_bridge(wire)
            except BaseException:
                self.close()
                raise

    @property
    def separate(self):
        """Hosts are machines of their own and may be cut from each other."""
        return self.why is None

    def host(self):
        number = len(self.hosts) + 1
        if not self.separate:
            host = Host(self, number, "127.0.0.1", None)
        else:
            host = self._make_host(number)
        self.hosts.append(host)
        return host

    # Harm.
    def cut(self, a, b, one_way=False):
        """No packet gets from @a to @b any more, nor back unless
        @one_way."""
        assert self.separate, f"no cuts here: {self.why}"
        for x, y in ((a, b),) if one_way else ((a, b), (b, a)):
            self._neighbour(x, y, NOWHERE)
            self._cuts.add((x, y))

    def isolate(self, host, others=None):
        """Cut @host from all other hosts; clients still reach it."""
        for other in others or self.hosts:
            if other is not host:
                self.cut(host, other)

    def link(self, a, b, one_way=False, **how):
        """The wire between two hosts, None for the clients: delay, jitter
        (seconds), loss (of 1), rate (bytes a second)."""
        assert self._switch, "this lab has no wires of its own"
        ports = [x.number if x else 0 for x in (a, b)]
        self._tell(link=ports, **how)
        if not one_way:
            self._tell(link=ports[::-1], **how)

    def heal(self):
        for a, b in self._cuts:
            self._neighbour(a, b, self._mac(b))
        self._cuts.clear()

    # Making and removing.
    def _tell(self, **order):
        """A command to the switch, which answers when it is done."""
        self._switch.stdin.write((json.dumps(order) + "\n").encode())
        self._switch.stdin.flush()
        if self._switch.stdout.readline() != b"ok\n":
            raise OSError("the switch of the lab ended")

    def _make_bridge(self, wire):
        self._watcher = subprocess.Popen(
            [sys.executable, os.path.abspath(__file__), self.name],
            stdin=subprocess.PIPE, start_new_session=True)
        for net in range(256):
            # The claim goes with the process, whatever happens to it.
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            try:
                sock.bind(f"\0godwit-netlab-{net}")
            except OSError:
                sock.close()
                continue
            self._claim = sock
            self._net = f"10.213.{net}"
            break
        else:
            raise OSError("all subnets for tests are taken")
        if wire:
            self._switch = subprocess.Popen(
                [sys.executable, os.path.join(HERE, "wire.py")],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                start_new_session=True)
            self._tell(add=0, device=self.name)
            ip("link", "set", self.name, "address", OUTSIDE, "mtu", "9000")
        else:
            ip("link", "add", self.name, "type", "bridge")
        ip("addr", "add", f"{self._net}.254/24", "dev", self.name)
        ip("link", "set", self.name, "up")

    def _make_host(self, number):
        name = f"{self.name}h{number}"
        address = f"{self._net}.{number}"
        host = Host(self, number, address, name)
        ip("netns", "add", name)
        if self._switch:
            self._tell(add=number, device="eth0", namespace=name)
            ip("link", "set", "eth0", "mtu", "9000", namespace=name)
        else:
            ip("link", "add", name, "type", "veth", "peer", "name", "eth0",
               "netns", name)
            ip("link", "set", name, "master", self.name, "up")
        ip("link", "set", "lo", "up", namespace=name)
        ip("link", "set", "eth0", "address", self._mac(host), "up",
           namespace=name)
        ip("addr", "add", f"{address}/24", "dev", "eth0", namespace=name)
        return host

    @staticmethod
    def _mac(host):
        return f"02:00:00:00:00:{host.number:02x}"

    def _neighbour(self, a, b, mac):
        ip("neigh", "replace", b.address, "lladdr", mac, "dev", "eth0",
           "nud", "permanent", namespace=a.namespace)

    def close(self):
        for host in self.hosts:
            for process in host.processes:
                if process.alive():
                    process.kill9()
        if not self.separate:
            return
        if self._switch:
            self._switch.stdin.close()
            self._switch.wait(60)
            self._switch.stdout.close()
        if self._watcher:
            self._watcher.stdin.close()  # it removes all, as after a death
            self._watcher.wait(60)
        if self._claim:
            self._claim.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def remove(name):
    """Everything of the lab @name."""
    for line in ip("netns", "list", check=False).splitlines():
        namespace = line.split(" ")[0]
        if namespace.startswith(f"{name}h"):
            ip("netns", "del", namespace, check=False)
    ip("link", "del", name, check=False)


def remove_orphans():
    """Every lab whose process is no more: its routes would lead the clients
    of the next lab with its subnet nowhere."""
    for name in set(re.findall(r"\bgw[0-9a-f]+l[0-9]+\b",
                               ip("-o", "link", check=False))):
        if not os.path.exists(f"/proc/{int(name[2:].split('l')[0], 16)}"):
            remove(name)


def watch(name):
    """Wait until the tests close their end, or die; then clean up."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    sys.stdin.buffer.read()
    time.sleep(0.05)  # their servers die first
    remove(name)


if __name__ == "__main__":
    watch(sys.argv[1])
