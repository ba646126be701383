# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the system tests: see helpers/system.py for what a system can do."""

import pathlib
import sys

import pytest

sys.path[:0] = [str(pathlib.Path(__file__).resolve().parent),
                str(pathlib.Path(__file__).resolve().parents[2] / "tools" / "pylib")]
sys.dont_write_bytecode = True

from helpers import config as config_helper  # noqa: E402
from helpers.system import System  # noqa: E402


@pytest.fixture(name="config")
def config_fixture(tmp_path):
    """Writes a configuration without starting anything: config(regions=2, ...) -> (path, regions)."""
    return lambda **shape: config_helper.write(config_helper.Shape(**shape), tmp_path)


@pytest.fixture(name="system")
def system_fixture(tmp_path):
    """Starts a cache and waits until it answers: system(regions=2, zones=2, nodes=1, ...)."""
    running = []

    def start(arguments=(), environment=None, **shape):
        path, regions = config_helper.write(config_helper.Shape(**shape), tmp_path)
        system = System(path, regions, tmp_path, arguments, environment)
        running.append(system)
        system.up.wait_until_up()
        return system

    yield start
    for system in running:
        if system.stop_seconds is None:
            assert system.stop() == 0, system.up.output()
            assert system.stop_seconds < 5.0
