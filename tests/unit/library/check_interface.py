#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Holds the shared library against the headers: it exports what they declare and nothing else, and every function has
a manual page.

    check_interface.py LIBRARY HEADER PAGES_FOLDER
"""

import pathlib
import re
import subprocess
import sys

VERSION_NODE = "EVCACHE_0"


def main():
    library, header, pages = map(pathlib.Path, sys.argv[1:])
    symbols = subprocess.run(["nm", "-D", "--defined-only", library], capture_output=True, text=True, check=True).stdout
    exported = {line.split()[2] for line in symbols.splitlines() if line.split()[1] != "A"}
    text = re.sub(r"/\*.*?\*/", "", header.read_text(encoding="utf-8"), flags=re.DOTALL)
    declared = {f"{name}@@{VERSION_NODE}"
                for name in re.findall(r"EVCACHE_API[^;(]*?\b(evcache_\w+)\(", text)}
    assert len(declared) > 20, declared
    assert exported == declared, exported ^ declared
    for symbol in declared:
        page = (pages / f"{symbol.partition('@')[0]}.3").read_text(encoding="utf-8")
        assert ".SH SYNOPSIS" in page and ".SH DESCRIPTION" in page, symbol
    print(f"{len(declared)} functions")


main()
