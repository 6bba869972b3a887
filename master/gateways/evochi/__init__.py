"""The protocol of evochi 0.1.4: its unmodified clients train here. docs/migrating.md says what differs.

Imported by: the list of gateways.
"""
