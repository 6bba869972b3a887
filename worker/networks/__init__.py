"""Populations of networks: the parents' cache, batched forward passes, policies."""
