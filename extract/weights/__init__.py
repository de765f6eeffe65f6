"""Trained weights of open models: what there is, where it comes from, and how it gets to this machine."""
