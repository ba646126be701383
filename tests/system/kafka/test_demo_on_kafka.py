# SPDX-License-Identifier: Apache-2.0
"""The demo on a broker that `evcache up` runs agrees as it does on the embedded queue."""

import os

from evc import kafka
from helpers import demo


def test_demo__on_kafka__agrees():
    demo.assert_agrees("kafka", {**os.environ, "EVCACHE_KAFKA": kafka.jars().removesuffix("/*")})
