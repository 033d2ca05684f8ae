"""Figures of compression: PUT and GET of the same bytes in a bucket that
compresses and in one that does not, taking turns, by a few connections with
presigned URLs, so that nothing but the server works on the bytes."""
import http.client
import json
import os
import random
import threading
import time
import urllib.parse

MIB = 1 << 20
SIZE = 16 * MIB
THREADS = 2
KEYS = 4


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


def urls(client, bucket, what):
    method = "put_object" if what == "PUT" else "get_object"
    return [client.generate_presigned_url(
        method, Params={"Bucket": bucket, "Key": f"k{i}"}, ExpiresIn=3600)
        for i in range(KEYS)]


def one(connection, what, url, body, room):
    parts = urllib.parse.urlsplit(url)
    connection.request(what, f"{parts.path}?{parts.query}",
                       body=body if what == "PUT" else None)
    reply = connection.getresponse()
    assert reply.status == 200, reply.read()
    if what == "GET":
        while reply.readinto(room):
            pass
    reply.read()


def rate(endpoint, what, targets, body, seconds):
    """MB/s of bytes put or got."""
    host = urllib.parse.urlsplit(endpoint).netloc
    counts = [0] * THREADS
    start = time.perf_counter()

    def work(n):
        connection = http.client.HTTPConnection(host)
        room = memoryview(bytearray(MIB))
        while time.perf_counter() - start < seconds:
            one(connection, what, targets[(n + counts[n]) % KEYS], body, room)
            counts[n] += 1
        connection.close()

    threads = [threading.Thread(target=work, args=(n,))
               for n in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts) * SIZE / (time.perf_counter() - start) / 1e6


def stored(server, bucket):
    chunks = json.loads(server.cli("explain", f"s3://{bucket}/k0",
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
                    targets = urls(client, f"bench-{mode}", what)
                    got.setdefault((name, what, mode), []).append(
                        rate(server.endpoint, what, targets, body, seconds))
                    if what == "GET":
                        space[name, mode] = stored(server, f"bench-{mode}")
    return got, space
