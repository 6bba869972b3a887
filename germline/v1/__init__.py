"""Generated from proto/germline/v1 by `make proto`; never edited."""
