# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the tests with other people's clients; the caches are those of tests/system."""

import pathlib
import sys

import pytest

TOP = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(TOP / "tests" / "system"), str(TOP / "tools" / "pylib")]
sys.dont_write_bytecode = True

from helpers.real import real_memcached  # noqa: E402
from helpers.system import starter  # noqa: E402


@pytest.fixture(name="shared_system", scope="module")
def shared_system_fixture(tmp_path_factory):
    """Starts a cache for all tests of a module and waits until it answers: see tests/system."""
    with starter(tmp_path_factory.mktemp("cache")) as start:
        yield start


@pytest.fixture(name="memcached", scope="session")
def memcached_fixture(tmp_path_factory):
    """The address of a memcached that belongs to no cache."""
    with real_memcached(tmp_path_factory.mktemp("memcached")) as address:
        yield address
