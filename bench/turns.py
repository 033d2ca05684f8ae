"""PUTs and GETs by a few connections with presigned URLs, so that nothing but
the server works on the bytes."""
import http.client
import os
import threading
import time
import urllib.parse

MIB = 1 << 20
THREADS = 2
KEYS = 4


def urls(client, bucket, what, name):
    method = "put_object" if what == "PUT" else "get_object"
    return [client.generate_presigned_url(
        method, Params={"Bucket": bucket, "Key": f"{name}/{i}"},
        ExpiresIn=3600) for i in range(KEYS)]


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


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def rate(server, what, targets, body, seconds):
    """MB/s of bytes put or got, and the server's CPU time for each GB."""
    host = urllib.parse.urlsplit(server.endpoint).netloc
    counts = [0] * THREADS
    spent = cpu_seconds(server.pid)
    start = time.perf_counter()

    def work(n):
        connection = http.client.HTTPConnection(host)
        room = memoryview(bytearray(MIB))
        while time.perf_counter() - start < seconds or counts[n] < KEYS:
            one(connection, what, targets[(n + counts[n]) % KEYS], body, room)
            counts[n] += 1
        connection.close()

    threads = [threading.Thread(target=work, args=(n,))
               for n in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    moved = sum(counts) * len(body)
    return (moved / (time.perf_counter() - start) / 1e6,
            (cpu_seconds(server.pid) - spent) / moved * 1e9)
