"""From rows of a store to batches on a device."""
