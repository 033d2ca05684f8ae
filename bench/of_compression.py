"""Figures of compression: PUT and GET of the same bytes in a bucket that
compresses and in one that does not, taking turns."""
import json
import os
import random

from turns import rate, urls

SIZE = 16 << 20


def readings(size):
    rng = random.Random(1)
    lines, length = [], 0
    while length < size:
        line = (f'{{"device":"pump-{rng.randrange(500)}","time":'
                f'{1700000000000 + length},"temperature":'
                f'{rng.gauss(20, 3):.2f},"pressure":{rng.gauss(3, 1):.3f},'
                f'"state":"{rng.choice(["on", "off", "idle"])}"}}\n')
        lines.append(line)
        length += len(line)
    return "".join(lines).encode()[:size]


def bodies():
    return {"JSON readings": readings(SIZE), "random bytes": os.urandom(SIZE)}


def stored(server, bucket):
    chunks = json.loads(server.cli("explain", f"s3://{bucket}/k/0",
                                   "--json").stdout)["chunks"]
    return sum(c["bytes"] for c in chunks) / SIZE


def measure(server, rounds, seconds):
    """{(bytes, PUT or GET, off or zstd): rates}, {(bytes, ...): stored}."""
    client = server.client()
    got, space = {}, {}
    for mode in ("off", "zstd"):
        client.create_bucket(Bucket=f"bench-{mode}")
        server.cli("bucket", "set", f"bench-{mode}", "--compression", mode)
    for _ in range(rounds):
        for name, body in bodies().items():
            for what in ("PUT", "GET"):
                for mode in ("off", "zstd"):
                    targets = urls(client, f"bench-{mode}", what, "k")
                    got.setdefault((name, what, mode), []).append(
                        rate(server, what, targets, body, seconds)[0])
                    if what == "GET":
                        space[name, mode] = stored(server, f"bench-{mode}")
    return got, space
