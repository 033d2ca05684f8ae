"""A switch between namespaces that delays, loses and slows packets.

Kernels without netem have no such wires, so this is one: each machine's eth0
is a tap device, and this program carries the frames between them. netlab.py
starts it; commands are lines of JSON on stdin, each answered by "ok":

    {"add": 3, "namespace": "gw1l1h3", "device": "eth0"}
    {"link": [1, 3], "delay": 0.05, "jitter": 0.01, "loss": 0.02, "rate": 1e6}

A link is one way. Port 0 is outside, where the clients are. Frames of a link
stay in order. It ends with its stdin, and the devices with it.
"""
import ctypes
import fcntl
import heapq
import json
import os
import random
import selectors
import struct
import sys
import time

TUNSETIFF = 0x400454CA
IFF_TAP, IFF_NO_PI = 2, 0x1000
CLONE_NEWNET = 0x40000000
FRAME = 65600
BACKLOG_S = 2.0  # what waits longer for a slow link is lost, as in a router

_libc = ctypes.CDLL(None, use_errno=True)


def tap(device, namespace):
    """A tap device in a namespace, or here; gives its file."""
    here = os.open("/proc/self/ns/net", os.O_RDONLY)
    there = os.open(f"/run/netns/{namespace}", os.O_RDONLY) if (
        namespace) else None
    try:
        if there is not None and _libc.setns(there, CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "setns")
        handle = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
        fcntl.ioctl(handle, TUNSETIFF, struct.pack(
            "16sH22x", device.encode(), IFF_TAP | IFF_NO_PI))
        return handle
    finally:
        if there is not None:
            if _libc.setns(here, CLONE_NEWNET) != 0:
                os._exit(1)
            os.close(there)
        os.close(here)


class Link:
    """How frames fare from one port to another."""

    def __init__(self, delay=0.0, jitter=0.0, loss=0.0, rate=0.0):
        self.delay = delay
        self.jitter = jitter
        self.loss = loss
        self.rate = rate  # bytes a second; 0: no bound
        self.busy = 0.0   # until when the sender of a slow link sends
        self.last = 0.0   # when the latest frame arrives

    def arrival(self, now, size, rng):
        """When a frame sent now arrives; None: it is lost."""
        if self.loss and rng.random() < self.loss:
            return None
        if self.rate:
            if self.busy - now > BACKLOG_S:
                return None
            self.busy = now = max(self.busy, now) + size / self.rate
        due = now + self.delay
        if self.jitter:
            due += rng.random() * self.jitter
        self.last = max(self.last, due)
        return self.last


class Switch:
    def __init__(self, seed=0):
        self.ports = {}
        self.links = {}
        self.waiting = []
        self.count = 0
        self.rng = random.Random(seed)
        self.selector = selectors.DefaultSelector()

    def add(self, number, device, namespace):
        handle = tap(device, namespace)
        self.ports[number] = handle
        self.selector.register(handle, selectors.EVENT_READ, number)

    def frame(self, source, data):
        """Send a frame on its way: the last byte of an address is a port."""
        if data[0] & 1:
            targets = [p for p in self.ports if p != source]
        else:
            targets = [data[5]] if data[5] in self.ports else []
        now = time.monotonic()
        for target in targets:
            link = self.links.get((source, target))
            if link is None:
                self.deliver(target, data)
                continue
            due = link.arrival(now, len(data), self.rng)
            if due is not None:
                self.count += 1
                heapq.heappush(self.waiting, (due, self.count, target, data))

    def deliver(self, target, data):
        try:
            os.write(self.ports[target], data)
        except OSError:
            pass  # the device is down or full: lost

    def due(self):
        """Deliver what has arrived; gives the time until the next."""
        while self.waiting:
            wait = self.waiting[0][0] - time.monotonic()
            if wait > 0:
                return wait
            _, _, target, data = heapq.heappop(self.waiting)
            self.deliver(target, data)
        return None

    def command(self, line):
        order = json.loads(line)
        if "add" in order:
            self.add(order["add"], order["device"], order.get("namespace"))
        else:
            source, target = order.pop("link")
            old = self.links.get((source, target))
            self.links[source, target] = link = Link(**order)
            if old:
                link.last = old.last
        print("ok", flush=True)

    def run(self):
        self.selector.register(sys.stdin.fileno(), selectors.EVENT_READ, -1)
        text = b""
        while True:
            for key, _ in self.selector.select(self.due()):
                if key.data == -1:
                    piece = os.read(key.fd, 65536)
                    if not piece:
                        return
                    *lines, text = (text + piece).split(b"\n")
                    for line in lines:
                        self.command(line)
                    continue
                for _ in range(64):  # then look at the clock again
                    try:
                        data = os.read(key.fd, FRAME)
                    except OSError:
                        break
                    self.frame(key.data, data)


if __name__ == "__main__":
    Switch(sys.argv[1] if len(sys.argv) > 1 else 0).run()
