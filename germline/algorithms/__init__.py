"""Evolution as pure ask and tell: no I/O, no clock, no torch, and no randomness but the seed's."""
