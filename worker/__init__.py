"""The data plane: rebuilds weights, plays episodes, talks to the master."""
