# SPDX-License-Identifier: Apache-2.0
"""Real processes for the system tests; see system.py."""
