"""The control plane: hosts experiments, lends work, writes the journal, serves gRPC."""
