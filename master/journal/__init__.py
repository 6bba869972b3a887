"""What is acknowledged is kept. The only room that knows Redis.

Imported by: every other room of the master, and the command line to look for a server.
"""
