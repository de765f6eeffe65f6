"""Mistakes that software can catch: in data and splits, in stored features, in training, and in results."""
