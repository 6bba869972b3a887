"""Policies served as models: nodes that clients call, and the announcements by which they find them.

Imported by: only the command line, which says what is served. Takes networks, and what builds them, from
`worker.networks` and `worker.playing`; values and announcements from `germline.models`.
"""
