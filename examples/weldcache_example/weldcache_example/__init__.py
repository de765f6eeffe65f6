"""Readings of an instrument for weldcache."""
