# SPDX-License-Identifier: Apache-2.0
"""Reads every key in every zone of every region, from the nodes themselves, and compares."""

import itertools

from evc.memcache import Client, is_tombstone

BATCH = 256
SHOWN = 10


class Result:
    def __init__(self, regions, keys):
        self.keys = keys
        self.differing = {pair: 0 for pair in itertools.combinations(range(len(regions)), 2)}
        self.within = {i: 0 for i in range(len(regions))}  # keys whose zones of one region differ
        self.unexpected = 0   # keys that hold something else than what was last acknowledged
        self.present = 0
        self.samples = []     # (key, what each zone has, why)

    def agrees(self):
        return not any(self.differing.values()) and not any(self.within.values())


class ZoneReader:
    def __init__(self, zone):
        self.zone = zone
        self.clients = [Client(node, timeout=60.0) for node in zone.nodes]

    def send(self, keys):
        """Asks all nodes; the answers are taken with receive."""
        self.asked = [[] for _ in self.clients]
        for key in keys:
            self.asked[self.zone.owner(key)].append(key)
        for client, owned in zip(self.clients, self.asked):
            client.send(b"".join(b"mg %s v f c t\r\n" % key for key in owned))

    def receive(self):
        """{key: (value, version)}; what is deleted or not there is missing."""
        found = {}
        for client, owned in zip(self.clients, self.asked):
            for key in owned:
                item = client._mg_answer()
                if item is not None and not is_tombstone(item):
                    found[key] = (item.value, item.cas)
        return found

    def close(self):
        for client in self.clients:
            client.close()


def evictions(regions):
    total = 0
    for region in regions:
        for zone in region.zones:
            for node in zone.nodes:
                with Client(node) as client:
                    total += int(client.stats()["evictions"])
    return total


def _describe(found):
    if found is None:
        return "not there"
    value, version = found
    return f"version {version}, {len(value):,} bytes"


def _compare_key(result, regions, key, copies, ledger):
    """copies: per region, per zone, (value, version) or None."""
    why = None
    for region, zones in enumerate(copies):
        if any(copy != zones[0] for copy in zones[1:]):
            result.within[region] += 1
            why = "the zones differ"
    for one, other in result.differing:
        if any(copy != copies[one][0] for copy in copies[one] + copies[other]):
            result.differing[one, other] += 1
            why = "the zones differ"
    copy = copies[0][0]
    allowed = [ledger.value(key, suffix) for suffix in ledger.expected[key]]
    if (copy[0] if copy else None) not in allowed:
        result.unexpected += 1
        why = why or "not what was last acknowledged"
    result.present += copy is not None
    if why and len(result.samples) < SHOWN:
        seen = [(zone.name, _describe(found)) for region, zones in zip(regions, copies)
                for zone, found in zip(region.zones, zones)]
        result.samples.append((key.decode(errors="replace"), seen, why))


def run(regions, ledger, step):
    keys = sorted(ledger.records)
    result = Result(regions, len(keys))
    readers = [[ZoneReader(zone) for zone in region.zones] for region in regions]
    flat = [reader for zones in readers for reader in zones]
    for at in range(0, len(keys), BATCH):
        batch = keys[at : at + BATCH]
        for reader in flat:
            reader.send(batch)
        found = [[reader.receive() for reader in zones] for zones in readers]
        for key in batch:
            copies = [[zone.get(key) for zone in zones] for zones in found]
            _compare_key(result, regions, key, copies, ledger)
        step.add(len(batch) * len(flat))
    for reader in flat:
        reader.close()
    return result
