# SPDX-License-Identifier: Apache-2.0
"""One key, written without pause from two regions at once."""

import threading

WRITES = 100_000
BATCH = 500


def hammer(client, region):
    """WRITES sets of one key, BATCH in flight."""
    for start in range(0, WRITES, BATCH):
        values = [b"%s %d" % (region.encode(), number) for number in range(start, start + BATCH)]
        client.send(b"".join(b"set hot 0 0 %d\r\n%s\r\n" % (len(value), value) for value in values))
        for answer in client.lines(BATCH):
            assert answer == b"STORED", answer


def test_hot_key__written_100000_times_from_two_regions__ends_equal_everywhere(system):
    s = system(regions=3, zones=2, nodes=1)
    threads = [threading.Thread(target=hammer, args=(s.proxy(region), region))
               for region in ("virginia", "oregon")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    document = s.wait_quiet(60.0)
    s.assert_converged([b"hot"])
    value = next(iter(s.values(b"hot").values()))
    assert value.endswith(b" %d" % (WRITES - 1)), value
    for pair in document["pairs"]:
        if pair["group"] != "repair" and pair["source"] != "ireland":
            assert pair["produced"] >= WRITES
            assert pair["outcomes"]["coalesced"] > 0.9 * WRITES, pair
        assert pair["lost"] == 0 and pair["unexplained"] == 0
