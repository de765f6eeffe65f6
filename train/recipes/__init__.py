"""What can be trained on cached features, and how it scores."""
