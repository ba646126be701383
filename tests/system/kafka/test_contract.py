# SPDX-License-Identifier: Apache-2.0
"""What every queue promises (tests/unit/queue/test_queue_contract.c), kept by Kafka on real brokers of each version."""

import os
import pathlib
import re
import subprocess

import pytest
from evc import kafka
from helpers.system import program

CONTRACT = pathlib.Path(program()).parents[2] / "tests/unit/queue/test_queue_contract"


@pytest.mark.parametrize("version", kafka.VERSIONS)
def test_contract__real_broker__keeps_it(brokers, version):
    cluster = brokers(version=version)
    done = subprocess.run([CONTRACT], capture_output=True, text=True, timeout=180, check=False,
                          env={**os.environ, "EVCACHE_TEST_KAFKA": cluster.bootstrap})
    said = done.stdout + done.stderr
    assert done.returncode == 0, said[-3000:]
    assert "SKIPPED" not in said, said
    passed = sum(map(int, re.findall(r"\[  PASSED  \] (\d+) test\(s\)", said)))
    assert passed > 0 and cluster.groups(), said
