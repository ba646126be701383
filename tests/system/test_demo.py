# SPDX-License-Identifier: Apache-2.0
"""What the README promises first: three regions, real data, faults in the middle, and every copy agrees."""

from helpers import demo


def test_demo__embedded_queue__agrees():
    demo.assert_agrees("embedded")
