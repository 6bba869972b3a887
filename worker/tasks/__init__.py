"""What playing means: Atari games, Gymnasium environments, Python functions."""
