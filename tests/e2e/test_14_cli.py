"""Goal: the godwit command line does what its help says. Method: each command
against a running store, the bytes compared through boto3."""
import json
import os
import signal
import subprocess
import time

from server import GODWIT, environment, run_godwit
from util import MIB, blob, eventually


def test_mb_ls_cp_cat_stat_rm(server, raw, tmp):
    path = os.path.join(tmp, "a b.bin")
    body = blob(300000)
    with open(path, "wb") as file:
        file.write(body)
    server.cli("mb", "s3://cli-basic")
    assert b"cli-basic" in server.cli("ls").stdout
    server.cli("cp", path, "s3://cli-basic/dir/a b.bin")
    assert raw.get("cli-basic", "dir/a b.bin").body == body
    assert b"dir/" in server.cli("ls", "s3://cli-basic").stdout
    assert b"a b.bin" in server.cli("ls", "s3://cli-basic/dir/").stdout
    assert server.cli("cat", "s3://cli-basic/dir/a b.bin").stdout == body
    stat = server.cli("stat", "s3://cli-basic/dir/a b.bin").stdout
    assert b"300000" in stat
    assert raw.head("cli-basic", "dir/a b.bin").headers["etag"].strip(
        '"').encode() in stat
    back = os.path.join(tmp, "back")
    server.cli("cp", "s3://cli-basic/dir/a b.bin", back)
    with open(back, "rb") as file:
        assert file.read() == body
    server.cli("cp", "s3://cli-basic/dir/a b.bin", "s3://cli-basic/copy")
    assert raw.get("cli-basic", "copy").body == body
    server.cli("rm", "s3://cli-basic/dir/a b.bin")
    assert raw.get("cli-basic", "dir/a b.bin").status == 404


def test_large_copies_go_in_parallel_parts(server, raw, tmp):
    path = os.path.join(tmp, "large")
    body = blob(40 * MIB + 3)
    with open(path, "wb") as file:
        file.write(body)
    server.cli("mb", "s3://cli-large")
    server.cli("cp", path, "s3://cli-large/")
    got = raw.get("cli-large", "large")
    assert got.body == body
    assert "-" in got.headers["etag"], "not a multipart upload"
    back = os.path.join(tmp, "back")
    server.cli("cp", "s3://cli-large/large", back)
    with open(back, "rb") as file:
        assert file.read() == body


def test_a_cut_upload_is_resumed(make_server, tmp):
    s = make_server()
    path = os.path.join(tmp, "large")
    body = blob(200 * MIB)
    with open(path, "wb") as file:
        file.write(body)
    s.cli("mb", "s3://cli-resume")
    keys = s.credentials
    env = environment(GODWIT_ENDPOINT=s.endpoint, AWS_ACCESS_KEY_ID=keys[0],
                      AWS_SECRET_ACCESS_KEY=keys[1], HOME=tmp)
    command = [GODWIT, "cp", path, "s3://cli-resume/large"]
    process = subprocess.Popen(command, env=env, stdin=subprocess.DEVNULL,
                               stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL)
    client = s.client()

    def parts():
        out = []
        for upload in client.list_multipart_uploads(
                Bucket="cli-resume").get("Uploads", []):
            out += client.list_parts(
                Bucket="cli-resume", Key="large",
                UploadId=upload["UploadId"]).get("Parts", [])
        return out

    eventually(lambda: len(parts()) >= 2, every=0.01,
               what="the first parts")
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = {p["PartNumber"]: p["LastModified"] for p in parts()}
    assert before
    time.sleep(1.1)
    done = subprocess.run(command, env=env, stdin=subprocess.DEVNULL,
                          capture_output=True, timeout=120)
    assert done.returncode == 0, done.stderr
    got = client.get_object(Bucket="cli-resume", Key="large")
    assert got["Body"].read() == body
    assert "Uploads" not in client.list_multipart_uploads(
        Bucket="cli-resume"), "a second upload was begun beside the first"


def test_rm_and_cp_recursive(server, raw, tmp):
    source = os.path.join(tmp, "tree")
    names = ["a", "b/c", "b/d/e"]
    for name in names:
        os.makedirs(os.path.dirname(os.path.join(source, name)),
                    exist_ok=True)
        with open(os.path.join(source, name), "w") as file:
            file.write(name)
    server.cli("mb", "s3://cli-tree")
    result = server.cli("cp", "-r", source, "s3://cli-tree/to/", check=False)
    if result.returncode != 0:
        assert b"-r" in result.stderr or b"recursive" in result.stderr
        import pytest
        pytest.skip("cp has no -r")
    assert sorted(raw.list_keys("cli-tree")) == [f"to/{n}" for n in names]
    server.cli("rm", "-r", "s3://cli-tree/to/")
    assert raw.list_keys("cli-tree") == {}


def test_errors_say_what_and_why(server, tmp):
    cases = [
        (["cat", "s3://cli-none-such/k"], b"bucket"),
        (["cp", tmp + "/none", "s3://cli-none-such/k"], b"none"),
        (["mb", "s3://Bad_Name"], b"Bad_Name"),
        (["ls", "nonsense"], b"nonsense"),
        (["stat"], b"stat"),
        (["frobnicate"], b"frobnicate"),
    ]
    for arguments, word in cases:
        result = server.cli(*arguments, check=False)
        assert result.returncode not in (0, -6, -11), (arguments, result)
        assert word in result.stderr, (arguments, result.stderr)
        assert result.stdout == b"", arguments


def test_wrong_endpoint_and_credentials_are_told(server):
    result = server.cli("ls", "--endpoint", "http://127.0.0.1:1",
                        check=False)
    assert result.returncode != 0 and b"127.0.0.1:1" in result.stderr
    result = server.cli("ls", check=False,
                        env={"AWS_SECRET_ACCESS_KEY": "wrong"})
    assert result.returncode != 0
    assert b"SignatureDoesNotMatch" in result.stderr or (
        b"signature" in result.stderr.lower())


def test_credentials_from_the_shared_file(server, tmp):
    result = run_godwit(
        "ls", "--endpoint", server.endpoint,
        env={"AWS_SHARED_CREDENTIALS_FILE": server.credentials_path,
             "HOME": tmp})
    assert result.returncode == 0, result.stderr
    result = run_godwit("ls", "--endpoint", server.endpoint,
                        env={"HOME": tmp})
    assert result.returncode != 0 and "credential" in result.stderr.lower()


def test_status_tells_drives_and_use(server):
    said = server.cli("status").stdout.decode()
    assert "drive" in said.lower()
    assert said.count("up") + said.count("ok") >= 1 or "6" in said


def test_verify_of_a_whole_store_finds_nothing(make_server):
    s = make_server()
    client = s.client()
    client.create_bucket(Bucket="bkt")
    for size in (10, 70000, 3 * MIB):
        client.put_object(Bucket="bkt", Key=f"k{size}", Body=blob(size))
    busy = run_godwit("verify", "--data", s.data)
    assert busy.returncode != 0 and s.data in busy.stderr + busy.stdout
    s.stop()
    assert s.verify().returncode == 0


def test_bench_prints_figures_and_json(server):
    for what in ("put", "get", "list", "delete", "mixed"):
        result = server.cli("bench", what, "--size", "10KiB",
                            "--concurrency", "4", "--duration", "500ms",
                            "--json")
        figures = json.loads(result.stdout)
        assert figures["ops_per_s"] > 0, (what, figures)
        assert figures["p50_ms"] <= figures["max_ms"], figures
    text = server.cli("bench", "put", "--size", "10KiB", "--concurrency", "2",
                      "--duration", "300ms").stdout.decode()
    assert "ops/s" in text and "p99" in text


def complete(server, *words):
    """What bash offers for the last of @words."""
    quoted = " ".join(f"'{w}'" for w in words)
    script = f"""
        PATH={os.path.dirname(GODWIT)}:$PATH
        godwit() {{ {GODWIT} "$@"; }}
        source <({GODWIT} completion)
        COMP_WORDS=({quoted}); COMP_CWORD={len(words) - 1}
        COMP_LINE='{" ".join(words)}'
        compopt() {{ :; }}
        _godwit; printf '%s\n' "${{COMPREPLY[@]}}" """
    key, secret = server.credentials[:2]
    done = subprocess.run(["bash", "-c", script], capture_output=True,
                          timeout=30, env=environment(
                              GODWIT_ENDPOINT=server.endpoint,
                              AWS_ACCESS_KEY_ID=key,
                              AWS_SECRET_ACCESS_KEY=secret))
    assert done.stderr == b"", done.stderr
    return done.stdout.decode().split()


def test_bash_completes_commands_options_and_buckets(server):
    assert complete(server, "godwit", "sta") == ["status", "stat"]
    assert "--zone" in complete(server, "godwit", "server", "--")
    assert complete(server, "godwit", "status", "--js") == ["--json"]
    server.cli("mb", "s3://cli-complete")
    assert complete(server, "godwit", "ls", "s3://cli-comp") == [
        "s3://cli-complete"]
    assert complete(server, "godwit", "cp", "/etc/hostn") == ["/etc/hostname"]


def test_output_that_does_not_arrive(server):
    """A full disk is told; a reader that left is not."""
    reader, writer = os.pipe()
    os.close(reader)
    full = os.open("/dev/full", os.O_WRONLY)
    for to, told in ((full, True), (writer, False)):
        result = subprocess.run([GODWIT, "man"], stdout=to, text=True,
                                stderr=subprocess.PIPE, timeout=60)
        os.close(to)
        assert result.returncode == 1, (to, result)
        assert ("write failed" in result.stderr) == told, (to, result)


def test_man_page_and_version(server):
    page = run_godwit("man")
    assert page.returncode == 0 and page.stdout.startswith(".")
    version = run_godwit("--version")
    assert version.returncode == 0 and "0." in version.stdout
