# SPDX-License-Identifier: Apache-2.0
"""100 events that were really dropped from a queue: everything that tells of a cache tells of them, where they were lost."""

import contextlib
import json
import time
import urllib.request

from evc import metrics
from helpers import queue
from helpers.browser import chromium
from helpers.system import program, run
from helpers.terminal import Terminal

DROPPED = 100
PARTITION = 2
SHOWN_S = 60.0  # on a busy machine


def produced(region):
    """Events per partition, of a region's proxy."""
    with urllib.request.urlopen(f"http://{region.admin}/status.json", timeout=5) as response:
        return json.load(response)["produced"]


def write_until(proxy, region, count, prefix):
    """Writes keys one by one until count of them were events of PARTITION; returns those, and the others."""
    there, elsewhere = [], []
    before = produced(region)
    while len(there) < count:
        key = f"{prefix}-{len(there) + len(elsewhere)}"
        assert proxy.set(key, b"value") == b"STORED"
        wait(lambda: sum(produced(region)) == sum(before) + 1, "its event")
        after = produced(region)
        (there if after[PARTITION] > before[PARTITION] else elsewhere).append(key)
        before = after
    return there, elsewhere


def wait(condition, what):
    deadline = time.monotonic() + SHOWN_S
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.001)


def drop_events(s, proxy):
    """Returns the keys of the dropped events, and of those around them."""
    virginia = s.regions["virginia"]
    first, more = write_until(proxy, virginia, 1, "before")
    s.wait_quiet()
    with s.without_restarts():
        relay = s.kill("virginia/relay/0")
        dropped, others = write_until(proxy, virginia, DROPPED, "key")
        wait(lambda: metrics.page(virginia.admin).sum("evcache_journal_waiting_events") == 0, "all events in the queue")
        directory = s.directory / "run" / "queue" / "virginia"
        assert queue.drop(directory, "oregon", PARTITION) == DROPPED
    s.wait_restarted("virginia/relay/0", relay)
    last, yet_more = write_until(proxy, virginia, 1, "after")  # its number shows the gap
    return dropped, first + more + others + last + yet_more


def test_lost__events_dropped__counted_where_they_were_lost_by_every_view(system, prometheus):
    s = system(regions=3, zones=1)
    proxy = s.proxy("virginia")
    with contextlib.ExitStack() as stack:
        page = stack.enter_context(chromium())
        terminal = Terminal([program(), "top", "--config", str(s.config)])
        stack.callback(terminal.close)
        p = prometheus(s)
        assert p.wait(lambda p: len(p.query("evcache_replication_lost_events_total == 0")) == 3 * 3 * 4, SHOWN_S)[0]

        dropped, others = drop_events(s, proxy)
        document = s.wait_quiet()

        # What is lost is lost: those keys did not reach oregon, everything else is everywhere.
        for key in dropped:
            assert s.values(key) == {"virginia-a": b"value", "oregon-a": None, "ireland-a": b"value"}
        for key in others:
            assert set(s.values(key).values()) == {b"value"}

        lost = {(pair["source"], pair["destination"], cell["partition"]): cell["lost"]
                for pair in document["pairs"] for cell in pair["partitions"] if cell["lost"]}
        assert lost == {("virginia", "oregon", PARTITION): DROPPED} and document["unexplained"] == 0
        text = run("status", "--config", s.config).stdout
        assert f"virginia → oregon partition {PARTITION} lost {DROPPED} events" in text
        assert text.count(f"lost {DROPPED}") == 1

        # In its direction, and in the line of what needs attention.
        terminal.wait(lambda text: text.count(f"lost {DROPPED}") == 2 and text.count("lost 0") == 5)

        page.driver.get(f"http://{s.regions['ireland'].admin}/")
        page.wait(lambda: page.cells("books").get("virginia→oregon", {}).get("lost") == str(DROPPED), SHOWN_S, "the loss")
        assert {pair for pair, row in page.cells("books").items() if row["lost"] != "0"} == {"virginia→oregon"}
        heat = page.cells("heat")["virginia→oregon"]
        assert [name for name, cell in heat.items() if "lost" in cell] == [f"partition {PARTITION}"]
        assert f"virginia → oregon partition {PARTITION} lost {DROPPED} events" in page.text("#notes")

        labels = {"source": "virginia", "destination": "oregon", "partition": str(PARTITION)}
        family = "evcache_replication_lost_events_total"
        assert [(own, value) for region in s.regions.values()
                for own, value in metrics.page(region.relays[0]).all(family) if value] == [(labels, DROPPED)]
        firing, _ = p.wait(lambda p: p.firing("EvcacheEventsLost"), SHOWN_S)
        assert [labels.items() <= alert.items() for alert in firing or ()] == [True], firing
        terminal.press("q")
        assert terminal.end() == 0
