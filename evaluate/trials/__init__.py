"""Variants compared: a list of them is trained on one cache, each with several seeds, and put into one table."""
