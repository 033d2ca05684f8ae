"""Goal: /-/metrics is what Prometheus wants, and the alerts and the dashboard
ask for nothing that it has not. Method: read them, and the runbooks, against a
live server; with promtool, where there is one, also its own judgement."""
import json
import os
import re
import shutil
import subprocess

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.join(HERE, "..", "..")
GRAFANA = os.path.join(TOP, "packaging", "grafana")


def read(*path):
    with open(os.path.join(*path)) as file:
        return file.read()


def exposition(server):
    reply = server.raw().request("GET", path="/-/metrics", sign=False)
    assert reply.status == 200
    return reply.body.decode()


def families(text):
    return dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.M))


def asked(text):
    return {re.sub(r"_(bucket|sum|count)$", "", name)
            for name in re.findall(r"\bgodwit_\w+", text)}


def alerts():
    return re.findall(r"- alert: (\w+)", read(GRAFANA, "alerts.yml"))


def test_every_metric_has_help_a_type_and_a_name_as_prometheus_wants(server):
    text = exposition(server)
    kinds = families(text)
    assert len(kinds) > 30
    assert set(re.findall(r"^# HELP (\S+) .", text, re.M)) == set(kinds)
    for name, kind in kinds.items():
        assert name.endswith("_total") == (kind == "counter"), (name, kind)


def test_alerts_and_dashboard_ask_for_what_there_is(server):
    there = set(families(exposition(server)))
    rules = re.sub(r"job=\"godwit\"", "", read(GRAFANA, "alerts.yml"))
    for name, text in (("alerts.yml", rules),
                       ("dashboard.json", read(GRAFANA, "dashboard.json"))):
        wanted = asked(text)
        assert len(wanted) > 10, name
        assert not wanted - there, (name, wanted - there)
    panels = json.loads(read(GRAFANA, "dashboard.json"))["panels"]
    assert len({p["id"] for p in panels}) == len(panels)


def test_every_alert_has_its_runbook():
    names = alerts()
    assert len(names) > 10
    page = read(TOP, "docs", "OPERATE.md")
    missing = [n for n in names if f"**{n}**" not in page]
    assert not missing
    assert not set(re.findall(r"\*\*(Godwit\w+)\*\*", page)) - set(names)


def test_counts_of_what_was_done_grow(server, raw):
    before = server.metrics()
    assert raw.request("PUT", "metrics-grow").status == 200
    assert raw.put("metrics-grow", "k", b"x" * 100000).status == 200
    after = server.metrics()
    for name in ("godwit_chunks_written_total",
                 "godwit_catalogue_commands_total",
                 "godwit_catalogue_applied_index",
                 "godwit_catalogue_objects", "godwit_catalogue_buckets"):
        assert after[name] > before[name], name
    assert after["godwit_ready"] == 1
    assert after["godwit_catalogue_leader"] == 1
    assert after["godwit_cluster_servers_silent"] == 0


@pytest.mark.skipif(shutil.which("promtool") is None,
                    reason="promtool is of Debian's prometheus")
def test_promtool_finds_nothing(server):
    rules = subprocess.run(
        ["promtool", "check", "rules", os.path.join(GRAFANA, "alerts.yml")],
        capture_output=True, text=True)
    assert rules.returncode == 0, rules.stdout + rules.stderr
    metrics = subprocess.run(["promtool", "check", "metrics"],
                             input=exposition(server), capture_output=True,
                             text=True)
    assert metrics.returncode == 0, metrics.stdout + metrics.stderr
