# SPDX-License-Identifier: Apache-2.0
"""How cost grows: with partitions, relays, destinations, keys, the size of a value, and what has waited. One run each."""

from benchlib.replicated import PIPELINE, Replicated

KIB, MIB = 1 << 10, 1 << 20
HELD_BYTES_MAX = 256 * MIB    # by all keys of a step, where values are large
IN_FLIGHT_BYTES_MAX = 4 * MIB  # by a connection
SHAPE = {"regions": 2, "zones": 1, "partitions": 4, "node": "memory: 512MiB"}

# Name: what it is called in a shape, and its values; quick and normal runs take the first and the last.
SHAPES = {"partitions": ("partitions", (1, 4, 16)), "relays": ("relays", (1, 2, 4)), "destinations": ("regions", (2, 3, 4))}
KEYS = {False: (10**4, 10**6), True: (10**4, 10**5, 10**6, 10**7)}
KEYS_NODE = "memory: 4GiB"
SIZES = {False: (10, 1000, 100 * KIB), True: (10, 100, KIB, 10 * KIB, 100 * KIB, MIB)}
SIZES_EXTRA = "values: {max: 2MiB}\n"
BACKLOG = {False: 10**6, True: 10**7}
BACKLOG_SHAPE = {"queue": "size: 8GiB", "node": "memory: 1GiB"}


def row(value, result):
    return {"value": value, "per_second": result["per_second"], "cpu_us": result["cpu_us"]}


def shapes(program, plan, directory):
    for name, (setting, values) in SHAPES.items():
        for value in values if plan.is_full else values[::2]:
            with Replicated(program, directory / f"{name}-{value}", **{**SHAPE, setting: value}) as system:
                result = system.write(plan.write_seconds)
            yield name, row(value - 1 if setting == "regions" else value, result)


def keys(program, plan, directory):
    for value in KEYS[plan.is_full]:
        with Replicated(program, directory / f"keys-{value}", **{**SHAPE, "node": KEYS_NODE}) as system:
            yield "keys", row(value, system.write(plan.write_seconds, keys=value, fill=True))


def sizes(program, plan, directory):
    for value in SIZES[plan.is_full]:
        with Replicated(program, directory / f"size-{value}", **{**SHAPE, "extra": SIZES_EXTRA, "node": KEYS_NODE}) as system:
            result = system.write(plan.write_seconds, "--value", value, keys=max(100, min(10**6, HELD_BYTES_MAX // value)),
                                  pipeline=max(1, min(PIPELINE, IN_FLIGHT_BYTES_MAX // value)))
        yield "bytes of a value", row(value, result)


def backlog(program, plan, directory):
    with Replicated(program, directory / "backlog", **{**SHAPE, **BACKLOG_SHAPE}) as system:
        yield "events that had waited", system.backlog(BACKLOG[plan.is_full])


def tell(name, found):
    if "cpu_us" in found:
        return f"{found['value']:,} {name}: {found['per_second']:,.0f} replicated sets/s, {found['cpu_us']['all']:.2f} us of CPU per set"
    return (f"{found['value']:,} {name}: {found['per_second']:,.0f} a second taken, {found['queue_bytes_per_event']:.0f} bytes of the queue "
            f"each; the relay had {found['relay_bytes_max'] / MIB:.0f} MiB at most, the proxy {found['proxy_bytes_max'] / MIB:.0f} MiB; "
            f"{found['coalesced']:,} coalesced, {found['lost']} lost, {found['unexplained']} unexplained")


def run(program, plan, directory, say):
    """{name: rows}, one row for each value."""
    rows = {}
    for part in (shapes, keys, sizes, backlog):
        for name, found in part(program, plan, directory):
            rows.setdefault(name, []).append(found)
            say(tell(name, found))
    return rows
