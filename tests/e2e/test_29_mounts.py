"""Goal: a bucket is used as a folder, by s3fs and by rclone mount.

Method: the real programs over FUSE: files are made, read, appended, renamed,
listed and deleted through the kernel; what stands in the bucket is compared
with what the folder said. Where the kernel has no FUSE, or who runs this may
not mount, the tests are skipped.
"""
import contextlib
import os
import shutil
import signal
import subprocess

import pytest

from server import environment
from util import MIB, blob, eventually, need

pytestmark = pytest.mark.skipif(
    not os.access("/dev/fuse", os.R_OK | os.W_OK), reason="no FUSE here")

LARGE = 12 * MIB + 7  # more than one part


def s3fs(server, bucket, folder, tmp):
    password = os.path.join(tmp, "passwd-s3fs")
    with open(password, "w", encoding="ascii") as file:
        file.write(":".join(server.credentials))
    os.chmod(password, 0o600)
    return [need("s3fs"), bucket, folder, "-f", "-o", "use_path_request_style",
            "-o", f"url={server.endpoint}", "-o", f"passwd_file={password}",
            "-o", "multipart_size=5"]


def rclone(server, bucket, folder, tmp):
    access, secret = server.credentials
    config = os.path.join(tmp, "rclone.conf")
    with open(config, "w", encoding="ascii") as file:
        file.write("[g]\ntype = s3\nprovider = Other\nregion = us-east-1\n"
                   f"access_key_id = {access}\nsecret_access_key = {secret}\n"
                   f"endpoint = {server.endpoint}\n")
    return [need("rclone"), "mount", f"g:{bucket}", folder, "--config", config,
            "--vfs-cache-mode", "writes", "--vfs-write-back", "0s",
            "--dir-cache-time", "0s", "--attr-timeout", "0s",
            "--cache-dir", os.path.join(tmp, "cache")]


def unmount(folder, process):
    fusermount = shutil.which("fusermount3") or need("fusermount")
    if os.path.ismount(folder):
        subprocess.run([fusermount, "-u", "-z", folder], check=True)
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


@pytest.fixture(params=[s3fs, rclone], ids=["s3fs", "rclone"])
def mounted(request, server, s3, tmp):
    """A folder, and the bucket that it shows."""
    bucket = f"mounted-{request.param.__name__}"
    folder = os.path.join(tmp, "folder")
    os.mkdir(folder)
    s3.create_bucket(Bucket=bucket)
    with open(os.path.join(tmp, "log"), "wb") as log:
        process = subprocess.Popen(
            request.param(server, bucket, folder, tmp), stdout=log, stderr=log,
            env=environment(HOME=tmp, PATH="/usr/bin:/bin"))
    try:
        eventually(lambda: os.path.ismount(folder) or
                   process.poll() is not None, timeout=30, what="a mount")
        with open(os.path.join(tmp, "log"), "rb") as log:
            assert os.path.ismount(folder), log.read()
        yield folder, bucket
    finally:
        unmount(folder, process)


def write(path, data, mode="wb"):
    with open(path, mode) as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def read(path):
    with open(path, "rb") as file:
        return file.read()


def test_a_bucket_is_a_folder(mounted, s3, raw):
    folder, bucket = mounted

    def at(*names):
        return os.path.join(folder, *names)

    def stands(key, body):
        """The object, when the program has sent it."""
        eventually(lambda: raw.get(bucket, key).body == body, timeout=30,
                   what=f"{key} in the bucket")

    def gone(key):
        eventually(lambda: raw.head(bucket, key).status == 404, timeout=30,
                   what=f"{key} gone from the bucket")

    # Create.
    write(at("small.txt"), b"first\n")
    write(at("ünï c+d.bin"), blob(5000, 1))
    write(at("empty"), b"")
    write(at("large.bin"), blob(LARGE, 2))
    stands("small.txt", b"first\n")
    stands("ünï c+d.bin", blob(5000, 1))
    stands("empty", b"")
    stands("large.bin", blob(LARGE, 2))
    # Read, also from the middle.
    assert read(at("large.bin")) == blob(LARGE, 2)
    with open(at("large.bin"), "rb") as file:
        file.seek(9 * MIB)
        assert file.read(1000) == blob(LARGE, 2)[9 * MIB:9 * MIB + 1000]
    assert os.stat(at("large.bin")).st_size == LARGE
    # What others put is there.
    s3.put_object(Bucket=bucket, Key="others.txt", Body=b"of others")
    eventually(lambda: os.path.exists(at("others.txt")), timeout=30,
               what="an object of others")
    assert read(at("others.txt")) == b"of others"
    # Append.
    write(at("small.txt"), b"second\n", "ab")
    assert read(at("small.txt")) == b"first\nsecond\n"
    stands("small.txt", b"first\nsecond\n")
    # Rename, into a new folder.
    os.mkdir(at("sub"))
    os.rename(at("small.txt"), at("sub", "renamed.txt"))
    assert read(at("sub", "renamed.txt")) == b"first\nsecond\n"
    stands("sub/renamed.txt", b"first\nsecond\n")
    gone("small.txt")
    # List.
    assert sorted(os.listdir(folder)) == ["empty", "large.bin", "others.txt",
                                          "sub", "ünï c+d.bin"]
    assert os.listdir(at("sub")) == ["renamed.txt"]
    # Delete.
    os.remove(at("sub", "renamed.txt"))
    with contextlib.suppress(FileNotFoundError):  # rclone: none is empty
        os.rmdir(at("sub"))
    os.remove(at("large.bin"))
    gone("sub/renamed.txt")
    gone("large.bin")
    assert sorted(os.listdir(folder)) == ["empty", "others.txt", "ünï c+d.bin"]
    with pytest.raises(FileNotFoundError):
        read(at("large.bin"))
