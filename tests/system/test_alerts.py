# SPDX-License-Identifier: Apache-2.0
"""What is under ops/: rules and dashboard against the metrics there are, and alerts by a real Prometheus."""

import contextlib
import json
import os
import re
import signal
import subprocess
import time

from evc import metrics
from evc.ring import Ring
from helpers.prometheus import OPS, PROGRAMS
from helpers.system import TOP
from helpers.timing import assert_in_time

NAMED_S = 15.0  # docs/operations.md
SHOWN_S = 60.0  # what just must come
SUFFIX = re.compile(r"_(bucket|sum|count)$")


def promtool(*arguments):
    done = subprocess.run([PROGRAMS / "promtool", *arguments], cwd=OPS, capture_output=True, text=True,
                          timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_ops__prometheus_example__is_valid():
    assert "SUCCESS" in promtool("check", "config", "prometheus.yml")


def test_ops__alert_rules__hold_in_their_tests():
    assert "SUCCESS" in promtool("test", "rules", "alerts_test.yml")
    rules, tests = (OPS / "alerts.yml").read_text(), (OPS / "alerts_test.yml").read_text()
    alerts = set(re.findall(r"- alert: (\w+)", rules))
    assert len(alerts) > 10
    quiet = set(re.findall(r"- alertname: (\w+)[^\n]*\n +eval_time: \w+\n +exp_alerts: \[\]", tests))
    fires = set(re.findall(r"- alertname: (\w+)[^\n]*\n +eval_time: \w+\n +exp_alerts:\n", tests))
    assert fires == alerts and quiet == alerts


def heading_anchors(page):
    return {re.sub(r"[^\w -]", "", title).lower().replace(" ", "-")
            for title in re.findall(r"(?m)^#+ (.*)$", page)}


def test_ops__alert_rules__say_what_the_documentation_says():
    page = (TOP / "docs" / "operations.md").read_text()
    rows = re.findall(r"(?m)^\| `(Evcache\w+)` \| (page|ticket)(?:, after (\d+) (s|min))? \| (.*) \|$", page)
    documented = {name: (severity, f"{number}{unit[:1]}", what.replace("`", ""))
                  for name, severity, number, unit, what in rows}
    written = re.findall(r"(?s)- alert: (\w+)\n.*?(?:\n +for: (\w+))?\n +labels: {severity: (\w+)}\n"
                         r".*?\n +description: >-\n(.*?)\n +runbook: ([^#]+)#(\S+)\n", (OPS / "alerts.yml").read_text())
    assert documented == {name: (severity, wait, " ".join(description.split()))
                          for name, wait, severity, description, _, _ in written}
    for name, _, _, _, file, anchor in written:
        assert file == "docs/operations.md" and anchor in heading_anchors(page), name


def served(s):
    """The families of all processes, of the first proxy's look at the whole cache too."""
    deadline = time.monotonic() + SHOWN_S
    while True:
        names = set()
        for region in s.regions.values():
            names |= set(metrics.page(region.admin).families) | set(metrics.page(region.relays[0]).families)
        if "evcache_unexplained_events" in names or time.monotonic() > deadline:
            return names
        time.sleep(0.1)


def test_ops__names_in_rules_and_dashboard__are_all_served(system):
    s = system(regions=2, zones=1, canaries="1s")
    names = served(s)
    rules = re.sub(r"(?m)^ *(#.*|- name: .*|- record: .*)$", "", (OPS / "alerts.yml").read_text())
    dashboard = json.loads((OPS / "grafana.json").read_text())
    expressions = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    assert len(expressions) > 20
    for text in [rules, *expressions]:
        used = {SUFFIX.sub("", name) if SUFFIX.sub("", name) in names else name
                for name in re.findall(r"\bevcache_[a-z0-9_]+", text)}
        assert used <= names, used - names
    panels = [panel["id"] for panel in dashboard["panels"]]
    assert len(panels) == len(set(panels))
    # And the other way round: docs/operations.md has a row for each, by its name or, behind another of its row, by its end.
    table = (TOP / "docs" / "operations.md").read_text()
    for name in names:
        ends = [name[at:] for at in range(len(name)) if name[at] == "_"]
        assert f"`{name}`" in table or any(f"`…{end}`" in table for end in ends), name


def test_alerts__one_partition_stands_still__named_within_15_s(system, prometheus):
    """The only zone of oregon has two nodes; one hangs, and only keys of one partition are written for it."""
    s = system(regions=2, zones=1, nodes=2, timeouts="")
    p = prometheus(s)
    ring = Ring(s.regions["oregon"].zones[0].nodes)
    proxy = s.proxy("virginia")
    relay = s.regions["virginia"].relays[0]

    def received():
        page = metrics.page(relay)
        return [page.sum("evcache_replication_received_events_total", destination="oregon", partition=str(n))
                for n in range(4)]

    # Which partition a key is in shows in the books: keys of the node that will hang, one by one.
    by_partition, before = {}, received()
    for n in (n for n in range(1000) if ring.find(b"stuck-%d" % n) == 1):
        assert proxy.set(f"stuck-{n}", b"v") == b"STORED"
        deadline = time.monotonic() + SHOWN_S
        while sum(after := received()) == sum(before):
            assert time.monotonic() < deadline
            time.sleep(0.001)
        (place,) = [index for index in range(4) if after[index] > before[index]]
        before = after
        by_partition.setdefault(place, []).append(f"stuck-{n}")
        if len(by_partition[place]) == 3:
            break
    stuck, fine = by_partition[place], [f"fine-{n}" for n in range(400) if ring.find(b"fine-%d" % n) == 0]
    up, _ = p.wait(lambda p: len(p.query("up == 1")) == 4, SHOWN_S)
    assert up

    def stall():
        pid = s.kill("oregon/node/oregon-a/1", signal.SIGSTOP)
        try:
            for key in stuck:
                proxy.set(key, b"w")
            began = time.monotonic()
            named = None
            while time.monotonic() < began + SHOWN_S and not named:
                for key in fine:
                    proxy.set(key, b"w")
                with contextlib.suppress(OSError):
                    named = p.firing("EvcachePartitionStalled")
                time.sleep(0.05)
            seconds = time.monotonic() - began
            assert [(a["source"], a["destination"], a["partition"]) for a in named] == \
                [("virginia", "oregon", str(place))]
            mean = p.query('evcache:lag_seconds:mean5m{source="virginia"}')
            assert float(mean[0]["value"][1]) < 0.5, mean
            assert p.firing("EvcacheLagBudgetBurn") == []
            assert {alert["node"] for alert in p.firing("EvcacheNodeDown")} <= {s.regions["oregon"].zones[0].nodes[1]}
        finally:
            os.kill(pid, signal.SIGCONT)
        s.wait_quiet()
        over, _ = p.wait(lambda p: p.firing("EvcachePartitionStalled") == [], SHOWN_S)
        assert over
        return seconds

    assert_in_time(NAMED_S, stall)
