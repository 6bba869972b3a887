"""The protocol of cshenton/neuroevolution: its unmodified workers play here. See docs/migrating.md.

Imported by: the list of gateways.
"""
