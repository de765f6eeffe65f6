"""Data sets of recorded welds, real and synthetic."""
