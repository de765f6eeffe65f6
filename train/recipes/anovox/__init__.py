"""AnoVox: anomalies in driving scenes, from image tokens and points: by scene, by point, and by bags of points."""
