"""The dashboard: a process of its own that asks a master, and shows browsers what it hears.

It is a client like any other (:mod:`germline.client`), steers nothing unless it is told that it may, and
nobody but the command line imports it.
"""
