"""Stores in buckets: few large objects that hold many rows each, carried there and back, and read where they lie."""
