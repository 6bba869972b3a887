"""What playing means: Atari games, Gymnasium environments, Python functions.

Imported by: everybody in the worker; it knows no torch.
"""
