"""AnoVox: driving scenes of a simulator, with a camera and a lidar, in which something may be that does not belong."""
