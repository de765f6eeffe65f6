"""Controls of an anomaly detector: what can be had without it."""
