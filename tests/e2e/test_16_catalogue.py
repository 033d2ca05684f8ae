"""Goal: the catalogue of one server is backed up while it works and while it
stands still, and made again from that; what does not fit is refused by name.
Method: real servers; the file cut and changed byte by byte."""
import os
import subprocess

from server import GODWIT, environment, run_godwit
from util import blob


def catalogue(*arguments):
    return subprocess.run([GODWIT, "catalogue", *arguments],
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, timeout=120,
                          env=environment())


def refused(result, *words):
    assert result.returncode != 0, result.stdout
    for word in words:
        assert word in result.stderr, result.stderr


def kept(s, tmp, name="kept"):
    """A backup of the running server over its folder."""
    path = os.path.join(tmp, name)
    result = catalogue("backup", "--data", s.data, "--output", path)
    assert result.returncode == 0, result.stderr
    assert path in result.stdout
    return path


def test_a_backup_of_a_running_server_is_restored(make_server, tmp):
    s = make_server()
    raw = s.raw()
    raw.request("PUT", "bkt")
    small, large = blob(100), blob(300_000)
    raw.put("bkt", "small", small)
    raw.put("bkt", "large", large)
    path = kept(s, tmp)
    assert os.stat(path).st_mode & 0o777 == 0o600
    raw.put("bkt", "late", b"later")
    raw.delete("bkt", "small")
    s.stop()
    result = catalogue("restore", "--data", s.data, "--from", path)
    refused(result, "has a catalogue", "--force")
    result = catalogue("restore", "--data", s.data, "--from", path, "--force")
    assert result.returncode == 0, result.stderr
    aside = [n for n in os.listdir(s.data) if n.startswith("meta.aside-")]
    assert len(aside) == 1 and aside[0] in result.stdout
    s.start()
    raw = s.raw()
    assert raw.get("bkt", "small").body == small
    assert raw.get("bkt", "large").body == large
    assert raw.get("bkt", "late").status == 404
    assert raw.put("bkt", "after", b"on").status == 200
    s.restart()
    assert s.raw().get("bkt", "after").body == b"on"
    # From elsewhere, by root credentials, and of a stopped server.
    other = os.path.join(tmp, "by-network")
    s.cli("catalogue", "backup", "--output", other)
    s.stop()
    third = os.path.join(tmp, "stopped")
    assert catalogue("backup", "--data", s.data, "--output",
                     third).returncode == 0
    assert os.path.getsize(third) == os.path.getsize(other)
    s.start()


def test_a_backup_makes_a_new_folder_over_the_old_drives(make_server, tmp):
    drives = [os.path.join(tmp, f"d{i}") for i in range(6)]
    flags = [x for d in drives for x in ("--drive", d)]
    env = {"GODWIT_ACCESS_KEY_ID": "TESTKEY",
           "GODWIT_SECRET_ACCESS_KEY": "test-secret"}
    s = make_server(*flags, env=env)
    s.raw().request("PUT", "bkt")
    large = blob(300_000)
    s.raw().put("bkt", "large", large)
    path = kept(s, tmp)
    s.stop()
    t = make_server(*flags, env=env, start=False)
    result = catalogue("restore", "--data", t.data, "--from", path)
    assert result.returncode == 0, result.stderr
    t.start()
    assert t.raw().get("bkt", "large").body == large


def test_what_is_no_whole_backup_is_refused(make_server, tmp):
    s = make_server()
    s.raw().request("PUT", "bkt")
    path = kept(s, tmp)
    refused(catalogue("backup", "--data", s.data, "--output", path),
            path, "is there already")
    refused(catalogue("restore", "--data", s.data, "--from", path),
            "another godwit server uses")
    refused(catalogue("recover", "--data", s.data), "--yes")
    s.stop()
    with open(path, "rb") as file:
        whole = file.read()
    bad = os.path.join(tmp, "bad")
    for change, word in [(whole[:-1], "is torn"), (whole[:100], "is torn"),
                         (whole + b"x", "is torn"),
                         (b"x" + whole[1:], "is no backup"),
                         (whole[:5000] + b"\0\xff" + whole[5002:],
                          "SHA-256")]:
        with open(bad, "wb") as file:
            file.write(change)
        refused(catalogue("restore", "--data", s.data, "--from", bad,
                          "--force"), bad, word)
    other = make_server()
    refused(catalogue("restore", "--data", s.data, "--from",
                      kept(other, tmp, "other"), "--force"),
            "another cluster")
    for what in ("recover", "rejoin"):
        refused(catalogue(what, "--data", s.data, "--yes"), "stands alone")
    refused(catalogue("backup", "--data", os.path.join(tmp, "none"),
                      "--output", bad), "No such file")
    s.start()
    assert s.raw().request("HEAD", "bkt").status == 200


def test_only_root_may_have_it(make_server):
    s = make_server()
    reply = s.raw().request("GET", path="/-/catalogue", sign=False)
    assert reply.status == 403
    assert s.raw().request("HEAD", path="/-/catalogue").status == 405


def test_the_help_says_what_each_does():
    text = run_godwit("catalogue", "--help").stdout
    for word in ("backup", "restore", "recover", "rejoin"):
        assert word in text
