"""Figures of encryption: PUT and GET of the same bytes in a bucket whose default
is AES256 and in one that has none, taking turns."""
import os

from turns import rate, urls

KIB, MIB = 1 << 10, 1 << 20
SIZES = {"64 MiB": 64 * MIB, "64 KiB": 64 * KIB}
MODES = ("plain", "AES256")


def measure(server, rounds, seconds):
    """{(size, PUT or GET, plain or AES256): what rate gives}."""
    client = server.client()
    got = {}
    for mode in MODES:
        client.create_bucket(Bucket=f"bench-{mode.lower()}")
    client.put_bucket_encryption(
        Bucket="bench-aes256", ServerSideEncryptionConfiguration={
            "Rules": [{"ApplyServerSideEncryptionByDefault": {
                "SSEAlgorithm": "AES256"}}]})
    for _ in range(rounds):
        for name, size in SIZES.items():
            body = os.urandom(size)
            for what in ("PUT", "GET"):
                for mode in MODES:
                    targets = urls(client, f"bench-{mode.lower()}", what, name)
                    got.setdefault((name, what, mode), []).append(
                        rate(server, what, targets, body, seconds))
    return got
