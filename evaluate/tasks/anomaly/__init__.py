"""The judge of anomaly detectors: defects against normals, beside what can be had without a model."""
