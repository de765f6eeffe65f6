"""What an extraction will cost, found out before it starts."""
