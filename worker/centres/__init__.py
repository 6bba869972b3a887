"""An evolution strategy's centre on this machine, and the members around it.

Imported by: the playing thread, the messages that move a centre, the benches.
"""
