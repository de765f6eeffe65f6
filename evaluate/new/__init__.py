"""New samples, in no store and without a label, scored by a run: a set as a whole, or a folder as it fills."""
