# SPDX-License-Identifier: Apache-2.0
"""What the demo and the system tests share: talking to nodes and proxies, the ring, processes.

Standard library only. Nothing here is part of the data path.
"""
