"""What a training shows while it runs."""
