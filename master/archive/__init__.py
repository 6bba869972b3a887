"""A record of every evaluation, written behind the journal: what people ask afterwards.

Imported by: the server, the experiments for what they record, the journal's snapshots by a callback, the
wire to read.
"""
