# SPDX-License-Identifier: Apache-2.0
"""`evcache top` on a terminal of its own: real processes, and processes that answer what a test tells them to."""

import contextlib
import re
import signal

import pytest
from helpers.fakes import Fakes, partition, set_virginia
from helpers.system import program, run
from helpers.terminal import Terminal

UP, DOWN, RIGHT, ENTER, ESCAPE = "\x1bOA", "\x1bOB", "\x1bOC", "\r", "\x1b"


@pytest.fixture(name="top")
def top_fixture():
    """top(config, lines=, columns=, ...) -> Terminal with a running `evcache top`."""
    with contextlib.ExitStack() as stack:
        def start(config, **shape):
            terminal = Terminal([program(), "top", "--config", str(config)], **shape)
            stack.callback(terminal.close)
            return terminal
        yield start


@pytest.fixture(name="fakes")
def fakes_fixture(config):
    fakes = Fakes(config)
    with fakes.stack:
        yield fakes


def partitions(text):
    """{partition: its fields} of the list, durations without their space."""
    lines = [re.sub(r"(\d) (us|ms|s)\b", r"\1\2", line).split()
             for line in text.splitlines() if re.match(r" +\d  (fine|stalled)", line)]
    return {int(line[0]): line[1:] for line in lines}


# What is on the screen comes in pieces: a test waits for all it wants to see.

def test_top__a_real_cache__regions_partitions_nodes(system, top):
    s = system(regions=3, zones=1, nodes=2)
    proxy = s.proxy("virginia")
    for number in range(200):
        proxy.set(f"key-{number}", b"value")
    s.wait_quiet()
    terminal = top(s.config)
    terminal.wait_for("6 of 6 processes answer", "every region is fresh", "q quit")
    terminal.wait(lambda text: text.count("ready 100") == 6 and text.count("lost 0") == 6)
    terminal.press(ENTER)
    terminal.wait_for("virginia to oregon", "in flight")

    def produced(text):
        rows = partitions(text)
        return len(rows) == 4 and all(len(row) == 7 for row in rows.values()) and \
            sum(int(row[4]) for row in rows.values())

    terminal.wait(lambda text: produced(text) == 200)
    terminal.press("n")
    terminal.wait(lambda text: text.count(" up ") == 6 and "virginia-a" in text)
    terminal.press(ESCAPE)
    terminal.wait_for("from / to")
    s.kill("oregon/node/oregon-a/0", signal.SIGSTOP)  # nobody notices without traffic, and nothing breaks
    terminal.press("q")
    assert terminal.end() == 0
    s.kill("oregon/node/oregon-a/0", signal.SIGCONT)


def test_top__lost_and_stalled__on_their_partition(fakes, top):
    now_us = 1_700_000_000_000_000
    stalled = partition(0, backlog=70, applied=930)
    stalled["oldest_us"] = now_us - 12_500_000
    fakes.relay("virginia")["now_us"] = now_us
    set_virginia(fakes, [stalled, partition(1, applied=900, lost=100)], produced=(1000, 1000))
    terminal = top(fakes.path)
    terminal.wait_for("things: virginia to oregon partition 0 is stalled", "stalled 12.5 s")
    terminal.wait(lambda text: text.count("lost 100") == 1 and text.count("lost 0") == 1)
    assert terminal.screen.has_color
    terminal.press(ENTER)
    # state, oldest, p99, in flight, produced, lost, unexplained
    terminal.wait(lambda text: partitions(text) == {
        0: ["stalled", "12.5s", "-", "70", "1,000", "0", "0"],
        1: ["fine", "-", "-", "0", "1,000", "100", "0"]})


def test_top__arrows__select_what_enter_shows(system, top):
    s = system(regions=3, zones=1)
    terminal = top(s.config)
    terminal.wait_for("every region is fresh")
    for keys, pair in ((RIGHT, "virginia to ireland"), (DOWN, "oregon to ireland"), (UP + RIGHT, "virginia to ireland")):
        terminal.press(keys + ENTER)
        terminal.wait_for(pair, "in flight")
        terminal.press(ESCAPE)
        terminal.wait_for("from / to")
    terminal.process.send_signal(signal.SIGTERM)
    assert terminal.end() == 0


def test_top__resize__keys_stay_at_the_bottom(fakes, top):
    terminal = top(fakes.path, lines=40, columns=120)
    terminal.wait_for("every region is fresh", "q quit")
    for lines, columns in ((24, 80), (10, 40), (3, 12), (1, 1), (50, 200)):
        terminal.resize(lines, columns)
        keys = "arrows select   Enter partitions   n nodes   q quit"[:columns]
        text = terminal.wait(lambda text: text.split("\n")[-1].startswith(keys[:-1]) and len(text.split("\n")) == lines)
        assert all(len(line) <= columns for line in text.split("\n"))
    terminal.wait_for("virginia", "oregon", "ready 100")
    terminal.press("q")
    assert terminal.end() == 0


def test_top__many_partitions__scroll(config, top):
    path, _ = config(regions=2, zones=1, partitions=64)
    terminal = top(path, lines=20)
    terminal.wait_for("0 of 4 processes answer")
    terminal.press(ENTER)
    terminal.wait_for("        0  unknown")
    terminal.press("\x1b[6~" * 9)
    terminal.wait(lambda text: "       63  unknown" in text and "        0  unknown" not in text)


def test_top__no_color__has_none(fakes, top):
    terminal = top(fakes.path, NO_COLOR="1")
    terminal.wait_for("every region is fresh")
    assert not terminal.screen.has_color


def test_top__no_terminal__says_what_needs_none(fakes):
    done = run("top", "--config", fakes.path)
    assert done.returncode == 1
    assert done.stderr == "evcache top: this is no terminal to draw on; `evcache status` needs none\n"


def test_top__unknown_terminal__named(fakes, top):
    terminal = top(fakes.path, TERM="nothing-like-it")
    terminal.wait_for("the terminal 'nothing-like-it' is not known")
    assert terminal.end() == 1
