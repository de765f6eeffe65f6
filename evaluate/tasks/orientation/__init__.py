"""The judge of orientations: how far predicted mixtures of angles are from the true ones, beside constant answers."""
