# SPDX-License-Identifier: Apache-2.0
"""`evcache status`: on a real cache, and on processes that answer what a test tells them to."""

import contextlib
import os
import pty
import subprocess

import pytest
from helpers.fakes import OUTCOMES, Fakes, partition, set_virginia
from helpers.system import program, run

# --- a real cache ---

def test_status__quiet_cache__books_close(system):
    s = system(regions=3, zones=2)
    proxy = s.proxy("virginia")
    for n in range(500):
        assert proxy.set(f"key-{n}", b"v" * n) == b"STORED"
    document = s.wait_quiet()
    for pair in document["pairs"]:
        assert pair["unexplained"] == 0 and pair["lost"] == 0, pair
        assert pair["produced"] == sum(pair["outcomes"].values())
        produced = 500 if pair["source"] == "virginia" else 0
        assert pair["produced"] >= produced
    shipped = [p for p in document["pairs"] if p["source"] == "virginia" and p["group"] == "ship"]
    assert {p["destination"] for p in shipped} == {"oregon", "ireland"}
    for pair in shipped:
        assert pair["link"] == "up"
        assert pair["lag_us"]["count"] > 0
        lag = pair["lag_us"]
        assert 0 < lag["p50"] <= lag["p99"] <= lag["p999"] <= lag["max"]
    done = run("status", "--config", s.config)
    assert done.returncode == 0 and done.stderr == ""
    assert "virginia → oregon" in done.stdout and "oregon, repair" in done.stdout
    assert "6 of 6 processes answer" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 120


def test_status__a_process_is_gone__named_exit_3(system):
    s = system(regions=2, zones=1)
    s.stop()
    done = run("status", "--config", s.config)
    assert done.returncode == 3
    assert f"evcache status: virginia/proxy/0 ({s.regions['virginia'].admin}) does not answer" \
        in done.stderr
    assert len(done.stderr.splitlines()) == 4


# --- processes made of a test's numbers ---

@pytest.fixture(name="fakes")
def fakes_fixture(config):
    fakes = Fakes(config)
    with fakes.stack:
        yield fakes


def test_status__every_kind_of_number__adds_up(fakes):
    set_virginia(fakes, [partition(0, applied=10, identical=1, behind=2, late=3, coalesced=4),
                         partition(1, filtered=5, expired=6, gone=7, abandoned=8, backlog=9,
                                   lost=11, duplicate=3)],
                 produced=(15, 40), relay_produced=(5, 3))
    pair = fakes.pair()
    assert pair["produced"] == 63
    assert pair["outcomes"] == dict(zip(OUTCOMES, [10, 1, 2, 3, 4, 5, 6, 7, 8]))
    assert (pair["in_flight"], pair["lost"], pair["duplicate"]) == (9, 11, 3)
    assert pair["unexplained"] == 0 and pair["settled"]
    assert [p["unexplained"] for p in pair["partitions"]] == [0, 0]


def test_status__unexplained__exit_1_after_looking_again(fakes):
    set_virginia(fakes, [partition(0, applied=9), partition(1)], produced=(10, 0))
    done, document = fakes.status()
    assert done.returncode == 1
    assert document["unexplained"] == 1
    assert done.stderr == "evcache status: 1 events are unexplained\n"
    assert fakes.pair()["unexplained"] == 1
    done = run("status", "--config", fakes.path)
    assert done.returncode == 1 and "  1\n" in done.stdout


def test_status__too_much_and_too_little__do_not_cancel(fakes):
    set_virginia(fakes, [partition(0, applied=9), partition(1, applied=11)], produced=(10, 10))
    done, document = fakes.status()
    assert done.returncode == 1 and document["unexplained"] == 2
    assert fakes.pair()["unexplained"] == 0  # the sum; its partitions tell
    assert [p["unexplained"] for p in fakes.pair()["partitions"]] == [1, -1]


def test_status__numbers_that_move__are_not_judged(fakes):
    moving = iter(range(1, 1000))
    original = fakes.answer

    def answer(region, part):
        if (region, part) == ("virginia", "relay"):
            set_virginia(fakes, [partition(0, applied=next(moving)), partition(1)],
                         produced=(10_000, 0))
        return original(region, part)

    fakes.answer = answer
    done, document = fakes.status()
    assert done.returncode == 0
    assert document["unexplained"] == 0 and not document["settled"]
    pair = [p for p in document["pairs"] if p["destination"] == "oregon"][0]
    assert pair["unexplained"] is None or pair["source"] == "oregon"
    assert "moving" in run("status", "--config", fakes.path).stdout


def test_status__settles_at_the_second_look__is_explained(fakes):
    looks = []
    original = fakes.answer

    def answer(region, part):
        if (region, part) == ("virginia", "proxy"):
            looks.append(1)
            fakes.proxy("virginia")["produced"] = [11 if len(looks) == 1 else 10, 0]
        return original(region, part)

    set_virginia(fakes, [partition(0, applied=10), partition(1)], produced=(10, 0))
    fakes.answer = answer
    done, document = fakes.status()
    assert done.returncode == 0 and document["unexplained"] == 0 and len(looks) == 2


def test_status__lag__merged_from_buckets(fakes):
    set_virginia(fakes, [partition(0, applied=99, lag=[[10, 99]]),
                         partition(1, applied=1, lag=[[100, 1]])], produced=(99, 1))
    fakes.relay("virginia")["destinations"][0]["lag_us"]["max"] = 300
    lag = fakes.pair()["lag_us"]
    assert lag["count"] == 100
    assert lag["p50"] == lag["p99"] == 10
    assert lag["max"] == 300 and 10 < lag["p999"] <= 300


def test_status__nonsense_in_answers__is_passed_over(fakes):
    set_virginia(fakes, [partition(0, applied=1, lag=[[99999, 5], "x", [-1, 2], [3]]),
                         partition(7, applied=5), {"partition": "one"}, 17,
                         partition(1)], produced=(1, 0))
    fakes.relay("virginia")["destinations"].append({"region": "mars", "partitions": [partition(0)]})
    done, document = fakes.status()
    assert done.returncode == 0 and document["unexplained"] == 0


def test_status__partitions_grown_beyond_the_file__are_all_there(fakes):
    cells = [partition(0, applied=5), partition(1), partition(2, applied=7, lost=1, lag=[[10, 7]])]
    set_virginia(fakes, cells, produced=(5, 0, 8), relay_produced=(0, 0, 0))
    done, document = fakes.status()
    assert done.returncode == 0 and document["settled"] and document["lost"] == 1
    by_source = {pair["source"]: pair for pair in document["pairs"] if pair["group"] == "ship"}
    assert [p["produced"] for p in by_source["virginia"]["partitions"]] == [5, 0, 8]
    assert len(by_source["oregon"]["partitions"]) == 2  # its own queue has not grown
    assert "partition 2 lost 1 events" in run("status", "--config", fakes.path).stdout
    fakes.relay("virginia")["destinations"][0]["partitions"] = cells[:2]  # no relay has it yet
    pair = fakes.pair()
    assert [p["state"] for p in pair["partitions"]] == ["fine", "fine", "unknown"]
    assert pair["unexplained"] is None


def test_status__link_down_and_feeder_stalled__said(fakes):
    fakes.relay("virginia")["destinations"][0].update(link="down", why="connection refused")
    fakes.proxy("oregon")["feeder"] = {"stalled": True, "error": "the queue is full"}
    fakes.proxy("oregon")["lost_at_journal"] = 12
    fakes.relay("oregon")["repair"].update(slot_conflicts=3, corrupt=2)
    output = run("status", "--config", fakes.path).stdout
    assert "virginia → oregon is down: connection refused" in output
    assert "oregon/proxy/0 cannot feed its queue: the queue is full" in output
    assert "oregon/proxy/0 has lost 12 events" in output
    assert "oregon, repair saw two live producers on one worker slot, 3 times" in output
    assert "oregon, repair could not read 2 records" in output


def test_status__events_wait_in_a_journal__is_late_for_every_destination(fakes):
    now_us = 1_700_000_000_000_000
    waiting = {"waiting": 70, "oldest_us": now_us - 12_500_000}
    fakes.proxy("virginia").update(now_us=now_us, workers=[
        {"journal": {"waiting": 0, "oldest_us": 0}}, {"journal": waiting}])
    pair = fakes.pair()
    assert pair["state"] == "stalled" and pair["waiting_us"] == pair["journal_waiting_us"] == 12_500_000
    assert [p["state"] for p in pair["partitions"]] == ["fine", "fine"]
    assert pair["readiness"]["reasons"] == ["events wait in journals for 12.5 s"]
    assert fakes.status()[1]["journal_waiting"] == 70
    output = run("status", "--config", fakes.path).stdout
    assert "virginia/proxy/0 holds 70 events in its journals, the oldest for 12.5 s" in output
    fakes.relay("virginia")["destinations"][0]["partitions"] = []  # as while no broker answers
    pair = fakes.pair()
    assert [p["state"] for p in pair["partitions"]] == ["unknown", "unknown"]
    assert pair["state"] == "stalled" and pair["readiness"]["reason"] == "not every partition of virginia has a relay"


def test_status__one_partition_stalls__is_named(fakes):
    now_us = 1_700_000_000_000_000
    stalled = partition(1, backlog=70, applied=30, lag=[[10, 30]])
    stalled["oldest_us"] = now_us - 12_500_000
    set_virginia(fakes, [partition(0, applied=900, lag=[[10, 900]]), stalled], produced=(900, 100))
    fakes.relay("virginia")["destinations"][0]["lag_us"]["max"] = 10
    fakes.relay("virginia")["now_us"] = now_us  # its own clock, whatever that says
    pair = fakes.pair()
    assert pair["lag_us"]["p99"] == 10  # the mean looks fine
    assert [p["state"] for p in pair["partitions"]] == ["fine", "stalled"]
    assert pair["state"] == "stalled" and pair["waiting_us"] == 12_500_000
    assert pair["readiness"]["score"] < 50
    assert pair["readiness"]["reasons"] == ["partition 1 is 12.5 s behind"]
    output = run("status", "--config", fakes.path).stdout
    assert ("virginia → oregon partition 1 is stalled: its oldest event waits for 12.5 s, 70 in all"
            in output)


def test_status__events_lost__on_their_partition(fakes):
    set_virginia(fakes, [partition(0, applied=1000), partition(1, applied=900, lost=100)],
                 produced=(1000, 1000))
    pair = fakes.pair()
    assert pair["lost"] == 100 and [p["lost"] for p in pair["partitions"]] == [0, 100]
    assert pair["readiness"]["parts"]["agreement"] == 0
    output = run("status", "--config", fakes.path).stdout
    assert "virginia → oregon partition 1 lost 100 events" in output


def test_status__a_node_is_down__is_named(fakes):
    zone = fakes.regions[1].zones[0]
    fakes.proxy("oregon")["nodes"] = [
        {"node": zone.nodes[0], "zone": zone.name, "state": "down", "why": "connection refused",
         "ops": 3, "errors": 1},
        {"node": "nobody:1", "zone": zone.name, "state": "up"}]
    output = run("status", "--config", fakes.path).stdout
    assert f"{zone.name} node {zone.nodes[0]} is down: connection refused" in output
    _, document = fakes.status()
    assert [node["known"] for node in document["nodes"]] == [False, True]


def test_status__destination_does_not_answer__nobody_may_fail_over_to_it(fakes):
    set_virginia(fakes, [partition(0, applied=1000), partition(1)], produced=(1000, 0))
    assert fakes.pair()["readiness"]["score"] == 100
    fakes.documents["oregon", "proxy"] = {"part": "nothing"}
    assert fakes.pair()["readiness"] == {
        "score": 0, "reason": "no proxy of oregon answers", "parts": {"lag": 0, "backlog": 0, "agreement": 0, "warmth": 0},
        "reasons": ["no proxy of oregon answers"]}


def test_status__stale_canaries__lower_agreement(fakes):
    fakes.relay("oregon")["canaries"] = [{"source": "virginia", "keys": 8, "stale": 2, "missing": 0, "oldest_us": 9},
                                         {"source": "oregon", "keys": 8, "stale": 8}, {"source": "mars"}]
    pair = fakes.pair()
    assert (pair["canaries"], pair["canaries_stale"]) == (8, 2)
    assert pair["readiness"]["score"] == 75
    assert pair["readiness"]["reasons"] == ["2 of 8 canaries are stale"]


def test_status__colours__on_a_terminal_unless_no_color(fakes):
    def shown(**environment):
        leader, follower = pty.openpty()
        subprocess.run([program(), "status", "--config", fakes.path], stdout=follower, check=True,
                       timeout=20, env={**os.environ, "TERM": "xterm", **environment})
        os.close(follower)
        chunks = []
        with contextlib.suppress(OSError):  # the end of a terminal nobody holds
            while chunk := os.read(leader, 65536):
                chunks.append(chunk)
        os.close(leader)
        return b"".join(chunks)

    assert b"\033[32m" in shown()
    assert b"\033" not in shown(NO_COLOR="1")
    assert b"\033" not in shown(TERM="dumb")


def test_status__another_process_on_the_port__does_not_answer(fakes):
    fakes.documents["oregon", "relay"] = {"part": "relay", "cache": "test", "region": "virginia"}
    done, document = fakes.status()
    assert done.returncode == 3 and document["unanswered"] == 1
    assert "oregon/relay/0" in done.stderr
    silent = [p for p in document["processes"] if not p["answered"]]
    assert "is answered by another process" in silent[0]["why"]


def test_status__a_producer_is_missing__its_source_is_not_judged(fakes):
    set_virginia(fakes, [partition(0, applied=9), partition(1)], produced=(10, 0))
    fakes.documents["virginia", "proxy"] = {"part": "nothing"}
    done, document = fakes.status()
    assert done.returncode == 3 and document["unexplained"] == 0
    pair = [p for p in document["pairs"] if p["source"] == "virginia"][0]
    assert pair["unexplained"] is None
    assert [p["unexplained"] for p in document["pairs"] if p["source"] == "oregon"] == [0, 0]


def test_status__several_proxies_and_relays__books_of_all_of_them_are_added_up(system):
    s = system(regions=2, zones=1, proxies=2, relays=2)
    for index in range(2):
        for number in range(20):
            s.proxy("virginia", index).set(f"key-{index}-{number}", b"value")
    document = s.wait_quiet()
    pair = next(pair for pair in document["pairs"]
                if (pair["source"], pair["destination"]) == ("virginia", "oregon"))
    assert pair["produced"] == 40
    assert pair["outcomes"]["applied"] == 40
    assert pair["unexplained"] == 0
