# SPDX-License-Identifier: Apache-2.0
"""`evcache verify`: differences planted past evcache on a real cache are found, counted apart and repaired."""

import json
import os
import re
import signal
import subprocess
import threading
import time

import pytest
from evc.memcache import is_tombstone
from helpers import wrong_clock
from helpers.bare import version
from helpers.system import program, run
from helpers.terminal import Terminal

KEYS = [b"key-%d" % number for number in range(6000)]
LIFE_S = 3600
MINUTE = 60_000 << 23  # of a version


@pytest.fixture(name="cache", scope="module")
def cache_fixture(shared_system):
    s = shared_system(regions=2, zones=2, nodes=2, canaries="100ms", extra=(
        "policies:\n"
        "  - {prefix: 'row:', replicate: invalidate}\n"
        "  - {prefix: 'own:', replicate: none}\n"))
    client = s.proxy("virginia")
    set_all(client, KEYS)
    set_all(client, [b"row:%d" % n for n in range(40)])
    set_all(client, [b"own:%d" % n for n in range(30)])
    set_all(s.proxy("oregon"), [b"own:%d" % n for n in range(20)], b"another")
    client.send(b"ms dHdvIHdvcmRz 1 b\r\nx\r\n")  # "two words"
    assert client.line() == b"HD"
    for key in KEYS[-50:]:
        assert client.delete(key) == b"DELETED"
    client.ask(b"mg missing N30")  # leaves a lease
    wait_alike(s)
    return s


def wait_alike(s):
    """Canaries never rest, so there is no quiet to wait for: until all copies agree."""
    deadline = time.monotonic() + 60
    while run("verify", "--config", s.config).returncode or verify(s)["missing"]:
        assert time.monotonic() < deadline
        time.sleep(0.1)


def set_all(client, keys, value=b"value", exptime=LIFE_S):
    client.send(b"".join(b"set %s 7 %d %d\r\n%s\r\n" % (key, exptime, len(value), value) for key in keys))
    assert client.lines(len(keys)) == [b"STORED"] * len(keys)


def verify(s, *arguments, code=0):
    done = run("verify", "--config", s.config, "--json", *arguments)
    assert done.returncode == code, (done.stdout, done.stderr)
    return json.loads(done.stdout)


def zones(document, member):
    return {zone["zone"]: zone[member] for zone in document["zones"] if zone[member]}


def write_past(s, region, zone, key, value, version, flags=7, ttl=LIFE_S):
    client = s.owner(region, zone, key)
    client.send(b"ms %s %d T%d F%d E%d\r\n%s\r\n" % (key, len(value), ttl, flags, version, value))
    assert client.line() == b"HD"


def plant(s):
    """Differences of every kind: {state: {zone: count}}. Versions are those of the other copies."""
    version = {key: s.copies(key)["virginia-a"].cas for key in KEYS[:30]}
    for key in KEYS[:7]:
        write_past(s, "oregon", 0, key, b"older", version[key] - MINUTE)
    for key in KEYS[5:9]:
        write_past(s, "virginia", 1, key, b"older", version[key] - MINUTE)
    for key in KEYS[10:15]:
        assert s.owner("oregon", 1, key).ask(b"md " + key) == b"HD"
    for key in KEYS[20:22]:
        assert s.owner("virginia", 0, key).set(key, b"past evcache") == b"STORED"
    assert s.owner("oregon", 1, b"own:3").ask("md own:3") == b"HD"
    return {"behind": {"oregon-a": 7, "virginia-b": 4}, "missing": {"oregon-b": 6},
            "foreign": {"virginia-a": 2}, "different": {}}


def test_verify__all_alike__says_so_and_respects_policies(cache):
    document = verify(cache)
    # 20 of the keys that stay at home are in both regions: strangers, counted in each.
    assert document["keys"] == len(KEYS) + 1 + 40 + 30 + 20 and document["passes"] == 1
    pair, = document["pairs"]
    assert pair["regions"] == ["virginia", "oregon"] and pair["keys"] == pair["alike"] == len(KEYS) + 1 + 40
    assert zones(document, "keys") == {"virginia-a": 6071, "virginia-b": 6071, "oregon-a": 6061, "oregon-b": 6061}
    assert zones(document, "alike") == zones(document, "keys")
    text = run("verify", "--config", cache.config)
    assert text.returncode == 0 and text.stderr == "" and text.stdout.endswith("all copies agree\n")
    assert "virginia = oregon  6,041  6,041  100 %" in text.stdout
    assert max(map(len, text.stdout.splitlines())) <= 100
    only = verify(cache, "--prefix", "row:", "--region", "oregon")
    assert only["keys"] == 40 and only["pairs"] == [] and set(zones(only, "keys")) == {"oregon-a", "oregon-b"}


def test_verify__planted_differences__found_exactly_in_one_pass_and_in_several_and_repaired(cache):
    s = cache
    planted = plant(s)
    one = verify(s, code=1)
    several = verify(s, "--memory", "256KiB", code=1)
    assert one["passes"] == 1 and several["passes"] > 1
    for document in (one, several):
        assert {state: zones(document, state) for state in planted} == planted
        assert (document["stale"], document["stale_left"], document["missing"]) == (11, 11, 6)
        pair, = document["pairs"]
        assert {state: pair[state] for state in planted} == {"behind": 9, "missing": 5, "different": 0, "foreign": 2}
        assert pair["alike"] == pair["keys"] - 16
        assert len(document["differing"]) == 17
        assert {d["state"] for d in document["differing"] if d["key"] in ("key-0", "key-6")} == {"behind"}
    text = run("verify", "--config", s.config)
    assert text.returncode == 1 and text.stderr == (
        "evcache verify: keys with a copy that is behind, different or foreign: 11\n")
    assert f"one of them: evcache explain --config {s.config} " in text.stdout
    assert max(len(line) for line in text.stdout.splitlines() if "explain" not in line) <= 100

    repaired = verify(s, "--repair")
    assert (repaired["stale"], repaired["stale_left"]) == (11, 0)
    assert zones(repaired, "repaired") == {"oregon-a": 7, "virginia-b": 4, "oregon-b": 6, "virginia-a": 2}
    assert not zones(repaired, "late") and not zones(repaired, "failed")
    assert s.values(KEYS[0]) == dict.fromkeys(["virginia-a", "virginia-b", "oregon-a", "oregon-b"], b"value")
    copies = s.copies(KEYS[12])
    assert abs(copies["oregon-b"].ttl - copies["oregon-a"].ttl) <= 5 and copies["oregon-b"].flags == 7
    assert s.values(b"own:3")["oregon-b"] == b"another"
    after = verify(s)
    assert (after["stale"], after["missing"], after["differing"]) == (0, 0, [])


def test_verify__same_version_but_another_value__is_different_and_not_touched(cache):
    s = cache
    version = s.copies(KEYS[40])["virginia-a"].cas
    write_past(s, "oregon", 0, KEYS[40], b"another value", version)
    write_past(s, "virginia", 1, KEYS[41], b"value", s.copies(KEYS[41])["virginia-a"].cas, ttl=0)
    write_past(s, "virginia", 1, KEYS[42], b"value", s.copies(KEYS[42])["virginia-a"].cas, flags=8)
    document = verify(s, "--repair", code=1)
    assert document["stale_left"] == 3 and sum(zones(document, "different").values()) == 3
    assert sum(zones(document, "failed").values()) == 3 and not zones(document, "repaired")
    assert s.values(KEYS[40])["oregon-a"] == b"another value"
    set_all(s.proxy("virginia"), KEYS[40:43])
    wait_alike(s)


def test_verify__a_version_of_a_bad_clock__counts_for_nothing_and_is_repaired(cache):
    s = cache
    write_past(s, "oregon", 0, KEYS[60], b"of the future", s.copies(KEYS[60])["virginia-a"].cas + 30 * MINUTE)
    document = verify(s, "--repair")
    assert document["stale"] == 1 and zones(document, "foreign") == zones(document, "repaired") == {"oregon-a": 1}
    assert s.values(KEYS[60])["oregon-a"] == b"value"


@pytest.mark.parametrize("arguments", [["verify", "--repair"], ["warm", "--region", "oregon", "--from", "virginia"]])
def test_verify__a_clock_that_is_behind__nothing_is_done(cache, tmp_path, arguments):
    s = cache
    key = KEYS[61]
    set_all(s.proxy("virginia"), [key], b"newer")
    wait_alike(s)
    newer = s.copies(key)["virginia-a"].cas
    write_past(s, "oregon", 0, key, b"older", newer - 60 * MINUTE)
    done = run(arguments[0], "--config", s.config, *arguments[1:], environment=wrong_clock.environment(tmp_path, -600))
    # By that clock the newer ones are a bad clock's, and the older would replace them.
    assert (done.returncode, done.stdout) == (1, "")
    assert re.fullmatch(rf"evcache {arguments[0]}: this machine's clock is (59|60)\d s behind that of "
                        r"127\.0\.0\.1:\d+, and behind 8 of 8 nodes: mend it, or run this elsewhere\n", done.stderr)
    assert s.values(key)["virginia-a"] == b"newer"
    assert verify(s, "--repair")["stale"] == 1 and s.values(key)["oregon-a"] == b"newer"


def test_verify__a_clock_that_is_ahead__the_same_is_compared(cache, tmp_path):
    s = cache
    done = run("verify", "--config", s.config, "--json", environment=wrong_clock.environment(tmp_path, LIFE_S + 900))
    assert json.loads(done.stdout)["keys"] == verify(s)["keys"] > len(KEYS)  # none is over by then


def test_verify__missing_and_older_than_tombstones_live__is_late_and_stays_a_miss(cache):
    s = cache
    old = s.copies(KEYS[0])["virginia-a"].cas - 120 * MINUTE
    for region, zone in (("virginia", 0), ("virginia", 1), ("oregon", 0)):
        write_past(s, region, zone, b"ancient", b"value", old, ttl=0)
    document = verify(s, "--repair")
    assert (document["stale"], document["missing"]) == (0, 1)
    assert zones(document, "late") == {"oregon-b": 1} and s.values(b"ancient")["oregon-b"] is None
    write_past(s, "oregon", 1, b"ancient", b"value", old, ttl=0)  # no expiry that would differ by what the repair took


def test_verify__invalidated_elsewhere__a_stale_row_is_repaired_with_a_tombstone(cache):
    s = cache
    version = s.copies(b"row:1")["virginia-a"].cas
    write_past(s, "oregon", 0, b"row:1", b"older", version - MINUTE)
    document = verify(s, "--repair")
    assert document["stale"] == 1 and zones(document, "repaired") == {"oregon-a": 1}
    assert is_tombstone(s.copies(b"row:1")["oregon-a"]) and s.values(b"row:1")["virginia-a"] == b"value"


def test_verify__under_traffic__no_false_alarm(cache):
    s = cache
    is_over = threading.Event()

    def write(region, first):
        client = s.proxy(region)
        while not is_over.is_set():
            set_all(client, KEYS[first:first + 200], b"%d" % time.monotonic_ns())
            time.sleep(0.02)

    threads = [threading.Thread(target=write, args=("virginia", 100)), threading.Thread(target=write, args=("oregon", 1000))]
    for thread in threads:
        thread.start()
    try:
        for _ in range(3):
            document = verify(s, "--repair", "--lag", "10s")
            assert (document["stale"], document["missing"]) == (0, 0), document
    finally:
        is_over.set()
        for thread in threads:
            thread.join()
    wait_alike(s)


def test_verify__evicted_between_walk_and_look__the_other_copies_are_judged(bare):
    b = bare(regions=3, zones=1)
    walks = []

    def evict_before_the_second(data):
        walks.extend([None] * data.count(b"metadump"))
        if len(walks) == 2:
            b.client("virginia-a").ask("md key")
            b.client("virginia-a").ask("md only")

    b.between("virginia-a", evict_before_the_second)
    b.put("virginia-a", b"key", b"newer", version(age_s=10))
    b.put("oregon-a", b"key", b"newer", version(age_s=10))
    b.put("ireland-a", b"key", b"older", version(age_s=60))
    b.put("virginia-a", b"only", b"value", version(age_s=10))
    document = verify(b, code=1)
    assert (document["keys"], document["stale"], document["gone"]) == (1, 1, 1)
    assert zones(document, "missing") == {"virginia-a": 1} and zones(document, "behind") == {"ireland-a": 1}


def test_verify__stopped_while_a_write_may_be_on_its_way__nothing_is_said_of_the_key(bare):
    b = bare(regions=2, zones=1)
    b.put("virginia-a", b"behind", b"newer", version())
    b.put("oregon-a", b"behind", b"older", version(age_s=60))
    b.put("virginia-a", b"missing", b"value", version())
    for zone in ("virginia-a", "oregon-a"):
        b.put(zone, b"alike", b"value", of_version=1 << 60)
    terminal = Terminal([program(), "verify", "--config", str(b.config), "--lag", "10s"], columns=100)
    try:
        terminal.wait_for("looking at what may differ")
        terminal.process.send_signal(signal.SIGTERM)
        text = terminal.wait_for("not all was compared: terminated")
        assert terminal.end() == 1
    finally:
        terminal.close()
    assert "1 key in 2 zones" in text and "Keys that differ" not in text and "stale" not in text


def test_verify__silent_after_the_repair__no_copy_is_said_to_be_right(bare):
    b = bare(regions=2, zones=1)
    is_silent = threading.Event()

    def silent_once_written_to(data):
        if data.startswith(b"ms "):
            is_silent.set()
        return not is_silent.is_set()

    b.between("oregon-a", silent_once_written_to)
    b.put("virginia-a", b"key", b"newer", version(age_s=10))
    b.put("oregon-a", b"key", b"older", version(age_s=60))
    done = run("verify", "--config", b.config, "--repair")
    assert done.returncode == 3 and "1 key left with a copy that is behind, different or foreign\n" in done.stdout
    assert "stale" not in done.stdout and done.stderr.endswith(
        "evcache verify: keys for which a node did not answer: 1, the first of oregon/oregon-a\n")


def test_verify__a_key_that_cannot_be_asked_for__is_no_silent_node(bare):
    b = bare(regions=1, zones=2)
    key = b"with-a-return\r" + b"x" * 200  # in base64 it is longer than a key may be
    assert b.client("virginia-a").set(key, b"value") == b"STORED"
    b.put("virginia-a", b"key", b"value", version(age_s=10))
    assert verify(b)["keys"] == 1


def test_verify__stopped_for_a_while_and_gone_on__does_not_take_the_node_for_silent(bare):
    b = bare(regions=1, zones=2)
    processes = []

    def hold_up(data):
        if b"metadump" in data:
            while not processes:  # it can be here before it is known there
                time.sleep(0.001)
            processes[0].send_signal(signal.SIGSTOP)

    b.between("virginia-a", hold_up)
    of_version = version(age_s=10)
    for zone in ("virginia-a", "virginia-b"):
        b.put(zone, b"key", b"value", of_version)
    processes.append(subprocess.Popen([program(), "verify", "--config", b.config], stdout=subprocess.PIPE, text=True))
    try:
        os.waitid(os.P_PID, processes[0].pid, os.WSTOPPED)
        time.sleep(5.5)  # longer than a node may be silent
        processes[0].send_signal(signal.SIGCONT)
        text = processes[0].communicate(timeout=60)[0]
        assert text.endswith("all copies agree\n") and processes[0].returncode == 0
    finally:
        processes[0].kill()
        processes[0].wait()


def test_verify__a_value_that_a_region_does_not_take__is_a_miss_there_and_not_stale(bare):
    b = bare(regions=2, zones=1, arguments={"virginia-a": ["-I", "8m"], "oregon-a": ["-I", "1m"]})
    b.put("virginia-a", b"key", b"x" * 3_000_000, version(age_s=10))
    for _ in range(2):  # the second time what stands there is the tombstone of the first
        document = verify(b, "--repair")
        assert (document["stale"], document["missing"]) == (0, 1) and zones(document, "failed") == {"oregon-a": 1}
        assert is_tombstone(b.peek("oregon-a", b"key"))


@pytest.mark.parametrize("key, word", [
    (b"user:17/a.b", "user:17/a.b"), (b"a-b", "a-b"), (b"-x", "--base64 LXg="), (b"a;b", "--base64 YTti"),
    (b"$(x)", "--base64 JCh4KQ=="), (b"it's", "--base64 aXQncw=="), (b"caf\xc3\xa9", "--base64 Y2Fmw6k="),
])
def test_verify__the_command_it_proposes__can_be_copied(bare, key, word):
    b = bare(regions=1, zones=2)
    b.put("virginia-a", key, b"value", version(age_s=10))
    done = run("verify", "--config", b.config)
    assert f"one of them: evcache explain --config {b.config} {word}\n" in done.stdout
    assert run("explain", "--config", b.config, *word.split()).stdout.startswith("test: key ")


def test_verify__on_a_terminal__progress_and_colours(cache):
    terminal = Terminal([program(), "verify", "--config", str(cache.config)], columns=100)
    try:
        text = terminal.wait_for("all copies agree")
        assert terminal.end() == 0 and terminal.screen.has_color
        assert "comparing" not in text  # the line of progress is taken away
    finally:
        terminal.close()


def test_verify__a_zone_lost_its_memory__a_signal_ends_it_and_repair_fills_it(cache):
    s = cache
    for node in s.regions["oregon"].zones[1].nodes:
        with s._client(node) as client:
            assert client.ask("flush_all") == b"OK"
    time.sleep(1.1)  # memcached's flush_all counts whole seconds
    # It looks for so long that it is not over before the signal comes.
    terminal = Terminal([program(), "verify", "--config", str(s.config), "--lag", "1m"], columns=100)
    try:
        terminal.wait_for("looking at what may differ", " of ", " items ")
        terminal.process.send_signal(signal.SIGINT)
        terminal.wait_for("not all was compared: interrupted")
        assert terminal.end() == 1
    finally:
        terminal.close()
    document = verify(s, "--repair")
    assert document["stale"] == 0 and document["missing"] > 5000 and len(document["differing"]) == 20
    # What an earlier test left is older than tombstones live.
    assert zones(document, "late") == {"oregon-b": 1} and not zones(document, "failed")
    assert zones(document, "repaired")["oregon-b"] == document["missing"] - 1


def test_verify__a_zone_being_filled__is_shown_and_not_judged_and_a_silent_node_named(system):
    s = system(regions=1, zones=3, states=("serving", "serving", "write_only"))
    set_all(s.proxy("virginia"), KEYS[:500])
    s.wait_quiet()
    for key in KEYS[:50]:
        assert s.owner("virginia", 2, key).ask(b"md " + key) == b"HD"
    document = verify(s)
    assert document["missing"] == 0 and zones(document, "missing") == {"virginia-c": 50}
    assert zones(document, "counted") == {"virginia-a": True, "virginia-b": True}
    assert "virginia/virginia-c (filling)" in run("verify", "--config", s.config).stdout
    node = s.regions["virginia"].zones[1].nodes[0]
    s.kill("virginia/node/virginia-b/0", signal.SIGSTOP)
    try:
        done = run("verify", "--config", s.config)
    finally:
        s.kill("virginia/node/virginia-b/0", signal.SIGCONT)
    assert done.returncode == 3 and done.stdout == ""
    assert done.stderr.startswith(f"evcache verify: a node of virginia/virginia-b does not answer: {node}")


@pytest.mark.parametrize("arguments, message", [
    (["--region", "x"], 'no region "x" in {path}; it has virginia, oregon'),
    (["--memory", "12"], "--memory is a size from 256KiB to 64GiB, not '12'"),
    (["--memory", "1KiB"], "--memory is a size from 256KiB to 64GiB, not '1KiB'"),
    (["--lag", "2"], "--lag is a duration from 0ms to 1h, not '2'"),
    (["--lag", "2h"], "--lag is a duration from 0ms to 1h, not '2h'"),
    (["key"], "'key' is one argument too many"),
])
def test_verify__bad_arguments__exit_2_says_why(config, arguments, message):
    path, _ = config()
    done = run("verify", "--config", path, *arguments)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr == f"evcache verify: {message.format(path=path)}\n`evcache verify --help` tells how it is used.\n"
