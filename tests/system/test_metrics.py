# SPDX-License-Identifier: Apache-2.0
"""/metrics of real processes: Prometheus takes it, and it says what the books say."""

import os
import signal
import subprocess
import time

import pytest
from evc import metrics
from helpers.system import TOP

LIMIT_S = 60.0
CANARY_STALE_S = 1.6  # of one every 200 ms (canary_watch.h)
PROMTOOL = TOP / "build" / "prometheus" / "promtool"


def addresses(s):
    """Every admin address of the cache: one per proxy, one per relay."""
    for region in s.regions.values():
        yield region.admin
        yield from region.relays


def relay_page(s, region):
    return metrics.page(s.regions[region].relays[0])


@pytest.fixture(name="cache", scope="module")
def cache_fixture(shared_system):
    s = shared_system(regions=3, zones=2, nodes=2)
    proxy = s.proxy("virginia")
    for n in range(300):
        assert proxy.set(f"key-{n}", b"v" * 100) == b"STORED"
    for n in range(10):
        assert proxy.get(f"key-{n}") == b"v" * 100
    assert proxy.get("nobody wrote this".replace(" ", "-")) is None
    s.wait_quiet()
    return s


def test_metrics__every_process__promtool_finds_nothing(cache):
    for address in addresses(cache):
        done = subprocess.run([PROMTOOL, "check", "metrics"], input=metrics.fetch(address), text=True,
                              capture_output=True, timeout=30, check=False)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", ""), address


def test_metrics__every_family__named_and_typed_as_the_rules_say(cache):
    for address in addresses(cache):
        for name, kind in metrics.page(address).families.items():
            assert name.startswith("evcache_")
            assert (kind == "counter") == name.endswith("_total"), name
            assert kind != "histogram" or name.endswith("_seconds"), name


def test_metrics__quiet_cache__the_books_of_status(cache):
    document = cache.wait_quiet()
    for pair in document["pairs"]:
        page = relay_page(cache, pair["source"])
        labels = {"source": pair["source"], "destination": pair["destination"]}
        for outcome, count in pair["outcomes"].items():
            assert page.sum("evcache_replication_outcomes_total", outcome=outcome, **labels) == count
        assert page.sum("evcache_replication_lost_events_total", **labels) == 0
        assert page.sum("evcache_replication_backlog_events", **labels) == 0
        assert page.sum("evcache_replication_oldest_event_seconds", **labels) == 0
        assert len(page.all("evcache_replication_received_events_total", **labels)) == 4
        produced = (page.sum("evcache_produced_events_total")
                    + metrics.page(cache.regions[pair["source"]].admin)
                    .sum("evcache_produced_events_total"))
        assert produced == pair["produced"]
        if pair["group"] == "ship":
            assert page.sum("evcache_replication_lag_seconds_count", **labels) == \
                pair["lag_us"]["count"]
            assert page.sum("evcache_replication_lag_seconds_bucket", le="+Inf", **labels) == \
                pair["lag_us"]["count"]


def test_metrics__failover_readiness__that_of_status(cache):
    def agreement():
        """What status says, and the page that says the same: a proxy looks every two seconds."""
        _, document = cache.status()
        wanted = {(pair["source"], pair["destination"]): pair["readiness"]["score"]
                  for pair in document["pairs"] if pair["group"] == "ship"}
        page = metrics.page(cache.regions["oregon"].admin)
        told = {(labels["source"], labels["destination"]): value
                for labels, value in page.all("evcache_failover_readiness")}
        return told == wanted and (wanted, page)

    wanted, page = wait_for(agreement)
    for source, destination in wanted:
        parts = page.all("evcache_failover_readiness_part", source=source, destination=destination)
        assert {labels["part"] for labels, _ in parts} == {"lag", "backlog", "agreement", "warmth"}
        assert min(value for _, value in parts) == wanted[source, destination]


def test_metrics__requests_of_an_application__counted_by_command_and_result(cache):
    page = metrics.page(cache.regions["virginia"].admin)
    assert page.sum("evcache_proxy_results_total", command="get", result="hit") == 10
    assert page.sum("evcache_proxy_results_total", command="get", result="miss") == 1
    assert page.sum("evcache_proxy_requests_total", command="set") == 300
    assert page.sum("evcache_proxy_writes_total", result="stored") == 300
    assert page.sum("evcache_proxy_received_bytes_total") > 30000
    assert page.sum("evcache_loop_turn_seconds_count") > 0
    nodes = page.all("evcache_node_up")
    assert len(nodes) == 4 and all(value == 1 for _, value in nodes)
    for labels, _ in nodes:
        answered = page.sum("evcache_node_answer_seconds_count", node=labels["node"])
        assert 0 < answered <= page.sum("evcache_node_operations_total", node=labels["node"])
    oregon = metrics.page(cache.regions["oregon"].admin)
    assert oregon.sum("evcache_proxy_applies_total", result="applied") == 300


def test_metrics__a_node_dies__its_sample_says_so(system):
    s = system(regions=1, zones=2, timeouts="")
    s.kill("virginia/node/virginia-b/0", signal.SIGSTOP)  # silent, not gone
    pid = s.pid("virginia/node/virginia-b/0")
    try:
        proxy = s.proxy("virginia")
        deadline = time.monotonic() + LIMIT_S
        while True:
            proxy.set("key", b"v")
            page = metrics.page(s.regions["virginia"].admin)
            if page.sum("evcache_node_up", zone="virginia-b") == 0 or time.monotonic() > deadline:
                break
            time.sleep(0.05)
        assert page.sum("evcache_node_up", zone="virginia-b") == 0
        assert page.sum("evcache_node_up", zone="virginia-a") == 1
        assert page.sum("evcache_node_unanswered_total", zone="virginia-b") > 0
        assert page.sum("evcache_proxy_zone_failures_total") > 0
    finally:
        os.kill(pid, signal.SIGCONT)


# --- canaries ---

def wait_for(what, limit=LIMIT_S):
    """The first true result of what(); fails with the last one after limit seconds."""
    deadline = time.monotonic() + limit
    while not (result := what()):
        assert time.monotonic() < deadline, "it does not come to pass"
        time.sleep(0.05)
    return result


def test_canaries__no_traffic__every_node_and_partition_is_young(system):
    s = system(regions=2, zones=2, nodes=2, canaries="200ms")

    def is_young(page):
        """Two rounds, the lag, and what a busy machine adds at times: not the minutes of a stale one."""
        ages = [age for _, age in page.all("evcache_canary_node_age_seconds")]
        return (page.sum("evcache_canary_reads_total", result="found") > 2 * page.sum("evcache_canary_keys")
                and page.sum("evcache_canary_stale_keys") == 0 and all(0 < age < CANARY_STALE_S for age in ages))

    def young_pages():
        pages = {name: relay_page(s, name) for name in s.regions}
        return all(is_young(page) for page in pages.values()) and pages

    pages = wait_for(young_pages)
    for name, other in (("virginia", "oregon"), ("oregon", "virginia")):
        page = pages[name]
        labels = {"source": other, "destination": name}
        ages = page.all("evcache_canary_node_age_seconds", **labels)
        assert {own["node"] for own, _ in ages} == \
            {node for zone in s.regions[name].zones for node in zone.nodes}
        assert len(page.all("evcache_canary_partition_age_seconds", **labels)) == 4
        # With no traffic at all, lag is known in every partition.
        for partition in range(4):
            assert page.sum("evcache_replication_lag_seconds_count", source=name, destination=other,
                            partition=str(partition)) > 0
        ahead = page.sum("evcache_link_clock_ahead_seconds", source=name, destination=other)
        round_trip = page.sum("evcache_link_round_trip_seconds", source=name, destination=other)
        assert round_trip > 0 and abs(ahead) < 0.5 + round_trip  # one machine, one clock
    code, document = s.status()
    assert code == 0 and document["unexplained"] == 0


def test_canaries__a_node_hangs__its_canaries_alone_grow_old(system):
    s = system(regions=2, zones=1, nodes=2, canaries="200ms", timeouts="")
    wait_for(lambda: relay_page(s, "oregon").sum("evcache_canary_stale_keys") == 0)
    name = "oregon/node/oregon-a/1"
    pid = s.kill(name, signal.SIGSTOP)
    good, bad = s.regions["oregon"].zones[0].nodes

    def one_is_old():
        page = relay_page(s, "oregon")
        age = {labels["node"]: age for labels, age in page.all("evcache_canary_node_age_seconds")}
        return (page.sum("evcache_canary_stale_keys") > 0 and page.sum("evcache_canary_reads_total", result="unanswered") > 0
                and age.get(good, CANARY_STALE_S) < CANARY_STALE_S < age.get(bad, 0))

    try:
        wait_for(one_is_old)
    finally:
        os.kill(pid, signal.SIGCONT)
    wait_for(lambda: relay_page(s, "oregon").sum("evcache_canary_stale_keys") == 0)
