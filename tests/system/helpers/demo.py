# SPDX-License-Identifier: Apache-2.0
"""The demo, with fewer records and a shorter storm than `make demo` has."""

import os
import subprocess

from helpers.system import TOP, program

KEYS = 6000
STORM_S = 5
LIMIT_S = 240.0


def run(queue, environment=None):
    """Its exit status and what it printed."""
    child = subprocess.Popen([TOP / "tools" / "demo", "--queue", queue, "--keys", str(KEYS), "--storm", str(STORM_S), program()],
                             env=environment or os.environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        output, _ = child.communicate(timeout=LIMIT_S)
    except subprocess.TimeoutExpired:
        child.terminate()  # it stops what it has started
        output, _ = child.communicate()
    return child.returncode, output


def assert_agrees(queue, environment=None):
    status, output = run(queue, environment)
    print(output)
    assert status == 0, output
    assert "All copies agree, nothing is unexplained." in output
    assert f"as last acknowledged  {KEYS:,}  100 %" in output
