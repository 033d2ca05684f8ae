"""Figures of a cluster: servers are processes on loopback networks of their own
(tests/cluster), so all of them share this machine's processors."""
import statistics
import time

MIB = 1 << 20


def writes_again(cluster, body):
    """Seconds until a write succeeds through any server that lives."""
    start = time.monotonic()
    while True:
        for member in cluster.live():
            try:
                if member.raw().put("bkt", "probe", body).status == 200:
                    return time.monotonic() - start
            except OSError:
                pass
        assert time.monotonic() - start < 60
        time.sleep(0.01)


def leader_times(make, rounds):
    times = []
    with make(3) as cluster:
        assert cluster.raw(0).request("PUT", "bkt").status == 200
        for _ in range(rounds):
            leader = cluster.leader()
            leader.kill9()
            times.append(writes_again(cluster, b"x"))
            leader.start()
            cluster.settle()
            time.sleep(1)
    return times


def at_rest(member, timeout=300):
    end = time.monotonic() + timeout
    while True:
        layout = member.status()["cluster"]["layout"]
        if layout["moves_left"] == 0 and layout["degraded"] == 0:
            return
        assert time.monotonic() < end, member.cli("status").stdout
        time.sleep(0.5)


def with_dead(make, load, rounds, keys):
    """GET and PUT of 1 MiB: whole, and with two of six servers dead."""
    rates = {(what, state): [] for what in ("get", "put")
             for state in ("whole", "two dead")}
    with make(6, ["--drives", "1"]) as cluster:
        gateway = cluster.members[5]
        at_rest(gateway)
        for _ in range(rounds):
            for what in ("put", "get"):
                rates[what, "whole"].append(
                    load(gateway.endpoint, keys, what, "1MiB", 16)["mb_per_s"])
            dead = cluster.members[1:3]
            for member in dead:
                member.kill9()
            assert cluster.raw(5).request("PUT", "bkt").status in (200, 409)
            writes_again(cluster, b"x" * 100_000)
            time.sleep(6)  # until all know who is gone
            for what in ("put", "get"):
                rates[what, "two dead"].append(
                    load(gateway.endpoint, keys, what, "1MiB", 16)["mb_per_s"])
            for member in dead:
                member.start()
            cluster.settle()
            at_rest(gateway)
    return rates


def repair(make, load, keys, count):
    """MB/s at which a dead server's shards are rebuilt, and of GETs."""
    with make(6, ["--drives", "1", "--repair-after", "1s"]) as cluster:
        gateway = cluster.members[0]
        at_rest(gateway)
        body = bytes(range(256)) * (4 * MIB // 256)
        assert cluster.raw(0).request("PUT", "bkt").status == 200
        for i in range(count):
            assert cluster.raw(0).put("bkt", f"k{i}", body).status == 200
        at_rest(gateway)
        reads = load(gateway.endpoint, keys, "get", "4MiB", 4)["mb_per_s"]

        def live_bytes():
            return {d["id"]: d["live_bytes"] for d in
                    gateway.status()["cluster"]["drives"]}
        before = live_bytes()
        victim = cluster.members[5]
        lost = sum(d["live_bytes"] for d in
                   gateway.status()["cluster"]["drives"] if d["server"] == 6)
        own = {d["id"] for d in gateway.status()["cluster"]["drives"]
               if d["server"] == 6}
        victim.kill9()
        first = None
        end = time.monotonic() + 600
        while True:
            now = live_bytes()
            grown = sum(now[d] - before[d] for d in now if d not in own)
            if grown > 0.02 * lost and first is None:
                first = (time.monotonic(), grown)
            if grown >= 0.97 * lost:
                break
            assert time.monotonic() < end, (grown, lost)
            time.sleep(0.1)
        rate = (grown - first[1]) / (time.monotonic() - first[0]) / 1e6
    return rate, reads, lost


def bench(result, make, load, rounds, keys):
    times = leader_times(make, 7)
    result.measured("seconds from kill -9 of the leader to the next write",
                    times, "s")
    result.figure("slowest of 7 new leaders after kill -9", max(times), 2,
                  at_least=False, unit=" s")
    rates = with_dead(make, load, rounds, keys)
    for (what, state), values in rates.items():
        result.measured(f"{what.upper()} 1 MiB, {state}", values, "MB/s")
    for what, bound in (("get", 0.8), ("put", 0.6)):
        result.figure(
            f"{what.upper()} 1 MiB with 2 of 6 servers dead, of whole",
            statistics.median(a / b for a, b in zip(
                rates[what, "two dead"], rates[what, "whole"])), bound)
    rate, reads, lost = repair(make, load, keys, 60)
    result.measured("rebuilt", [rate], "MB/s")
    result.measured("GET 4 MiB of the same cluster", [reads], "MB/s")
    result.figure("bytes read for repair (4 for each rebuilt), of what GETs "
                  "of the same cluster read", 4 * rate / reads, 0.5)
    result.text.append(
        f"The dead server had {lost / 1e6:.0f} MB. All servers, their TLS and "
        "the load share the same processors: what they can carry together is "
        "taken from the GETs of the same cluster.")
    result.write()
