"""Sweeps: settings drawn from a space and trained on one cache; the best are judged on what no trial saw."""
