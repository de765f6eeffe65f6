"""Runs beside each other: what they said of the same samples, paired, and the settings in which they differ."""
