"""Tests to inherit from: what every source, kind of feature, recipe, judge and source of batches keeps to."""
