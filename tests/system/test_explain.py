# SPDX-License-Identifier: Apache-2.0
"""`evcache explain`: one key in every zone of every region, on a real cache."""

import base64
import json
import signal

import pytest
from helpers.fakes import Fakes
from helpers.system import run

ALL = ["virginia/virginia-a", "virginia/virginia-b", "oregon/oregon-a", "oregon/oregon-b"]


@pytest.fixture(name="cache", scope="module")
def cache_fixture(shared_system):
    return shared_system(regions=2, zones=2, nodes=2, extra=(
        "policies:\n"
        "  - {prefix: 'row:', replicate: invalidate}\n"
        "  - {prefix: 'own:', replicate: none}\n"))


def explain(s, key, *arguments):
    """(exit status, document, text): once as JSON and once for people; both must agree."""
    text = run("explain", "--config", s.config, *arguments, key)
    done = run("explain", "--config", s.config, "--json", *arguments, key)
    assert text.returncode == done.returncode and text.stderr == done.stderr
    document = json.loads(done.stdout)
    rows = {row.split()[0]: row.split() for row in text.stdout.splitlines() if row.startswith("  ")}
    for copy in document["copies"]:
        row = rows[f"{copy['region']}/{copy['zone']}"]
        assert row[1] == copy["node"] and row[2] == (copy["item"] or "-") and row[-1] == copy["state"]
        if copy["version"]:
            assert row[3] == copy["version"]["hex"] and row[4] == f"{copy['size']:,}"
            version = rows[copy["version"]["hex"]]
            assert copy["version"]["writer"] in " ".join(version) and version[3] == "UTC"
    assert max(map(len, text.stdout.splitlines())) <= 120
    return done.returncode, document, text


def by_zone(document, member):
    return {f"{copy['region']}/{copy['zone']}": copy[member] for copy in document["copies"]}


def test_explain__a_value_everywhere__alike_with_who_wrote_it_and_when(cache):
    assert cache.proxy("virginia").set("user:17", b"value", flags=7, exptime=600) == b"STORED"
    cache.wait_quiet()
    code, document, text = explain(cache, "user:17")
    assert code == 0 and text.stderr == ""
    assert document["alike"] and document["counted"] == 4 and document["policy"] == "copy"
    assert by_zone(document, "state") == dict.fromkeys(ALL, "newest")
    for copy in document["copies"]:
        zone = next(zone for zone in cache.regions[copy["region"]].zones if zone.name == copy["zone"])
        assert copy["node"] == zone.nodes[zone.owner("user:17")]
        assert (copy["item"], copy["size"], copy["flags"]) == ("value", 5, 7)
        assert 500 < copy["ttl_s"] <= 600
        assert copy["version"] == document["newest"]
        assert int(copy["version"]["hex"], 16) == copy["cas"]
    assert document["newest"]["writer"] == "virginia/proxy/0 worker 0"
    assert abs(document["newest"]["unix_ms"] - document["unix_us"] / 1000) < 60_000
    assert f"partition {document['partition']} of 4" in text.stdout
    assert "all 4 copies are alike" in text.stdout
    shipped, back = document["ways"]
    assert (shipped["source"], shipped["destination"], shipped["known"]) == ("virginia", "oregon", True)
    event, = shipped["events"]
    assert (event["kind"], event["outcome"], event["under_way"]) == ("set", "applied", False)
    assert event["version"] == document["newest"] and event["age_us"] < 60_000_000
    partition, slot, first = map(int, event["batch"].split("/"))
    assert (partition, slot) == (document["partition"], 0) and first >= 1
    assert back["known"] and back["events"] == []
    assert " → ".join(["virginia", "oregon"]) + "  " in text.stdout
    assert f"oregon → virginia no event of it among the last {back['remembered']} that the relay remembers" \
        in text.stdout


def test_explain__looking__changes_nothing_and_is_no_access(cache):
    assert cache.proxy("virginia").set("untouched", b"value") == b"STORED"
    cache.wait_quiet()
    owners = [cache.owner(region, zone, "untouched") for region in cache.regions for zone in range(2)]
    before = [owner.ask("mg untouched c t f s h u") for owner in owners]
    assert explain(cache, "untouched")[0] == 0
    after = [owner.ask("mg untouched c t f s h u") for owner in owners]
    assert before == after and all(b"h0" in line.split() for line in after)


def test_explain__deleted_on_one_node__named_missing(cache):
    assert cache.proxy("virginia").set("torn", b"value") == b"STORED"
    cache.wait_quiet()
    assert cache.owner("oregon", 1, "torn").ask("md torn") == b"HD"
    code, document, text = explain(cache, "torn")
    assert code == 1 and document["differing"] == 1 and not document["alike"]
    assert by_zone(document, "state") == dict.fromkeys(ALL, "newest") | {"oregon/oregon-b": "missing"}
    assert "oregon/oregon-b has no copy\n" in text.stdout
    assert text.stderr == "evcache explain: 1 of 4 copies differ\n"


def test_explain__older_and_foreign_copies__named_with_how_far_behind(cache):
    assert cache.proxy("virginia").set("aged", b"value") == b"STORED"
    cache.wait_quiet()
    newest = explain(cache, "aged")[1]["newest"]
    older = int(newest["hex"], 16) - (90_000 << 23)  # by 90 s
    node = cache.owner("oregon", 0, "aged")
    node.send(b"ms aged 3 T0 E%d\r\nold\r\n" % older)
    assert node.line() == b"HD"
    node = cache.owner("virginia", 1, "aged")
    assert node.set("aged", b"from elsewhere") == b"STORED"
    code, document, text = explain(cache, "aged")
    assert code == 1 and document["newest"] == newest
    assert by_zone(document, "state") == {
        "virginia/virginia-a": "newest", "virginia/virginia-b": "foreign",
        "oregon/oregon-a": "behind", "oregon/oregon-b": "newest"}
    assert by_zone(document, "behind_ms")["oregon/oregon-a"] == 90_000
    assert "oregon/oregon-a is behind: its version is 90.0 s older than the newest\n" in text.stdout
    assert "virginia/virginia-b holds what was written on the node past evcache" in text.stdout


def test_explain__deleted__tombstones_everywhere(cache):
    proxy = cache.proxy("virginia")
    assert proxy.set("deleted", b"value") == b"STORED"
    cache.wait_quiet()
    assert proxy.delete("deleted") == b"DELETED"
    cache.wait_quiet()
    code, document, _ = explain(cache, "deleted")
    assert code == 0
    assert [event["kind"] for event in document["ways"][0]["events"]] == ["delete", "set"]
    assert by_zone(document, "item") == dict.fromkeys(ALL, "tombstone")


def test_explain__never_written__all_hold_nothing(cache):
    code, document, text = explain(cache, "never")
    assert code == 0 and document["newest"] is None
    assert by_zone(document, "item") == dict.fromkeys(ALL, "absent")
    assert "all 4 nodes hold nothing, alike" in text.stdout


def test_explain__policies__say_what_must_be_alike(cache):
    proxy = cache.proxy("virginia")
    assert proxy.set("row:1", b"value") == b"STORED" and proxy.set("own:1", b"value") == b"STORED"
    cache.wait_quiet()
    code, document, _ = explain(cache, "row:1")
    assert code == 0 and document["policy"] == "invalidate"
    assert by_zone(document, "item") == dict.fromkeys(ALL[:2], "value") | dict.fromkeys(ALL[2:], "tombstone")
    code, document, _ = explain(cache, "own:1")
    assert code == 0 and document["policy"] == "none"
    assert by_zone(document, "state") == dict.fromkeys(ALL[:2], "newest") | dict.fromkeys(ALL[2:], "absent")
    assert [event["outcome"] for event in document["ways"][0]["events"]] == ["filtered"]


def test_explain__key_with_blanks__in_base64(cache):
    key = base64.b64encode(b"two words\x00").decode()
    proxy = cache.proxy("virginia")
    proxy.send(b"ms %s 1 b\r\nx\r\n" % key.encode())
    assert proxy.line() == b"HD"
    cache.wait_quiet()
    code, document, text = explain(cache, key, "--base64")
    assert code == 0 and document["key_base64"] == key and document["key"] == "two words\x00"
    assert by_zone(document, "item") == dict.fromkeys(ALL, "value")
    assert f"key {key} in base64, 10 bytes" in text.stdout


@pytest.mark.parametrize("arguments, message", [
    ([], "which key? Name it after the options"),
    (["a", "b"], "'b' is one argument too many"),
    (["k" * 251], "the key has 251 bytes; keys have 1 to 250"),
    ([""], "the key has 0 bytes; keys have 1 to 250"),
    (["two words"], "the key has blanks or control characters; give such a key in base64, with --base64"),
    (["--base64", "user:17"], "the key is not base64 of 1 to 250 bytes"),
    (["--base64", base64.b64encode(b" " * 190).decode()],
     "the key has 190 bytes; with blanks, line ends or NULs keys travel in base64, of at most 250 characters"),
])
def test_explain__bad_key__exit_2_names_the_limit(config, arguments, message):
    path, _ = config()
    done = run("explain", "--config", path, *arguments)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr == (f"evcache explain: {message}\n"
                           "`evcache explain --help` tells how it is used.\n")


def test_explain__queue_has_grown__says_which_partition(config):
    fakes = Fakes(config)
    fakes.relay("virginia").update(partition=5, partitions=8, now_us=1, destinations=[
        {"region": "oregon", "has_partition": True, "remembered": 0, "under_way": None, "events": []}])
    with fakes.stack:
        done = run("explain", "--config", fakes.path, "key")
    assert done.returncode == 3  # there are no nodes
    assert "virginia has 8 partitions: in its queue the key is in partition 5\n" in done.stdout
    assert "virginia → oregon no event of it among the last 0 that the relay remembers\n" in done.stdout
    assert "oregon → virginia its events are not known: no relay that answers has its partition\n" in done.stdout


def test_explain__a_node_hangs__exit_3_named_and_nobody_waits_for_it(system):
    s = system(regions=2, zones=2)
    assert s.proxy("virginia").set("key", b"value") == b"STORED"
    s.wait_quiet()
    s.kill("oregon/node/oregon-a/0", signal.SIGSTOP)
    try:
        code, document, text = explain(s, "key")
    finally:
        s.kill("oregon/node/oregon-a/0", signal.SIGCONT)
    node = s.regions["oregon"].zones[0].nodes[0]
    assert code == 3 and document["unanswered"] == 1 and document["differing"] == 0
    assert by_zone(document, "state") == dict.fromkeys(ALL, "newest") | {"oregon/oregon-a": "unanswered"}
    assert text.stderr == f"evcache explain: oregon/oregon-a does not answer: {node} does not answer in time\n"
    assert "the other 3 copies are alike" in text.stdout


def test_explain__destination_hangs__event_is_under_way_then_relay_does_not_answer(system):
    s = system(regions=2, zones=1)
    s.wait_quiet()
    s.kill("oregon/proxy/0", signal.SIGSTOP)
    try:
        assert s.proxy("virginia").set("key", b"value") == b"STORED"
        for _ in range(100):
            code, document, text = explain(s, "key")
            if document["ways"][0]["events"]:
                break
        assert code == 1 and by_zone(document, "state")["oregon/oregon-a"] == "missing"
        event, = document["ways"][0]["events"]
        assert event["under_way"] and event["outcome"] in ("sent", "waiting")
    finally:
        s.kill("oregon/proxy/0", signal.SIGCONT)
    s.wait_quiet()
    s.kill("virginia/relay/0", signal.SIGSTOP)
    try:
        code, document, text = explain(s, "key")
    finally:
        s.kill("virginia/relay/0", signal.SIGCONT)
    assert code == 3 and document["alike"]
    assert text.stderr == (f"evcache explain: virginia/relay/0 does not answer: "
                           f"{s.regions['virginia'].relays[0]} does not answer in time\n")
    assert "virginia → oregon its events are not known: no relay that answers has its partition" in text.stdout
