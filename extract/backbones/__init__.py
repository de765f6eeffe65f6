"""Frozen foundation models, one file per model family."""
