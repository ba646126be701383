# SPDX-License-Identifier: Apache-2.0
"""A headless Chromium that looks at a page as a person would."""

import contextlib
import tempfile
import time

from selenium import webdriver
from selenium.webdriver.chrome.service import Service

FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
         "--disable-background-networking", "--disable-component-update", "--disable-sync",
         "--hide-scrollbars"]


class Page:
    def __init__(self, driver):
        self.driver = driver

    def run(self, script, *arguments):
        return self.driver.execute_script(script, *arguments)

    def size(self, width, height=900, scheme="light"):
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {
            "width": width, "height": height, "deviceScaleFactor": 1, "mobile": False})
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {
            "features": [{"name": "prefers-color-scheme", "value": scheme}]})

    def cells(self, table):
        """{row's key: {field: text}} of a table."""
        return self.run("""
            const rows = {};
            for (const row of document.querySelectorAll(`#${arguments[0]} tbody tr`)) {
              rows[row.dataset.key] = {};
              for (const cell of row.querySelectorAll("td[data-field]"))
                rows[row.dataset.key][cell.dataset.field] = cell.textContent;
            }
            return rows;""", table)

    def arrows(self):
        """{"virginia→oregon": state} of the map."""
        return self.run("""
            const found = {};
            for (const arrow of document.querySelectorAll("g.arrow[data-pair]"))
              found[arrow.dataset.pair] = arrow.dataset.state;
            return found;""")

    def text(self, selector):
        return self.run("return document.querySelector(arguments[0]).innerText", selector)

    def errors(self):
        """What the browser's console complains of."""
        return [entry["message"] for entry in self.driver.get_log("browser")]

    def wait(self, condition, limit, what):
        """Waits until condition() is true; returns the seconds that took."""
        start = time.monotonic()
        while not condition():
            if time.monotonic() - start > limit:
                raise AssertionError(f"not within {limit} s: {what}: {self.text('main')}")
            time.sleep(0.05)
        return time.monotonic() - start


@contextlib.contextmanager
def chromium():
    with tempfile.TemporaryDirectory(prefix="evcache-browser-") as profile:
        options = webdriver.ChromeOptions()
        options.binary_location = "/usr/bin/chromium"
        for flag in [*FLAGS, f"--user-data-dir={profile}"]:
            options.add_argument(flag)
        driver = webdriver.Chrome(service=Service("/usr/bin/chromedriver"), options=options)
        try:
            yield Page(driver)
        finally:
            driver.quit()
