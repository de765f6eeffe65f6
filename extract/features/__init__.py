"""From a sample's files to the arrays in the store, one file a kind."""
