"""Media files to arrays, by what they hold."""
