"""Neuroevolution as a service: every network is a line of seeds."""
