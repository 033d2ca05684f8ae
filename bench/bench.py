"""Measure Godwit against its promised figures; ratios in one run.

Peers take turns within each round, so that what the machine does meanwhile
falls on all of them alike; a figure is the median of its rounds and a ratio
the median of the rounds' ratios. `godwit bench` is the load for every HTTP
peer, so that what the client costs is the same for all. Run by bench/run.sh.
"""
import hashlib
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "../tests/e2e"))

from server import GODWIT, Server, environment, free_port  # noqa: E402
from s3http import head_bytes, read_reply  # noqa: E402

BESIDE = os.path.join(os.path.dirname(GODWIT), "bench")
RESULTS = os.path.join(HERE, "results")
SECONDS = float(os.environ.get("BENCH_SECONDS", "5"))
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "3"))
KEYS = int(os.environ.get("BENCH_KEYS", "1000000"))
UPLOAD_MIB = int(os.environ.get("BENCH_UPLOAD_MIB", "128"))
MIB = 1 << 20
# The segments that a user gets, not the small ones of the tests.
DEFAULTS = ["--segment-bytes", "0"]


# What is told of the machine.

def first_line(command):
    try:
        return subprocess.run(command, capture_output=True, text=True,
                              timeout=10).stdout.strip().split("\n")[0]
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"


def machine():
    cpu = "unknown"
    with open("/proc/cpuinfo") as file:
        for line in file:
            if line.startswith("model name"):
                cpu = line.split(":", 1)[1].strip()
                break
    with open("/proc/meminfo") as file:
        memory = int(file.readline().split()[1]) // 1024
    disk = first_line(["findmnt", "-n", "-o", "FSTYPE,OPTIONS", "-T",
                       tempfile.gettempdir()])
    return (f"{cpu}, {os.cpu_count()} cores, {memory} MiB RAM, "
            f"Linux {platform.release()}, disk: {disk}")


def commit():
    root = os.path.join(HERE, "..")
    name = first_line(["git", "-C", root, "rev-parse", "--short", "HEAD"])
    changed = first_line(["git", "-C", root, "status", "--porcelain",
                          "--untracked-files=no"])
    return name + (" with changes" if changed else "")


class Result:
    """One page of bench/results."""

    def __init__(self, name, title):
        self.name = name
        self.title = title
        self.rows = []
        self.notes = []
        self.text = []
        self.started = time.time()

    def figure(self, what, value, bound, at_least=True, unit=""):
        """One promised figure: shown, and judged against its bound."""
        good = value >= bound if at_least else value <= bound
        sign = ">=" if at_least else "<="
        self.rows.append((what, f"{value:.3g}{unit}",
                          f"{sign} {bound:g}{unit}",
                          "reached" if good else "**missed**"))
        print(f"  {what}: {value:.3g}{unit} (wanted {sign} {bound:g}{unit}) "
              f"{'reached' if good else 'MISSED'}", flush=True)

    def measured(self, what, values, unit):
        text = ", ".join(f"{v:.4g}" for v in values)
        self.notes.append(f"| {what} | {statistics.median(values):.4g} {unit}"
                          f" | {text} |")
        print(f"  {what}: {statistics.median(values):.4g} {unit} ({text})",
              flush=True)

    def write(self):
        os.makedirs(RESULTS, exist_ok=True)
        day = time.strftime("%Y-%m-%d", time.gmtime(self.started))
        lines = [f"# {self.title}", "",
                 f"Command: `bench/run.sh {self.name}` (BENCH_SECONDS="
                 f"{SECONDS:g} BENCH_ROUNDS={ROUNDS}), {day}, commit "
                 f"{commit()}, took {time.time() - self.started:.0f} s  ",
                 f"Machine: {machine()}", ""]
        if self.rows:
            lines += ["| figure | measured | promised | |",
                      "|---|---|---|---|"]
            lines += ["| " + " | ".join(row) + " |" for row in self.rows]
            lines.append("")
        if self.notes:
            lines += ["| measured | median | rounds |", "|---|---|---|"]
            lines += self.notes + [""]
        lines += self.text
        with open(os.path.join(RESULTS, f"{self.name}.md"), "w") as file:
            file.write("\n".join(lines).rstrip() + "\n")


# Peers.

class Nginx:
    """nginx with DAV on loopback, in a folder of its own."""

    def __init__(self, folder):
        self.folder = folder
        self.port = free_port()
        os.makedirs(os.path.join(folder, "root"))
        os.makedirs(os.path.join(folder, "body"))
        self.config = os.path.join(folder, "nginx.conf")
        user = "user root;" if os.geteuid() == 0 else ""
        with open(self.config, "w") as file:
            file.write(f"""
{user}
daemon off;
worker_processes {os.cpu_count()};
pid {folder}/nginx.pid;
error_log {folder}/error.log crit;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    sendfile on;
    tcp_nopush on;
    keepalive_requests 1000000;
    client_max_body_size 0;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/body;
    fastcgi_temp_path {folder}/body;
    uwsgi_temp_path {folder}/body;
    scgi_temp_path {folder}/body;
    open_file_cache max=10000 inactive=60s;
    server {{
        listen 127.0.0.1:{self.port};
        root {folder}/root;
        # What stands for a bucket: always there, empty when listed.
        location ~ ^/[^/]+/?$ {{
            return 200 '<?xml version="1.0"?><ListBucketResult
xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><IsTruncated>false</IsTruncated
></ListBucketResult>';
        }}
        location / {{
            dav_methods PUT DELETE;
            create_full_put_path on;
        }}
    }}
}}
""")
        program = shutil.which("nginx", path="/usr/sbin:/usr/bin")
        self.process = subprocess.Popen(
            [program, "-p", folder, "-c", self.config, "-e",
             os.path.join(folder, "error.log")],
            stdin=subprocess.DEVNULL, start_new_session=True)
        time.sleep(0.5)
        assert self.process.poll() is None, open(
            os.path.join(folder, "error.log")).read()
        self.endpoint = f"http://127.0.0.1:{self.port}"

    def stop(self):
        self.process.terminate()
        self.process.wait(20)


def godwit_bench(endpoint, keys, what, *flags):
    """One run of the load; its JSON."""
    result = subprocess.run(
        [GODWIT, "bench", what, "--endpoint", endpoint, "--json", *flags],
        stdin=subprocess.DEVNULL, capture_output=True, text=True,
        timeout=600, env=environment(AWS_ACCESS_KEY_ID=keys[0],
                                     AWS_SECRET_ACCESS_KEY=keys[1]))
    if result.returncode != 0:
        raise RuntimeError(f"godwit bench {what} {' '.join(flags)}: "
                           f"{result.stderr[-1000:]}")
    return json.loads(result.stdout.strip().split("\n")[-1])


def load(endpoint, keys, what, size, concurrency):
    return godwit_bench(endpoint, keys, what, "--size", size,
                        "--concurrency", str(concurrency), "--duration",
                        f"{SECONDS:g}s")


def files_bench(folder, size, threads):
    os.makedirs(folder)
    try:
        result = subprocess.run(
            [os.path.join(BESIDE, "bench_files"), folder, str(size),
             str(threads), str(SECONDS)], capture_output=True, text=True,
            check=True)
        return json.loads(result.stdout)
    finally:
        shutil.rmtree(folder)


def md5_mb_per_s():
    """What one core does of the MD5 that an ETag owes."""
    block = os.urandom(MIB)
    digest = hashlib.md5()
    count = 0
    end = time.perf_counter() + 0.5
    start = time.perf_counter()
    while time.perf_counter() < end:
        digest.update(block)
        count += 1
    return count * MIB / (time.perf_counter() - start) / 1e6


def ratio(ours, peers):
    """The median of the rounds' ratios."""
    return statistics.median(a / b for a, b in zip(ours, peers))


def per_core(n):
    """Whether @n connections can use all cores: the cores that count."""
    return min(n, os.cpu_count())


# The figures, by name.

def bench_codec():
    result = Result("codec", "Codec against raw isa-l")
    program = os.path.join(BESIDE, "bench_codec")
    done = subprocess.run([program], capture_output=True, text=True)
    print(done.stdout, done.stderr, flush=True)
    for line in done.stdout.splitlines():
        if not line.startswith("{"):
            continue
        row = json.loads(line)
        if "ratio" in row and "bound" in row:
            result.figure(row["name"], row["ratio"], row["bound"])
    result.text = ["```", done.stdout.rstrip(), "```"]
    if done.returncode != 0:
        result.text.append(f"bench_codec ended with {done.returncode}.")
    result.write()


def bench_small():
    """PUT of small objects, durable, against a file and two fsyncs each; GET
    of small objects against nginx."""
    result = Result("small", "Small objects: PUT against files with fsync, "
                             "GET against nginx")
    folder = tempfile.mkdtemp(prefix="godwit-bench.", dir="/tmp")
    server = Server(flags=DEFAULTS)
    nginx = Nginx(os.path.join(folder, "nginx"))
    keys = server.credentials
    got = {}

    def keep(name, figures):
        got.setdefault(name, []).append(figures["ops_per_s"])

    try:
        for turn in range(ROUNDS):
            for size, text in ((4096, "4KiB"), (65536, "64KiB")):
                keep(f"godwit PUT {text}", load(server.endpoint, keys, "put",
                                                text, 32))
                keep(f"files PUT {text}", files_bench(
                    os.path.join(folder, "files"), size, 32))
            keep("godwit GET 4KiB", load(server.endpoint, keys, "get", "4KiB",
                                         32))
            keep("nginx GET 4KiB", load(nginx.endpoint, keys, "get", "4KiB",
                                        32))
    finally:
        nginx.stop()
        server.close()
        shutil.rmtree(folder)
    for name, values in got.items():
        result.measured(name + ", 32 connections", values, "/s")

    result.figure("PUT 4 KiB, times a file with two fsyncs",
                  ratio(got["godwit PUT 4KiB"], got["files PUT 4KiB"]), 10)
    result.figure("PUT 64 KiB, times a file with two fsyncs",
                  ratio(got["godwit PUT 64KiB"], got["files PUT 64KiB"]), 4)
    result.figure("GET 4 KiB, of nginx",
                  ratio(got["godwit GET 4KiB"], got["nginx GET 4KiB"]), 0.5)
    result.write()


def bench_large():
    result = Result("large", "Large objects against nginx")
    folder = tempfile.mkdtemp(prefix="godwit-bench.", dir="/tmp")
    server = Server(flags=DEFAULTS + ["--gc-delay", "1s"])
    nginx = Nginx(os.path.join(folder, "nginx"))
    keys = server.credentials
    got = {}
    try:
        for turn in range(ROUNDS):
            for name, endpoint in (("godwit", server.endpoint),
                                   ("nginx", nginx.endpoint)):
                for what in ("put", "get"):
                    figures = load(endpoint, keys, what, "64MiB", 4)
                    got.setdefault(f"{name} {what.upper()} 64MiB",
                                   []).append(figures["mb_per_s"])
            got.setdefault("MD5 of one core", []).append(md5_mb_per_s())
            shutil.rmtree(os.path.join(nginx.folder, "root"))
            os.makedirs(os.path.join(nginx.folder, "root"))
    finally:
        nginx.stop()
        server.close()
        shutil.rmtree(folder)
    for name, values in got.items():
        result.measured(name + ("" if "MD5" in name else ", 4 connections"),
                        values, "MB/s")

    peer = [1 / (1 / put + 1 / (md5 * per_core(4))) for put, md5 in zip(
        got["nginx PUT 64MiB"], got["MD5 of one core"])]
    result.figure("PUT 64 MiB, of nginx DAV plus MD5",
                  ratio(got["godwit PUT 64MiB"], peer), 0.6)
    result.figure("GET 64 MiB, of nginx sendfile",
                  ratio(got["godwit GET 64MiB"], got["nginx GET 64MiB"]), 0.7)
    result.text = [
        f"nginx DAV plus MD5 is {statistics.median(peer):.0f} MB/s: the time "
        f"of nginx for a byte and that of MD5 on {per_core(4)} cores, added. "
        "nginx does not sync; Godwit writes 1.5 bytes for each and syncs them "
        "before its 200."]
    result.write()


def bench_memory():
    result = Result("memory", "Memory: idle, and with 64 uploads of 1 GiB")
    server = Server(flags=DEFAULTS)
    try:
        s3 = server.raw()
        assert s3.request("PUT", "bkt").status == 200
        time.sleep(2)
        idle = server.rss_bytes() / MIB
        most = 0.0
        block = os.urandom(MIB)
        sent = [0] * 64
        stop = threading.Event()
        problems = []

        def upload(i):
            head = s3.signed_head("PUT", f"/bkt/k{i}")
            head.append(("Content-Length", str(1 << 30)))
            try:
                with s3.socket(timeout=300) as sock:
                    sock.sendall(head_bytes("PUT", f"/bkt/k{i}", head))
                    while sent[i] < UPLOAD_MIB and not stop.is_set():
                        sock.sendall(block)
                        sent[i] += 1
                    if sent[i] == 1024:
                        reply = read_reply(sock)
                        if reply is None or reply.status != 200:
                            problems.append(repr(reply))
                    else:
                        stop.wait()  # all 64 stay open to the end
            except OSError as error:
                problems.append(f"upload {i} after {sent[i]} MiB: {error}")

        threads = [threading.Thread(target=upload, args=(i,))
                   for i in range(64)]
        start = time.time()
        for thread in threads:
            thread.start()
        while (any(t.is_alive() for t in threads)
               and min(sent) < UPLOAD_MIB and not problems):
            most = max(most, server.rss_bytes() / MIB)
            time.sleep(0.02)
        took = time.time() - start
        stop.set()
        for thread in threads:
            thread.join()
        if problems:
            result.text.append(f"Problems: {problems[:3]}")
    finally:
        server.close()
    result.figure("idle RSS", idle, 40, at_least=False, unit=" MiB")
    result.figure("highest RSS with 64 uploads of 1 GiB at once", most, 256,
                  at_least=False, unit=" MiB")
    result.text.insert(0, (
        f"64 connections declared 1 GiB each and sent {min(sent)} to "
        f"{max(sent)} MiB each in {took:.0f} s"
        + ("." if UPLOAD_MIB >= 1024 else
           ", then were cut (BENCH_UPLOAD_MIB=1024 sends all; it needs 96 GiB "
           "of disk).")))
    result.write()


def page_times(s3, pages, times=40):
    """Milliseconds of each first page, the median; the pages take turns.
    @pages: bucket -> query."""
    conn = s3.connect()
    took = {bucket: [] for bucket in pages}
    for _ in range(times):
        for bucket, query in pages.items():
            start = time.perf_counter()
            reply = s3.request("GET", bucket, query=query, connection=conn)
            took[bucket].append((time.perf_counter() - start) * 1e3)
            assert reply.status == 200, reply
            count = (reply.body.count(b"<Contents>")
                     + reply.body.count(b"<CommonPrefixes>"))
            assert count == 1000, count
    conn.close()
    return {bucket: statistics.median(ms) for bucket, ms in took.items()}


def bench_listing():
    result = Result("listing", "Listing: a page costs what it shows")
    server = Server(flags=DEFAULTS)
    keys = server.credentials
    small = 10000
    try:
        for bucket, prefixes, count in (
                ("flat-small", 0, small), ("flat-large", 0, KEYS),
                ("tree-small", 1000, small), ("tree-large", 1000, KEYS)):
            done = subprocess.run(
                [os.path.join(BESIDE, "bench_load"), server.endpoint, bucket,
                 str(prefixes), str(count), "64"], capture_output=True,
                text=True, env=environment(AWS_ACCESS_KEY_ID=keys[0],
                                           AWS_SECRET_ACCESS_KEY=keys[1]))
            if done.returncode != 0:
                raise RuntimeError(done.stderr[-1000:])
            speed = json.loads(done.stdout)["ops_per_s"]
            print(f"  filled {bucket}: {count} keys, {speed:.0f}/s",
                  flush=True)
            result.text.append(f"- {bucket}: {count} keys, put at "
                               f"{speed:.0f}/s by 64 connections")
        s3 = server.raw()
        flat = {"list-type": "2"}
        tree = {"list-type": "2", "delimiter": "/"}
        got = {}
        for _ in range(ROUNDS):
            for bucket, ms in page_times(s3, {
                    "flat-small": flat, "flat-large": flat,
                    "tree-small": tree, "tree-large": tree}).items():
                got.setdefault(bucket, []).append(ms)
        for bucket, values in got.items():
            result.measured(f"first page of {bucket}", values, "ms")

        for what, name in (("first page of 1,000 keys", "flat"),
                           ("first page of 1,000 prefixes", "tree")):
            result.figure(f"{what}: of {KEYS} keys over {small}",
                          ratio(got[f"{name}-large"], got[f"{name}-small"]),
                          1.5, at_least=False)
    finally:
        server.close()
    result.write()


def bench_parts():
    """Completion of an upload in time linear in its parts."""
    result = Result("parts", "Completion of uploads of many parts")
    server = Server(flags=DEFAULTS + ["--part-min", "1"])
    took = {}
    try:
        s3 = server.raw()
        assert s3.request("PUT", "bkt").status == 200
        for count in (1000, 10000):
            reply = s3.request("POST", "bkt", f"k{count}", {"uploads": ""})
            upload = reply.xml.findtext("UploadId")
            tags = [None] * (count + 1)

            def put(first):
                conn = s3.connect()
                for n in range(first, count + 1, 8):
                    reply = s3.request("PUT", "bkt", f"k{count}", {
                        "partNumber": str(n), "uploadId": upload},
                        body=b"p%d" % n * 1000, connection=conn)
                    assert reply.status == 200, reply
                    tags[n] = reply.headers["etag"]
                conn.close()

            threads = [threading.Thread(target=put, args=(i,))
                       for i in range(1, 9)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            body = ("<CompleteMultipartUpload>" + "".join(
                f"<Part><PartNumber>{n}</PartNumber><ETag>{tags[n]}</ETag>"
                "</Part>" for n in range(1, count + 1))
                + "</CompleteMultipartUpload>").encode()
            start = time.perf_counter()
            reply = s3.request("POST", "bkt", f"k{count}",
                               {"uploadId": upload}, body=body)
            took[count] = (time.perf_counter() - start) * 1e3
            assert reply.status == 200, reply
            assert s3.get("bkt", f"k{count}").body == b"".join(
                b"p%d" % n * 1000 for n in range(1, count + 1))
    finally:
        server.close()
    for count, ms in took.items():
        result.measured(f"complete {count} parts", [ms], "ms")
    result.figure("time of 10,000 parts over 10 times that of 1,000",
                  took[10000] / took[1000] / 10, 1.5, at_least=False)
    result.write()


def bench_cluster():
    sys.path.insert(0, os.path.join(HERE, "../tests/cluster"))
    import of_cluster
    from cluster import ACCESS, SECRET, Cluster
    of_cluster.bench(
        Result("cluster", "A cluster: new leaders, dead servers, repair"),
        lambda count, flags=(): Cluster(count, flags=[*DEFAULTS, *flags]),
        load, ROUNDS, (ACCESS, SECRET))


def bench_compression():
    """The same bytes into and out of buckets that compress and do not."""
    import of_compression
    result = Result("compression", "Compression of chunks: off and on")
    server = Server(flags=DEFAULTS + ["--gc-delay", "1s"])
    try:
        got, space = of_compression.measure(server, ROUNDS, SECONDS)
    finally:
        server.close()
    for (name, what, mode), values in got.items():
        result.measured(f"{what} of {name}, {mode}", values, "MB/s")
    for (name, mode), share in space.items():
        result.measured(f"stored of each byte of {name}, {mode}", [share], "")
    for name in of_compression.bodies():
        for what in ("PUT", "GET"):
            result.measured(
                f"{what} of {name}, zstd of off",
                [a / b for a, b in zip(got[name, what, "zstd"],
                                       got[name, what, "off"])], "times")
    result.write()


def bench_encryption():
    """The same bytes into and out of buckets that encrypt and do not."""
    import of_encryption
    result = Result("encryption", "Encryption by the server: AES256 and none")
    server = Server(flags=DEFAULTS + ["--gc-delay", "1s"])
    try:
        got = of_encryption.measure(server, ROUNDS, SECONDS)
    finally:
        server.close()
    for (name, what, mode), values in got.items():
        result.measured(f"{what} of {name}, {mode}",
                        [rate for rate, _ in values], "MB/s")
        result.measured(f"CPU of {what} of {name}, {mode}",
                        [cpu for _, cpu in values], "s/GB")
    for name in of_encryption.SIZES:
        for what in ("PUT", "GET"):
            result.measured(
                f"{what} of {name}, AES256 of plain",
                [a / b for (a, _), (b, _) in zip(got[name, what, "AES256"],
                                                 got[name, what, "plain"])],
                "times")
    result.write()


def bench_seal():
    """Sealing on each library against the bare AEAD of the same library."""
    result = Result("seal", "Sealing and opening, on libcrypto and mbedtls")
    result.text = []
    for program, library in (("bench_seal", "libcrypto"),
                             ("bench_seal_mbed", "mbedtls")):
        done = subprocess.run([os.path.join(BESIDE, program)],
                              capture_output=True, text=True, check=True)
        print(done.stdout, flush=True)
        rows = [json.loads(line) for line in done.stdout.splitlines()]
        rates = {(r["name"], r["algorithm"]): r.get("mb_per_s", r.get("per_s"))
                 for r in rows}
        for algorithm in ("AES-256-GCM", "ChaCha20-Poly1305"):
            for name in ("seal", "open"):
                result.figure(f"{library} {name} {algorithm} against bare",
                              rates[name, algorithm] /
                              rates["plain", algorithm], 0.8)
        result.text += [library, "```", done.stdout.rstrip(), "```"]
    result.write()


def bench_audit():
    """Small objects at every level of the audit log, taking turns."""
    levels = ("none", "denied", "writes", "all")
    result = Result("audit", "The audit log: small objects at each level")
    server = Server(flags=DEFAULTS)
    keys = server.credentials
    got = {}
    try:
        for _ in range(ROUNDS):
            for what in ("put", "get"):
                for level in levels:
                    server.cli("audit", "level", level)
                    time.sleep(0.5)
                    got.setdefault((what, level), []).append(
                        load(server.endpoint, keys, what, "4KiB",
                             32)["ops_per_s"])
        start = time.perf_counter()
        done = server.cli("audit", "verify", timeout=600)
        took = time.perf_counter() - start
        words = done.stdout.decode().split()
        state = json.loads(server.cli("audit", "level", "--json").stdout)
    finally:
        server.close()
    for (what, level), values in got.items():
        result.measured(f"{what.upper()} of 4 KiB, {level}", values, "/s")
    for what in ("put", "get"):
        for level in levels[1:]:
            result.measured(
                f"{what.upper()} of 4 KiB, {level} of none",
                [a / b for a, b in zip(got[what, level], got[what, "none"])],
                "times")
    entries = int(words[3]) - int(words[1]) + 1
    result.measured("verify of the log over HTTP", [entries / took],
                    "entries/s")
    result.measured("decisions dropped", [state["dropped"]], "of "
                    f"{entries + state['dropped']}")
    result.write()


BENCHES = {"codec": bench_codec, "small": bench_small, "large": bench_large,
           "memory": bench_memory, "listing": bench_listing,
           "parts": bench_parts, "cluster": bench_cluster,
           "compression": bench_compression,
           "encryption": bench_encryption, "seal": bench_seal,
           "audit": bench_audit}


def main():
    names = sys.argv[1:] or list(BENCHES)
    failed = []
    for name in names:
        if name not in BENCHES:
            sys.exit(f"bench: no figure {name!r}; there are: "
                     f"{' '.join(BENCHES)}")
    for name in names:
        print(f"{name}:", flush=True)
        try:
            BENCHES[name]()
        except Exception as error:  # the others still run
            failed.append(name)
            print(f"  {name} broke: {error}", flush=True)
    if failed:
        sys.exit(f"bench: could not measure {' '.join(failed)}")


main()
