# SPDX-License-Identifier: Apache-2.0
"""What happens in the demo, in order, and the summary at its end."""

import fcntl
import os
import pathlib
import re
import shutil
import signal
import threading
import time

from evc import cache
from evc.up import Up, UpFailed, cpu_seconds

from . import compare, packages, screen, storm
from .write import Crew, Ledger, write_all

CONNECTIONS_PER_PROXY = 2
SETTLE_LIMIT_S = 180.0
DIRECTORIES_MAX = 9
SAMPLE_S = 0.25
KINDS = ("node", "proxy", "relay", "broker")


class Failed(Exception):
    """The demo cannot go on; the text says why."""


class CpuMeter(threading.Thread):
    """Adds up the CPU time of every process by kind, also of those that die meanwhile."""

    def __init__(self, up):
        super().__init__(daemon=True)
        self.up, self.seen, self.base, self.stopped = up, {}, {}, threading.Event()
        self.sample(self.base)

    def sample(self, into):
        try:
            pids = self.up.pids()
        except (OSError, ValueError):
            return
        for name, pid in pids.items():
            seconds = cpu_seconds(pid)
            if seconds is not None:
                into[pid] = ((name.split("/") + [name])[1], seconds)  # "oregon/relay/0", "broker"

    def run(self):
        while not self.stopped.wait(SAMPLE_S):
            self.sample(self.seen)

    def finish(self):
        """{kind: seconds} since it was made."""
        self.stopped.set()
        self.join()
        self.sample(self.seen)
        used = dict.fromkeys(KINDS, 0.0)
        for pid, (kind, seconds) in self.seen.items():
            used[kind] += seconds - self.base.get(pid, (kind, 0.0))[1]
        return used


def take_directory(top):
    """An empty build/demo; the next number while another demo runs there. Held until this one ends."""
    for number in range(1, DIRECTORIES_MAX + 1):
        directory = top / "build" / ("demo" if number == 1 else f"demo-{number}")
        directory.mkdir(parents=True, exist_ok=True)
        try:
            fcntl.flock(os.open(directory, os.O_RDONLY), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            continue
        for entry in directory.iterdir():
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
        return directory
    raise Failed(f"{DIRECTORIES_MAX} demos run already")


def on_kafka(directory):
    """The queue's line of the configuration: a broker that `evcache up` runs."""
    return (f"queue: {{kind: kafka, managed: true, brokers: 127.0.0.1:{cache.free_ports(1)[0]}, "
            f"path: {directory}/run/queue, partitions: 4}}")


def prepare(options, top):
    """The configuration to run: the one given, or a copy of it with free ports; its data is fresh."""
    directory = take_directory(top)
    text = pathlib.Path(options.config).read_text(encoding="utf-8")
    regions = cache.parse_regions(text)
    addresses = [address for region in regions for address in region.addresses()]
    taken = [address for address in addresses if not cache.is_port_free(address)]
    if taken:
        ports = cache.free_ports(len(addresses))
        new = {a: f"127.0.0.1:{port}" for a, port in zip(addresses, ports)}
        text = re.sub(r"\b[\w.]+:\d+\b", lambda match: new.get(match[0], match[0]), text)
    # Data of an earlier run would be older than this one's, and is somebody's: not in the demo's place.
    text = re.sub(r"(\bpath:\s*)[^\s,}#]+", rf"\g<1>{directory}/run/queue", text, count=1)
    if options.queue == "kafka":
        text = re.sub(r"^queue:.*$", on_kafka(directory), text, count=1, flags=re.MULTILINE)
    config = directory / "three-regions.yaml"
    config.write_text(text, encoding="utf-8")
    return directory, config, cache.parse_regions(text), taken


def start(options, directory, config):
    with screen.Step("starting") as step:
        up = Up(options.program, config, directory)
        up.wait_until_up()
        step.say(f"{len(up.pids())} processes answer")
    return up


def load(regions, ledger, homes):
    records = ledger.records
    with screen.Step("loading", len(records), "packages") as step:
        crew = Crew()
        for index, region in enumerate(regions):
            keys = [key for key in records if homes[key] == index]
            for n in range(CONNECTIONS_PER_PROXY):
                writes = [(key, b"") for key in keys[n::CONNECTIONS_PER_PROXY]]
                crew.start(write_all, ledger, region.proxies[0], writes, step.add)
        crew.wait()
        rate = len(records) / step.seconds()
        step.say(f"{screen.count(len(records))} packages through the proxies of all regions, "
                 f"{rate:,.0f} a second")


def settle(options, config, quiet_looks=2):
    """Waits until nothing is on its way; returns the status document."""
    with screen.Step("settling") as step:
        deadline, quiet = time.monotonic() + SETTLE_LIMIT_S, 0
        while True:
            _, document = cache.status(options.program, config)
            quiet = quiet + 1 if cache.is_quiet(document) else 0
            waiting = document["in_flight"] + document["journal_waiting"]
            step.say(f"{screen.count(waiting)} events in flight")
            if quiet >= quiet_looks:
                step.say("nothing in flight")
                return document
            if time.monotonic() > deadline:
                step.say(f"gave up: {screen.count(waiting)} events still in flight")
                return document
            time.sleep(0.3)


# --- the summary ---

def show_written(ledger, plan, homes, regions):
    screen.title("What was written")
    loaded = " · ".join(f"{region.name} {screen.count(sum(h == i for h in homes.values()))}"
                        for i, region in enumerate(regions))
    hot_writes = sum(len(writes) for writes in plan.racing.values())
    rows = [
        ("loaded", screen.count(len(homes)), "through " + loaded),
        ("updated", screen.count(plan.updated), "from another region than the one that loaded them"),
        ("deleted", screen.count(plan.deleted), "likewise"),
        ("at once", screen.count(hot_writes),
         f"writes to {screen.count(plan.hot)} keys from two regions at the same time"),
        ("refused", screen.count(ledger.refused),
         ledger.first_refusal.decode(errors="replace") if ledger.first_refusal
         else "every write was acknowledged"),
    ]
    width = max(len(row[1]) for row in rows)
    for name, number, more in rows:
        bad = "bad" if name == "refused" and number != "0" else None
        screen.line(f"  {name:<10}{screen.style(number.rjust(width), bad)}  "
                    + screen.style(more, "dim"))


def _percent(good, total):
    if good == total:
        return "100 %"
    return f"{min(99.99, 100 * good / total):.2f} %"


def show_agreement(result, regions, evicted):
    screen.title("Agreement", f"{screen.count(result.keys)} keys, bytes and versions, in every zone")
    rows, styles = [], {}
    for (one, other), differing in result.differing.items():
        good = result.keys - differing
        styles[len(rows), 2] = "good" if differing == 0 else "bad"
        rows.append((f"{regions[one].name} {screen.EQUALS} {regions[other].name}",
                     screen.count(good), _percent(good, result.keys)))
    good = result.keys - result.unexpected
    styles[len(rows), 2] = "good" if result.unexpected == 0 else "bad"
    rows.append(("as last acknowledged", screen.count(good), _percent(good, result.keys)))
    screen.table(("", "", ""), rows, styles)
    if evicted:
        screen.line("  " + screen.style(
            f"the nodes evicted {screen.count(evicted)} items: node.memory is too small", "bad"))
    for key, zones, why in result.samples:
        screen.line(f"  {screen.style(key, 'bold')}: {screen.style(why, 'bad')}")
        for zone, found in zones:
            screen.line(f"    {zone:<14} {found}")


def show_books(document):
    shown = ("applied", "identical", "coalesced", "filtered")
    others = [name for name in document["pairs"][0]["outcomes"] if name not in shown]
    screen.title("The books", "how every event ended, per source and destination")
    heads = ("", "produced", *shown, "other", "lost", "duplicate", "unexplained")
    rows, styles = [], {}
    for pair in sorted(document["pairs"], key=lambda pair: pair["group"] == "repair"):
        name = (f"{pair['source']}, repair" if pair["group"] == "repair"
                else f"{pair['source']} {screen.ARROW} {pair['destination']}")
        unexplained = pair["unexplained"]
        styles[len(rows), 9] = "good" if unexplained == 0 else "bad"
        styles[len(rows), 7] = "bad" if pair["lost"] else None
        rows.append((name, screen.count(pair["produced"]),
                     *[screen.count(pair["outcomes"][outcome]) for outcome in shown],
                     screen.count(sum(pair["outcomes"][outcome] for outcome in others)),
                     screen.count(pair["lost"]), screen.count(pair["duplicate"]),
                     "unknown" if unexplained is None else screen.count(unexplained)))
    screen.table(heads, rows, styles)
    screen.line(screen.style("  other: " + ", ".join(others), "dim"))


def show_lag(document, before):
    """before: the document when the load had settled. A relay's lag begins anew when it restarts."""
    screen.title("Lag", "from the write to its being visible in the other region")
    heads = ("", "writes", "p50", "p99", "p99.9", "max", "p99 of the load alone")
    rows = []
    earlier = {(p["source"], p["destination"]): p for p in before["pairs"]}
    for pair in document["pairs"]:
        if pair["group"] != "ship":
            continue
        lag = pair["lag_us"]
        load_lag = earlier[pair["source"], pair["destination"]]["lag_us"]
        rows.append((f"{pair['source']} {screen.ARROW} {pair['destination']}",
                     screen.count(lag["count"]),
                     *[screen.duration(lag[name]) for name in ("p50", "p99", "p999", "max")],
                     screen.duration(load_lag["p99"])))
    screen.table(heads, rows)


def show_cpu(used, acknowledged, document):
    applied = sum(pair["outcomes"]["applied"] for pair in document["pairs"]
                  if pair["group"] == "ship")
    total = sum(used.values())
    screen.title("CPU", f"{screen.count(acknowledged)} writes became {screen.count(applied)} "
                        "replicated ones (a write applied in one other region)")
    heads = ("", "CPU", "share", "per replicated write")
    rows = [(f"{kind}s" if kind != "proxy" else "proxies", f"{used[kind]:.1f} s",
             f"{100 * used[kind] / max(total, 1e-9):.0f} %",
             f"{1e6 * used[kind] / max(applied, 1):.1f} us") for kind in KINDS if used[kind] > 0]
    rows.append(("together", f"{total:.1f} s", "", f"{1e6 * total / max(applied, 1):.1f} us"))
    screen.table(heads, rows)


def verdict(result, document, seconds, directory):
    problems = []
    if not result.agrees():
        problems.append("copies differ")
    if result.unexpected:
        problems.append(f"{screen.count(result.unexpected)} keys do not hold what was acknowledged")
    if document["unexplained"] or not document["settled"]:
        problems.append(f"{screen.count(document['unexplained'])} events are unexplained"
                        if document["unexplained"] else "the books did not settle")
    if document["in_flight"] or document["journal_waiting"]:
        problems.append("events are still in flight")
    if document["lost"]:
        problems.append(f"{screen.count(document['lost'])} events are lost")
    screen.line()
    if problems:
        screen.line(screen.style("NOT GOOD: " + "; ".join(problems) + ".", "bad")
                    + f" Logs: {directory}/run/log")
        return 1
    screen.line(screen.style("All copies agree, nothing is unexplained.", "good")
                + f"  {seconds:.0f} s in all.")
    return 0


def play(options, directory, config, regions, up):
    begin = time.monotonic()
    with screen.Step("reading") as step:
        records = packages.load(step.say)
        if options.keys:
            records = dict(list(records.items())[: options.keys])
        sizes = [len(record) for record in records.values()]
        step.say(f"{screen.count(len(records))} records of apt-cache, {screen.size(sum(sizes))}, "
                 f"from {screen.size(min(sizes))} to {screen.size(max(sizes))}")
    homes = {key: index % len(regions) for index, key in enumerate(records)}
    ledger = Ledger(records)
    meter = CpuMeter(up)
    meter.start()
    load(regions, ledger, homes)
    loaded = settle(options, config, quiet_looks=1)
    plan = storm.Plan(records, homes, regions, options.seed)
    with screen.Step("changing", plan.total(), "writes") as step:
        storm.run(plan, ledger, regions, up, options.storm, step)
        step.say(f"{screen.count(plan.total())} writes from other regions, some from two at once")
    document = settle(options, config)
    used = meter.finish()
    zone_count = sum(len(region.zones) for region in regions)
    with screen.Step("comparing", len(records) * zone_count, "copies") as step:
        result = compare.run(regions, ledger, step)
        step.say(f"{screen.count(len(records) * zone_count)} copies read from "
                 f"{sum(len(z.nodes) for r in regions for z in r.zones)} nodes")
    show_written(ledger, plan, homes, regions)
    show_agreement(result, regions, compare.evictions(regions))
    show_books(document)
    show_lag(document, loaded)
    show_cpu(used, ledger.acknowledged, document)
    return verdict(result, document, time.monotonic() - begin, directory)


def main(options, top):
    def on_signal(number, _frame):
        raise KeyboardInterrupt(signal.Signals(number).name)

    signal.signal(signal.SIGTERM, on_signal)
    os.chdir(top)
    up = None
    try:
        directory, config, regions, taken = prepare(options, top)
        nodes = sum(len(zone.nodes) for region in regions for zone in region.zones)
        screen.line(screen.style("evcache demo", "bold") + screen.style(
            f"  {len(regions)} regions, {len(regions[0].zones)} zones each, {nodes} memcached nodes",
            "dim"))
        screen.line()
        if taken:
            screen.line(screen.style(f"  {taken[0]} is taken: running on other ports", "warn"))
        up = start(options, directory, config)
        return play(options, directory, config, regions, up)
    except BrokenPipeError:  # whoever read our output has left
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 1
    except (UpFailed, Failed, cache.StatusFailed, OSError) as error:
        screen.line(screen.style(f"tools/demo: {error}", "bad"))
        return 1
    except KeyboardInterrupt:
        screen.line(screen.style("stopped", "warn"))
        return 130
    finally:
        if up is not None:
            code, seconds = up.stop()
            if code != 0 or up.left():
                screen.line(screen.style(f"evcache up ended with {code} after {seconds:.1f} s, "
                                         f"left: {up.left()}", "bad"))
