"""The gRPC services and their messages: decode, call, encode. Only `master.server` imports it."""
