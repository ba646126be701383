# SPDX-License-Identifier: Apache-2.0
"""A running `evcache up`: start it, find its processes, stop it, see that nothing is left."""

import ctypes
import json
import os
import pathlib
import signal
import subprocess
import time

PR_SET_PDEATHSIG = 1
STOP_LIMIT_S = 15.0
START_LIMIT_S = 75.0


_libc = ctypes.CDLL(None)


def _stop_with_parent():
    """In the child: when this script is killed, `up` is told to stop, and its processes with it."""
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)


def is_stopped(pid):
    """Whether every thread of a process has stopped."""
    try:
        return all((task / "stat").read_text().rsplit(")", 1)[1].split()[0] == "T"
                   for task in pathlib.Path(f"/proc/{pid}/task").iterdir())
    except OSError:
        return False


class UpFailed(Exception):
    """`evcache up` ended, or did not come up in time; the text is what it said."""


class Up:
    """directory: where its output and the pids file go."""

    def __init__(self, program, config, directory, arguments=(), environment=None):
        self.directory = pathlib.Path(directory)
        self.pids_path = self.directory / "pids.json"
        self.output_path = self.directory / "up.log"
        self.ever = {}  # every pid there was, with its name
        with open(self.output_path, "wb") as output:
            self.process = subprocess.Popen(
                [program, "up", str(config), "--pids", str(self.pids_path), *arguments],
                stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
                env=environment, start_new_session=True, preexec_fn=_stop_with_parent)

    def output(self):
        return self.output_path.read_text(errors="replace")

    def wait_until_up(self, limit=START_LIMIT_S):
        deadline = time.monotonic() + limit
        while "processes answer." not in self.output():
            if self.process.poll() is not None:
                raise UpFailed(self.output().strip())
            if time.monotonic() > deadline:
                self.stop()
                raise UpFailed("it does not come up: " + self.output().strip())
            time.sleep(0.05)
        self.pids()
        return self

    def pids(self):
        """{"virginia/relay/0": pid, ...} of now."""
        found = json.loads(self.pids_path.read_text())
        self.ever.update({pid: name for name, pid in found.items()})
        return found

    def kill(self, name, number=signal.SIGKILL):
        """Sends a signal to a process by its name; returns its pid. One that is to stop has stopped then."""
        pid = self.pids()[name]
        os.kill(pid, number)
        deadline = time.monotonic() + STOP_LIMIT_S
        while number == signal.SIGSTOP and not is_stopped(pid) and time.monotonic() < deadline:
            time.sleep(0.001)
        return pid

    def wait_restarted(self, name, old_pid, limit=60.0):
        """Waits until a process runs again and answers; returns its new pid."""
        deadline = time.monotonic() + limit
        while time.monotonic() < deadline:
            pid = self.pids().get(name)
            if pid not in (None, old_pid) and f"{name}  is back, pid {pid}" in self.output():
                return pid
            time.sleep(0.05)
        raise UpFailed(f"{name} did not come back: " + self.output()[-2000:])

    def stop(self, number=signal.SIGTERM, limit=STOP_LIMIT_S + 1):
        """Stops it; returns its exit status and the seconds that took."""
        begin = time.monotonic()
        if self.process.poll() is None:
            if self.pids_path.exists():
                self.pids()
            self.process.send_signal(number)
        try:
            self.process.wait(limit)
        except subprocess.TimeoutExpired:
            self.process.kill()  # the kernel kills its children with it
            self.process.wait()
        return self.process.returncode, time.monotonic() - begin

    def left(self):
        """Names of processes that still live; to be asked after stop."""
        return [name for pid, name in self.ever.items() if is_alive(pid)]


def is_alive(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            return file.read().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


def cpu_seconds(pid):
    """User and system time of a process; None when it is gone."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            fields = file.read().rsplit(")", 1)[1].split()
    except OSError:
        return None
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
