"""An experiment: settings, algorithm, progress, and how it comes back from its journal.

Imported by: the wire, the work, the centres, the server; the journal for the events.
"""
