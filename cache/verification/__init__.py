"""Whether a store is what it says it is: every byte, status, value and description of it."""
