# SPDX-License-Identifier: Apache-2.0
"""Writing through the proxies: pipelined batches, and what each key must hold afterwards.

A key's expectation is the set of values it may hold: one value when its last write was acknowledged and
nobody else wrote at the same time; more when two regions wrote at once, or a write was not acknowledged
(then it may have had effect or not). A value is the package's record and a suffix; None stands for
deleted. No expectation ever holds a copy of a record.
"""

import threading
import time

from evc.memcache import Client

BATCH = 64


class Ledger:
    """What was written, by whom, and what may be found. Any thread."""

    def __init__(self, records):
        self.records = records  # key -> bytes
        self.expected = {}      # key -> set of suffixes or None
        self.acknowledged = 0
        self.refused = 0        # answered with an error, or not answered
        self.first_refusal = None
        self.lock = threading.Lock()

    def value(self, key, suffix):
        return None if suffix is None else self.records[key] + suffix

    def note(self, results, racing):
        """results: [(key, suffix, answer)]. racing: somebody else may write these keys right now."""
        with self.lock:
            for key, suffix, answer in results:
                good = answer in (b"STORED", b"DELETED", b"NOT_FOUND")
                if good:
                    self.acknowledged += 1
                else:
                    self.refused += 1
                    self.first_refusal = self.first_refusal or answer
                if good and not racing:
                    self.expected[key] = {suffix}
                else:
                    self.expected.setdefault(key, {None}).add(suffix)


class Writer:
    """One connection to one proxy."""

    def __init__(self, ledger, address, racing=False):
        self.ledger, self.racing = ledger, racing
        self.client = Client(address, timeout=30.0)

    def close(self):
        self.client.close()

    def batch(self, writes):
        """writes: [(key, suffix)]; returns when all are answered."""
        parts = []
        for key, suffix in writes:
            if suffix is None:
                parts.append(b"delete %s\r\n" % key)
            else:
                record = self.ledger.records[key]
                parts.append(b"set %s 0 0 %d\r\n%s%s\r\n"
                             % (key, len(record) + len(suffix), record, suffix))
        self.client.send(b"".join(parts))
        answers = self.client.lines(len(writes))
        self.ledger.note([(key, suffix, answer)
                          for (key, suffix), answer in zip(writes, answers)], self.racing)


class Crew:
    """Threads that each run one job; the first exception is raised by wait."""

    def __init__(self):
        self.threads, self.error = [], None

    def start(self, job, *arguments):
        def run():
            try:
                job(*arguments)
            except Exception as error:  # pylint: disable=broad-except
                self.error = self.error or error
        thread = threading.Thread(target=run, daemon=True)
        self.threads.append(thread)
        thread.start()

    def is_busy(self):
        return any(thread.is_alive() for thread in self.threads)

    def wait(self):
        for thread in self.threads:
            thread.join()
        if self.error:
            raise self.error


def write_all(ledger, address, writes, on_done, racing=False, seconds=0.0):
    """Writes everything through one proxy; spread evenly over seconds when that is given."""
    writer = Writer(ledger, address, racing)
    begin = time.monotonic()
    for at in range(0, len(writes), BATCH):
        writer.batch(writes[at : at + BATCH])
        on_done(len(writes[at : at + BATCH]))
        due = begin + seconds * min(1.0, (at + BATCH) / len(writes))
        time.sleep(max(0.0, due - time.monotonic()))
    writer.close()
