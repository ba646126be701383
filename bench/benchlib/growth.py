# SPDX-License-Identifier: Apache-2.0
"""How cost grows with partitions, relays and destinations: one run each, as ratios to the smallest."""

from benchlib.replicated import Replicated

STEPS = [("partitions", "partitions", (1, 4, 16)), ("relays", "relays", (1, 2, 4)), ("destinations", "regions", (2, 3, 4))]


def run(program, plan, directory, say):
    found = {}
    for name, setting, values in STEPS:
        rows = []
        for value in values if plan.is_full else values[::2]:
            shape = {"regions": 2, "zones": 1, "partitions": 4, setting: value}
            with Replicated(program, directory / f"{name}-{value}", **{**shape, "node": "memory: 256MiB"}) as system:
                result = system.write(plan.write_seconds)
            shown = value - 1 if setting == "regions" else value
            rows.append({"value": shown, "per_second": result["per_second"], "cpu_us": result["cpu_us"]})
            say(f"{shown} {name}: {result['per_second']:,.0f} replicated sets/s, {result['cpu_us']['all']:.2f} us of CPU per set")
        found[name] = rows
    return found
