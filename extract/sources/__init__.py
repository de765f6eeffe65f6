"""Data sets on disk, listed as samples."""
