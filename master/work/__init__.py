"""What is asked, waiting and lent, and the fleet that plays it.

Imported by: the wire, the server; experiments and centres for what is theirs.
"""
