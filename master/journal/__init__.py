"""What is acknowledged is kept. The only room that knows Redis.

Imported by: every other room of the master, and command line and benches to look for a server.
"""
