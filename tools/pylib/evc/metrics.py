# SPDX-License-Identifier: Apache-2.0
"""Reads /metrics pages of a cache's processes: samples as {(name, labels): value}."""

import re
import urllib.request

SAMPLE = re.compile(r'^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)$')
LABEL = re.compile(r'([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"')


def fetch(address, timeout=5):
    """The page's text."""
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=timeout) as response:
        return response.read().decode()


class Page:
    """What a page holds, to be asked for by name and some of the labels."""

    def __init__(self, text):
        self.samples = []
        self.families = {}  # name: type
        for line in text.splitlines():
            if line.startswith("# TYPE "):
                _, _, name, kind = line.split(" ")
                assert name not in self.families, f"{name} is there twice"
                self.families[name] = kind
            elif not line.startswith("#"):
                name, labels, value = SAMPLE.match(line).groups()
                self.samples.append((name, dict(LABEL.findall(labels or "")), float(value)))

    def all(self, name, **labels):
        """[(labels, value)] of the samples with name that have these labels."""
        return [(own, value) for sample, own, value in self.samples
                if sample == name and labels.items() <= own.items()]

    def sum(self, name, **labels):
        found = self.all(name, **labels)
        assert found, f"no sample of {name} has {labels}"
        return sum(value for _, value in found)


def page(address):
    return Page(fetch(address))
