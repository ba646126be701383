# SPDX-License-Identifier: Apache-2.0
"""The parts of tools/demo: play (what happens), load, storm, compare, and screen (how it looks)."""
