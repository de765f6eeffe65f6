"""Cache frozen foundation-model features of multimodal recordings once; train and evaluate on them in seconds."""
