# SPDX-License-Identifier: Apache-2.0
"""Programs that use libevcache: what they store is in every zone and region, and in the books."""

import pathlib
import signal
import subprocess
import time

import pytest

from evc import metrics
from helpers.system import program

EXAMPLES = pathlib.Path(program()).resolve().parents[2] / "examples"
RUN_LIMIT_S = 60
FIRST_SLOT = 832  # of the library's


@pytest.fixture(name="cache", scope="module")
def cache_fixture(shared_system):
    return shared_system(regions=2, zones=2, nodes=2)


def run(example, cache, *arguments, text=""):
    """Runs an example to its end; what it has printed."""
    done = subprocess.run([EXAMPLES / example, cache.config, "virginia", *map(str, arguments)],
                          input=text, capture_output=True, text=True, timeout=RUN_LIMIT_S, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""  # a library has nothing to say there
    return done.stdout


def start_poll(cache):
    """examples/poll.c, to be talked to line by line."""
    return subprocess.Popen([EXAMPLES / "poll", cache.config, "virginia"], stdin=subprocess.PIPE,
                            stdout=subprocess.PIPE, text=True)


def say(child, line):
    child.stdin.write(line + "\n")
    child.stdin.flush()
    return child.stdout.readline().strip()


def test_blocking__every_kind_of_call__is_in_every_region(cache):
    printed = run("blocking", cache, "virginia-b")
    assert printed.splitlines() == ["set: ok", "  zone virginia-a: ok", "  zone virginia-b: ok", "get: Ada",
                                    "cas: ok", "incr: 1", "delete: ok"]
    cache.wait_quiet()
    assert set(cache.values("example:user").values()) == {None}
    assert set(cache.values("example:visits").values()) == {b"1"}
    cache.assert_converged(["example:user", "example:visits"])


def test_libuv__a_thousand_at_once__all_are_replicated_and_counted(cache):
    assert run("libuv", cache, 1000) == "stored 1000, found 1000, failed 0\n"
    document = cache.wait_quiet()  # its books close, with what the library has produced
    assert document["lost"] == 0
    page = metrics.page(cache.regions["virginia"].admin)
    assert page.sum("evcache_journal_size_bytes", slot=str(FIRST_SLOT)) > 0
    assert page.sum("evcache_journal_waiting_events", slot=str(FIRST_SLOT)) == 0
    assert page.sum("evcache_produced_events_total") >= 1000
    oregon = cache.proxy("oregon")
    for i in range(0, 1000, 37):
        assert oregon.get(f"example:{i}") == f"value {i}".encode()


def test_poll__beside_a_proxy__each_sees_what_the_other_stores(cache):
    proxy = cache.proxy("virginia")
    with start_poll(cache) as child:
        assert say(child, "poll:1 from the library") == "poll:1: ok"
        assert proxy.get("poll:1") == b"from the library"
        assert proxy.set("poll:2", b"from the proxy") == b"STORED"
        assert say(child, "poll:2") == "poll:2: ok, from the proxy"
        assert proxy.delete("poll:1") == b"DELETED"
        assert say(child, "poll:1") == "poll:1: not found"
        child.stdin.close()
        assert child.wait(RUN_LIMIT_S) == 0
    cache.wait_quiet()
    assert set(cache.values("poll:2").values()) == {b"from the proxy"}


def test_killed__what_it_left_in_its_journal__is_counted_and_fed_by_the_next(cache):
    with start_poll(cache) as child:
        assert say(child, "left:1 one") == "left:1: ok"
        child.send_signal(signal.SIGKILL)
        child.wait()
    with start_poll(cache) as child:
        assert say(child, "left:1") == "left:1: ok, one"
        child.stdin.close()
        assert child.wait(RUN_LIMIT_S) == 0
    cache.wait_quiet()
    assert set(cache.values("left:1").values()) == {b"one"}


def test_killed__amid_many_writes__the_books_close_and_all_copies_agree(cache):
    with subprocess.Popen([EXAMPLES / "libuv", cache.config, "virginia", "60000"],
                          stdout=subprocess.DEVNULL) as child:
        proxy = cache.proxy("virginia")
        deadline = time.monotonic() + RUN_LIMIT_S
        while proxy.get("example:20000") is None:
            assert time.monotonic() < deadline
        child.send_signal(signal.SIGKILL)
        child.wait()
    run("blocking", cache)  # takes the slot over
    cache.wait_quiet()
    cache.assert_converged([f"example:{i}" for i in range(0, 60000, 1501)])


def test_zone_lost__reads_and_writes_go_on_and_the_zone_is_repaired(cache):
    with start_poll(cache) as child:
        for i in range(20):
            assert say(child, f"lost:{i} before") == f"lost:{i}: ok"
        nodes = [f"virginia/node/virginia-a/{n}" for n in range(2)]
        old = {name: cache.kill(name) for name in nodes}
        for i in range(20):
            assert say(child, f"lost:{i} after") == f"lost:{i}: ok"
            assert say(child, f"lost:{i}") == f"lost:{i}: ok, after"
        for name, pid in old.items():
            cache.wait_restarted(name, pid)
        child.stdin.close()
        assert child.wait(RUN_LIMIT_S) == 0
    cache.wait_quiet()
    deadline = time.monotonic() + RUN_LIMIT_S
    while any(set(cache.values(f"lost:{i}").values()) != {b"after"} for i in range(20)):
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_open__no_queue_there__is_refused_and_nothing_is_made(config, tmp_path):
    path, _ = config(regions=1)
    done = subprocess.run([EXAMPLES / "blocking", path, "virginia"], capture_output=True, text=True,
                          timeout=RUN_LIMIT_S, check=False)
    assert done.returncode == 1
    assert "no queue of region virginia" in done.stderr
    assert not (tmp_path / "run").exists()
