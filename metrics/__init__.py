"""Statistics of scores: arrays in, numbers with intervals out."""
