# SPDX-License-Identifier: Apache-2.0
"""Many clients count on one key at once, through several proxies: nothing is counted twice, nothing is lost."""

import threading

CLIENTS = 8
COUNTS = 10000
PIPELINE = 100


def count(client):
    """COUNTS increments, pipelined; every answer must be a number."""
    for _ in range(COUNTS // PIPELINE):
        client.send(b"incr counter 1\r\n" * PIPELINE)
        assert all(line.isdigit() for line in client.lines(PIPELINE))


def test_counter__clients_of_two_proxies__every_zone_and_region_has_the_sum(system):
    s = system(regions=2, zones=2, proxies=2)
    assert s.proxy("virginia").set("counter", b"0") == b"STORED"
    failures = []

    def run(index):
        try:
            count(s.proxy("virginia", index % 2))
        except BaseException as problem:  # told by the test, which runs elsewhere
            failures.append(problem)

    threads = [threading.Thread(target=run, args=(index,)) for index in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    s.wait_quiet()
    assert set(s.values("counter").values()) == {b"%d" % (CLIENTS * COUNTS)}
    s.assert_converged(["counter"])
