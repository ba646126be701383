# SPDX-License-Identifier: Apache-2.0
"""A terminal for programs that draw: a pseudo-terminal, and as much of xterm as ncurses uses of it."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time

SEQUENCE = re.compile(r"\x1b\[([?>]?)([0-9;]*)([@-~])|\x1b[()][0-9A-B]|\x1b[=>78M]|\x1b\][^\x07]*\x07")
PARTIAL = re.compile(r"\x1b(?:\[[?>]?[0-9;]*|[()]|\][^\x07]*)?$")
LIMIT_S = 30.0  # on a busy machine


class Screen:
    """Lines of text and a cursor; colours are remembered only as having been used."""

    def __init__(self, lines, columns):
        self.rest = ""
        self.has_color = False
        self.resize(lines, columns)

    def resize(self, lines, columns):
        self.lines, self.columns = lines, columns
        self.cells = [[" "] * columns for _ in range(lines)]
        self.line = self.column = 0
        self.last = " "

    def feed(self, text):
        text, at = self.rest + text, 0
        self.rest = ""
        while at < len(text):
            if text[at] == "\x1b":
                match = SEQUENCE.match(text, at)
                if not match:
                    assert PARTIAL.match(text[at:]), repr(text[at:at + 20])
                    self.rest = text[at:]
                    return
                if match[3]:
                    self.control(match[1], [int(n or 0) for n in match[2].split(";")], match[3])
                at = match.end()
            else:
                self.character(text[at])
                at += 1

    def character(self, char):
        if char == "\r":
            self.column = 0
        elif char == "\n":
            self.line = min(self.line + 1, self.lines - 1)
        elif char == "\b":
            self.column = max(self.column - 1, 0)
        elif char >= " ":
            if self.column == self.columns:
                self.character("\r")
                self.character("\n")
            self.cells[self.line][self.column] = self.last = char
            self.column += 1

    def control(self, private, numbers, final):
        count, row = max(numbers[0], 1), self.cells[self.line]
        if final == "H":
            self.line = min(count, self.lines) - 1
            self.column = min(max(numbers[1], 1) if len(numbers) > 1 else 1, self.columns) - 1
        elif final == "d":
            self.line = min(count, self.lines) - 1
        elif final == "G":
            self.column = min(count, self.columns) - 1
        elif final in "ABCD":
            self.line = min(max(self.line + {"A": -count, "B": count}.get(final, 0), 0), self.lines - 1)
            self.column = min(max(self.column + {"C": count, "D": -count}.get(final, 0), 0), self.columns - 1)
        elif final == "J":
            assert numbers[0] in (0, 2)
            start = 0 if numbers[0] == 2 else self.line + 1
            self.cells[start:] = [[" "] * self.columns for _ in range(self.lines - start)]
            if numbers[0] == 0:
                row[self.column:] = [" "] * (self.columns - self.column)
        elif final == "K":
            if numbers[0] == 1:
                row[: self.column + 1] = [" "] * (self.column + 1)
            else:
                row[self.column:] = [" "] * (self.columns - self.column)
        elif final == "X":
            end = min(self.column + count, self.columns)
            row[self.column:end] = [" "] * (end - self.column)
        elif final == "P":
            row[self.column:] = (row[self.column + count:] + [" "] * count)[: self.columns - self.column]
        elif final == "@":
            row[self.column:] = ([" "] * count + row[self.column:])[: self.columns - self.column]
        elif final == "b":
            for _ in range(count):
                self.character(self.last)
        elif final == "m":
            self.has_color = self.has_color or any(30 <= number <= 37 for number in numbers)
        else:
            assert final in "hlrt", (private, numbers, final)

    def text(self):
        return "\n".join("".join(row).rstrip() for row in self.cells)


class Terminal:
    """A program on a terminal of its own."""

    def __init__(self, command, lines=40, columns=120, **environment):
        self.leader, follower = pty.openpty()
        self.set_size(lines, columns)
        self.screen = Screen(lines, columns)
        self.process = subprocess.Popen(command, stdin=follower, stdout=follower, stderr=follower, start_new_session=True,
                                        env={**os.environ, "TERM": "xterm", "LC_ALL": "C.UTF-8", **environment})
        os.close(follower)

    def set_size(self, lines, columns):
        fcntl.ioctl(self.leader, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def resize(self, lines, columns):
        self.set_size(lines, columns)
        self.screen.resize(lines, columns)
        self.process.send_signal(signal.SIGWINCH)

    def press(self, keys):
        os.write(self.leader, keys.encode())

    def _read(self, seconds):
        if select.select([self.leader], [], [], seconds)[0]:
            try:
                self.screen.feed(os.read(self.leader, 65536).decode())
            except OSError:  # nobody holds the other end any more
                return False
        return True

    def wait(self, condition, limit=LIMIT_S):
        """Reads until condition(text of the screen) holds; returns the text."""
        deadline = time.monotonic() + limit
        while not condition(self.screen.text()):
            assert time.monotonic() < deadline, self.screen.text()
            self._read(0.1)
        return self.screen.text()

    def wait_for(self, *words, limit=LIMIT_S):
        return self.wait(lambda text: all(word in text for word in words), limit)

    def end(self, limit=LIMIT_S):
        """Its exit status."""
        deadline = time.monotonic() + limit
        while self._read(0.1) and self.process.poll() is None:
            assert time.monotonic() < deadline, self.screen.text()
        return self.process.wait(limit)

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self.leader)
