"""Judges, one a task."""
