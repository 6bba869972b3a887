"""The gRPC services and their messages: decode, call, encode.

Imported by: the server, nobody else.
"""
