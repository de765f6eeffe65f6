"""Judge of detectors that score each point of a sample."""
