"""Media files to arrays, one file per modality."""
