"""Goal: `make demo` shows what it says it shows. Method: it is run; it checks
each of its steps by itself and ends with an error where one goes wrong."""
import os
import subprocess
import sys

from server import GODWIT, environment
from test_18_edge import EDGE

DEMO = os.path.join(os.path.dirname(__file__), "..", "demo.py")


def test_the_demonstration():
    result = subprocess.run(
        [sys.executable, DEMO, "--pace", "0"], text=True, timeout=600,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=environment(GODWIT=os.path.abspath(GODWIT),
                        GODWIT_EDGE=os.path.abspath(EDGE)))
    assert result.returncode == 0, result.stdout
    for shown in ("votes", "150 versions of 150 objects",
                  "A third of its shards are gone; it reads, byte for byte",
                  "AccessDenied", "Keys destroyed: 1",
                  "are whole", "All of it happened"):
        assert shown in result.stdout, (shown, result.stdout)
