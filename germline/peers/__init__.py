"""Other projects' protocols, generated from proto/germline/peers by `make proto`; never edited."""
