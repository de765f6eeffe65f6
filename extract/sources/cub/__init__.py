"""CUB-200-2011: photographs of birds of 200 species, with 312 attributes of each, real and synthetic."""
