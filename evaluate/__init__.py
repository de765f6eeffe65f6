"""Stage three: scores of a run, metrics with intervals, controls, and the report."""
