# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the system tests: see helpers/system.py for what a system can do."""

import contextlib
import pathlib
import sys

import pytest

sys.path[:0] = [str(pathlib.Path(__file__).resolve().parent),
                str(pathlib.Path(__file__).resolve().parents[2] / "tools" / "pylib")]
sys.dont_write_bytecode = True

from helpers import config as config_helper  # noqa: E402
from helpers.bare import Bare  # noqa: E402
from helpers.prometheus import Prometheus  # noqa: E402
from helpers.real import real_memcached  # noqa: E402
from helpers.system import starter  # noqa: E402


@pytest.fixture(name="config")
def config_fixture(tmp_path):
    """Writes a configuration without starting anything: config(regions=2, ...) -> (path, regions)."""
    return lambda **shape: config_helper.write(config_helper.Shape(**shape), tmp_path)


@pytest.fixture(name="bare")
def bare_fixture(config, tmp_path):
    """The nodes of a cache without any other process: bare(regions=2, zones=1, ...) -> helpers.bare.Bare."""
    with contextlib.ExitStack() as stack:
        yield lambda **shape: Bare(stack, config, tmp_path, **shape)


@pytest.fixture(name="system")
def system_fixture(tmp_path):
    """Starts a cache and waits until it answers: system(regions=2, zones=2, nodes=1, ...)."""
    with starter(tmp_path) as start:
        yield start


@pytest.fixture(name="shared_system", scope="module")
def shared_system_fixture(tmp_path_factory):
    """As system, for a cache that all tests of a module use."""
    with starter(tmp_path_factory.mktemp("cache")) as start:
        yield start


@pytest.fixture(name="prometheus")
def prometheus_fixture(tmp_path):
    """Starts a Prometheus that watches a cache: prometheus(system) -> helpers.prometheus.Prometheus."""
    with contextlib.ExitStack() as stack:
        def start(s):
            prometheus = Prometheus(s, tmp_path)
            stack.callback(prometheus.stop)
            return prometheus
        yield start


@pytest.fixture(name="memcached", scope="session")
def memcached_fixture(tmp_path_factory):
    """The address of a memcached that belongs to no cache: what the real one answers."""
    with real_memcached(tmp_path_factory.mktemp("memcached")) as address:
        yield address
