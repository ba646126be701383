# SPDX-License-Identifier: Apache-2.0
"""Runs a verb on a machine whose wall clock is wrong (wrong_clock.c is preloaded into it)."""

import os
import pathlib
import subprocess

SOURCE = pathlib.Path(__file__).resolve().parent / "wrong_clock.c"


def environment(directory, offset_s):
    """For helpers.system.run. directory: where the library goes. offset_s: negative is behind."""
    library = directory / "wrong_clock.so"
    subprocess.run(["cc", "-O2", "-shared", "-fPIC", "-o", library, SOURCE], check=True)
    return {**os.environ, "LD_PRELOAD": str(library), "EVC_CLOCK_OFFSET_S": str(offset_s)}
