# SPDX-License-Identifier: Apache-2.0
"""The request parser's errors against a real memcached's, byte for byte.

tests/unit/meta/request_answers prints what the parser makes of its input. Both get the same bad (and some good) requests,
followed by two `mn`, which show whether they are still in step.
"""

import os
import pathlib
import random
import socket
import subprocess

import pytest

TOP = pathlib.Path(__file__).resolve().parents[2]
SENTINEL = b"mn\r\nmn\r\n"
VALUE_MAX = 1024 * 1024
LONG, TOO_LONG = b"k" * 250, b"k" * 251

CASES = [
    b"\r\n", b"\n", b"x\r\n", b"foo\r\n", b"get\r\n", b"gets  \r\n", b"gat 10\r\n", b"gat x a\r\n",
    b"get " + TOO_LONG + b"\r\n", b"get a " + TOO_LONG + b" b\r\n", b"get " + b"k " * 3000 + b"\r\n",
    b"set a 0 0 2\r\nhixx", b"set a 0 0 2 noreply\r\nhixx", b"set a 0 0 x\r\n", b"set a 0 0 -1\r\n",
    b"set " + TOO_LONG + b" 0 0 2\r\nhi\r\n", b"set a 0 0 2097152\r\n" + b"x" * 2097152 + b"\r\n",
    b"set a 0 0 2097152 noreply\r\n" + b"x" * 2097152 + b"\r\n", b"set a 0 0 noreply\r\n", b"cas a 0 0 2 x\r\n",
    b"delete a 0\r\n", b"delete a 0 noreply\r\n", b"delete a b\r\n", b"delete a b noreply\r\n", b"delete a b c\r\n",
    b"incr a x\r\n", b"touch a x\r\n", b"touch a x noreply\r\n", b"flush_all x\r\n", b"flush_all x noreply\r\n",
    b"verbosity\r\n", b"verbosity x\r\n", b"verbosity x noreply\r\n", b"GET / HTTP/1.1\r\n",
    b"mg\r\n", b"mg " + TOO_LONG + b"\r\n", b"mg a z\r\n", b"mg a v v\r\n", b"mg YQ b\r\n", b"mg a T\r\n",
    b"mg a O" + b"x" * 32 + b"\r\n", b"mg a k s t c f v h u q l P L O1 T1 C1 E1 D1 J1\r\n",
    b"ms a\r\n", b"ms a x\r\n", b"ms a 2 z\r\nhi\r\n", b"ms a 2 MX\r\nhi\r\n", b"ms a 2 MXX\r\nhi\r\n", b"ms a 2 Fx\r\nhi\r\n",
    b"ms a 2 q\r\nhixx", b"ms a 2097152\r\n" + b"x" * 2097152 + b"\r\n", b"ms a 2 O" + b"x" * 32 + b"\r\nhi\r\n",
    b"md a z\r\n", b"md a Tx\r\n", b"ma a MX\r\n", b"ma a Dx\r\n", b"me\r\n", b"me YQ b\r\n",
]
WORDS = [b"get", b"gat", b"set", b"add", b"cas", b"delete", b"incr", b"touch", b"mg", b"ms", b"md", b"ma", b"me", b"mq", b"g"]
TOKENS = [b"0", b"2", b"-1", b"+1", b"a", LONG, TOO_LONG, b"noreply", b"4294967297", b"99999999999999999999",
          b"-18446744073709551615", b"2147483646", b"1\tx", b"\t1", b"1.5", b"YQ==", b"YQ", b"====", b"a=bc", b"\xff", b"b\x00c"]
FLAGS = [b"b", b"v", b"c", b"k", b"q", b"O1", b"T0", b"T", b"Tx", b"T-1", b"F1", b"Fx", b"C1", b"Cx", b"E5", b"Ex", b"MS",
         b"Ms", b"M", b"MI", b"N1", b"Nx", b"Rx", b"Jx", b"Dx", b"I", b"x", b"z", b"\x7f", b"\xff", b"vv"]


def random_case(rng):
    """One line of well-known words in wrong places, and perhaps data behind it."""
    word = rng.choice(WORDS)
    if word[:1] == b"m" and rng.random() < 0.8:
        tokens = [rng.choice([b"a", b"YQ==", b"Y", LONG])]
        if word == b"ms":
            tokens.append(rng.choice([b"2", b"2", b"x", b"-1"]))
        tokens += [rng.choice(FLAGS) for _ in range(rng.randrange(6))]
    else:
        tokens = [rng.choice(TOKENS) for _ in range(rng.randrange(7))]
    end = rng.choice([b"\n", b"\r\n", b" \r\n"])
    return b" ".join([word, *tokens]) + end + rng.choice([b"", b"hi\r\n", b"hixx\r\n", b"\r\n"])


@pytest.fixture(name="port", scope="module")
def port_fixture(memcached):
    """The port of a real memcached."""
    return int(memcached.rsplit(":", 1)[1])


def memcacheds_answer(port, data):
    """All that memcached says to data, until it has answered the last request or hangs up."""
    answer = b""
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        try:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            while piece := connection.recv(65536):
                answer += piece
        except ConnectionError:
            pass
    return answer


def parsers_answer(data):
    """What the parser says, through the tool of the newest build."""
    tools = sorted(TOP.glob("build/*/tests/unit/meta/request_answers"), key=lambda path: path.stat().st_mtime)
    assert tools, "no build/*/tests/unit/meta/request_answers: build first"
    tool = os.environ.get("EVC_REQUEST_ANSWERS", str(tools[-1]))
    return subprocess.run([tool, str(VALUE_MAX)], input=data, capture_output=True, check=True, timeout=30).stdout


def errors_of(answer):
    """The lines that are errors of the protocol, not of the item, and the sentinels."""
    words = (b"ERROR", b"CLIENT_ERROR", b"SERVER_ERROR", b"MN")
    return [line for line in answer.split(b"\r\n")
            if line.split(b" ")[0] in words and b"non-numeric" not in line]


def compare(port, case):
    """Both answer the case alike."""
    ours, real = parsers_answer(case + SENTINEL), memcacheds_answer(port, case + SENTINEL)
    if not real:  # it hung up; or it still swallows a block that never ends
        assert b"MN" not in ours, case[:300]
    else:
        assert errors_of(ours) == errors_of(real), case[:300]


@pytest.mark.parametrize("case", CASES, ids=range(len(CASES)))
def test_errors__known_mistakes__as_memcached(port, case):
    compare(port, case)


def test_errors__random_lines__as_memcached(port):
    rng = random.Random(11)
    for _ in range(300):
        compare(port, random_case(rng))
