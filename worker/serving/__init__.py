"""Policies served as models: nodes that clients call, and the announcements by which they find them.

Imported by: the command line, which says what is served, and the Python face. Takes networks, and what builds
them, from `worker.networks` and `worker.playing`; values and announcements from `germline.models`.
"""
