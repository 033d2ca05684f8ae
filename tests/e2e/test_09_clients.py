"""Goal: the clients people use work unchanged. Method: awscli, s3cmd, rclone
and curl move real files of several sizes there and back; bytes are compared."""
import filecmp
import os
import urllib.request

import pytest

from server import environment
from util import MIB, blob, md5, need, run

FILES = {"empty.txt": 0, "small.txt": 20, "a b+c.txt": 4096,
         "folder/kilo.bin": 70000, "folder/deep/ünï.bin": 300001,
         "large.bin": 9 * MIB + 5, "larger.bin": 21 * MIB}


@pytest.fixture
def files(tmp):
    """A folder with FILES; a second, empty one beside it."""
    source = os.path.join(tmp, "source")
    for name, size in FILES.items():
        path = os.path.join(source, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(blob(size, name))
    os.mkdir(os.path.join(tmp, "back"))
    return source


def same(a, b, names=FILES):
    """Both folders hold exactly @names with equal bytes."""
    found = []
    for folder, _, leaves in os.walk(b):
        found += [os.path.relpath(os.path.join(folder, leaf), b)
                  for leaf in leaves]
    assert sorted(found) == sorted(names)
    for name in names:
        assert filecmp.cmp(os.path.join(a, name), os.path.join(b, name),
                           shallow=False), name


def keys_of(raw, bucket):
    return {k: size for k, (_, size) in raw.list_keys(bucket).items()}


@pytest.fixture
def aws(server, tmp):
    program = need("aws")
    access, secret = server.credentials
    env = environment(AWS_ACCESS_KEY_ID=access, AWS_SECRET_ACCESS_KEY=secret,
                      AWS_DEFAULT_REGION="us-east-1", AWS_PAGER="",
                      AWS_CONFIG_FILE=os.path.join(tmp, "none"),
                      AWS_SHARED_CREDENTIALS_FILE=os.path.join(tmp, "none"),
                      AWS_EC2_METADATA_DISABLED="true", HOME=tmp,
                      PATH="/usr/bin:/bin", LC_ALL="C.UTF-8")
    return lambda *a, **m: run(program, "--endpoint-url", server.endpoint,
                               *a, env=env, **m).stdout


def test_awscli_copies_there_and_back(server, raw, aws, files, tmp):
    back = os.path.join(tmp, "back")
    assert "make_bucket: aws-files" in aws("s3", "mb", "s3://aws-files")
    aws("s3", "cp", "--recursive", "--only-show-errors", files,
        "s3://aws-files/")
    assert keys_of(raw, "aws-files") == FILES
    assert raw.head("aws-files", "larger.bin").headers["etag"].endswith(
        '-3"')
    listing = aws("s3", "ls", "--recursive", "--summarize",
                  "s3://aws-files/")
    assert f"Total Objects: {len(FILES)}" in listing
    assert f"Total Size: {sum(FILES.values())}" in listing
    assert "PRE folder/" in aws("s3", "ls", "s3://aws-files/")
    aws("s3", "cp", "--recursive", "--only-show-errors", "s3://aws-files/",
        back)
    same(files, back)
    url = aws("s3", "presign", "s3://aws-files/small.txt").strip()
    with urllib.request.urlopen(url) as reply:
        assert reply.read() == blob(20, "small.txt")
    aws("s3", "cp", "--only-show-errors", "s3://aws-files/larger.bin",
        "s3://aws-files/copy.bin")
    assert raw.get("aws-files", "copy.bin").body == blob(21 * MIB,
                                                         "larger.bin")
    aws("s3", "rm", "--recursive", "--only-show-errors", "s3://aws-files/")
    assert keys_of(raw, "aws-files") == {}
    aws("s3", "rb", "s3://aws-files")


def test_awscli_sync_moves_only_what_changed(raw, aws, files, tmp):
    aws("s3", "mb", "s3://aws-sync")
    first = aws("s3", "sync", "--no-progress", files, "s3://aws-sync/")
    assert first.count("upload:") == len(FILES)
    assert "upload:" not in aws("s3", "sync", "--no-progress", files,
                                "s3://aws-sync/")
    with open(os.path.join(files, "small.txt"), "w") as file:
        file.write("changed and longer than it was")
    os.unlink(os.path.join(files, "empty.txt"))
    third = aws("s3", "sync", "--no-progress", "--delete", files,
                "s3://aws-sync/")
    assert third.count("upload:") == 1 and third.count("delete:") == 1
    assert raw.get("aws-sync", "small.txt").body.startswith(b"changed")
    back = os.path.join(tmp, "back")
    aws("s3", "sync", "--only-show-errors", "s3://aws-sync/", back)
    same(files, back, [n for n in FILES if n != "empty.txt"])


def test_awscli_api_commands(aws, raw):
    aws("s3api", "create-bucket", "--bucket", "aws-api")
    assert '"LocationConstraint": null' in aws(
        "s3api", "get-bucket-location", "--bucket", "aws-api")
    assert "aws-api" in aws("s3api", "list-buckets")
    aws("s3api", "head-bucket", "--bucket", "aws-api")
    aws("s3api", "put-object", "--bucket", "aws-api", "--key", "k",
        "--body", "/etc/os-release", "--checksum-algorithm", "SHA256",
        "--metadata", "a=b")
    assert '"a": "b"' in aws("s3api", "head-object", "--bucket", "aws-api",
                             "--key", "k")
    with open("/etc/os-release", "rb") as file:
        assert raw.get("aws-api", "k").body == file.read()


def test_s3cmd_copies_there_and_back(server, raw, files, tmp):
    program = need("s3cmd")
    access, secret = server.credentials
    config = os.path.join(tmp, "s3cfg")
    host = f"127.0.0.1:{server.port}"
    with open(config, "w") as file:
        file.write(f"[default]\naccess_key = {access}\nsecret_key = {secret}\n"
                   f"host_base = {host}\nhost_bucket = {host}\n"
                   "use_https = False\nmultipart_chunk_size_mb = 5\n"
                   "bucket_location = us-east-1\nprogress_meter = False\n")

    def s3cmd(*arguments):
        return run(program, "-c", config, "--no-progress", *arguments,
                   env=environment(HOME=tmp, LC_ALL="C.UTF-8")).stdout

    s3cmd("mb", "s3://s3cmd-files")
    s3cmd("put", "--recursive", files + "/", "s3://s3cmd-files/")
    assert keys_of(raw, "s3cmd-files") == FILES
    assert "small.txt" in s3cmd("ls", "s3://s3cmd-files/")
    assert "DIR" in s3cmd("ls", "s3://s3cmd-files/")
    back = os.path.join(tmp, "back")
    s3cmd("sync", "s3://s3cmd-files/", back + "/")
    same(files, back)
    s3cmd("cp", "s3://s3cmd-files/large.bin", "s3://s3cmd-files/copy.bin")
    assert raw.get("s3cmd-files", "copy.bin").body == blob(9 * MIB + 5,
                                                           "large.bin")
    info = s3cmd("info", "s3://s3cmd-files/small.txt")
    assert md5(blob(20, "small.txt")) in info
    s3cmd("del", "--recursive", "--force", "s3://s3cmd-files/")
    s3cmd("rb", "s3://s3cmd-files")
    assert raw.request("HEAD", "s3cmd-files").status == 404


def test_rclone_copies_and_checks(server, raw, files, tmp):
    program = need("rclone")
    access, secret = server.credentials
    env = environment(
        HOME=tmp, RCLONE_CONFIG=os.path.join(tmp, "rclone.conf"),
        RCLONE_CONFIG_G_TYPE="s3", RCLONE_CONFIG_G_PROVIDER="Other",
        RCLONE_CONFIG_G_ENDPOINT=server.endpoint,
        RCLONE_CONFIG_G_REGION="us-east-1",
        RCLONE_CONFIG_G_ACCESS_KEY_ID=access,
        RCLONE_CONFIG_G_SECRET_ACCESS_KEY=secret,
        RCLONE_S3_UPLOAD_CUTOFF="8M", RCLONE_S3_CHUNK_SIZE="5M")

    open(os.path.join(tmp, "rclone.conf"), "w").close()

    def rclone(*arguments):
        return run(program, "--retries", "1", "--low-level-retries", "1",
                   *arguments, env=env).stdout

    rclone("mkdir", "g:rclone-files")
    rclone("copy", files, "g:rclone-files")
    assert keys_of(raw, "rclone-files") == FILES
    assert "0 differences found" in rclone("check", files, "g:rclone-files")
    assert "0 differences found" in rclone("check", "--download", files,
                                           "g:rclone-files")
    back = os.path.join(tmp, "back")
    rclone("copy", "g:rclone-files", back)
    same(files, back)
    out = rclone("sync", "-v", files, "g:rclone-files")
    assert "Copied" not in out
    assert sorted(rclone("lsf", "g:rclone-files").split("\n"))[1] == (
        "a b+c.txt")
    rclone("moveto", "g:rclone-files/large.bin", "g:rclone-files/m.bin")
    assert raw.get("rclone-files", "m.bin").body == blob(9 * MIB + 5,
                                                         "large.bin")
    rclone("purge", "g:rclone-files")
    assert raw.request("HEAD", "rclone-files").status == 404


def test_curl_with_sigv4(server, raw, files, tmp):
    program = need("curl")
    access, secret = server.credentials
    url = f"{server.endpoint}/curl-files"

    def curl(*arguments):
        return run(program, "--silent", "--show-error", "--fail",
                   "--aws-sigv4", "aws:amz:us-east-1:s3", "--user",
                   f"{access}:{secret}", "-H",
                   "x-amz-content-sha256: UNSIGNED-PAYLOAD", *arguments,
                   env=environment(HOME=tmp)).stdout

    curl("-X", "PUT", url)
    for name in ("small.txt", "large.bin"):
        path = os.path.join(files, name)
        curl("-T", path, f"{url}/{name}")
        out = os.path.join(tmp, "out")
        curl("-o", out, f"{url}/{name}")
        assert filecmp.cmp(path, out, shallow=False)
    curl("-X", "DELETE", f"{url}/small.txt")
    assert keys_of(raw, "curl-files") == {"large.bin": FILES["large.bin"]}
