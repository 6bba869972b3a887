"""Populations of networks: the parents' cache, batched forward passes, policies.

Imported by: what plays them: playing and centres, the command line and the Python face.
"""
