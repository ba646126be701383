# SPDX-License-Identifier: Apache-2.0
"""The dashboard in a real browser: over a real cache under load, and over processes that answer what a test tells them to.

EVCACHE_SCREENSHOTS=DIRECTORY also writes the pictures of docs/ there.
"""

import contextlib
import http.client
import json
import os
import pathlib
import random
import signal
import subprocess
import threading
import time
import urllib.request

import pytest
from evc import memcache
from helpers.browser import chromium
from helpers.fakes import Fakes, partition, set_virginia
from helpers.system import program, run
from helpers.timing import assert_in_time

NAMES = ["virginia", "oregon", "ireland"]
PAIRS = {f"{source}→{destination}" for source in NAMES for destination in NAMES if source != destination}
FRESH_S = 5.0   # a change is on the page within
STALLED_S = 15.0
SHOWN_S = 60.0  # the first look is, on a busy machine


@pytest.fixture(name="page", scope="module")
def page_fixture():
    with chromium() as page:
        yield page


class Load:
    """Applications of all regions at a steady pace, until stopped."""

    def __init__(self, system):
        self.stopping = threading.Event()
        self.threads = [threading.Thread(target=self.work, args=(system.proxy(name), name, pace))
                        for name, pace in zip(NAMES, (16, 8, 3))]
        for thread in self.threads:
            thread.start()

    def work(self, client, name, pace):
        rng = random.Random(name)

        def key():
            return rng.choices(["item:", "user:", "page/"], [6, 3, 1])[0] + str(rng.randrange(2000))

        while not self.stopping.wait(0.05):
            for _ in range(pace):
                client.set(key(), b"v" * rng.randrange(50, 900))
                client.get(key())

    def stop(self):
        self.stopping.set()
        for thread in self.threads:
            thread.join()


@pytest.fixture(name="cache", scope="module")
def cache_fixture(shared_system):
    """A cache of three regions under load."""
    system = shared_system(regions=3, zones=2, nodes=2, partitions=8)
    system.load = Load(system)
    yield system
    system.load.stop()


def url(system, region="virginia"):
    return f"http://{system.regions[region].admin}/"


def fetch(address, path):
    with urllib.request.urlopen(f"http://{address}{path}", timeout=5) as response:
        return json.load(response)


def open_page(page, address):
    page.driver.get(address)
    page.wait(lambda: len(page.cells("books")) > 0, SHOWN_S, "the books")


def shoot(page, name, width, scheme):
    """A picture of the whole page; nothing may stick out of it sideways."""
    page.size(width, scheme=scheme)
    time.sleep(1.0)  # charts follow their size by themselves
    width_shown, height = page.run("return [document.documentElement.scrollWidth, document.documentElement.scrollHeight]")
    assert width_shown <= width, f"{width_shown} pixels wide in a window of {width}"
    directory = os.environ.get("EVCACHE_SCREENSHOTS")
    if directory:
        page.size(width, 1000 if name == "wide" else height, scheme)  # README shows the wide one
        time.sleep(1.0)
        page.driver.save_screenshot(str(pathlib.Path(directory) / f"dashboard-{name}.png"))


# --- a real cache ---

def test_dashboard__under_load__regions_and_rates(cache, page):
    open_page(page, url(cache))
    page.wait(lambda: set(page.arrows().values()) == {"fine"}, SHOWN_S, "all arrows fine")
    assert set(page.arrows()) == PAIRS
    page.wait(lambda: all(float(page.cells("books")[pair]["rate"].replace(",", "")) > 0 for pair in PAIRS), SHOWN_S, "rates")
    page.wait(lambda: all(page.cells("ready")[name][f"ready {other}"].startswith("100")
                          for name in NAMES for other in NAMES if name != other), SHOWN_S, "all ready")
    assert page.run("return document.querySelectorAll('g.region').length") == 3
    page.wait(lambda: len(page.cells("nodes")) == 12 and len(page.cells("processes")) == 6, SHOWN_S, "nodes and processes")
    page.wait(lambda: all(row["state"] == "up" for row in page.cells("nodes").values()), SHOWN_S, "all nodes up")
    assert all(len(row) == 8 for row in page.cells("heat").values())
    assert page.driver.title == "evcache test"


def test_dashboard__under_load__top_prefixes_are_what_relays_ship(cache, page):
    open_page(page, url(cache))
    page.wait(lambda: {"item:", "user:", "page/"} <= set(page.cells("prefixes")), SHOWN_S, "the prefixes of the load")
    for name in NAMES:
        told = fetch(cache.regions[name].relays[0], "/status.json")["prefixes"]
        prefixes = {prefix["prefix"]: prefix for prefix in told["top"]}
        assert set(prefixes) <= {"item:", "user:", "page/", "__evcache:"}
        assert 0 < prefixes["item:"]["rate"] <= told["rate"] and 0 < prefixes["item:"]["byte_rate"] <= told["byte_rate"]
    item = fetch(cache.regions["virginia"].admin, "/cache.json")["prefixes"]["top"][0]
    assert item["prefix"] == "item:" and 0.4 < item["share"] < 0.8  # 0.6 of hundreds of samples
    assert sum(item["sources"].values()) == pytest.approx(item["rate"])


def test_dashboard__every_width_and_theme__nothing_sticks_out(cache, page):
    open_page(page, url(cache))
    page.wait(lambda: page.run("return document.querySelectorAll('#charts canvas').length") == 6, SHOWN_S, "charts")
    if os.environ.get("EVCACHE_SCREENSHOTS"):
        time.sleep(45)  # some history to look at
    for name, width, scheme in (("light", 1280, "light"), ("dark", 1280, "dark"), ("narrow-light", 400, "light"),
                                ("narrow-dark", 400, "dark"), ("wide", 1600, "light")):
        shoot(page, name, width, scheme)
    background = {}
    for scheme in ("light", "dark"):
        page.size(1280, scheme=scheme)
        background[scheme] = page.run("return getComputedStyle(document.body).backgroundColor")
    assert background["light"] != background["dark"]
    page.size(1280)
    assert page.run("return getComputedStyle(document.body).backgroundColor") == background["light"]


def test_dashboard__keyboard__reaches_all_and_toggles_the_theme(cache, page):
    open_page(page, url(cache))
    reached = []
    for _ in range(20):
        page.driver.switch_to.active_element.send_keys("\ue004")  # Tab
        reached.append(page.run("const a = document.activeElement; return a.id || a.dataset.pair || a.getAttribute('aria-labelledby') || a.className"))
    assert reached[0] == "skip" and "theme" in reached and PAIRS <= set(reached)
    assert {"books-title", "heat-title", "prefixes-title", "nodes-title"} <= set(reached)
    page.run("document.getElementById('theme').focus()")
    for theme in ("light", "dark", "system"):
        page.driver.switch_to.active_element.send_keys("\ue007")  # Enter
        assert page.run("return document.documentElement.dataset.theme") == theme
    # What is drawn has words too.
    assert all("events a second" in text for text in page.run(
        "return [...document.querySelectorAll('g.arrow[data-pair]')].map((arrow) => arrow.getAttribute('aria-label'))"))
    assert page.run("return [...document.querySelectorAll('table')].every((t) => t.querySelector('th[scope=row]') && t.querySelector('th[scope=col]'))")
    assert page.run("return document.querySelector('#verdict').getAttribute('role')") == "status"


def test_dashboard__reload__history_is_the_servers(cache, page):
    open_page(page, url(cache))
    page.wait(lambda: fetch(cache.regions["virginia"].admin, "/history.json")["times"], SHOWN_S, "a point of history")
    before = fetch(cache.regions["virginia"].admin, "/history.json")
    assert len(before["pairs"]) == 6 and before["point_s"] * before["points_max"] == 3600
    assert all(len(pair[name]) == len(before["times"]) for pair in before["pairs"] for name in ("rate", "p50_ms", "p99_ms", "readiness"))
    page.driver.refresh()
    page.wait(lambda: page.run("return typeof lastHistory !== 'undefined' && lastHistory !== null"), SHOWN_S, "history")
    assert page.run("return lastHistory.times[0]") == before["times"][0]


def test_dashboard__relay_killed__its_arrows_red_within_5_s_and_back(cache, page):
    open_page(page, url(cache))
    page.wait(lambda: set(page.arrows().values()) == {"fine"}, SHOWN_S, "all arrows fine")
    assert_in_time(FRESH_S, lambda: look_while_relay_is_away(cache, page))


def look_while_relay_is_away(cache, page):
    """Returns the seconds until it shows."""
    broken = {"virginia→oregon", "virginia→ireland"}
    with cache.without_restarts():  # else it is back before anybody sees it
        cache.kill("virginia/relay/0")
        seconds = page.wait(lambda: {pair for pair, state in page.arrows().items() if state == "unknown"} == broken, SHOWN_S, "two red arrows")
        assert "virginia/relay/0 does not answer" in page.text("#notes")
        assert page.cells("ready")["virginia"]["ready oregon"].startswith("0")
        assert page.cells("prefixes")["item:"]["from virginia"] == "–" != page.cells("prefixes")["item:"]["from oregon"]
        colors = page.run("""
            return ["virginia→oregon", "oregon→virginia"].map((pair) =>
              getComputedStyle(document.querySelector(`g.arrow[data-pair="${pair}"] path.line`)).stroke)""")
        assert colors[0] != colors[1]
        if os.environ.get("EVCACHE_SCREENSHOTS"):
            shoot(page, "relay-killed", 1280, "light")
    page.wait(lambda: set(page.arrows().values()) == {"fine"}, SHOWN_S, "all arrows fine again")
    return seconds


def test_dashboard__another_region__shows_the_same_cache(cache, page):
    open_page(page, url(cache, "ireland"))
    assert set(page.arrows()) == PAIRS


def test_dashboard__quiet__numbers_are_those_of_status_json(cache, page):
    cache.load.stop()
    document = cache.wait_quiet()
    open_page(page, url(cache))
    produced = {}
    for name, region in ((name, cache.regions[name]) for name in NAMES):
        told = [fetch(address, "/status.json") for address in (region.admin, *region.relays)]
        produced[name] = sum(sum(process["produced"]) for process in told)
    wanted = {f"{pair['source']}→{pair['destination']}": [f"{count:,}" for count in (
        produced[pair["source"]], pair["outcomes"]["applied"], pair["lost"], 0, 0)] for pair in document["pairs"] if pair["group"] == "ship"}

    def shown():
        return {pair: [row[name] for name in ("produced", "applied", "lost", "in_flight", "unexplained")]
                for pair, row in page.cells("books").items() if pair in wanted}

    page.wait(lambda: shown() == wanted, SHOWN_S, f"books {wanted}")  # its first numbers may be from before
    page.wait(lambda: page.text("#verdict") == "all regions are fresh", SHOWN_S, "fresh regions")
    # All the page needed came from the server, and nothing went wrong.
    assert page.run("return performance.getEntriesByType('resource').every((e) => e.name.startsWith(location.origin))")
    assert page.errors() == []


def test_dashboard__one_partition_stalls__named_within_15_s_while_lag_looks_fine(system, page):
    s = system(regions=2, zones=1, nodes=2, partitions=4, timeouts="")
    zone = s.regions["oregon"].zones[0]
    keys = [f"key-{n}" for n in range(200)]
    stuck = next(key for key in keys if zone.owner(key) == 1)
    fluent = [key for key in keys if zone.owner(key) == 0]
    proxy = s.proxy("virginia")
    open_page(page, url(s))
    page.wait(lambda: page.arrows().get("virginia→oregon") == "fine", SHOWN_S, "a fine arrow")

    def is_stalled():
        for key in fluent:
            proxy.set(key, b"value")
        return page.arrows()["virginia→oregon"] == "stalled"

    def stall():
        pid = s.kill("oregon/node/oregon-a/1", signal.SIGSTOP)
        try:
            proxy.set(stuck, b"value")
            seconds = page.wait(is_stalled, SHOWN_S, "a stalled arrow")
            _, document = s.status()
            pair = next(pair for pair in document["pairs"] if (pair["source"], pair["destination"]) == ("virginia", "oregon"))
            stalled = [p["partition"] for p in pair["partitions"] if p["state"] == "stalled"]
            assert len(stalled) == 1
            assert pair["lag_us"]["count"] > 100 and pair["lag_us"]["p99"] < 1_000_000
            assert f"virginia → oregon partition {stalled[0]} is stalled" in page.text("#notes")
            text = run("status", "--config", s.config).stdout
            assert f"virginia → oregon partition {stalled[0]} is stalled" in text
            assert sum(" is stalled" in line for line in text.splitlines()) == 1
        finally:
            os.kill(pid, signal.SIGCONT)
        page.wait(lambda: set(page.arrows().values()) == {"fine"}, SHOWN_S, "all arrows fine again")
        s.wait_quiet()
        return seconds

    assert_in_time(STALLED_S, stall)


# --- processes made of a test's numbers ---

@pytest.fixture(name="fakes")
def fakes_fixture(config, tmp_path):
    """A real proxy in virginia, so that there is a dashboard; everybody else says what the test says."""
    fakes = Fakes(config, but=[("virginia", "proxy")])
    with fakes.stack, open(tmp_path / "proxy.log", "wb") as log:
        with subprocess.Popen([program(), "proxy", "--config", str(fakes.path), "--region", "virginia"],
                              stdin=subprocess.DEVNULL, stdout=log, stderr=log) as proxy:
            yield fakes
            proxy.send_signal(signal.SIGTERM)
            assert proxy.wait(10) == 0


def wait_listening(address):
    host, port = memcache.split_address(address)
    deadline = time.monotonic() + SHOWN_S
    while True:
        with contextlib.suppress(OSError):
            connection = http.client.HTTPConnection(host, port, timeout=1)
            connection.request("GET", "/cache.json")
            if connection.getresponse().status == 200:
                return
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_dashboard__a_partition_stalls_and_one_loses_100__are_told_from_the_rest(fakes, page):
    stalled = partition(0, backlog=70, applied=930, lag=[[10, 930]])
    fakes.relay("virginia")["produced"] = [1000, 1000]
    set_virginia(fakes, [stalled, partition(1, applied=900, lost=100, lag=[[10, 900]])], produced=(0, 0), relay_produced=(1000, 1000))
    stalled["oldest_us"] = int((time.time() - 12.5) * 1e6)
    wait_listening(fakes.regions[0].admin)
    open_page(page, f"http://{fakes.regions[0].admin}/")
    page.wait(lambda: page.arrows()["virginia→oregon"] == "stalled", SHOWN_S, "a stalled arrow")
    assert page.arrows()["oregon→virginia"] in ("fine", "unknown")
    assert page.cells("books")["virginia→oregon"]["lost"] == "100"
    heat = page.cells("heat")["virginia→oregon"]
    assert heat["partition 1"].endswith("lost 100") and "lost" not in heat["partition 0"]
    assert float(heat["partition 0"].split()[0]) >= 12.5 and heat["partition 0"].endswith(" s")
    notes = page.text("#notes")
    assert "virginia → oregon partition 0 is stalled" in notes
    assert "virginia → oregon partition 1 lost 100 events" in notes
    assert "things need attention" in page.text("#verdict")


def test_dashboard__top_prefixes__are_the_sums_of_status_json_and_only_text(fakes, page):
    def told(rate, **prefixes):
        return {"rate": rate, "byte_rate": rate * 1024, "top": [
            {"prefix": prefix, "rate": part, "byte_rate": part * 1024, "share": part / rate} for prefix, part in prefixes.items()]}

    evil = "<img/src=x/onerror=document.title='caught'>:"
    fakes.relay("virginia")["prefixes"] = told(400, **{"user:": 250, evil: 80, "": 20})
    fakes.relay("oregon")["prefixes"] = told(600, **{"user:": 450, "gr\\xff:": 50})
    wait_listening(fakes.regions[0].admin)
    open_page(page, f"http://{fakes.regions[0].admin}/")
    page.wait(lambda: "user:" in page.cells("prefixes"), SHOWN_S, "the prefixes")
    sums = {}
    for region in fakes.regions:
        for prefix in fetch(region.relays[0], "/status.json")["prefixes"]["top"]:
            sums.setdefault(prefix["prefix"], {})[f"from {region.name}"] = prefix["rate"]
    shown = page.cells("prefixes")
    rest = shown.pop("\\others")
    assert set(shown) == set(sums)
    for prefix, row in shown.items():
        rate = sum(sums[prefix].values())
        assert row == {"rate": str(rate), "share": f"{rate / 10:.1f} %", "byte_rate": f"{rate if rate > 99 else f'{rate:.1f}'} KiB/s",
                       "from virginia": "0", "from oregon": "0", **{source: str(part) for source, part in sums[prefix].items()}}
    assert rest == {"rate": "150", "share": "15.0 %", "byte_rate": "150 KiB/s", "from virginia": "", "from oregon": ""}
    headings = page.run("return [...document.querySelectorAll('#prefixes tbody th')].map((th) => th.textContent)")
    assert headings == ["user:", evil, "gr\\xff:", "without a prefix", "all others"]
    assert page.run("return document.querySelector('#prefixes img')") is None and page.driver.title == "evcache test"
