"""What the master knows of an evolution strategy's centre: epochs, digests, checkpoints; never weights.

Imported by: the wire, the work and the experiments.
"""
