# SPDX-License-Identifier: Apache-2.0
"""evcache bench against a real memcached: what it says it did is what the server counted."""

import json
import os
import socket
import threading

import pytest

from evc import memcache
from helpers.system import run


def bench(*arguments):
    # Long enough for a request to be answered in the middle of it, however busy the machine is.
    done = run("bench", "--json", "--warmup", "0.2", "--time", "1.5", *arguments)
    return done.returncode, (json.loads(done.stdout) if done.stdout else None), done.stderr


def counters(address):
    with memcache.Client(address) as client:
        stats = client.stats()
    return {name: int(stats[name]) for name in ("cmd_get", "cmd_set", "get_hits", "curr_items")}


@pytest.mark.parametrize("prefix,extra", [
    ("one:", ()), ("many:", ("--pipeline", "16", "--threads", "2")), ("open:", ("--rate", "2000")),
    ("zipf:", ("--zipf", "0.9", "--value", "1-5000")),
], ids=["one by one", "pipelined", "open loop", "zipf"])
def test_bench__any_loop__tells_what_the_server_saw(memcached, prefix, extra):
    before = counters(memcached)
    code, result, text = bench("--keys", "2000", "--connections", "8", "--ratio", "3:1", "--prefix", prefix,
                               "--watch-pid", str(os.getpid()), *extra, memcached)
    after = counters(memcached)
    assert code == 0, text
    assert result["errors"] == 0 and result["misses"] == 0
    assert result["requests"] == result["get"]["count"] + result["set"]["count"] > 0
    assert after["curr_items"] - before["curr_items"] == 2000
    # The server has seen the warm-up, the fill and what was under way at the end as well.
    assert result["get"]["count"] <= after["cmd_get"] - before["cmd_get"]
    assert result["set"]["count"] <= after["cmd_set"] - before["cmd_set"] - 2000
    assert 0.6 < result["get"]["count"] / result["requests"] < 0.9
    assert result["own_cpu_us_per_request"] > 0 and result["watched"][0]["pid"] == os.getpid()
    for kind in ("get", "set"):
        assert 0 < result[kind]["p50_us"] <= result[kind]["p99_us"] <= result[kind]["p999_us"] <= result[kind]["max_us"]


def test_bench__without_filling__misses(memcached):
    code, result, text = bench("--no-fill", "--ratio", "1:0", "--prefix", "none:", memcached)
    assert code == 0 and result["hits"] == 0 and result["misses"] > 0, text


def test_bench__server_answers_errors__they_are_counted_and_named():
    with socket.create_server(("127.0.0.1", 0)) as server:
        def serve():
            connection, _ = server.accept()
            with connection:
                while data := connection.recv(65536):
                    connection.sendall(b"SERVER_ERROR out of order\r\n" * data.count(b"get "))

        threading.Thread(target=serve, daemon=True).start()
        code, result, _ = bench("--no-fill", "--ratio", "1:0", "--connections", "1", "127.0.0.1:%d" % server.getsockname()[1])
    assert code == 3 and result["errors"] > 0 and result["first_error"] == "SERVER_ERROR out of order"


@pytest.mark.parametrize("arguments,code,text", [
    ((), 2, "an address is missing"),
    (("--ratio", "1", "h:1"), 2, "--ratio '1' is not of the form N:N"),
    (("--ratio", "0:0", "h:1"), 2, "at least one must be more than 0"),
    (("--pipeline", "2000", "h:1"), 2, "--pipeline '2000' is not a whole number from 1 to 1024"),
    (("--value", "9-3", "h:1"), 2, "the smaller length comes first"),
    (("--zipf", "1", "h:1"), 2, "--zipf '1' is not a number from 0 to below 1"),
    (("--prefix", "much too long for it", "h:1"), 2, "is longer than 14 bytes"),
    (("--time", "0", "h:1"), 2, "--time '0' is not a number of seconds from 0.1"),
    (("--threads", "4", "--connections", "2", "h:1"), 2, "4 threads need at least as many connections"),
    (("--nonsense",), 2, "nonsense"),
    (("127.0.0.1",), 2, "must be host:port"),
    (("127.0.0.1:1",), 1, "a connection was lost while connecting: connection refused"),
    (("--watch-pid", "2147483647", "127.0.0.1:1"), 1, "there is no process 2147483647"),
])
def test_bench__mistakes__are_named(arguments, code, text):
    done = run("bench", *arguments)
    assert done.returncode == code and text in done.stderr, done.stderr
