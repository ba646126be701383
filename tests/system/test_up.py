# SPDX-License-Identifier: Apache-2.0
"""`evcache up`: starts everything, restarts what dies, leaves nothing, refuses clearly."""

import os
import pathlib
import signal
import socket
import stat
import time

import pytest
from evc.up import Up, UpFailed, is_alive
from helpers.system import STOPPED_LIMIT_S, program, run
from helpers.timing import assert_in_time

STOPPED_S = 5.0  # docs/operations.md


def start_and_fail(config, directory, arguments=(), environment=None):
    """Starts `up`, which must refuse; returns what it said."""
    up = Up(program(), config, directory, arguments, environment)
    with pytest.raises(UpFailed) as failure:
        up.wait_until_up()
    code, _ = up.stop()
    assert code == 1
    assert up.left() == []
    assert not up.pids_path.exists()
    return str(failure.value)


def fake_memcached(path, version):
    path.write_text(f"#!/bin/sh\necho memcached {version}\n", encoding="ascii")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def test_up__starts_everything__and_prints_a_map(system):
    s = system(regions=2, zones=2, nodes=2)
    names = set(s.up.pids())
    assert len(names) == 2 * (4 + 1 + 1)
    assert {"virginia/proxy/0", "oregon/relay/0", "oregon/node/oregon-b/1"} <= names
    output = s.up.output()
    assert "12 processes answer." in output
    for region in s.regions.values():
        for address in region.addresses():
            assert address in output
    assert "\033[" not in output  # no colour in a file
    assert s.proxy("virginia").ask("version").startswith(b"VERSION ")
    assert s.node("oregon", 1, 1).ask("version").startswith(b"VERSION ")


def test_up__several_proxies_and_relays__all_run(system):
    s = system(regions=2, proxies=2, relays=2, zones=1)
    names = set(s.up.pids())
    assert {"virginia/proxy/1", "virginia/relay/1"} <= names
    assert s.proxy("virginia", 1).ask("version").startswith(b"VERSION ")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_up__signal__everything_stops_within_5_s(system, number):
    def stop():
        s = system(regions=2, zones=1)
        assert s.stop(number) == 0
        assert s.up.output().endswith("the queue and the journals stay for the next start\n")
        left = {path.name for path in s.directory.iterdir()}
        assert left == {"cache.yaml", "run", "up.log"}
        assert {path.name for path in (s.directory / "run").iterdir()} == {"queue", "log"}
        return s.stop_seconds

    assert_in_time(STOPPED_S, stop)


def test_up__frozen_children__are_killed_within_5_s(system):
    def stop():
        s = system(regions=2, zones=1)
        for name in ("virginia/node/virginia-a/0", "virginia/proxy/0", "oregon/relay/0"):
            s.kill(name, signal.SIGSTOP)
        assert s.stop() == 0
        return s.stop_seconds

    assert_in_time(STOPPED_S, stop)


def test_up__killed_with_9__nothing_survives(system):
    s = system(regions=2, zones=1)
    pids = list(s.up.pids().values())
    s.up.process.kill()
    s.up.process.wait()
    deadline = time.monotonic() + STOPPED_LIMIT_S
    while any(is_alive(pid) for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert [pid for pid in pids if is_alive(pid)] == []
    s.up.pids_path.unlink()  # nobody was left to remove it
    s.stop_seconds = 0.0


@pytest.mark.parametrize("name", ["virginia/relay/0", "virginia/proxy/0",
                                  "virginia/node/virginia-a/0"])
def test_up__a_process_dies__is_back_with_a_line(system, name):
    s = system(regions=2, zones=1)
    pid = s.kill(name)
    new_pid = s.wait_restarted(name, pid)
    assert new_pid != pid
    output = s.up.output()
    assert f"{name}  was killed by signal 9 (Killed); starts again in 0." in output
    assert set(s.up.pids()) >= {name}


def test_up__started_again__on_the_same_data(system, tmp_path):
    s = system(regions=2, zones=1)
    assert s.proxy("virginia").set("key", b"value") == b"STORED"
    s.wait_quiet()
    assert s.stop() == 0
    again = Up(program(), s.config, tmp_path).wait_until_up()
    assert again.stop()[0] == 0
    assert again.left() == []


def test_up__ports_taken__named_with_their_setting(config, tmp_path):
    path, regions = config(regions=2)
    host, port = regions[1].receivers[0].split(":")
    with socket.create_server((host, int(port))):
        said = start_and_fail(path, tmp_path)
    assert said == (f"evcache up: {host}:{port} is taken (`receivers` of oregon); "
                    "stop what has it, or change that setting")


def test_up__several_ports_taken__counted(config, tmp_path):
    path, regions = config(regions=2)
    taken = [regions[0].admin, regions[1].zones[0].nodes[0], regions[1].relays[0]]
    servers = [socket.create_server((a.split(":")[0], int(a.split(":")[1]))) for a in taken]
    said = start_and_fail(path, tmp_path)
    for server in servers:
        server.close()
    assert f"{taken[0]} is taken (`admin` of virginia)" in said
    assert said.endswith("(and 2 more)")


def test_up__memcached_too_old__refused_by_version(config, tmp_path):
    path, _ = config()
    old = fake_memcached(tmp_path / "old", "1.6.18")
    said = start_and_fail(path, tmp_path, ["--memcached", str(old)])
    assert "is memcached 1.6.18; 1.6.27 or newer is needed" in said
    assert str(old) in said


@pytest.mark.parametrize("how", ["option", "environment", "configuration"])
def test_up__memcached_named_but_missing__refused(config, tmp_path, how):
    missing = tmp_path / "no-such"
    path, _ = config(node=f"command: {missing}" if how == "configuration" else "memory: 16MiB")
    environment = dict(os.environ)
    if how == "environment":
        environment["EVCACHE_MEMCACHED"] = str(missing)
    said = start_and_fail(path, tmp_path, ["--memcached", str(missing)] if how == "option" else [],
                          environment)
    assert f"{missing} (" in said and "does not run as a memcached" in said


def test_up__a_node_that_ends_at_once__start_fails_with_its_words(config, tmp_path):
    path, _ = config(zones=1)
    fake = fake_memcached(tmp_path / "fake", "1.6.38")
    fake.write_text(fake.read_text() + '[ "$1" = -V ] || { echo no luck today >&2; exit 7; }\n')
    said = start_and_fail(path, tmp_path, ["--memcached", str(fake)])
    assert "ended with status 7: no luck today" in said
    assert "/run/log/" in said


def test_up__relay_queue_unwritable__start_fails_with_its_words(config, tmp_path):
    path, _ = config(zones=1)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "queue").write_text("a file, not a directory")
    said = start_and_fail(path, tmp_path)
    assert "evcache up: " in said and "ended with status 1" in said


def test_up__logs__are_beside_the_queue(system):
    s = system(regions=2, zones=1)
    logs = {path.name for path in (s.directory / "run" / "log").iterdir()}
    assert {"virginia-relay-0.log", "oregon-proxy-0.log", "oregon-node-oregon-a-0.log"} <= logs
    text = (s.directory / "run" / "log" / "virginia-proxy-0.log").read_text()
    assert "level=info" in text and "part=proxy" in text


def test_up__no_file__usage():
    done = run("up")
    assert done.returncode == 2
    assert done.stderr.startswith("evcache up: which configuration?")


def test_up__file_missing__one_line(tmp_path):
    done = run("up", tmp_path / "none.yaml")
    assert done.returncode == 1
    assert "none.yaml" in done.stderr and len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("arguments,code,text", [
    ([], 2, "usage: evcache VERB"),
    (["--help"], 0, "usage: evcache VERB"),
    (["help", "relay"], 0, "usage: evcache relay"),
    (["version"], 0, "evcache 0."),
    (["--version"], 0, "evcache 0."),
    (["nonsense"], 2, "there is no verb 'nonsense'"),
    (["proxy", "--help"], 0, "usage: evcache proxy"),
    (["status", "--help"], 0, "unexplained ="),
    (["proxy"], 2, "which configuration? Say --config FILE"),
    (["relay", "--config", "x"], 2, "which region? Say --region NAME"),
    (["proxy", "--config"], 2, "--config needs a value"),
    (["proxy", "--json"], 2, "--json is no option of it"),
    (["proxy", "--index", "-1", "--config", "x", "--region", "y"], 2, "--index is a number"),
    (["proxy", "--log-level", "loud"], 2, "--log-level is error, warn, info or debug"),
    (["partitions", "--index", "0", "--set", "4"], 2, "--index is no option of it"),
    (["partitions", "--set", "300"], 2, "--set is a number from 1 to 256, not '300'"),
    (["partitions", "--set"], 2, "--set needs a value"),
    (["status", "--json=1"], 2, "--json takes no value"),
    (["status", "-xyz", "--json"], 2, "-x is no option of it"),
    (["bench", "--nosuch"], 2, "--nosuch is no option of it"),
    (["bench", "--keys"], 2, "--keys needs a value"),
    (["status", "--config", ""], 2, "which configuration? Say --config FILE"),
    (["check-config"], 2, "which configuration? Name its FILE"),
    (["check-config", ""], 2, "which configuration? Name its FILE"),
    (["check-config", "--json", "x"], 2, "--json is no option of it"),
    (["check-config", "x", "y"], 2, "'y' is one argument too many"),
    (["check-config", "--help"], 0, "usage: evcache check-config FILE"),
    (["\x1b[31m"], 2, "there is no verb '\\x1b[31m'"),
    (["check-config", "\x1b[31m"], 1, "\\x1b[31m: cannot be read"),
    (["status", "--log\n\x1b"], 2, "--log\\x0a\\x1b is no option of it"),
    (["status", "--config", "x", "y"], 2, "'y' is one argument too many"),
])
def test_cli__arguments__exit_status_and_words(arguments, code, text):
    done = run(*arguments)
    assert done.returncode == code
    assert text in done.stdout + done.stderr
    assert (done.stderr == "") == (code == 0)
    assert done.stderr.replace("\n", "").isprintable()


def test_cli__unknown_region_and_index__named(config):
    path, _ = config(regions=2)
    done = run("proxy", "--config", path, "--region", "mars")
    assert done.returncode == 2 and "mars" in done.stderr and "virginia" in done.stderr
    done = run("relay", "--config", path, "--region", "oregon", "--index", "3")
    assert done.returncode == 2 and "oregon has 1 relays; --index 3 is none of them" in done.stderr


def test_cli__every_help__fits_a_terminal():
    verbs = [line.split()[0] for line in run("help").stdout.split("\n") if line.startswith("  ")]
    assert len(verbs) > 10
    texts = {verb: run("help", verb).stdout for verb in verbs} | {"": run("help").stdout}
    assert {verb: line for verb, text in texts.items() for line in text.split("\n") if len(line) > 79} == {}


def test_cli__exit_codes_are_documented():
    text = run("--help").stdout
    assert "Exit status" in text and pathlib.Path(program()).exists()
