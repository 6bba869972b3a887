"""The networks that play."""
