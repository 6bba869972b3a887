"""What the master knows of an evolution strategy's centre: epochs, digests and checkpoints; never weights."""
