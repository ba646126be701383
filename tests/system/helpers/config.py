# SPDX-License-Identifier: Apache-2.0
"""Configurations for tests: a description in, a file with free ports out."""

import dataclasses

from evc import cache

REGION_NAMES = ["virginia", "oregon", "ireland", "tokyo", "sydney", "mumbai"]


@dataclasses.dataclass
class Shape:
    """What a test may ask for. extra: further top-level YAML lines, such as policies."""

    regions: int = 2
    zones: int = 2
    nodes: int = 1          # of each zone
    proxies: int = 1        # of each region
    relays: int = 1
    partitions: int = 4
    brokers: str = ""       # of the queue on Kafka; none: the embedded queue
    queue: str = ""         # further settings inside queue: {...}, such as "size: 1MiB"
    node: str = "memory: 16MiB"
    canaries: str = "off"   # most tests count events, and canaries' are events too
    timeouts: str = ""      # such as "read: 1s"; none: those of the product
    extra: str = ""
    states: tuple = ()      # of each region's zones, "serving" where there is none


def write(shape, directory):
    """Writes cache.yaml into directory (a pathlib.Path). Returns its path and its regions."""
    per_region = 3 * shape.proxies + shape.relays + shape.zones * shape.nodes
    ports = iter(cache.free_ports(shape.regions * per_region))

    def addresses(count):
        return [f"127.0.0.1:{next(ports)}" for _ in range(count)]

    def flow(texts):
        return "[" + ", ".join(texts) + "]"

    regions = []
    admins = {}  # of the proxies behind the first
    for name in REGION_NAMES[: shape.regions]:
        zones = [cache.Zone(f"{name}-{chr(ord('a') + z)}", addresses(shape.nodes))
                 for z in range(shape.zones)]
        regions.append(cache.Region(name, addresses(shape.proxies), addresses(shape.proxies),
                                    addresses(1)[0], addresses(shape.relays), zones))
        admins[name] = addresses(shape.proxies - 1)
    kind = f"kind: kafka, brokers: '{shape.brokers}'" if shape.brokers else "kind: embedded"
    queue = f"{kind}, path: {directory}/run/queue, partitions: {shape.partitions}"
    lines = ["cache: test", "queue: {%s}" % ", ".join(filter(None, [queue, shape.queue])),
             "node: {%s}" % shape.node, "canaries: {every: %s}" % shape.canaries, "regions:"]
    for region in regions:
        lines += [f"  - name: {region.name}",
                  f"    proxies: {flow(region.proxies)}",
                  f"    receivers: {flow(region.receivers)}",
                  "    admin: " + (flow([region.admin, *admins[region.name]])
                                   if admins[region.name] else region.admin),
                  f"    relays: {flow(region.relays)}",
                  "    zones:"]
        states = [*shape.states, *["serving"] * (shape.zones - len(shape.states))]
        lines += [f"      - {{name: {zone.name}, nodes: {flow(zone.nodes)}, state: {state}}}"
                  for zone, state in zip(region.zones, states)]
    if shape.timeouts:
        lines.append("timeouts: {%s}" % shape.timeouts)
    path = directory / "cache.yaml"
    path.write_text("\n".join(lines) + "\n" + shape.extra, encoding="utf-8")
    return path, regions
