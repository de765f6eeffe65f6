"""Synthetic scenes in AnoVox's layout: streets of boxes, seen by a pinhole camera and cast by a lidar."""
