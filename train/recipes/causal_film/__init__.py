"""Causal-FiLM: trained on normals to predict the result from the process."""
