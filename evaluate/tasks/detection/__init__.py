"""Judge of detectors that are trained on defects too."""
