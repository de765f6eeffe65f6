"""What a trained run is on disk: its folder, documents, checkpoints, and how runs are listed and compared."""
