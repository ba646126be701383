# SPDX-License-Identifier: Apache-2.0
"""How the demo looks: a line per step that fills up, and tables. Plain lines when not on a terminal."""

import os
import shutil
import sys
import threading
import time

BAR_COLUMNS = 24
LABEL_COLUMNS = 12
SECONDS_COLUMNS = 7
REDRAW_S = 0.1

_is_tty = sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb"
_has_colour = _is_tty and not os.environ.get("NO_COLOR")
_has_unicode = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
_lock = threading.RLock()
_current = None  # the step whose line stands at the bottom

_STYLES = {"bold": "1", "dim": "2", "good": "32", "warn": "33", "bad": "31"}
FULL, EMPTY, ARROW, EQUALS, TIMES = ("━", "─", "→", "=", "×") if _has_unicode else "#->=x"
if not _has_unicode:
    EMPTY, ARROW = "-", "->"


def style(text, name):
    return f"\033[{_STYLES[name]}m{text}\033[0m" if _has_colour and name else text


def count(number):
    return f"{number:,}"


def size(number):
    for unit in ("bytes", "KB", "MB", "GB"):
        if number < 1000 or unit == "GB":
            return f"{number:.0f} {unit}" if unit == "bytes" else f"{number:.1f} {unit}"
        number /= 1000
    return None


def duration(microseconds):
    if microseconds < 1000:
        return f"{microseconds:.0f} us"
    if microseconds < 1_000_000:
        return f"{microseconds / 1e3:.3g} ms"
    return f"{microseconds / 1e6:.3g} s"


def line(text=""):
    """A line of its own, above the step that is under way."""
    with _lock:
        if _current and _is_tty:
            sys.stdout.write("\r\033[K")
        print(text, flush=True)
        if _current:
            _current.draw()


def event(text, name=None):
    """Something that happened during a step."""
    margin = " " * (2 + LABEL_COLUMNS + SECONDS_COLUMNS + 2)
    line(margin + style(time.strftime("%H:%M:%S  "), "dim") + style(text, name))


class Step:
    """One step of the play: a label, its seconds, a bar while it lasts, a sentence when it is done."""

    def __init__(self, label, total=0, unit=""):
        self.label, self.total, self.unit = label, total, unit
        self.done = 0
        self.text = ""
        self.begin = time.monotonic()
        self._drawn = 0.0

    def __enter__(self):
        global _current
        _current = self
        self.draw()
        return self

    def __exit__(self, kind, *unused):
        global _current
        with _lock:
            _current = None
            if _is_tty:
                sys.stdout.write("\r\033[K")
            if kind is None:
                print(self._line(self.text), flush=True)

    def seconds(self):
        return time.monotonic() - self.begin

    def add(self, number=1):
        self.done += number
        self._maybe_draw()

    def say(self, text):
        self.text = text
        self._maybe_draw()

    def _maybe_draw(self):
        if time.monotonic() - self._drawn >= REDRAW_S:
            self.draw()

    def draw(self):
        if not _is_tty:
            return
        with _lock:
            self._drawn = time.monotonic()
            sys.stdout.write("\r\033[K" + self._line(self._progress()))
            sys.stdout.flush()

    def _progress(self):
        if not self.total:
            return self.text
        share = min(1.0, self.done / self.total)
        filled = round(share * BAR_COLUMNS)
        bar = style(FULL * filled, "good") + style(EMPTY * (BAR_COLUMNS - filled), "dim")
        return f"{bar} {count(self.done)} of {count(self.total)} {self.unit}"

    def _line(self, text):
        seconds = f"{self.seconds():.1f} s".rjust(SECONDS_COLUMNS)
        return f"  {style(self.label.ljust(LABEL_COLUMNS) + seconds, 'dim')}  {text}"


def title(text, more=""):
    line()
    line(style(text, "bold") + (style("  " + more, "dim") if more else ""))


def table(headings, rows, styles=None):
    """rows: tuples of texts, the first column left, the rest right-aligned; styles: {(row, column): name}."""
    styles = styles or {}
    widths = [max(len(row[i]) for row in [headings, *rows]) for i in range(len(headings))]

    def cells(row, index):
        texts = []
        for i, text in enumerate(row):
            padded = text.ljust(widths[i]) if i == 0 else text.rjust(widths[i])
            name = styles.get((index, i)) or ("dim" if index < 0 or text == "0" else None)
            texts.append(style(padded, name))
        return "  " + "  ".join(texts)

    if any(headings):
        line(cells(headings, -1))
    for index, row in enumerate(rows):
        line(cells(row, index))


def columns():
    return shutil.get_terminal_size((100, 40)).columns
