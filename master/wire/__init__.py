"""The gRPC services and their messages: decode, call, encode.

Imported by: the server; the gateways for what holds for every call.
"""
