"""A wall clock for one server, which tests set while it runs.

    clock = WallClock(folder)
    a server started with clock.env() has it
    clock.set(-600)     # ten minutes behind
"""
import os
import struct
import subprocess

import server as server_module

HERE = os.path.dirname(os.path.abspath(__file__))


def why_not():
    """Why the server's clock cannot be moved, or None."""
    with open(server_module.GODWIT, "rb") as file:
        if b"__asan_init" in file.read():
            return "a sanitizer does not let another library come first"
    return None


class WallClock:
    def __init__(self, folder):
        self.library = os.path.join(folder, "clock_shim.so")
        if not os.path.exists(self.library):
            subprocess.run(
                ["gcc", "-std=c11", "-D_GNU_SOURCE", "-O2", "-shared",
                 "-fPIC", "-o", self.library,
                 os.path.join(HERE, "clock_shim.c")], check=True)
        self.path = os.path.join(folder, f"clock-{id(self):x}")
        self.set(0)

    def set(self, seconds):
        data = struct.pack("=q", int(seconds * 1e9))
        handle = os.open(self.path, os.O_WRONLY | os.O_CREAT, 0o600)
        os.pwrite(handle, data, 0)
        os.close(handle)

    def env(self):
        return {"LD_PRELOAD": self.library, "GODWIT_TEST_CLOCK": self.path}
