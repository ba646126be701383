# SPDX-License-Identifier: Apache-2.0
"""What a GET through the proxy costs in instructions has not grown: recorded per compiler, 5 % of slack.

A change that makes it cheaper, or dearer for a good reason, records the new figure; CONTRIBUTING.md says so too.
"""

import json
import subprocess

import pytest
from helpers.system import TOP, program

RECORDED = {"12": 4940, "14": 4440}  # by gcc's major version, built as the tests build; Debian 12, Debian 13
SLACK = 0.05


def test_instructions__of_a_get__as_recorded():
    compiler = subprocess.run(["gcc", "-dumpversion"], capture_output=True, text=True, check=True).stdout.strip()
    if compiler not in RECORDED:
        pytest.skip(f"nothing is recorded for gcc {compiler}")
    done = subprocess.run([TOP / "bench" / "instructions", "--json", "--block", "1", "--kind", "get", program()],
                          capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    now = json.loads(done.stdout)["instructions"]["get"]
    print(f"{now:,.0f} instructions")
    assert abs(now / RECORDED[compiler] - 1) <= SLACK, f"{now:,.0f} instructions; {RECORDED[compiler]:,} are recorded"
