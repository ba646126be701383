# SPDX-License-Identifier: Apache-2.0
"""The logs of proxies and relays: every line is logfmt, and a batch has one name in all of them."""

import json
import re
import signal
import time

from helpers.system import run

LINE = re.compile(r'ts=\S+ level=(?:error|warn|info|debug) part=\w+ id=\S+ msg="[^"\\]*"'
                  r'(?: [a-z_]+=(?:"(?:[^"\\]|\\.)*"|[^\s"=]*))*')
PAIR = re.compile(r'([a-z_]+)=(?:"((?:[^"\\]|\\.)*)"|(\S*))')


def lines_of(s, process):
    """The log of "virginia/relay/0", a dictionary a line."""
    text = (s.directory / "run" / "log" / (process.replace("/", "-") + ".log")).read_text(encoding="utf-8")
    lines = text[:text.rfind("\n") + 1].splitlines()  # one may be half written
    for line in lines:
        assert LINE.fullmatch(line), line
    return [{name: quoted or plain for name, quoted, plain in PAIR.findall(line)} for line in lines]


def wait_for(s, process, limit=60.0, **wanted):
    """The first line that has all of wanted."""
    deadline = time.monotonic() + limit
    while True:
        lines = lines_of(s, process)
        for line in lines:
            if wanted.items() <= line.items():
                return line
        assert time.monotonic() < deadline, (wanted, lines)
        time.sleep(0.05)


def last_event(s, key):
    document = json.loads(run("explain", "--config", s.config, "--json", key).stdout)
    return document["ways"][0]["events"][0]


def test_logs__a_batch__has_one_name_from_producer_to_its_end(system):
    s = system(["--log-level", "debug"], regions=2, zones=1)
    assert s.proxy("virginia").set("user:17", b"value") == b"STORED"
    s.wait_quiet()
    batch = last_event(s, "user:17")["batch"]
    assert wait_for(s, "virginia/proxy/0", msg="batch fed", batch=batch)["events"] == "1"
    taken = wait_for(s, "virginia/relay/0", msg="batch taken", group="oregon", batch=batch)
    settled = wait_for(s, "virginia/relay/0", msg="batches settled", group="oregon",
                       partition=batch.split("/")[0])
    assert int(settled["before_position"]) > int(taken["position"])
    for process in ("oregon/proxy/0", "oregon/relay/0"):
        assert lines_of(s, process)  # all logfmt


def test_logs__an_event_is_given_up__said_where_it_failed_and_where_it_ended(system):
    s = system(["--log-level", "debug"], regions=2, zones=1, timeouts="", extra="relay: {abandon_after: 1s}\n")
    s.wait_quiet()
    s.kill("oregon/node/oregon-a/0", signal.SIGSTOP)
    try:
        assert s.proxy("virginia").set('quoted"key', b"value") == b"STORED"
        line = wait_for(s, "virginia/relay/0", msg="an event is given up")
    finally:
        s.kill("oregon/node/oregon-a/0", signal.SIGCONT)
    event = last_event(s, 'quoted"key')
    assert event["outcome"] == "abandoned"
    assert (line["level"], line["destination"], line["key"]) == ("warn", "oregon", 'quoted\\"key')
    assert (line["batch"], line["version"]) == (event["batch"], event["version"]["hex"])
    assert int(line["attempts"]) == event["attempts"] > 0
    wait_for(s, "virginia/relay/0", msg="an event is tried again", batch=event["batch"])
    failed = wait_for(s, "oregon/proxy/0", msg="no zone took a replicated write", source="virginia")
    assert (failed["level"], failed["version"]) == ("warn", event["version"]["hex"])


def test_logs__queue_full__proxy_says_so_once_and_when_it_is_over(system):
    s = system(regions=2, zones=1, queue="size: 1MiB")
    s.kill("virginia/relay/0", signal.SIGSTOP)
    client = s.proxy("virginia")
    try:
        for number in range(40_000):
            client.send(b"set %0200d 0 0 1\r\nv\r\n" % number)
            assert client.line() == b"STORED"
            if number % 5_000 == 4_999 and any(
                    line["msg"].startswith("the queue takes no events") for line in lines_of(s, "virginia/proxy/0")):
                break
        line = wait_for(s, "virginia/proxy/0", level="warn", msg="the queue takes no events, the journals keep them")
        assert line["why"]
    finally:
        s.kill("virginia/relay/0", signal.SIGCONT)
    wait_for(s, "virginia/proxy/0", level="info", msg="the queue takes events again")
