"""Decoding in worker processes that may die without costing more than what they were at."""
