"""Compiled kernels: one file a device, behind one function each."""
