"""The stream to the master: connects, greets, obeys, tells.

Imported by: the loop, the metrics, and the machine that says who it is.
"""
