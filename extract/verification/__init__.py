"""Whether a store is what its data set and its backbones would make now."""
