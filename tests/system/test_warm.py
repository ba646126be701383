# SPDX-License-Identifier: Apache-2.0
"""`evcache warm`: zones and regions filled from copies elsewhere, on a real cache."""

import json
import re
import signal
import subprocess
import time

import pytest
from evc.memcache import is_tombstone
from helpers.bare import version
from helpers.system import run
from helpers.terminal import Terminal
from helpers.system import program

KEYS = [b"key-%d" % number for number in range(2000)]
OUTCOMES = ["added", "already_there", "expired_or_gone", "foreign", "filtered", "failed"]


@pytest.fixture(name="cache", scope="module")
def cache_fixture(shared_system):
    return shared_system(regions=2, zones=2, nodes=2, extra=(
        "policies:\n"
        "  - {prefix: 'row:', replicate: invalidate}\n"
        "  - {prefix: 'own:', replicate: none}\n"))


def warm(s, region, *arguments, code=0):
    """The document of a run, whose sums must close."""
    done = run("warm", "--config", s.config, "--region", region, "--json", *arguments)
    assert done.returncode == code, (done.stdout, done.stderr)
    document = json.loads(done.stdout)
    assert sum(document["outcomes"].values()) == document["seen"]
    assert list(document["outcomes"]) == OUTCOMES
    return document


def set_all(client, keys, value=b"value", exptime=3600):
    client.send(b"".join(b"set %s 7 %d %d\r\n%s\r\n" % (key, exptime, len(value), value) for key in keys))
    assert client.lines(len(keys)) == [b"STORED"] * len(keys)


def empty(s, zone):
    """Takes all of a zone's items away, as a restart would, without waiting for one."""
    for node in zone.nodes:
        with s._client(node) as client:
            assert client.ask("flush_all") == b"OK"


def items_of(client):
    client.send(b"stats\r\n")
    items = None
    while (line := client.line()) != b"END":
        if line.startswith(b"STAT curr_items "):
            items = int(line.split()[2])
    return items


def write_past(client, key, value, version, flags=0):
    client.send(b"ms %s %d T0 F%d E%d\r\n%s\r\n" % (key, len(value), flags, version, value))
    assert client.line() == b"HD"


def test_warm__node_restarted__values_versions_flags_and_ttls_are_back(cache):
    s = cache
    client = s.proxy("virginia")
    set_all(client, KEYS)
    set_all(client, [b"for-ever"], exptime=0)
    set_all(client, [b"large"], value=b"x" * 300_000)
    client.send(b"ms %s 1 b\r\nx\r\n" % b"dHdvIHdvcmRz")  # "two words"
    assert client.line() == b"HD"
    s.wait_quiet()
    zone = s.regions["virginia"].zones[1]
    s.restart("virginia/node/virginia-b/0")
    s.restart("virginia/node/virginia-b/1")
    assert sum(s.values(key)[zone.name] is None for key in KEYS) == len(KEYS)

    # In between: a newer value, a tombstone, and an older value on a node, as if they had arrived first.
    newer, deleted, older = KEYS[:3]
    version = s.copies(KEYS[0])["virginia-a"].cas
    write_past(s.owner("virginia", 1, newer), newer, b"newer", version + (1 << 30))
    write_past(s.owner("virginia", 1, deleted), deleted, b"", version + (1 << 30), flags=0xE7CADEAD)
    write_past(s.owner("virginia", 1, older), older, b"older", version - (1 << 30))

    dry = warm(s, "virginia", "--zone", "virginia-b", "--dry-run")
    assert dry["outcomes"]["added"] == len(KEYS) and dry["outcomes"]["already_there"] == 3
    assert s.values(KEYS[5])[zone.name] is None

    done = warm(s, "virginia", "--zone", "virginia-b")
    assert done["outcomes"] == dry["outcomes"] and done["seen"] == len(KEYS) + 3
    assert done["sources"] == ["virginia/virginia-a"] and done["targets"] == ["virginia/virginia-b"]
    for key in [*KEYS[3:400], b"for-ever", b"large", b"two words"]:
        if b" " in key:
            continue
        copies = s.copies(key)
        one, other = copies["virginia-a"], copies["virginia-b"]
        assert other is not None and (one.value, one.cas, one.flags) == (other.value, other.cas, other.flags)
        assert abs(one.ttl - other.ttl) <= 5  # they are asked one after the other
    assert s.owner("virginia", 1, b"two words").ask("mg dHdvIHdvcmRz b c") == \
        s.owner("virginia", 0, b"two words").ask("mg dHdvIHdvcmRz b c")
    assert s.values(newer)[zone.name] == b"newer" and s.values(older)[zone.name] == b"older"
    assert is_tombstone(s.copies(deleted)[zone.name])

    again = warm(s, "virginia", "--zone", "virginia-b")
    assert again["outcomes"]["added"] == 0 and again["outcomes"]["already_there"] == again["seen"]


def test_warm__from_another_region__what_its_policy_keeps_at_home_is_not_copied(cache):
    s = cache
    client = s.proxy("virginia")
    set_all(client, [b"own:%d" % n for n in range(30)])
    set_all(client, [b"row:%d" % n for n in range(20)])
    set_all(client, [b"copied:%d" % n for n in range(50)])
    assert client.delete(b"copied:7") == b"DELETED"
    s.wait_quiet()
    for zone in s.regions["oregon"].zones:
        empty(s, zone)
    time.sleep(1.1)  # memcached's flush_all counts whole seconds
    done = warm(s, "oregon", "--from", "virginia/virginia-a")
    assert done["targets"] == ["oregon/oregon-a", "oregon/oregon-b"]
    assert done["outcomes"]["filtered"] == 50 and done["outcomes"]["failed"] == 0
    for zone in ("oregon-a", "oregon-b"):
        assert s.values(b"copied:3")[zone] == b"value"
        assert is_tombstone(s.copies(b"copied:7")[zone])
        assert s.copies(b"own:1")[zone] is None and s.copies(b"row:1")[zone] is None
    both = warm(s, "oregon", "--from", "virginia")
    assert both["sources"] == ["virginia/virginia-a", "virginia/virginia-b"]
    assert both["outcomes"]["added"] == 0 and both["seen"] > done["seen"]


def test_warm__items_that_do_not_go__are_counted_by_name(cache):
    s = cache
    set_all(s.proxy("virginia"), [b"named"])
    s.wait_quiet()
    assert s.owner("virginia", 0, b"plain").set("plain", b"past evcache") == b"STORED"
    done = warm(s, "virginia", "--zone", "virginia-b")
    assert done["outcomes"]["foreign"] == 1 and s.copies(b"plain")["virginia-b"] is None
    text = run("warm", "--config", s.config, "--region", "virginia", "--zone", "virginia-b")
    assert text.returncode == 0 and text.stderr == "" and max(map(len, text.stdout.splitlines())) <= 100
    assert "test: virginia/virginia-b from virginia/virginia-a\n" in text.stdout
    assert f"seen             {done['seen']:,}" in text.stdout
    assert s.owner("virginia", 0, b"plain").ask("md plain") == b"HD"


def test_warm__rate__is_kept_and_a_signal_ends_it_with_what_was_done(cache):
    s = cache
    empty(s, s.regions["virginia"].zones[1])
    time.sleep(1.1)
    begin = time.monotonic()
    process = Terminal([program(), "warm", "--config", str(s.config), "--region", "virginia", "--zone",
                        "virginia-b", "--rate", "100"], columns=100)  # it would take 20 s

    def filled(text):
        found = re.search(r"filling +([\d,]+) of", text)
        return int(found[1].replace(",", "")) if found else 0

    try:
        process.wait(lambda text: filled(text) >= 150 and "items" in text and "left" in text)
        process.process.send_signal(signal.SIGINT)
        text = process.wait_for("before the end")
        assert process.end() == 1
        seconds = time.monotonic() - begin
    finally:
        process.close()
    added, = (int(line.split()[1].replace(",", "")) for line in text.splitlines() if line.startswith("  added"))
    assert 150 <= added <= 100 * seconds
    rest = warm(s, "virginia", "--zone", "virginia-b")
    assert rest["outcomes"]["already_there"] == added


def test_warm__held_up_at_a_rate__does_not_make_up_for_it_at_once(bare):
    b = bare(regions=1, zones=2)
    source = b.client("virginia-a")
    source.send(b"".join(b"ms key-%d 5 T0 E%d q\r\nvalue\r\n" % (n, version(60)) for n in range(5000)) + b"mn\r\n")
    assert source.line() == b"MN"
    process = subprocess.Popen([program(), "warm", "--config", b.config, "--region", "virginia", "--zone", "virginia-b",
                                "--rate", "500", "--json"], stdout=subprocess.PIPE)
    while items_of(b.client("virginia-b")) < 100:
        time.sleep(0.02)
    process.send_signal(signal.SIGSTOP)
    held_up = items_of(b.client("virginia-b"))
    time.sleep(4)
    begin = time.monotonic()
    process.send_signal(signal.SIGCONT)
    while items_of(b.client("virginia-b")) < held_up + 200:
        time.sleep(0.02)
    assert time.monotonic() - begin > 0.2  # 4 s of items would be there at once, but for those of 100 ms
    process.send_signal(signal.SIGINT)
    document = json.loads(process.communicate()[0])
    assert process.returncode == 1 and document["why"] == "interrupted" and not document["complete"]


def test_warm__a_value_that_the_target_does_not_take__takes_nothing_away_there(bare):
    b = bare(regions=1, zones=2, arguments={"virginia-a": ["-I", "8m"], "virginia-b": ["-I", "1m"]})
    b.put("virginia-a", b"newer-there", b"x" * 3_000_000, version(age_s=60))
    b.put("virginia-b", b"newer-there", b"newer", version(age_s=1))
    b.put("virginia-a", b"missing-there", b"x" * 3_000_000, version(age_s=60))
    document = warm(b, "virginia", "--zone", "virginia-b", code=1)
    assert document["outcomes"]["already_there"] == document["outcomes"]["failed"] == 1
    assert document["why"] == "virginia/virginia-b: SERVER_ERROR object too large for cache"
    assert b.peek("virginia-b", b"newer-there").value == b"newer" and b.peek("virginia-b", b"missing-there") is None


def test_warm__one_target_falls_silent__the_other_gets_the_item(bare):
    b = bare(regions=2, zones=2)
    b.put("virginia-a", b"key", b"value", version(age_s=60))
    b.between("oregon-b", lambda data: b"mg key" not in data)
    assert warm(b, "oregon", "--from", "virginia/virginia-a", code=3)["outcomes"]["failed"] == 1
    assert b.peek("oregon-a", b"key").value == b"value" and b.peek("oregon-b", b"key") is None


def test_warm__a_node_does_not_answer__exit_3_names_it(system):
    s = system(regions=1, zones=3, states=("serving", "write_only", "serving"))
    set_all(s.proxy("virginia"), KEYS[:100])
    assert warm(s, "virginia")["targets"] == ["virginia/virginia-b"]  # the one that is being filled
    node = s.regions["virginia"].zones[2].nodes[0]
    s.kill("virginia/node/virginia-c/0", signal.SIGSTOP)
    try:
        done = run("warm", "--config", s.config, "--region", "virginia", "--from", "virginia/virginia-c")
    finally:
        s.kill("virginia/node/virginia-c/0", signal.SIGCONT)
    assert done.returncode == 3 and done.stdout == ""
    assert done.stderr.startswith(f"evcache warm: a node of virginia/virginia-c does not answer: {node}")


@pytest.mark.parametrize("arguments, message", [
    (["--region", "virginia"], "which zone? None of virginia is write_only; say --zone NAME"),
    (["--region", "virginia", "--zone", "x"], 'no zone "x" in region virginia; it has virginia-a, virginia-b'),
    (["--region", "virginia", "--zone", "virginia-a", "--from", "virginia/x"],
     '--from: no zone "x" in region virginia; it has virginia-a, virginia-b'),
    (["--region", "virginia", "--zone", "virginia-a", "--from", "virginia/virginia-a"],
     "a zone cannot be filled from itself"),
    (["--region", "virginia", "--rate", "0"], "--rate is a number of items a second from 1 to 10000000, not '0'"),
])
def test_warm__bad_arguments__exit_2_says_why(config, arguments, message):
    path, _ = config()
    done = run("warm", "--config", path, *arguments)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr == f"evcache warm: {message}\n`evcache warm --help` tells how it is used.\n"
