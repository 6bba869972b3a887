"""Measurements of this build against references that stand beside them."""
